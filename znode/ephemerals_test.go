package znode

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"zooid/wire"
)

// listEphemerals is what getEphemerals answers.
func listEphemerals(t testing.TB, tree *Tree, id wire.SessionID, prefix string) []string {
	t.Helper()
	q := wire.PathRequest{Path: prefix}
	b, err := tree.Read(wire.OpGetEphemerals, &Reader{Session: id}, q.Append(nil), []byte("before"))
	if err != nil {
		t.Fatal(err)
	}
	d := wire.NewDecoder(b[len("before"):])
	paths := d.Strings()
	if d.Err() != nil || d.Remaining() != 0 {
		t.Fatalf("reply: %v, %d bytes too many", d.Err(), d.Remaining())
	}
	return paths
}

// loadEphemerals makes a tree in which session 1 owns so many nodes.
func loadEphemerals(t testing.TB, n int) *Tree {
	t.Helper()
	tree := New()
	if err := tree.Load("/locks", &Record{}); err != nil {
		t.Fatal(err)
	}
	r := Record{Stat: wire.StatPersisted{EphemeralOwner: 1}}
	for i := range n {
		if err := tree.Load(fmt.Sprintf("/locks/lock-%010d", i), &r); err != nil {
			t.Fatal(err)
		}
	}
	tree.Loaded(1)
	return tree
}

// Blanks around a prefix count only for the question whether it means all.
func TestEphemeralsOfABlankPrefix(t *testing.T) {
	tree := loadEphemerals(t, 3)
	for prefix, want := range map[string]int{
		"": 3, "/": 3, " ": 3, "/ ": 3, " / ": 3, "\t/\n\x00": 3, "/locks": 3, "/locks/lock-0000000001": 1,
		" /locks": 0, "/locks ": 0, "\u00a0": 0, "//": 0, "/x": 0,
	} {
		if got := len(listEphemerals(t, tree, 1, prefix)); got != want {
			t.Errorf("prefix %q: %d, want %d", prefix, got, want)
		}
	}
}

// Whatever a session makes and deletes, a prefix lists what has it, with the order
// of paths and without, and across the changes between the two.
func TestEphemeralsByPrefix(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 0))
	tree := New()
	for _, dir := range []string{"/a", "/ab", "/b", "/b/c"} {
		if err := tree.Load(dir, &Record{}); err != nil {
			t.Fatal(err)
		}
	}
	var paths []string
	grow := func() {
		dir := []string{"/a", "/ab", "/b", "/b/c", ""}[rnd.IntN(5)]
		path := fmt.Sprintf("%s/%x", dir, rnd.IntN(1<<20))
		if tree.lookup(path) != 0 {
			return
		}
		if err := tree.Load(path, &Record{Stat: wire.StatPersisted{EphemeralOwner: 1}}); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	shrink := func() {
		i := rnd.IntN(len(paths))
		tree.remove(tree.lookup(paths[i]), paths[i])
		paths = slices.Delete(paths, i, i+1)
	}
	check := func() {
		t.Helper()
		for _, prefix := range []string{"/", "/a", "/a/", "/ab/7", "/b/c/", "/b/c/ff", "/c", "/0", "/zz", "x"} {
			var want []string
			for _, p := range paths {
				if prefix == "/" || strings.HasPrefix(p, prefix) {
					want = append(want, p)
				}
			}
			got := listEphemerals(t, tree, 1, prefix)
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Fatalf("%d ephemerals, prefix %s: %d, want %d", len(paths), prefix, len(got), len(want))
			}
		}
		if x := tree.sessions.sorted[1]; x != nil {
			n := 0
			for _, b := range x.blocks {
				if len(b) == 0 || len(b) > pathBlock {
					t.Fatalf("a block of %d", len(b))
				}
				n += len(b)
			}
			if n != len(paths) {
				t.Fatalf("%d nodes are sorted, want %d", n, len(paths))
			}
		}
	}
	for _, size := range []int{sortedMin - 1, sortedMin, 3 * sortedMin, sortedMin / 2, sortedMin/2 - 1, sortedMin - 1, sortedMin, 0} {
		for len(paths) < size {
			grow()
			if len(paths) > 0 && rnd.IntN(3) == 0 {
				shrink()
			}
		}
		for len(paths) > size {
			shrink()
		}
		check()
		if sorted := tree.sessions.sorted[1] != nil; sorted && size < sortedMin/2 || !sorted && size >= sortedMin {
			t.Errorf("%d ephemerals, sorted: %t", size, sorted)
		}
	}
	if len(tree.sessions.sorted) != 0 || len(tree.sessions.byID) != 0 {
		t.Error("a session without ephemerals is remembered")
	}
}

// A session of 300,000 ephemerals asks for a prefix that nothing has, and for one
// that a few have: the tree's lock is held for as long as that takes, and 128 such
// requests come at once. They took 4.7 s.
func TestPrefixOfManyEphemerals(t *testing.T) {
	tree := loadEphemerals(t, 300_000)
	began := time.Now()
	for range 128 {
		if got := listEphemerals(t, tree, 1, "/nothing"); len(got) != 0 {
			t.Fatal(len(got))
		}
		if got := listEphemerals(t, tree, 1, "/locks/lock-000012345"); len(got) != 10 {
			t.Fatal(len(got))
		}
	}
	// Half a second would be enough for 2 ms each; it takes a few µs.
	if took := time.Since(began); took > 500*time.Millisecond {
		t.Errorf("256 requests took %v", took)
	}
	bytes := 0
	for _, b := range tree.sessions.sorted[1].blocks {
		bytes += cap(b)*4 + 24
	}
	if bytes > 10*300_000 {
		t.Errorf("the order takes %d bytes", bytes)
	}
}

// The reply to getEphemerals is bounded, and so is the time that it takes.
func TestReplyOfManyEphemeralsIsBounded(t *testing.T) {
	tree := loadEphemerals(t, 300_000)
	for _, prefix := range []string{"", "/locks"} {
		q := wire.PathRequest{Path: prefix}
		b, err := tree.Read(wire.OpGetEphemerals, &Reader{Session: 1}, q.Append(nil), []byte("before"))
		if !errors.Is(err, wire.ErrBadArguments) || string(b) != "before" {
			t.Errorf("prefix %q: %d bytes, %v", prefix, len(b), err)
		}
		if cap(b) > 3*ReplyBytesMax {
			t.Errorf("prefix %q: room for %d bytes was made", prefix, cap(b))
		}
	}
	if got := len(listEphemerals(t, tree, 1, "/locks/lock-00001")); got != 100_000 {
		t.Errorf("%d that fit, want 100,000", got)
	}
}
