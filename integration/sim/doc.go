// Command sim runs a member and its clients in one goroutine, with a simulated
// clock and a simulated log that forgets what was not synced, and checks after
// every step what Zooid promises.
//
//	seed ─► world: time, log, clients ─► peer ─► outcomes ─► checks, trace hash
//
// Everything random comes from the seed, so a run is repeated by its number:
// the same seed and commit give the same trace hash.
//
//	go run ./integration/sim -seeds 1-200 -steps 5000
//
// Checked on every step: a request has exactly one outcome, outcomes come in
// the order of zxids and of each connection's requests; nothing acknowledged is
// lost in a crash, and the tree after it is the tree that was there at that zxid;
// no session ends before its timeout has passed since it was heard, and none
// lives much longer; ephemerals live exactly as long as their sessions; a watch
// fires once and for the change that it waited for; the digest in every
// transaction is that of the tree.
package main
