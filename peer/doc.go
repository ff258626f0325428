// Package peer is one member of an ensemble as one machine: the broadcast
// (zab), the tree (znode), the liveness of sessions (session), the changes in
// flight, and who waits for which reply. It leads, follows, observes, or is
// alone, and does the same for its clients in each role.
//
//	Submit ─► a leader:  Prepare ─► proposal ─┐
//	      └─► a learner: REQUEST ─► (leader) ─┤ zab: log, acks, commit
//	(reply, events) ◄─ Apply ◄─ in zxid order ┘
//
// A leader prepares requests, its own clients' and those that learners forward,
// against the view of what is in flight; decides which member owns a session;
// and ends sessions that nobody has heard from. A learner forwards requests and
// recognizes their transactions when they come back, for the leader answers
// them in the order in which they were sent. Between two roles clients are held
// for a while: reads go on, requests wait here. What a role has left unanswered is
// in the history with which the next epoch begins, or can never be committed, and
// is then asked again, once.
//
// It is plain single-threaded code without I/O, clock or randomness: what
// happens goes in by a call, what must be done comes out of Ready and Apply.
// The goroutine that owns it, the member's loop in package quorum, makes every
// call; only Apply needs the tree's write lock.
//
// A round of that loop: Tick; then all that has arrived; then Ready, carried
// out, and Apply, again and again until there is nothing more.
//
// Promises:
//   - A request gets one outcome, in the order of the zxids, and requests of one
//     connection get theirs in the order of their submission; or its connection
//     is dropped. A request of a dropped connection that has not left this member
//     is not done any more.
//   - Nothing is applied that is not committed.
//   - What an old connection of a session asks is not done once another member
//     has attached the session, also under later leaders (moved.go).
//   - A sync's outcome says that this member has all that was committed when it
//     was asked: a leader answers only when a quorum has shown that it still
//     leads.
//   - A session is expired by the leader only, at the earliest when its timeout
//     has passed on the session clock since it was last heard; the clock stands
//     still while the member could not have heard anybody, and begins anew with
//     each leader.
//
// Read peer.go, ready.go and role.go; then request.go, apply.go and sync.go for
// the way of a request; then sessions.go, moved.go, local.go, sweep.go and refuse.go.
package peer
