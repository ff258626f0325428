package main

import (
	"encoding/binary"
	"slices"

	"zooid/peer"
	"zooid/wire"
	"zooid/zab"
	"zooid/znode"
)

// memberCheck is what the checks remember of a member beyond its processes.
type memberCheck struct {
	promised map[int64]bool // epochs in which it has been counted for a leader
	told     wire.Zxid      // the last final one when the TRUNC was sent that it obeys
}

// processCheck is what the checks remember of a process.
type processCheck struct {
	pos        int   // of the tree in ledger.final
	leads      int64 // the epoch of which it is the leader, or wants to be; 0 if none
	tookOffice int64 // how long the member had been awake when it began to serve as leader
	arrival    *arrival
	promised   []bool // whose ACKEPOCH it has taken that counts, by member
}

// linkCheck is what the checks remember of a learner's connection.
type linkCheck struct {
	announced int64     // epoch of LEADERINFO as it was sent
	epoch     int64     // … and as the learner has taken it
	from      wire.Zxid // where the learner's history stands, as it goes on from there
	proposed  wire.Zxid // last PROPOSAL or INFORM sent
	committed wire.Zxid // last COMMIT or INFORM sent
	synced    bool      // an opening packet was sent
	arrived   wire.Zxid // last PROPOSAL that the learner has taken
	before    wire.Zxid // … before NEWLEADER
	upToDate  bool      // the learner has taken UPTODATE
	told      wire.Zxid // the last final one when the opening packet was sent
	ackedNew  bool      // the learner has acknowledged NEWLEADER
	stranger  bool      // at its other end is nobody
}

func (m *member) checkRestart(p *process) {
	w := m.w
	at := w.ledger.place(p.tree.LastZxid())
	if at < 0 {
		w.fail("8 durability", "member %d starts with a tree at %v, which was never committed", m.sid, p.tree.LastZxid())
	}
	if f := w.ledger.final[at]; f.digest != p.tree.Digest() {
		w.fail("20 digests", "member %d starts with digest %x at %v, others have %x", m.sid, p.tree.Digest(), f.zxid, f.digest)
	}
	p.check.pos = at
}

// checkDisk holds the promises on disk against the log.
func (m *member) checkDisk() {
	if m.w.plan.alone {
		return
	}
	d := &m.disk
	epoch := int64(d.lastDurable().Epoch())
	if d.epochs.Accepted < d.epochs.Current || d.epochs.Current < epoch {
		m.w.fail("12 promises", "member %d has on disk acceptedEpoch %d, currentEpoch %d, and %v", m.sid, d.epochs.Accepted, d.epochs.Current, d.lastDurable())
	}
}

// checkCurrent looks at a currentEpoch that is about to be on disk: the history
// of earlier epochs must be there before. With the epoch and without the history
// the member would win elections over those that have it.
func (m *member) checkCurrent(epoch int64) {
	for _, r := range m.disk.log[m.disk.durable:] {
		if int64(r.Zxid.Epoch()) < epoch {
			m.w.fail("22.2 promises", "member %d has currentEpoch %d on its disk before %v", m.sid, epoch, r.Zxid)
		}
	}
}

// checkCut looks at records that are about to go: none may have been committed
// when the leader sent TRUNC. What was committed since comes again behind it.
func (m *member) checkCut(gone []record) {
	told := m.check.told
	for i := range gone {
		if z := gone[i].Zxid; z <= told && m.w.ledger.isFinal(z) {
			m.w.fail("8 durability", "member %d loses %v by TRUNC, which was committed", m.sid, z)
		}
	}
}

// checkQuorum demands that what is committed is still on a quorum of disks.
func (m *member) checkQuorum(why string) {
	z := m.w.ledger.last().zxid
	if !m.w.quorum(func(m *member) bool { return m.disk.holds(z) }) {
		m.w.fail("8 durability", "after %s of member %d no quorum has %v on disk, which was committed", why, m.sid, z)
	}
}

// checkInstall looks at a snapshot that takes the place of a member's disk: it
// must be committed, and not older than what the member had of that.
func (m *member) checkInstall(a *arrival) {
	w := m.w
	at := w.ledger.place(a.snapshot.zxid)
	if at < 0 {
		w.fail("8 durability", "member %d installs a snapshot at %v, which was never committed", m.sid, a.snapshot.zxid)
	}
	if f := w.ledger.final[at]; f.digest != a.snapshot.digest {
		w.fail("20 digests", "a snapshot at %v has digest %x, others have %x", f.zxid, a.snapshot.digest, f.digest)
	}
	d := &m.disk
	for i := len(d.log) - 1; i >= 0 && d.log[i].Zxid > a.zxid; i-- {
		if w.ledger.isFinal(d.log[i].Zxid) {
			w.fail("8 durability", "member %d loses %v by SNAP %v, which was committed", m.sid, d.log[i].Zxid, a.zxid)
		}
	}
	if a.zxid < max(d.flushed.zxid, d.base) {
		w.fail("8 durability", "member %d installs a snapshot at %v, and had %v", m.sid, a.zxid, max(d.flushed.zxid, d.base))
	}
}

// checkReady looks at what the peer wants before anything of it is done.
func (p *process) checkReady(rd *peer.Ready) {
	p.checkEntries(rd.Entries)
	if n := len(rd.Entries) + len(rd.Sends) + len(rd.Notices); n > 0 {
		p.w.mix(uint64(len(rd.Entries)), uint64(len(rd.Sends)), uint64(len(rd.Notices)))
	}
}

// checkEntries looks at what is to be written to the log.
func (p *process) checkEntries(list []wire.Entry) {
	d := &p.m.disk
	prev := d.last()
	for i := range list {
		e := &list[i]
		switch {
		case e.Zxid == prev+1:
		case !p.w.plan.alone && e.Zxid.Epoch() > prev.Epoch() && e.Zxid.Counter() == 1:
		default:
			p.w.fail("5 order", "member %d writes %v behind %v", p.m.sid, e.Zxid, prev)
		}
		p.w.ledger.written(p, e, prev)
		if p.serving.State == wire.Leading {
			p.checkEnding(e)
		}
		prev = e.Zxid
	}
}

// checkNotice looks at a vote of a member for itself: it speaks of what is on
// disk only. A vote that somebody has given before may come back to a member that
// has less now, since it was killed while its log was cut.
func (p *process) checkNotice(n *zab.Notice) {
	v, d := &n.N, &p.m.disk
	if v.State != wire.Looking {
		return
	}
	if v.Leader == p.m.sid && (v.Zxid > d.lastDurable() || v.PeerEpoch > d.epochs.Current) && !p.w.votes[v.Vote] {
		p.w.fail("22.6 votes", "member %d votes for itself with epoch %d and %v, on its disk are %d and %v",
			p.m.sid, v.PeerEpoch, v.Zxid, d.epochs.Current, d.lastDurable())
	}
	p.w.votes[v.Vote] = true
}

// checkServing looks at a role that begins.
func (p *process) checkServing(s *peer.Serving) {
	w := p.w
	if s.State == wire.Looking {
		return
	}
	if d := p.tree.LastZxid(); w.ledger.place(d) < 0 {
		w.fail("8 durability", "member %d serves with a tree at %v", p.m.sid, d)
	}
	if w.plan.alone {
		p.check.tookOffice = p.m.awake()
		return
	}
	if s.State == wire.Leading {
		p.check.tookOffice = p.m.awake()
		w.saw(rareElected)
		p.establish(uint32(s.Epoch))
		if z := w.ledger.lastBefore(uint32(s.Epoch)); !p.m.disk.has(z) {
			w.fail("9 completeness", "member %d leads epoch %d without %v, which is committed", p.m.sid, s.Epoch, z)
		}
		return
	}
	if !slices.ContainsFunc(w.live, func(c *conn) bool {
		return c.purpose == forLearner && c.ends[0].node == p.m.i && c.ends[0].incarnation == p.m.incarnation && c.link.upToDate
	}) {
		w.fail("22.19 uptodate", "member %d serves as %v before it was sent UPTODATE", p.m.sid, s.State)
	}
}

// checkApplied looks at a txn that was applied.
func (p *process) checkApplied(a *znode.Applied) {
	p.w.mix(uint64(a.Zxid), uint64(a.Cxid), p.tree.Digest())
	p.w.ledger.deliver(p, a)
	if p.tree.DigestMismatches() > 0 {
		p.w.fail("20 digests", "member %d: the digest in %v is not the tree's", p.m.sid, a.Zxid)
	}
	if a.Created != 0 {
		p.heardHere(a.Created)
	}
	if a.Closed != 0 {
		if left := p.tree.Ephemerals(a.Closed); len(left) > 0 {
			p.w.fail("19 ephemerals", "member %d: session %v has ended, its ephemerals %v are there", p.m.sid, a.Closed, left)
		}
	}
	if a.Zxid&63 == 0 {
		p.checkOwners()
	}
}

// checkOwners demands that every ephemeral has a session.
func (p *process) checkOwners() {
	p.tree.EphemeralOwners(func(id wire.SessionID, n int, exists bool) {
		if !exists {
			p.w.fail("19 ephemerals", "member %d at %v: %d ephemerals of session %v, which does not exist", p.m.sid, p.tree.LastZxid(), n, id)
		}
	})
}

// packet hands a packet to the peer.
func (p *process) packet(it *item) {
	link := &it.conn.link
	q := &it.pkt
	switch q.Type {
	case wire.PacketLeaderInfo:
		link.epoch = int64(q.Zxid.Epoch())
	case wire.PacketAckEpoch:
		if int32(binary.BigEndian.Uint32(q.Data)) != -1 && link.announced == p.check.leads {
			p.check.promised[it.conn.ends[0].node] = true
		}
	case wire.PacketProposal, wire.PacketInform:
		link.arrived = q.Zxid
	case wire.PacketSnap:
		link.arrived = q.Zxid
	case wire.PacketTrunc:
		p.m.check.told = link.told
	case wire.PacketNewLeader:
		link.before = link.arrived
	case wire.PacketUpToDate:
		link.upToDate = true
	case wire.PacketPing:
		if p.check.leads != 0 {
			p.heardTouches(q.Data)
		}
	case wire.PacketRevalidate:
		if p.check.leads != 0 && len(q.Data) >= wire.TouchSize {
			p.heardHere(wire.SessionID(binary.BigEndian.Uint64(q.Data)))
		}
	}
	p.peer.Packet(it.id, it.pkt)
}

// checkSend looks at a packet that is about to be sent. c is nil if the
// connection is gone.
func (p *process) checkSend(c *conn, side int, s *zab.Send) {
	p.w.mix(uint64(s.Packet.Type), uint64(s.Packet.Zxid), uint64(s.Conn))
	if c == nil {
		return
	}
	if side == 0 {
		p.checkFromLearner(c, &s.Packet)
	} else {
		p.checkFromLeader(c, &s.Packet)
	}
}

// checkFromLearner is for what a learner sends.
func (p *process) checkFromLearner(c *conn, q *wire.QuorumPacket) {
	w, d, link := p.w, &p.m.disk, &c.link
	switch q.Type {
	case wire.PacketAckEpoch:
		if d.epochs.Accepted != link.epoch {
			w.fail("13 promises", "member %d acknowledges epoch %d, on its disk is %d", p.m.sid, link.epoch, d.epochs.Accepted)
		}
		if q.Zxid > d.lastDurable() {
			w.fail("15 promises", "member %d says in ACKEPOCH that it has %v, on its disk is %v", p.m.sid, q.Zxid, d.lastDurable())
		}
		link.from = q.Zxid
		if current := int64(int32(binary.BigEndian.Uint32(q.Data))); current != -1 {
			if current != d.epochs.Current {
				w.fail("13 promises", "member %d says in ACKEPOCH that its currentEpoch is %d, on its disk is %d", p.m.sid, current, d.epochs.Current)
			}
			p.promise(link.epoch)
		} else {
			w.saw(rarePromisedBefore)
		}
	case wire.PacketAck:
		if q.Zxid.Counter() != 0 {
			if !d.holds(q.Zxid) {
				w.fail("16 acks", "member %d acknowledges %v, which is not on its disk", p.m.sid, q.Zxid)
			}
			if e := int64(q.Zxid.Epoch()); e != d.epochs.Accepted {
				w.fail("13 promises", "member %d acknowledges %v, and has promised epoch %d", p.m.sid, q.Zxid, d.epochs.Accepted)
			}
			return
		}
		p.checkAckNewLeader(c, q)
	}
}

// promise notes that the member lets itself be counted for the leader of an
// epoch, which it may do once.
func (p *process) promise(epoch int64) {
	if p.m.check.promised[epoch] {
		p.w.fail("13 promises", "member %d promises epoch %d a second time", p.m.sid, epoch)
	}
	p.m.check.promised[epoch] = true
}

// checkAckNewLeader is for the ACK of NEWLEADER, and the one of UPTODATE.
func (p *process) checkAckNewLeader(c *conn, q *wire.QuorumPacket) {
	w, d, link := p.w, &p.m.disk, &c.link
	if link.ackedNew {
		return
	}
	link.ackedNew = true
	epoch := int64(q.Zxid.Epoch())
	if d.epochs.Current != epoch {
		w.fail("15 promises", "member %d acknowledges NEWLEADER %d, on its disk is currentEpoch %d", p.m.sid, epoch, d.epochs.Current)
	}
	if link.before != 0 && !d.holds(link.before) {
		w.fail("15 promises", "member %d acknowledges NEWLEADER %d, and %v, which came before it, is not on its disk", p.m.sid, epoch, link.before)
	}
	lead := w.ledger.book(wire.MakeZxid(uint32(epoch), 1)).leader
	if lead != nil && lead.alive() && !lead.m.disk.has(d.lastDurable()) && d.lastDurable() != w.plan.origin {
		w.fail("10 consistency", "member %d acknowledges NEWLEADER %d with %v on its disk, which the leader has not", p.m.sid, epoch, d.lastDurable())
	}
}
