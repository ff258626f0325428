package znode

import "zooid/wire"

// undoLog remembers what a multi changes in a view, so that a part that is
// refused takes the parts before it back. Outside a multi it is off: a single
// operation notes changes only after its last check.
type undoLog struct {
	on       bool
	digest   uint64
	notes    int // how many there were
	nodes    []undoNode
	sessions []undoSession
}

type undoNode struct {
	path string
	old  pendingNode
	had  bool // else there was no entry
}

type undoSession struct {
	id  wire.SessionID
	old pendingSession
	had bool
}

func (u *undoLog) node(path string, p *pendingNode) {
	if !u.on {
		return
	}
	e := undoNode{path: path, had: p != nil}
	if p != nil {
		e.old = *p
	}
	u.nodes = append(u.nodes, e)
}

func (u *undoLog) session(id wire.SessionID, s *pendingSession) {
	if !u.on {
		return
	}
	e := undoSession{id: id, had: s != nil}
	if s != nil {
		e.old = *s
	}
	u.sessions = append(u.sessions, e)
}

// begin starts to remember.
func (v *View) begin() {
	v.undo.on, v.undo.digest, v.undo.notes = true, v.digest, len(v.notes)
}

// keep ends what begin started; the changes stay.
func (v *View) keep() {
	u := &v.undo
	clear(u.nodes)
	clear(u.sessions)
	u.on, u.nodes, u.sessions = false, u.nodes[:0], u.sessions[:0]
}

// rollback ends what begin started; the view is as it was then.
func (v *View) rollback() {
	u := &v.undo
	for i := len(u.nodes) - 1; i >= 0; i-- {
		e := &u.nodes[i]
		p := v.nodes[e.path]
		if e.had {
			*p = e.old
		} else {
			delete(v.nodes, e.path)
			v.recycle(p)
		}
	}
	for i := len(u.sessions) - 1; i >= 0; i-- {
		e := &u.sessions[i]
		if e.had {
			*v.sessions[e.id] = e.old
		} else {
			delete(v.sessions, e.id)
		}
	}
	v.digest = u.digest
	clear(v.notes[u.notes:])
	v.notes = v.notes[:u.notes]
	v.keep()
}
