package znode

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"

	"zooid/wire"
)

// TestAdopt replaces a tree that is watched, cut and full by another one, and
// goes on with that: content, events, figures and cuts are those of a tree that
// was never another.
func TestAdopt(t *testing.T) {
	for _, seed := range seeds() {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("replay: go test ./znode -run TestAdopt -seed %d", seed)
				}
			})
			adoptModel(t, seed)
		})
	}
}

func adoptModel(t *testing.T, seed uint64) {
	tree := New()
	tree.SetRules(Rules{NoDigest: true})
	old := &generator{Rand: rand.New(rand.NewPCG(seed, 1)), m: newModel()}
	var out Applied
	tree.TrackChanges()
	for range 500 {
		txn := old.txn()
		_, changes := old.m.apply(txn)
		tree.Apply(txn, &out)
		compareEvents(t, old.m, changes, out.Events)
		old.watch(tree)
	}
	tree.Reapable(0, 0, 1)
	tree.Lock()
	cut := tree.Cut()
	tree.Unlock()
	cut.Drain(3, func([]byte, *Record) {})
	for range 50 { // some of what is cut is saved
		tree.Apply(old.txn(), &out)
	}

	fresh := New()
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 2)), m: newModel()}
	copied := newDurable(fresh, g.m)
	steps := func(tree *Tree, n int) {
		for range n {
			txn := g.txn()
			_, changes := g.m.apply(txn)
			tree.Lock()
			tree.Apply(txn, &out)
			tree.Unlock()
			compareEvents(t, g.m, changes, out.Events)
			copied.step(t, g)
		}
	}
	steps(fresh, 500)
	copied.finish(t)
	steps(fresh, 10)
	if copied.cut != nil {
		copied.finish(t) // who hands a tree over has ended his cuts
	}

	tree.Lock()
	tree.Adopt(fresh)
	tree.Unlock()
	if !cut.Dropped() || cut.Drain(1000, func(path []byte, _ *Record) { t.Errorf("a dropped cut yields %s", path) }) {
		t.Error("the cut of the old content goes on")
	}
	if conns, paths, total := tree.WatchStats(); conns+paths+total+tree.WatchCount() != 0 {
		t.Errorf("watches are left: %d connections, %d paths, %d data watches", conns, paths, total)
	}
	if !tree.rules.NoDigest || tree.LastZxid() != g.zxid {
		t.Errorf("rules %+v, at %v instead of %v", tree.rules, tree.LastZxid(), g.zxid)
	}
	copied.tree = tree
	compareTrees(t, g.m, tree)
	for range 5 {
		steps(tree, 100)
		g.watch(tree)
		compareTrees(t, g.m, tree)
	}
	copied.finish(t)
}

// TestAdoptAll wants a decision about every field of a Tree: what is not listed
// here would silently stay with, or go to, the wrong one.
func TestAdoptAll(t *testing.T) {
	const decided = "mu rules zxid nodes dirs index slab acls lists sum figures published sessions reapable reaper quotas watches changes loading"
	var fields []string
	tree := reflect.TypeFor[Tree]()
	for i := range tree.NumField() {
		fields = append(fields, tree.Field(i).Name)
	}
	if got := strings.Join(fields, " "); got != decided {
		t.Errorf("Tree has the fields\n%s\nAdopt knows\n%s", got, decided)
	}
}

// TestAdoptKeepsMismatches: what was counted stays counted.
func TestAdoptKeepsMismatches(t *testing.T) {
	wrong := func(tree *Tree) {
		var out Applied
		tree.Apply(&wire.Txn{TxnHeader: wire.TxnHeader{Zxid: tree.LastZxid() + 1, Op: wire.OpCreateSession},
			Body: &wire.CreateSessionTxn{}, Digest: wire.TxnDigest{Version: wire.DigestVersion, Tree: 1}}, &out)
	}
	tree, fresh := New(), New()
	wrong(tree)
	wrong(tree)
	wrong(fresh)
	tree.Adopt(fresh)
	if n := tree.DigestMismatches(); n != 3 {
		t.Errorf("%d mismatches, want 3", n)
	}
}

// TestAdoptUnderReaders is for the race detector: others read, watch and drain
// meanwhile.
func TestAdoptUnderReaders(t *testing.T) {
	filled := func(seed uint64) *Tree {
		tree := New()
		tree.TrackChanges()
		g := &generator{Rand: rand.New(rand.NewPCG(seed, 0)), m: newModel()}
		var out Applied
		for i := range 40 { // a directory whose list is cached
			g.zxid++
			tree.Apply(&wire.Txn{TxnHeader: wire.TxnHeader{Zxid: g.zxid, Op: wire.OpCreate},
				Body: &wire.CreateTxn{Path: fmt.Sprintf("/n%d", i)}}, &out)
		}
		for range 200 {
			tree.Apply(g.txn(), &out)
		}
		return tree
	}
	tree := filled(1)
	done := make(chan struct{})
	var readers, drainers sync.WaitGroup
	for conn := range ConnID(3) {
		readers.Go(func() { readAll(tree, conn+1, done) })
	}
	for seed := range uint64(50) {
		tree.Lock()
		cut := tree.Cut()
		tree.Unlock()
		if cut != nil {
			drainers.Go(func() {
				for cut.Drain(2, func([]byte, *Record) {}) {
				}
				cut.Dropped()
			})
		}
		fresh := filled(seed + 2)
		tree.Lock()
		tree.Adopt(fresh)
		tree.Unlock()
	}
	close(done)
	readers.Wait()
	drainers.Wait()
	verify(t, tree)
}
