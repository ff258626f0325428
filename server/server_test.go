package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"zooid/auth"
	"zooid/wire"
)

func TestSessionLife(t *testing.T) {
	f := start(t)
	c := f.connect()
	c.must(1, wire.OpCreate, createOf("/a", "one"), wire.OK)
	var r wire.GetDataResponse
	if err := wire.Unmarshal(c.must(2, wire.OpGetData, pathOf("/a"), wire.OK), &r); err != nil || string(r.Data) != "one" {
		t.Fatalf("getData: %q, %v", r.Data, err)
	}
	c.must(3, wire.OpGetData, pathOf("/nope"), wire.ErrNoNode)
	c.must(77, wire.OpPing, nil, wire.OK)
	c.must(4, wire.OpCloseSession, nil, wire.OK)
	c.eof()
}

// Requests of one connection are answered in their order though reads are
// answered in other places than writes: all writes are at the member at once,
// and each read shows the writes before it and none behind it.
func TestOrderOfOneConnection(t *testing.T) {
	f := start(t)
	c := f.connect()
	c.must(1, wire.OpCreate, createOf("/a", "0"), wire.OK)
	f.member.hold(true)
	var pipeline []byte
	for i := int32(0); i < 20; i++ {
		pipeline = slices.Concat(pipeline,
			request(10*i+2, wire.OpSetData, &wire.SetDataRequest{Path: "/a", Data: fmt.Append(nil, i), Version: -1}),
			request(10*i+3, wire.OpGetData, pathOf("/a")),
			request(0, wire.OpPing, nil),
			request(10*i+4, wire.OpSync, &wire.PathRequest{Path: "/a"}),
			request(10*i+5, wire.OpCreate, &wire.CreateRequest{Path: "a", ACL: wire.OpenACL}), // refused by the member
			request(10*i+6, wire.OpCreate, nil),                                               // undecodable, refused here
			request(10*i+7, wire.OpExists, pathOf("/a")),
		)
	}
	c.send(pipeline)
	f.member.waitWork(t, 60)
	f.member.hold(false)
	for i := int32(0); i < 20; i++ {
		for _, want := range []struct {
			xid  int32
			code wire.ErrCode
		}{
			{10*i + 2, wire.OK}, {10*i + 3, wire.OK}, {-2, wire.OK}, {10*i + 4, wire.OK},
			{10*i + 5, wire.ErrBadArguments}, {10*i + 6, wire.ErrMarshalling}, {10*i + 7, wire.OK},
		} {
			h, body := c.reply()
			if h.Xid != want.xid || h.Err != want.code {
				t.Fatalf("got xid %d code %d, want xid %d code %d", h.Xid, h.Err, want.xid, want.code)
			}
			if h.Xid != 10*i+3 {
				continue
			}
			var r wire.GetDataResponse
			if err := wire.Unmarshal(body, &r); err != nil || string(r.Data) != fmt.Sprint(i) {
				t.Fatalf("the read behind write %d shows %q", i, r.Data)
			}
		}
	}
	if n := f.srv.outstanding.Load(); n != 0 {
		t.Errorf("%d requests outstanding at the end", n)
	}
}

// A member that answers out of order (a sync before the write ahead of it)
// must not make the replies come out of order.
func TestOutcomesOutOfOrder(t *testing.T) {
	f := start(t)
	c := f.connect()
	f.member.hold(true)
	c.send(request(1, wire.OpCreate, createOf("/a", "")), request(2, wire.OpExists, pathOf("/a")),
		request(3, wire.OpSync, &wire.PathRequest{Path: "/"}), request(4, wire.OpExists, pathOf("/a")))
	f.member.waitWork(t, 2)
	f.member.mu.Lock()
	slices.Reverse(f.member.mu.work)
	f.member.mu.Unlock()
	f.member.hold(false)
	for xid := int32(1); xid <= 4; xid++ {
		if h, _ := c.reply(); h.Xid != xid || h.Err != wire.OK {
			t.Fatalf("got %+v, want xid %d", h, xid)
		}
	}
}

// The event of a client's own write comes before the write's reply, and a
// watch set behind a write does not see that write.
func TestEventBeforeReply(t *testing.T) {
	f := start(t)
	c := f.connect()
	c.must(1, wire.OpCreate, createOf("/a", ""), wire.OK)
	f.member.hold(true)
	set := &wire.SetDataRequest{Path: "/a", Version: -1}
	c.send(request(2, wire.OpExists, watchOf("/a")), request(3, wire.OpSetData, set), request(4, wire.OpExists, watchOf("/a")),
		request(5, wire.OpSetData, set))
	f.member.waitWork(t, 2)
	f.member.hold(false)
	for _, want := range []int32{2, -1, 3, 4, -1, 5} {
		if h, _ := c.reply(); h.Xid != want {
			t.Fatalf("got xid %d, want %d", h.Xid, want)
		}
	}
}

func TestHandshake(t *testing.T) {
	f := start(t)
	t.Run("the readOnly byte is mirrored", func(t *testing.T) {
		for _, has := range []bool{false, true} {
			c := f.dial()
			c.send(frameOf(&wire.ConnectRequest{TimeoutMs: 10000, Passwd: make([]byte, 16), HasReadOnly: has, ReadOnly: has}))
			want := 36
			if has {
				want = 37
			}
			if b := c.frame(); len(b) != want || has && b[36] != 0 {
				t.Errorf("with the byte %v: %d bytes, %x", has, len(b), b)
			}
		}
	})
	t.Run("requests behind it are served", func(t *testing.T) {
		c := f.dial()
		c.send(frameOf(&wire.ConnectRequest{}), request(1, wire.OpExists, pathOf("/")), request(2, wire.OpWhoAmI, nil))
		c.frame()
		for xid := int32(1); xid <= 2; xid++ {
			if h, _ := c.reply(); h.Xid != xid || h.Err != wire.OK {
				t.Errorf("got %+v", h)
			}
		}
	})
	t.Run("one byte at a time", func(t *testing.T) {
		c := f.dial()
		for _, b := range slices.Concat(frameOf(&wire.ConnectRequest{}), request(1, wire.OpExists, pathOf("/"))) {
			c.send([]byte{b})
		}
		c.frame()
		c.reply()
	})
	t.Run("a client from the future", func(t *testing.T) {
		c := f.dial()
		c.send(frameOf(&wire.ConnectRequest{LastZxidSeen: 1 << 40}))
		c.eof()
	})
	t.Run("unknown session", func(t *testing.T) {
		c := f.dial()
		r := c.handshake(&wire.ConnectRequest{SessionID: 4711, TimeoutMs: 10000, Passwd: bytes.Repeat([]byte{1}, 16)})
		if r.SessionID != 0 || r.TimeoutMs != 0 || !bytes.Equal(r.Passwd, make([]byte, 16)) {
			t.Errorf("got %+v, want zeros", r)
		}
		c.eof()
	})
	t.Run("undecodable", func(t *testing.T) {
		c := f.dial()
		c.send([]byte{0, 0, 0, 2, 1, 2})
		c.eof()
	})
}

func TestReattach(t *testing.T) {
	f := start(t)
	first := f.connect()
	first.must(1, wire.OpExists, watchOf("/"), wire.OK)

	wrong := f.dial()
	if r := wrong.handshake(&wire.ConnectRequest{SessionID: first.id, TimeoutMs: 10000, Passwd: make([]byte, 16)}); r.SessionID != 0 {
		t.Fatalf("the wrong password gave %+v", r)
	}
	wrong.eof()
	first.must(2, wire.OpExists, pathOf("/"), wire.OK) // not kicked out by that

	second := f.dial()
	r := second.handshake(&wire.ConnectRequest{SessionID: first.id, TimeoutMs: 20000, Passwd: first.pass})
	if r.SessionID != first.id || r.TimeoutMs != 20000 || !bytes.Equal(r.Passwd, first.pass) {
		t.Fatalf("got %+v", r)
	}
	first.eof()
	eventually(t, func() bool { return f.member.tree.WatchCount() == 0 })
	second.must(1, wire.OpCloseSession, nil, wire.OK)
	second.eof()
	third := f.dial()
	if r := third.handshake(&wire.ConnectRequest{SessionID: first.id, TimeoutMs: 10000, Passwd: first.pass}); r.SessionID != 0 {
		t.Fatalf("a closed session came back: %+v", r)
	}
}

func TestNotServing(t *testing.T) {
	reg, _ := auth.New(auth.Options{})
	srv := New(testOptions(reg))
	addrs, err := srv.Listen("127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Shutdown(context.Background())
	f := &fixture{t: t, addr: addrs[1].String()}
	c := f.dial()
	c.send(frameOf(&wire.ConnectRequest{}))
	c.eof()
	if got := f.word("ruok"); got != "imok" {
		t.Errorf("ruok: %q", got)
	}
	if got := f.word("srvr"); got != "This ZooKeeper instance is not currently serving requests\n" {
		t.Errorf("srvr: %q", got)
	}
	if _, err := srv.Listen(addrs[0].String()); err == nil {
		t.Error("an address was opened twice")
	}
}

// What is behind a closeSession is dropped: only its reply comes, then the end.
func TestCloseSessionEndsThePipeline(t *testing.T) {
	f := start(t)
	c := f.connect()
	c.send(request(1, wire.OpCloseSession, nil), request(2, wire.OpExists, pathOf("/")), request(3, wire.OpCreate, createOf("/a", "")))
	if h, _ := c.reply(); h.Xid != 1 || h.Err != wire.OK {
		t.Fatalf("got %+v", h)
	}
	c.eof()
	f.connect().must(1, wire.OpExists, pathOf("/a"), wire.ErrNoNode)
}

func TestUnknownOpcodes(t *testing.T) {
	f := start(t)
	for _, op := range []wire.OpCode{-10, 20, -1, 0, 13, 10, 23, 99, 108, 1000, -2147483648} {
		c := f.connect()
		// The reply waits for those before it.
		c.send(request(1, wire.OpCreate, createOf("/a", "")), request(2, wire.OpExists, pathOf("/")),
			request(5, op, &wire.PathRequest{Path: "/a"}), request(6, wire.OpExists, pathOf("/")))
		for _, xid := range []int32{1, 2} {
			if h, _ := c.reply(); h.Xid != xid {
				t.Fatalf("opcode %d: got %+v, want xid %d", op, h, xid)
			}
		}
		if h, body := c.reply(); h != (wire.ReplyHeader{Xid: 5, Zxid: -1, Err: wire.ErrUnimplemented}) || len(body) > 0 {
			t.Errorf("opcode %d: got %+v %x", op, h, body)
		}
		c.eof()
	}
}

func TestFrames(t *testing.T) {
	f := start(t)
	length := func(n int32) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"length -1", length(-1)}, {"length -4", length(-4)}, {"least length", length(-1 << 31)}, {"greatest length", length(1<<31 - 1)},
		{"one above the limit", length(defaultMaxFrame + 1)},
		{"empty", length(0)}, {"no header", slices.Concat(length(7), make([]byte, 7))},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := f.connect()
			cl.send(request(1, wire.OpExists, pathOf("/")), c.data)
			if h, _ := cl.reply(); h.Xid != 1 {
				t.Fatalf("got %+v", h)
			}
			cl.eof()
		})
	}
	t.Run("at the limit", func(t *testing.T) {
		cl := f.connect()
		data := make([]byte, defaultMaxFrame-headerSize-len("/big")-4-4-4-len("world")-len("anyone")-4-4-4-4)
		r := createOf("/big", string(data))
		frame := request(1, wire.OpCreate, r)
		if n := len(frame) - 4; n != defaultMaxFrame {
			t.Fatalf("the frame has %d bytes", n)
		}
		cl.send(frame, request(2, wire.OpGetData, pathOf("/big")))
		if h, _ := cl.reply(); h.Err != wire.OK {
			t.Fatalf("got %+v", h)
		}
		var got wire.GetDataResponse
		_, body := cl.reply()
		if err := wire.Unmarshal(body, &got); err != nil || len(got.Data) != len(data) {
			t.Fatalf("%d bytes, %v", len(got.Data), err)
		}
	})
	t.Run("trailing bytes are ignored", func(t *testing.T) {
		cl := f.connect()
		b := request(1, wire.OpExists, pathOf("/"))
		b = append(b, "behind"...)
		binary.BigEndian.PutUint32(b, uint32(len(b)-4))
		cl.send(b)
		if h, _ := cl.reply(); h.Err != wire.OK {
			t.Fatalf("got %+v", h)
		}
	})
	t.Run("cut short, then the end", func(t *testing.T) {
		cl := f.connect()
		cl.send(request(1, wire.OpExists, pathOf("/"))[:9])
		cl.nc.(*net.TCPConn).CloseWrite()
		cl.eof()
	})
}

// Memory follows what has arrived, not what was announced.
func TestAnnouncedFramesCostNothing(t *testing.T) {
	f := start(t, func(o *Options) { o.MaxClientCnxns = 0; o.MaxFrame = 100 << 20 })
	before := heap()
	for range 100 {
		c := f.connect()
		c.send(binary.BigEndian.AppendUint32(nil, 100<<20), make([]byte, 1000))
	}
	eventually(t, func() bool { return len(f.srv.connections()) == 100 })
	if grown := heap() - before; grown > 32<<20 {
		t.Errorf("100 frames of which 1,000 bytes came take %d MiB", grown>>20)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A client that asks for much and takes it slowly gets everything: its requests
// wait unread, and nothing piles up here.
func TestSlowReaderOfReplies(t *testing.T) {
	for _, behindWrite := range []bool{false, true} {
		t.Run(fmt.Sprintf("behind a write %v", behindWrite), func(t *testing.T) {
			f := start(t)
			c := f.connect()
			big := strings.Repeat("x", 1_000_000)
			c.must(1, wire.OpCreate, createOf("/big", big), wire.OK)
			before := heap()
			var frames []byte
			if behindWrite {
				frames = request(1, wire.OpSetData, &wire.SetDataRequest{Path: "/big", Data: []byte(big), Version: -1})
			}
			const reads = 200
			for i := range int32(reads) {
				frames = append(frames, request(i+2, wire.OpGetData, pathOf("/big"))...)
			}
			c.send(frames, request(reads+2, wire.OpSetData, &wire.SetDataRequest{Path: "/big", Version: -1}))
			// When nothing moves any more the server waits for the client.
			last := int64(-1)
			eventually(t, func() bool {
				time.Sleep(20 * time.Millisecond)
				conns := f.srv.connections()
				if len(conns) == 0 {
					t.Fatal("the client was cut off")
				}
				st := conns[0].describe()
				still := st.Sent == last
				last = st.Sent
				return still && st.Sent > 2
			})
			if grown := heap() - before; grown > 20<<20 {
				t.Errorf("%d MiB wait for the client", grown>>20)
			}
			if behindWrite {
				if h, _ := c.reply(); h.Xid != 1 {
					t.Fatalf("got %+v", h)
				}
			}
			for i := range int32(reads) {
				h, b := c.reply()
				if h.Xid != i+2 || h.Err != wire.OK || len(b) < len(big) {
					t.Fatalf("got %+v and %d bytes, want xid %d", h, len(b), i+2)
				}
			}
			if h, _ := c.reply(); h.Xid != reads+2 || h.Err != wire.OK {
				t.Fatalf("got %+v for the last write", h)
			}
			if n := f.srv.outstanding.Load(); n != 0 {
				t.Errorf("%d requests outstanding at the end", n)
			}
		})
	}
}

// Events cannot wait for a client that does not read them: at the bound it is
// cut off, and nobody else notices.
func TestSlowReaderOfEvents(t *testing.T) {
	f := start(t, func(o *Options) { o.QueueBytes = 64 << 10 })
	path := "/" + strings.Repeat("long", 2000)
	writer := f.connect()
	writer.must(1, wire.OpCreate, createOf(path, ""), wire.OK)
	deaf := f.connect()
	deaf.nc.(*net.TCPConn).SetReadBuffer(4096)
	deaf.must(1, wire.OpAddWatch, &wire.AddWatchRequest{Path: path, Mode: wire.AddWatchPersistent}, wire.OK)
	for i := int32(2); len(f.srv.connections()) == 2; i++ {
		if i > 100_000 {
			t.Fatal("the client is still there")
		}
		writer.must(i, wire.OpSetData, &wire.SetDataRequest{Path: path, Version: -1}, wire.OK)
	}
	eventually(t, func() bool { return f.member.tree.WatchCount() == 0 })
	writer.must(1, wire.OpExists, pathOf("/"), wire.OK)
}

// While a client has too many requests unanswered it is not read from.
func TestQueueLimit(t *testing.T) {
	f := start(t, func(o *Options) { o.QueueRequests = 10 })
	c := f.connect()
	f.member.hold(true)
	const all = 100
	for i := range int32(all) {
		c.send(request(i, wire.OpSetData, &wire.SetDataRequest{Path: "/", Version: -1}))
	}
	f.member.waitWork(t, 10)
	if n := f.srv.outstanding.Load(); n > 10 {
		t.Errorf("%d requests outstanding, the limit is 10", n)
	}
	f.member.hold(false)
	for i := range int32(all) {
		if h, _ := c.reply(); h.Xid != i || h.Err != wire.OK {
			t.Fatalf("got %+v, want xid %d", h, i)
		}
	}
}

// Over globalOutstandingLimit a client with a request in work is not read
// from; one without is.
func TestGlobalOutstandingLimit(t *testing.T) {
	f := start(t, func(o *Options) { o.OutstandingLimit = 5 })
	busy, other := f.connect(), f.connect()
	f.member.hold(true)
	set := &wire.SetDataRequest{Path: "/", Version: -1}
	for i := range int32(10) { // one after the other, so that each is read by itself
		busy.send(request(i, wire.OpSetData, set))
		if i < 6 {
			f.member.waitWork(t, int(i)+1)
		}
	}
	other.must(1, wire.OpExists, pathOf("/"), wire.OK)
	other.send(request(2, wire.OpSetData, set))
	f.member.waitWork(t, 7)
	if n := f.srv.outstanding.Load(); n != 7 {
		t.Errorf("%d outstanding, want 6 of the busy client and one of the other", n)
	}
	f.member.hold(false)
	for i := range int32(10) {
		if h, _ := busy.reply(); h.Xid != i {
			t.Fatalf("got %+v, want xid %d", h, i)
		}
	}
	if h, _ := other.reply(); h.Xid != 2 {
		t.Fatalf("got %+v", h)
	}
}

// With the request throttle, requests that waited too long for it are refused,
// in their place among the replies, and pings are not.
func TestThrottledOps(t *testing.T) {
	f := start(t, func(o *Options) { o.ThrottleRequests = 3; o.ThrottledOpWait = 10 * time.Millisecond })
	c := f.connect()
	f.member.hold(true)
	var frames []byte
	for i := range int32(10) {
		frames = append(frames, request(i, wire.OpSetData, &wire.SetDataRequest{Path: "/", Version: -1})...)
	}
	c.send(frames, request(0, wire.OpPing, nil))
	f.member.waitWork(t, 3)
	time.Sleep(20 * time.Millisecond)
	f.member.hold(false)
	for i := range int32(10) {
		want := wire.OK
		if i >= 3 {
			want = wire.ErrThrottledOp
		}
		if h, _ := c.reply(); h.Xid != i || h.Err != want {
			t.Fatalf("got %+v, want xid %d and code %d", h, i, want)
		}
	}
	if h, _ := c.reply(); h.Xid != wire.XidPing || h.Err != wire.OK {
		t.Fatalf("got %+v for the ping", h)
	}
	c.must(20, wire.OpSetData, &wire.SetDataRequest{Path: "/", Version: -1}, wire.OK)
}

func TestLargeRequests(t *testing.T) {
	f := start(t, func(o *Options) { o.LargeThreshold = 1000; o.LargeMax = 5000 })
	a, b := f.connect(), f.connect()
	set := func(n int) *wire.SetDataRequest {
		return &wire.SetDataRequest{Path: "/", Data: make([]byte, n), Version: -1}
	}
	f.member.hold(true)
	a.send(request(1, wire.OpSetData, set(4000)))
	f.member.waitWork(t, 1)
	b.must(1, wire.OpExists, pathOf("/"), wire.OK)
	b.send(request(2, wire.OpSetData, set(4000)))
	b.eof()
	f.member.hold(false)
	if h, _ := a.reply(); h.Err != wire.OK {
		t.Fatalf("got %+v", h)
	}
	a.must(2, wire.OpSetData, set(4000), wire.OK) // the first one's room is free again
	watches := &wire.SetWatchesRequest{Data: []string{}, Exist: []string{"/" + strings.Repeat("x", 4000)}, Child: []string{}}
	a.must(3, wire.OpSetWatches, watches, wire.OK)
	a.must(4, wire.OpSetWatches, watches, wire.OK) // reads count, too
	cut := f.connect()
	cut.send(request(1, wire.OpSetData, set(4000))[:2000])
	eventually(t, func() bool { return f.srv.large.Load() > 0 })
	cut.nc.Close()
	eventually(t, func() bool { return len(f.srv.connections()) == 1 })
	if n := f.srv.large.Load(); n != 0 {
		t.Errorf("%d bytes of large requests in work at the end", n)
	}
}

func TestConnectionLimits(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Options)
	}{
		{"maxClientCnxns", func(o *Options) { o.MaxClientCnxns = 2 }},
		{"maxCnxns", func(o *Options) { o.MaxCnxns = 2 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := start(t, c.change)
			first := f.connect()
			f.connect()
			over := f.dial()
			over.send(frameOf(&wire.ConnectRequest{}))
			over.eof()
			if got := f.word("ruok"); got != "imok" {
				t.Errorf("ruok at the limit: %q", got)
			}
			var held []*client
			for range wordReserve {
				held = append(held, f.dial())
			}
			eventually(t, func() bool { return len(f.srv.connections()) == 2+wordReserve })
			f.dial().eof() // nothing is reserved any more
			for _, h := range held {
				h.nc.Close()
			}
			first.nc.Close()
			eventually(t, func() bool { return len(f.srv.connections()) == 1 })
			f.connect().must(1, wire.OpExists, pathOf("/"), wire.OK)
		})
	}
}

func TestConnectThrottle(t *testing.T) {
	f := start(t, func(o *Options) { o.ConnectTokens = 2; o.ConnectFillTime = time.Hour })
	f.connect()
	f.connect()
	c := f.dial()
	c.send(frameOf(&wire.ConnectRequest{}))
	c.eof()
}

func TestTokenBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b tokenBucket
		b.init(&Options{ConnectTokens: 3, ConnectFill: 2, ConnectFillTime: time.Second})
		took := func() (n int) {
			for b.take() {
				n++
			}
			return n
		}
		for i, want := range []int{3, 0, 2, 3} {
			if i > 1 {
				time.Sleep(time.Duration(i-1) * time.Second)
			}
			if n := took(); n != want {
				t.Errorf("step %d: %d tokens, want %d", i, n, want)
			}
		}
	})
}

// A connection that never sends a ConnectRequest is closed after a while, one
// that has is not.
func TestHandshakeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, _ := auth.New(auth.Options{})
		srv := New(testOptions(reg))
		m := newFakeMember(srv, reg)
		go m.run()
		srv.Serve(m)
		srv.Open(false)
		pipe := func() *client {
			here, there := net.Pipe()
			srv.Handle(here)
			return newClient(t, there)
		}
		began := time.Now()
		silent, half, serving := pipe(), pipe(), pipe()
		half.send([]byte{0, 0})
		serving.handshake(&wire.ConnectRequest{TimeoutMs: 10000})
		var b [1]byte
		for _, c := range []*client{silent, half} {
			if n, err := c.nc.Read(b[:]); n > 0 || err == nil {
				t.Errorf("read %d, %v", n, err)
			}
		}
		if took := time.Since(began); took != defaultHandshakeTimeout {
			t.Errorf("closed after %v, want %v", took, defaultHandshakeTimeout)
		}
		time.Sleep(time.Hour)
		serving.must(1, wire.OpExists, pathOf("/"), wire.OK)
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		m.stop()
	})
}

// Everything works on a connection that is no socket of the system's, too.
func TestPipe(t *testing.T) {
	f := start(t)
	here, there := net.Pipe()
	f.srv.Handle(here)
	c := newClient(t, there)
	c.handshake(&wire.ConnectRequest{TimeoutMs: 10000})
	big := createOf("/a", strings.Repeat("x", 300_000))
	c.must(1, wire.OpCreate, big, wire.OK)
	c.must(2, wire.OpGetData, watchOf("/a"), wire.OK)
	c.send(request(3, wire.OpDelete, &wire.DeleteRequest{Path: "/a", Version: -1}))
	for _, xid := range []int32{-1, 3} {
		if h, _ := c.reply(); h.Xid != xid {
			t.Fatalf("got %+v, want xid %d", h, xid)
		}
	}
	c.must(4, wire.OpCloseSession, nil, wire.OK)
	if _, err := c.read(); err == nil {
		t.Error("the connection goes on")
	}
}

func TestAuth(t *testing.T) {
	f := start(t)
	c := f.connect()
	f.member.hold(true)
	// auth overtakes what waits, and counts for what comes behind it.
	c.send(request(1, wire.OpCreate, createOf("/a", "")),
		request(2, wire.OpAuth, &wire.AuthPacket{Scheme: "digest", Auth: []byte("bob:secret")}),
		request(3, wire.OpSASL, &wire.SASLPacket{Token: []byte{}}),
		request(4, wire.OpWhoAmI, nil))
	if h, _ := c.reply(); h != (wire.ReplyHeader{Xid: 2}) {
		t.Fatalf("got %+v for auth", h)
	}
	if h, b := c.reply(); h != (wire.ReplyHeader{Xid: 3}) || !bytes.Equal(b, []byte{255, 255, 255, 255}) {
		t.Fatalf("got %+v %x for sasl", h, b)
	}
	f.member.hold(false)
	c.reply()
	var who wire.WhoAmIResponse
	if _, b := c.reply(); wire.Unmarshal(b, &who) != nil ||
		!slices.Equal(who.IDs, []wire.ID{{Scheme: "ip", ID: "127.0.0.1"}, {Scheme: "digest", ID: "bob"}}) {
		t.Errorf("whoAmI: %v", who.IDs)
	}
	c.send(request(5, wire.OpAuth, &wire.AuthPacket{Scheme: "nonsense"}), request(6, wire.OpExists, pathOf("/")))
	if h, _ := c.reply(); h != (wire.ReplyHeader{Xid: 5, Err: wire.ErrAuthFailed}) {
		t.Fatalf("got %+v for an unknown scheme", h)
	}
	c.eof()
	if n := f.srv.Status(0).AuthFailed; n != 1 {
		t.Errorf("%d failed authentications counted", n)
	}
}

func TestEnforcedAuth(t *testing.T) {
	reg, err := auth.New(auth.Options{Enforce: true, EnforceSchemes: []string{"digest"}})
	if err != nil {
		t.Fatal(err)
	}
	f := start(t, func(o *Options) { o.Auth = reg })
	c := f.connect()
	c.send(request(9, wire.OpPing, nil))
	if h, _ := c.reply(); h != (wire.ReplyHeader{Xid: 9, Err: wire.ErrSessionClosedRequireSASL}) {
		t.Fatalf("got %+v", h)
	}
	c.eof()
	c = f.connect()
	c.must(1, wire.OpAuth, &wire.AuthPacket{Scheme: "digest", Auth: []byte("bob:secret")}, wire.OK)
	c.must(2, wire.OpExists, pathOf("/"), wire.OK)
}

// A session that expires takes its connection with it; what waits is dropped.
func TestExpiry(t *testing.T) {
	f := start(t)
	c, idle := f.connect(), f.connect()
	f.member.hold(true)
	f.member.expire(c.id)
	f.member.expire(idle.id)
	c.send(request(1, wire.OpSetData, &wire.SetDataRequest{Path: "/", Version: -1}), request(2, wire.OpExists, pathOf("/")))
	f.member.waitWork(t, 3)
	f.member.hold(false)
	c.eof()
	idle.eof()
	eventually(t, func() bool { return len(f.srv.connections()) == 0 && f.srv.outstanding.Load() == 0 })
}

// Shutdown answers what has been received, then closes.
func TestShutdown(t *testing.T) {
	f := start(t)
	busy, idle, fresh := f.connect(), f.connect(), f.dial()
	f.member.hold(true)
	busy.send(request(1, wire.OpSetData, &wire.SetDataRequest{Path: "/", Version: -1}), request(2, wire.OpExists, pathOf("/")))
	f.member.waitWork(t, 1)
	done := make(chan error)
	go func() { done <- f.srv.Shutdown(context.Background()) }()
	idle.eof()
	fresh.eof()
	select {
	case err := <-done:
		t.Fatalf("shutdown ended with a request unanswered: %v", err)
	default:
	}
	f.member.hold(false)
	for xid := int32(1); xid <= 2; xid++ {
		if h, _ := busy.reply(); h.Xid != xid || h.Err != wire.OK {
			t.Fatalf("got %+v", h)
		}
	}
	busy.eof()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", f.addr); err == nil {
		t.Error("somebody still listens")
	}
}

// When the time is over, Shutdown does not wait for a member that is stuck or a
// client that does not read.
func TestShutdownDeadline(t *testing.T) {
	f := start(t)
	c := f.connect()
	f.member.hold(true)
	c.send(request(1, wire.OpSetData, &wire.SetDataRequest{Path: "/", Version: -1}))
	f.member.waitWork(t, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := f.srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	c.eof()
	f.ended = true
	f.member.hold(false)
	f.member.stop()
}

// When the time is over at once and nobody was left, nobody was cut off.
func TestShutdownOfNobody(t *testing.T) {
	for range 50 { // both ends are there, and either may be seen first
		core, logs := observer.New(zapcore.WarnLevel)
		srv := New(Options{Logger: zap.New(core)})
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := srv.Shutdown(ctx); err != nil || logs.Len() > 0 {
			t.Fatalf("%v, and it logs %v", err, logs.All())
		}
	}
}

// A client that does not read what is left for it does not keep its connection
// for ever when its session ends, in whichever way.
func TestLinger(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(c *client, m *fakeMember)
	}{
		{"closeSession", func(c *client, m *fakeMember) { c.send(request(1, wire.OpCloseSession, nil)) }},
		{"expiry while a reply waits", func(c *client, m *fakeMember) {
			c.send(request(1, wire.OpExists, pathOf("/")))
			synctest.Wait()
			m.expire(c.id)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg, _ := auth.New(auth.Options{})
				srv := New(testOptions(reg))
				m := newFakeMember(srv, reg)
				go m.run()
				srv.Serve(m)
				srv.Open(false)
				here, there := net.Pipe()
				srv.Handle(here)
				cl := newClient(t, there)
				cl.handshake(&wire.ConnectRequest{TimeoutMs: 10000})
				c.end(cl, m)
				synctest.Wait()
				if n := len(srv.connections()); n != 1 {
					t.Fatalf("%d connections before the reply is read", n)
				}
				time.Sleep(lingerTime)
				synctest.Wait()
				if n := len(srv.connections()); n != 0 {
					t.Errorf("%d connections after %v", n, lingerTime)
				}
				if err := srv.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
				m.stop()
			})
		})
	}
}

// The server speaks IPv6 where the system does.
func TestIPv6(t *testing.T) {
	f := start(t)
	addrs, err := f.srv.Listen("[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here:", err)
	}
	f.addr = addrs[0].String()
	c := f.connect()
	var who wire.WhoAmIResponse
	if err := wire.Unmarshal(c.must(1, wire.OpWhoAmI, nil, wire.OK), &who); err != nil || who.IDs[0].ID != "0:0:0:0:0:0:0:1" {
		t.Errorf("whoAmI: %v, %v", who.IDs, err)
	}
}

// Touches are what keeps a session alive: each batch of requests is one.
func TestTouched(t *testing.T) {
	f := start(t)
	c := f.connect()
	touched := func() map[wire.SessionID]int64 {
		m := map[wire.SessionID]int64{}
		f.srv.Touched(func(id wire.SessionID, at int64) { m[id] = at })
		return m
	}
	for _, now := range []int64{1000, 2000} {
		f.member.mu.Lock()
		f.member.mu.clock = now
		f.member.mu.Unlock()
		c.must(1, wire.OpPing, nil, wire.OK)
		if at := touched(); len(at) != 1 || at[c.id] != now {
			t.Errorf("at %d: touched %v", now, at)
		}
	}
	// What was heard on a connection counts once more after its end.
	c.nc.Close()
	eventually(t, func() bool {
		f.srv.mu.RLock()
		defer f.srv.mu.RUnlock()
		return len(f.srv.mu.conns) == 0
	})
	if at := touched(); len(at) != 1 || at[c.id] != 2000 {
		t.Errorf("after the connection's end: touched %v", at)
	}
	if at := touched(); len(at) != 0 {
		t.Errorf("nobody is here: touched %v", at)
	}
}
