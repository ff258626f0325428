//go:build defects

package main

import (
	"testing"

	"zooid/zab"
)

// huntSeeds bounds the seeds in which each mistake must be found.
const huntSeeds = 5000

// The simulator sees: each mistake that is built in on purpose is found.
func TestDefects(t *testing.T) {
	for _, d := range zab.Defects() {
		t.Run(d.String(), func(t *testing.T) {
			if whatItIs[d] == "" {
				t.Error("the table does not say what it is")
			}
			f := hunt(&options{first: 1, last: huntSeeds, steps: 8000, jobs: 1}, d)
			if f.err == nil {
				t.Fatalf("not found in %d seeds, %d events", huntSeeds, f.events)
			}
			t.Logf("seed %d, %d events: %s: %s", f.seed, f.events, f.err.check, f.err.text)
		})
	}
}
