package zab

import "fmt"

// Defect is a mistake that is built in on purpose, one at a time, under the
// build tag "defects", to see whether the simulator finds it. Without the tag
// none of them is in the program.
type Defect int

// The mistakes. The first block is made in this package, the last in package
// peer.
const (
	NoDefect Defect = iota

	AckBeforeDurable    // a follower acknowledges a proposal before its log has it on disk
	ForgetAcceptedEpoch // an accepted epoch is acknowledged but not saved
	ForgetCurrentEpoch  // a current epoch is acknowledged but not saved
	CommitWithoutQuorum // a leader commits with one ack too few
	AckNewLeaderEarly   // NEWLEADER is acknowledged before the history is on disk
	KeepBrokenSnapshot  // a snapshot whose stream broke is taken for whole
	TruncateOneTooFew   // TRUNC leaves one record too many
	SkipOutstanding     // a learner that joins is not sent the proposals in flight
	CountObservers      // acks of observers count
	CountPromiseTwice   // an ACKEPOCH that must not be counted, is
	ServeBeforeUpToDate // a learner serves as soon as it has acknowledged NEWLEADER
	LoseTail            // a new leader drops what its log holds behind its tree
	VoteByZxidOnly      // the epoch does not count when votes are compared
	OneVoteFewer        // one voter, or one group, less is taken for a quorum everywhere
	EvictUnproven       // who says a live learner's number throws it out
	FollowOlderEpoch    // an epoch below the accepted one is offered and followed

	SyncUnconfirmed   // a sync is answered by a leader that may have been deposed
	AskGivenUp        // a new leader is asked what clients may have given up
	DropAbove         // what was under way when a session came here may answer its requests
	OldConnection     // what an earlier connection of a session asked is done after its re-attachment
	DenyUnsure        // a leader that may have been deposed denies a session
	ExpireEarly       // a new leader gives sessions no fresh timeout
	ReplyBeforeCommit // a write is answered when it is proposed
	KeepEphemerals    // closing a session leaves an ephemeral behind
	ForgetMoved       // a session that has moved is served at its old member too

	defects int = iota
)

var defectNames = [defects]string{
	NoDefect:            "none",
	AckBeforeDurable:    "AckBeforeDurable",
	ForgetAcceptedEpoch: "ForgetAcceptedEpoch",
	ForgetCurrentEpoch:  "ForgetCurrentEpoch",
	CommitWithoutQuorum: "CommitWithoutQuorum",
	AckNewLeaderEarly:   "AckNewLeaderEarly",
	KeepBrokenSnapshot:  "KeepBrokenSnapshot",
	TruncateOneTooFew:   "TruncateOneTooFew",
	SkipOutstanding:     "SkipOutstanding",
	CountObservers:      "CountObservers",
	CountPromiseTwice:   "CountPromiseTwice",
	ServeBeforeUpToDate: "ServeBeforeUpToDate",
	LoseTail:            "LoseTail",
	VoteByZxidOnly:      "VoteByZxidOnly",
	OneVoteFewer:        "OneVoteFewer",
	EvictUnproven:       "EvictUnproven",
	FollowOlderEpoch:    "FollowOlderEpoch",
	SyncUnconfirmed:     "SyncUnconfirmed",
	AskGivenUp:          "AskGivenUp",
	DropAbove:           "DropAbove",
	OldConnection:       "OldConnection",
	DenyUnsure:          "DenyUnsure",
	ExpireEarly:         "ExpireEarly",
	ReplyBeforeCommit:   "ReplyBeforeCommit",
	KeepEphemerals:      "KeepEphemerals",
	ForgetMoved:         "ForgetMoved",
}

// String is the name of the constant.
func (d Defect) String() string {
	if d < 0 || int(d) >= defects {
		return fmt.Sprintf("defect %d", int(d))
	}
	return defectNames[d]
}

// Defects lists all of them.
func Defects() []Defect {
	list := make([]Defect, 0, defects-1)
	for d := NoDefect + 1; int(d) < defects; d++ {
		list = append(list, d)
	}
	return list
}

// Mistaken says whether the program is to make this mistake. It is false in
// every program that is not built with the tag.
func Mistaken(d Defect) bool { return mistaken(d) }
