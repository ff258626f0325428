package znode

import (
	"math"
	"testing"

	"zooid/wire"
)

// TestCheckOrder sends requests that fail in more than one way: which one is
// reported is part of the protocol. The rows of each operation follow the order
// of its checks, and each request fails the named check and as many of the later
// ones as can be.
func TestCheckOrder(t *testing.T) {
	const gone, here = 9, 1 // sessions
	create := func(path string, flags int32, acl []wire.ACL, session wire.SessionID) *Request {
		return &Request{Session: session, Op: wire.OpCreate2, Body: &wire.CreateRequest{Path: path, ACL: acl, Flags: flags}}
	}
	ttl := func(path string, flags int32, ttlMs int64, session wire.SessionID) *Request {
		return as(reqCreateTTL(path, flags, ttlMs), session)
	}
	setACL := func(path string, acl []wire.ACL, version int32, session wire.SessionID) *Request {
		return as(reqSetACL(path, acl, version), session)
	}
	open, none := wire.OpenACL, []wire.ACL(nil)
	for _, tc := range []struct {
		name   string
		adjust func(*Rules)
		r      *Request
		want   wire.ErrCode
	}{
		{"create: flags", noTTL, create("nopath", 7, none, gone), wire.ErrBadArguments},
		{"create: negative flags", noTTL, create("nopath", -1, none, gone), wire.ErrBadArguments},
		{"create: TTL off", noTTL, create("nopath", 5, none, gone), wire.ErrUnimplemented},
		{"createTTL: TTL off", noTTL, ttl("nopath", 5, -1, gone), wire.ErrUnimplemented},
		{"createTTL: TTL off, no TTL flag", noTTL, ttl("nopath", 0, 1, gone), wire.ErrBadArguments},
		{"create: TTL flag", nil, create("nopath", 6, none, gone), wire.ErrBadArguments},
		{"createTTL: no TTL flag", nil, ttl("nopath", 1, 1000, gone), wire.ErrBadArguments},
		{"createTTL: no TTL flag, negative ttl", nil, ttl("nopath", 0, -1, gone), wire.ErrBadArguments},
		{"createTTL: ttl 0", nil, ttl("nopath", 5, 0, gone), wire.ErrBadArguments},
		{"createTTL: ttl too long", nil, ttl("nopath", 5, wire.TTLMax+1, gone), wire.ErrBadArguments},
		{"create: session", nil, create("nopath", 0, none, gone), wire.ErrSessionExpired},
		{"create: no slash", nil, create("nopath", 0, none, here), wire.ErrBadArguments},
		{"create: NUL", nil, create("/nope/a\x00b", 0, none, here), wire.ErrBadArguments},
		{"create: empty path", nil, create("", 2, none, here), wire.ErrBadArguments},
		{"create: ACL", nil, create("/nope/..", 0, none, here), wire.ErrInvalidACL},
		{"create: parent", nil, create("/nope/..", 0, open, here), wire.ErrNoNode},
		{"create: parent, empty name", nil, create("/nope//x", 0, open, here), wire.ErrNoNode},
		{"create: relative path", nil, create("nope/x", 0, open, here), wire.ErrNoNode},
		{"create: permission", nil, create("/ro/..", 0, open, here), wire.ErrNoAuth},
		{"create: path", nil, create("/eph/..", 0, open, here), wire.ErrBadArguments},
		{"create: trailing slash", nil, create("/eph/", 0, open, here), wire.ErrBadArguments},
		{"create: exists", nil, create("/eph", 0, open, here), wire.ErrNodeExists},
		{"create: exists, root", nil, create("/", 0, open, here), wire.ErrNodeExists},
		{"create: parent ephemeral", quotas, create("/eph/x", 0, open, here), wire.ErrNoChildrenForEphemerals},
		{"create: parent ephemeral, sequential", nil, create("/eph/", 2, open, here), wire.ErrNoChildrenForEphemerals},
		{"create: quota", quotas, create("/q/x", 0, open, here), wire.ErrQuotaExceeded},
		{"create: quota not enforced", nil, create("/q/x", 0, open, here), wire.OK},
		{"create: quota on the root", nil, create("/zookeeper/quota/zookeeper_limits", 0, open, here), wire.ErrBadArguments},

		{"delete: session", nil, as(reqDelete("nopath", 5), gone), wire.ErrSessionExpired},
		{"delete: no slash", nil, reqDelete("nopath", 5), wire.ErrBadArguments},
		{"delete: NUL", nil, reqDelete("/nope/\x00", 5), wire.ErrBadArguments},
		{"delete: root", nil, reqDelete("/", 5), wire.ErrBadArguments},
		{"delete: /zookeeper", nil, reqDelete("/zookeeper", 5), wire.ErrBadArguments},
		{"delete: /zookeeper/quota", nil, reqDelete("/zookeeper/quota", 5), wire.ErrBadArguments},
		{"delete: /zookeeper/config", nil, reqDelete("/zookeeper/config", 5), wire.ErrBadArguments},
		{"delete: parent", nil, reqDelete("/nope/x", 5), wire.ErrNoNode},
		{"delete: permission", nil, reqDelete("/ro/nope", 5), wire.ErrNoAuth},
		{"delete: missing", nil, reqDelete("/nope", 5), wire.ErrNoNode},
		{"delete: bad path is just missing", nil, reqDelete("/q/..", 5), wire.ErrNoNode},
		{"delete: version", nil, reqDelete("/q", 5), wire.ErrBadVersion},
		{"delete: version -2", nil, reqDelete("/q", -2), wire.ErrBadVersion},
		{"delete: children", nil, reqDelete("/q", 0), wire.ErrNotEmpty},

		{"setData: session", nil, as(reqSetData("nopath", "long data", 5), gone), wire.ErrSessionExpired},
		{"setData: path", nil, reqSetData("/nope/", "long data", 5), wire.ErrBadArguments},
		{"setData: missing", nil, reqSetData("/nope", "long data", 5), wire.ErrNoNode},
		{"setData: permission", nil, reqSetData("/ro", "long data", 5), wire.ErrNoAuth},
		{"setData: configuration", nil, reqSetData("/zookeeper/config", "", -1), wire.ErrNoAuth},
		{"setData: quota", quotas, reqSetData("/q/k", "long data", 5), wire.ErrQuotaExceeded},
		{"setData: quota, size unchanged", quotas, reqSetData("/q/k", "x", 5), wire.ErrBadVersion},
		{"setData: version", nil, reqSetData("/q/k", "long data", 5), wire.ErrBadVersion},

		{"setACL: session", nil, setACL("nopath", none, 5, gone), wire.ErrSessionExpired},
		{"setACL: path", nil, setACL("/nope/", none, 5, here), wire.ErrBadArguments},
		{"setACL: ACL", nil, setACL("/nope", none, 5, here), wire.ErrInvalidACL},
		{"setACL: missing", nil, setACL("/nope", open, 5, here), wire.ErrNoNode},
		{"setACL: permission", nil, setACL("/ro", open, 5, here), wire.ErrNoAuth},
		{"setACL: version", nil, setACL("/q", open, 5, here), wire.ErrBadVersion},

		{"reconfig: disabled", nil, &Request{Session: gone, Op: wire.OpReconfig, Body: new(wire.ReconfigRequest)}, wire.ErrReconfigDisabled},
		{"reconfig: session", reconfigOn, &Request{Session: gone, Op: wire.OpReconfig, Body: new(wire.ReconfigRequest)}, wire.ErrSessionExpired},
		{"reconfig: alone", reconfigOn, &Request{Session: here, Op: wire.OpReconfig, Body: new(wire.ReconfigRequest)}, wire.ErrUnimplemented},

		{"deleteContainer: of a client", nil, as(reqReap("nopath"), here), wire.ErrUnimplemented},
		{"deleteContainer: path", nil, reqReap("nopath"), wire.ErrBadArguments},
		{"deleteContainer: root", nil, reqReap("/"), wire.ErrBadArguments},
		{"deleteContainer: missing", nil, reqReap("/nope/x"), wire.ErrNoNode},
		{"deleteContainer: children", nil, reqReap("/q"), wire.ErrNotEmpty},
		{"deleteContainer: ephemeral", nil, reqReap("/eph"), wire.ErrBadVersion},
		{"deleteContainer: persistent", nil, reqReap("/q/k"), wire.ErrBadVersion},
		{"deleteContainer: TTL not over", nil, reqReap("/ttl"), wire.ErrBadVersion},
		{"deleteContainer: container", nil, reqReap("/box"), wire.OK},

		{"check at top level", nil, as(reqCheck("/q", -1), here), wire.ErrUnimplemented},
		{"a read", nil, &Request{Session: here, Op: wire.OpGetData}, wire.ErrUnimplemented},
		{"an unknown opcode", nil, &Request{Session: here, Op: 9999}, wire.ErrUnimplemented},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSolo(t, defaultRules(t))
			s.session(here)
			s.must(create("/eph", wire.FlagEphemeral, open, here))
			s.must(create("/ro", 0, worldACL(wire.PermRead), here))
			s.must(create("/q", 0, open, here))
			s.must(create("/q/k", 0, open, here))
			s.must(reqSetData("/q/k", "d", -1))
			s.must(create("/box", wire.FlagPersistent, open, here))
			s.must(reqDelete("/box", -1))
			s.must(reqCreate(wire.OpCreateContainer, "/box", wire.FlagContainer))
			s.must(reqCreateTTL("/ttl", wire.FlagPersistentTTL, 1000))
			s.must(create("/zookeeper/quota/q", 0, open, here))
			limits := create("/zookeeper/quota/q/zookeeper_limits", 0, open, here)
			limits.Body.(*wire.CreateRequest).Data = []byte("count=-1,bytes=-1=;byteHardLimit=3;countHardLimit=2")
			s.must(limits)
			s.must(create("/zookeeper/quota/q/zookeeper_stats", 0, open, here))
			if tc.adjust != nil {
				tc.adjust(&s.tree.rules)
			}
			if got := codeOf(s.propose(tc.r)); got != tc.want {
				t.Errorf("%s, want %s", name(got), name(tc.want))
			}
			s.apply()
		})
	}
}

func noTTL(r *Rules)      { r.ExtendedTypes = false }
func quotas(r *Rules)     { r.EnforceQuota = true }
func reconfigOn(r *Rules) { r.ReconfigEnabled = true }

// TestCreateFlags goes through the table of flags and opcodes, at top level and
// in a multi, where some combinations mean something else.
func TestCreateFlags(t *testing.T) {
	const (
		bad     = wire.ErrBadArguments
		refused = "cannot be decoded"
	)
	type outcome struct {
		kind string // persistent, ephemeral, container, ttl; "" for a code
		seq  bool
		op   wire.OpCode // of the txn
		code wire.ErrCode
	}
	ok := func(kind string, seq bool, op wire.OpCode) outcome { return outcome{kind, seq, op, 0} }
	no := func(code wire.ErrCode) outcome { return outcome{code: code} }
	c1, c15, c19, c21 := wire.OpCreate, wire.OpCreate2, wire.OpCreateContainer, wire.OpCreateTTL
	const p, e, box, ttl = "persistent", "ephemeral", "container", "ttl"
	top := map[wire.OpCode][]outcome{ // by flags 0…7
		c1:  {ok(p, false, c1), ok(e, false, c1), ok(p, true, c1), ok(e, true, c1), ok(p, false, c1), no(bad), no(bad), no(bad)},
		c15: {ok(p, false, c15), ok(e, false, c15), ok(p, true, c15), ok(e, true, c15), ok(p, false, c15), no(bad), no(bad), no(bad)},
		c19: {ok(box, false, c19), ok(box, false, c19), ok(box, true, c19), ok(box, true, c19), ok(box, false, c19), no(bad), no(bad), no(bad)},
		c21: {no(bad), no(bad), no(bad), no(bad), no(bad), ok(ttl, false, c21), ok(ttl, true, c21), no(bad)},
	}
	undecodable := outcome{kind: refused}
	multi := map[wire.OpCode][]outcome{
		c1:  {ok(p, false, c1), ok(e, false, c1), ok(p, true, c1), ok(e, true, c1), ok(box, false, c19), undecodable, undecodable, undecodable},
		c15: {ok(p, false, c15), ok(e, false, c15), ok(p, true, c15), ok(e, true, c15), ok(box, false, c19), undecodable, undecodable, undecodable},
		c19: {ok(box, false, c19), ok(box, false, c19), ok(box, true, c19), ok(box, true, c19), ok(box, false, c19), undecodable, undecodable, undecodable},
		c21: {ok(p, false, c1), ok(e, false, c1), ok(p, true, c1), ok(e, true, c1), ok(box, false, c19), ok(ttl, false, c21), ok(ttl, true, c21), no(bad)},
	}
	for op, byFlags := range top {
		for flags, want := range byFlags {
			for _, inMulti := range []bool{false, true} {
				if inMulti {
					want = multi[op][flags]
				}
				s := newSolo(t, defaultRules(t))
				s.session(1)
				r := reqCreate(op, "/n", int32(flags))
				if op == c21 {
					r = reqCreateTTL("/n", int32(flags), 1000)
				}
				if inMulti {
					r = reqMulti(r)
				}
				if _, err := DecodeRequest(r.Op, r.Body.Append(nil)); (err != nil) != (want.kind == refused) {
					t.Errorf("%v flags %d, multi %v: decoding says %v", op, flags, inMulti, err)
				} else if err != nil {
					if !isMarshalling(err) {
						t.Errorf("%v flags %d, multi %v: %v is no marshalling error", op, flags, inMulti, err)
					}
					continue
				}
				txn := s.propose(r)
				got := wire.SubTxn{Op: txn.Op, Body: txn.Body}
				if m, ok := txn.Body.(*wire.MultiTxn); ok {
					got = m.Txns[0]
				}
				if e, failed := got.Body.(*wire.ErrorTxn); failed || want.kind == "" {
					if !failed || e.Err != want.code {
						t.Errorf("%v flags %d, multi %v: %v %+v, want %+v", op, flags, inMulti, got.Op, got.Body, want)
					}
					s.apply()
					continue
				}
				s.apply()
				path := "/n"
				if want.seq {
					path = "/n0000000000"
				}
				n := s.tree.lookup(path)
				if n == 0 || got.Op != want.op {
					t.Errorf("%v flags %d, multi %v: %v, %s is there: %v; want %+v", op, flags, inMulti, got.Op, path, n != 0, want)
					continue
				}
				kind, _ := wire.KindOfOwner(s.tree.persisted(n).EphemeralOwner)
				if name := [...]string{p, e, box, ttl}[kind]; name != want.kind {
					t.Errorf("%v flags %d, multi %v: %s, want %s", op, flags, inMulti, name, want.kind)
				}
			}
		}
	}
}

// TestTTLOffInMulti: the part is refused, not the multi's decoding.
func TestTTLOffInMulti(t *testing.T) {
	s := newSolo(t, Rules{})
	s.session(1)
	txn := s.propose(reqMulti(reqCreateTTL("/t", wire.FlagPersistentTTL, 1000)))
	if e, ok := txn.Body.(*wire.MultiTxn).Txns[0].Body.(*wire.ErrorTxn); !ok || e.Err != wire.ErrUnimplemented {
		t.Errorf("%+v, want UNIMPLEMENTED", txn.Body)
	}
}

// TestSequentialCounterEnds: the last name is given out, and then sequential
// creates are refused instead of colliding; others still work.
func TestSequentialCounterEnds(t *testing.T) {
	s := newSolo(t, defaultRules(t))
	parent := Record{Stat: wire.StatPersisted{Cversion: math.MaxInt32 - 1}}
	if err := s.tree.Load("/p", &parent); err != nil {
		t.Fatal(err)
	}
	s.tree.Loaded(0)
	s.view = NewView(s.tree)
	s.session(1)
	if a := s.must(reqCreate(wire.OpCreate, "/p/n-", wire.FlagPersistentSequential)); a.Path != "/p/n-2147483646" {
		t.Errorf("the last name is %s", a.Path)
	}
	for _, flags := range []int32{wire.FlagPersistentSequential, wire.FlagEphemeralSequential} {
		if a := s.do(reqCreate(wire.OpCreate, "/p/n-", flags)); a.Err != wire.ErrBadArguments {
			t.Errorf("flags %d beyond the end: %s, %s", flags, a.Path, name(a.Err))
		}
	}
	s.propose(reqCreate(wire.OpCreate, "/p/a", 0))
	s.propose(reqCreate(wire.OpCreate, "/p/b", 0))
	s.propose(reqDelete("/p/a", -1))
	for range 3 {
		if a := s.apply(); a.Err != wire.OK {
			t.Errorf("%v at the end of the counter: %s", a.Zxid, name(a.Err))
		}
	}
	if st := s.tree.persisted(s.tree.lookup("/p")); st.Cversion != math.MaxInt32 {
		t.Errorf("the counter went from its maximum to %d", st.Cversion)
	}
}

// TestVersionsWrap: versions are plain 32-bit numbers.
func TestVersionsWrap(t *testing.T) {
	s := newSolo(t, defaultRules(t))
	rec := Record{Stat: wire.StatPersisted{Version: math.MaxInt32, Aversion: math.MaxInt32}}
	if err := s.tree.Load("/v", &rec); err != nil {
		t.Fatal(err)
	}
	s.tree.Loaded(0)
	s.view = NewView(s.tree)
	s.session(1)
	if a := s.must(reqSetData("/v", "x", math.MaxInt32)); a.Stat.Version != math.MinInt32 {
		t.Errorf("version %d after the greatest", a.Stat.Version)
	}
	if a := s.must(reqSetACL("/v", wire.OpenACL, math.MaxInt32)); a.Stat.Aversion != math.MinInt32 {
		t.Errorf("aversion %d after the greatest", a.Stat.Aversion)
	}
}
