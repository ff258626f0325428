// Package server is the clients' network: it listens, speaks the client
// protocol on every connection, answers reads itself, and hands the rest to
// the member.
//
//	socket ─► read(2): many frames ─► handshake, reads, pings, auth ─► replies ─┐
//	                                   │                                        ▼
//	                                   └─► writes ─► Member.Submit          out buffer ─► one write(2)
//	                                                     ┊                      ▲
//	            the member's loop: Clients.Applied: events, the write's reply, ─┘
//	                               then the reads that waited behind it
//
// Every connection has one goroutine, which parks in a read without holding a
// buffer. It answers reads under the tree's read lock while no write of its
// connection is in flight; a read behind a write waits in the connection's
// queue and is answered by the member's loop right after that write's reply,
// under the tree's write lock as long as that takes little time (allowance.go).
// When it takes more, reads with no write behind them go to a goroutine, and
// those with one are done under the read lock before the next transaction. So the replies of a connection come in the order of
// its requests, and an event comes before any reply that shows the change:
// whatever is made under a hold of the tree's lock is put in the connection's
// out buffer under that hold. Only auth and sasl are answered at receipt.
//
// The member's loop opens the door when the member has a role and shuts it when
// it has none: Open, Drop. A read-only server has sessions of its own making,
// which the member never hears of.
//
// Promises:
//   - The loop never waits here: it appends to buffers, and writes to sockets
//     without blocking. What a socket does not take goes to a goroutine of that
//     connection, which lives as long as the congestion.
//   - Everything is bounded. A connection that has too much unanswered or
//     unread is not read from until that shrinks; one whose events and replies
//     pile up beyond a bound because it does not read them is cut off. All that
//     connections hold together is bounded too: the one that holds the most is
//     cut off then. What is
//     refused is logged with the client, what it was, and the limit.
//   - Words that list nothing answer whatever is done with the tree.
//   - Undecodable requests never get past this package.
//   - Nobody is served who has seen a later state than the tree's, and nobody
//     after Drop.
//
// Locks are taken in this order: the tree's, the registry's (Server.mu), a
// connection's (conn.mu). Methods for the member's loop (clients.go, door.go)
// are called by that loop only; all else is safe for any goroutine.
//
// Read member.go and server.go, then conn.go, input.go, request.go, handshake.go
// reply.go and allowance.go for the connection's goroutine, clients.go and door.go
// for the loop's side, readonly.go for service without a quorum and refuse.go for
// that on a full disk, output.go for the way out, and memory.go, limit.go, stats.go,
// word.go and lately.go.
package server
