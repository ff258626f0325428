package main

import "zooid/wire"

// rare is a state that a run should sometimes come through: a simulation that
// never comes to the interesting places proves nothing.
type rare uint8

const (
	rareCrash rare = iota
	rareLeaderDies
	rareCrashInFlight
	rareUnsyncedLost
	rareTornRecord
	rareLogBehindCopy
	rareCrashInPromise
	rareCrashInTrunc
	rareCrashInInstall
	rarePowerAll
	rarePause
	rareStall
	rarePartition
	rareDeposed
	rareDiskStall
	rareDiskFull
	rareAtMoment
	rareResign
	rareWiped
	rareGroupCommit
	rarePurge
	rareElected
	rareRollover
	rareDiff
	rareDiffFromLog
	rareLogPurged
	rareSnap
	rareInstalled
	rareSnapBroken
	rareTruncSent
	rareTrunc
	rareTruncElsewhere
	rareTruncRefused
	rarePromisedBefore
	rareObserverSynced
	rareTailCommitted
	rareHeld
	rareResumed
	rareClientAhead
	rareClientMoves
	rareHalfOpen
	rareHops
	rareStranded
	rareOrphaned
	rareRecipeLooks
	rareRecipeFinds
	rareRecipeAgain
	rareMovedRefused
	rareReattach
	rareReattachRefused
	rareWrongPassword
	rareExpiry
	rareClosedByClient
	rareEvent
	rareCatchUp
	rareSetWatches
	rareLocked
	rareLockTaken
	rareNodeExists
	rareNoNode
	rareBadVersion
	rareNotEmpty
	rareSessionExpired
	rareStaleRefusal
	rareLocalSession
	rareUpgraded
	rareUnjudged
	rareStates
)

var rareNames = [rareStates]string{
	rareCrash: "crash", rareLeaderDies: "… of a leader", rareCrashInFlight: "… with writes in flight",
	rareUnsyncedLost: "… with something not synced", rareTornRecord: "torn record cut", rareLogBehindCopy: "log ends before the copy",
	rareCrashInPromise: "crash while epochs are saved", rareCrashInTrunc: "crash while the log is cut", rareCrashInInstall: "crash while a snapshot is installed",
	rarePowerAll: "all lose power", rarePause: "member stands still", rareStall: "loop was late", rarePartition: "partition",
	rareDeposed: "leader deposed without a word", rareDiskStall: "disk stalls", rareDiskFull: "disk full", rareAtMoment: "fault at a moment", rareResign: "leader or follower resigned", rareWiped: "observer with an empty disk",
	rareGroupCommit: "group commit", rarePurge: "log purged", rareElected: "leader began to serve", rareRollover: "counter rolled over",
	rareDiff: "DIFF sent", rareDiffFromLog: "… read from the log", rareLogPurged: "… which does not reach back",
	rareSnap: "SNAP sent", rareInstalled: "… installed", rareSnapBroken: "… broken off",
	rareTruncSent: "TRUNC sent", rareTrunc: "log cut", rareTruncElsewhere: "… before the zxid of TRUNC: reconnect", rareTruncRefused: "… refused: the copy is beyond",
	rarePromisedBefore: "ACKEPOCH that does not count", rareObserverSynced: "observer synced",
	rareTailCommitted: "leader commits a tail of an older epoch", rareHeld: "clients held", rareResumed: "held clients resumed",
	rareClientAhead: "client ahead of its member", rareClientMoves: "session moves", rareHops: "… with requests of one number under way", rareHalfOpen: "client gone without a word", rareStranded: "clients cut off from a member", rareOrphaned: "leader dies when a member has lost it",
	rareRecipeLooks: "recipe looks for what it asked", rareRecipeFinds: "… finds it", rareRecipeAgain: "… asks again", rareMovedRefused: "request of a moved session refused",
	rareReattach: "re-attachment", rareReattachRefused: "re-attachment refused", rareWrongPassword: "wrong password",
	rareExpiry: "session expired", rareClosedByClient: "session closed", rareEvent: "watch event", rareCatchUp: "… caught up with", rareSetWatches: "watches set again",
	rareLocked: "lock acquired", rareLockTaken: "… after its holder's session ended",
	rareNodeExists: "refused: node exists", rareNoNode: "refused: no node", rareBadVersion: "refused: bad version", rareNotEmpty: "refused: node has children",
	rareSessionExpired: "refused: session expired", rareStaleRefusal: "session refused by a stale member", rareLocalSession: "local session", rareUpgraded: "… upgraded",
	rareUnjudged: "history too hard to judge",
}

// sawRefusal counts what a write was refused for.
func (w *world) sawRefusal(err wire.ErrCode) {
	switch err {
	case wire.ErrNodeExists:
		w.saw(rareNodeExists)
	case wire.ErrNoNode:
		w.saw(rareNoNode)
	case wire.ErrBadVersion:
		w.saw(rareBadVersion)
	case wire.ErrNotEmpty:
		w.saw(rareNotEmpty)
	case wire.ErrSessionExpired:
		w.saw(rareSessionExpired)
	}
}
