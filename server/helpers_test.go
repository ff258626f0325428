package server

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"zooid/auth"
	"zooid/fourletter"
	"zooid/session"
	"zooid/wire"
	"zooid/znode"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeMember carries requests out at once, in one goroutine as a member's loop
// does, without a log. It can be held back.
type fakeMember struct {
	srv  *Server
	tree *znode.Tree
	view *znode.View
	keys session.Keys
	ids  *session.IDs
	// timeAt, if set, is the time of the txn with a zxid.
	timeAt func(z wire.Zxid) int64
	// sessions, if any, are given to new sessions in this order.
	sessions []madeSession
	given    int

	mu struct {
		sync.Mutex
		wake      sync.Cond
		work      []func()
		submitted []*znode.Request // while recording
		held      bool
		stopped   bool
		clock     int64
		finished  bool
	}
	record   atomic.Bool
	attaches atomic.Int64 // that were asked for
}

type madeSession struct {
	id     wire.SessionID
	passwd [16]byte
}

func newFakeMember(srv *Server, reg *auth.Registry) *fakeMember {
	f := &fakeMember{srv: srv, tree: znode.New(), keys: session.NewKeys([]byte("secret")), ids: session.NewIDs(1, 1000)}
	f.tree.SetRules(znode.Rules{Auth: reg, ExtendedTypes: true})
	f.view = znode.NewView(f.tree)
	f.mu.wake.L = &f.mu.Mutex
	return f
}

func (f *fakeMember) run() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		for f.mu.held && !f.mu.stopped || len(f.mu.work) == 0 && !f.mu.stopped {
			f.mu.wake.Wait()
		}
		if len(f.mu.work) == 0 {
			f.mu.finished = true
			f.mu.wake.Broadcast()
			return
		}
		work := f.mu.work
		f.mu.work = nil
		f.mu.Unlock()
		for _, w := range work {
			w()
		}
		f.srv.Flush()
		f.mu.Lock()
	}
}

func (f *fakeMember) do(w func()) {
	f.mu.Lock()
	f.mu.work = append(f.mu.work, w)
	f.mu.wake.Broadcast()
	f.mu.Unlock()
}

// hold keeps everything that comes waiting until it is called with false.
func (f *fakeMember) hold(on bool) {
	f.mu.Lock()
	f.mu.held = on
	f.mu.wake.Broadcast()
	f.mu.Unlock()
}

// waitWork waits until n things wait, which hold keeps from being done.
func (f *fakeMember) waitWork(t testing.TB, n int) {
	t.Helper()
	eventually(t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.mu.work) >= n
	})
}

func (f *fakeMember) stop() {
	f.mu.Lock()
	f.mu.stopped = true
	f.mu.wake.Broadcast()
	for !f.mu.finished {
		f.mu.wake.Wait()
	}
	f.mu.Unlock()
}

func (f *fakeMember) Tree() *znode.Tree { return f.tree }

func (f *fakeMember) SessionNow() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.clock
}

// lastZxid is the zxid of the tree.
func (f *fakeMember) lastZxid() wire.Zxid {
	f.tree.RLock()
	defer f.tree.RUnlock()
	return f.tree.LastZxid()
}

func (f *fakeMember) Submit(reqs []*znode.Request) {
	if f.record.Load() {
		f.mu.Lock()
		f.mu.submitted = append(f.mu.submitted, reqs...)
		f.mu.Unlock()
	}
	for _, r := range slices.Clone(reqs) {
		f.do(func() { f.carryOut(r) })
	}
}

// carryOut makes and applies one request's txn.
func (f *fakeMember) carryOut(r *znode.Request) {
	if f.apply(r) {
		f.srv.AnswerOwed()
	}
}

// apply makes and applies the txn under the tree's lock, and tells whether reads
// are owed.
func (f *fakeMember) apply(r *znode.Request) (owes bool) {
	var a znode.Applied
	f.tree.Lock()
	defer f.tree.Unlock()
	if r.Op == wire.OpSync {
		a = znode.Applied{Conn: r.Conn, Session: r.Session, Cxid: r.Cxid, Op: r.Op, Zxid: f.tree.LastZxid(),
			Path: r.Body.(*wire.PathRequest).Path}
		return f.srv.Applied(&a)
	}
	zxid := f.tree.LastZxid() + 1
	now := time.Now().UnixMilli()
	if f.timeAt != nil {
		now = f.timeAt(zxid)
	}
	txn := f.view.Prepare(r, zxid, now)
	f.tree.Apply(txn, &a)
	f.view.Applied(zxid)
	a.Conn, a.Op, a.Session, a.Cxid, a.Zxid = r.Conn, r.Op, r.Session, r.Cxid, zxid
	if a.Created != 0 && a.Conn != 0 {
		f.srv.Attached(a.Conn, a.Created, a.TimeoutMs, f.password(a.Created))
		a.Conn = 0
	}
	owes = f.srv.Applied(&a)
	if a.Closed != 0 {
		f.srv.SessionClosed(a.Closed)
	}
	return owes
}

func (f *fakeMember) password(id wire.SessionID) [16]byte {
	for _, s := range f.sessions {
		if s.id == id {
			return s.passwd
		}
	}
	return f.keys.Password(id)
}

func (f *fakeMember) Attach(conn znode.ConnID, id wire.SessionID, passwd []byte, timeoutMs int32) {
	f.attaches.Add(1)
	f.do(func() {
		if id == 0 {
			id = f.newID()
			f.carryOut(&znode.Request{Conn: conn, Session: id, Cxid: 1, Op: wire.OpCreateSession, TimeoutMs: timeoutMs})
			return
		}
		want := f.password(id)
		if _, _, ok := f.tree.Session(id); !ok || string(passwd) != string(want[:]) {
			id = 0
		}
		f.srv.Attached(conn, id, timeoutMs, want)
	})
}

func (f *fakeMember) newID() wire.SessionID {
	if f.given < len(f.sessions) {
		f.given++
		return f.sessions[f.given-1].id
	}
	return f.ids.Next()
}

// expire ends a session as a member does that has not heard from it.
func (f *fakeMember) expire(id wire.SessionID) {
	f.do(func() { f.carryOut(&znode.Request{Session: id, Op: wire.OpCloseSession}) })
}

// fakeHost describes a process that does not exist.
type fakeHost struct {
	resets int
	status atomic.Pointer[fourletter.Status] // instead of a standalone server's
}

func (h *fakeHost) Describe(st *fourletter.Status, _ fourletter.Part) {
	if other := h.status.Load(); other != nil {
		*st = *other
		return
	}
	st.Version, st.Mode = "3.9.5-zooid, built on 01/01/2026 00:00 UTC", fourletter.ModeStandalone
}
func (h *fakeHost) ResetStats() { h.resets++ }

// fixture is a server on loopback with its member.
type fixture struct {
	t      testing.TB
	srv    *Server
	member *fakeMember
	host   *fakeHost
	addr   string
	ended  bool
}

func testOptions(reg *auth.Registry) Options {
	all, _ := fourletter.ParseWhitelist("*", false)
	return Options{Logger: zap.NewNop(), Auth: reg, Host: &fakeHost{}, Whitelist: all, MinTimeoutMs: 4000, MaxTimeoutMs: 40000}
}

func start(t testing.TB, change ...func(*Options)) *fixture {
	t.Helper()
	f := startClosed(t, change...)
	f.srv.Open(false)
	return f
}

// startClosed is start for a server whose door is closed yet.
func startClosed(t testing.TB, change ...func(*Options)) *fixture {
	t.Helper()
	reg, err := auth.New(auth.Options{SuperDigest: "super:lK75jTNcA+U9vtVEw5vB51mj/w4="})
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions(reg)
	for _, c := range change {
		c(&o)
	}
	f := &fixture{t: t, srv: New(o), host: o.Host.(*fakeHost)}
	f.member = newFakeMember(f.srv, reg)
	go f.member.run()
	f.srv.Serve(f.member)
	addrs, err := f.srv.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.addr = addrs[0].String()
	t.Cleanup(f.stop)
	return f
}

func (f *fixture) stop() {
	if f.ended {
		return
	}
	f.ended = true
	f.member.hold(false)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := f.srv.Shutdown(ctx); err != nil {
		f.t.Errorf("shutdown: %v", err)
	}
	f.member.stop()
}

// client is a connection that speaks frames.
type client struct {
	t    testing.TB
	nc   net.Conn
	r    *bufio.Reader
	id   wire.SessionID
	pass []byte
}

func (f *fixture) dial() *client {
	f.t.Helper()
	nc, err := net.Dial("tcp", f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	return newClient(f.t, nc)
}

func newClient(t testing.TB, nc net.Conn) *client {
	t.Cleanup(func() { nc.Close() })
	return &client{t: t, nc: nc, r: bufio.NewReaderSize(nc, 1<<16)}
}

// connect makes a session.
func (f *fixture) connect() *client {
	f.t.Helper()
	c := f.dial()
	c.handshake(&wire.ConnectRequest{TimeoutMs: 10000, Passwd: make([]byte, 16), HasReadOnly: true})
	return c
}

func (c *client) handshake(r *wire.ConnectRequest) wire.ConnectResponse {
	c.t.Helper()
	c.send(frameOf(r))
	var resp wire.ConnectResponse
	if err := wire.Unmarshal(c.frame(), &resp); err != nil {
		c.t.Fatal(err)
	}
	c.id, c.pass = resp.SessionID, slices.Clone(resp.Passwd)
	return resp
}

func frameOf(r wire.Appender) []byte {
	return wire.EndFrame(r.Append(wire.BeginFrame(nil)), 0)
}

func request(xid int32, op wire.OpCode, body wire.Appender) []byte {
	b := wire.BeginFrame(nil)
	b = (&wire.RequestHeader{Xid: xid, Op: op}).Append(b)
	if body != nil {
		b = body.Append(b)
	}
	return wire.EndFrame(b, 0)
}

func (c *client) send(b ...[]byte) {
	c.t.Helper()
	if _, err := c.nc.Write(slices.Concat(b...)); err != nil {
		c.t.Fatal(err)
	}
}

const patience = 10 * time.Second

// read reads a frame without its length.
func (c *client) read() ([]byte, error) {
	c.nc.SetReadDeadline(time.Now().Add(patience))
	var n [4]byte
	if _, err := io.ReadFull(c.r, n[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(n[:]))
	_, err := io.ReadFull(c.r, b)
	return b, err
}

func (c *client) frame() []byte {
	c.t.Helper()
	b, err := c.read()
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

// reply reads a reply or an event.
func (c *client) reply() (h wire.ReplyHeader, body []byte) {
	c.t.Helper()
	b := c.frame()
	d := wire.NewDecoder(b)
	h.Decode(&d)
	if d.Err() != nil {
		c.t.Fatal(d.Err())
	}
	return h, b[d.Offset():]
}

// call sends a request and expects its reply next.
func (c *client) call(xid int32, op wire.OpCode, body wire.Appender) (wire.ReplyHeader, []byte) {
	c.t.Helper()
	c.send(request(xid, op, body))
	h, b := c.reply()
	if want := replyXid(xid, op); h.Xid != want {
		c.t.Fatalf("%v: reply has xid %d, want %d", op, h.Xid, want)
	}
	return h, b
}

// must is call with an expected code.
func (c *client) must(xid int32, op wire.OpCode, body wire.Appender, code wire.ErrCode) []byte {
	c.t.Helper()
	h, b := c.call(xid, op, body)
	if h.Err != code {
		c.t.Fatalf("%v: code %d (%v), want %d", op, h.Err, h.Err, code)
	}
	return b
}

// rest reads to the end of the connection.
func (c *client) rest() string {
	c.t.Helper()
	c.nc.SetReadDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(c.r)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}

// eof expects that the server closes the connection without sending more.
func (c *client) eof() {
	c.t.Helper()
	b, err := c.read()
	if !errors.Is(err, io.EOF) && !isReset(err) {
		c.t.Fatalf("got %x, %v; want the end of the connection", b, err)
	}
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}

func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("did not happen in time")
		}
	}
}

func createOf(path string, data string) *wire.CreateRequest {
	return &wire.CreateRequest{Path: path, Data: []byte(data), ACL: wire.OpenACL}
}

func pathOf(path string) *wire.WatchRequest { return &wire.WatchRequest{Path: path} }

func watchOf(path string) *wire.WatchRequest { return &wire.WatchRequest{Path: path, Watch: true} }
