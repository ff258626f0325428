package znode

import (
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"zooid/wire"
)

// applier applies txn bodies one after the other.
type applier struct {
	tree *Tree
	out  Applied
}

func (a *applier) apply(session wire.SessionID, op wire.OpCode, timeMs int64, body wire.TxnBody) wire.ErrCode {
	a.tree.Apply(&wire.Txn{TxnHeader: wire.TxnHeader{
		Session: session, Cxid: 1, Zxid: a.tree.LastZxid() + 1, TimeMs: timeMs, Op: op,
	}, Body: body}, &a.out)
	return a.out.Err
}

func TestReapable(t *testing.T) {
	a := applier{tree: New()}
	a.apply(0, wire.OpCreateContainer, 1000, &wire.CreateContainerTxn{Path: "/used", ParentCversion: -1})
	a.apply(0, wire.OpCreateContainer, 1000, &wire.CreateContainerTxn{Path: "/unused", ParentCversion: -1})
	a.apply(0, wire.OpCreateTTL, 1000, &wire.CreateTTLTxn{Path: "/ttl", ParentCversion: -1, TTLMs: 500})
	a.apply(0, wire.OpCreate, 1000, &wire.CreateTxn{Path: "/used/k", ParentCversion: -1})
	a.apply(0, wire.OpCreate, 1000, &wire.CreateTxn{Path: "/ttl/k", ParentCversion: -1})
	a.apply(0, wire.OpCreate, 1000, &wire.CreateTxn{Path: "/plain", ParentCversion: -1})

	check := func(now, maxNeverUsed int64, want ...string) {
		t.Helper()
		got := a.tree.Reapable(now, maxNeverUsed, 10)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("at %d, unused kept %d ms: %q, want %q", now, maxNeverUsed, got, want)
		}
	}
	check(9000, 0)
	check(1100, 100)
	check(1101, 100, "/unused")
	a.apply(0, wire.OpDelete, 2000, &wire.DeleteTxn{Path: "/used/k"})
	a.apply(0, wire.OpDelete, 2000, &wire.DeleteTxn{Path: "/ttl/k"})
	check(1500, 0, "/used")
	check(1501, 0, "/ttl", "/used")
	a.apply(0, wire.OpSetData, 1400, &wire.SetDataTxn{Path: "/ttl", Version: 1})
	check(1900, 0, "/used")
	check(1901, 0, "/ttl", "/used")
	if got := a.tree.Reapable(1901, 1, 2); len(got) != 2 {
		t.Errorf("asked for two: %q", got)
	}
	a.apply(0, wire.OpDeleteContainer, 2000, &wire.DeleteTxn{Path: "/used"})
	check(1901, 1, "/ttl", "/unused")
}

// Calls with a small maximum come round to every node, also while nodes that
// the next call would begin with are deleted.
func TestReapableRound(t *testing.T) {
	a := applier{tree: New()}
	for i := range 50 {
		a.apply(0, wire.OpCreateTTL, 0, &wire.CreateTTLTxn{Path: fmt.Sprintf("/t%d", i), ParentCversion: -1, TTLMs: 1})
	}
	for left := 50; left > 0; {
		paths := a.tree.Reapable(10, 0, 3)
		if len(paths) == 0 {
			t.Fatalf("nothing to reap with %d nodes left", left)
		}
		if next := a.tree.reaper; next != 0 {
			paths = append(paths, a.tree.path(next))
		}
		for _, p := range paths {
			if a.apply(0, wire.OpDeleteContainer, 0, &wire.DeleteTxn{Path: p}) == wire.OK {
				left--
			}
		}
	}
	verify(t, a.tree)
}

// The node with which the next call would begin is gone, and its number serves
// a node that is no container.
func TestReapableBeginsElsewhere(t *testing.T) {
	a := applier{tree: New()}
	for _, path := range []string{"/a", "/b", "/c"} {
		a.apply(0, wire.OpCreateTTL, 0, &wire.CreateTTLTxn{Path: path, ParentCversion: -1, TTLMs: 1})
	}
	if got := a.tree.Reapable(10, 0, 1); !slices.Equal(got, []string{"/a"}) {
		t.Fatalf("first: %q", got)
	}
	a.apply(0, wire.OpDelete, 0, &wire.DeleteTxn{Path: "/b"})
	a.apply(0, wire.OpCreate, 0, &wire.CreateTxn{Path: "/persistent", ParentCversion: -1})
	if got := a.tree.Reapable(10, 0, 1); !slices.Equal(got, []string{"/c"}) {
		t.Errorf("then: %q", got)
	}
}

func TestQuotaFigures(t *testing.T) {
	a := applier{tree: New()}
	create := func(path, data string) {
		t.Helper()
		if code := a.apply(0, wire.OpCreate, 0, &wire.CreateTxn{Path: path, Data: []byte(data), ParentCversion: -1}); code != wire.OK {
			t.Fatalf("%s: %v", path, code)
		}
	}
	create("/q", "123")
	create("/q/a", "45")
	create("/quiet", "")
	create(quotaPath+"/q", "")
	create(quotaPath+"/q/"+limitsName, "count=5,bytes=-1=;byteHardLimit=100;countHardLimit=")
	if _, ok := a.tree.quotaOf("/q"); ok {
		t.Error("a quota without a stats node is in force")
	}
	create(quotaPath+"/q/"+statsName, "whatever")
	want := Quota{Path: "/q", CountLimit: 5, BytesLimit: -1, CountHardLimit: -1, BytesHardLimit: 100, Count: 2, Bytes: 5}
	for _, path := range []string{"/q", "/q/a", "/q/not/yet"} {
		if q, ok := a.tree.quotaOf(path); !ok || q != want {
			t.Errorf("quotaOf(%s) = %+v, %v; want %+v", path, q, ok, want)
		}
	}
	for _, path := range []string{"/", "/quiet", "/qq", quotaPath + "/q"} {
		if q, ok := a.tree.quotaOf(path); ok {
			t.Errorf("quotaOf(%s) = %+v", path, q)
		}
	}
	var all []Quota
	a.tree.Quotas(func(q Quota) { all = append(all, q) })
	if !slices.Equal(all, []Quota{want}) {
		t.Errorf("Quotas: %+v", all)
	}
	// New limits count at once; a client's own figures do not stay.
	a.apply(0, wire.OpSetData, 0, &wire.SetDataTxn{Path: quotaPath + "/q/" + limitsName, Data: []byte("bytes=7")})
	a.apply(0, wire.OpSetData, 0, &wire.SetDataTxn{Path: quotaPath + "/q/" + statsName, Data: []byte("count=0,bytes=0")})
	want = Quota{Path: "/q", CountLimit: -1, BytesLimit: 7, CountHardLimit: -1, BytesHardLimit: -1, Count: 2, Bytes: 5}
	if q, _ := a.tree.quotaOf("/q"); q != want {
		t.Errorf("quotaOf(/q) = %+v, want %+v", q, want)
	}
	if got := string(a.tree.data(a.tree.lookup(quotaPath + "/q/" + statsName))); got != "count=2,bytes=5" {
		t.Errorf("stats node holds %q", got)
	}
}

func TestSessionFigures(t *testing.T) {
	a := applier{tree: New()}
	a.apply(7, wire.OpCreateSession, 0, &wire.CreateSessionTxn{TimeoutMs: 4000})
	a.apply(8, wire.OpCreateSession, 0, &wire.CreateSessionTxn{TimeoutMs: 5000})
	a.apply(8, wire.OpCreate, 0, &wire.CreateTxn{Path: "/e8", Ephemeral: true})
	a.apply(9, wire.OpCreate, 0, &wire.CreateTxn{Path: "/e9", Ephemeral: true}) // of no session: a fuzzy snapshot's
	type owner struct {
		ID     wire.SessionID
		N      int
		Exists bool
	}
	var owners []owner
	a.tree.EphemeralOwners(func(id wire.SessionID, n int, exists bool) { owners = append(owners, owner{id, n, exists}) })
	if diff := gocmp.Diff([]owner{{8, 1, true}, {9, 1, false}}, owners); diff != "" {
		t.Error(diff)
	}
	if timeoutMs, cxid, ok := a.tree.Session(8); timeoutMs != 5000 || cxid != 1 || !ok {
		t.Errorf("session 8: %d, %d, %v", timeoutMs, cxid, ok)
	}
	if _, _, ok := a.tree.Session(9); ok {
		t.Error("session 9 is in the table")
	}
	if a.tree.SessionCount() != 2 || a.tree.EphemeralCount() != 2 {
		t.Errorf("%d sessions, %d ephemerals", a.tree.SessionCount(), a.tree.EphemeralCount())
	}
	a.apply(9, wire.OpCloseSession, 0, nil)
	a.apply(8, wire.OpCloseSession, 0, &wire.CloseSessionTxn{Paths: []string{"/e8"}})
	if a.tree.SessionCount() != 1 || a.tree.EphemeralCount() != 0 || len(a.tree.sessions.byID) != 1 {
		t.Errorf("%d sessions, %d ephemerals, %d entries", a.tree.SessionCount(), a.tree.EphemeralCount(), len(a.tree.sessions.byID))
	}
	if a.tree.Ephemerals(8) != nil {
		t.Error("a session that is gone has ephemerals")
	}
}

func TestDataSize(t *testing.T) {
	a := applier{tree: New()}
	empty := a.tree.DataSize()
	if want := int64(len("/" + systemPath + quotaPath + configPath)); empty != want {
		t.Errorf("empty tree: %d, want %d", empty, want)
	}
	a.apply(0, wire.OpCreate, 0, &wire.CreateTxn{Path: "/ab", Data: []byte("123")})
	a.apply(0, wire.OpSetData, 0, &wire.SetDataTxn{Path: "/", Data: []byte("root")})
	a.apply(0, wire.OpSetData, 0, &wire.SetDataTxn{Path: "/", Data: []byte("rt")})
	if got := a.tree.DataSize() - empty; got != 3+3+2 {
		t.Errorf("%d bytes more, want 8", got)
	}
}

func TestDigestHistory(t *testing.T) {
	a := applier{tree: New()}
	if len(a.tree.DigestHistory()) != 0 {
		t.Error("a new tree has a history")
	}
	for range 128*1030 + 5 {
		a.apply(0, wire.OpSetData, 0, &wire.SetDataTxn{Path: "/zookeeper"})
	}
	h := a.tree.DigestHistory()
	if len(h) != 1024 || h[0].Zxid != 128*7 || h[1023].Zxid != 128*1030 {
		t.Fatalf("%d entries from %v to %v", len(h), h[0].Zxid, h[len(h)-1].Zxid)
	}
	for i := 1; i < len(h); i++ {
		if h[i].Zxid != h[i-1].Zxid+128 || h[i].Digest == h[i-1].Digest {
			t.Fatalf("%+v after %+v", h[i], h[i-1])
		}
	}
}

func TestDigestMismatch(t *testing.T) {
	tree := New()
	var out Applied
	apply := func(d wire.TxnDigest) {
		tree.Apply(&wire.Txn{TxnHeader: wire.TxnHeader{Zxid: tree.LastZxid() + 1, Op: wire.OpSetData},
			Body: &wire.SetDataTxn{Path: quotaPath}, Digest: d}, &out)
	}
	tree.CompareDigestsAfter(3)
	apply(wire.TxnDigest{Version: 2, Tree: 1})
	apply(wire.TxnDigest{Version: 2, Tree: 1})
	if n := tree.DigestMismatches(); n != 0 {
		t.Errorf("%d mismatches before comparing began", n)
	}
	apply(wire.TxnDigest{Version: 2, Tree: 1})
	if m := tree.LastMismatch(); m != (DigestMismatch{Zxid: 3, Want: 1, Have: tree.Digest()}) {
		t.Errorf("the mismatch is %+v; nothing had matched before", m)
	}
	apply(wire.TxnDigest{Version: 2, Tree: tree.Digest()})
	apply(wire.TxnDigest{Version: 1, Tree: 1})
	apply(wire.TxnDigest{})
	if n := tree.DigestMismatches(); n != 1 {
		t.Errorf("%d mismatches, want 1", n)
	}
	apply(wire.TxnDigest{Version: 2, Tree: 1})
	if m := tree.LastMismatch(); m.Zxid != tree.LastZxid() || !m.Sure {
		t.Errorf("the mismatch is %+v, after digests that matched", m)
	}
	fresh := New()
	tree.Adopt(fresh)
	for i := range mismatchesSure {
		apply(wire.TxnDigest{Version: 2, Tree: 1})
		if m := tree.LastMismatch(); m.Sure != (i+1 == mismatchesSure) {
			t.Errorf("the mismatch %d in a row is %+v", i+1, m)
		}
	}
}

func TestApplyOutOfOrder(t *testing.T) {
	a := applier{tree: New()}
	a.tree.Loaded(10)
	defer func() {
		if recover() == nil {
			t.Error("a txn of the past was applied")
		}
	}()
	a.tree.Apply(&wire.Txn{TxnHeader: wire.TxnHeader{Zxid: 10, Op: wire.OpError}, Body: &wire.ErrorTxn{}}, &a.out)
}

func TestInternACL(t *testing.T) {
	var a aclTable
	a.init()
	one := []wire.ACL{{Perms: 1, ID: wire.ID{Scheme: "world", ID: "anyone"}}}
	two := []wire.ACL{{Perms: 2, ID: wire.ID{Scheme: "world", ID: "anyone"}}}
	if a.intern(nil) != openACL || a.intern(wire.OpenACL) != openACL {
		t.Error("the open ACL has several ids")
	}
	x, y, empty := a.intern(one), a.intern(two), a.intern([]wire.ACL{})
	if x == y || x == openACL || empty == openACL || a.intern(slices.Clone(one)) != x {
		t.Error("ids do not tell ACLs apart")
	}
	a.release(x)
	if !slices.Equal(a.list(x), one) {
		t.Error("an ACL went with the first of two references")
	}
	a.release(x)
	if z := a.intern(two); z != y {
		t.Error("ACL interned twice")
	}
	if len(a.ids) != 3 || len(a.free) != 1 {
		t.Errorf("%d ACLs, %d free ids", len(a.ids), len(a.free))
	}
}
