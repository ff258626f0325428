package main

import (
	"flag"
	"testing"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run this seed only")
	seedsFlag = flag.Int("seeds", 150, "how many seeds")
)

const testSteps = 3000

// A member alone under crashes, stalls, lost connections and pipelined
// requests keeps what doc.go says. Every failure names its seed.
func TestOneMember(t *testing.T) {
	first, last := uint64(1), uint64(*seedsFlag)
	if *seedFlag != 0 {
		first, last = *seedFlag, *seedFlag
	}
	total := map[string]int{}
	for seed := first; seed <= last; seed++ {
		_, seen, err := run(seed, testSteps)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for what, n := range seen {
			total[what] += n
		}
	}
	if *seedFlag != 0 {
		return
	}
	// A simulation that never comes to the interesting places proves nothing.
	for _, what := range []string{"crash", "crash with writes in flight", "group commit", "stall", "expiry",
		"re-attachment", "re-attachment refused", "wrong password", "connection lost", "event",
		"refused: node exists", "refused: no node", "refused: bad version", "refused: node has children"} {
		if total[what] == 0 {
			t.Errorf("never seen: %s", what)
		}
	}
}

func TestSameSeedSameTrace(t *testing.T) {
	for seed := uint64(1); seed <= 5; seed++ {
		a, _, errA := run(seed, testSteps)
		b, _, errB := run(seed, testSteps)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if a != b {
			t.Errorf("seed %d gives traces %x and %x", seed, a, b)
		}
	}
}
