// Package fourletter formats what operators ask of a server: the four-letter
// words of the client port, as Apache ZooKeeper 3.9 answers them, and the list
// of ZooKeeper's metrics, from which mntr and the Prometheus page are made.
//
//	4 bytes ─► Known ─► Whitelist ─► Needs ─► (caller fills a Status) ─► Answer ─► text
//	                        └─► Refusal ─► text
//
//	Status + []Sample of the instruments ─► Status.Samples ─┬─► mntr
//	                                                        └─► /metrics (package admin)
//
// Promises:
//   - It is pure: a Status in, text out. It knows nobody and changes nothing;
//     a word that has an effect (srst, crst, stmk) has it in the caller.
//   - Texts, their order and their line ends are ZooKeeper's, since scripts
//     parse them. What differs is said at the function.
//   - mntr and /metrics show the same samples.
//
// Any goroutine may call it; a Status belongs to whoever made it.
//
// Read status.go for what goes in, word.go for the words, then text.go, dump.go
// and mntr.go for the texts, metric.go for the table of metrics and what ours
// are for, gauge.go for those that come from a Status, reason.go for the keys
// that tell why.
package fourletter
