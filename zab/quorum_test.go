package zab

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"zooid/wire"
)

// majority makes an ensemble of voters 1 to n and observers behind them.
func majority(n, observers int) *Ensemble {
	e := &Ensemble{}
	for i := range n + observers {
		e.Members = append(e.Members, Member{SID: wire.SID(i + 1), Observer: i >= n})
	}
	return e
}

// hierarchy makes an ensemble of groups; each group is the weights of its
// members, which are numbered through from 1.
func hierarchy(groups ...[]int64) *Ensemble {
	e := &Ensemble{Groups: map[int64][]wire.SID{}, Weights: map[wire.SID]int64{}}
	for g, weights := range groups {
		for _, w := range weights {
			sid := wire.SID(len(e.Members) + 1)
			e.Members = append(e.Members, Member{SID: sid})
			e.Groups[int64(g+1)] = append(e.Groups[int64(g+1)], sid)
			e.Weights[sid] = w
		}
	}
	return e
}

func among(sids ...wire.SID) func(wire.SID) bool {
	return func(sid wire.SID) bool {
		for _, s := range sids {
			if s == sid {
				return true
			}
		}
		return false
	}
}

func TestQuorum(t *testing.T) {
	tests := []struct {
		name string
		ens  *Ensemble
		sids []wire.SID
		want bool
	}{
		{"nobody of one", majority(1, 0), nil, false},
		{"one of one", majority(1, 0), []wire.SID{1}, true},
		{"one of two", majority(2, 0), []wire.SID{1}, false},
		{"both of two", majority(2, 0), []wire.SID{1, 2}, true},
		{"two of three", majority(3, 0), []wire.SID{1, 3}, true},
		{"two of four", majority(4, 0), []wire.SID{1, 3}, false},
		{"three of four", majority(4, 0), []wire.SID{1, 3, 4}, true},
		{"three of five", majority(5, 0), []wire.SID{1, 3, 5}, true},
		{"observers do not count", majority(3, 2), []wire.SID{1, 4, 5}, false},
		{"nor are they counted", majority(3, 4), []wire.SID{1, 2}, true},
		{"strangers do not count", majority(3, 0), []wire.SID{1, 9}, false},
		{"observers only", majority(0, 3), []wire.SID{1, 2, 3}, false},

		{"two of three groups", hierarchy([]int64{1, 1, 1}, []int64{1, 1, 1}, []int64{1, 1, 1}), []wire.SID{1, 2, 8, 9}, true},
		{"one whole group", hierarchy([]int64{1, 1, 1}, []int64{1, 1, 1}, []int64{1, 1, 1}), []wire.SID{1, 2, 3, 4, 7}, false},
		{"half of a group", hierarchy([]int64{1, 1}), []wire.SID{1}, false},
		{"weight, not number", hierarchy([]int64{1, 1, 3}), []wire.SID{3}, true},
		{"number, not weight", hierarchy([]int64{1, 1, 3}), []wire.SID{1, 2}, false},
		{"half of the weight", hierarchy([]int64{1, 1, 2}), []wire.SID{3}, false},
		{"a group without weight does not count", hierarchy([]int64{1, 2}, []int64{0}), []wire.SID{2}, true},
		{"nor does its member", hierarchy([]int64{1, 2}, []int64{0}), []wire.SID{1, 3}, false},
		{"nobody has weight", hierarchy([]int64{0, 0}), []wire.SID{1, 2}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.ens.quorum(among(test.sids...)); got != test.want && !mistaken(OneVoteFewer) {
				t.Errorf("quorum of %v is %t", test.sids, got)
			}
		})
	}
}

func TestWeight(t *testing.T) {
	flat, deep := majority(2, 1), hierarchy([]int64{4, 0})
	delete(deep.Weights, 1)
	tests := []struct {
		ens  *Ensemble
		sid  wire.SID
		want int64
	}{
		{flat, 1, 1}, {flat, 3, 0}, {flat, 9, 0}, {flat, wire.NoSID, 0},
		{deep, 1, 1}, {deep, 2, 0}, {deep, 3, 0},
	}
	for _, test := range tests {
		if got := test.ens.weight(test.sid); got != test.want {
			t.Errorf("weight of %d is %d, not %d", test.sid, got, test.want)
		}
	}
}

// drawEnsemble draws one of up to seven voters, by majority or in groups, and
// up to two observers.
func drawEnsemble(t *rapid.T) *Ensemble {
	voters := rapid.IntRange(1, 7).Draw(t, "voters")
	e := majority(voters, rapid.IntRange(0, 2).Draw(t, "observers"))
	if rapid.IntRange(0, 2).Draw(t, "hierarchical") > 0 {
		return e
	}
	e.Groups, e.Weights = map[int64][]wire.SID{}, map[wire.SID]int64{}
	for _, m := range e.Members[:voters] {
		g := rapid.Int64Range(1, 3).Draw(t, fmt.Sprint("group of ", m.SID))
		e.Groups[g] = append(e.Groups[g], m.SID)
		e.Weights[m.SID] = rapid.Int64Range(0, 3).Draw(t, fmt.Sprint("weight of ", m.SID))
	}
	return e
}

// TestQuorumsMeet: any two quorums have a voter with weight in common, and who
// joins a quorum does not spoil it.
func TestQuorumsMeet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEnsemble(t)
		draw := func(name string) map[wire.SID]bool {
			set := map[wire.SID]bool{}
			for _, m := range e.Members {
				set[m.SID] = rapid.Bool().Draw(t, fmt.Sprint(name, m.SID))
			}
			return set
		}
		a, b := draw("a"), draw("b")
		inA, inB := func(sid wire.SID) bool { return a[sid] }, func(sid wire.SID) bool { return b[sid] }
		if !e.quorum(inA) {
			return
		}
		if !e.quorum(func(sid wire.SID) bool { return a[sid] || b[sid] }) {
			t.Fatalf("%v is a quorum, and not together with %v", a, b)
		}
		if !e.quorum(inB) {
			return
		}
		for _, m := range e.Members {
			if a[m.SID] && b[m.SID] && e.weight(m.SID) > 0 {
				return
			}
		}
		t.Fatalf("quorums %v and %v do not meet", a, b)
	})
}
