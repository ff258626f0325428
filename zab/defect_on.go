//go:build defects

package zab

// Mistake is the one defect that the program has now.
var Mistake Defect

func mistaken(d Defect) bool { return d != NoDefect && d == Mistake }
