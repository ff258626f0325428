// Package zab decides in which order, and when, transactions become final:
// ZooKeeper's atomic broadcast and its leader election, on ZooKeeper's bytes, as
// one machine without I/O, clock or goroutine for each member of an ensemble.
//
//	what happened                            what is to be done
//	Tick, Notified, Linked,      ┌───────┐   Ready: Entries, SaveEpochs,
//	Accepted, Dialled, Packet, ─►│Machine│─► Truncate, Install (disk);
//	Closed, Logged, EpochsSaved, └───────┘   Notices, Dial, Sends, Snapshots,
//	Propose, Forward, Pong …                 Close (network);
//	                                         Committed, Role, Forwarded … (peer)
//
// What happened goes in as calls, what is to be done comes out of Ready as
// values; one goroutine makes all calls. Time is what Tick said last. The same
// calls give the same values.
//
// A member looks for a leader (election), and then leads (leader) or follows or
// observes (learner) until something breaks; then it waits until its disk has all
// that was written, and looks again. A member alone, ZooKeeper's standalone
// server, is a leader from the start whose quorum is itself: it stays in the
// epoch of its log and keeps no epoch files.
//
// Promises, whatever crashes, breaks or is lost, as long as disks keep what they
// have reported:
//
//   - Committed entries come once each, in the order of their zxids, and the same
//     everywhere: of any two members' sequences one is a prefix of the other.
//   - What is committed is on the disks of a quorum, and never truncated.
//   - An epoch has one leader. Epochs on disk never go back, and no record is on
//     disk before the current epoch is at least its own.
//   - What a member tells of itself, in votes and in ACKEPOCH, is on its disk.
//   - Nothing is handed to the peer before a role serves, so there is never
//     anything to take back.
//
// What a peer can send wrong ends its connection, or the role, with a reason;
// what only a caller can do wrong panics.
//
// Read config.go, machine.go and ready.go, then election.go with vote.go and
// quorum.go; then leader.go with link.go, contest.go (who is believed to be a
// learner), choose.go (how a learner is synchronized) and liveness.go (pings,
// time-outs, confirming); then learner.go with stream.go and reconfig.go;
// history.go is the log as the machine knows it. The transcripts in
// testdata/machine tell what all of it does.
package zab
