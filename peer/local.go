package peer

import (
	"zooid/session"
	"zooid/wire"
	"zooid/znode"
)

// localSessions are the sessions that only this member knows: they cost no
// transaction, move nowhere and own no ephemerals. Read-only clients of a member
// without a leader have such sessions too.
type localSessions struct {
	sessions map[wire.SessionID]*localSession
	tracker  *session.Tracker
}

type localSession struct {
	timeoutMs int32
	upgrading bool // its createSession is under way
}

func (l *localSessions) init(tickMs int64) {
	l.sessions = map[wire.SessionID]*localSession{}
	l.tracker = session.NewTracker(tickMs)
}

// serve prepares for a role: time in which nobody could be heard does not
// count. Without wanted, those that were made for read-only clients go.
func (l *localSessions) serve(now int64, wanted bool) {
	for id, s := range l.sessions {
		l.tracker.Remove(id)
		if wanted {
			l.tracker.Add(id, s.timeoutMs, now)
		} else {
			delete(l.sessions, id)
		}
	}
}

// endRole forgets the upgrades under way. If they are committed all the same, the
// sessions leave when that is applied.
func (l *localSessions) endRole() {
	for _, s := range l.sessions {
		s.upgrading = false
	}
}

func (l *localSessions) forget(id wire.SessionID) {
	if len(l.sessions) > 0 {
		delete(l.sessions, id)
		l.tracker.Remove(id)
	}
}

// touch is false if the session is not local.
func (l *localSessions) touch(id wire.SessionID, at int64) bool {
	return len(l.sessions) > 0 && l.sessions[id] != nil && l.tracker.Touch(id, at)
}

// localScheme is how the passwords of local sessions are made. In an ensemble a
// session may be upgraded under a leader that knows only ZooKeeper's way.
func (p *Peer) localScheme() int32 {
	if p.alone {
		return session.CxidKeyed
	}
	return session.CxidJava
}

// upgraded forgets the sessions whose upgrade this member has not seen as a
// transaction: it came in a snapshot. Else they would be entered a second time.
func (l *localSessions) upgraded(tree *znode.Tree) {
	for id := range l.sessions {
		if _, _, global := tree.Session(id); global {
			l.forget(id)
		}
	}
}

// createLocal makes a local session.
func (p *Peer) createLocal(a attachment) {
	a.id = p.ids.Next()
	passwd := p.Password(a.id, p.localScheme())
	a.passwd = passwd[:]
	p.local.sessions[a.id] = &localSession{timeoutMs: a.timeoutMs}
	p.local.tracker.Add(a.id, a.timeoutMs, p.ceiling())
	p.answer(a, true)
}

// attachLocal judges a re-attachment to a local session.
func (p *Peer) attachLocal(a attachment) {
	ok := p.keys.Check(a.id, a.passwd, p.localScheme()) && p.local.tracker.Touch(a.id, p.ceiling())
	if ok {
		p.local.sessions[a.id].timeoutMs = a.timeoutMs
		p.local.tracker.SetTimeout(a.id, a.timeoutMs)
	}
	p.answer(a, ok)
}

// attachReadOnly serves a client that was let in though there is no leader. A
// global session may still be alive, so its client is told nothing.
func (p *Peer) attachReadOnly(a attachment) {
	switch _, _, global := p.tree.Session(a.id); {
	case a.id == 0:
		p.createLocal(a)
	case p.local.sessions[a.id] != nil:
		p.attachLocal(a)
	case global:
		p.ready.Dropped = append(p.ready.Dropped, Dropped{a.conn, "its session cannot be validated without a leader"})
	default:
		p.answer(a, false)
	}
}

// routeLocal takes what differs for the request of a local session, and tells
// whether that was all.
func (p *Peer) routeLocal(r *znode.Request) bool {
	s := p.local.sessions[r.Session]
	if s == nil {
		return false
	}
	r.Local = true
	switch {
	case s.upgrading:
	case r.Op == wire.OpCloseSession:
		p.closeLocal(r)
		return true
	case !r.MakesEphemeral():
	case p.cfg.LocalUpgrade || !p.cfg.LocalSessions: // or it is local for want of room
		s.upgrading = true
		p.upgrade(r.Session, s)
	case r.Op != wire.OpMulti: // in a multi it is for the leader to refuse
		p.conclude(outcome{conn: r.Conn, session: r.Session, cxid: r.Cxid, op: r.Op, err: wire.ErrEphemeralOnLocalSession})
		return true
	}
	return false
}

// upgrade has a local session entered in the table, ahead of the request that
// makes its first ephemeral.
func (p *Peer) upgrade(id wire.SessionID, s *localSession) {
	r := &znode.Request{Session: id, Cxid: p.localScheme(), Op: wire.OpCreateSession, TimeoutMs: s.timeoutMs}
	if p.leads() {
		p.propose(r, p.self())
	} else {
		p.forward(r)
	}
}

// closeLocal ends a local session at its client's wish.
func (p *Peer) closeLocal(r *znode.Request) {
	p.local.forget(r.Session)
	p.conclude(outcome{conn: r.Conn, session: r.Session, cxid: r.Cxid, op: r.Op, closed: r.Session})
}

// expireLocal ends the local sessions whose time is over.
func (p *Peer) expireLocal() (n int) {
	for _, id := range p.local.tracker.Due(p.clock.Now()) {
		if p.local.sessions[id].upgrading {
			// It is about to be the leader's to expire; if not, it is looked at in
			// the next role.
			continue
		}
		p.local.forget(id)
		p.conclude(outcome{session: id, op: wire.OpCloseSession, closed: id})
		n++
	}
	return n
}
