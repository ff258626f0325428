package znode

import (
	"encoding/binary"
	"slices"
	"sync"

	"zooid/wire"
)

const (
	// listCacheMin is the number of children from which on a list is worth
	// keeping: below it, encoding costs about what finding it costs.
	listCacheMin = 16
	// listCacheMax bounds the bytes of all lists that are kept. One that takes
	// more than half of it is not.
	listCacheMax = 64 << 20
	// listGrowMax is the size in bytes from which on a list that is full is
	// dropped when a child is added, since growing it would copy it under the
	// write lock. A list of that size is made with room for an eighth more.
	listGrowMax = 1 << 20
)

// listCache keeps the encoded names of large directories, so that getChildren
// copies instead of walking. A created child is added to its parent's list, a
// deleted one drops the list.
//
// Lists change only under the tree's write lock. The mutex is for readers,
// who hold the tree's read lock and enter lists beside each other: a list that
// get returned stays as it is until its reader lets the tree go.
type listCache struct {
	mu    sync.Mutex
	lists map[nodeID]*list
	clock []clockEntry // in the order of entry, for eviction; may name dropped ones
	made  uint64       // lists ever entered
	bytes int          // never above max after a call
	max   int
}

type list struct {
	names  []byte // jute vector of ustrings
	serial uint64 // the value of made when it was entered
	used   bool   // since the clock's hand passed
}

// clockEntry stands for the list of n with this serial, and for no later one.
type clockEntry struct {
	n      nodeID
	serial uint64
}

func (c *listCache) init() {
	c.lists = make(map[nodeID]*list)
	c.max = listCacheMax
}

// get is n's list, made if need be.
func (c *listCache) get(t *Tree, n nodeID) []byte {
	c.mu.Lock()
	if l := c.lists[n]; l != nil {
		l.used = true
		c.mu.Unlock()
		return l.names
	}
	c.mu.Unlock()
	names := t.encodeNames(nil, n, t.childCount(n))
	if len(names) >= listGrowMax {
		names = slices.Grow(names, len(names)/8)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.lists[n]; l != nil { // another reader was faster
		return l.names
	}
	if cap(names) <= c.max/2 {
		c.made++
		c.lists[n] = &list{names: names, serial: c.made}
		c.clock = append(c.clock, clockEntry{n, c.made})
		c.bytes += cap(names)
		c.evict()
	}
	return names
}

// evict lets lists go that were not read since the hand last passed them,
// until the bound is kept. A reader may still be copying one; it has its slice.
func (c *listCache) evict() {
	for c.bytes > c.max || len(c.clock) > 2*len(c.lists)+listCacheMin {
		e := c.clock[0]
		c.clock = c.clock[1:]
		l := c.lists[e.n]
		switch {
		case l == nil || l.serial != e.serial: // dropped meanwhile
		case c.bytes <= c.max: // only clearing the clock of dropped ones
			c.clock = append(c.clock, e)
		case l.used:
			l.used = false
			c.clock = append(c.clock, e)
		default:
			c.remove(e.n, l)
		}
	}
}

func (c *listCache) remove(n nodeID, l *list) {
	c.bytes -= cap(l.names)
	delete(c.lists, n)
}

// childAdded keeps n's list right. The caller holds the tree's write lock.
func (c *listCache) childAdded(n nodeID, name string) {
	if len(c.lists) == 0 {
		return
	}
	l := c.lists[n]
	if l == nil {
		return
	}
	if len(l.names) >= listGrowMax && len(l.names)+4+len(name) > cap(l.names) {
		c.remove(n, l)
		return
	}
	c.bytes -= cap(l.names)
	l.names = append(wire.AppendInt32(l.names, int32(len(name))), name...)
	binary.BigEndian.PutUint32(l.names, binary.BigEndian.Uint32(l.names)+1)
	c.bytes += cap(l.names)
	if c.bytes > c.max {
		c.evict()
	}
}

// drop forgets n's list. The caller holds the tree's write lock.
func (c *listCache) drop(n nodeID) {
	if len(c.lists) == 0 {
		return
	}
	if l := c.lists[n]; l != nil {
		c.remove(n, l)
	}
}
