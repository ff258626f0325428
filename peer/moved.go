package peer

import (
	"math"

	"zooid/wire"
	"zooid/zab"
	"zooid/znode"
)

// A request that waits here while there is no leader may be one that its client
// has given up: the client has gone to another member, which this one has not
// heard, has looked there whether it was done, and asks again. Done now as well it
// would be done twice, or behind what the client asked later.
//
// So that every member can know, a leader that gives a session to another member
// says so in the log: it proposes a move, an error txn of that session (SESSIONMOVED)
// whose cxid names the member, before it answers REVALIDATE. A sync waits for all
// that was proposed before it, and so does every write; whoever has had an answer to
// one at the new member can count on the move being in the history with which each
// later leader begins. The old member has it before it asks that leader for anything.
//
//	client ─► member 2: attach ─► leader: move of s to 2 proposed ─► granted
//	                                      │ committed, in every history from now on
//	member 1, whose connection of s hangs: no request of it is done any more
//
// No member need answer for that, nor need clocks agree. To ZooKeeper's members a
// move is one more request that has failed. Their leaders make none, so where one
// of them may have led, what waits is given up with its connection.
//
// Two more rules cost connections and guard against what is not known: a request
// that has waited for more than a third of the session's timeout, or since the
// leader fell silent, is not asked again.

// attachments are the sessions that are attached here, in two parts, so that a
// request need not be looked for while none has moved.
type attachments struct {
	since map[wire.SessionID]wire.Zxid // what the leader had proposed when each became so
	// movedAway are those of them that have been elsewhere since: what a connection
	// of that time still brings is not done.
	movedAway map[wire.SessionID]struct{}
}

func newAttachments() attachments {
	return attachments{map[wire.SessionID]wire.Zxid{}, map[wire.SessionID]struct{}{}}
}

func (a *attachments) add(id wire.SessionID, since wire.Zxid) {
	a.since[id] = since
	delete(a.movedAway, id)
}

func (a *attachments) remove(id wire.SessionID) {
	delete(a.since, id)
	delete(a.movedAway, id)
}

// left tells whether a session has been elsewhere since it was attached here.
func (a *attachments) left(id wire.SessionID) bool {
	if len(a.movedAway) == 0 {
		return false
	}
	_, left := a.movedAway[id]
	return left
}

// endedRole is the last role in which clients were served.
type endedRole struct {
	epoch    int64 // -1: there was none since the start
	silentMs int64 // how long ago the leader had been heard when it ended
}

// movedTo is the cxid of a move to a member. No request of a client has one like
// that: theirs count from 0, and the special ones lie just below.
func movedTo(sid wire.SID) int32 { return math.MinInt32 | int32(sid)&0xffffff }

// mayGrant tells whether a session can be given to anybody: not when the term is
// about to end because its zxids are used up.
func (p *Peer) mayGrant() bool {
	if p.alone {
		return true
	}
	_, ok := p.NextZxid()
	return ok
}

// grant makes a session sid's, and proposes the move unless it was sid's already, or
// a member's of ZooKeeper's, which lets go of its clients' requests with its leader.
func (p *Peer) grant(id wire.SessionID, sid wire.SID) {
	owner, known := p.leader.owners[id]
	p.leader.owners[id] = sid
	if known && (owner == sid || p.IsJava(owner)) || zab.Mistaken(zab.AskGivenUp) {
		return
	}
	p.propose(&znode.Request{Session: id, Cxid: movedTo(sid), Op: wire.OpError, Refused: wire.ErrSessionMoved}, p.self())
}

// noteElsewhere looks whether a transaction shows that a session which is attached
// here has been elsewhere: a move, or while requests wait here anything that nobody
// here has asked for.
func (p *Peer) noteElsewhere(q *pending) {
	txn := q.txn
	since, attached := p.attached.since[txn.Session]
	if !attached || q.conn != 0 || txn.Zxid <= since || zab.Mistaken(zab.AskGivenUp) {
		return
	}
	body, failed := txn.Body.(*wire.ErrorTxn)
	left := p.phase != phaseOpen && txn.Op != wire.OpCreateSession && txn.Op != wire.OpCloseSession
	if failed && body.Err == wire.ErrSessionMoved && txn.Cxid < math.MinInt32+1<<24 {
		left = txn.Cxid != movedTo(p.self())
	}
	if left {
		p.attached.movedAway[txn.Session] = struct{}{}
	}
}

// giveUpHeld drops the connections whose clients may have given up what waits here,
// of those that h.here has.
func (p *Peer) giveUpHeld(attached []Attachment) {
	if zab.Mistaken(zab.AskGivenUp) {
		return
	}
	h := &p.holding
	oldest := map[znode.ConnID]int64{}
	note := func(r *znode.Request) {
		if at, held := oldest[r.Conn]; !held || r.AtMs < at {
			oldest[r.Conn] = r.AtMs
		}
	}
	for _, w := range h.unsure {
		note(w.r)
	}
	for _, r := range h.requests {
		note(r)
	}
	still := newAttachments()
	for _, a := range attached {
		if _, alive := h.here[a.Conn]; !alive || p.local.sessions[a.Session] != nil {
			continue
		}
		if since, known := p.attached.since[a.Session]; known {
			still.add(a.Session, since)
		}
		at, held := oldest[a.Conn]
		switch {
		case p.attached.left(a.Session):
			still.movedAway[a.Session] = struct{}{}
			p.giveUp(a.Conn, "its client has been elsewhere")
		case !held:
		case p.ended.silentMs > p.cfg.Zab.TickMs:
			p.giveUp(a.Conn, "its request waits since the leader fell silent, and its client may have been elsewhere")
		case 3*(p.nowMs-at) > int64(a.TimeoutMs):
			p.giveUp(a.Conn, "its request waits so long that its client may have been elsewhere")
		case !p.movesKnown():
			p.giveUp(a.Conn, "its request waits, and an Apache ZooKeeper that led would not have said that its client has been elsewhere")
		}
	}
	p.attached = still
}

// movesKnown tells whether every leader since the last role here has said which
// sessions moved: this one is ours, and so are all members, or there was none in
// between.
func (p *Peer) movesKnown() bool {
	if !p.leads() {
		return p.SharesSecret()
	}
	return p.SharesSecret() || p.role.Epoch == p.ended.epoch+1
}
