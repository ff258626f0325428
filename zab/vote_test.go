package zab

import (
	"testing"

	"zooid/wire"
)

func TestBeats(t *testing.T) {
	flat, deep := majority(3, 1), hierarchy([]int64{1, 2}, []int64{0})
	tests := []struct {
		name string
		ens  *Ensemble
		a, b wire.Vote
		want bool
	}{
		{"later epoch", flat, wire.Vote{Leader: 1, Zxid: 1, PeerEpoch: 2}, wire.Vote{Leader: 2, Zxid: 9, PeerEpoch: 1}, true},
		{"earlier epoch", flat, wire.Vote{Leader: 2, Zxid: 9, PeerEpoch: 1}, wire.Vote{Leader: 1, Zxid: 1, PeerEpoch: 2}, false},
		{"longer log", flat, wire.Vote{Leader: 1, Zxid: 2, PeerEpoch: 1}, wire.Vote{Leader: 2, Zxid: 1, PeerEpoch: 1}, true},
		{"shorter log", flat, wire.Vote{Leader: 2, Zxid: 1, PeerEpoch: 1}, wire.Vote{Leader: 1, Zxid: 2, PeerEpoch: 1}, false},
		{"greater SID", flat, wire.Vote{Leader: 2}, wire.Vote{Leader: 1}, true},
		{"smaller SID", flat, wire.Vote{Leader: 1}, wire.Vote{Leader: 2}, false},
		{"the same", flat, wire.Vote{Leader: 1}, wire.Vote{Leader: 1}, false},
		{"than nobody", flat, wire.Vote{Leader: 1}, wire.NoVote, true},
		{"nobody", flat, wire.NoVote, wire.NoVote, false},
		{"an observer", flat, wire.Vote{Leader: 4, Zxid: 9}, wire.Vote{Leader: 1}, false},
		{"weightless", deep, wire.Vote{Leader: 3, Zxid: 9}, wire.Vote{Leader: 1}, false},
		{"than a weightless one", deep, wire.Vote{Leader: 2}, wire.Vote{Leader: 1}, true},
		// As in ZooKeeper: what it votes for itself it gives up only for better.
		{"than a weightless one's longer log", deep, wire.Vote{Leader: 2}, wire.Vote{Leader: 3, Zxid: 9}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.ens.beats(test.a, test.b); got != test.want {
				t.Errorf("beats is %t", got)
			}
		})
	}
}

// TestZab22_11: votes that are for the same leader are recognized as such.
func TestZab22_11(t *testing.T) {
	vote := wire.Vote{Leader: 3, Zxid: 5, PeerEpoch: 2}
	other := func(change func(*ballot)) ballot {
		b := ballot{Vote: vote, state: wire.Following, round: 4, version: 2}
		change(&b)
		return b
	}
	tests := []struct {
		name    string
		b       ballot
		settled bool // agrees with one that follows
		looking bool // agrees with one that looks
	}{
		{"the same", other(func(*ballot) {}), true, true},
		{"another leader", other(func(b *ballot) { b.Leader = 2 }), false, false},
		{"another zxid", other(func(b *ballot) { b.Zxid = 6 }), true, false},
		{"another round", other(func(b *ballot) { b.round = 9 }), true, false},
		{"another epoch", other(func(b *ballot) { b.PeerEpoch, b.round = 3, 9 }), false, false},
		{"another epoch in the same round", other(func(b *ballot) { b.PeerEpoch = 3 }), true, false},
		{"another epoch, told by an old server", other(func(b *ballot) { b.PeerEpoch, b.round, b.version = 3, 9, 0 }), true, false},
		{"another leader in the same round", other(func(b *ballot) { b.Leader = 1 }), false, false},
		{"looking", other(func(b *ballot) { b.state = wire.Looking }), true, true},
		{"looking, another zxid", other(func(b *ballot) { b.state, b.Zxid = wire.Looking, 6 }), false, false},
	}
	follows := ballot{Vote: vote, state: wire.Leading, round: 4, version: 2}
	looks := ballot{Vote: vote, state: wire.Looking, round: 4, version: 2}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.b.agrees(follows); got != test.settled || got != follows.agrees(test.b) {
				t.Errorf("agrees with a leader: %t", got)
			}
			if got := test.b.agrees(looks); got != test.looking || got != looks.agrees(test.b) {
				t.Errorf("agrees with a member that looks: %t", got)
			}
		})
	}
}
