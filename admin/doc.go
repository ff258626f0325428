// Package admin is the operators' side of a server: the instruments that count
// what it does, and an HTTP handler that shows them and tells load balancers
// and orchestrators how it fares.
//
//	server, quorum, store ─► func values of Metrics ─► counters, histograms
//	                                                        │ Snapshot
//	server's Status ─► fourletter.Status.Samples ◄──────────┘
//	                          ├─► /metrics   (Prometheus text)
//	                          └─► mntr       (the client port; not here)
//	Status ─► /readyz    Live ─► /livez
//
// Promises:
//   - Metric names, kinds and keys are ZooKeeper's, from the table in
//     fourletter; a name that is not in it, or of another kind, is a mistake of
//     the program and panics at start, when instruments are asked for.
//   - Counting allocates nothing and takes no lock. Instruments may be used,
//     read and reset by any goroutine.
//   - Who counts imports nothing from here: an instrument is a func value.
//   - A port that is taken is an error for the caller to report; nothing here
//     ends the process.
//
// The commands of ZooKeeper's AdminServer are not here yet; their path answers
// 404 and says so.
//
// Read metrics.go for the instruments, counter.go and histogram.go for how they
// count, collector.go and runtime.go for /metrics, http.go for the handler and
// the listener, health.go for the probes.
package admin
