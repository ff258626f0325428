package bench

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"zooid/wire"
)

// target is a fake server on a port, which can go away and come back.
type target struct {
	t    *testing.T
	addr string
	f    *fakeServer

	mu       sync.Mutex
	listener net.Listener
	conns    []net.Conn
	accepted int
	running  sync.WaitGroup
}

func newTarget(t *testing.T, f *fakeServer) *target {
	t.Helper()
	f.requests = map[wire.OpCode]int{}
	if f.timeout == 0 {
		f.timeout = 30 * time.Second
	}
	s := &target{t: t, addr: "127.0.0.1:0", f: f}
	s.come()
	t.Cleanup(func() {
		s.gone()
		s.running.Wait()
	})
	return s
}

// come listens, on the same port as before.
func (s *target) come() {
	s.t.Helper()
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.listener, s.addr = l, l.Addr().String()
	s.mu.Unlock()
	s.running.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, nc)
			s.accepted++
			s.mu.Unlock()
			s.running.Go(func() { s.f.serve(nc) })
		}
	})
}

// drop ends the connections, and gone the listening as well.
func (s *target) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, nc := range s.conns {
		nc.Close()
	}
	s.conns = nil
}

func (s *target) gone() {
	s.mu.Lock()
	s.listener.Close()
	s.mu.Unlock()
	s.drop()
}

// connections counts what was accepted.
func (s *target) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// writing is an outageWriter at work on targets, the first of which is its own.
type writing struct {
	w     *outageWriter
	m     *meter
	lost  atomic.Int64
	stop  context.CancelFunc
	ended chan struct{}
}

func startWriting(t *testing.T, targets ...*target) *writing {
	t.Helper()
	o := &Options{Timeout: 30 * time.Second}
	for _, s := range targets {
		o.Servers = append(o.Servers, s.addr)
	}
	r := &writing{m: &meter{from: time.Now()}, ended: make(chan struct{})}
	r.w = newOutageWriter(o, r.m, &r.lost, "/a", 0)
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() {
		defer close(r.ended)
		r.w.run(ctx, time.Now(), time.Millisecond)
	}()
	t.Cleanup(r.end)
	return r
}

func (r *writing) end() {
	r.stop()
	<-r.ended
}

// await waits until n more writes have been answered by a server.
func await(t *testing.T, s *target, n int) {
	t.Helper()
	awaitTotal(t, s, s.f.seen(wire.OpSetData)+n)
}

// awaitTotal waits until a server has been asked for so many writes.
func awaitTotal(t *testing.T, s *target, want int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); s.f.seen(wire.OpSetData) < want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d writes, want %d", s.f.seen(wire.OpSetData), want)
		}
	}
}

// A lost connection is made again with the same server as long as that serves,
// else with the next one.
func TestOutageConnectsAgain(t *testing.T) {
	a, b := newTarget(t, new(fakeServer)), newTarget(t, new(fakeServer))
	r := startWriting(t, a, b)
	await(t, a, 20)
	a.drop()
	await(t, a, 20)
	if a.connections() != 2 || b.connections() != 0 {
		t.Errorf("%d connections with its own server, %d with the other", a.connections(), b.connections())
	}
	a.gone()
	await(t, b, 20)
	a.come()
	await(t, b, 20) // it stays where it is
	b.gone()
	await(t, a, 20)
	r.end()
	if lost := r.lost.Load(); lost != 3 {
		t.Errorf("%d connections were lost, want 3", lost)
	}
	written := a.f.seen(wire.OpSetData) + b.f.seen(wire.OpSetData)
	if n := int(r.w.ops); n > written || n < written-3 || int(r.m.done.Load()) != n || int(r.w.hist.TotalCount()) != n {
		t.Errorf("%d writes, %d answers, %d latencies of %d requests", n, r.m.done.Load(), r.w.hist.TotalCount(), written)
	}
	if a.f.seen(wire.OpCloseSession) != 1 || b.f.seen(wire.OpCloseSession) != 0 {
		t.Error("the last session was not closed, or another one")
	}
}

// The gap is the time in which nobody could write.
func TestOutageGap(t *testing.T) {
	const outage = 150 * time.Millisecond
	a := newTarget(t, new(fakeServer))
	r := startWriting(t, a)
	await(t, a, 20)
	began := time.Now()
	a.gone()
	time.Sleep(outage)
	a.come()
	await(t, a, 20)
	atMost := time.Since(began) + 50*time.Millisecond
	r.end()
	if gap := time.Duration(r.m.gapNs.Load()); gap < outage || gap > atMost {
		t.Errorf("a gap of %v, want %v to %v", gap, outage, atMost)
	}
	if lost := r.lost.Load(); lost != 1 {
		t.Errorf("%d connections were lost, want 1", lost)
	}
}

// A server that stands still is given up as every client does, within the
// session timeout.
func TestOutageSilentServer(t *testing.T) {
	a := newTarget(t, &fakeServer{timeout: 300 * time.Millisecond, before: func(wire.RequestHeader) bool { return false }})
	b := newTarget(t, new(fakeServer))
	r := startWriting(t, a, b)
	await(t, a, 1)
	first := time.Now()
	await(t, a, 1) // it begins with its own again
	if took := time.Since(first); took < 150*time.Millisecond || took > 5*time.Second {
		t.Errorf("given up after %v", took)
	}
	r.end()
	if r.lost.Load() < 1 || r.w.ops != 0 {
		t.Errorf("%d lost, %d writes", r.lost.Load(), r.w.ops)
	}
}

// It ends when it is to, whatever it waits for.
func TestOutageEnds(t *testing.T) {
	quiet := newTarget(t, &fakeServer{before: func(wire.RequestHeader) bool { return false }})
	mute := newTarget(t, &fakeServer{})
	mute.gone()
	for name, s := range map[string]*target{"an answer": quiet, "a server": mute} {
		t.Run(name, func(t *testing.T) {
			r := startWriting(t, s)
			if s == quiet {
				awaitTotal(t, s, 1)
			}
			began := time.Now()
			r.end()
			if took := time.Since(began); took > outageClose+time.Second {
				t.Errorf("it took %v", took)
			}
			if r.lost.Load() != 0 || r.w.ops != 0 {
				t.Errorf("%d lost, %d writes", r.lost.Load(), r.w.ops)
			}
		})
	}
	t.Run("the next write", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(20*time.Millisecond, cancel)
		if pause(ctx, time.Minute) {
			t.Error("it went on")
		}
	})
}

// There is a client on every server.
func TestOutageLoad(t *testing.T) {
	for _, c := range []struct{ connections, servers, want int }{{1, 3, 3}, {5, 3, 5}, {1, 1, 1}} {
		o := &Options{Connections: c.connections, Servers: make([]string, c.servers)}
		if got, depth := outageLoad(o); got != c.want || depth != 1 {
			t.Errorf("%+v: %d connections, depth %d", c, got, depth)
		}
	}
}
