package peer

import (
	"fmt"
	"maps"
	"slices"

	"zooid/wire"
	"zooid/znode"
)

// clientsOf does what a server does for its clients.
func (w *world) clientsOf(m *member, rd *Ready) {
	for _, a := range rd.Attached {
		w.attached(m, a.Conn, a.Session, a.TimeoutMs)
	}
	for _, d := range rd.Dropped {
		w.say("%d: conn %d dropped: %s", m.sid, d.Conn, d.Reason)
		w.disconnect(m, d.Conn)
	}
	if s := rd.Serving; s != nil {
		m.told = *s
		switch {
		case s.State != wire.Looking:
			w.say("%d: %v leader=%d epoch=%d", m.sid, s.State, s.Leader, s.Epoch)
		case s.Held:
			w.say("%d: %v, clients held: %s", m.sid, s.State, s.Reason)
		default:
			w.say("%d: %v: %s", m.sid, s.State, s.Reason)
			for _, conn := range slices.Sorted(maps.Keys(m.clients)) {
				w.disconnect(m, conn)
			}
		}
	}
	if rd.WantAttached {
		var list []Attachment
		for _, conn := range slices.Sorted(maps.Keys(m.clients)) {
			if c := m.clients[conn]; c.session != 0 {
				list = append(list, Attachment{c.conn, c.session, c.timeoutMs})
			}
		}
		m.peer.Resume(list)
	}
	if rd.WantTouched {
		w.touch(m)
		m.peer.Touched()
	}
}

func (w *world) disconnect(m *member, conn znode.ConnID) {
	if c := m.clients[conn]; c != nil {
		delete(m.clients, conn)
		if m.said[c.session] == c {
			delete(m.said, c.session)
		}
	}
}

func (w *world) attached(m *member, conn znode.ConnID, id wire.SessionID, timeoutMs int32) {
	c := m.clients[conn]
	if c == nil {
		return
	}
	w.say("%d: conn %d has %s timeout=%d", m.sid, conn, w.name(id), timeoutMs)
	if id == 0 {
		w.disconnect(m, conn)
		return
	}
	c.session, c.timeoutMs, c.heard = id, timeoutMs, m.peer.SessionNow()+testGap
	m.said[id] = c
}

// name is how a session is called in transcripts.
func (w *world) name(id wire.SessionID) string {
	if id == 0 {
		return "no session"
	}
	if w.names[id] == "" {
		w.names[id] = fmt.Sprintf("s%d", len(w.names)+1)
		w.ids[w.names[id]] = id
	}
	return w.names[id]
}

func (w *world) applied(m *member, a *znode.Applied) {
	if a.Created != 0 && a.Conn != 0 {
		w.attached(m, a.Conn, a.Created, a.TimeoutMs)
		a.Conn = 0
	}
	m.digests[a.Zxid] = m.tree.Digest()
	if c := m.clients[a.Conn]; c != nil {
		if w.replied != nil {
			w.replied(m, c, a)
		}
		text := fmt.Sprintf("%d: conn %d cxid %d %v", m.sid, a.Conn, a.Cxid, a.Op)
		if a.Path != "" {
			text += " " + a.Path
		}
		if a.Err != wire.OK {
			text += ": " + a.Err.Error()
		}
		for _, r := range a.Multi {
			text += fmt.Sprintf(" [%v %d]", r.Op, r.Err)
		}
		w.say("%s (%v)", text, a.Zxid)
		if a.Err == wire.ErrSessionMoved {
			w.disconnect(m, a.Conn)
		}
	}
	if a.Closed != 0 {
		if c := m.said[a.Closed]; c != nil {
			w.say("%d: conn %d ends with %s", m.sid, c.conn, w.name(a.Closed))
			w.disconnect(m, c.conn)
		}
	}
}
