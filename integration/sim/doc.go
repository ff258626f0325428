// Command sim runs whole ensembles, with their networks, disks, clocks and
// clients, in one goroutine, and checks after every step what Zooid promises.
//
//	seed ─► plan: shape, clients, faults
//	            │
//	            ▼            ┌─► members (peer.Peer, real trees) ─► disks
//	          world: heap ───┼─► networks: links, channels, clients' connections
//	        of events        ├─► clients with their workloads
//	            ▲            └─► faults
//	            │                     │
//	            └── what follows ◄────┴─► checks, hash of the trace, rare states seen
//
// Everything random comes from the seed, in streams of their own for the
// network, the disks, each client and each fault: the same seed and commit give
// the same hash of the trace, and a fault or a client can be left out of a run
// without changing the others' dice.
//
//	go run ./integration/sim -seeds 1-2000 -steps 20000
//
// A run has two parts. In the first, faults come as the plan has them: members
// are killed, lose power, stand still, are cut off, have slow, stalled or full
// disks, and that at the worst of times (see moment). Then everything is healed,
// and the ensemble has to make progress, come to rest, and agree.
//
// Checked, by the numbers of the invariants of Zab in the project's
// specification of the protocol: one leader for each epoch (1), integrity (2),
// agreement and order (3 to 6), completeness of leaders (7, 9), durability of
// what is committed on a quorum, at every moment (8), consistency of learners
// (10), discipline of epochs (12, 13, 15), acknowledgements and commits on the
// wire (16, 17), equal digests at equal zxids (20); for clients: one outcome for
// each request, in order, real-time order of writes and of reads behind a sync,
// linearizable registers, zxids that never go back, watches before data,
// exclusive locks, queues that neither lose nor repeat, one createSession for an
// id, no session ended before its time, no ephemeral without its session (18,
// 19).
//
// On failure the schedule is shrunk, the end of the run is told in words, and
// the last line is the command that replays it.
//
// That the checks see is shown by mistakes that are built in on purpose, each of
// which has to be found:
//
//	go run -tags defects ./integration/sim -mistake all -seeds 1-3000 -steps 8000
//
// Read plan.go, world.go, event.go and faults.go, then process.go (a member's
// loop) and carry.go, disk.go, snapshot.go, network.go, then door.go, client.go
// and work.go, then the checks: ledger.go (what is true), protocol.go and lead.go
// (what is on the wire and on disk), life.go (sessions), history.go (what clients
// were told), and run.go for what is demanded in the end.
package main
