package server

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"zooid/auth"
	"zooid/fourletter"
	"zooid/wire"
	"zooid/znode"
)

// startReadOnly is a read-only server with a tree that has /a.
func startReadOnly(t *testing.T) (f *fixture, global *client) {
	t.Helper()
	f = start(t, func(o *Options) { o.SID = 7 })
	global = f.connect()
	global.must(1, wire.OpCreate, createOf("/a", "data"), wire.OK)
	f.drop("no leader")
	global.eof()
	f.srv.Open(true)
	f.member.attaches.Store(0)
	return f, global
}

func askReadOnly(id wire.SessionID, passwd []byte) *wire.ConnectRequest {
	return &wire.ConnectRequest{SessionID: id, Passwd: passwd, TimeoutMs: 10000, ReadOnly: true, HasReadOnly: true}
}

// visit makes a session on a read-only server.
func (f *fixture) visit() *client {
	f.t.Helper()
	c := f.dial()
	r := c.handshake(askReadOnly(0, nil))
	if r.SessionID == 0 || r.TimeoutMs != 10000 || !r.ReadOnly || !r.HasReadOnly || len(r.Passwd) != 16 {
		f.t.Fatalf("got %+v", r)
	}
	return c
}

// Reads are served, writes and sync are refused with the zxid of the state,
// in their order, and the member hears of none of it.
func TestReadOnlyOperations(t *testing.T) {
	f, _ := startReadOnly(t)
	f.member.record.Store(true)
	c := f.visit()
	if top := uint64(c.id) >> 56; top != 7 {
		t.Errorf("session %v is not of server 7", c.id)
	}
	zxid := f.member.lastZxid()
	multi := &wire.MultiRequest{Ops: []wire.MultiOp{{Op: wire.OpCreate, Body: createOf("/m", "")}}}
	for i, o := range []struct {
		op   wire.OpCode
		body wire.Appender
		err  wire.ErrCode
	}{
		{wire.OpExists, watchOf("/a"), wire.OK},
		{wire.OpGetData, watchOf("/a"), wire.OK},
		{wire.OpGetChildren, pathOf("/"), wire.OK},
		{wire.OpGetChildren2, pathOf("/"), wire.OK},
		{wire.OpGetACL, pathOf("/a"), wire.OK},
		{wire.OpWhoAmI, nil, wire.OK},
		{wire.OpGetEphemerals, &wire.PathRequest{Path: "/"}, wire.OK},
		{wire.OpAddWatch, &wire.AddWatchRequest{Path: "/a"}, wire.OK},
		{wire.OpSetWatches, &wire.SetWatchesRequest{RelativeZxid: zxid, Data: []string{"/a"}, Exist: []string{}, Child: []string{}}, wire.OK},
		{wire.OpPing, nil, wire.OK},
		{wire.OpMultiRead, &wire.MultiRequest{Reads: true, Ops: []wire.MultiOp{{Op: wire.OpGetData, Body: pathOf("/a")}}}, wire.OK},
		{wire.OpCreate, createOf("/b", ""), wire.ErrNotReadOnly},
		{wire.OpCreate2, createOf("/b", ""), wire.ErrNotReadOnly},
		{wire.OpCreateContainer, createOf("/b", ""), wire.ErrNotReadOnly},
		{wire.OpDelete, &wire.DeleteRequest{Path: "/a", Version: -1}, wire.ErrNotReadOnly},
		{wire.OpSetData, &wire.SetDataRequest{Path: "/a", Version: -1}, wire.ErrNotReadOnly},
		{wire.OpSetACL, &wire.SetACLRequest{Path: "/a", Version: -1}, wire.ErrNotReadOnly},
		{wire.OpMulti, multi, wire.ErrNotReadOnly},
		{wire.OpSync, &wire.PathRequest{Path: "/"}, wire.ErrNotReadOnly},
		{wire.OpReconfig, &wire.ReconfigRequest{}, wire.ErrNotReadOnly},
		{wire.OpCreate, nil, wire.ErrNotReadOnly}, // undecodable, which nobody looks at
	} {
		h, body := c.call(int32(i+1), o.op, o.body)
		if h.Err != o.err || h.Zxid != zxid || o.err != wire.OK && len(body) > 0 {
			t.Errorf("%v: got %+v %x, want %v and zxid %v", o.op, h, body, o.err, zxid)
		}
	}
	c.send(request(wire.XidAuth, wire.OpAuth, &wire.AuthPacket{Scheme: "digest", Auth: []byte("a:b")}),
		request(50, wire.OpCreate, createOf("/b", "")), request(51, wire.OpExists, pathOf("/b")), request(52, wire.OpCloseSession, nil),
		request(53, wire.OpExists, pathOf("/")))
	for _, want := range []wire.ReplyHeader{{Xid: wire.XidAuth}, {Xid: 50, Zxid: zxid, Err: wire.ErrNotReadOnly},
		{Xid: 51, Zxid: zxid, Err: wire.ErrNoNode}, {Xid: 52, Zxid: zxid}} {
		if h, _ := c.reply(); h != want {
			t.Errorf("got %+v, want %+v", h, want)
		}
	}
	c.eof()
	if n := f.member.attaches.Load(); n > 0 {
		t.Errorf("the member was asked for %d sessions", n)
	}
	f.member.mu.Lock()
	defer f.member.mu.Unlock()
	if n := len(f.member.mu.submitted); n > 0 {
		t.Errorf("the member was given %d requests", n)
	}
}

// Who may have a session on a read-only server: as with ZooKeeper's, except
// that it hands them out.
func TestReadOnlyHandshake(t *testing.T) {
	f, global := startReadOnly(t)
	first := f.visit()
	marked := append(bytes.Clone(visitorMark), make([]byte, 8)...)
	for _, c := range []struct {
		name   string
		r      *wire.ConnectRequest
		closed bool // without a word
	}{
		{"a client that wants to write", &wire.ConnectRequest{HasReadOnly: true}, true},
		{"a client that does not know of read-only", &wire.ConnectRequest{}, true},
		{"a session of the ensemble", askReadOnly(global.id, global.pass), true},
		{"a session of the ensemble, with the wrong password", askReadOnly(global.id, marked), true},
		{"a session that nobody here knows", askReadOnly(4711, make([]byte, 16)), true},
		{"another read-only server's session", askReadOnly(4711, marked), false},
		{"a read-only session, with the wrong password", askReadOnly(first.id, marked), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			one := f.dial()
			if c.closed {
				one.send(frameOf(c.r))
				one.eof()
				return
			}
			r := one.handshake(c.r)
			if r.SessionID != 0 || r.TimeoutMs != 0 || !bytes.Equal(r.Passwd, make([]byte, 16)) {
				t.Errorf("got %+v, want zeros", r)
			}
			one.eof()
		})
	}
	first.must(1, wire.OpExists, pathOf("/a"), wire.OK) // nobody kicked it out
	second := f.dial()
	if r := second.handshake(askReadOnly(first.id, first.pass)); r.SessionID != first.id || !bytes.Equal(r.Passwd, first.pass) {
		t.Errorf("got %+v", r)
	}
	first.eof()
	second.must(1, wire.OpExists, pathOf("/a"), wire.OK)
	second.must(2, wire.OpCloseSession, nil, wire.OK)
	second.eof()
	third := f.dial()
	if r := third.handshake(askReadOnly(first.id, first.pass)); r.SessionID != 0 {
		t.Errorf("a closed session came back: %+v", r)
	}
}

// With a leader again, the read-only clients go, and come back as others: their
// sessions are unknown, those of the ensemble are not.
func TestReadOnlyEnds(t *testing.T) {
	f, global := startReadOnly(t)
	c := f.visit()
	if n := len(visitorsOf(f)); n != 1 {
		t.Fatalf("%d read-only sessions", n)
	}
	f.loop(func() {
		f.srv.Sessions(func(_ znode.ConnID, id wire.SessionID, _ int32) { t.Errorf("session %v is the member's", id) })
		f.srv.Touched(func(id wire.SessionID, _ int64) {
			if id != global.id {
				t.Errorf("session %v is the member's", id)
			}
		})
		f.srv.Drop("there is a leader")
		f.srv.Open(false)
	})
	c.eof()
	again := f.dial()
	if r := again.handshake(askReadOnly(c.id, c.pass)); r.SessionID != 0 || r.ReadOnly {
		t.Errorf("got %+v", r)
	}
	back := f.dial()
	if r := back.handshake(askReadOnly(global.id, global.pass)); r.SessionID != global.id || r.ReadOnly || !r.HasReadOnly {
		t.Errorf("got %+v", r)
	}
	back.must(1, wire.OpCreate, createOf("/b", ""), wire.OK)
	if n := len(visitorsOf(f)); n != 0 {
		t.Errorf("%d read-only sessions are left", n)
	}
}

func visitorsOf(f *fixture) map[wire.SessionID]*visitor {
	f.srv.mu.RLock()
	defer f.srv.mu.RUnlock()
	return f.srv.mu.visitors.byID
}

func TestReadOnlyWords(t *testing.T) {
	f, _ := startReadOnly(t)
	c := f.visit()
	if got := f.word("isro"); got != "ro" {
		t.Errorf("isro: %q", got)
	}
	for word, parts := range map[string][]string{
		"srvr": {"\nREAD-ONLY mode; serving only read-only clients\nLatency", "\nMode: read-only\n"},
		"stat": {"\nREAD-ONLY mode; serving only read-only clients\nClients:\n"},
		"mntr": {"zk_server_state\tread-only\n", "zk_local_sessions\t1\n", "zk_global_sessions\t1\n"},
		"cons": {"sid=" + c.id.String() + ",lop=SESS,", "to=10000,"},
		"dump": {"SessionTracker dump:\nLocal Session Sets (1)/(1):\n1 expire at ", "\t" + c.id.String() + "\nGlobal Sessions("},
	} {
		got := f.word(word)
		for _, part := range parts {
			if !strings.Contains(got, part) {
				t.Errorf("%s: %q is not in\n%s", word, part, got)
			}
		}
	}
	if st := f.srv.Status(0); st.Mode != fourletter.ModeReadOnly {
		t.Errorf("mode %v", st.Mode)
	}
}

// A session ends when its client is silent for its timeout, connected or not;
// one that comes back in time finds it.
func TestReadOnlyTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, _ := auth.New(auth.Options{})
		srv := New(testOptions(reg))
		m := newFakeMember(srv, reg)
		go m.run()
		srv.Serve(m)
		srv.Open(true)
		pipe := func(r *wire.ConnectRequest) (*client, wire.ConnectResponse) {
			here, there := net.Pipe()
			srv.Handle(here)
			c := newClient(t, there)
			return c, c.handshake(r)
		}
		silent, _ := pipe(askReadOnly(0, nil))
		alive, _ := pipe(askReadOnly(0, nil))
		left, _ := pipe(askReadOnly(0, nil))
		left.nc.Close()
		for i := range int32(3) {
			time.Sleep(9 * time.Second)
			alive.must(i, wire.OpPing, nil, wire.OK)
			if i == 0 {
				var r wire.ConnectResponse
				left, r = pipe(askReadOnly(left.id, left.pass))
				if r.SessionID == 0 {
					t.Error("a session was gone before its time")
				}
				left.nc.Close()
			}
		}
		if _, err := silent.read(); err == nil {
			t.Error("a silent client is still served")
		}
		pipe(askReadOnly(0, nil)) // sweeps
		srv.mu.RLock()
		n := len(srv.mu.visitors.byID)
		srv.mu.RUnlock()
		if n != 2 {
			t.Errorf("%d sessions are left, want two", n)
		}
		m.do(func() { srv.Drop("the end") })
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		m.stop()
	})
}
