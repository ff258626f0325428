// Package integration holds the drills: what Zooid must do as a whole, in the
// hands of clients, files and accidents that it did not write.
//
//	testenv      what the drills need from outside: fetched clients, servers, proxies
//	rawclient    a client that sends what it is told
//	recorded     what servers of ZooKeeper said to each other, for the tests of every package
//	gozk         the Go client library, unmodified
//	kazoo        the Python client library, unmodified
//	javaclient   the Java client, zkCli and Curator, unmodified
//	oracle       the same random requests to ZooKeeper and to Zooid, and data
//	             directories exchanged between them; recorded answers of ZooKeeper
//	kill         kill -9 under load, round after round
//	ensemble     members killed, paused, cut off and starved of disk under load,
//	             Java's among them
//	history      clients that remember what they were told, and the judgement
//	             of it: linearizable, in order, nothing lost
//	badinput     data directories, settings, frames and clients that are not right
//	hostile      clients that want to do harm, and what others notice of it
//	sim          a peer in simulated time with simulated accidents, by seed
//	compare      the speed of both, side by side
//
// Each folder's doc.go says how its drill works and how a failure is shown again.
// In common they have these variables of the environment:
//
//	ZOOID_TEST_TARGET  what the suites run against: zooid, java, host:port, or
//	                   several with commas between; for ensembles also the
//	                   members' kinds, as zooid+zooid+java (testenv)
//	ZOOID_TEST_BINARY  a built zooid to use instead of building one
//	ZOOID_TEST_RACE    build it with the race detector
//	ZOOID_TEST_CACHE   where fetched clients are kept
//	ZOOID_DRILL=1      long runs: what make drill sets
//	CI=true            a suite whose tools are missing fails instead of being skipped
package integration
