package znode

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"zooid/wire"
)

// TestNoTxnIsLargerThanItMayBe sends requests of all kinds and sizes, single
// ones and multis, under a small limit. What becomes a txn is within the limit,
// what is refused for its size is BADARGUMENTS and leaves no trace (solo checks
// every digest that was foreseen), and what just fits is done.
func TestNoTxnIsLargerThanItMayBe(t *testing.T) {
	const limit = 400
	rules := defaultRules(t)
	rules.TxnMax = limit
	refused, done, largest := 0, 0, 0
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		s := newSolo(t, rules)
		s.session(1)
		text := func(most int) string { return strings.Repeat("x", r.IntN(most)) }
		acl := func() []wire.ACL {
			return []wire.ACL{{Perms: wire.PermAll, ID: wire.ID{Scheme: "digest", ID: "a:" + text(200)}}, wire.OpenACL[0]}
		}
		single := func() *Request {
			path := fmt.Sprintf("/n%d%s", r.IntN(5), text(50))
			switch r.IntN(6) {
			case 0:
				return reqSetData("/n", text(500), -1)
			case 1:
				return reqSetACL("/n", append(acl(), wire.OpenACL...), -1)
			case 2:
				return reqDelete(path, -1)
			case 3:
				return &Request{Session: 1, Op: wire.OpCreateTTL, Body: &wire.CreateTTLRequest{CreateRequest: wire.CreateRequest{
					Path: path, Data: []byte(text(500)), ACL: acl(), Flags: wire.FlagPersistentSequentialTTL}, TTLMs: 1 << 39}}
			case 4:
				return reqCreate(wire.OpCreateContainer, path+text(400), wire.FlagContainer)
			}
			return &Request{Session: 1, Op: wire.OpCreate2, Body: &wire.CreateRequest{Path: path, Data: []byte(text(500)), ACL: acl(), Flags: int32(r.IntN(4))}}
		}
		s.must(reqCreate(wire.OpCreate, "/n", 0))
		for range 200 {
			q := single()
			if r.IntN(3) == 0 {
				parts := []*Request{reqCheck("/n", -1)}
				for range r.IntN(12) {
					if p := single(); p.Op != wire.OpSetACL { // not allowed there
						parts = append(parts, p)
					}
				}
				q = reqMulti(parts...)
			}
			txn := s.propose(q)
			n := len(txn.Append(nil))
			largest = max(largest, n)
			if n > limit {
				t.Fatalf("seed %d: %v of %d bytes", seed, txn.Op, n)
			}
			switch code := outcomeOf(txn); {
			case code == wire.ErrBadArguments:
				refused++
			case code == wire.OK:
				done++
			}
			if r.IntN(2) == 0 {
				for len(s.queue) > 0 {
					s.apply()
				}
			}
		}
	}
	if refused < 100 || done < 500 || largest < limit-20 {
		t.Errorf("%d were refused, %d done, the largest txn had %d bytes: not much was tried", refused, done, largest)
	}
}

// TestTxnAtItsLimit finds the last byte that is accepted, with the limit that
// ZooKeeper's defaults set, and that what is accepted can be read there.
func TestTxnAtItsLimit(t *testing.T) {
	s := newSolo(t, defaultRules(t))
	s.session(1)
	s.must(reqCreate(wire.OpCreate, "/n", 0))
	fits := wire.TxnBytesMax - wire.TxnOverhead - len("/n") - 4 - 4 - 4
	txn := s.propose(reqSetData("/n", strings.Repeat("x", fits), -1))
	if n := len(txn.Append(nil)); outcomeOf(txn) != wire.OK || n != wire.TxnBytesMax {
		t.Errorf("a txn of %d bytes: %v", n, outcomeOf(txn))
	}
	if txn := s.propose(reqSetData("/n", strings.Repeat("x", fits+1), -1)); outcomeOf(txn) != wire.ErrBadArguments {
		t.Errorf("a txn of one byte more: %v", outcomeOf(txn))
	}
	for len(s.queue) > 0 {
		s.apply()
	}
}

// TestAuthEntriesCountAsTheyAreStored: entries of scheme auth stand for all
// identities of the client, so a small request may ask for a large txn.
func TestAuthEntriesCountAsTheyAreStored(t *testing.T) {
	rules := defaultRules(t)
	rules.TxnMax = 2000
	s := newSolo(t, rules)
	s.session(1)
	s.must(reqCreate(wire.OpCreate, "/n", 0))
	var ids []wire.ID
	for i := range 10 {
		ids = append(ids, wire.ID{Scheme: "digest", ID: fmt.Sprintf("%d:%s", i, strings.Repeat("x", 200))})
	}
	mine := []wire.ACL{{Perms: wire.PermAll, ID: wire.ID{Scheme: "auth"}}}
	create := &wire.CreateRequest{Path: "/a", ACL: mine}
	for _, q := range []*Request{
		{Session: 1, Op: wire.OpCreate, Body: create},
		reqSetACL("/n", mine, -1),
		reqMulti(reqDelete("/a", -1), &Request{Op: wire.OpCreate, Body: create}),
	} {
		q.IDs = ids
		if txn := s.propose(q); outcomeOf(txn) != wire.ErrBadArguments {
			t.Errorf("%v with all identities: %v", q.Op, outcomeOf(txn))
		}
		q.IDs = ids[:5]
		if txn := s.propose(q); outcomeOf(txn) != wire.OK && outcomeOf(txn) != wire.ErrNodeExists {
			t.Errorf("%v with half of them: %v", q.Op, outcomeOf(txn))
		}
	}
}

// TestCloseSessionBeyondTheLimitGoesWithoutPaths ends a session whose list of
// ephemerals no member could read, some of them still in flight. The txn has
// neither a list nor a digest, which a ZooKeeper would take for the list, and
// all of the session's nodes go, and nobody else's.
func TestCloseSessionBeyondTheLimitGoesWithoutPaths(t *testing.T) {
	s := newSolo(t, defaultRules(t))
	s.session(1)
	s.session(2)
	s.must(as(reqCreate(wire.OpCreate, "/other", wire.FlagEphemeral), 2))
	const count = 18_000
	for i := range count {
		s.propose(reqCreate(wire.OpCreate, fmt.Sprintf("/%0112d", i), wire.FlagEphemeral))
		if i < count-100 {
			s.apply()
		}
	}
	txn := s.propose(&Request{Session: 1, Op: wire.OpCloseSession})
	if b := txn.Append(nil); len(b) != wire.TxnHeaderSize || txn.Body != nil {
		t.Fatalf("a closeSession of %d bytes", len(b))
	}
	s.propose(as(reqCreate(wire.OpCreate, "/after", 0), 2)) // its digest was foreseen after the end of the session
	for len(s.queue) > 0 {
		s.apply()
	}
	if n := len(s.tree.Ephemerals(1)); n != 0 {
		t.Errorf("%d ephemerals of an ended session are left", n)
	}
	if _, _, ok := s.tree.Session(1); ok || s.tree.lookup("/other") == 0 || s.tree.lookup("/after") == 0 {
		t.Error("the session is still there, or somebody else's nodes are not")
	}
}

// outcomeOf is the code that refused a request, or a part of a multi.
func outcomeOf(txn *wire.Txn) wire.ErrCode {
	if m, ok := txn.Body.(*wire.MultiTxn); ok {
		for _, part := range m.Txns {
			if e, failed := part.Body.(*wire.ErrorTxn); failed {
				return e.Err
			}
		}
	}
	return codeOf(txn)
}

// TestViewGivesABurstBack: what a view took for many changes in flight does not
// stay when they are applied.
func TestViewGivesABurstBack(t *testing.T) {
	s := newSolo(t, defaultRules(t))
	s.session(1)
	const count = 50_000
	paths := make([]*Request, 0, 500)
	for i := range count {
		paths = append(paths, reqCreate(wire.OpCreate, fmt.Sprintf("/%05d", i), wire.FlagEphemeral))
		if len(paths) == cap(paths) {
			s.propose(reqMulti(paths...))
			paths = paths[:0]
		}
	}
	for len(s.queue) > 0 {
		s.apply()
	}
	s.must(&Request{Session: 1, Op: wire.OpCloseSession})
	before := heapBytes()
	s.view = NewView(s.tree)
	if after := heapBytes(); before > after+1<<20 {
		t.Errorf("%d bytes are kept for nothing in flight", before-after)
	}
	runtime.KeepAlive(s)
}
