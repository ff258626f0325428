package peer

import (
	"zooid/session"
	"zooid/wire"
	"zooid/znode"
)

// Attach gives a connection a session: a new one for session 0, else the one
// that it names, if the password is right. timeoutMs is negotiated already.
// The answer to a new session is the outcome of its transaction, to a
// re-attachment it comes with Ready.
//
// The cxid of a createSession, which nobody else reads, tells every member how
// the session's password was made.
func (p *Peer) Attach(conn znode.ConnID, id wire.SessionID, passwd []byte, timeoutMs int32, timeMs int64) {
	if id == 0 {
		id = p.ids.Next()
		p.propose(&znode.Request{Conn: conn, Session: id, Cxid: session.CxidKeyed, Op: wire.OpCreateSession, TimeoutMs: timeoutMs}, timeMs)
		return
	}
	a := Attached{Conn: conn}
	_, scheme, ok := p.tree.Session(id)
	// A session whose end is under way because its time is over cannot be
	// touched, and is as good as gone.
	if ok && p.cfg.Keys.Check(id, passwd, scheme) && p.tracker.Touch(id, p.clock.Now()) {
		a.Session, a.TimeoutMs = id, timeoutMs
		// What the client showed is what it keeps: a session that came from
		// Java's files goes on with Java's password.
		copy(a.Passwd[:], passwd)
		p.tracker.SetTimeout(id, timeoutMs)
	}
	p.ready.Attached = append(p.ready.Attached, a)
}

// Password is what a client of this member's own session id is given.
func (p *Peer) Password(id wire.SessionID) [16]byte { return p.cfg.Keys.Password(id) }

// Advance moves the session clock by the time that has passed since the last
// call, gapMs, of which expectedMs was the plan. Of a gap far beyond the plan
// only a small part counts: the member was stopped or starved, and what its
// clients sent meanwhile is still to be read. It reports whether sessions may
// be due, so that Touch and Expire should follow.
func (p *Peer) Advance(gapMs, expectedMs int64) bool {
	before := p.clock.Now() / p.cfg.TickMs
	p.clock.Advance(gapMs, expectedMs)
	return p.clock.Now()/p.cfg.TickMs != before
}

// SessionNow is the session clock in ms.
func (p *Peer) SessionNow() int64 { return p.clock.Now() }

// Touch says that a session was heard from at the given ms of the session
// clock.
func (p *Peer) Touch(id wire.SessionID, at int64) { p.tracker.Touch(id, at) }

// Expire proposes the end of every session whose time is over.
func (p *Peer) Expire(timeMs int64) {
	for _, id := range p.tracker.Due(p.clock.Now()) {
		p.propose(&znode.Request{Session: id, Op: wire.OpCloseSession}, timeMs)
	}
}

// SessionBuckets visits the sessions by the time of the session clock at which
// they expire unless they are heard from, for the word dump.
func (p *Peer) SessionBuckets() []session.Bucket { return p.tracker.Buckets() }
