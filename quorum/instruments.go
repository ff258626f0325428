package quorum

import (
	"time"

	"zooid/wire"
)

// Instruments count what the member does; nil ones count nothing. None may
// block, and those of snapshots are called by several goroutines.
type Instruments struct {
	// In every role.
	Logged    func(n int64)                // transactions handed to the log
	Applied   func(n int64)                // committed transactions applied to the tree
	Looked    func(n int64)                // searches for a leader that began
	Elected   func(took time.Duration)     // the election was decided, so long after such a beginning
	Found     func(unserved time.Duration) // a role begins to serve, after so long without one
	RoleEnded func(reason string)          // a role that served has ended
	// AppliedIn is the time of one hold of the tree's lock for transactions, and
	// Travelled the time from when the last of them was made to that, by the two
	// members' wall clocks.
	AppliedIn func(took time.Duration)
	Travelled func(took time.Duration)
	// Mismatched counts transactions after which the tree's digest was not theirs.
	Mismatched func(n int64)

	// As a leader, or alone.
	Batched   func(n int64)            // requests that are prepared together, one count for each batch
	Prepared  func(took time.Duration) // the preparation of a request, the mean of a batch
	Disloyal  func(n int64)            // times that leading was given up for a voter that looked elsewhere
	Proposed  func(n int64)            // transactions proposed
	Committed func(n int64)            // and those applied
	Expired   func(n int64)            // sessions that ended because nobody was heard

	// As a leader.
	FoundLeading  func(unserved time.Duration)          // Found, of leaders only
	DiffsSent     func(n int64)                         // learners brought up to date by DIFF
	TruncsSent    func(n int64)                         // by TRUNC
	SnapshotsSent func(n int64)                         // by SNAP, once it is sent
	SnapshotsOut  func(n int64)                         // how many are on their way, with every change
	Revalidated   func(n int64)                         // sessions that learners asked about
	QuorumAcked   func(took time.Duration)              // from a proposal to its commit; a sample
	Acked         func(by wire.SID, took time.Duration) // from a proposal to a voter's ACK; a sample

	// As a follower or observer.
	Synced            func(took time.Duration) // from the leader's word what it will send to serving
	ProposalsReceived func(n int64)
	ProposalTravelled func(took time.Duration) // by the two members' wall clocks; a sample
	CommitsReceived   func(n int64)            // an observer's INFORM among them
	Installed         func(n int64)            // snapshots taken over from leaders
	Truncated         func(n int64)            // times that the log was cut
}

// fill puts something that does nothing in the place of what is not counted.
func (c *Instruments) fill() {
	for _, count := range []*func(int64){
		&c.Mismatched, &c.Logged, &c.Applied, &c.Looked, &c.Proposed, &c.Committed, &c.Expired,
		&c.DiffsSent, &c.TruncsSent, &c.SnapshotsSent, &c.SnapshotsOut, &c.Revalidated,
		&c.ProposalsReceived, &c.CommitsReceived, &c.Batched, &c.Disloyal, &c.Installed, &c.Truncated,
	} {
		if *count == nil {
			*count = func(int64) {}
		}
	}
	for _, measure := range []*func(time.Duration){
		&c.Elected, &c.Found, &c.FoundLeading, &c.QuorumAcked, &c.Synced, &c.ProposalTravelled, &c.AppliedIn, &c.Travelled, &c.Prepared,
	} {
		if *measure == nil {
			*measure = func(time.Duration) {}
		}
	}
	if c.RoleEnded == nil {
		c.RoleEnded = func(string) {}
	}
	if c.Acked == nil {
		c.Acked = func(wire.SID, time.Duration) {}
	}
}
