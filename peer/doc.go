// Package peer is one member of an ensemble as one machine: the broadcast
// (zab), the tree (znode), the liveness of sessions (session), the changes in
// flight, and who waits for which reply.
//
//	Submit ─► Prepare ─► proposal ─► Ready.Entries ─► (the log)
//	                                                     │ Durable
//	(reply, events) ◄─ Apply ◄─ commit, in zxid order ◄──┘
//
// It is plain single-threaded code without I/O, clock or randomness: what
// happens goes in by a call, what must be done comes out of Ready and Apply.
// The goroutine that owns it, the member's loop in package quorum, makes every
// call; only Apply needs the tree's write lock.
//
// Promises:
//   - A request gets exactly one outcome, in the order of the zxids; requests
//     of one connection get theirs in the order of their submission.
//   - Nothing is applied that the log has not reported durable.
//   - A session is expired at the earliest when its timeout has passed on the
//     session clock since it was last heard; the clock stands still while the
//     member could not have heard anybody.
//
// Read peer.go, then sessions.go, then sweep.go.
package peer
