// Package compare measures Zooid beside Apache ZooKeeper: the same load
// generator, the same machine, in turns, both with fsync on.
//
//	go test ./integration/compare -run '^$' -bench . -benchtime 1x -timeout 3h
//
// Java is warmed by a minute of load first. Every figure is the median of three
// runs (-runs), which alternate between the two; the smallest and largest ratio
// of a pair are given with it. The table goes to the standard output in the form
// in which docs/performance.md keeps it.
package compare
