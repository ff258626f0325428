// Package oracle holds the drill that asks two servers the same questions: a
// seeded generator makes random requests (every operation of the client port,
// good and bad), which go in lock step to a server A that is right by definition
// and to a server B.
//
//	gen (seed) ─► step ─┬─► side A: frames out, frames in ─► lines ─┐
//	                    └─► side B: frames out, frames in ─► lines ─┴─► equal?
//
// After each step every connection is pinged, so that all events that the step
// caused are at hand and belong to it. A line shows all of a frame: error, body,
// Stat, event, in the order in which the connection got them. Zxids are shown
// relative to the start, session ids by name; times must be near the clock's and
// one per transaction, no more; the order of children does not count. From time
// to time the whole tree is read on both sides and compared.
//
//	go test ./integration/oracle                          A = java, B = zooid
//	go test ./integration/oracle -b java                  the drill against itself
//	go test ./integration/oracle -seed 7 -steps 20000
//
// The seed is printed, and a failure's last line is the command that shows it
// again. Differences that are intended stand in exceptions.go, each with its
// reason, and are not generated.
//
// Read drill_test.go, side.go and step.go, then gen.go and its menus.
package oracle
