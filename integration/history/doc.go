// Package history records what clients of an ensemble asked for and got, and
// judges whether a correct ensemble can have answered so.
//
//	Client ─► servers                    one goroutine a client, one request at a time
//	   │ Op: asked at, answered at, what
//	   ▼
//	History ─► Check ─► violations       offline, from the ops alone
//
// A request whose connection broke has an unknown outcome: it may have happened,
// at any time after it was asked, or never. Nothing else about an op is
// uncertain, for all times are of one monotonic clock.
//
// What is checked, and against what:
//
//	registers.go  writes and sync'ed reads of a node are linearizable (porcupine)
//	order.go      zxids of writes follow real time; a client never goes back in
//	              zxid; every read is a state that the writes made
//	sessions.go   ephemerals live as long as their session, and no session ends
//	              before its timeout has passed since it was heard
//	watches.go    an event comes before the change that it announces is seen,
//	              once, and not without one
//	final.go      at the end nothing acknowledged is missing, and nothing is there
//	              that nobody asked for
//
// Read op.go, then client.go and workload.go, then the checks.
package history
