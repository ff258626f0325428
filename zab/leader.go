package zab

import (
	"encoding/binary"
	"fmt"
	"math"

	"zooid/wire"
)

// leader is the role of leading, from the election to the last proposal:
//
//	discover ─► FOLLOWERINFO of a quorum ─► accepted epoch on disk ─► LEADERINFO
//	─► ACKEPOCH of a quorum ─► current epoch on disk ─► DIFF, TRUNC or SNAP,
//	history, NEWLEADER ─► ACK of a quorum ─► broadcast; UPTODATE
//
// How a learner is synchronized stands in choose.go.
type leader struct {
	m     *Machine
	phase leaderPhase
	since int64 // when the phase began to wait, or to broadcast
	epoch int64
	// ownEpoch and initial are the current epoch and the end of the history at the
	// start: no voter whose promise counts may know more. The learners are offered
	// all of it as committed.
	ownEpoch int64
	initial  wire.Zxid
	// promised are the voters whose ACKEPOCH counts. They keep their promise
	// even if their connection breaks.
	promised []wire.SID
	// stale tells that a voter has promised this epoch before, which does not
	// count: its first promise is lost if it was given to us.
	stale bool

	proposed wire.Zxid
	full     bool // the counter is used up

	nextTick  int64 // half a tick after the last one
	nextCheck int64 // of the quorum
	pingDue   bool  // Confirm was called
	confirmed int64 // last number handed out as Ready.Confirmed
}

type leaderPhase uint8

const (
	leaderDiscovery leaderPhase = iota // waits for FOLLOWERINFO of a quorum
	leaderAccept                       // the accepted epoch goes to disk
	leaderPromises                     // waits for ACKEPOCH of a quorum
	leaderCurrent                      // the current epoch goes to disk
	leaderSync                         // waits for the ACK of NEWLEADER from a quorum
	leaderBroadcast
)

func newLeader(m *Machine) *leader {
	return &leader{m: m, since: m.nowMs, ownEpoch: m.epochs.Current, initial: m.log.last(),
		nextTick: m.nowMs + m.cfg.TickMs/2}
}

// discover begins the term with the learners that wait already.
func (l *leader) discover() {
	for _, k := range l.m.links {
		k.heard = l.m.nowMs
	}
	l.chooseEpoch()
}

// quorum tells whether the voters that has names, and this member if self, are
// a quorum.
func (l *leader) quorum(self bool, has func(*link) bool) bool {
	m := l.m
	if m.cfg.Ensemble == nil {
		return self
	}
	observers := 0
	if mistaken(CountObservers) {
		for _, k := range m.links {
			if k.observer && has(k) {
				observers++
			}
		}
	}
	return m.cfg.Ensemble.quorum(func(sid wire.SID) bool {
		if sid == m.cfg.SID {
			return self
		}
		for _, k := range m.links {
			if k.sid == sid && k.voter && has(k) {
				return true
			}
		}
		observers--
		return observers >= 0
	})
}

// informed takes a learner's FOLLOWERINFO or OBSERVERINFO.
func (l *leader) informed(k *link) {
	switch l.phase {
	case leaderDiscovery:
		l.chooseEpoch()
	case leaderAccept: // it hears of the epoch with the others
	default:
		l.offer(k)
	}
}

// chooseEpoch takes an epoch greater than all that a quorum has promised. Learners
// that are listed but do not count to the quorum raise it too, as with ZooKeeper,
// but are not waited for. A voter counts only while its election connection stands,
// by which it has elected this member or has heard that it was elected: a claim on
// this port alone raises no epoch. A claim far beyond our own epoch may be a stranger's:
// it counts only if there is no quorum without it for a while, and then only so
// much that no liar can use up the epochs that are left.
func (l *leader) chooseEpoch() {
	own := l.m.epochs.Accepted
	top := max(own, l.m.raise)
	for _, k := range l.m.links {
		if k.stage == linkInformed && !k.unlisted && k.accepted <= own+epochNear {
			top = max(top, k.accepted)
		}
	}
	upTo := func(e int64) bool {
		return l.quorum(true, func(k *link) bool { return k.stage == linkInformed && k.accepted <= e && l.m.elect.connected(k.sid) })
	}
	switch {
	case upTo(top):
	case !upTo(math.MaxInt64), l.m.nowMs-l.since < l.m.cfg.TickMs:
		return
	default:
		top = own + epochLeap
		for _, k := range l.m.links {
			if k.stage == linkInformed && k.accepted < top && upTo(k.accepted) {
				top = max(k.accepted, own)
			}
		}
	}
	l.epoch = top + 1
	if l.epoch > epochMax {
		l.m.end(fmt.Sprintf("epoch %d is the last one: there is none to lead in", epochMax))
		return
	}
	l.phase = leaderAccept
	l.m.save(Epochs{Accepted: l.epoch})
}

// saved goes on when an epoch is on disk.
func (l *leader) saved() {
	l.since = l.m.nowMs
	switch l.phase {
	case leaderAccept:
		l.phase = leaderPromises
		l.eachLink(func(k *link) {
			if k.stage == linkInformed {
				l.offer(k)
			}
		})
		l.countPromises()
	case leaderCurrent:
		l.phase = leaderSync
		l.eachLink(func(k *link) {
			if k.stage == linkPromised && l.contest(k) {
				l.choose(k)
			}
		})
		l.countNewLeaderAcks()
	}
}

// eachLink visits the links, of which some may go, until the term ends.
func (l *leader) eachLink(visit func(*link)) {
	for i := 0; i < len(l.m.links) && l.m.leader == l; {
		k := l.m.links[i]
		visit(k)
		if i < len(l.m.links) && l.m.links[i] == k {
			i++
		}
	}
}

// termLimits is how many initLimits a term lasts at the least before the leader
// gives it up for the sake of a voter that has promised a later epoch.
const termLimits = 5

// offer tells a learner the new epoch. A voter that has promised a later one
// could never follow: it must not be shut out for good, so there will be a
// later one. (ZooKeeper leaves it outside until the next election.) But only if
// it would follow then: one that would win the election has a history that was
// never this ensemble's, such as a data directory of another one. And not at once,
// for a stranger can say the same: each time it costs the ensemble an election.
func (l *leader) offer(k *link) {
	if k.accepted > l.epoch && !mistaken(FollowOlderEpoch) {
		l.offerLater(k)
		return
	}
	l.m.send(k.conn, wire.QuorumPacket{Type: wire.PacketLeaderInfo, Zxid: epochZxid(l.epoch),
		Data: l.m.leaderInfoData(k)})
	k.stage, k.heard = linkOffered, l.m.nowMs
}

// offerLater deals with a learner that has promised a later epoch than this one.
func (l *leader) offerLater(k *link) {
	m := l.m
	would := k.voter && m.elect.yields(k.sid, wire.Vote{Leader: m.cfg.SID, Zxid: m.log.last(), PeerEpoch: l.epoch})
	switch {
	case would && l.phase < leaderBroadcast:
		l.stale = true // if there is no quorum without it there will be another term soon
	case would && m.nowMs-l.since >= termLimits*m.initMs() && l.other(k, linkNewLeaderOK, linkServing) == nil:
		m.raise = min(k.accepted, m.epochs.Accepted+epochLeap)
		m.end(fmt.Sprintf("server %d has promised epoch %d, this is epoch %d", k.sid, k.accepted, l.epoch))
		return
	}
	m.closeLink(k, fmt.Sprintf("has promised epoch %d, this is epoch %d: it can follow only in a later one; if its data directory is another ensemble's, empty it", k.accepted, l.epoch))
}

// epochZxid is how an epoch is written where a zxid is expected.
func epochZxid(epoch int64) wire.Zxid { return wire.Zxid(epoch << 32) }

// packet takes a packet of a learner that has introduced itself.
func (l *leader) packet(k *link, p *wire.QuorumPacket) {
	k.heard = l.m.nowMs
	if k.challenged != 0 {
		l.answered(k)
	}
	switch {
	case p.Type == wire.PacketAck && k.stage >= linkNewLeaderOK:
		l.acked(k, p.Zxid)
	case p.Type == wire.PacketAck && k.stage == linkJoined:
		l.newLeaderAcked(k, p.Zxid)
	case p.Type == wire.PacketAckEpoch && k.stage == linkOffered:
		l.epochAcked(k, p)
	case p.Type == wire.PacketPing && k.stage >= linkNewLeaderOK:
		l.pinged(k, p)
	case (p.Type == wire.PacketRequest || p.Type == wire.PacketRevalidate) && k.stage == linkServing:
		l.forwarded(k, p)
	default:
		l.m.closeLink(k, fmt.Sprintf("%v out of turn", p.Type))
	}
}

func (l *leader) forwarded(k *link, p *wire.QuorumPacket) {
	l.m.ready.Forwarded = append(l.m.ready.Forwarded, Forwarded{Conn: k.conn, SID: k.sid, Packet: *p})
}

// epochAcked takes ACKEPOCH: the learner's promise and what it has.
func (l *leader) epochAcked(k *link, p *wire.QuorumPacket) {
	if len(p.Data) != 4 || p.Zxid < -1 {
		l.m.closeLink(k, fmt.Sprintf("ACKEPOCH with zxid %v and %d bytes", p.Zxid, len(p.Data)))
		return
	}
	current := int64(int32(binary.BigEndian.Uint32(p.Data)))
	k.last, k.stage = max(p.Zxid, 0), linkPromised
	if l.phase >= leaderSync {
		if l.contest(k) {
			l.choose(k)
		}
		return
	}
	if l.phase == leaderPromises && current != -1 && (current > l.ownEpoch || current == l.ownEpoch && p.Zxid > l.initial) {
		l.m.closeLink(k, fmt.Sprintf("knows more than we do: epoch %d and %v, ours are %d and %v", current, p.Zxid, l.ownEpoch, l.initial))
		return
	}
	if k.voter && p.Zxid != -1 && !l.hasPromised(k.sid) {
		if current != -1 || mistaken(CountPromiseTwice) {
			l.promised = append(l.promised, k.sid)
		} else {
			l.stale = true
		}
	}
	l.countPromises()
}

func (l *leader) hasPromised(sid wire.SID) bool {
	for _, s := range l.promised {
		if s == sid {
			return true
		}
	}
	return false
}

// countPromises ends discovery when a quorum follows into the new epoch: what
// any earlier leader could have committed is in this member's history now.
func (l *leader) countPromises() {
	m := l.m
	if m.leader != l || l.phase != leaderPromises || !l.promisedQuorum() {
		return
	}
	l.phase = leaderCurrent
	m.save(Epochs{Current: l.epoch})
}

func (l *leader) promisedQuorum() bool {
	if mistaken(CountObservers) && l.quorum(true, func(k *link) bool { return k.stage == linkPromised }) {
		return true
	}
	return l.m.cfg.Ensemble.quorum(func(sid wire.SID) bool { return sid == l.m.cfg.SID || l.hasPromised(sid) })
}

// newLeaderAcked takes the ACK of NEWLEADER: the learner has on disk all that
// this leader began with.
func (l *leader) newLeaderAcked(k *link, z wire.Zxid) {
	if z != epochZxid(l.epoch) {
		l.m.closeLink(k, fmt.Sprintf("ACK of %v, of NEWLEADER %v was expected", z, epochZxid(l.epoch)))
		return
	}
	k.stage = linkNewLeaderOK
	k.acked = max(k.acked, k.sent) // that is what this ACK says
	if l.phase == leaderBroadcast {
		l.upToDate(k)
		return
	}
	l.countNewLeaderAcks()
}

func (l *leader) countNewLeaderAcks() {
	if l.phase == leaderSync && l.quorum(true, func(k *link) bool { return k.stage == linkNewLeaderOK }) {
		l.start()
	}
}

// start begins the broadcast. The whole history that this member began with is
// committed now.
func (l *leader) start() {
	m := l.m
	l.phase, l.since = leaderBroadcast, m.nowMs
	l.nextCheck = m.nowMs + m.cfg.TickMs
	if m.elect == nil { // alone: in the epoch of its log, and on behind it
		l.epoch = int64(l.initial.Epoch())
		l.proposed = l.initial
	} else {
		m.elect.established(l.epoch)
		l.proposed = epochZxid(l.epoch)
		if m.cfg.FirstCounter > 0 {
			l.proposed += wire.Zxid(m.cfg.FirstCounter - 1)
		}
	}
	m.ready.Role = &RoleChange{State: wire.Leading, Leader: m.cfg.SID, Epoch: l.epoch, Base: l.initial}
	if mistaken(LoseTail) {
		m.ready.Role.Base = m.log.committed
		m.log.commitTo(m.log.end(), nil)
	}
	m.commitTo(m.log.end())
	l.eachLink(func(k *link) {
		if k.stage == linkNewLeaderOK {
			l.upToDate(k)
		}
	})
}

// upToDate lets a synchronized learner serve.
func (l *leader) upToDate(k *link) {
	l.m.send(k.conn, wire.QuorumPacket{Type: wire.PacketUpToDate, Zxid: -1})
	k.stage, k.heard = linkServing, l.m.nowMs
	l.m.zooids[k.sid] = k.ours
}

// nextZxid is the zxid of the next proposal, if there is one left. A member
// alone runs on into the next epoch, as ZooKeeper's standalone server does.
func (l *leader) nextZxid() (wire.Zxid, bool) {
	z := l.proposed + 1
	switch {
	case l.phase != leaderBroadcast || l.full:
		return 0, false
	case l.m.elect != nil && z.Counter() == 0xffffffff:
		l.full = true
		l.endIfFull()
		return 0, false
	}
	return z, true
}

// endIfFull ends a term whose counter is used up once nothing is in flight, so
// that no client is left without an answer.
func (l *leader) endIfFull() {
	if l.full && l.m.log.next == l.m.log.end() {
		l.m.end("the epoch's counter is used up")
		l.m.settle()
	}
}

// propose sends a transaction to the own log and to every follower that has
// been joined.
func (l *leader) propose(z wire.Zxid, payload []byte) {
	m := l.m
	l.proposed = z
	m.append(wire.Entry{Zxid: z, Payload: payload})
	for _, k := range m.links {
		if k.stage >= linkJoined && !k.observer {
			m.send(k.conn, wire.QuorumPacket{Type: wire.PacketProposal, Zxid: z, Data: payload})
		}
	}
}

// acked takes the ACK of a proposal, which stands for all before it: a learner
// writes its log in order.
func (l *leader) acked(k *link, z wire.Zxid) {
	switch {
	case z.Counter() == 0: // of UPTODATE
		return
	case k.observer || z > l.proposed:
		l.m.closeLink(k, fmt.Sprintf("ACK of %v, proposed is %v", z, l.proposed))
		return
	case z <= k.acked:
		return
	}
	k.acked = z
	if k.voter && z > l.m.log.committed {
		l.countAcks()
	}
}

// logged goes on when the own log has more on disk: the leader's own ack.
func (l *leader) logged() {
	if l.phase == leaderBroadcast {
		l.countAcks()
	}
}

// countAcks commits up to the greatest proposal that a quorum has on disk. It
// is of this epoch, for all that was before is committed since the start.
func (l *leader) countAcks() {
	m := l.m
	best := m.log.committed
	if z := m.log.durable; z > best && (l.ackedByQuorum(z) || mistaken(CommitWithoutQuorum)) {
		best = z
	}
	for _, k := range m.links {
		if k.voter && k.acked > best && l.ackedByQuorum(k.acked) {
			best = k.acked
		}
	}
	if best > m.log.committed {
		l.commit(best)
	}
}

func (l *leader) ackedByQuorum(z wire.Zxid) bool {
	return l.quorum(l.m.log.durable >= z, func(k *link) bool {
		return k.acked >= z || mistaken(CountObservers) && k.observer && k.stage == linkServing
	})
}

// commit makes every proposal up to z final and tells the learners.
func (l *leader) commit(z wire.Zxid) {
	m := l.m
	pos := m.log.next
	for ; pos < m.log.end(); pos++ {
		e := m.log.at(pos)
		if e.Zxid > z {
			break
		}
		for _, k := range m.links {
			switch {
			case k.stage < linkJoined:
			case k.observer:
				m.send(k.conn, wire.QuorumPacket{Type: wire.PacketInform, Zxid: e.Zxid, Data: e.Payload})
			default:
				m.send(k.conn, wire.QuorumPacket{Type: wire.PacketCommit, Zxid: e.Zxid})
			}
			l.sendSyncs(k, e.Zxid)
		}
	}
	m.commitTo(pos)
	l.endIfFull()
}

// sendSyncs sends the SYNCs that are due behind z.
func (l *leader) sendSyncs(k *link, z wire.Zxid) {
	for len(k.syncs) > 0 && k.syncs[0] <= z {
		l.m.send(k.conn, wire.QuorumPacket{Type: wire.PacketSync})
		k.syncs = k.syncs[1:]
	}
}

// Sync answers the sync of a learner of ZooKeeper's, behind what is proposed by
// now, and is false if the learner is one of ours. ZooKeeper's learners take the
// outcomes of their clients' requests, SYNC and COMMIT alike, in the order of
// these, so that SYNC must not wait for more; ours do not mind, and Confirm comes
// first.
func (m *Machine) Sync(conn ConnID) bool {
	k := m.link(conn)
	switch {
	case m.leader == nil || k == nil:
		return true
	case k.ours:
		return false
	}
	k.syncs = append(k.syncs, m.leader.proposed)
	if m.log.next == m.log.end() { // nothing is in flight
		m.leader.sendSyncs(k, m.leader.proposed)
	}
	return true
}

// Newest is the last zxid that this member was given to log.
func (m *Machine) Newest() wire.Zxid { return m.log.last() }
