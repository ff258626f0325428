// Package quorum runs a peer: the loop that feeds it and carries out what it
// wants done.
//
//	clients ─► inbox ─┐                      ┌─► log (its writer syncs) ─► Durable ─┐
//	                  ├─► one batch ─► peer ─┤                                      │
//	ticker, log ──────┘                      └─► apply under one lock hold          │
//	   ▲                                         ─► Clients: events, replies        │
//	   └────────────────────────────────────────────────────────────────────────────┘
//
// The loop has no goroutine of its own but for the ticks: whoever brings
// something, a connection with requests or the log with its completion, takes
// the turn and runs a round, unless another has it, which then sees to what was
// brought. So a write changes threads once, to the log, and no further. Who has
// the turn owns the peer and alone changes the tree.
//
// A round takes whatever has arrived as one batch, steps the peer, hands the
// new transactions to the log without waiting for it, and applies what has
// become durable in one hold of the tree's lock. Group commit falls out of
// that: while the log syncs, the next batch gathers.
//
// Promises: nothing that the loop does waits for a disk, a network or a
// client. A failed sync of the log ends the member, with the error on Failed.
// Stop lets it end in good order: what was handed over is applied and answered
// first, as far as the log takes it.
//
// Everything but the calls of Clients, Log and Store may be used from any
// goroutine. A member alone is all there is today; the members' network comes
// here. Read member.go.
package quorum
