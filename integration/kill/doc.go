// Package kill holds the drill that ends the real binary by kill -9 under load,
// again and again, on one data directory.
//
//	go test ./integration/kill                      10 rounds (200 in make drill)
//	go test ./integration/kill -rounds 200 -seed 7
//
// In each round several clients write without pause, each to nodes of its own,
// and remember what they sent and what was acknowledged. At a random moment the
// process dies. Started again it must have, of each client, everything that was
// acknowledged, of what was under way the whole or nothing, and nothing else;
// multis must be there whole; the ephemerals of living sessions must be there,
// and go when the session is closed; zxids must not go back; the digest of the
// tree must have agreed with every transaction of the log.
//
// ZOOID_TEST_TARGET=java runs the drill on Apache ZooKeeper.
package kill
