package znode

import (
	"fmt"
	"math/rand/v2"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"zooid/wire"
)

// Fifty nodes in each part of the index, coming and going.
func TestIndex(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	rng := rand.New(rand.NewPCG(1, 0))
	tree := New()
	live := map[int]bool{}
	path := func(i int) string { return fmt.Sprintf("/node-%d", i) }
	for range 200_000 {
		i := rng.IntN(50 * indexShards)
		n := tree.lookup(path(i))
		if (n != 0) != live[i] {
			t.Fatalf("lookup(%s) = %d, exists: %v", path(i), n, live[i])
		}
		if live[i] {
			tree.remove(n, path(i))
			delete(live, i)
		} else {
			if err := tree.Load(path(i), &Record{}); err != nil {
				t.Fatal(err)
			}
			live[i] = true
		}
	}
	for i := range 50 * indexShards {
		if n := tree.lookup(path(i)); (n != 0) != live[i] {
			t.Fatalf("lookup(%s) = %d, exists: %v", path(i), n, live[i])
		}
	}
	used := 0
	for _, s := range tree.index.shards {
		used += s.used
	}
	if want := len(live) + 3; used != want {
		t.Errorf("%d slots in use, want %d", used, want)
	}
}

// What is not exactly a node's path finds nothing.
func TestLookup(t *testing.T) {
	tree := New()
	for _, path := range []string{"/a", "/a/b", "/a/b/c", "/ab"} {
		if err := tree.Load(path, &Record{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"/", ""} {
		if tree.lookup(path) != rootID {
			t.Errorf("%q is not the root", path)
		}
	}
	for _, path := range []string{"a", "//", "/a/", "//a", "/a//b", "a/b", "/b", "/a/c", "/a/b/", "/a/b/c/d", "/A", "/a\x00", " ", "."} {
		if n := tree.lookup(path); n != 0 {
			t.Errorf("lookup(%q) = %d", path, n)
		}
	}
	// As if another path had the same hash.
	for _, path := range []string{"/a/b/cc", "/x/b/c", "/a/b/c/c", "/a/bc", "xa/b/c", "b/c", "c", ""} {
		if tree.isPath(tree.lookup("/a/b/c"), path) {
			t.Errorf("%q passes for /a/b/c", path)
		}
	}
}

// A path that is loaded twice is as it was loaded last.
func TestLoadReplaces(t *testing.T) {
	tree := New()
	for _, r := range []Record{
		{Data: []byte("one"), Stat: wire.StatPersisted{Czxid: 1, EphemeralOwner: 5}},
		{Data: []byte("three"), Stat: wire.StatPersisted{Czxid: 3, EphemeralOwner: 6}, ACL: []wire.ACL{}},
		{Stat: wire.StatPersisted{Czxid: 4, EphemeralOwner: wire.ContainerOwner}},
	} {
		if err := tree.Load("/e", &r); err != nil {
			t.Fatal(err)
		}
		var got Record
		tree.record(tree.lookup("/e"), &got)
		if diff := gocmp.Diff(r, got); diff != "" {
			t.Error(diff)
		}
		verify(t, tree)
	}
}

func TestLoadRefuses(t *testing.T) {
	tree := New()
	for path, code := range map[string]wire.ErrCode{
		"/x/y": wire.ErrNoNode,
		"x":    wire.ErrBadArguments,
		"/x/":  wire.ErrBadArguments,
	} {
		if err := tree.Load(path, &Record{}); wire.CodeOf(err) != code {
			t.Errorf("Load(%q): %v, want %v", path, err, code)
		}
	}
}
