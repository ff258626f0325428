// Package quorum runs a peer: the loop that feeds it and carries out what it
// wants done.
//
//	clients ─► inbox ─┐                      ┌─► log (its writer syncs) ─► Durable ─┐
//	                  ├─► one batch ─► peer ─┤                                      │
//	ticker, log ──────┘                      └─► apply under one lock hold          │
//	   ▲                                         ─► Clients: events, replies        │
//	   └────────────────────────────────────────────────────────────────────────────┘
//
// One goroutine, the loop, owns the peer and is the only one that changes the
// tree. It takes whatever has arrived as one batch, steps the peer, hands the
// new transactions to the log without waiting for it, and applies what has
// become durable in one hold of the tree's lock. Group commit falls out of
// that: while the log syncs, the next batch gathers.
//
// Promises: nothing that the loop does waits for a disk, a network or a
// client; a failed sync of the log ends the member, with the error on Failed.
//
// A member alone is all there is today; the members' network comes here.
package quorum
