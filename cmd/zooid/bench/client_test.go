package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"zooid/wire"
)

// scripted is a client whose server sends the bytes and hangs up.
func scripted(t *testing.T, in io.Reader) *client {
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close() })
	go func() {
		defer far.Close()
		_, _ = io.Copy(far, in)
	}()
	c := &client{conn: near}
	c.carryLoad()
	return c
}

func TestReplies(t *testing.T) {
	big := wire.ReplyHeader{Xid: 3}
	bigFrame := wire.EndFrame(append(big.Append(wire.BeginFrame(nil)), make([]byte, 3*readLarge)...), 0)
	var stream []byte
	stream = append(stream, replyTo(wire.RequestHeader{Xid: 1})...)
	stream = append(stream, event()...)
	stream = append(stream, replyTo(wire.RequestHeader{Xid: 2})...)
	stream = append(stream, bigFrame...)
	stream = append(stream, replyTo(wire.RequestHeader{Xid: 4})...)
	for name, in := range map[string]io.Reader{
		"as it comes":      strings.NewReader(string(stream)),
		"a byte at a time": iotest.OneByteReader(strings.NewReader(string(stream))),
	} {
		t.Run(name, func(t *testing.T) {
			c := scripted(t, in)
			events := 0
			c.event = func(e wire.WatcherEvent) {
				if e.Path != "/a" {
					t.Errorf("event of %q", e.Path)
				}
				events++
			}
			for xid := int32(1); xid <= 4; xid++ {
				h, body, err := c.reply()
				if err != nil || h.Xid != xid {
					t.Fatalf("reply %d, want %d: %v", h.Xid, xid, err)
				}
				if want := 3 * readLarge; xid == 3 && len(body) != want {
					t.Errorf("a body of %d bytes, want %d", len(body), want)
				}
			}
			if _, _, err := c.reply(); !errors.Is(err, ErrConnection) || !errors.Is(err, io.EOF) {
				t.Errorf("at the end: %v", err)
			}
			if events != 1 {
				t.Errorf("%d events, want 1", events)
			}
		})
	}
}

// buffered tells of whole frames only.
func TestBuffered(t *testing.T) {
	one := replyTo(wire.RequestHeader{Xid: 1})
	c := scripted(t, strings.NewReader(string(one)+string(one)+string(one[:len(one)-1])))
	for _, want := range []bool{true, false} {
		if _, _, err := c.reply(); err != nil {
			t.Fatal(err)
		}
		if got := c.buffered(); got != want {
			t.Errorf("a further frame: %v, want %v", got, want)
		}
	}
}

func TestFramesThatNobodySends(t *testing.T) {
	for name, size := range map[string]uint32{"negative": 1 << 31, "too long": frameMax + 1, "HTTP": binary.BigEndian.Uint32([]byte("HTTP"))} {
		t.Run(name, func(t *testing.T) {
			c := scripted(t, strings.NewReader(string(binary.BigEndian.AppendUint32(nil, size))))
			if _, _, err := c.reply(); !errors.Is(err, ErrConnection) || !strings.Contains(err.Error(), "bytes") {
				t.Errorf("%v", err)
			}
		})
	}
}

// Who waits long for an event keeps his session alive meanwhile.
func TestAwaitEventPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{timeout: 3 * time.Second}
		c := f.connect(t)
		near, far := net.Pipe()
		go func() {
			// The fake's replies to the pings go through, then comes the event.
			time.AfterFunc(time.Minute, func() { far.Write(event()) })
			_, _ = io.Copy(far, c.conn)
		}()
		go func() { _, _ = io.Copy(c.conn, far) }()
		waiting := &client{conn: near, timeout: f.timeout}
		waiting.carryLoad()
		if err := waiting.awaitEvent(); err != nil {
			t.Error(err)
		}
		if n := f.seen(wire.OpPing); n < 55 || n > 60 {
			t.Errorf("%d pings in a minute with a timeout of %v, want one a second", n, f.timeout)
		}
		near.Close()
		far.Close()
		c.conn.Close()
	})
}

// A server that is silent for a session timeout is not waited for any longer.
func TestAwaitEventOfAServerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{timeout: 3 * time.Second, before: func(wire.RequestHeader) bool { return false }}
		c := f.connect(t)
		began := time.Now()
		if err := c.awaitEvent(); !errors.Is(err, ErrConnection) {
			t.Errorf("%v, want a lost connection", err)
		}
		if waited := time.Since(began); waited < f.timeout || waited > 2*f.timeout {
			t.Errorf("waited %v with a timeout of %v", waited, f.timeout)
		}
	})
}

func TestAwaitEventWhereAReplyComes(t *testing.T) {
	c := scripted(t, strings.NewReader(string(replyTo(wire.RequestHeader{Xid: 5}))))
	c.timeout = time.Minute
	if err := c.awaitEvent(); err == nil || !strings.Contains(err.Error(), "request 5") {
		t.Errorf("%v", err)
	}
}

func TestPingInBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{timeout: 6 * time.Second}
		stop := pingInBackground(f.connect(t))
		time.Sleep(time.Minute + time.Second)
		stop()
		if n := f.seen(wire.OpPing); n != 30 {
			t.Errorf("%d pings in a minute with a timeout of %v, want 30", n, f.timeout)
		}
	})
}

// Outcomes come in the order of the requests, no more than so many of which are
// under way.
func TestPipeline(t *testing.T) {
	const n = 3*pipeDepth + 7
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{before: func(wire.RequestHeader) bool { time.Sleep(time.Millisecond); return true }}
		c := f.connect(t)
		c.carryLoad()
		next := 0
		err := pipeline(c, n, func(i int) { c.send(gets(int64(i))) }, func(i int, code wire.ErrCode) error {
			if i != next || code != wire.OK {
				return fmt.Errorf("outcome %d (%v), want %d", i, code, next)
			}
			next++
			return nil
		})
		if err != nil || next != n {
			t.Errorf("%d of %d: %v", next, n, err)
		}
		if f.most > pipeDepth {
			t.Errorf("%d requests in flight", f.most)
		}
		want := errors.New("enough")
		if err := pipeline(c, 10, func(i int) { c.send(gets(int64(i))) }, func(int, wire.ErrCode) error { return want }); err != want {
			t.Errorf("%v, want %v", err, want)
		}
	})
}

func TestNumbered(t *testing.T) {
	p := newNumbered("/a/n")
	for _, c := range []struct {
		n     int64
		width int
		want  string
	}{
		{0, 1, "/a/n0"}, {7, 1, "/a/n7"}, {12, 1, "/a/n12"}, {0, 3, "/a/n000"}, {42, 3, "/a/n042"},
		{999, 3, "/a/n999"}, {1000, 3, "/a/n1000"}, {5, 10, "/a/n0000000005"}, {1 << 31, 10, "/a/n2147483648"},
	} {
		if got := p.path(c.n, c.width); got != c.want || got != fmt.Sprintf("/a/n%0*d", c.width, c.n) {
			t.Errorf("%d in %d digits: %s, want %s", c.n, c.width, got, c.want)
		}
	}
}
