package main

import (
	"zooid/wire"
)

// checkFromLeader is for what a leader sends to a learner.
func (p *process) checkFromLeader(c *conn, q *wire.QuorumPacket) {
	w, d, link := p.w, &p.m.disk, &c.link
	epoch := int64(q.Zxid.Epoch())
	switch q.Type {
	case wire.PacketLeaderInfo:
		p.announce(uint32(epoch))
		link.announced = epoch
	case wire.PacketDiff:
		p.opened(c, link.from)
		w.saw(rareDiff)
	case wire.PacketTrunc:
		p.opened(c, q.Zxid)
		w.saw(rareTruncSent)
	case wire.PacketSnap:
		p.opened(c, q.Zxid)
	case wire.PacketProposal:
		p.checkForward(c, q, "PROPOSAL", &link.proposed)
	case wire.PacketCommit:
		if q.Zxid > link.proposed {
			w.fail("17 order", "member %d sends COMMIT %v to %d, and PROPOSALs only up to %v", p.m.sid, q.Zxid, c.ends[0].node+1, link.proposed)
		}
		p.checkForward(c, q, "COMMIT", &link.committed)
		p.checkCommit(q, "COMMIT")
	case wire.PacketInform:
		p.checkForward(c, q, "INFORM", &link.proposed)
		link.committed = q.Zxid
		p.checkCommit(q, "INFORM")
	case wire.PacketNewLeader:
		p.establish(uint32(epoch))
		if d.epochs.Current != epoch {
			w.fail("22.18 promises", "member %d sends NEWLEADER %d, on its disk is currentEpoch %d", p.m.sid, epoch, d.epochs.Current)
		}
	case wire.PacketUpToDate:
		e := p.check.leads
		if !w.quorum(func(m *member) bool { return m.disk.epochs.Current >= e }) {
			w.fail("15 promises", "member %d sends UPTODATE in epoch %d, which no quorum has on disk", p.m.sid, e)
		}
		if w.members[c.ends[0].node].observer {
			w.saw(rareObserverSynced)
		}
	}
}

// announce is a LEADERINFO. Two members may come so far with the same epoch, for
// a quorum has not promised it yet.
func (p *process) announce(epoch uint32) {
	e := int64(epoch)
	if p.m.disk.epochs.Accepted != e {
		p.w.fail("13 promises", "member %d announces epoch %d, on its disk is %d", p.m.sid, e, p.m.disk.epochs.Accepted)
	}
	if p.check.leads != e {
		p.check.leads = e
		p.check.promised = make([]bool, len(p.w.members))
		p.promise(e)
	}
}

// establish is a NEWLEADER, or the beginning of a term: an epoch has one leader.
func (p *process) establish(epoch uint32) {
	w := p.w
	b := w.ledger.book(wire.MakeZxid(epoch, 1))
	switch {
	case b.leader == nil:
		b.leader, b.sid = p, p.m.sid
		p.announce(epoch)
		if !w.quorum(func(m *member) bool { return m == p.m || p.check.promised[m.i] }) {
			w.fail("13 promises", "member %d leads epoch %d, and no quorum has promised it", p.m.sid, epoch)
		}
	case b.leader != p:
		w.fail("1 leader", "members %d and %d both lead epoch %d", b.sid, p.m.sid, epoch)
	case p.check.leads != int64(epoch):
		w.fail("1 leader", "member %d leads epoch %d again, after %d", p.m.sid, epoch, p.check.leads)
	}
}

// opened is an opening packet: the learner's history goes on behind z.
func (p *process) opened(c *conn, z wire.Zxid) {
	link := &c.link
	if link.synced {
		p.w.fail("17 order", "member %d opens the synchronization of %d twice", p.m.sid, c.ends[0].node+1)
	}
	link.synced = true
	link.told = p.w.ledger.last().zxid
	link.proposed, link.committed = z, z
	if z.Counter() != 0 && z != p.w.plan.origin && !p.m.disk.has(z) {
		p.w.fail("10 consistency", "member %d lets %d go on from %v, which it does not have", p.m.sid, c.ends[0].node+1, z)
	}
}

// checkForward demands that zxids come without a hole: each behind the one that
// it follows in the leader's history.
func (p *process) checkForward(c *conn, q *wire.QuorumPacket, what string, last *wire.Zxid) {
	w := p.w
	to := c.ends[0].node + 1
	if !c.link.synced {
		w.fail("17 order", "member %d sends %s %v to %d before an opening packet", p.m.sid, what, q.Zxid, to)
	}
	k := w.ledger.known(q.Zxid)
	switch {
	case q.Zxid <= *last:
		w.fail("17 order", "member %d sends %s %v to %d behind %v", p.m.sid, what, q.Zxid, to, *last)
	case k == nil:
		// The leader's own, which it writes in the same round.
		if q.Zxid != *last+1 && q.Zxid.Counter() != 1 {
			w.fail("17 order", "member %d sends %s %v to %d behind %v", p.m.sid, what, q.Zxid, to, *last)
		}
	case k.prev != *last && (last.Counter() != 0 || *last == w.plan.origin || k.prev > *last):
		w.fail("17 order", "member %d sends %s %v to %d behind %v; in its history it stands behind %v", p.m.sid, what, q.Zxid, to, *last, k.prev)
	}
	*last = q.Zxid
}

// checkCommit demands that a quorum has on disk what is said to be committed. Of
// older epochs that is known when the leader has one for its own.
func (p *process) checkCommit(q *wire.QuorumPacket, what string) {
	w := p.w
	if int64(q.Zxid.Epoch()) != p.check.leads {
		return
	}
	if !w.quorum(func(m *member) bool { return m.disk.holds(q.Zxid) }) {
		w.fail("16 commits", "member %d sends %s %v, which no quorum has on disk", p.m.sid, what, q.Zxid)
	}
}
