package znode

import (
	"bytes"
	"encoding/hex"
	"testing"

	"zooid/wire"
)

// TestMultiTxnForms looks at the txns of multis, one with every kind of part
// that holds and one that is refused in the middle. (That they are ZooKeeper's
// byte for byte is TestPrepareMakesRecordedTxns's.)
func TestMultiTxnForms(t *testing.T) {
	s := newSolo(t, defaultRules(t))
	s.session(1)
	s.must(reqCreate(wire.OpCreate, "/m", 0))

	held := s.propose(reqMulti(
		reqCreate(wire.OpCreate, "/m/a", 0),
		reqCreate(wire.OpCreate2, "/m/b", 0),
		reqCreate(wire.OpCreate, "/m/c", wire.FlagContainer),
		reqCreateTTL("/m/t", wire.FlagPersistentTTL, 1000),
		reqSetData("/m/a", "x", 0),
		reqCheck("/m/a", 1),
		reqCheck("/m/a", -1),
		reqDelete("/m/b", 0),
	))
	open := wire.OpenACL
	wantParts(t, held, []wire.SubTxn{
		{Op: wire.OpCreate, Body: &wire.CreateTxn{Path: "/m/a", Data: []byte("d"), ACL: open, ParentCversion: 1}},
		{Op: wire.OpCreate2, Body: &wire.CreateTxn{Path: "/m/b", Data: []byte("d"), ACL: open, ParentCversion: 2}},
		{Op: wire.OpCreateContainer, Body: &wire.CreateContainerTxn{Path: "/m/c", Data: []byte("d"), ACL: open, ParentCversion: 3}},
		{Op: wire.OpCreateTTL, Body: &wire.CreateTTLTxn{Path: "/m/t", ACL: open, ParentCversion: 4, TTLMs: 1000}},
		{Op: wire.OpSetData, Body: &wire.SetDataTxn{Path: "/m/a", Data: []byte("x"), Version: 1}},
		{Op: wire.OpCheck, Body: &wire.CheckVersionTxn{Path: "/m/a", Version: 2}},
		{Op: wire.OpCheck, Body: &wire.CheckVersionTxn{Path: "/m/a", Version: 2}},
		{Op: wire.OpDelete, Body: &wire.DeleteTxn{Path: "/m/b"}},
	})
	digest := held.Digest.Tree

	refused := s.propose(reqMulti(
		reqCreate(wire.OpCreate, "/m/new", 0),
		reqDelete("/m/a", 0),
		reqDelete("/m/nope", 0),
	))
	wantParts(t, refused, []wire.SubTxn{
		{Op: wire.OpCreate, Body: &wire.CreateTxn{Path: "/m/new", Data: []byte("d"), ACL: open, ParentCversion: 5}},
		{Op: wire.OpError, Body: &wire.ErrorTxn{Err: wire.ErrBadVersion}},
		{Op: wire.OpError, Body: &wire.ErrorTxn{Err: wire.ErrRuntimeInconsistency}},
	})
	if refused.Op != wire.OpMulti || refused.Digest.Tree != digest || refused.Digest.Version != wire.DigestVersion {
		t.Errorf("a refused multi is %v with digest %v, want the digest as before, %#x", refused.Op, refused.Digest, digest)
	}
	s.apply()
	if a := s.apply(); a.Err != wire.OK || len(a.Events) != 0 || s.tree.lookup("/m/new") != 0 {
		t.Errorf("the refused multi did something: %+v", a)
	}

	empty := s.propose(reqMulti())
	if m := empty.Body.(*wire.MultiTxn); len(m.Txns) != 0 || empty.Digest.Tree != digest {
		t.Errorf("an empty multi became %+v", empty)
	}
	s.apply()
}

func wantParts(t *testing.T, txn *wire.Txn, want []wire.SubTxn) {
	t.Helper()
	got := txn.Body.Append(nil)
	wanted := (&wire.MultiTxn{Txns: want}).Append(nil)
	if !bytes.Equal(got, wanted) {
		t.Errorf("txn body\n%s\nwant\n%s", hex.Dump(got), hex.Dump(wanted))
	}
}

// TestMultiReplies: the bodies of replies, byte for byte.
func TestMultiReplies(t *testing.T) {
	s := newSolo(t, defaultRules(t))
	s.session(1)
	s.must(reqCreate(wire.OpCreate, "/m", 0))
	end := "ffffffff01ffffffff"
	for _, tc := range []struct {
		name string
		r    *Request
		want string // hex
	}{
		{"empty", reqMulti(), end},
		{"refused", reqMulti(reqCheck("/m", 0), reqCheck("/m", 9), reqDelete("/m", -1)),
			"ffffffff00" + "00000000" + "00000000" + // held
				"ffffffff00" + "ffffff99" + "ffffff99" + // BADVERSION
				"ffffffff00" + "fffffffe" + "fffffffe" + end},
		{"held", reqMulti(reqCheck("/m", 0), reqCreate(wire.OpCreate, "/m/a", 0), reqDelete("/m/a", -1)),
			"0000000d00" + "00000000" +
				"0000000100" + "00000000" + "000000042f6d2f61" +
				"0000000200" + "00000000" + end},
	} {
		if got := hex.EncodeToString(AppendReply(nil, s.do(tc.r))); got != tc.want {
			t.Errorf("%s:\n%s\nwant\n%s", tc.name, got, tc.want)
		}
	}
	a := s.must(reqMulti(reqCreate(wire.OpCreateContainer, "/m/c", 4), reqCreate(wire.OpCreate2, "/m/d", 0), reqSetData("/m", "x", -1)))
	var reply wire.MultiResponse
	if err := wire.Unmarshal(AppendReply(nil, a), &reply); err != nil {
		t.Fatal(err)
	}
	for i, want := range []wire.OpCode{wire.OpCreate2, wire.OpCreate2, wire.OpSetData} {
		if r := reply.Results[i]; r.Op != want || r.Stat.Mzxid != a.Zxid {
			t.Errorf("result %d is %v with mzxid %v, want %v with %v", i, r.Op, r.Stat.Mzxid, want, a.Zxid)
		}
	}
}

// TestRefusedMultiRollsBack: what is prepared after a refused multi must not see
// anything of it, whatever was in flight before.
func TestRefusedMultiRollsBack(t *testing.T) {
	fails := reqCheck("/nope", -1)
	for _, tc := range []struct {
		name   string
		before []*Request // in flight
		multi  *Request
		after  *Request
		want   wire.ErrCode
	}{
		{"create", nil, reqMulti(reqCreate(wire.OpCreate, "/x", 0), fails), reqCreate(wire.OpCreate, "/x", 0), wire.OK},
		{"delete", nil, reqMulti(reqDelete("/m", -1), fails), reqSetData("/m", "x", 0), wire.OK},
		{"setData of a node in flight", []*Request{reqSetData("/m", "1", 0)},
			reqMulti(reqSetData("/m", "2", 1), fails), reqSetData("/m", "3", 1), wire.OK},
		{"delete of a node in flight", []*Request{reqCreate(wire.OpCreate, "/y", 0)},
			reqMulti(reqDelete("/y", -1), reqCreate(wire.OpCreate, "/y", 1), fails), reqDelete("/y", 0), wire.OK},
		{"delete and create again", nil, reqMulti(reqDelete("/m", -1), reqCreate(wire.OpCreate, "/m", 0), fails), reqDelete("/m", 0), wire.OK},
		{"parent's emptiness", []*Request{reqCreate(wire.OpCreate, "/m/k", 0)}, reqMulti(reqDelete("/m/k", -1), fails), reqDelete("/m", -1), wire.ErrNotEmpty},
		{"parent's counter", []*Request{reqCreate(wire.OpCreate, "/m/k", 0)},
			reqMulti(reqCreate(wire.OpCreate, "/m/s-", 2), fails), reqCreate(wire.OpCreate, "/m/s-", 2), wire.OK},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSolo(t, defaultRules(t))
			s.session(1)
			s.must(reqCreate(wire.OpCreate, "/m", 0))
			for _, r := range tc.before {
				s.propose(r)
			}
			s.propose(tc.multi)
			after := s.propose(tc.after)
			if got := codeOf(after); got != tc.want {
				t.Errorf("%s, want %s", name(got), name(tc.want))
			}
			if c, ok := after.Body.(*wire.CreateTxn); ok && tc.name == "parent's counter" && c.Path != "/m/s-0000000001" {
				t.Errorf("the refused create took a number: %s", c.Path)
			}
			for len(s.queue) > 0 {
				s.apply()
			}
		})
	}
}
