package quorum

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"zooid/store"
	"zooid/wire"
	"zooid/znode"
)

// plant changes a member's tree past all transactions, as a fault of its memory or
// of its disk would.
func (n *node) plant(path string) {
	n.c.t.Helper()
	tree := n.member.Tree()
	tree.Lock()
	defer tree.Unlock()
	if err := tree.Load(path, &znode.Record{Data: []byte("nobody wrote this")}); err != nil {
		n.c.t.Fatal(err)
	}
}

// watched is a cluster whose members look into digests that do not match, and the
// mismatches that each has counted.
func watched(t *testing.T, voters, observers int) (*cluster, map[wire.SID]*atomic.Int64) {
	c := newCluster(t, voters, observers)
	counted := map[wire.SID]*atomic.Int64{}
	for _, n := range c.all() {
		counted[n.sid] = new(atomic.Int64)
	}
	c.change = func(n *node, _ *store.Options, o *Options) {
		o.Count.Mismatched = func(k int64) { counted[n.sid].Add(k) }
		o.Mismatch = func(m znode.DigestMismatch) { n.store.NoteMismatch(m) }
		o.TrueDigest = func(z wire.Zxid) (uint64, error) { return n.store.TrueDigest(z) }
	}
	c.start()
	return c, counted
}

// TestWrongTreeIsReplaced: a learner whose tree does not have the digest that a
// transaction brings leaves its role, takes over the leader's state and serves again,
// without what was wrong; everybody else goes on.
func TestWrongTreeIsReplaced(t *testing.T) {
	t.Parallel()
	for _, observer := range []bool{false, true} {
		t.Run(fmt.Sprintf("observer=%v", observer), func(t *testing.T) {
			t.Parallel()
			c, counted := watched(t, 3, 1)
			leader, wrong := c.leader(), c.follower()
			if observer {
				wrong = c.nodes[4]
			}
			leader.connect(7)
			c.awaitSame(leader.create(7, "/before", 10))
			wrong.plant("/planted")
			z := leader.create(7, "/after", 10)
			c.awaitSame(z)
			c.awaitServing(wrong.sid)
			if wrong.exists("/planted") || !wrong.exists("/before") || !wrong.exists("/after") {
				t.Error("the wrong tree is still there")
			}
			if n := counted[wrong.sid].Load(); n != 1 || wrong.tallies.get("installed") != 1 {
				t.Errorf("%d mismatches counted, %d states taken over", n, wrong.tallies.get("installed"))
			}
			if wrong.logged("takes over the leader's state") != 1 || wrong.member.Suspect() != "" {
				t.Errorf("suspect: %q", wrong.member.Suspect())
			}
			for _, n := range c.all() {
				if n != wrong && (counted[n.sid].Load() != 0 || n.tallies.get("installed") != 0) {
					t.Errorf("server %d: %d mismatches", n.sid, counted[n.sid].Load())
				}
			}
			z = leader.create(7, "/later", 10)
			c.awaitSame(z)
			if n := counted[wrong.sid].Load(); n != 1 {
				t.Errorf("%d mismatches afterwards", n)
			}
		})
	}
}

// TestWrongTreeOfTheLeader: a leader whose tree turns out to be wrong in its term
// resigns, another one leads, and it takes over that one's state.
func TestWrongTreeOfTheLeader(t *testing.T) {
	t.Parallel()
	c, counted := watched(t, 3, 0)
	wrong := c.leader()
	wrong.connect(7)
	c.awaitSame(wrong.create(7, "/before", 10))
	wrong.plant("/planted")
	wrong.create(7, "/after", 10)
	c.await("the leader gives its state up", func() bool { return wrong.tallies.get("installed") == 1 && wrong.status().Serves })
	next := c.leader()
	if next == wrong || wrong.exists("/planted") || !wrong.exists("/after") || counted[wrong.sid].Load() != 1 {
		t.Errorf("server %d leads, %d mismatches", next.sid, counted[wrong.sid].Load())
	}
	next.connect(8)
	c.awaitSame(next.create(8, "/later", 10))
}

// TestWrongTreeOfANewLeader: a leader that has begun with a wrong tree makes
// transactions with wrong digests. Nobody gives up its own tree for that: snapshot
// and log tell the others that theirs is right, and they say so.
func TestWrongTreeOfANewLeader(t *testing.T) {
	t.Parallel()
	c, counted := watched(t, 3, 0)
	first := c.leader()
	first.connect(7)
	c.awaitSame(first.create(7, "/before", 10))
	others := slices.DeleteFunc(c.all(), func(n *node) bool { return n == first })
	right, wrong := others[0], others[1] // with the same history the greater number leads
	wrong.plant("/planted")
	first.stop()
	if c.leader() != wrong {
		t.Fatalf("server %d leads", c.leader().sid)
	}
	wrong.connect(8)
	wrong.create(8, "/after", 10)
	c.await("the follower says whose tree is wrong", func() bool { return right.logged("the server which made the transaction") == 1 })
	if right.exists("/planted") || right.tallies.get("installed") != 0 || counted[right.sid].Load() == 0 || right.member.Suspect() == "" {
		t.Errorf("%d mismatches, %d states taken over", counted[right.sid].Load(), right.tallies.get("installed"))
	}
}

// TestBrokenCopyEndsTheTerm: a leader whose durable copy takes no more changes
// resigns, and another one leads; it stays as a follower.
func TestBrokenCopyEndsTheTerm(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 0)
	c.start()
	leader := c.leader()
	leader.connect(7)
	c.awaitSame(leader.create(7, "/before", 10))
	_ = leader.member.ask(func() { leader.member.o.Store = brokenStore{leader.member.o.Store} })
	c.await("another leader", func() bool {
		st := leader.status()
		return st.Serves && st.State == wire.Following
	})
	next := c.leader()
	if next == leader || leader.logged("the durable copy of the tree takes no more changes") == 0 {
		t.Errorf("server %d leads", next.sid)
	}
	next.connect(8)
	c.awaitSame(next.create(8, "/after", 10))
}

// brokenStore is a store that says that it is broken.
type brokenStore struct{ Store }

func (brokenStore) Broken() bool { return true }
