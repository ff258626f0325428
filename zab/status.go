package zab

import (
	"cmp"
	"slices"

	"zooid/wire"
)

// Status is the machine at a glance, for words and metrics.
type Status struct {
	State     wire.PeerState
	Phase     string // as mntr's peer_state: "election", "discovery", "synchronization", "broadcast"
	Leader    wire.SID
	Epoch     int64
	Epochs    Epochs
	Last      wire.Zxid // durable
	Proposed  wire.Zxid
	Committed wire.Zxid
	Learners  []LearnerStatus // leader only, by connection
	// Disloyal is how often since the start this member gave up leading because a
	// voter looked for a leader elsewhere.
	Disloyal int64
}

// LearnerStatus is how a leader sees a learner.
type LearnerStatus struct {
	Conn     ConnID
	SID      wire.SID
	Observer bool
	Voter    bool // counts to the quorum
	Synced   bool // has been sent UPTODATE
	Acked    wire.Zxid
}

// Status tells it.
func (m *Machine) Status() Status {
	s := Status{State: wire.Looking, Phase: "election", Leader: wire.NoSID, Epochs: m.epochs,
		Last: m.log.durable, Proposed: m.log.last(), Committed: m.log.committed, Disloyal: m.disloyal}
	switch {
	case m.leader != nil:
		s.State, s.Leader, s.Epoch, s.Phase = wire.Leading, m.cfg.SID, m.leader.epoch, m.leader.phase.String()
		s.Proposed = m.leader.lastProposed()
		for _, k := range m.links {
			if k.stage < linkPromised || k.contends {
				continue // anybody can say that much
			}
			s.Learners = append(s.Learners, LearnerStatus{Conn: k.conn, SID: k.sid, Observer: k.observer,
				Voter: k.voter, Synced: k.stage == linkServing, Acked: k.acked})
		}
		slices.SortFunc(s.Learners, func(a, b LearnerStatus) int { return cmp.Compare(a.Conn, b.Conn) })
	case m.learner != nil:
		s.State, s.Leader, s.Epoch, s.Phase = wire.Following, m.learner.leader, m.learner.epoch, m.learner.phase.String()
		if m.cfg.Observer {
			s.State = wire.Observing
		}
	}
	return s
}

// String is how far the learner is, as mntr's peer_state has it.
func (p learnerPhase) String() string {
	switch {
	case p < learnerPromised:
		return "discovery"
	case p < learnerServing:
		return "synchronization"
	}
	return "broadcast"
}

// String is how far the leader is, as mntr's peer_state has it.
func (p leaderPhase) String() string {
	switch {
	case p < leaderSync:
		return "discovery"
	case p < leaderBroadcast:
		return "synchronization"
	}
	return "broadcast"
}
