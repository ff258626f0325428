package main

import (
	"math/rand/v2"
	"strings"

	"zooid/wire"
	"zooid/zab"
)

// This file has strangers: connections and notifications that say the numbers of
// members and are of none. They go on until everything is healed.

const (
	// strangersIn is in one of how many seeds there are strangers.
	strangersIn = 8
	// strangersEvery is the mean time in µs between two of them: far more often
	// than an ensemble can elect.
	strangersEvery = 20_000
)

// strangers has them come, if the seed has any.
func (w *world) strangers() {
	if w.plan.alone || w.plan.seed%strangersIn != 0 {
		return
	}
	r := stream(w.plan.seed, forStrangers)
	var next func()
	next = func() {
		if w.healed {
			return
		}
		if p := w.members[r.IntN(len(w.members))].process; p != nil && p.alive() {
			p.visit(r)
		}
		w.later(1+r.Int64N(2*strangersEvery), next)
	}
	w.later(r.Int64N(2*strangersEvery), next)
}

// visit is one stranger at a member.
func (p *process) visit(r *rand.Rand) {
	w := p.w
	sid := r.IntN(len(w.members))
	if r.IntN(2) == 0 {
		n := &wire.Notification{State: pick(r, wire.Looking, wire.Leading, wire.Following), Round: int64(r.IntN(1000)), Version: wire.NotificationVersion,
			Vote: wire.Vote{Leader: wire.SID(r.IntN(len(w.members)) + 1), Zxid: wire.Zxid(r.Int64N(1 << 45)), PeerEpoch: int64(r.IntN(10))}}
		w.votes[n.Vote] = true // members may tell it further
		w.tell("a stranger to %d: as %d, %+v", p.m.sid, sid+1, n)
		p.arrive(item{kind: itNote, sid: wire.SID(sid + 1), note: n})
		return
	}
	// It hears nothing, and says who it is and what it has promised.
	c := w.connect(forLearner, end{node: sid}, end{node: p.m.i, incarnation: p.m.incarnation})
	c.ends[0].open = false
	c.link.stranger = true
	info := wire.LearnerInfo{SID: wire.SID(sid + 1), ProtocolVersion: pick(r, wire.ProtocolVersion, wire.ProtocolVersionZooid)}
	q := wire.QuorumPacket{Type: pick(r, wire.PacketFollowerInfo, wire.PacketObserverInfo), Zxid: wire.Zxid(r.Int64N(1<<uint(1+r.IntN(30)))) << 32, Data: info.Append(nil)}
	w.tell("a stranger to %d: as %d, %v of %v, connection %d", p.m.sid, sid+1, q.Type, q.Zxid, idOf(c, 1))
	p.arrive(item{kind: itAccepted, id: idOf(c, 1), conn: c})
	p.arrive(item{kind: itPacket, id: idOf(c, 1), conn: c, pkt: q})
}

// checkRefused demands that a learner which was told UPTODATE goes for a reason of
// its own: its silence, or what it has sent.
func (p *process) checkRefused(r *zab.Refused) {
	if c, _ := p.connOf(r.Conn); c == nil || !c.link.upToDate {
		return
	}
	for _, own := range []string{"no packet", "no ACK", "does not answer", "out of turn", "ACK of", "PINGs"} {
		if strings.Contains(r.Reason, own) {
			return
		}
	}
	if c, _ := p.connOf(r.Conn); c.ends[0].open {
		p.w.fail("strangers", "member %d closes a learner's connection, which stands: %q", p.m.sid, r.Reason)
	}
}
