package peer

import (
	"maps"
	"slices"

	"zooid/wire"
	"zooid/zab"
	"zooid/znode"
)

// A request that waits here while there is no leader may be one that its client
// has given up: the client has gone to another member, which this one has not
// heard, has looked there whether it was done, and asks again. Done now as well it
// would be done twice, or behind what the client asked later. One member alone
// cannot know that. Together they can, nearly always, when the next leader is there:
//
//	every member ─► claim: when its last role ended, and of which leader; which
//	                sessions are attached here, since when (stamp)
//	the leader   ─► verdict, when it has everybody's claim: which of these
//	                sessions are attached somewhere else since a later time
//
// A request is asked (again) only if
//   - the role ended because the connection to the leader closed, while that had
//     just been heard, and at the same time as everybody else's: so until then the
//     leader knew who had which session, and nobody went on with it afterwards;
//   - it came less than a third of the session's timeout ago: clients wait longer
//     than that before they look for another server;
//   - no transaction of its session was seen that nobody here has asked for;
//   - nobody claims its session since a later time.
//
// The connections of all others are dropped: their clients learn that the outcome
// is unknown, and ask as clients of ZooKeeper do. So it is where a claim does not
// come: a member is down (but for the leader that has gone), has just been started,
// or is ZooKeeper's. What no claim can tell is whether a client had gone to the
// leader that died, in the moment before, without its going being heard here.
//
// Claims and verdicts are REVALIDATE packets of session 0, between members of ours.

// stamp orders the attachments of a session: the epoch of the leader that granted
// one, and which one of its term it was. That of a session's making is the 0th.
type stamp uint64

func stampOf(epoch, n int64) stamp { return stamp(epoch)<<32 | stamp(min(n, 1<<32-1)) }

// owner is the member at which a session is attached. at is 0 if it is only the
// first that has asked for something in this term.
type owner struct {
	sid wire.SID
	at  stamp
}

// endedRole is the last role in which clients were served.
type endedRole struct {
	epoch    int64 // -1: there was none since the start
	leader   wire.SID
	atMs     int64
	silentMs int64 // how long ago the leader had been heard then
}

// claims are what a leader has been told by the members, itself among them.
type claims struct {
	of    map[wire.SID]*claim
	dueMs int64 // when those who wait get their verdict in any case; 0 if nobody waits
}

// claim is one member's.
type claim struct {
	conn   zab.ConnID // 0: this member's own
	whole  bool       // the last part has come
	waits  bool       // for the verdict
	ended  endedRole  // atMs is on this member's clock
	stamps map[wire.SessionID]stamp
}

const (
	// claimSkewMs, or a tenth of a tick, is how far apart the ends of two members'
	// roles may lie that are held to be the same event.
	claimSkewMs = 100
	// claimPart is the most sessions in one packet.
	claimPart = 32 << 10
	// claimsUnlisted is how many claims of servers that are no members are kept, as
	// many as may be connected at once. Beyond it that with the lowest number that
	// has its verdict is forgotten: else one who joins with ever new numbers would
	// leave as many lists of all sessions. The sessions stay those of who has them.
	claimsUnlisted = 64

	claimWhole byte = 1 // flags of a packet: it is the last one,
	claimWaits byte = 2 // and its member wants the verdict
)

// grant makes a session sid's.
func (p *Peer) grant(id wire.SessionID, sid wire.SID) stamp {
	l := &p.leader
	l.grants++
	at := stampOf(p.role.Epoch, l.grants)
	l.owners[id] = owner{sid, at}
	return at
}

// granted notes what the leader says of a session that it has given to this
// member. One of ZooKeeper's says nothing: then it is later than every attachment
// in an earlier epoch, and in doubt against others of this one.
func (p *Peer) granted(v wire.Revalidated) {
	d := wire.NewDecoder(v.Rest)
	at, above := stamp(d.Int64()), wire.Zxid(d.Int64())
	if d.Err() != nil {
		at, above = stampOf(p.role.Epoch, 1), 0
	}
	p.stamps[v.Session] = at
	if above > p.Newest() {
		p.learner.above[v.Session] = above
	} else {
		delete(p.learner.above, v.Session)
	}
}

// noteForeign notes a session that has been elsewhere while requests may wait here.
func (p *Peer) noteForeign(q *pending) {
	if p.holding.foreign != nil && q.conn == 0 && q.txn.Op != wire.OpCreateSession && q.txn.Op != wire.OpCloseSession {
		p.holding.foreign[q.txn.Session] = struct{}{}
	}
}

// claimHeld looks at what waits here when there is a leader again: what may have
// been given up is, and the rest waits for the verdict.
func (p *Peer) claimHeld(attached []Attachment) {
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
	stamps := make(map[wire.SessionID]stamp, len(attached))
	here := map[znode.ConnID]wire.SessionID{}
	waits := false
	for _, a := range attached {
		if _, alive := h.here[a.Conn]; !alive {
			continue
		}
		if at, known := p.stamps[a.Session]; known {
			stamps[a.Session] = at
		}
		at, held := oldest[a.Conn]
		if !held {
			continue
		}
		if p.local.sessions[a.Session] == nil && !zab.Mistaken(zab.AskGivenUp) {
			if why := p.givenUp(a, at); why != "" {
				p.drop(a.Conn, why)
				continue
			}
			waits = true
		}
		here[a.Conn] = a.Session
	}
	p.stamps, h.here = stamps, here
	if !waits {
		p.reopen()
		p.claim(false)
		return
	}
	p.phase = phaseClaim
	p.claim(true)
}

// givenUp says why a client may have given up what it asked at the time atMs by
// connection a, "" if this member knows of no reason.
func (p *Peer) givenUp(a Attachment, atMs int64) string {
	_, foreign := p.holding.foreign[a.Session]
	switch {
	case p.ended.silentMs > p.cfg.Zab.TickMs:
		return "its request waits since the leader fell silent, and its client may have been elsewhere"
	case 3*(p.nowMs-atMs) > int64(a.TimeoutMs):
		return "its request waits so long that its client may have been elsewhere"
	case foreign:
		return "its client has been elsewhere"
	case !p.leads() && !p.SharesSecret():
		return "its request waits, and an Apache ZooKeeper that leads cannot say whether its client has been elsewhere"
	}
	return ""
}

// claim tells the leader, or notes as the leader, which sessions are this member's;
// waits says that requests wait for the verdict. A leader of ZooKeeper's is told
// nothing.
func (p *Peer) claim(waits bool) {
	switch {
	case p.alone:
	case p.leads():
		c := &claim{whole: true, waits: waits, ended: p.ended, stamps: p.stamps}
		p.leader.claims.of[p.self()] = c
		p.takeClaim(p.self(), c)
	case p.SharesSecret():
		p.sendClaim(waits)
	}
}

func (p *Peer) sendClaim(waits bool) {
	agoMs := int32(-1)
	if p.ended.epoch >= 0 {
		agoMs = int32(min(p.nowMs-p.ended.atMs, 1<<31-1))
	}
	ids := slices.Sorted(maps.Keys(p.stamps))
	for whole := false; !whole; {
		part := ids[:min(len(ids), claimPart)]
		ids = ids[len(part):]
		whole = len(ids) == 0
		var flags byte
		if whole {
			flags |= claimWhole
		}
		if waits {
			flags |= claimWaits
		}
		t := wire.Touch{TimeoutMs: agoMs}
		b := t.Append(make([]byte, 0, wire.TouchSize+17+16*len(part)))
		b = wire.AppendInt64(wire.AppendInt64(b, p.ended.epoch), int64(p.ended.leader))
		b = append(b, flags)
		for _, id := range part {
			b = wire.AppendInt64(wire.AppendInt64(b, int64(id)), int64(p.stamps[id]))
		}
		p.Forward(wire.QuorumPacket{Type: wire.PacketRevalidate, Zxid: noZxid, Data: b})
	}
}

// claimed takes a learner's claim, or a part of one.
func (p *Peer) claimed(f *zab.Forwarded, agoMs int32, d *wire.Decoder) {
	ended := endedRole{epoch: d.Int64(), leader: wire.SID(d.Int64()), atMs: p.nowMs - int64(agoMs)}
	flags := d.Byte()
	if d.Err() != nil || d.Remaining()%16 != 0 {
		return // nobody of ours says so
	}
	if agoMs < 0 {
		ended.epoch = -1
	}
	of := p.leader.claims.of
	c := of[f.SID]
	if c == nil || c.whole || c.conn != f.Conn {
		c = &claim{conn: f.Conn, ended: ended, stamps: map[wire.SessionID]stamp{}}
		of[f.SID] = c
		p.forgetUnlisted(f.SID)
	}
	for d.Remaining() > 0 {
		id, at := wire.SessionID(d.Int64()), stamp(d.Int64())
		if _, _, ok := p.tree.Session(id); ok { // else it has ended meanwhile
			c.stamps[id] = at
		}
	}
	if flags&claimWhole != 0 {
		c.whole, c.waits = true, flags&claimWaits != 0
		p.takeClaim(f.SID, c)
	}
}

// forgetUnlisted keeps the claims of servers that are no members within their
// bound, after sid has made a new one.
func (p *Peer) forgetUnlisted(sid wire.SID) {
	of := p.leader.claims.of
	over := len(of) - len(p.cfg.Zab.Ensemble.Members) - claimsUnlisted
	if over <= 0 {
		return
	}
	for _, other := range slices.Sorted(maps.Keys(of)) {
		if over > 0 && other != sid && p.cfg.Zab.Ensemble.Member(other) == nil && !of[other].waits {
			delete(of, other)
			over--
		}
	}
}

// takeClaim makes sessions those of the member that has claimed them since the
// latest time.
func (p *Peer) takeClaim(sid wire.SID, c *claim) {
	l := &p.leader
	for id, at := range c.stamps {
		if at > l.owners[id].at {
			l.owners[id] = owner{sid, at}
		}
	}
	if c.waits && l.claims.dueMs == 0 {
		l.claims.dueMs = p.nowMs + max(p.cfg.Zab.TickMs/4, 1)
	}
	p.judgeClaims()
}

// judgeClaims gives their verdict to those who wait, as far as that can be said.
func (p *Peer) judgeClaims() {
	cl := &p.leader.claims
	if cl.dueMs == 0 {
		return
	}
	due, waiting := p.nowMs >= cl.dueMs, false
	for _, sid := range slices.Sorted(maps.Keys(cl.of)) {
		c := cl.of[sid]
		if !c.whole || !c.waits {
			continue
		}
		known := p.allClaimed(sid, c)
		if !known && !due {
			waiting = true
			continue
		}
		c.waits = false
		p.verdict(sid, c, known)
	}
	if !waiting {
		cl.dueMs = 0
	}
}

// allClaimed tells whether everybody has said what is needed to judge a claim: all
// members but the leader whose end has ended the roles, and that at the same time.
func (p *Peer) allClaimed(sid wire.SID, c *claim) bool {
	if c.ended.epoch < 0 {
		return false
	}
	skew := max(p.cfg.Zab.TickMs/10, claimSkewMs)
	for i := range p.cfg.Zab.Ensemble.Members {
		other := p.cfg.Zab.Ensemble.Members[i].SID
		if other == sid {
			continue
		}
		o := p.leader.claims.of[other]
		switch {
		case o == nil && other == c.ended.leader:
		case o == nil || !o.whole || o.ended.epoch != c.ended.epoch:
			return false
		case max(o.ended.atMs-c.ended.atMs, c.ended.atMs-o.ended.atMs) > skew:
			return false
		}
	}
	return true
}

// verdict tells a member which of its sessions are another's. Where two have the
// same right to one nobody knows which is later, and neither has it.
func (p *Peer) verdict(sid wire.SID, c *claim, known bool) {
	var moved []wire.SessionID
	for _, id := range slices.Sorted(maps.Keys(c.stamps)) {
		for other, o := range p.leader.claims.of {
			if at, claims := o.stamps[id]; claims && other != sid && at >= c.stamps[id] {
				moved = append(moved, id)
				break
			}
		}
	}
	if c.conn == 0 {
		p.judge(known, moved)
		return
	}
	v := wire.Revalidated{Valid: known}
	for _, id := range moved {
		v.Rest = wire.AppendInt64(v.Rest, int64(id))
	}
	p.Reply(c.conn, wire.QuorumPacket{Type: wire.PacketRevalidate, Zxid: noZxid, Data: v.Append(nil)})
}

// judged takes the leader's verdict.
func (p *Peer) judged(v wire.Revalidated) {
	var moved []wire.SessionID
	for d := wire.NewDecoder(v.Rest); d.Remaining() >= 8; {
		moved = append(moved, wire.SessionID(d.Int64()))
	}
	p.judge(v.Valid, moved)
}

// judge asks what may be asked, and drops the connections of the rest. moved is
// sorted.
func (p *Peer) judge(known bool, moved []wire.SessionID) {
	if p.phase != phaseClaim {
		return
	}
	h := &p.holding
	for _, conn := range slices.Sorted(maps.Keys(h.here)) {
		id := h.here[conn]
		_, elsewhere := slices.BinarySearch(moved, id)
		_, foreign := h.foreign[id]
		switch {
		case p.local.sessions[id] != nil:
		case !known:
			p.giveUp(conn, "its request waits, and not every member can say whether its client has been elsewhere")
		case elsewhere || foreign:
			p.giveUp(conn, "its client has been elsewhere")
		}
	}
	p.reopen()
}
