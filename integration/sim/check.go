package main

import (
	"zooid/wire"
	"zooid/znode"
)

// attached is the answer to an attachment.
func (w *world) attached(conn znode.ConnID, id wire.SessionID, timeoutMs int32, passwd [16]byte) {
	c := w.client(conn)
	if c == nil {
		return // the connection is gone
	}
	w.observe("attached %d %v", c.n, id)
	if id == 0 {
		if l := w.sessions[c.session]; l != nil && !l.asked {
			w.fail("client %d: live session %v refused", c.n, c.session)
		}
		w.note("re-attachment refused")
		delete(w.conns, conn)
		c.conn, c.session = 0, 0
		return
	}
	if c.session == id {
		w.note("re-attachment")
	}
	c.session, c.passwd, c.ready = id, passwd, true
	// The end of the session may have been asked for on an earlier connection.
	l := w.sessions[id]
	if l == nil {
		l = new(life)
		w.sessions[id] = l
	}
	l.timeoutMs = int64(timeoutMs)
	c.hear(w)
}

// applied is the outcome of one transaction or sync.
func (w *world) applied(a *znode.Applied) {
	if a.Op == wire.OpSync {
		w.outcome(a)
		return
	}
	if a.Zxid != w.tree.LastZxid() {
		w.fail("outcome of %v while the tree is at %v", a.Zxid, w.tree.LastZxid())
	}
	if a.Zxid > w.log[w.durable-1].Zxid {
		w.fail("%v applied, durable only %v", a.Zxid, w.log[w.durable-1].Zxid)
	}
	w.digests[a.Zxid] = w.tree.Digest()
	w.observe("%v %v %v %x", a.Zxid, a.Op, a.Err, w.tree.Digest())
	w.events(a)
	if a.Created != 0 {
		w.sessions[a.Created] = &life{timeoutMs: int64(a.TimeoutMs), heard: w.heard}
		w.attached(a.Conn, a.Created, a.TimeoutMs, w.peer.Password(a.Created))
		w.acked = a.Zxid
		return
	}
	if a.Closed != 0 {
		w.closed(a)
	}
	w.outcome(a)
}

// closed checks that a session did not end too early, nor leave anything.
func (w *world) closed(a *znode.Applied) {
	l := w.sessions[a.Closed]
	if l == nil {
		w.fail("unknown session %v closed", a.Closed)
	}
	if silent := w.heard - l.heard; !l.asked {
		if silent < l.timeoutMs {
			w.fail("session %v ended after %d ms of silence, its timeout is %d", a.Closed, silent, l.timeoutMs)
		}
		w.note("expiry")
	}
	delete(w.sessions, a.Closed)
	if left := w.tree.Ephemerals(a.Closed); len(left) > 0 {
		w.fail("session %v has ended, its ephemerals %v are there", a.Closed, left)
	}
	for _, c := range w.clients {
		if c.session == a.Closed && c.conn != a.Conn {
			c.drop()
		}
	}
}

// events checks that each one-shot watch fires at most once, and only armed.
func (w *world) events(a *znode.Applied) {
	for _, e := range a.Events {
		if e.Zxid != a.Zxid {
			w.fail("event of %v carries %v", a.Zxid, e.Zxid)
		}
		for _, conn := range e.Watchers {
			if !w.watches[conn][e.Path] {
				w.fail("connection %d gets %v of %s without a watch", conn, e.Type, e.Path)
			}
			delete(w.watches[conn], e.Path)
			w.note("event")
		}
		w.observe("event %v %s %d", e.Type, e.Path, len(e.Watchers))
	}
}

// outcome checks that it is the one that its connection waits for next.
func (w *world) outcome(a *znode.Applied) {
	c := w.client(a.Conn)
	if a.Conn == 0 || c == nil {
		return
	}
	// A sync may overtake the connection's own writes here; the server holds
	// its reply back.
	at := 0
	if a.Op == wire.OpSync {
		for at < len(c.waiting) && c.waiting[at].cxid != a.Cxid {
			at++
		}
	}
	if at >= len(c.waiting) {
		w.fail("client %d gets an outcome of %v that it does not wait for", c.n, a.Op)
	}
	want := c.waiting[at]
	if want.cxid != a.Cxid || want.op != a.Op {
		w.fail("client %d waits for %v %d, gets %v %d", c.n, want.op, want.cxid, a.Op, a.Cxid)
	}
	c.waiting = append(c.waiting[:at], c.waiting[at+1:]...)
	if a.Op != wire.OpSync {
		if a.Zxid <= c.lastZxid {
			w.fail("client %d goes back from %v to %v", c.n, c.lastZxid, a.Zxid)
		}
		c.lastZxid, w.acked = a.Zxid, a.Zxid
	}
	if a.Err != wire.OK {
		w.note("refused: " + a.Err.Error())
	}
	if a.Op == wire.OpCloseSession {
		c.drop()
		c.session = 0
	}
	if a.Err == wire.OK && a.Op == wire.OpCreate && len(w.watches[a.Conn]) > 0 {
		w.note("write with watches armed")
	}
}
