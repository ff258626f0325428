// Package znode is the replicated state of a member, and the rules by which it
// changes: znodes with their stats, ACLs and quotas, the session table, and,
// beside what is replicated, the watches of the member's own clients.
//
//	request ─► View.Prepare ─► txn ─► (log, quorum) ─► Tree.Apply ─► Applied: result, events
//	           leader only                             every member
//	read ────► Tree.Read ─► reply body, watch set
//	                                  Tree.Cut ─► Cut.Drain ─► durable copy ─► Tree.Load
//
// # Promises
//
// A txn changes every member's tree in the same way, and in the same way as
// ZooKeeper's: stats and the tree digest are equal to the last bit. Nothing in
// a txn makes Apply fail; a txn out of order makes it panic.
//
// A watch is set in the same lock hold in which its answer was read, and Apply
// names whom to tell in the lock hold in which it changes the tree. So no event
// is lost, and none comes after an answer that shows its change.
//
// A Cut is exact: the difference between the states at two zxids, though txns
// go on while it is drained.
//
// Nothing walks or copies the tree. Directories keep the number of nodes below
// them and the bytes of their data, so quotas and getAllChildrenNumber are
// looked up. What takes time in proportion to something is the encoding of a
// directory's names, if they are not cached, and the end of a session with many
// ephemerals. A reply that a small request makes large is bounded (ReplyBytesMax),
// a setWatches with many paths is dealt with in parts (SplitWatches), and a long
// ACL is judged once for each connection (verdict.go).
//
// # Memory
//
// A million znodes are a few thousand objects to the garbage collector, and it
// need not look into them. A znode is 112 bytes of an arena's chunk, its name
// and data are blocks of a slab, addresses are uint32 numbers, and equal ACLs
// are one. With the index that makes some 130 bytes a node beyond name and
// data; paths are not stored, names are.
//
// The index, the slab and the arenas grow in pieces, so that no single txn
// waits for a large table to be copied. Memory of deleted nodes is used again
// but not given back to the system.
//
// # Who may call
//
// One goroutine, the member's loop, changes the tree and holds Lock meanwhile;
// it alone uses a View. Any goroutine reads holding RLock. DropWatcher, the
// figures of watches and Cut.Drain take what they need themselves. The package
// has no clock, no goroutine and no log: times come in with txns and arguments.
//
// # Reading order
//
// tree.go for the shape of it, apply.go for what txns do, read.go,
// multiread.go, ephemerals.go and watchreq.go for what clients ask, watch.go for who is told;
// op.go for the table of operations, request.go, view.go, undo.go, prepare_*.go and
// path.go for what a leader checks, reply.go for the answers. Then the parts:
// children.go, session.go, quota.go, digest.go, load.go, cut.go, figures.go, totals.go;
// and below them index.go, slab.go, arena.go, acl.go, verdict.go and listcache.go.
package znode
