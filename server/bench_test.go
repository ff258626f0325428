package server

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"

	"zooid/auth"
	"zooid/wire"
	"zooid/znode"
)

// detached is a serving connection without a socket: what is fed to it goes
// through everything but the system calls.
type detached struct {
	*conn
	fake *fakeMember
}

func newDetached(tb testing.TB) *detached {
	reg, err := auth.New(auth.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	srv := New(testOptions(reg))
	srv.log = zap.NewNop()
	fake := newFakeMember(srv, reg)
	srv.Serve(fake)
	srv.Open(false)
	here, there := net.Pipe()
	there.Close()
	c := newConn(srv, here)
	if !srv.register(c) {
		tb.Fatal("not registered")
	}
	c.member, c.tree, c.attached = fake, fake.tree, true
	c.mu.phase = phaseServing
	c.mu.writing = true // nobody writes; out is emptied by feed
	c.mu.reader.Session = 7
	srv.mu.sessions[7] = c
	return &detached{conn: c, fake: fake}
}

// feed has the connection work on what reads might have returned, and gives
// the bytes that it would have written. They are valid until the next call.
func (d *detached) feed(data []byte) []byte {
	for len(data) > 0 {
		n := copy(d.in.space(), data)
		d.in.grow(n)
		data = data[n:]
		d.in.at = d.srv.now()
		if d.work() == atEnd {
			break
		}
	}
	d.in.park()
	if d.mu.buf == nil {
		return nil
	}
	b := d.mu.buf
	d.mu.buf = nil
	b.release()
	return b.b[:len(b.b):len(b.b)]
}

// load makes znodes, each as path or path=data.
func (d *detached) load(tb testing.TB, nodes ...string) {
	tb.Helper()
	for _, n := range nodes {
		path, data, _ := strings.Cut(n, "=")
		if err := d.tree.Load(path, &znode.Record{Data: []byte(data)}); err != nil {
			tb.Fatal(err)
		}
	}
	d.tree.Loaded(1)
}

var smallReads = []struct {
	name string
	op   wire.OpCode
	body wire.Appender
}{
	{"getData-100B", wire.OpGetData, pathOf("/dir/node")},
	{"exists", wire.OpExists, pathOf("/dir/node")},
	{"getChildren2-small", wire.OpGetChildren2, pathOf("/dir")},
	{"getData-missing", wire.OpGetData, pathOf("/dir/nothing")},
	{"ping", wire.OpPing, nil},
}

// Reads of small znodes must allocate nothing: that is what holds the rate of
// reads and the collector's work.
func TestSmallReadsDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget")
	}
	d := newDetached(t)
	d.load(t, "/dir", "/dir/node="+strings.Repeat("x", 100), "/dir/other")
	for _, r := range smallReads {
		frame := request(1, r.op, r.body)
		d.feed(frame)
		if n := testing.AllocsPerRun(1000, func() { d.feed(frame) }); n != 0 {
			t.Errorf("%s: %v allocations, want none", r.name, n)
		}
	}
}

// BenchmarkConnection is a connection's work on a batch of equal requests,
// without the socket.
func BenchmarkConnection(b *testing.B) {
	for _, r := range smallReads {
		for _, depth := range []int{1, 32} {
			b.Run(fmt.Sprintf("%s/batch=%d", r.name, depth), func(b *testing.B) {
				d := newDetached(b)
				d.load(b, "/dir", "/dir/node="+strings.Repeat("x", 100), "/dir/other")
				frame := slices.Repeat(request(1, r.op, r.body), depth)
				b.ReportAllocs()
				for i := 0; i < b.N; i += depth {
					d.feed(frame)
				}
			})
		}
	}
}

// BenchmarkWatchers is an event for many watchers: encoding, filtering, and
// queueing, but not the sockets.
func BenchmarkWatchers(b *testing.B) {
	const watchers = 1000
	d := newDetached(b)
	ids := []znode.ConnID{}
	for range watchers {
		here, there := net.Pipe()
		there.Close()
		c := newConn(d.srv, here)
		d.srv.register(c)
		c.mu.writing = true
		ids = append(ids, c.id)
	}
	a := znode.Applied{Zxid: 1, Events: []znode.Event{{Type: wire.EventNodeDataChanged, Path: "/dir/node", Zxid: 1,
		ACL: wire.OpenACL, Watchers: ids}}}
	b.ReportAllocs()
	for b.Loop() {
		d.srv.Applied(&a)
		for _, c := range d.srv.loop.touched {
			c.mu.buf.release()
			c.mu.buf = nil
		}
		d.srv.Flush()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/watchers, "ns/watcher")
}

// BenchmarkLoopback is reads over real sockets, client and server in one
// process: clients x requests in flight.
func BenchmarkLoopback(b *testing.B) {
	for _, shape := range []struct{ clients, depth int }{{1, 1}, {64, 1}, {64, 32}} {
		b.Run(fmt.Sprintf("getData-100B/%dx%d", shape.clients, shape.depth), func(b *testing.B) {
			f := start(b, func(o *Options) { o.MaxClientCnxns = 0 })
			f.connect().must(1, wire.OpCreate, createOf("/node", strings.Repeat("x", 100)), wire.OK)
			batch := slices.Repeat(request(1, wire.OpGetData, pathOf("/node")), shape.depth)
			var clients []*client
			for range shape.clients {
				clients = append(clients, f.connect())
			}
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for _, c := range clients {
				wg.Go(func() {
					for i := 0; i < b.N/shape.clients; i += shape.depth {
						c.nc.Write(batch)
						for range shape.depth {
							skipFrame(b, c.r)
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			f.stop()
		})
	}
}

func skipFrame(b *testing.B, r *bufio.Reader) {
	n, err := r.Peek(4)
	if err == nil {
		_, err = io.CopyN(io.Discard, r, 4+int64(binary.BigEndian.Uint32(n)))
	}
	if err != nil {
		b.Error(err)
	}
}
