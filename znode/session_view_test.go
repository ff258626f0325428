package znode

import (
	"slices"
	"testing"

	"zooid/wire"
)

// TestSessionsInFlight: sessions begin and end when their txns are prepared, as
// far as later requests are concerned.
func TestSessionsInFlight(t *testing.T) {
	s := newSolo(t, defaultRules(t))
	open := &Request{Session: 1, Op: wire.OpCreateSession, TimeoutMs: 4000}
	closing := &Request{Session: 1, Op: wire.OpCloseSession}
	for i, step := range []struct {
		r    *Request
		want wire.ErrCode
	}{
		{reqCreate(wire.OpCreate, "/too-early", 0), wire.ErrSessionExpired},
		{open, wire.OK},
		{reqCreate(wire.OpCreate, "/a", wire.FlagEphemeral), wire.OK},
		{closing, wire.OK},
		{reqCreate(wire.OpCreate, "/too-late", 0), wire.ErrSessionExpired},
		{reqSetData("/", "x", -1), wire.ErrSessionExpired},
		{closing, wire.OK}, // as when a client closes a session that expires
		{open, wire.OK},
		{reqCreate(wire.OpCreate, "/a", wire.FlagEphemeral), wire.OK},
	} {
		if got := codeOf(s.propose(step.r)); got != step.want {
			t.Errorf("step %d, %v: %s, want %s", i, step.r.Op, name(got), name(step.want))
		}
	}
	for len(s.queue) > 0 {
		s.apply()
	}
	if a := s.do(reqSetData("/a", "x", 0)); a.Err != wire.OK {
		t.Errorf("with everything applied: %s", name(a.Err))
	}
}

// TestMultiOfEndedSession: the first part is refused, as in ZooKeeper.
func TestMultiOfEndedSession(t *testing.T) {
	s := newSolo(t, defaultRules(t))
	a := s.do(reqMulti(reqCreate(wire.OpCreate, "/a", 0), reqDelete("/a", 0)))
	if a.Err != wire.OK || a.Multi[0].Err != wire.ErrSessionExpired || a.Multi[1].Err != wire.ErrRuntimeInconsistency {
		t.Errorf("%s, %+v", name(a.Err), a.Multi)
	}
}

// TestCloseSessionLists: the txn names exactly the ephemerals that will be there
// when it commits, also those that come and go in flight.
func TestCloseSessionLists(t *testing.T) {
	eph := func(path string) *Request { return reqCreate(wire.OpCreate, path, wire.FlagEphemeral) }
	for _, tc := range []struct {
		name    string
		applied []*Request
		flight  []*Request
		want    []string
	}{
		{"none", nil, nil, nil},
		{"applied", []*Request{eph("/a"), eph("/b")}, nil, []string{"/a", "/b"}},
		{"in flight", nil, []*Request{eph("/a"), eph("/b")}, []string{"/a", "/b"}},
		{"both", []*Request{eph("/a")}, []*Request{eph("/b")}, []string{"/a", "/b"}},
		{"deleted in flight", []*Request{eph("/a"), eph("/b")}, []*Request{reqDelete("/a", -1)}, []string{"/b"}},
		{"made and deleted in flight", nil, []*Request{eph("/a"), reqDelete("/a", -1)}, nil},
		{"made again in flight", []*Request{eph("/a")}, []*Request{reqDelete("/a", -1), eph("/a")}, []string{"/a"}},
		{"made twice in flight", nil, []*Request{eph("/a"), reqDelete("/a", -1), eph("/a")}, []string{"/a"}},
		{"made twice in a multi", nil, []*Request{reqMulti(eph("/a"), reqDelete("/a", -1), eph("/a"))}, []string{"/a"}},
		{"made in the place of another in a multi", []*Request{reqCreate(wire.OpCreate, "/a", 0)},
			[]*Request{reqMulti(reqDelete("/a", -1), eph("/a"))}, []string{"/a"}},
		{"made in a refused multi", nil, []*Request{reqMulti(eph("/a"), reqDelete("/nope", -1))}, nil},
		{"made persistent in flight", []*Request{eph("/a")}, []*Request{reqDelete("/a", -1), reqCreate(wire.OpCreate, "/a", 0)}, nil},
		{"another's in flight", []*Request{eph("/a")}, []*Request{reqDelete("/a", -1), as(eph("/a"), 2)}, nil},
		{"changed in flight", []*Request{eph("/a")}, []*Request{reqSetData("/a", "x", 0)}, []string{"/a"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSolo(t, defaultRules(t))
			s.session(1)
			s.session(2)
			for _, r := range tc.applied {
				s.must(r)
			}
			for _, r := range tc.flight {
				s.propose(r)
			}
			txn := s.propose(&Request{Session: 1, Op: wire.OpCloseSession})
			if got := txn.Body.(*wire.CloseSessionTxn).Paths; !slices.Equal(got, tc.want) {
				t.Errorf("closeSession lists %q, want %q", got, tc.want)
			}
			for len(s.queue) > 0 {
				s.apply()
			}
			if left := s.tree.Ephemerals(1); len(left) != 0 {
				t.Errorf("ephemerals %q outlive their session", left)
			}
		})
	}
}

// TestReaping: a container or TTL node that was found reapable is looked at
// again, with what is in flight.
func TestReaping(t *testing.T) {
	for _, tc := range []struct {
		name   string
		flight *Request
		path   string
		want   wire.ErrCode
	}{
		{"container", nil, "/box", wire.OK},
		{"container used again", reqCreate(wire.OpCreate, "/box/k", 0), "/box", wire.ErrNotEmpty},
		{"container deleted", reqDelete("/box", -1), "/box", wire.ErrNoNode},
		{"container made persistent", reqMulti(reqDelete("/box", -1), reqCreate(wire.OpCreate, "/box", 0)), "/box", wire.ErrBadVersion},
		{"TTL", nil, "/ttl", wire.OK},
		{"TTL written", reqSetData("/ttl", "x", -1), "/ttl", wire.ErrBadVersion},
		{"TTL used", reqCreate(wire.OpCreate, "/ttl/k", 0), "/ttl", wire.ErrNotEmpty},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSolo(t, defaultRules(t))
			s.session(1)
			s.must(reqCreate(wire.OpCreateContainer, "/box", wire.FlagContainer))
			s.must(reqCreateTTL("/ttl", wire.FlagPersistentTTL, 1000))
			// Whoever may do nothing here: reaping asks for no permission.
			s.must(reqSetACL("/", worldACL(wire.PermRead|wire.PermCreate|wire.PermDelete), -1))
			s.timeMs += 2000
			if tc.flight != nil {
				s.propose(tc.flight)
			}
			if got := codeOf(s.propose(reqReap(tc.path))); got != tc.want {
				t.Errorf("%s, want %s", name(got), name(tc.want))
			}
			for len(s.queue) > 0 {
				s.apply()
			}
		})
	}
}

// TestPermissionsInFlight: an ACL counts from the moment its txn is prepared.
// Apache ZooKeeper 3.9 judges by the old or the new one, depending on timing.
func TestPermissionsInFlight(t *testing.T) {
	s := newSolo(t, defaultRules(t))
	s.session(1)
	s.must(reqCreate(wire.OpCreate, "/a", 0))
	s.propose(reqSetACL("/a", worldACL(wire.PermRead|wire.PermAdmin), -1))
	for _, step := range []struct {
		r    *Request
		want wire.ErrCode
	}{
		{reqSetData("/a", "x", -1), wire.ErrNoAuth},
		{reqCreate(wire.OpCreate, "/a/b", 0), wire.ErrNoAuth},
		{as(reqSetData("/a", "x", -1), 1, superID), wire.OK},
		{as(reqSetACL("/a", []wire.ACL{{Perms: wire.PermAll, ID: wire.ID{Scheme: "auth"}}}, -1), 1, ipID, userID), wire.OK},
		{reqSetACL("/a", wire.OpenACL, -1), wire.ErrNoAuth},
		{as(reqSetACL("/a", wire.OpenACL, 2), 1, userID), wire.OK},
		{reqSetData("/a", "x", 1), wire.OK},
	} {
		if got := codeOf(s.propose(step.r)); got != step.want {
			t.Errorf("%v: %s, want %s", step.r.Op, name(got), name(step.want))
		}
	}
	for len(s.queue) > 0 {
		s.apply()
	}
	s.tree.rules.SkipACL = true
	s.must(reqSetACL("/a", worldACL(0), -1))
	s.must(reqSetData("/a", "x", -1))
}

// TestQuotaComparesApplied: the hard limits are held against what is applied, so
// what is in flight can pass them by its own size, as in ZooKeeper.
func TestQuotaComparesApplied(t *testing.T) {
	rules := defaultRules(t)
	rules.EnforceQuota = true
	counted := 0
	rules.QuotaExceeded = func(namespace string) {
		if counted++; namespace != "q" {
			t.Errorf("counted for %q", namespace)
		}
	}
	s := newSolo(t, rules)
	s.session(1)
	s.must(reqCreate(wire.OpCreate, "/q", 0))
	s.must(reqSetData("/q", "", -1))
	s.must(reqCreate(wire.OpCreate, "/zookeeper/quota/q", 0))
	limits := reqCreate(wire.OpCreate, "/zookeeper/quota/q/zookeeper_limits", 0)
	limits.Body.(*wire.CreateRequest).Data = []byte("count=1,bytes=-1=;byteHardLimit=3;countHardLimit=3")
	s.must(limits)
	s.must(reqCreate(wire.OpCreate, "/zookeeper/quota/q/zookeeper_stats", 0))
	s.must(reqCreate(wire.OpCreate, "/q/1", 0)) // 2 nodes, 1 byte

	multi := s.do(reqMulti(reqCreate(wire.OpCreate, "/q/2", 0), reqCreate(wire.OpCreate, "/q/3", 0)))
	if multi.Multi[1].Err != wire.OK {
		t.Errorf("a multi is stopped inside: %+v", multi.Multi)
	}
	for _, step := range []struct {
		name string
		r    *Request
		want wire.ErrCode
	}{
		{"one node too many", reqCreate(wire.OpCreate, "/q/4", 0), wire.ErrQuotaExceeded},
		{"outside", reqCreate(wire.OpCreate, "/qq", 0), wire.OK},
		{"same size", reqSetData("/q/1", "e", -1), wire.OK},
		{"one byte too many", reqSetData("/q/1", "ee", -1), wire.ErrQuotaExceeded},
		{"less", reqSetData("/q/1", "", -1), wire.OK},
		{"delete", reqDelete("/q/1", -1), wire.OK},
		{"room again", reqCreate(wire.OpCreate, "/q/4", 0), wire.ErrQuotaExceeded},
		{"delete another", reqDelete("/q/2", -1), wire.OK},
		{"room at last", reqCreate(wire.OpCreate, "/q/4", 0), wire.OK},
		{"delete for bytes", reqDelete("/q/3", -1), wire.OK},
		{"more bytes", reqSetData("/q/4", "dd", -1), wire.OK},
		{"the last byte, in a new node", reqCreate(wire.OpCreate, "/q/5", 0), wire.OK},
		{"delete again", reqDelete("/q/5", -1), wire.OK},
		{"fill up", reqSetData("/q/4", "ddd", -1), wire.OK},
		{"room for a node, not for its byte", reqCreate(wire.OpCreate, "/q/5", 0), wire.ErrQuotaExceeded},
		{"lower the limit", reqSetData("/zookeeper/quota/q/zookeeper_limits", "count=-1,bytes=-1=;byteHardLimit=1;countHardLimit=1", -1), wire.OK},
		{"beyond the limit, same size", reqSetData("/q/4", "eee", -1), wire.OK},
		{"beyond the limit, still too much", reqSetData("/q/4", "ee", -1), wire.ErrQuotaExceeded},
	} {
		counted = 0
		a := s.do(step.r)
		if refused := a.Err == wire.ErrQuotaExceeded; refused != (counted == 1) || counted > 1 {
			t.Errorf("%s: counted %d times", step.name, counted)
		}
		if a.Err != step.want {
			t.Errorf("%s: %s, want %s", step.name, name(a.Err), name(step.want))
		}
	}

	// The size that a setData starts from is the one in flight.
	s.must(reqSetData("/zookeeper/quota/q/zookeeper_limits", "count=-1,bytes=-1=;byteHardLimit=3;countHardLimit=-1", -1))
	s.propose(reqSetData("/q/4", "", -1))
	if got := codeOf(s.propose(reqSetData("/q/4", "fff", -1))); got != wire.ErrQuotaExceeded {
		t.Errorf("three bytes more than in flight, on a full quota: %s", name(got))
	}
	s.apply()
	s.apply()
}

// TestViewForgets: once everything is applied the view holds nothing, whatever
// was refused in between.
func TestViewForgets(t *testing.T) {
	eph := func(path string) *Request { return reqCreate(wire.OpCreate, path, wire.FlagEphemeral) }
	s := newSolo(t, defaultRules(t))
	s.session(1)
	s.propose(eph("/a"))
	s.propose(reqMulti(eph("/b"), reqSetData("/a", "x", 0), reqDelete("/nope", -1)))
	s.propose(reqMulti(reqCreate(wire.OpCreate, "/c", 0), reqDelete("/c", 9)))
	s.propose(reqDelete("/nope", -1))
	for len(s.queue) > 0 {
		s.apply()
	}
	if v := s.view; len(v.nodes) != 0 || len(v.sessions) != 0 || len(v.notes) != 0 {
		t.Errorf("left: %d nodes, %d sessions, %d notes", len(v.nodes), len(v.sessions), len(v.notes))
	}
}
