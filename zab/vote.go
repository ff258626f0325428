package zab

import "zooid/wire"

// ballot is a vote as one member has told it.
type ballot struct {
	wire.Vote
	state   wire.PeerState // of the member that told it
	round   int64
	version int32 // of the message: 0 from servers before ZooKeeper 3.5
}

// agrees says whether two members stand behind the same leader. While one of
// them is still looking all of the vote must be the same. Those that have a
// leader may tell it with different zxids and rounds if they joined it at
// different times, but in the same epoch. In the same round it is enough that
// the leader is: each of its followers learns the epoch at another moment. The
// oldest servers (version 0) are believed without it too.
func (b ballot) agrees(o ballot) bool {
	if b.state == wire.Looking || o.state == wire.Looking {
		return b.Vote == o.Vote && b.round == o.round
	}
	return b.Leader == o.Leader &&
		(b.PeerEpoch == o.PeerEpoch || b.round == o.round || (b.version > 0) != (o.version > 0))
}

// beats says whether a is the better vote: whose history is of a later epoch,
// or is longer in the same epoch; of equals the greater SID. A quorum that
// elects the best vote among its own elects a member that has every committed
// txn. A leader without weight never wins.
func (e *Ensemble) beats(a, b wire.Vote) bool {
	if e.weight(a.Leader) == 0 {
		return false
	}
	if a.PeerEpoch != b.PeerEpoch && !mistaken(VoteByZxidOnly) {
		return a.PeerEpoch > b.PeerEpoch
	}
	if a.Zxid != b.Zxid {
		return a.Zxid > b.Zxid
	}
	return a.Leader > b.Leader
}
