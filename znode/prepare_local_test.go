package znode

import (
	"testing"

	"zooid/wire"
)

// A session that only its own member knows may write, but own nothing that only
// its end would delete.
func TestPrepareForLocalSession(t *testing.T) {
	s := newSolo(t, defaultRules(t))
	local := func(r *Request) *Request {
		r = as(r, 7, ipID)
		r.Local = true
		return r
	}
	if a := s.do(as(reqCreate(wire.OpCreate, "/a", 0), 7, ipID)); a.Err != wire.ErrSessionExpired {
		t.Errorf("a create of an unknown session: %v", a.Err)
	}
	for _, tc := range []struct {
		name string
		r    *Request
		want wire.ErrCode
	}{
		{"create", reqCreate(wire.OpCreate, "/a", 0), wire.OK},
		{"setData", reqSetData("/a", "x", -1), wire.OK},
		{"delete", reqDelete("/a", -1), wire.OK},
		{"ephemeral", reqCreate(wire.OpCreate, "/e", wire.FlagEphemeral), wire.ErrSessionExpired},
		{"sequential ephemeral", reqCreate(wire.OpCreate2, "/e", wire.FlagEphemeralSequential), wire.ErrSessionExpired},
		{"container with the ephemeral flag", reqCreate(wire.OpCreateContainer, "/c", wire.FlagEphemeral), wire.OK},
	} {
		if a := s.do(local(tc.r)); a.Err != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, a.Err, tc.want)
		}
	}
	multi := local(reqMulti(reqCreate(wire.OpCreate, "/m", 0), reqCreate(wire.OpCreate, "/m/e", wire.FlagEphemeral)))
	if a := s.do(multi); len(a.Multi) != 2 || a.Multi[1].Err != wire.ErrSessionExpired {
		t.Errorf("multi: %+v", a.Multi)
	}
	// Once its createSession is in flight it is like any other; once its end is,
	// it is over.
	s.propose(as(&Request{Op: wire.OpCreateSession, TimeoutMs: 4000}, 7))
	if txn := s.propose(local(reqCreate(wire.OpCreate, "/e", wire.FlagEphemeral))); txn.Op != wire.OpCreate {
		t.Errorf("an ephemeral after the upgrade became %v", txn.Op)
	}
	s.propose(as(&Request{Op: wire.OpCloseSession}, 7))
	if txn := s.propose(local(reqCreate(wire.OpCreate, "/late", 0))); txn.Op != wire.OpError {
		t.Errorf("a create behind the end of its session became %v", txn.Op)
	}
	if s.view.HasSession(7) {
		t.Error("a session whose end is in flight is still there")
	}
}

// A request that is refused beforehand becomes an error txn, whatever it asks.
func TestPrepareRefused(t *testing.T) {
	s := newSolo(t, defaultRules(t))
	s.session(1)
	for _, r := range []*Request{
		{Session: 1, Cxid: 9, Op: wire.OpCreate, Refused: wire.ErrMarshalling},
		{Session: 1, Cxid: 9, Op: 77, Refused: wire.ErrUnimplemented},
		{Session: 1, Cxid: 9, Op: wire.OpMulti, Refused: wire.ErrSessionMoved},
	} {
		s.zxid++
		txn := s.view.Prepare(r, s.zxid, s.timeMs)
		if e, ok := txn.Body.(*wire.ErrorTxn); !ok || txn.Op != wire.OpError || e.Err != r.Refused || txn.Cxid != 9 || txn.Session != 1 {
			t.Errorf("%v became %+v", r.Op, txn)
		}
	}
}

func TestMakesEphemeral(t *testing.T) {
	ephemeral := reqCreate(wire.OpCreate, "/e", wire.FlagEphemeral)
	for _, tc := range []struct {
		name string
		r    *Request
		want bool
	}{
		{"create", reqCreate(wire.OpCreate, "/e", 0), false},
		{"ephemeral", ephemeral, true},
		{"create2", reqCreate(wire.OpCreate2, "/e", wire.FlagEphemeralSequential), true},
		{"container", reqCreate(wire.OpCreateContainer, "/e", wire.FlagEphemeral), false},
		{"ttl", reqCreateTTL("/e", wire.FlagPersistentTTL, 1000), false},
		{"multi without", reqMulti(reqCreate(wire.OpCreate, "/e", 0), reqDelete("/e", 0)), false},
		{"multi", reqMulti(reqDelete("/e", 0), ephemeral), true},
		{"multi with a ttl create that is none", reqMulti(reqCreateTTL("/e", wire.FlagEphemeral, 0)), true},
		{"delete", reqDelete("/e", 0), false},
		{"closeSession", &Request{Op: wire.OpCloseSession}, false},
	} {
		if got := tc.r.MakesEphemeral(); got != tc.want {
			t.Errorf("%s: %t, want %t", tc.name, got, tc.want)
		}
	}
}
