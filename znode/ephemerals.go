package znode

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
	"strings"

	"zooid/wire"
)

const (
	// sortedMin is the number of ephemerals from which on a session's are kept in
	// the order of their paths, too. Fewer are looked through faster than that is
	// worth. Below half of it the order is given up.
	sortedMin = 1024
	// pathBlock is the number of nodes in a full block of a pathIndex.
	pathBlock = 512
)

// pathIndex holds nodes in the order of their paths, in blocks none of which is
// empty. It takes 4 to 8 bytes for each.
type pathIndex struct {
	blocks  [][]nodeID
	scratch []byte
}

// search is the place of the first node whose path is not less than path: len of
// blocks if there is none. buf is what paths are made in.
func (x *pathIndex) search(t *Tree, path, buf []byte) (block, pos int) {
	less := func(n nodeID) bool {
		buf = t.appendPath(buf[:0], n)
		return bytes.Compare(buf, path) < 0
	}
	block = sort.Search(len(x.blocks), func(i int) bool { b := x.blocks[i]; return !less(b[len(b)-1]) })
	if block == len(x.blocks) {
		return block, 0
	}
	b := x.blocks[block]
	return block, sort.Search(len(b), func(i int) bool { return !less(b[i]) })
}

// add enters n. The caller holds the tree's write lock.
func (x *pathIndex) add(t *Tree, n nodeID) {
	x.scratch = t.appendPath(x.scratch[:0], n)
	path := len(x.scratch)
	// Most often a new path is the greatest, for names have counters.
	if k := len(x.blocks) - 1; k >= 0 {
		last := x.blocks[k]
		x.scratch = t.appendPath(x.scratch, last[len(last)-1])
		if bytes.Compare(x.scratch[path:], x.scratch[:path]) < 0 {
			if len(last) < pathBlock {
				x.blocks[k] = append(last, n)
			} else {
				x.blocks = append(x.blocks, []nodeID{n})
			}
			return
		}
	}
	i, pos := x.search(t, x.scratch[:path], x.scratch[path:])
	if i == len(x.blocks) {
		x.blocks = append(x.blocks, []nodeID{n})
		return
	}
	b := slices.Insert(x.blocks[i], pos, n)
	x.blocks[i] = b
	if len(b) > pathBlock {
		x.blocks[i] = slices.Clone(b[:pathBlock/2])
		x.blocks = slices.Insert(x.blocks, i+1, slices.Clone(b[pathBlock/2:]))
	}
}

// remove takes n out, whose path must still be what it was.
func (x *pathIndex) remove(t *Tree, n nodeID) {
	x.scratch = t.appendPath(x.scratch[:0], n)
	path := len(x.scratch)
	i, pos := x.search(t, x.scratch[:path], x.scratch[path:])
	if i == len(x.blocks) || x.blocks[i][pos] != n {
		panic(fmt.Sprintf("znode: node %d, %s, is not among its session's sorted ephemerals", n, x.scratch[:path]))
	}
	if b := slices.Delete(x.blocks[i], pos, pos+1); len(b) > 0 {
		x.blocks[i] = b
	} else {
		x.blocks = slices.Delete(x.blocks, i, i+1)
	}
}

// sortOwned enters n, which is among e's ephemerals already, in their order.
func (t *Tree) sortOwned(e *session, n nodeID) {
	if e.ephemerals.count < sortedMin/2 {
		return
	}
	if x := t.sessions.sorted[e.id]; x != nil {
		x.add(t, n)
		return
	}
	if e.ephemerals.count < sortedMin {
		return
	}
	x := new(pathIndex)
	t.eachEphemeral(e.id, func(n nodeID) bool { x.add(t, n); return true })
	t.sessions.sorted[e.id] = x
}

// unsortOwned takes n out of the order of e's ephemerals, of which it is none any
// more.
func (t *Tree) unsortOwned(e *session, n nodeID) {
	if e.ephemerals.count < sortedMin/2-1 {
		return
	}
	if x := t.sessions.sorted[e.id]; x != nil {
		if e.ephemerals.count < sortedMin/2 {
			delete(t.sessions.sorted, e.id)
			return
		}
		x.remove(t, n)
	}
}

// eachEphemeral visits a session's ephemerals, oldest first, until visit is false.
func (t *Tree) eachEphemeral(id wire.SessionID, visit func(n nodeID) bool) {
	e := t.sessions.get(id)
	if e == nil {
		return
	}
	for n := e.ephemerals.first; n != 0; {
		p := t.nodes.at(uint32(n))
		if !visit(n) {
			return
		}
		n = p.ownedNext
	}
}

// eachEphemeralFrom visits those of a session's ephemerals that can have a prefix,
// until visit is false, which looks itself: of a session that has few it sees all.
// Of one that has many it sees no others, in the order of their paths.
func (t *Tree) eachEphemeralFrom(id wire.SessionID, prefix string, visit func(n nodeID) bool) {
	x := t.sessions.sorted[id]
	if x == nil {
		t.eachEphemeral(id, visit)
		return
	}
	var buf [256]byte
	i, pos := x.search(t, bytesOf(prefix), buf[:0])
	for ; i < len(x.blocks); i, pos = i+1, 0 {
		for _, n := range x.blocks[i][pos:] {
			if !strings.HasPrefix(stringOf(t.appendPath(buf[:0], n)), prefix) || !visit(n) {
				return
			}
		}
	}
}

// readEphemerals lists the session's own ephemerals below a prefix, which is
// just the beginning of a string. One that is blank, or "/" among blanks, means
// all; as in ZooKeeper blanks count in any other.
func (t *Tree) readEphemerals(r *Reader, body, dst []byte) ([]byte, error) {
	var q wire.PathRequest
	d := wire.NewDecoder(body)
	if q.Decode(&d); d.Err() != nil {
		return dst, d.Err()
	}
	switch strings.TrimFunc(q.Path, func(r rune) bool { return r <= ' ' }) { // Java's trim
	case "", "/":
		q.Path = ""
	}
	start, count, max := len(dst), int32(0), len(dst)+ReplyBytesMax
	dst = wire.AppendInt32(dst, 0)
	visit := func(n nodeID) bool {
		from := len(dst)
		dst = wire.EndFrame(t.appendPath(wire.BeginFrame(dst), n), from) // a string has the form of a frame
		if !strings.HasPrefix(stringOf(dst[from+4:]), q.Path) {
			dst = dst[:from]
			return true
		}
		count++
		return len(dst) <= max
	}
	if q.Path == "" {
		t.eachEphemeral(r.Session, visit)
	} else {
		t.eachEphemeralFrom(r.Session, q.Path, visit)
	}
	if len(dst) > max {
		return dst[:start], errReplyTooLarge
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(count))
	return dst, nil
}
