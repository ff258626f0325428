//go:build race

package znode

// raceEnabled leaves out what the race detector distorts: counts of
// allocations and of bytes.
const raceEnabled = true
