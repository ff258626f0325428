//go:build defects

package zab

import (
	"fmt"
	"testing"
)

// The runs of TestChaos find each mistake of this package but one, for which a
// voter would have to change its mind four times at the right moments: for that
// there is TestPromiseCountsOnce. go test -tags defects ./zab -run TestChaosSees
func TestChaosSeesMistakes(t *testing.T) {
	defer func() { Mistake = NoDefect }()
	for _, d := range Defects() {
		if d > OneVoteFewer {
			break
		}
		if d == CountPromiseTwice {
			continue
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
