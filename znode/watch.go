package znode

import (
	"strings"
	"sync"

	"zooid/wire"
)

// watchKinds is the set of watches that a connection has on one path.
type watchKinds uint8

const (
	dataWatch  watchKinds = 1 << iota // of exists and getData; used up by its event
	childWatch                        // of getChildren; used up by its event
	persistentWatch
	recursiveWatch

	// ZooKeeper keeps two tables; these are the kinds that lie in each.
	inDataTable  = dataWatch | persistentWatch | recursiveWatch
	inChildTable = childWatch | persistentWatch
	oneShot      = dataWatch | childWatch
)

// watch is all that one connection watches at one path.
type watch struct {
	path, conn             uint32 // in watchTable.paths and .conns
	nextOnPath, prevOnPath uint32 // in order of registration; the first's prev is the last
	nextOfConn, prevOfConn uint32 // newest first; the first's prev is 0
	kinds                  watchKinds
}

func (w *watch) link() *uint32 { return &w.nextOnPath }

// watchedPath is a path that somebody watches; there need not be a node.
type watchedPath struct {
	path      string
	first     uint32
	data      int32 // watches that lie in the data table
	recursive int32
}

func (p *watchedPath) link() *uint32 { return &p.first }

// watcher is a connection that watches something.
type watcher struct {
	id    ConnID
	fired uint64 // the last change of which it was told, see watchTable.change
	first uint32
	data  int32 // watches that lie in the data table
}

func (c *watcher) link() *uint32 { return &c.first }

type watchKey struct{ path, conn uint32 }

// watchTable holds all watches. They are not replicated and live as long as
// their connections.
//
// It has a mutex of its own, taken inside the tree's lock where both are held,
// since readers register watches beside each other under the read lock.
type watchTable struct {
	mu     sync.Mutex
	paths  arena[watchedPath, *watchedPath]
	conns  arena[watcher, *watcher]
	all    arena[watch, *watch]
	byPath map[string]uint32
	byConn map[ConnID]uint32
	byKey  map[watchKey]uint32
	change uint64 // counts changes, so that each is told to a connection once

	// recursiveLengths are those of the paths with recursive watches.
	recursiveLengths pathLengths

	dataPaths  int // figures of the two tables
	dataConns  int
	dataCount  int
	childCount int
}

func (w *watchTable) init() {
	w.byPath = make(map[string]uint32)
	w.byConn = make(map[ConnID]uint32)
	w.byKey = make(map[watchKey]uint32)
	w.recursiveLengths = make(pathLengths)
}

// add registers what is not registered yet. Path is cloned if kept.
func (w *watchTable) add(path string, conn ConnID, kinds watchKinds) {
	pi := w.byPath[path]
	if pi == 0 {
		var p *watchedPath
		pi, p = w.paths.alloc()
		p.path = strings.Clone(path)
		w.byPath[p.path] = pi
	}
	ci := w.byConn[conn]
	if ci == 0 {
		var c *watcher
		ci, c = w.conns.alloc()
		c.id = conn
		w.byConn[conn] = ci
	}
	key := watchKey{pi, ci}
	i := w.byKey[key]
	if i == 0 {
		i = w.link(pi, ci)
		w.byKey[key] = i
	}
	e := w.all.at(i)
	w.set(e, e.kinds|kinds)
}

// link makes a watch without kinds.
func (w *watchTable) link(pi, ci uint32) uint32 {
	i, e := w.all.alloc()
	e.path, e.conn = pi, ci
	p := w.paths.at(pi)
	if p.first == 0 {
		p.first, e.prevOnPath = i, i
	} else {
		first := w.all.at(p.first)
		e.prevOnPath = first.prevOnPath
		w.all.at(first.prevOnPath).nextOnPath = i
		first.prevOnPath = i
	}
	c := w.conns.at(ci)
	if e.nextOfConn = c.first; c.first != 0 {
		w.all.at(c.first).prevOfConn = i
	}
	c.first = i
	return i
}

// set changes a watch's kinds and the figures that depend on them.
func (w *watchTable) set(e *watch, kinds watchKinds) {
	p, c := w.paths.at(e.path), w.conns.at(e.conn)
	if d := inTable(kinds, inDataTable) - inTable(e.kinds, inDataTable); d != 0 {
		w.dataCount += int(d)
		if p.data += d; p.data == max(d, 0) {
			w.dataPaths += int(d)
		}
		if c.data += d; c.data == max(d, 0) {
			w.dataConns += int(d)
		}
	}
	w.childCount += int(inTable(kinds, inChildTable) - inTable(e.kinds, inChildTable))
	if d := inTable(kinds, recursiveWatch) - inTable(e.kinds, recursiveWatch); d != 0 {
		if p.recursive += d; p.recursive == max(d, 0) {
			w.recursiveLengths.add(p.path, int(d))
		}
	}
	e.kinds = kinds
}

// inTable is 1 if one of the kinds lies in the table, else 0.
func inTable(kinds, table watchKinds) int32 {
	if kinds&table != 0 {
		return 1
	}
	return 0
}

// keep leaves only some kinds of watch i, and removes it if none remain.
func (w *watchTable) keep(i uint32, kinds watchKinds) {
	e := w.all.at(i)
	w.set(e, e.kinds&kinds)
	if e.kinds != 0 {
		return
	}
	delete(w.byKey, watchKey{e.path, e.conn})
	w.unlinkPath(i, e)
	w.unlinkConn(e)
	w.all.release(i)
}

func (w *watchTable) unlinkPath(i uint32, e *watch) {
	p := w.paths.at(e.path)
	last := w.all.at(p.first).prevOnPath
	if p.first == i {
		p.first = e.nextOnPath
	} else {
		w.all.at(e.prevOnPath).nextOnPath = e.nextOnPath
	}
	switch {
	case e.nextOnPath != 0:
		w.all.at(e.nextOnPath).prevOnPath = e.prevOnPath
	case last == i && p.first != 0:
		w.all.at(p.first).prevOnPath = e.prevOnPath
	}
	if p.first == 0 {
		delete(w.byPath, p.path)
		w.paths.release(e.path)
	}
}

func (w *watchTable) unlinkConn(e *watch) {
	c := w.conns.at(e.conn)
	if e.prevOfConn != 0 {
		w.all.at(e.prevOfConn).nextOfConn = e.nextOfConn
	} else {
		c.first = e.nextOfConn
	}
	if e.nextOfConn != 0 {
		w.all.at(e.nextOfConn).prevOfConn = e.prevOfConn
	}
	if c.first == 0 {
		delete(w.byConn, c.id)
		w.conns.release(e.conn)
	}
}

// find is conn's watch at path, or 0.
func (w *watchTable) find(path string, conn ConnID) uint32 {
	pi, ci := w.byPath[path], w.byConn[conn]
	if pi == 0 || ci == 0 {
		return 0
	}
	return w.byKey[watchKey{pi, ci}]
}

// kindsOf are the kinds that checkWatches and removeWatches mean by a type.
func kindsOf(typ wire.WatcherType) watchKinds {
	switch typ {
	case wire.WatcherChildren:
		return childWatch
	case wire.WatcherData:
		return dataWatch
	case wire.WatcherPersistent:
		return persistentWatch
	case wire.WatcherPersistentRecursive:
		return recursiveWatch
	}
	return dataWatch | childWatch | persistentWatch | recursiveWatch
}

// has tells whether conn has a watch of this type at path.
func (w *watchTable) has(path string, conn ConnID, typ wire.WatcherType) bool {
	i := w.find(path, conn)
	return i != 0 && w.all.at(i).kinds&kindsOf(typ) != 0
}

// remove takes conn's watches of this type at path away; false if there are none.
func (w *watchTable) remove(path string, conn ConnID, typ wire.WatcherType) bool {
	if !w.has(path, conn, typ) {
		return false
	}
	w.keep(w.find(path, conn), ^kindsOf(typ))
	return true
}

// trigger appends to dst every connection that is to be told of a change, each
// once, and uses up the one-shot watches that it touches.
func (w *watchTable) trigger(dst []ConnID, typ wire.EventType, path string) []ConnID {
	w.change++
	at := inDataTable
	switch typ {
	case wire.EventNodeDeleted: // both tables, the data table first
		at = inDataTable | inChildTable
	case wire.EventNodeChildrenChanged:
		at = inChildTable
	}
	if pi := w.byPath[path]; pi != 0 {
		dst = w.triggerAt(dst, pi, at)
	}
	if len(w.recursiveLengths) == 0 || typ == wire.EventNodeChildrenChanged {
		return dst
	}
	for path != "/" {
		if path, _ = splitPath(path); path == "" {
			path = "/"
		}
		if !w.recursiveLengths.has(path) {
			continue
		}
		if pi := w.byPath[path]; pi != 0 && w.paths.at(pi).recursive > 0 {
			dst = w.triggerAt(dst, pi, recursiveWatch)
		}
	}
	return dst
}

func (w *watchTable) triggerAt(dst []ConnID, pi uint32, kinds watchKinds) []ConnID {
	for i := w.paths.at(pi).first; i != 0; {
		e := w.all.at(i)
		next := e.nextOnPath
		if e.kinds&kinds != 0 {
			if c := w.conns.at(e.conn); c.fired != w.change {
				c.fired = w.change
				dst = append(dst, c.id)
			}
			w.keep(i, ^(kinds & oneShot))
		}
		i = next
	}
	return dst
}

// fire puts an event in out if somebody watches.
func (t *Tree) fire(out *Applied, typ wire.EventType, path string, acl aclEntry) {
	if path == "" {
		path = "/"
	}
	w := &t.watches
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.byKey) == 0 {
		return
	}
	start := len(out.watchers)
	out.watchers = w.trigger(out.watchers, typ, path)
	if end := len(out.watchers); end > start {
		out.Events = append(out.Events, Event{
			Type: typ, Path: path, Zxid: out.Zxid, ACL: acl.acl, aclNo: acl.no, Watchers: out.watchers[start:end:end],
		})
	}
}

// watch registers a watch of a reader, who holds RLock.
func (t *Tree) watch(path string, conn ConnID, kinds watchKinds) {
	t.watches.mu.Lock()
	t.watches.add(path, conn, kinds)
	t.watches.mu.Unlock()
}

// watchPiece is the number of watches, or of watched paths, that are dealt with
// in one hold of the mutex where there may be very many.
const watchPiece = 512

// DropWatcher forgets all watches of a connection that is gone. It needs no
// lock of the tree's.
func (t *Tree) DropWatcher(c ConnID) {
	for t.watches.drop(c, watchPiece) {
	}
}

// drop forgets up to max watches of conn, and tells whether there are more.
func (w *watchTable) drop(conn ConnID, max int) (more bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ; max > 0; max-- {
		ci := w.byConn[conn]
		if ci == 0 {
			return false
		}
		w.keep(w.conns.at(ci).first, 0)
	}
	return true
}

// WatchCount is the number of watches, a persistent one counting twice, since
// it lies in ZooKeeper's data table and in its child table.
func (t *Tree) WatchCount() int {
	t.watches.mu.Lock()
	defer t.watches.mu.Unlock()
	return t.watches.dataCount + t.watches.childCount
}

// WatchStats describes the data watches, as the word wchs does: connections
// that have some, paths that are watched, and their number.
// Like Totals it waits for nobody.
func (t *Tree) WatchStats() (conns, paths, total int) {
	t.publishWatches()
	p := &t.published
	return int(p.watchConns.Load()), int(p.watchPaths.Load()), int(p.watchTotal.Load())
}

// DumpWatches visits the data watches by path, for the words wchp and wchc.
// conns is valid during the call. The watches are not held still: what is set
// or used up meanwhile may be seen or not.
func (t *Tree) DumpWatches(visit func(path string, conns []ConnID)) {
	w := &t.watches
	type piece struct {
		path  string
		conns int
	}
	var pieces []piece
	var conns []ConnID
	for next, more := uint32(1), true; more; {
		pieces, conns = pieces[:0], conns[:0]
		w.mu.Lock()
		end := min(next+watchPiece, w.paths.used+1)
		for ; next < end; next++ {
			p := w.paths.at(next)
			if p.path == "" || p.data == 0 {
				continue
			}
			start := len(conns)
			for i := p.first; i != 0; i = w.all.at(i).nextOnPath {
				if e := w.all.at(i); e.kinds&inDataTable != 0 {
					conns = append(conns, w.conns.at(e.conn).id)
				}
			}
			pieces = append(pieces, piece{p.path, len(conns) - start})
		}
		more = next <= w.paths.used
		w.mu.Unlock()
		rest := conns
		for _, p := range pieces {
			visit(p.path, rest[:p.conns])
			rest = rest[p.conns:]
		}
	}
}
