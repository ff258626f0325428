package main

import (
	"time"

	"zooid/fourletter"
	"zooid/quorum"
	"zooid/wire"
)

// describeRole fills in what a member of an ensemble knows of its place there.
func (p *process) describeRole(st *fourletter.Status) {
	role, err := p.member.Status()
	if err != nil {
		st.Mode, st.NotServing = fourletter.ModeNotServing, "stopping"
		return
	}
	st.Mode = modeOf(&role)
	st.PeerState = role.State.String() + " - " + role.Phase
	st.Leader, st.Epoch = role.Leader, role.Epoch
	st.LocalSessions = int64(role.LocalSessions)
	st.QuorumSize = int64(p.cfg.Ensemble.Members.Participants())
	switch {
	case st.Mode == fourletter.ModeNotServing && role.Reason == "":
		st.NotServing = "looking for a leader"
	case st.Mode == fourletter.ModeNotServing:
		st.NotServing = "looking for a leader: " + role.Reason
	case st.Mode == fourletter.ModeObserver:
		st.ObserverMaster = role.Leader
	case st.Mode == fourletter.ModeLeader:
		p.describeLeading(st, &role)
	}
}

// modeOf is what a member is to its clients. While it holds them over an
// election it is nothing.
func modeOf(role *quorum.Status) fourletter.Mode {
	switch {
	case role.ReadOnly:
		return fourletter.ModeReadOnly
	case !role.Serves:
		return fourletter.ModeNotServing
	}
	switch role.State {
	case wire.Leading:
		return fourletter.ModeLeader
	case wire.Following:
		return fourletter.ModeFollower
	case wire.Observing:
		return fourletter.ModeObserver
	}
	return fourletter.ModeNotServing
}

// describeLeading fills in what a leader knows of its learners.
func (p *process) describeLeading(st *fourletter.Status, role *quorum.Status) {
	l := &st.Leading
	l.Uptime = time.Since(role.Since)
	l.PendingSyncs = int64(role.PendingSyncs)
	l.ProposalSize = fourletter.Sizes(role.ProposalSize)
	l.Proposed = role.Proposed
	for i := range role.Learners {
		learner := &role.Learners[i]
		l.Learners++
		switch {
		case learner.Observer:
			st.SyncedObservers += boolInt(learner.Synced)
		case !learner.Voter:
			l.SyncedNonVotingFollowers += boolInt(learner.Synced)
		default:
			l.SyncedFollowers += boolInt(learner.Synced)
			l.Followers = append(l.Followers, fourletter.Follower{SID: learner.SID, Synced: learner.Synced,
				Acked: learner.Acked, Lag: role.Lags[learner.SID]})
		}
	}
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
