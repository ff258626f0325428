// Package zab decides in which order, and when, transactions become final:
// ZooKeeper's atomic broadcast, as machines without I/O.
//
//	Propose ─► (the log makes it durable) ─► Durable ─► Committed
//
// What a machine wants done comes out as values, what happened goes in as
// calls; one goroutine, the member's loop, makes all of them.
//
// Solo is the role of a member that is its own quorum: ZooKeeper's standalone
// server. It stays in the epoch of what it finds in its log (epoch 0 on an
// empty one), keeps no epoch files, and a transaction is committed as soon as
// its own log has it.
//
// Promises: zxids are handed out without a hole, and commits come in the order
// of the proposals, each of them once and none before it is durable.
package zab
