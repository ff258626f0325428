package znode

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"zooid/wire"
)

func names(t *testing.T, tree *Tree, path string) []string {
	t.Helper()
	var r wire.StringsResponse
	q := wire.WatchRequest{Path: path}
	b, err := tree.Read(wire.OpGetChildren, &Reader{}, q.Append(nil), nil)
	if err == nil {
		err = wire.Unmarshal(b, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r.Names
}

// Large directories whose lists are read between creates and deletes, with a
// bound on the cache that holds a few of them only.
func TestListCache(t *testing.T) {
	for _, seed := range seeds() {
		rng := rand.New(rand.NewPCG(seed, 0))
		tree := New()
		tree.lists.max = 16 << 10
		want := make([][]string, 8)
		var out Applied
		apply := func(op wire.OpCode, body wire.TxnBody) {
			tree.Apply(&wire.Txn{TxnHeader: wire.TxnHeader{Zxid: tree.LastZxid() + 1, Op: op}, Body: body}, &out)
			if out.Err != wire.OK {
				t.Fatal(out.Err)
			}
		}
		for i := range want {
			apply(wire.OpCreate, &wire.CreateTxn{Path: fmt.Sprintf("/d%d", i)})
		}
		for i := range 6000 {
			d := rng.IntN(len(want))
			dir := fmt.Sprintf("/d%d", d)
			switch k := rng.IntN(10); {
			case k < 5:
				name := fmt.Sprintf("child-%d", i)
				apply(wire.OpCreate, &wire.CreateTxn{Path: dir + "/" + name})
				want[d] = append(want[d], name)
			case k == 5 && len(want[d]) > 0:
				j := rng.IntN(len(want[d]))
				apply(wire.OpDelete, &wire.DeleteTxn{Path: dir + "/" + want[d][j]})
				want[d] = slices.Delete(want[d], j, j+1)
			case k > 5:
				if got := names(t, tree, dir); !slices.Equal(got, want[d]) {
					t.Fatalf("seed %d: %s has %q, want %q", seed, dir, got, want[d])
				}
			}
			bytes := 0
			for _, l := range tree.lists.lists {
				bytes += cap(l.names)
			}
			if bytes != tree.lists.bytes || bytes > tree.lists.max {
				t.Fatalf("seed %d: %d bytes in lists, counted %d, at most %d", seed, bytes, tree.lists.bytes, tree.lists.max)
			}
			if n := len(tree.lists.clock); n > 2*len(want)+listCacheMin {
				t.Fatalf("seed %d: %d entries for %d lists at most", seed, n, len(want))
			}
		}
		verify(t, tree)
	}
}

// A list too large to be copied under the write lock is dropped when it is full.
func TestListCacheGrow(t *testing.T) {
	tree := New()
	l := &list{names: make([]byte, listGrowMax), serial: 1}
	tree.lists.lists[rootID] = l
	tree.lists.bytes = cap(l.names)
	tree.lists.childAdded(rootID, "more")
	if tree.lists.lists[rootID] != nil || tree.lists.bytes != 0 {
		t.Errorf("the list is still there; %d bytes", tree.lists.bytes)
	}
	names := append(wire.AppendInt32(nil, 0), make([]byte, listGrowMax)...)
	l.names = slices.Grow(names, 100)
	tree.lists.lists[rootID] = l
	tree.lists.bytes = cap(l.names)
	tree.lists.childAdded(rootID, "more")
	if tree.lists.lists[rootID] == nil {
		t.Error("a list with room was dropped")
	}
}
