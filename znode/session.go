package znode

import (
	"fmt"

	"zooid/wire"
)

// ownedList links the nodes of one owner in order of creation: a session's
// ephemerals, or all containers and TTL nodes. It is linked as siblings are:
// the first's ownedPrev is the last.
type ownedList struct {
	first nodeID
	count int32
}

func (l *ownedList) add(t *Tree, n nodeID, p *node) {
	l.count++
	if l.first == 0 {
		l.first, p.ownedPrev = n, n
		return
	}
	first := t.nodes.at(uint32(l.first))
	p.ownedPrev = first.ownedPrev
	t.nodes.at(uint32(first.ownedPrev)).ownedNext = n
	first.ownedPrev = n
}

func (l *ownedList) remove(t *Tree, n nodeID, p *node) {
	l.count--
	last := t.nodes.at(uint32(l.first)).ownedPrev
	if l.first == n {
		l.first = p.ownedNext
	} else {
		t.nodes.at(uint32(p.ownedPrev)).ownedNext = p.ownedNext
	}
	switch {
	case p.ownedNext != 0:
		t.nodes.at(uint32(p.ownedNext)).ownedPrev = p.ownedPrev
	case last == n && l.first != 0:
		t.nodes.at(uint32(l.first)).ownedPrev = p.ownedPrev
	}
	p.ownedNext, p.ownedPrev = 0, 0
}

// session is an entry of the replicated session table, or only the owner of
// ephemerals, if a snapshot has nodes of a session that it does not list.
type session struct {
	id         wire.SessionID
	ephemerals ownedList
	timeoutMs  int32
	cxid       int32
	exists     bool // is in the replicated table
	next       uint32
}

func (s *session) link() *uint32 { return &s.next }

// sessionTable finds sessions by id, and lists them in an order that depends
// on nothing but history.
type sessionTable struct {
	byID       map[wire.SessionID]uint32
	all        arena[session, *session]
	count      int // in the replicated table
	ephemerals int

	// sorted has the ephemerals of each session that has many, by path.
	sorted map[wire.SessionID]*pathIndex
}

func (s *sessionTable) init() {
	s.byID = make(map[wire.SessionID]uint32)
	s.sorted = make(map[wire.SessionID]*pathIndex)
}

func (s *sessionTable) get(id wire.SessionID) *session {
	if i := s.byID[id]; i != 0 {
		return s.all.at(i)
	}
	return nil
}

func (s *sessionTable) ensure(id wire.SessionID) *session {
	if e := s.get(id); e != nil {
		return e
	}
	i, e := s.all.alloc()
	e.id = id
	s.byID[id] = i
	return e
}

// tidy forgets an entry that stands for nothing any more.
func (s *sessionTable) tidy(e *session) {
	if e.exists || e.ephemerals.count > 0 {
		return
	}
	i := s.byID[e.id]
	delete(s.byID, e.id)
	s.all.release(i)
}

func (s *sessionTable) visit(visit func(e *session)) {
	for i := uint32(1); i <= s.all.used; i++ {
		if e := s.all.at(i); e.exists || e.ephemerals.count > 0 {
			visit(e)
		}
	}
}

// own enters n in its owner's list; nothing for a persistent node.
func (t *Tree) own(n nodeID, p *node) {
	switch kind, _ := t.kindOf(p.owner); kind {
	case wire.OwnerSession:
		t.sessions.ephemerals++
		e := t.sessions.ensure(wire.SessionID(p.owner))
		e.ephemerals.add(t, n, p)
		t.sortOwned(e, n)
	case wire.OwnerContainer, wire.OwnerTTL:
		t.reapable.add(t, n, p)
	}
}

// disown takes n out of its owner's list.
func (t *Tree) disown(n nodeID, p *node) {
	switch kind, _ := t.kindOf(p.owner); kind {
	case wire.OwnerSession:
		t.sessions.ephemerals--
		e := t.sessions.get(wire.SessionID(p.owner))
		e.ephemerals.remove(t, n, p)
		t.unsortOwned(e, n)
		t.sessions.tidy(e)
	case wire.OwnerContainer, wire.OwnerTTL:
		if t.reaper == n {
			t.reaper = p.ownedNext
		}
		t.reapable.remove(t, n, p)
	}
}

// createSession enters a session in the table, or changes its timeout.
func (t *Tree) createSession(id wire.SessionID, timeoutMs, cxid int32) {
	e := t.sessions.ensure(id)
	t.changes.session(id, e.exists)
	if !e.exists {
		e.exists = true
		t.sessions.count++
	}
	e.timeoutMs, e.cxid = timeoutMs, cxid
}

// endSession takes a session out of the table, whose ephemerals have gone.
func (t *Tree) endSession(id wire.SessionID) {
	e := t.sessions.get(id)
	if e == nil {
		return
	}
	if e.exists {
		t.changes.session(id, true)
		e.exists = false
		t.sessions.count--
	}
	t.sessions.tidy(e)
}

// Session looks a session up in the replicated table. Cxid is that of its
// createSession txn, which tells how its password is made: 0 for ZooKeeper's
// own scheme, 1 for a keyed one, -1 if unknown.
func (t *Tree) Session(id wire.SessionID) (timeoutMs, cxid int32, ok bool) {
	if e := t.sessions.get(id); e != nil && e.exists {
		return e.timeoutMs, e.cxid, true
	}
	return 0, 0, false
}

// Sessions visits the replicated table, in no order that means anything but
// the same for the same history.
func (t *Tree) Sessions(visit func(id wire.SessionID, timeoutMs, cxid int32)) {
	t.sessions.visit(func(e *session) {
		if e.exists {
			visit(e.id, e.timeoutMs, e.cxid)
		}
	})
}

// SessionCount is the size of the replicated table.
func (t *Tree) SessionCount() int { return t.sessions.count }

// Ephemerals lists the paths of a session's ephemerals, oldest first, in memory
// of their own.
func (t *Tree) Ephemerals(id wire.SessionID) []string {
	e := t.sessions.get(id)
	if e == nil {
		return nil
	}
	paths := make([]string, 0, e.ephemerals.count)
	t.eachEphemeral(id, func(n nodeID) bool { paths = append(paths, t.path(n)); return true })
	return paths
}

// FirstEphemerals is Ephemerals for the first max of them.
func (t *Tree) FirstEphemerals(id wire.SessionID, max int) []string {
	var paths []string
	t.eachEphemeral(id, func(n nodeID) bool {
		if len(paths) < max {
			paths = append(paths, t.path(n))
		}
		return len(paths) < max
	})
	return paths
}

// EphemeralOwners visits every session that has ephemerals and tells whether it
// is in the replicated table: a fuzzy snapshot of ZooKeeper's can hold nodes of
// sessions that are gone.
func (t *Tree) EphemeralOwners(visit func(id wire.SessionID, ephemerals int, exists bool)) {
	t.sessions.visit(func(e *session) {
		if e.ephemerals.count > 0 {
			visit(e.id, int(e.ephemerals.count), e.exists)
		}
	})
}

// EphemeralCount is the number of ephemerals in the tree.
func (t *Tree) EphemeralCount() int { return t.sessions.ephemerals }

// reapScan bounds the nodes that one call of Reapable looks at.
const reapScan = 1 << 16

// Reapable lists containers and TTL nodes to delete, at most max: containers
// that lost their last child, or, if maxNeverUsedMs is above 0, that never had
// one and are older than that; TTL nodes without children whose data is older
// than their TTL. Both ages count from mtime, as in ZooKeeper's ContainerManager.
// Only the loop may call it: each call goes on where the last one ended, and
// looks at 65536 nodes at most.
func (t *Tree) Reapable(nowMs, maxNeverUsedMs int64, max int) []string {
	var paths []string
	n := t.reaper
	for left := min(int(t.reapable.count), reapScan); left > 0 && len(paths) < max; left-- {
		if n == 0 {
			n = t.reapable.first
		}
		p := t.nodes.at(uint32(n))
		if p.dir == 0 && t.isReapable(p, nowMs, maxNeverUsedMs) {
			paths = append(paths, t.path(n))
		}
		n = p.ownedNext
	}
	t.reaper = n
	return paths
}

func (t *Tree) isReapable(p *node, nowMs, maxNeverUsedMs int64) bool {
	kind, ttlMs := t.kindOf(p.owner)
	switch {
	case kind == wire.OwnerTTL:
		return ttlMs != 0 && nowMs-p.mtime > ttlMs
	case kind != wire.OwnerContainer:
		panic(fmt.Sprintf("znode: a node with owner %#x is on the list of containers", p.owner))
	case p.cversion > 0:
		return true
	}
	return maxNeverUsedMs > 0 && nowMs-p.mtime > maxNeverUsedMs
}
