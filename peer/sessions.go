package peer

import (
	"slices"

	"zooid/session"
	"zooid/wire"
	"zooid/zab"
	"zooid/znode"
)

// attachment is a connection that wants a session.
type attachment struct {
	conn      znode.ConnID
	id        wire.SessionID // 0: a new one
	passwd    []byte
	timeoutMs int32
}

// Attach gives a connection a session: a new one for session 0, else the one
// that it names, if the password is right. timeoutMs is negotiated already.
// passwd must stay unchanged until the answer. The answer to a new session is
// the outcome of its transaction, else it comes with Ready.
func (p *Peer) Attach(conn znode.ConnID, id wire.SessionID, passwd []byte, timeoutMs int32, timeMs int64) {
	p.timeMs = timeMs
	a := attachment{conn, id, passwd, timeoutMs}
	if id != 0 && p.phase != phaseShut && p.local.sessions[id] == nil {
		p.supersede(a)
	}
	switch p.phase {
	case phaseOpen:
		p.attach(a)
	case phaseShut:
		p.attachReadOnly(a)
	default:
		p.keepAttach(a)
	}
}

// supersede gives up what an earlier connection of a session here still asks.
// Its client may have been elsewhere meanwhile, and done more: with the session
// this member's again, the leader would take that for what comes next. Numbers of
// connections grow.
func (p *Peer) supersede(a attachment) {
	_, scheme, ok := p.tree.Session(a.id)
	if !ok {
		scheme = session.CxidUnknown // this member may lag
	}
	if zab.Mistaken(zab.OldConnection) || a.conn <= p.latest[a.id] || !p.keys.Check(a.id, a.passwd, scheme) {
		return
	}
	p.latest[a.id] = a.conn
	p.holding.without(func(r *znode.Request) bool { return r.Session == a.id && r.Conn < a.conn })
}

func (p *Peer) attach(a attachment) {
	switch {
	case a.id == 0 && p.localOnly():
		p.createLocal(a)
	case a.id == 0:
		p.createSession(a)
	case p.local.sessions[a.id] != nil:
		p.attachLocal(a)
	case p.leads():
		p.attachHere(a)
	default:
		p.askLeader(a)
	}
}

// createSession has a new session entered in the table.
//
// The cxid, which nobody else reads, tells how the session's password is made:
// from the secret if every member has that, else as ZooKeeper does, for every
// member must be able to check it. In an ensemble the leader has the last word.
func (p *Peer) createSession(a attachment) {
	r := &znode.Request{Conn: a.conn, Session: p.ids.Next(), Cxid: session.CxidJava, Op: wire.OpCreateSession, TimeoutMs: a.timeoutMs}
	if p.alone || p.SharesSecret() {
		r.Cxid = session.CxidKeyed
	}
	switch {
	case !p.leads():
		p.forward(r)
	case !p.propose(r, p.self()):
		p.keepAttach(a)
	}
}

// Password is what the client of a session that was made here is given; cxid is
// that of its createSession txn.
func (p *Peer) Password(id wire.SessionID, cxid int32) [16]byte {
	if cxid == session.CxidKeyed {
		return p.keys.Password(id)
	}
	return session.JavaPassword(id)
}

// choosePassword has the last word on how the password of a new session is made:
// a learner may not know that a member of ZooKeeper's has joined.
func (p *Peer) choosePassword(r *znode.Request) {
	if r.Cxid == session.CxidKeyed && !p.alone && !p.SharesSecret() {
		r.Cxid = session.CxidJava
	}
}

// denial is a session that this leader does not know. Nobody is told so before a
// quorum has shown that it still follows: a leader that was deposed and has not
// heard of it does not know the sessions of its successor.
type denial struct {
	confirm int64
	a       attachment    // of a connection here, or
	f       zab.Forwarded // of a learner's
}

// settleDenials looks again for the sessions of which nothing was known, once
// this leader knows that it is one.
func (p *Peer) settleDenials() {
	l := &p.leader
	for len(l.denials) > 0 && l.denials[0].confirm <= p.syncs.confirmed {
		d := l.denials[0]
		l.denials[0] = denial{} // let its memory go
		l.denials = l.denials[1:]
		switch {
		case d.a.conn != 0 && !p.mayGrant():
			p.keepAttach(d.a)
		case d.a.conn != 0:
			p.answer(d.a, p.attaches(d.a))
		default:
			p.reply(&d.f, true)
		}
	}
}

// attachHere judges a re-attachment as the leader.
func (p *Peer) attachHere(a attachment) {
	if !p.mayGrant() {
		p.keepAttach(a)
		return
	}
	if ok := p.attaches(a); ok || p.alone || zab.Mistaken(zab.DenyUnsure) {
		p.answer(a, ok)
		return
	}
	p.leader.denials = append(p.leader.denials, denial{confirm: p.confirm(), a: a})
}

// attaches makes a session, if it exists and the password is right, that of a
// connection here.
func (p *Peer) attaches(a attachment) bool {
	_, scheme, ok := p.tree.Session(a.id)
	// A session whose end is under way because its time is over cannot be
	// touched, and is as good as gone.
	if !ok || !p.keys.Check(a.id, a.passwd, scheme) || !p.leader.tracker.Touch(a.id, p.ceiling()) {
		return false
	}
	p.leader.tracker.SetTimeout(a.id, a.timeoutMs)
	if !p.alone {
		p.grant(a.id, p.self())
		p.attached.add(a.id, p.proposed)
	}
	return true
}

// answer ends an attachment. What the client showed as its password is what it
// keeps: a session that came from Java's files goes on with Java's.
func (p *Peer) answer(a attachment, ok bool) {
	t := Attached{Conn: a.conn}
	if ok {
		t.Session, t.TimeoutMs = a.id, a.timeoutMs
		copy(t.Passwd[:], a.passwd)
	} else {
		delete(p.latest, a.id)
	}
	p.ready.Attached = append(p.ready.Attached, t)
}

// askLeader has the leader say whether a session exists, after a look at the
// password. This member's tree may lag: then it does not know how the password is
// made, and a leader of ours is told which way was shown.
func (p *Peer) askLeader(a attachment) {
	_, scheme, known := p.tree.Session(a.id)
	if !known {
		scheme = session.CxidUnknown
	}
	shown, ok := p.keys.Proves(a.id, a.passwd)
	if !ok || !p.keys.Check(a.id, a.passwd, scheme) {
		p.answer(a, false)
		return
	}
	p.learner.revalidating = append(p.learner.revalidating, a)
	t := wire.Touch{Session: a.id, TimeoutMs: a.timeoutMs}
	data := t.Append(nil)
	if p.SharesSecret() {
		data = append(data, byte(shown))
	}
	p.Forward(wire.QuorumPacket{Type: wire.PacketRevalidate, Zxid: noZxid, Data: data})
}

// revalidated takes the leader's answer.
func (p *Peer) revalidated(v wire.Revalidated) {
	l := &p.learner
	i := slices.IndexFunc(l.revalidating, func(a attachment) bool { return a.id == v.Session })
	if i < 0 {
		return
	}
	a := l.revalidating[i]
	l.revalidating = slices.Delete(l.revalidating, i, i+1)
	if v.Valid {
		l.timeouts[a.id] = a.timeoutMs
		d := wire.NewDecoder(v.Rest)
		above := wire.Zxid(d.Int64())
		if d.Err() != nil {
			above = p.Newest() // a leader of ZooKeeper's does not say
		}
		l.above[a.id] = above
		p.attached.add(a.id, above)
	}
	p.answer(a, v.Valid)
}

// revalidate answers a learner to which a client has moved: the session is that
// learner's from now on.
func (p *Peer) revalidate(f *zab.Forwarded) {
	if !p.reply(f, zab.Mistaken(zab.DenyUnsure)) {
		p.leader.denials = append(p.leader.denials, denial{confirm: p.confirm(), f: *f})
	}
}

// reply answers REVALIDATE, with no only if that is sure.
func (p *Peer) reply(f *zab.Forwarded, sure bool) bool {
	var t wire.Touch
	d := wire.NewDecoder(f.Packet.Data)
	if t.Decode(&d); d.Err() != nil {
		return true // nobody can wait for an answer
	}
	if !p.mayGrant() {
		return true // it is asked again in the next term
	}
	v := wire.Revalidated{Session: t.Session}
	if _, scheme, _ := p.tree.Session(t.Session); scheme == session.CxidKeyed && d.Remaining() > 0 && int32(d.Byte()) != scheme {
		sure = true // the client has computed what ZooKeeper's password would be
	} else {
		v.Valid = p.leader.tracker.Touch(t.Session, p.ceiling())
	}
	if v.Valid {
		p.grant(t.Session, f.SID)
		if p.IsZooid(f.Conn) {
			v.Rest = wire.AppendInt64(nil, int64(p.proposed))
		}
		p.leader.tracker.SetTimeout(t.Session, t.TimeoutMs)
	}
	if v.Valid || sure {
		p.Reply(f.Conn, wire.QuorumPacket{Type: wire.PacketRevalidate, Zxid: noZxid, Data: v.Append(nil)})
	}
	return v.Valid || sure
}

// touchAll takes the sessions that a learner has heard from. Unknown ones have
// ended meanwhile, or are local.
func (p *Peer) touchAll(data []byte) {
	d := wire.NewDecoder(data)
	for d.Remaining() >= wire.TouchSize {
		var t wire.Touch
		t.Decode(&d)
		if p.leader.tracker.Touch(t.Session, p.ceiling()) && t.TimeoutMs > 0 {
			p.raiseTimeout(t.Session, t.TimeoutMs)
		}
	}
}

// raiseTimeout takes over a timeout that a member reports. Of two members that do
// one may have a connection that its client has left: the larger counts.
func (p *Peer) raiseTimeout(id wire.SessionID, timeoutMs int32) {
	if timeoutMs > p.leader.tracker.Timeout(id) {
		p.leader.tracker.SetTimeout(id, timeoutMs)
	}
}

// sessionBegun notes that a createSession has been applied. As in ZooKeeper
// every learner reports it as heard from, whosever it is.
func (p *Peer) sessionBegun(id wire.SessionID, timeoutMs int32) {
	p.ids.Avoid(id)
	p.local.forget(id)
	switch {
	case p.leads():
		p.leader.tracker.Add(id, timeoutMs, p.ceiling())
	case p.phase >= phaseResume:
		p.learner.touched[id] = timeoutMs
	}
}

// sessionEnded notes that a closeSession has been applied.
func (p *Peer) sessionEnded(id wire.SessionID) {
	delete(p.latest, id)
	p.attached.remove(id)
	if p.leads() {
		p.leader.tracker.Remove(id)
		delete(p.leader.owners, id)
		return
	}
	delete(p.learner.touched, id)
	delete(p.learner.timeouts, id)
	delete(p.learner.above, id)
}

// Advance moves the session clock by the time that has passed since the last
// call, gapMs, of which expectedMs was the plan. Of a gap far beyond the plan
// only a small part counts: the member was stopped or starved, and what its
// clients sent meanwhile is still to be read. It reports whether sessions may
// be due, so that Touch and Expire should follow.
func (p *Peer) Advance(gapMs, expectedMs int64) bool {
	before := p.clock.Now() / p.cfg.Zab.TickMs
	p.clock.Advance(gapMs, expectedMs)
	p.gapMs = expectedMs
	return p.clock.Now()/p.cfg.Zab.TickMs != before && (p.leads() || len(p.local.sessions) > 0)
}

// SessionNow is the session clock in ms.
func (p *Peer) SessionNow() int64 { return p.clock.Now() }

// ceiling is a time of the session clock that is not before now.
func (p *Peer) ceiling() int64 { return p.clock.Now() + p.gapMs }

// Touch says that a session was heard from at the given ms of the session
// clock.
func (p *Peer) Touch(id wire.SessionID, at int64) {
	switch l := &p.learner; {
	case p.local.touch(id, at):
	case p.leads():
		p.leader.tracker.Touch(id, at)
	case p.phase >= phaseResume && at > l.reported:
		timeoutMs, ok := l.timeouts[id]
		if !ok {
			timeoutMs, _, ok = p.tree.Session(id)
		}
		if ok {
			l.touched[id] = timeoutMs
		}
	}
}

// Touched ends the calls of Touch that Ready.WantTouched asked for: the leader's
// PINGs are answered.
func (p *Peer) Touched() {
	l := &p.learner
	if l.pings == 0 {
		return
	}
	list := make([]wire.Touch, 0, len(l.touched))
	for id, timeoutMs := range l.touched {
		list = append(list, wire.Touch{Session: id, TimeoutMs: timeoutMs})
	}
	slices.SortFunc(list, func(a, b wire.Touch) int {
		if a.Session < b.Session {
			return -1
		}
		return 1
	})
	clear(l.touched)
	if p.phase >= phaseResume { // else nobody was counted
		l.reported = p.clock.Now()
	}
	for ; l.pings > 0; l.pings-- {
		p.Pong(list)
		list = nil
	}
}

// Expire ends every session whose time is over and tells how many: global ones
// as the leader, and the local ones of this member.
func (p *Peer) Expire(timeMs int64) int {
	p.timeMs = timeMs
	if p.phase != phaseOpen {
		return 0
	}
	n := p.expireLocal()
	if !p.leads() {
		return n
	}
	for _, id := range p.leader.tracker.Due(p.clock.Now()) {
		if p.propose(&znode.Request{Session: id, Op: wire.OpCloseSession}, p.self()) {
			n++
		}
	}
	return n
}

// SessionBuckets are the sessions that this member may end, by the time of the
// session clock at which they expire unless they are heard from, for the word
// dump: the leader's, and local ones elsewhere.
func (p *Peer) SessionBuckets() []session.Bucket {
	if p.leads() {
		return p.leader.tracker.Buckets()
	}
	return p.local.tracker.Buckets()
}
