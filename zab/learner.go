package zab

import (
	"encoding/binary"
	"fmt"

	"zooid/wire"
)

// learner is the role of following or observing, from the election to the last
// packet of the leader:
//
//	dial ─► FOLLOWERINFO ─► LEADERINFO ─► accepted epoch on disk ─► ACKEPOCH ─►
//	DIFF, TRUNC or SNAP ─► history, NEWLEADER ─► all of it on disk, then the
//	current epoch ─► ACK ─► UPTODATE ─► serving
//
// Proposals wait in one queue from the opening packet to the end: first in the
// log, then in held. COMMIT takes the oldest that is not committed, in every
// phase; before UPTODATE that is only remembered.
//
// Invariant: no record goes to the log before the current epoch on disk is at
// least its own, and the current epoch grows to e only when everything before e
// is on disk. So at any crash this member's (current epoch, last zxid) is that
// of a member that stopped there, and outranks nobody who has more.
type learner struct {
	m      *Machine
	leader wire.SID
	phase  learnerPhase
	conn   ConnID // 0 while there is none
	heard  int64  // when the last packet came, or the role began to wait for one

	// Dialling: how often, until when at most, and when the next try is due
	// (0 while one is under way).
	tries, slowTries int
	waitMs, redialAt int64
	leaderGone       bool // its election connection broke meanwhile

	epoch int64 // of the leader, from LEADERINFO
	zero  bool  // ACKEPOCH said that there is no history here
	// queue holds the packets that came while the disk cuts or installs.
	queue []wire.QuorumPacket

	last wire.Zxid    // of the last proposal received, or of the state before it
	held []wire.Entry // proposals that wait for their epoch, see the invariant
	// next is the position of the oldest proposal that is not committed. The
	// positions go on from the log into held.
	next int
	// joint is the last proposal before NEWLEADER.
	joint wire.Zxid
	// toAck is the position of the first record whose ACK is not sent.
	toAck int

	zooid bool        // the leader is ours
	pings []wire.Zxid // zxids of the PINGs that are not answered
}

type learnerPhase uint8

const (
	learnerDialling   learnerPhase = iota
	learnerInformed                // FOLLOWERINFO sent
	learnerAdopting                // the leader's secret goes to disk
	learnerAccepting               // the accepted epoch goes to disk
	learnerPromised                // ACKEPOCH sent
	learnerCutting                 // TRUNC came, the disk is at it
	learnerInstalling              // SNAP came, the disk is at it
	learnerReceiving               // the history comes
	learnerSaving                  // NEWLEADER came, what came before goes to disk
	learnerReady                   // NEWLEADER acknowledged
	learnerServing                 // UPTODATE came
)

// Waits between tries to reach a leader that has just been elected, and may not
// know it yet: short at first, for nothing else can happen meanwhile. Only the
// tries at the longest wait count towards DialTries.
const (
	redialMin int64 = 5
	redialMax int64 = 100
)

func newLearner(m *Machine, leader wire.SID) *learner {
	return &learner{m: m, leader: leader, heard: m.nowMs, waitMs: redialMin, last: m.log.last()}
}

// leave ends the role.
func (l *learner) leave(format string, args ...any) { l.m.end(fmt.Sprintf(format, args...)) }

// again begins the role anew with the same leader, without an election.
func (l *learner) again() {
	m := l.m
	m.ready.Close = append(m.ready.Close, l.conn)
	m.learner = newLearner(m, l.leader)
	m.learner.dial()
}

func (l *learner) dial() {
	l.tries++
	l.redialAt = 0
	l.m.ready.Dial = &Dial{Leader: l.leader, Attempt: l.tries}
}

func (l *learner) dialFailed() {
	if l.phase != learnerDialling || l.conn != 0 || l.redialAt != 0 {
		return
	}
	if l.waitMs >= redialMax {
		l.slowTries++
	}
	if l.leaderGone || l.slowTries >= l.m.cfg.DialTries {
		l.leave("leader %d cannot be reached, tried %d times", l.leader, l.tries)
		return
	}
	l.redialAt = l.m.nowMs + l.waitMs
	l.waitMs = min(2*l.waitMs, redialMax)
}

// unlinked hears that an election connection is gone: if it was the leader's
// there is little hope to reach it.
func (l *learner) unlinked(sid wire.SID) {
	if sid != l.leader || l.phase != learnerDialling {
		return
	}
	l.leaderGone = true
	if l.redialAt != 0 {
		l.leave("leader %d is gone, tried %d times", l.leader, l.tries)
	}
}

// dialled introduces this member.
func (l *learner) dialled(conn ConnID) {
	cfg := &l.m.cfg
	l.conn, l.phase, l.heard, l.redialAt = conn, learnerInformed, l.m.nowMs, 0
	info := wire.LearnerInfo{SID: cfg.SID, ProtocolVersion: wire.ProtocolVersionZooid, ConfigVersion: cfg.Ensemble.Version}
	p := wire.QuorumPacket{Type: wire.PacketFollowerInfo, Zxid: epochZxid(l.m.epochs.Accepted), Data: info.Append(nil)}
	if cfg.Observer {
		p.Type = wire.PacketObserverInfo
	}
	l.m.send(conn, p)
}

// limit is how long the leader may be silent.
func (l *learner) limit() int64 {
	if l.phase >= learnerReady {
		return l.m.syncMs()
	}
	return l.m.initMs()
}

func (l *learner) tick() {
	now := l.m.nowMs
	switch {
	case l.phase == learnerCutting || l.phase == learnerInstalling || l.phase == learnerAdopting || l.phase == learnerAccepting: // waits for its own disk
	case now-l.heard >= l.limit():
		if l.phase == learnerDialling {
			l.leave("leader %d cannot be reached for %d ms", l.leader, now-l.heard)
			return
		}
		l.leave("no packet from the leader for %d ms", now-l.heard)
	case l.redialAt != 0 && now >= l.redialAt:
		l.dial()
	}
}

func (l *learner) deadline() int64 {
	if l.redialAt != 0 {
		return l.redialAt
	}
	if l.phase == learnerCutting || l.phase == learnerInstalling || l.phase == learnerAdopting || l.phase == learnerAccepting {
		return l.m.nowMs + l.m.cfg.TickMs
	}
	return l.heard + l.limit()
}

// packet takes a packet of the leader.
func (l *learner) packet(p *wire.QuorumPacket) {
	l.heard = l.m.nowMs
	switch l.phase {
	case learnerInformed:
		l.leaderInfo(p)
	case learnerPromised:
		l.opening(p)
	case learnerCutting, learnerInstalling:
		l.queue = append(l.queue, *p)
	case learnerReceiving, learnerSaving, learnerReady, learnerServing:
		l.stream(p)
	default:
		l.leave("%v out of turn", p.Type)
	}
}

// leaderInfo takes the new epoch. Never is a smaller one followed.
func (l *learner) leaderInfo(p *wire.QuorumPacket) {
	m := l.m
	l.epoch = int64(p.Zxid) >> 32
	switch {
	case p.Type != wire.PacketLeaderInfo:
		l.leave("%v instead of LEADERINFO", p.Type)
	case len(p.Data) < 4 || int32(binary.BigEndian.Uint32(p.Data)) < wire.ProtocolVersion || p.Zxid.Counter() != 0:
		l.leave("LEADERINFO %v with %d bytes cannot be understood", p.Zxid, len(p.Data))
	case l.epoch > max(m.epochs.Accepted, m.elect.vote.PeerEpoch)+epochJump:
		l.leave("leader %d is in epoch %d, far beyond %d, which is promised here: is it another ensemble's?", l.leader, l.epoch, m.epochs.Accepted)
	case l.epoch > epochMax || l.epoch < m.epochs.Accepted && !mistaken(FollowOlderEpoch):
		l.leave("leader %d is in epoch %d, promised are %d up to %d", l.leader, l.epoch, m.epochs.Accepted, epochMax)
	default:
		var info wire.LeaderInfo
		d := wire.NewDecoder(p.Data)
		info.Decode(&d)
		if l.zooid = len(info.Secret) > 0; !l.saveLeaderSecret(info.Secret) {
			l.promise()
		}
	}
}

// promise keeps the promise to follow no older leader.
func (l *learner) promise() {
	m := l.m
	if l.epoch > m.epochs.Accepted {
		l.phase = learnerAccepting
		m.save(Epochs{Accepted: l.epoch})
		return
	}
	l.ackEpoch(-1) // promised before: it must not count twice
}

// ackEpoch tells what this member has, and its current epoch or -1.
func (l *learner) ackEpoch(current int32) {
	m := l.m
	p := wire.QuorumPacket{Type: wire.PacketAckEpoch, Zxid: m.log.durable, Data: wire.AppendInt32(nil, current)}
	if l.zero = m.zeroEpoch == l.epoch || m.distrusted; l.zero {
		p.Zxid = 0
	}
	l.phase, l.heard = learnerPromised, m.nowMs
	m.send(l.conn, p)
}

// opening takes the packet that says how the history will be made equal.
func (l *learner) opening(p *wire.QuorumPacket) {
	m := l.m
	if replaces := p.Type == wire.PacketTrunc || p.Type == wire.PacketSnap; replaces && p.Zxid >= 0 && p.Zxid < m.confirmed {
		l.leave("server %d leads without %v, which was committed: its data are another ensemble's, or it has lost some, "+
			"and this server does not give up its own for them. Stop server %d and look at its disk", l.leader, m.confirmed, l.leader)
		return
	}
	switch p.Type {
	case wire.PacketPing:
	case wire.PacketDiff:
		if l.zero && m.zeroEpoch != l.epoch {
			// ZooKeeper's leader would rather send all that ever was. What is here is as
			// good a beginning.
			m.distrusted = false
			l.again()
			return
		}
		if l.zero {
			l.leave("leader %d has no history to replace ours with", l.leader)
			return
		}
		l.receive()
	case wire.PacketTrunc:
		if l.zero || p.Zxid < 0 || p.Zxid >= m.log.durable {
			l.leave("TRUNC to %v, the log ends at %v", p.Zxid, m.log.durable)
			return
		}
		l.cut(p.Zxid)
	case wire.PacketSnap:
		if p.Zxid < m.log.committed && !l.zero || int64(p.Zxid)>>32 > l.epoch || p.Zxid < 0 {
			l.leave("SNAP of %v in epoch %d, the state here is at %v", p.Zxid, l.epoch, m.log.committed)
			return
		}
		l.install(p.Zxid)
	default:
		l.leave("%v instead of DIFF, TRUNC or SNAP", p.Type)
	}
}

func (l *learner) cut(z wire.Zxid) {
	m := l.m
	if mistaken(TruncateOneTooFew) && z >= m.log.base {
		pos, _ := m.log.behind(z)
		z = m.log.at(pos).Zxid
	}
	l.phase, l.joint, m.cutting = learnerCutting, z, true
	m.ready.Truncate = &z
}

// truncated goes on with what TRUNC has left. If that is not what the leader
// said the leader chooses once more, now that it can know; if the disk cannot
// go back so far it gets the whole state.
func (l *learner) truncated(last wire.Zxid, ok bool) {
	switch {
	case l.phase != learnerCutting: // of an earlier role
	case !ok:
		l.m.zeroEpoch = l.epoch
		l.again()
	case last != l.joint:
		l.again()
	default:
		l.receive()
	}
}

func (l *learner) install(z wire.Zxid) {
	m := l.m
	in := &Install{Conn: l.conn, Zxid: z, Epoch: l.epoch}
	if e := int64(z.Epoch()); e > m.epochs.Current {
		in.Epoch = e // see the invariant of learner
	}
	l.phase, m.installing = learnerInstalling, true
	m.ready.Install = in
}

func (l *learner) installed(ok bool) {
	switch {
	case l.phase != learnerInstalling: // of an earlier role
	case !ok:
		l.leave("the snapshot of leader %d broke off", l.leader)
	default:
		l.receive()
	}
}

// receive begins with the history behind what is here now. All of that is
// final once UPTODATE comes.
func (l *learner) receive() {
	l.phase, l.heard = learnerReceiving, l.m.nowMs
	l.last = l.m.log.last()
	l.next = l.m.log.end()
	queue := l.queue
	l.queue = nil
	for i := range queue {
		if l.m.learner != l {
			return
		}
		l.packet(&queue[i])
	}
}
