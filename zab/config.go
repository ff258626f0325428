package zab

import "zooid/wire"

// Config is what a Machine is told about its place. Times are in ms.
type Config struct {
	SID wire.SID
	// Ensemble is who belongs to it; nil for a member alone, which is a quorum of
	// one: it leads from the start, in the epoch of its log, without epoch files.
	Ensemble *Ensemble
	Observer bool // this member's role
	// Secret is what the members of an ensemble share and nobody else knows,
	// wire.SecretSize bytes, as it is on this member's disk. A leader has its
	// learners adopt its own. Empty if there is none.
	Secret string

	TickMs         int64
	InitLimit      int64 // ticks in which learners must connect and synchronize
	SyncLimit      int64 // ticks after which a silent peer is given up
	MinNotifyMs    int64 // first wait for notifications; 200
	MaxNotifyMs    int64 // longest wait for notifications; 60000
	FinalizeMs     int64 // how long an election waits for a better vote; 200
	MaxEpochWaitMs int64 // disloyal voters, quorum.md §9.5; below 0: off
	DialTries      int   // tries to reach a leader before another election; 5
	DiffBytes      int64 // more log than this behind a learner and it gets a snapshot
	RecentBytes    int64 // bytes of memory for committed entries that are kept for learners

	// FirstCounter, if not 0, is the counter of a leader's first proposal, so that
	// a test comes to the end of an epoch quickly.
	FirstCounter uint32
}

// Disk is what the member's disk holds when a Machine begins.
type Disk struct {
	Epochs Epochs
	// Last is the last zxid that is durable: of the log, or of the state if the
	// log ends before it.
	Last wire.Zxid
	// Committed is the zxid of the tree.
	Committed wire.Zxid
	// Recent are the last records of the log: all behind Committed, and as many
	// before it as the caller likes. The machine keeps the payloads.
	Recent []wire.Entry
}
