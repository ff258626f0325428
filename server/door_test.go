package server

import (
	"bytes"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"zooid/fourletter"
	"zooid/wire"
	"zooid/znode"
)

const notServingText = "This ZooKeeper instance is not currently serving requests\n"

// A server with a member serves nobody before Open, and says why.
func TestClosedUntilOpen(t *testing.T) {
	f := startClosed(t)
	for range 2 {
		c := f.dial()
		c.send(frameOf(&wire.ConnectRequest{}))
		c.eof()
		if got := f.word("srvr"); got != notServingText {
			t.Errorf("srvr: %q", got)
		}
		if got := f.word("isro"); got != "null" {
			t.Errorf("isro: %q", got)
		}
		f.drop("no leader")
	}
	if st := f.srv.Status(0); st.Mode != fourletter.ModeNotServing || st.NotServing != "no leader" {
		t.Errorf("mode %v, %q", st.Mode, st.NotServing)
	}
	f.srv.Open(false)
	f.connect().must(1, wire.OpExists, pathOf("/"), wire.OK)
	if st := f.srv.Status(0); st.Mode != fourletter.ModeStandalone {
		t.Errorf("mode %v", st.Mode)
	}
}

// loop has the member's loop do something and waits for it.
func (f *fixture) loop(what func()) {
	f.t.Helper()
	done := make(chan struct{})
	f.member.do(func() {
		defer close(done)
		what()
	})
	<-done
}

func (f *fixture) drop(reason string) {
	f.t.Helper()
	f.loop(func() { f.srv.Drop(reason) })
}

// Drop lets everybody go, whatever they wait for, and nobody in. What was made
// for a client before still reaches it; sessions are not touched.
func TestDrop(t *testing.T) {
	f := start(t)
	idle, writing, answered := f.connect(), f.connect(), f.connect()
	attaching, fresh := f.dial(), f.dial()
	attaches := f.member.attaches.Load()
	f.member.hold(true)
	answered.send(request(1, wire.OpCreate, createOf("/a", "")), request(2, wire.OpExists, pathOf("/a")))
	f.member.waitWork(t, 1)
	writing.send(request(1, wire.OpCreate, createOf("/b", "")), request(2, wire.OpExists, pathOf("/b")))
	f.member.waitWork(t, 2)
	attaching.send(frameOf(&wire.ConnectRequest{TimeoutMs: 10000}))
	f.member.waitWork(t, 3)
	f.member.mu.Lock()
	late := f.member.mu.work[1:] // what the loop comes to after it has lost its role
	f.member.mu.work = append(f.member.mu.work[:1:1], func() {
		f.srv.Drop("no leader")
		// Nothing that comes too late does harm.
		for _, w := range late {
			w()
		}
	})
	f.member.mu.Unlock()
	f.member.hold(false)

	for _, xid := range []int32{1, 2} {
		if h, _ := answered.reply(); h.Xid != xid || h.Err != wire.OK {
			t.Errorf("got %+v, want xid %d", h, xid)
		}
	}
	for _, c := range []*client{answered, writing, idle, attaching} {
		c.eof()
	}
	fresh.send([]byte("ruok"))
	if got := fresh.rest(); got != "imok" {
		t.Errorf("a connection without a session: %q", got)
	}
	eventually(t, func() bool { return f.srv.outstanding.Load() == 0 && len(f.srv.connections()) == 0 })
	refused := f.dial()
	refused.send(frameOf(&wire.ConnectRequest{SessionID: idle.id, Passwd: idle.pass}))
	refused.eof()
	if n := f.member.attaches.Load(); n != attaches+1 {
		t.Errorf("%d attachments were asked for, want one", n-attaches)
	}

	f.srv.Open(false)
	again := f.dial()
	if r := again.handshake(&wire.ConnectRequest{SessionID: idle.id, Passwd: idle.pass, TimeoutMs: 10000}); r.SessionID != idle.id {
		t.Errorf("the session did not outlive it: %+v", r)
	}
	again.must(1, wire.OpExists, pathOf("/a"), wire.OK)
}

// No read that is answered after Drop has begun shows what happened after it:
// from then on the tree may be another one's.
func TestNoReadAfterDrop(t *testing.T) {
	f := start(t)
	setup := f.connect()
	setup.must(1, wire.OpCreate, createOf("/x", "before"), wire.OK)
	var clients sync.WaitGroup
	var replies atomic.Int64
	for range 8 {
		c := f.connect()
		frames := bytes.Repeat(request(1, wire.OpGetData, pathOf("/x")), 50)
		clients.Go(func() {
			go func() {
				for {
					if _, err := c.nc.Write(frames); err != nil {
						return
					}
				}
			}()
			for {
				b, err := c.read()
				switch {
				case err != nil:
					return
				case !bytes.Contains(b, []byte("before")):
					t.Errorf("a reply %q", b)
					return
				}
				replies.Add(1)
			}
		})
	}
	eventually(t, func() bool { return replies.Load() > 2000 })
	f.loop(func() {
		f.srv.Drop("no leader")
		f.member.carryOut(&znode.Request{Session: setup.id, Op: wire.OpSetData,
			Body: &wire.SetDataRequest{Path: "/x", Data: []byte("after"), Version: -1}})
	})
	clients.Wait()
	t.Logf("%d replies before", replies.Load())
}

// DropConn lets one client go, after what is made for it.
func TestDropConn(t *testing.T) {
	f := start(t)
	one, other := f.connect(), f.connect()
	var conns []znode.ConnID
	f.loop(func() {
		f.srv.Sessions(func(conn znode.ConnID, id wire.SessionID, _ int32) {
			if id == one.id {
				conns = append(conns, conn)
			}
		})
	})
	if len(conns) != 1 {
		t.Fatalf("connections %v", conns)
	}
	f.member.hold(true)
	one.send(request(1, wire.OpCreate, createOf("/a", "")), request(2, wire.OpCreate, createOf("/b", "")))
	f.member.waitWork(t, 2)
	f.member.mu.Lock()
	w := f.member.mu.work
	f.member.mu.work = []func(){w[0], func() {
		f.srv.DropConn(conns[0], "the fate of its request is unknown")
		f.srv.DropConn(conns[0], "again")
		f.srv.DropConn(4711, "nobody")
	}, w[1]}
	f.member.mu.Unlock()
	f.member.hold(false)
	if h, _ := one.reply(); h.Xid != 1 || h.Err != wire.OK {
		t.Errorf("got %+v", h)
	}
	one.eof()
	other.must(1, wire.OpExists, pathOf("/a"), wire.OK)
	eventually(t, func() bool { return f.srv.outstanding.Load() == 0 })
}

// Sessions lists who can be answered: not those on their way out, and not
// those without a session.
func TestSessions(t *testing.T) {
	f := start(t)
	f.dial()
	a, b, gone := f.connect(), f.connect(), f.connect()
	again := f.dial()
	again.handshake(&wire.ConnectRequest{SessionID: b.id, Passwd: b.pass, TimeoutMs: 30000})
	gone.must(1, wire.OpCloseSession, nil, wire.OK)
	list := func() map[wire.SessionID]int32 {
		all := map[wire.SessionID]int32{}
		f.loop(func() {
			f.srv.Sessions(func(conn znode.ConnID, id wire.SessionID, timeoutMs int32) {
				if f.srv.lookup(conn) == nil {
					t.Errorf("no connection %d", conn)
				}
				all[id] = timeoutMs
			})
		})
		return all
	}
	want := map[wire.SessionID]int32{a.id: 10000, b.id: 30000}
	if got := list(); len(got) != 2 || got[a.id] != want[a.id] || got[b.id] != want[b.id] {
		t.Errorf("got %v, want %v", got, want)
	}
	f.drop("no leader")
	f.srv.Open(false)
	if got := list(); len(got) != 0 {
		t.Errorf("after Drop: %v", got)
	}
}

// The bytes of a request are handed on as they came, for a learner to forward.
func TestRaw(t *testing.T) {
	f := start(t)
	c := f.connect()
	f.member.record.Store(true)
	var want [][]byte
	var frames []byte
	for i := range 40 {
		body := createOf("/"+strconv.Itoa(i), string(bytes.Repeat([]byte{'x'}, i*i*10)))
		want = append(want, body.Append(nil))
		frames = append(frames, request(int32(i), wire.OpCreate, body)...)
	}
	want = append(want, []byte{})
	c.send(frames, request(40, wire.OpCloseSession, nil))
	for range want {
		c.reply()
	}
	f.member.mu.Lock()
	defer f.member.mu.Unlock()
	if len(f.member.mu.submitted) != len(want) {
		t.Fatalf("%d requests, want %d", len(f.member.mu.submitted), len(want))
	}
	for i, r := range f.member.mu.submitted {
		if !bytes.Equal(r.Raw, want[i]) {
			t.Errorf("request %d: %x, want %x", i, r.Raw, want[i])
		}
	}
}

// A client that has seen a later state than this member's is turned away until
// the member has caught up; so is nobody else.
func TestLastZxidSeen(t *testing.T) {
	f := start(t)
	c := f.connect()
	for _, readOnly := range []bool{false, true} {
		f.drop("another mode")
		f.srv.Open(readOnly)
		for _, ahead := range []wire.Zxid{0, 1} {
			again := f.dial()
			again.send(frameOf(&wire.ConnectRequest{LastZxidSeen: f.member.lastZxid() + ahead, TimeoutMs: 10000, ReadOnly: true, HasReadOnly: true}))
			if ahead > 0 {
				again.eof()
			} else {
				again.frame()
			}
		}
	}
	c.eof()
}
