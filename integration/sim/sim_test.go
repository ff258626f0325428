package main

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run this seed only")
	seedsFlag = flag.Int("nseeds", 0, "how many seeds; 0: some hundreds, or 20,000 in the long drill")
	stepsFlag = flag.Int("nsteps", 6000, "events until everything is healed, for each seed")
)

// Whole ensembles under all faults and workloads keep what doc.go says. Every
// failure names its seed, and ends with the command that replays it.
func TestSeeds(t *testing.T) {
	o := &options{first: 1, last: 400, steps: *stepsFlag, jobs: 1}
	if os.Getenv("ZOOID_DRILL") != "" {
		o.last, o.jobs = 20_000, 2
	}
	if *seedsFlag > 0 {
		o.last = uint64(*seedsFlag)
	}
	if *seedFlag != 0 {
		o.first, o.last = *seedFlag, *seedFlag
	}
	var total [rareStates]int
	events, ops := 0, 0
	forSeeds(o, func(seed uint64, r *result) bool {
		events += r.steps
		ops += r.ops
		for i, n := range r.seen {
			total[i] += n
		}
		if r.err != nil {
			var b strings.Builder
			explain(o, seed, r, &b)
			t.Error(b.String())
		}
		return r.err == nil
	})
	t.Logf("%d events, %d answers to clients", events, ops)
	if o.first == o.last || t.Failed() || *seedsFlag > 0 {
		return
	}
	// A simulation that never comes to the interesting places proves nothing.
	for i, n := range total {
		if s := rare(i); n == 0 && !mayNeverBe(s, o.last) {
			t.Errorf("never seen: %s", rareNames[s])
		}
	}
}

// mayNeverBe names the states that the short run need not see, and those that an
// ensemble of ours alone should never come to.
func mayNeverBe(s rare, seeds uint64) bool {
	switch s {
	case rareTruncElsewhere, rareTruncRefused, rareStaleRefusal, rareUnjudged:
		return true
	case rareCrashInTrunc, rareCrashInInstall, rareSnapBroken, rareLogBehindCopy, rareLockTaken, rareMovedRefused, rareSessionExpired:
		return seeds < 5000
	}
	return false
}

// A member alone, which is an ensemble of one without the protocol, keeps the
// same promises.
func TestOneMember(t *testing.T) {
	seen := 0
	for seed := uint64(1); seen < 40; seed++ {
		p := newPlan(seed, 3000, shape{members: 1})
		if !p.alone {
			continue
		}
		seen++
		if r := simulate(p, nil); r.err != nil {
			t.Fatalf("seed %d: %s: %s\n%s", seed, r.err.check, r.err.text,
				command(seed, 3000, &options{}, shape{members: 1}))
		}
	}
}

func TestSameSeedSameTrace(t *testing.T) {
	for seed := uint64(1); seed <= 12; seed++ {
		a := simulate(newPlan(seed, 4000, shape{}), nil)
		b := simulate(newPlan(seed, 4000, shape{}), newStory(10)) // telling it changes nothing
		if a.err != nil || b.err != nil {
			t.Fatal(a.err, b.err)
		}
		if a.trace != b.trace || a.steps != b.steps {
			t.Errorf("seed %d gives traces %x and %x", seed, a.trace, b.trace)
		}
	}
}

// Leaving faults out does not change what the others are.
func TestFaultsDoNotDependOnEachOther(t *testing.T) {
	p, q := newPlan(7, 100, shape{}), newPlan(7, 9000, shape{onlyFaults: []int{5}})
	for n := range 20 {
		if f, g := p.drawFault(n), q.drawFault(n); f != g {
			t.Errorf("fault %d is %v and %v", n, &f, &g)
		}
	}
}
