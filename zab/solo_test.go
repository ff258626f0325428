package zab

import (
	"math/rand/v2"
	"testing"

	"zooid/wire"
)

func TestSoloCommitsInOrderAndOnlyWhatIsDurable(t *testing.T) {
	s := NewSolo(7)
	for want := wire.Zxid(8); want <= 10; want++ {
		if got := s.Propose(); got != want {
			t.Fatalf("Propose() = %v, want %v", got, want)
		}
	}
	if after, upTo := s.Commit(); after != 7 || upTo != 7 {
		t.Fatalf("commit before anything is durable: (%v, %v]", after, upTo)
	}
	s.Durable(9)
	if after, upTo := s.Commit(); after != 7 || upTo != 9 {
		t.Fatalf("Commit() = (%v, %v], want (7, 9]", after, upTo)
	}
	if got := s.Outstanding(); got != 1 {
		t.Fatalf("Outstanding() = %d, want 1", got)
	}
	s.Durable(9)
	if after, upTo := s.Commit(); after != 9 || upTo != 9 {
		t.Fatalf("committed twice: (%v, %v]", after, upTo)
	}
}

func TestSoloCounterRunsOnIntoTheEpoch(t *testing.T) {
	s := NewSolo(wire.MakeZxid(0, 0xffffffff))
	if got, want := s.Propose(), wire.MakeZxid(1, 0); got != want {
		t.Fatalf("Propose() = %v, want %v", got, want)
	}
}

func TestSoloRefusesTheImpossible(t *testing.T) {
	for name, z := range map[string]wire.Zxid{"never proposed": 6, "goes back": 3} {
		t.Run(name, func(t *testing.T) {
			s := NewSolo(4)
			s.Propose()
			defer func() {
				if recover() == nil {
					t.Fatalf("Durable(%v) was accepted", z)
				}
			}()
			s.Durable(z)
		})
	}
}

// Random interleavings: every proposal is committed once, in order, and never
// before it is durable.
func TestSoloRandom(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		rng := rand.New(rand.NewPCG(seed, 0))
		s := NewSolo(0)
		var proposed, durable, committed wire.Zxid
		for range 1000 {
			switch rng.IntN(3) {
			case 0:
				proposed = s.Propose()
			case 1:
				durable += wire.Zxid(rng.Int64N(int64(proposed-durable) + 1))
				s.Durable(durable)
			case 2:
				after, upTo := s.Commit()
				if after != committed || upTo != durable {
					t.Fatalf("seed %d: Commit() = (%v, %v], want (%v, %v]", seed, after, upTo, committed, durable)
				}
				committed = upTo
			}
		}
	}
}
