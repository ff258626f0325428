// Package quorum runs a peer on a machine: the loop that feeds it and carries
// out what it wants done, and the two networks by which members of an ensemble
// talk to each other.
//
//	clients: Submit, Attach ─┐                    ┌─► Log ── syncs ──► Durable ─┐
//	log: Durable ────────────┤                    ├─► apply, under the tree's   │
//	members: votes, packets ─┼─► inbox ─► peer ─► │   lock ─► Clients: replies  │
//	errands: what came of it ┤   one batch        ├─► links, channels ─► others │
//	ticks ───────────────────┘                    └─► errands: epoch files,     │
//	   ▲                                              TRUNC, SNAP, old log      │
//	   └────────────────────────────────────────────────────────────────────────┘
//
// # The loop
//
// The loop has no goroutine of its own but for the ticks: whoever brings
// something, a connection with requests, the log with its completion, another
// member with a packet, takes the turn and runs a round, unless another has it,
// which then sees to what was brought. So a write changes threads once, to the
// log, and no further. Who has the turn owns the peer and alone changes the tree.
//
// A round takes whatever has arrived as one batch, steps the peer, hands
// transactions to the log and packets to the connections without waiting for
// them, and applies what is final in one hold of the tree's lock. Group commit
// falls out of that: while the log syncs, the next batch gathers.
//
// # The members
//
//   - links: one connection with every other member, for the election. Each side
//     sends what it votes; only the newest vote matters. The one with the greater
//     number dials, the other may ask to be dialled.
//   - channels: the connections between a leader and its learners. Every member
//     listens; learners dial. Packets in order, snapshots as streams among them.
//   - network: the two of them and the disk, as the peer sees them. What blocks is
//     an errand, with a goroutine that posts what came of it to the loop.
//
// A member alone has no network, and the same loop.
//
// # Promises
//
//   - Nothing that the loop does waits for a disk, a network or a client, but for
//     one thing: a leader's snapshot takes the place of tree and log in a turn of
//     its own.
//   - What the peer wants of one connection is done in its order; what a connection
//     brings is told in its order.
//   - What waits has a bound: packets for a connection (it is closed), batches of
//     packets for the loop (it is not read from), the history for a learner that
//     is behind (one part of the log). Who takes nothing for long is given up.
//   - A promise to the ensemble that cannot be kept on disk, like a failed sync of
//     the log, ends the member, with the error on Failed. A full disk does not:
//     what is to be promised waits for room. A leader whose disk is short makes way
//     once; a member alone, or one that must lead all the same, refuses writes.
//   - A member whose tree does not have the digest that a transaction brings looks
//     into it: where snapshot and log say that the tree here is wrong it leaves its
//     role and takes over a leader's state, and says so. A leader whose durable copy
//     takes no more changes resigns, and declines to lead while others can.
//   - Clients are let in when there is a role, kept for a while when it ends, and
//     let go with a word on why.
//   - Stop lets the member end in good order: what was handed over is applied and
//     answered first, as far as the log and the others take it. A leader hands over:
//     the others look for the next one at once.
//
// Everything but the calls of Clients, Log, Store and Disk may be used from any
// goroutine.
//
// # Strangers
//
// Anybody can reach the ports and say to be a member. What that may cost is
// bounded: connections that say nothing make way for newer ones, members' addresses
// last (silent.go, memberaddrs.go); a packet of somebody who has not got as far as
// NEWLEADER is small, and all packets that are not whole share one budget; an
// election connection that stands is replaced only if it is silent or has ended
// (greeted.go), and zab does the same for learners; log lines are thinned (thin.go).
//
// Read member.go and loop.go; role.go for who may come in; network.go and
// errand.go; then links.go and linkconn.go, channel.go, inbound.go and
// outbound.go, on sockets.go. digests.go watches over the tree; office.go and
// instruments.go measure; diskspace.go says what a full disk means.
package quorum
