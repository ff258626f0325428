package bench

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"zooid/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeServer answers every request with the same small body, one after the
// other.
type fakeServer struct {
	timeout time.Duration // of sessions
	// before, if set, is called before a request is answered; false says that
	// it never will be.
	before func(h wire.RequestHeader) bool

	mu       sync.Mutex
	requests map[wire.OpCode]int
	inFlight int
	most     int // requests in flight
}

// connect opens a session with the server, over a pipe.
func (f *fakeServer) connect(t *testing.T) *client {
	t.Helper()
	if f.timeout == 0 {
		f.timeout = 30 * time.Second
	}
	f.requests = map[wire.OpCode]int{}
	near, far := net.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.serve(far)
	}()
	c, err := newClient(near, f.timeout, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		near.Close()
		<-ended
	})
	return c
}

// serve reads requests as fast as they come, and answers them at its leisure.
func (f *fakeServer) serve(nc net.Conn) {
	defer nc.Close()
	in := bufio.NewReader(nc)
	if _, err := readFrame(in); err != nil {
		return
	}
	r := wire.ConnectResponse{TimeoutMs: int32(f.timeout.Milliseconds()), SessionID: 1, Passwd: make([]byte, 16)}
	nc.Write(wire.EndFrame(r.Append(wire.BeginFrame(nil)), 0))
	todo := make(chan wire.RequestHeader, 10_000)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for h := range todo {
			if f.before != nil && !f.before(h) {
				continue
			}
			f.count(-1)
			if _, err := nc.Write(replyTo(h)); err != nil {
				return
			}
		}
	}()
	for {
		frame, err := readFrame(in)
		if err != nil {
			break
		}
		d := wire.NewDecoder(frame)
		var h wire.RequestHeader
		h.Decode(&d)
		f.mu.Lock()
		f.requests[h.Op]++
		f.mu.Unlock()
		f.count(1)
		todo <- h
	}
	close(todo)
	<-ended
}

func (f *fakeServer) count(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inFlight += n
	f.most = max(f.most, f.inFlight)
}

// seen is how many requests of an operation have come.
func (f *fakeServer) seen(op wire.OpCode) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests[op]
}

func readFrame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	frame := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err := io.ReadFull(r, frame)
	return frame, err
}

// replyTo is the frame of a reply without a body.
func replyTo(h wire.RequestHeader) []byte {
	r := wire.ReplyHeader{Xid: h.Xid, Zxid: 1}
	return wire.EndFrame(r.Append(wire.BeginFrame(nil)), 0)
}

// event is the frame of a notification.
func event() []byte {
	h := wire.ReplyHeader{Xid: wire.XidNotification, Zxid: -1}
	e := wire.WatcherEvent{Type: wire.EventNodeDataChanged, State: wire.StateSyncConnected, Path: "/a"}
	return wire.EndFrame(e.Append(h.Append(wire.BeginFrame(nil))), 0)
}

// gets is a stream of reads.
func gets(int64) (wire.OpCode, wire.Appender) {
	return wire.OpGetData, &wire.WatchRequest{Path: "/a"}
}
