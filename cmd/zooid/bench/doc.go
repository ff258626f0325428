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
// Everything is made by the same program for every server that is compared.
//
// Read bench.go, then load.go and workload.go; special.go has the workloads
// that are not streams of requests.
package bench
