package zab

import (
	"encoding/binary"

	"zooid/wire"
)

// This file has what a learner does with its leader's stream: history and
// NEWLEADER, and the broadcast behind UPTODATE.

// stream takes one packet of it.
func (l *learner) stream(p *wire.QuorumPacket) {
	switch p.Type {
	case wire.PacketProposal:
		l.proposal(p.Zxid, p.Data)
	case wire.PacketCommit:
		l.commit(p.Zxid)
	case wire.PacketCommitAndActivate:
		if !l.reconfigured(p.Zxid) {
			l.commit(p.Zxid)
		}
	case wire.PacketInform:
		l.inform(p.Zxid, p.Data)
	case wire.PacketInformAndActivate:
		if !l.reconfigured(p.Zxid) {
			l.inform(p.Zxid, p.Data[min(8, len(p.Data)):]) // after the designated leader
		}
	case wire.PacketNewLeader:
		l.newLeader(p)
	case wire.PacketUpToDate:
		l.upToDate()
	case wire.PacketPing:
		l.ping(p.Zxid)
	case wire.PacketSync, wire.PacketRevalidate:
		l.answer(p)
	default:
		l.leave("%v out of turn", p.Type)
	}
}

// answer takes the leader's answers to what the peer has forwarded.
func (l *learner) answer(p *wire.QuorumPacket) {
	if l.phase != learnerServing {
		l.leave("%v before UPTODATE", p.Type)
		return
	}
	if p.Type == wire.PacketSync {
		l.m.ready.Synced++
		return
	}
	var r wire.Revalidated
	d := wire.NewDecoder(p.Data)
	r.Decode(&d)
	if err := d.Err(); err != nil {
		l.leave("REVALIDATE cannot be understood: %v", err)
		return
	}
	l.m.ready.Revalidated = append(l.m.ready.Revalidated, r)
}

// ping has the peer asked for its sessions. As with ZooKeeper, what comes before
// UPTODATE is not answered.
func (l *learner) ping(z wire.Zxid) {
	if l.phase == learnerServing {
		l.pings = append(l.pings, z)
		l.m.ready.PingsDue++
	}
}

// touchesMax is how many sessions go into one PING: some 100 kB, as a packet must
// not be larger than any leader accepts however many clients a member has. More
// go ahead in packets of their own.
const touchesMax = 8192

// morePing is the zxid of a PING that only brings more sessions, and answers none
// of the leader's, which all have a proposal's. ZooKeeper does not look at it.
const morePing wire.Zxid = -1

// pong answers the oldest PING.
func (l *learner) pong(touched []wire.Touch) {
	if len(l.pings) == 0 {
		return // of a leader that is left
	}
	for ; len(touched) > touchesMax; touched = touched[touchesMax:] {
		l.sendPing(morePing, touched[:touchesMax])
	}
	l.sendPing(l.pings[0], touched)
	copy(l.pings, l.pings[1:])
	l.pings = l.pings[:len(l.pings)-1]
}

func (l *learner) sendPing(z wire.Zxid, touched []wire.Touch) {
	data := make([]byte, 0, len(touched)*wire.TouchSize)
	for i := range touched {
		data = touched[i].Append(data)
	}
	l.m.send(l.conn, wire.QuorumPacket{Type: wire.PacketPing, Zxid: z, Data: data})
}

// payloadMin is the size of a txn's header; payloadZxid and payloadOp are where
// in it the zxid and the operation stand.
const (
	payloadMin  = 8 + 4 + 8 + 8 + 4
	payloadZxid = 8 + 4
	payloadOp   = 8 + 4 + 8 + 8
)

// follows tells whether z can come directly after prev: with the next counter, or
// as the first of a later epoch. A leader counts from 1 in each epoch, so what
// begins with another counter has lost the transactions before it. (A standalone
// server counts on from one epoch into the next, which makes its first counter 0.)
func (l *learner) follows(prev, z wire.Zxid) bool {
	return z == prev+1 || z.Epoch() > prev.Epoch() && z.Counter() == max(l.m.cfg.FirstCounter, 1)
}

// proposal takes a PROPOSAL. There may be no hole within an epoch or at its start
// (quorum.md §22.4), and nothing of an epoch in which the leader does not lead. It
// reports whether the stream goes on.
func (l *learner) proposal(z wire.Zxid, payload []byte) bool {
	epoch := int64(z) >> 32
	switch {
	case z <= l.last && l.phase < learnerServing && l.has(z):
		return true // twice at the joint of history and broadcast
	case epoch > l.epoch || epoch < l.epoch && l.phase > learnerReceiving:
		l.leave("PROPOSAL %v in epoch %d", z, l.epoch)
		return false
	case !l.follows(l.last, z):
		l.leave("PROPOSAL %v comes after %v: the leader's history has a hole", z, l.last)
		return false
	case len(payload) < payloadMin || wire.Zxid(binary.BigEndian.Uint64(payload[payloadZxid:])) != z:
		l.leave("PROPOSAL %v holds another transaction", z)
		return false
	case wire.OpCode(binary.BigEndian.Uint32(payload[payloadOp:])) == wire.OpReconfig && l.reconfigured(z):
		return false
	}
	l.last = z
	// A leader of ZooKeeper's makes transactions that no ZooKeeper reads back: what
	// is logged here is readable if it can be.
	e := wire.Entry{Zxid: z, Payload: wire.Portable(payload)}
	if len(l.held) > 0 || epoch > l.m.epochs.Current {
		l.held = append(l.held, e)
		l.advance()
		return true
	}
	l.m.append(e)
	if mistaken(AckBeforeDurable) && l.phase == learnerServing {
		l.ackTo(z)
	}
	return true
}

// has tells whether a proposal is here already.
func (l *learner) has(z wire.Zxid) bool {
	if z >= l.m.log.base {
		if _, known := l.m.log.behind(z); known {
			return true
		}
	}
	for i := range l.held {
		if l.held[i].Zxid == z {
			return true
		}
	}
	return false
}

// waiting is the zxid at a position of the log or of held, false behind both.
func (l *learner) waiting(pos int) (wire.Zxid, bool) {
	end := l.m.log.end()
	switch {
	case pos < end:
		return l.m.log.at(pos).Zxid, true
	case pos-end < len(l.held):
		return l.held[pos-end].Zxid, true
	}
	return 0, false
}

// commit takes a COMMIT, which must be for the oldest proposal that waits.
func (l *learner) commit(z wire.Zxid) {
	if head, ok := l.waiting(l.next); !ok || head != z {
		if l.phase < learnerServing && (!ok || z < head) && l.has(z) {
			return // twice at the joint
		}
		l.leave("COMMIT %v, the oldest proposal is %v", z, head)
		return
	}
	l.next++
	if l.phase == learnerServing {
		l.m.commitTo(l.next)
	}
}

// inform takes what an observer gets for PROPOSAL and COMMIT.
func (l *learner) inform(z wire.Zxid, payload []byte) {
	if l.proposal(z, payload) {
		l.commit(z)
	}
}

// newLeader takes NEWLEADER: the leader's initial history is complete. Of its
// configuration only the version matters: a newer one than ours says that the
// members have changed.
func (l *learner) newLeader(p *wire.QuorumPacket) {
	if l.phase != learnerReceiving || p.Zxid != epochZxid(l.epoch) {
		l.leave("NEWLEADER %v in epoch %d", p.Zxid, l.epoch)
		return
	}
	if v, ok := ConfigVersion(p.Data); ok && l.reconfigured(v) {
		return
	}
	l.phase, l.joint = learnerSaving, l.last
	l.toAck = l.next // what is not committed by now is broadcast, and has its own ACK
	l.advance()
}

// advance carries on with what waits for the disk: epoch by epoch, all records
// before it, then the current epoch, then its records (quorum.md §22.1, 22.2);
// and at the end the ACK of NEWLEADER.
func (l *learner) advance() {
	m := l.m
	for len(l.held) > 0 && int64(l.held[0].Zxid)>>32 <= m.epochs.Current {
		m.append(l.held[0])
		l.held[0] = wire.Entry{} // let its memory go
		l.held = l.held[1:]
	}
	if m.saving != nil || l.phase != learnerReceiving && l.phase != learnerSaving {
		return
	}
	saving := l.phase == learnerSaving
	epoch := m.epochs.Current
	switch {
	case len(l.held) > 0:
		// The leader's own epoch becomes ours at NEWLEADER only.
		if e := int64(l.held[0].Zxid) >> 32; e < l.epoch || saving {
			epoch = e
		}
	case saving:
		epoch = l.epoch
	}
	early := mistaken(AckNewLeaderEarly)
	switch {
	case epoch > m.epochs.Current:
		if m.log.durable == m.log.last() || early {
			m.save(Epochs{Current: epoch})
		}
	case saving && (m.log.durable >= l.joint || early):
		l.phase = learnerReady
		m.send(l.conn, wire.QuorumPacket{Type: wire.PacketAck, Zxid: epochZxid(l.epoch)})
		if mistaken(ServeBeforeUpToDate) {
			l.serve()
		}
	}
}

// saved goes on when an epoch is on disk.
func (l *learner) saved() {
	if l.phase == learnerAccepting {
		l.ackEpoch(int32(l.m.epochs.Current))
		return
	}
	l.advance()
}

// logged goes on when the log has more on disk.
func (l *learner) logged() {
	switch {
	case l.phase == learnerReceiving || l.phase == learnerSaving:
		l.advance()
	case l.phase == learnerServing && !mistaken(AckBeforeDurable):
		l.ackTo(l.m.log.durable)
	}
}

// upToDate begins to serve.
func (l *learner) upToDate() {
	switch {
	case l.phase == learnerServing && mistaken(ServeBeforeUpToDate):
	case l.phase != learnerReady:
		l.leave("UPTODATE out of turn")
	default:
		l.serve()
	}
}

func (l *learner) serve() {
	m := l.m
	l.phase = learnerServing
	m.elect.established(l.epoch)
	m.zooids[l.leader] = l.zooid
	m.send(l.conn, wire.QuorumPacket{Type: wire.PacketAck, Zxid: epochZxid(l.epoch)})
	role := &RoleChange{State: wire.Following, Leader: l.leader, Epoch: l.epoch, Conn: l.conn, Base: m.log.before(l.next)}
	if m.cfg.Observer {
		role.State = wire.Observing
	}
	m.ready.Role = role
	l.ackTo(m.log.durable)
	m.commitTo(l.next)
}

// ackTo acknowledges every proposal up to z that is not acknowledged: each with
// a packet of its own, as ZooKeeper counts them.
func (l *learner) ackTo(z wire.Zxid) {
	m := l.m
	for ; l.toAck < m.log.end(); l.toAck++ {
		e := m.log.at(l.toAck)
		if e.Zxid > z {
			return
		}
		if !m.cfg.Observer {
			m.send(l.conn, wire.QuorumPacket{Type: wire.PacketAck, Zxid: e.Zxid})
		}
	}
}
