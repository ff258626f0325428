package znode

import (
	"slices"
	"testing"

	"zooid/wire"
)

// loaded353 is a tree as it is loaded from a disk that a server with the key
// emulate353TTLNodes has left: a TTL node in the form of ZooKeeper 3.5.3, one in
// today's, a container and an ephemeral.
func loaded353(t *testing.T) *Tree {
	tree := New()
	for _, n := range []struct {
		path  string
		owner int64
	}{
		{"/old", -1<<63 | 5000}, {"/old2", -1<<63 | 1<<50 | 7000}, {"/new", wire.TTLOwner(5000)}, {"/box", wire.ContainerOwner}, {"/mine", 0x0100_0000_0000_0001},
	} {
		r := Record{Data: []byte("x"), Stat: wire.StatPersisted{Czxid: 1, Mzxid: 1, Pzxid: 1, EphemeralOwner: n.owner}}
		if err := tree.Load(n.path, &r); err != nil {
			t.Fatal(err)
		}
	}
	tree.LoadSession(0x0100_0000_0000_0001, 4000, 0)
	tree.Loaded(1)
	return tree
}

func TestOwnersOf353(t *testing.T) {
	for _, test := range []struct {
		name       string
		rules      Rules
		ephemerals int
		reapable   []string // a minute later
	}{
		{"read as ZooKeeper 3.5.3 meant them", Rules{ExtendedTypes: true, Emulate353: true}, 1, []string{"/new", "/old", "/old2"}},
		{"without the key they are sessions'", Rules{ExtendedTypes: true}, 3, []string{"/new"}},
		{"without TTL nodes the key means nothing", Rules{Emulate353: true}, 3, []string{"/new"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree := loaded353(t)
			tree.SetRules(test.rules)
			check353(t, tree, test.ephemerals, test.reapable)
			// A member takes over another's state, which was read without rules.
			tree.Adopt(loaded353(t))
			check353(t, tree, test.ephemerals, test.reapable)
			// What the rules say may be unsaid.
			tree.SetRules(Rules{})
			check353(t, tree, 3, []string{"/new"})
		})
	}
}

func check353(t *testing.T, tree *Tree, ephemerals int, reapable []string) {
	t.Helper()
	if got := tree.EphemeralCount(); got != ephemerals {
		t.Errorf("%d ephemerals, want %d", got, ephemerals)
	}
	if got := tree.Reapable(5000, 0, 10); len(got) > 0 {
		t.Errorf("reaped before their time: %q", got)
	}
	got := tree.Reapable(60_000, 0, 10)
	slices.Sort(got)
	if !slices.Equal(got, reapable) {
		t.Errorf("a minute later %q are to be reaped, want %q", got, reapable)
	}
	for path, owner := range map[string]bool{"/old": !slices.Contains(reapable, "/old"), "/mine": true, "/new": false} {
		if stat := tree.stat(tree.lookup(path)); (stat.EphemeralOwner != 0) != owner {
			t.Errorf("%s: clients see the owner %#x", path, int64(stat.EphemeralOwner))
		}
	}
	tree.verifyList(t, &tree.reapable)
	tree.sessions.visit(func(e *session) { tree.verifyList(t, &e.ephemerals) })
}
