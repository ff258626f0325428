//go:build defects

package zab

import (
	"fmt"
	"testing"
)

// Each mistake of this package that a run without a model of clients can show is
// found by TestChaos's runs. go test -tags defects ./zab -run TestChaosSees
func TestChaosSeesMistakes(t *testing.T) {
	defer func() { Mistake = NoDefect }()
	for _, d := range Defects() {
		if d > OneVoteFewer {
			break
		}
		t.Run(d.String(), func(t *testing.T) {
			for seed := uint64(1); seed <= 3000; seed++ {
				for _, voters := range []int{3, 5} {
					if why := mistakenChaos(t, d, voters, seed); why != "" {
						t.Logf("seed %d, %d voters: %.200s", seed, voters, why)
						return
					}
				}
			}
			t.Error("not found")
		})
	}
}

func mistakenChaos(t *testing.T, d Defect, voters int, seed uint64) (why string) {
	Mistake = d
	defer func() {
		if p := recover(); p != nil {
			why = fmt.Sprint("panic: ", p)
		}
	}()
	return chaos(t, voters, seed)
}
