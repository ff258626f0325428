package znode

import (
	"slices"
	"strings"

	"zooid/wire"
)

// The kept bits of a node say where the durable copy stands with it. There are
// two generations of changes at most: the current one, which goes on, and the
// frozen one, which a Cut is draining. They swap places at every Cut, and so do
// the two bits of each kind.
const (
	keptChanged uint8 = 1 << 0 // shifted by the generation: was changed or made in it
	keptMade    uint8 = 1 << 2 // shifted by the generation: was made in it
)

// changes remembers what differs from the durable copy.
type changes struct {
	on       bool
	gen      uint8                   // 0 or 1: the current generation
	nodes    idList                  // changed in it; may name some twice, and nodes that are gone
	deleted  []string                // existed at the last cut
	sessions map[wire.SessionID]bool // changed in it; whether they existed at the last cut
	since    wire.Zxid               // of the last cut
	cut      *Cut                    // being drained, nil if none
}

// idList is a list that grows without copying what it has: at a million
// entries a copy would hold the lock for milliseconds.
type idList struct {
	chunks []*[idChunk]nodeID
	len    int
}

const idChunk = 4096

func (l *idList) add(n nodeID) {
	if l.len == len(l.chunks)*idChunk {
		l.chunks = append(l.chunks, new([idChunk]nodeID))
	}
	l.chunks[l.len/idChunk][l.len%idChunk] = n
	l.len++
}

func (l *idList) at(i int) nodeID { return l.chunks[i/idChunk][i%idChunk] }

// SessionChange is a session that was created, changed or, with Closed set,
// ended.
type SessionChange struct {
	ID        wire.SessionID
	TimeoutMs int32
	Cxid      int32
	Closed    bool
}

// Cut is the difference between the states at the previous cut's zxid and at
// its own: Deleted, to be applied first, then what Drain yields, and Sessions.
type Cut struct {
	Zxid     wire.Zxid
	Digest   uint64
	Deleted  []string // a path may have been made again, then Drain yields it
	Sessions []SessionChange

	tree  *Tree
	gen   uint8
	nodes idList // changed; those whose frozen bit is gone were saved or freed
	next  int
	saved []savedRecord // frozen states of nodes that were changed again meanwhile
	path  []byte

	dropped bool // the tree has other content now, see Adopt
}

type savedRecord struct {
	path string
	rec  Record
}

// TrackChanges begins to remember changes, for Cut. It is called once, when the
// durable copy and the tree are the same.
func (t *Tree) TrackChanges() {
	t.changes.on = true
	t.changes.since = t.zxid
	t.changes.sessions = make(map[wire.SessionID]bool)
}

// Cut freezes the changes since the previous cut; the state is that of
// LastZxid. It takes a moment that does not depend on their number, except that
// of sessions. It is nil if nothing happened since, or if the previous cut is
// not drained yet. The caller holds Lock.
func (t *Tree) Cut() *Cut {
	c := &t.changes
	if !c.on || c.cut != nil || c.since == t.zxid && c.nodes.len == 0 && len(c.deleted) == 0 && len(c.sessions) == 0 {
		return nil
	}
	cut := &Cut{
		Zxid: t.zxid, Digest: t.sum.tree, Deleted: c.deleted, Sessions: t.sessionChanges(),
		tree: t, gen: c.gen, nodes: c.nodes,
	}
	c.gen ^= 1
	c.nodes, c.deleted = idList{}, nil
	c.since = t.zxid
	c.cut = cut
	return cut
}

// sessionChanges is the net difference of the session table, by id.
func (t *Tree) sessionChanges() []SessionChange {
	var list []SessionChange
	for id, existed := range t.changes.sessions {
		timeoutMs, cxid, exists := t.Session(id)
		if exists || existed {
			list = append(list, SessionChange{ID: id, TimeoutMs: timeoutMs, Cxid: cxid, Closed: !exists})
		}
	}
	slices.SortFunc(list, func(a, b SessionChange) int {
		switch {
		case a.ID < b.ID:
			return -1
		case a.ID > b.ID:
			return 1
		}
		return 0
	})
	clear(t.changes.sessions)
	return list
}

// Drain yields up to max more records of the cut, and tells whether there may
// be more. It holds the tree's RLock meanwhile, so max bounds how long the loop
// may have to wait. Both path and r are valid during visit only. One goroutine
// drains; the order of records means nothing.
func (c *Cut) Drain(max int, visit func(path []byte, r *Record)) (more bool) {
	t := c.tree
	t.RLock()
	defer t.RUnlock()
	if c.dropped {
		return false
	}
	var r Record
	for ; max > 0 && c.next < c.nodes.len; max-- {
		n := c.nodes.at(c.next)
		c.next++
		p := t.nodes.at(uint32(n))
		if p.kept&(keptChanged<<c.gen) == 0 {
			continue
		}
		p.kept &^= (keptChanged | keptMade) << c.gen
		t.record(n, &r)
		c.path = t.appendPath(c.path[:0], n)
		visit(c.path, &r)
	}
	// Nothing is saved any more once the last node has been passed.
	for ; max > 0 && c.next == c.nodes.len && len(c.saved) > 0; max-- {
		last := len(c.saved) - 1
		c.path = append(c.path[:0], c.saved[last].path...)
		visit(c.path, &c.saved[last].rec)
		c.saved[last] = savedRecord{}
		c.saved = c.saved[:last]
	}
	if c.next < c.nodes.len || len(c.saved) > 0 {
		return true
	}
	c.nodes = idList{}
	t.changes.cut = nil
	return false
}

// record fills r with n's state, aliasing the tree.
func (t *Tree) record(n nodeID, r *Record) {
	r.Data = t.data(n)
	r.ACL = nil
	if id := t.nodes.at(uint32(n)).acl; id != openACL {
		r.ACL = t.acls.list(id)
	}
	r.Stat = t.persisted(n)
}

// thaw saves the frozen state of a node that is about to be changed or deleted
// before its cut has been drained that far.
func (c *changes) thaw(t *Tree, n nodeID, p *node) {
	frozen := c.gen ^ 1
	if p.kept&(keptChanged<<frozen) == 0 {
		return
	}
	p.kept &^= (keptChanged | keptMade) << frozen
	s := savedRecord{path: t.path(n)}
	t.record(n, &s.rec)
	if s.rec.Data != nil {
		s.rec.Data = append([]byte{}, s.rec.Data...)
	}
	c.cut.saved = append(c.cut.saved, s)
}

// touch comes before every change of what a Record holds of a node.
func (c *changes) touch(t *Tree, n nodeID, p *node) {
	if !c.on {
		return
	}
	c.thaw(t, n, p)
	if bit := keptChanged << c.gen; p.kept&bit == 0 {
		p.kept |= bit
		c.nodes.add(n)
	}
}

// created comes after a node was made.
func (c *changes) created(n nodeID, p *node) {
	if c.on {
		p.kept = (keptChanged | keptMade) << c.gen
		c.nodes.add(n)
	}
}

// gone comes before a node is deleted.
func (c *changes) gone(t *Tree, n nodeID, p *node, path string) {
	if !c.on {
		return
	}
	c.thaw(t, n, p)
	if p.kept&(keptMade<<c.gen) == 0 {
		c.deleted = append(c.deleted, strings.Clone(path))
	}
}

// session comes before a change of the session table.
func (c *changes) session(id wire.SessionID, exists bool) {
	if !c.on {
		return
	}
	if _, ok := c.sessions[id]; !ok {
		c.sessions[id] = exists
	}
}
