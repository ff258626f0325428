package peer

import (
	"zooid/wire"
	"zooid/zab"
	"zooid/znode"
)

// awaited is a request that was forwarded: the leader's transactions for this
// member's requests come in the order of the requests.
type awaited struct {
	r *znode.Request
	n int64 // how many were forwarded with it
	// above is the newest proposal known when it was asked: its transaction comes
	// behind that. A client that counts its requests anew with each connection, and
	// has moved here with one under way elsewhere, has two of the same number. What
	// was under way then the leader tells with the session.
	above wire.Zxid
	// here, if not nil, is an outcome of this member's own that has its place
	// behind the requests before it, and behind this many syncs.
	here  *outcome
	syncs int64
}

// Submit takes a client's request. timeMs is the wall clock in ms since 1970,
// which becomes the time of the transaction. The request's memory must stay
// unchanged until its outcome.
//
// The outcomes of a connection's requests come in the order of their
// submission. A connection that is dropped gets none any more.
func (p *Peer) Submit(r *znode.Request, timeMs int64) {
	p.timeMs, r.AtMs = timeMs, p.nowMs
	if len(p.latest) > 0 && r.Conn < p.latest[r.Session] {
		return // see supersede
	}
	if len(p.holding.gone) > 0 {
		if _, gone := p.holding.gone[r.Conn]; gone {
			return
		}
	}
	if p.attached.left(r.Session) {
		p.drop(r.Conn, "its client has been elsewhere")
		return
	}
	switch p.phase {
	case phaseOpen:
		p.route(r)
	case phaseShut:
		if r.Op == wire.OpCloseSession && p.local.sessions[r.Session] != nil {
			p.closeLocal(r)
		}
	default:
		p.keep(r)
	}
}

// route sends a request the way that it takes in this role.
func (p *Peer) route(r *znode.Request) {
	if len(p.local.sessions) > 0 && p.routeLocal(r) {
		return
	}
	switch {
	case r.Op == wire.OpSync:
		p.sync(r)
	case p.leads():
		if !p.propose(r, p.self()) {
			p.keep(r)
		}
	default:
		p.forward(r)
	}
}

// propose makes r's transaction and has it broadcast. A request that is refused
// takes a zxid as well, as in ZooKeeper: learners wait for it. It is false, and
// nothing has happened, if the term is about to end.
func (p *Peer) propose(r *znode.Request, origin wire.SID) bool {
	z, ok := p.NextZxid()
	if !ok {
		return false
	}
	if !p.alone {
		p.admit(r, origin)
	}
	if r.Op == wire.OpCreateSession {
		p.choosePassword(r)
	}
	txn := p.leader.view.Prepare(r, z, p.timeMs)
	q := pending{txn: txn, conn: r.Conn, op: r.Op, r: r}
	if zab.Mistaken(zab.ReplyBeforeCommit) {
		p.answerEarly(&q)
	}
	p.queue = append(p.queue, q)
	p.proposed = z
	p.Propose(p.encode(txn))
	return true
}

// admit looks whether a request may come from this member: a session has one
// owner, so that what was sent before a client moved cannot be done behind what
// it sent afterwards. closeSession is asked for by the leader itself too.
func (p *Peer) admit(r *znode.Request, origin wire.SID) {
	if r.Session == 0 || r.Refused != wire.OK || r.Op == wire.OpCloseSession {
		return
	}
	if r.Op == wire.OpCreateSession {
		p.leader.owners[r.Session] = origin
		return
	}
	if !p.leader.view.HasSession(r.Session) {
		// With local sessions a learner's word counts, but not on a session that
		// was made here.
		if origin != p.self() {
			r.Local = p.cfg.LocalSessions && !p.madeHere(r.Session)
		}
		return
	}
	owner, known := p.leader.owners[r.Session]
	switch {
	case !known: // whoever knows of a move to another does not ask
		p.leader.owners[r.Session] = origin
	case owner != origin && !zab.Mistaken(zab.ForgetMoved):
		r.Refused = wire.ErrSessionMoved
	}
}

// madeHere tells whether this member makes ids like that.
func (p *Peer) madeHere(id wire.SessionID) bool { return byte(id>>56) == byte(p.self()) }

// forward sends a request to the leader. Its outcome is the transaction that
// comes back. One that the leader could not take is refused here.
func (p *Peer) forward(r *znode.Request) {
	packet, ok := p.requestPacket(r)
	if !ok {
		p.conclude(outcome{conn: r.Conn, session: r.Session, cxid: r.Cxid, op: r.Op, err: wire.ErrBadArguments})
		return
	}
	p.learner.forwarded++
	p.learner.awaited = append(p.learner.awaited, awaited{r: r, n: p.learner.forwarded, above: max(p.Newest(), p.learner.above[r.Session])})
	p.Forward(packet)
}

// requestPacket makes REQUEST, and tells whether a leader accepts it. What needs
// no permission is not refused because its client has too many identities.
func (p *Peer) requestPacket(r *znode.Request) (packet wire.QuorumPacket, ok bool) {
	packet = wire.QuorumPacket{Type: wire.PacketRequest, Zxid: noZxid, AuthInfo: r.IDs, Data: p.encodeRequest(r)}
	ok = wire.RequestFits(len(packet.Data), packet.AuthInfo, p.cfg.PacketMax)
	if !ok && (r.Op == wire.OpCloseSession || r.Op == wire.OpSync) {
		packet.AuthInfo, ok = nil, true
	}
	return packet, ok
}

// noZxid is the zxid of packets that have none.
const noZxid wire.Zxid = -1

// forwarded takes what a learner sends.
func (p *Peer) forwarded(f *zab.Forwarded) {
	switch {
	case p.role.State != wire.Leading:
	case !p.leads():
		p.leader.early = append(p.leader.early, *f)
	case f.Packet.Type == wire.PacketRequest:
		p.forwardedRequest(f)
	case f.Packet.Type == wire.PacketRevalidate:
		p.revalidate(f)
	case f.Packet.Type == wire.PacketPing:
		p.touchAll(f.Packet.Data)
	}
}

// forwardedRequest takes a request that a learner has forwarded. Whatever it is,
// it becomes one transaction, for the learner waits for that: with ZooKeeper one
// that cannot be decoded ends the leader. One that is too large to be taken is an
// error txn too: it costs neither the learner its connection nor its other clients
// anything.
func (p *Peer) forwardedRequest(f *zab.Forwarded) {
	var q wire.ForwardedRequest
	d := wire.NewDecoder(f.Packet.Data)
	if q.Decode(&d); d.Err() != nil {
		return // it does not even say whose it is
	}
	if q.Op == wire.OpSync {
		if p.Sync(f.Conn) { // a learner of ZooKeeper's
			return
		}
		p.leader.syncs = append(p.leader.syncs, learnerSync{conn: f.Conn, after: p.proposed, confirm: p.confirm()})
		return
	}
	r := &znode.Request{Session: q.Session, Cxid: q.Cxid, Op: q.Op, Raw: q.Body, IDs: f.Packet.AuthInfo}
	switch {
	case q.Op == wire.OpCreateSession:
		d := wire.NewDecoder(q.Body)
		if r.TimeoutMs = d.Int32(); d.Err() != nil {
			r.Refused = wire.ErrMarshalling
		}
	case q.Op == wire.OpCloseSession:
	case f.Packet.Oversized:
		r.Refused = wire.ErrBadArguments
	default:
		if row, ok := znode.LookupOp(q.Op); !ok || !row.Quorum {
			r.Refused = wire.ErrUnimplemented
			break
		}
		body, err := znode.DecodeRequest(q.Op, q.Body)
		if r.Body = body; err != nil {
			r.Refused = wire.CodeOf(err)
		}
	}
	if r.Refused == wire.OK {
		r.Refused = p.refuse(r.Op)
	}
	p.propose(r, f.SID)
}
