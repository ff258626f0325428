// Package bench puts load on any server that speaks the ZooKeeper protocol and
// says how it bore it.
//
//	Workload ─► requests ─► connections, each with a fixed number in flight
//	                          └─► replies ─► histogram, longest gap ─► Report
//
// One goroutine runs a connection: it blocks in a read, takes every reply that
// the read brought, and answers with one write of as many new requests. That
// costs less CPU than the server spends on them. With a rate the requests go
// out on a schedule instead, and latency counts from the scheduled time, so
// that a server that stalls cannot hide it.
//
// What is made is made by the same program for every server that is compared,
// in a znode of the workload's own below the root (see place), which an earlier
// run that was cut short may have left behind.
//
// Read bench.go, measure.go, load.go and workload.go for the streams of
// requests; watch.go, session.go, outage.go and restart.go have the others;
// client.go and place.go are what all of them use, report.go what comes out.
package bench
