package bench

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"zooid/wire"
)

// ErrConnection is wrapped by errors about a connection that broke or was
// never a session. An address that nobody listens on is a *net.OpError.
var ErrConnection = errors.New("connection lost")

const (
	// frameMax bounds a reply; it is far above what any workload asks for.
	frameMax = 64 << 20
	// readSmall and readLarge are the read buffers in bytes of a session that
	// mostly waits, and of one that carries a load.
	readSmall, readLarge = 1 << 10, 32 << 10
	// dialTimeout bounds a dial with its handshake.
	dialTimeout = 30 * time.Second
	// dialsAtOnce is how many handshakes are under way when many sessions are
	// opened; one after the other would cost a sync of the server's log each.
	dialsAtOnce = 64
)

// client is one session on one connection. It is used by one goroutine at a
// time, but for a lane with a rate: there one sends and one receives.
type client struct {
	conn    net.Conn
	in      *bufio.Reader
	last    int    // bytes of in that the reply last read takes
	big     []byte // the reply last read, if in could not hold it
	out     []byte // requests that are not written yet
	xid     int32
	timeout time.Duration           // of the session, as negotiated
	event   func(wire.WatcherEvent) // called for notifications; may be nil
}

// dial opens a session. The timeout bounds the dial and the handshake.
func dial(addr string, sessionTimeout, timeout time.Duration) (*client, error) {
	d := net.Dialer{Timeout: timeout, KeepAlive: -1}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c, err := newClient(conn, sessionTimeout, timeout)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("handshake with %s: %w", addr, err), conn.Close())
	}
	return c, nil
}

// newClient opens a session on conn.
func newClient(conn net.Conn, sessionTimeout, timeout time.Duration) (*client, error) {
	c := &client{conn: conn, in: bufio.NewReaderSize(conn, readSmall)}
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	if err := c.handshake(sessionTimeout); err != nil {
		return nil, err
	}
	return c, conn.SetDeadline(time.Time{})
}

func (c *client) handshake(sessionTimeout time.Duration) error {
	req := wire.ConnectRequest{TimeoutMs: int32(sessionTimeout.Milliseconds()), Passwd: make([]byte, 16), HasReadOnly: true}
	c.out = wire.EndFrame(req.Append(wire.BeginFrame(c.out)), 0)
	if err := c.flush(); err != nil {
		return err
	}
	body, err := c.readFrame()
	if err != nil {
		return err
	}
	var rep wire.ConnectResponse
	if err := wire.Unmarshal(body, &rep); err != nil {
		return err
	}
	if rep.SessionID == 0 {
		return fmt.Errorf("%w: the server refused a new session", ErrConnection)
	}
	c.timeout = time.Duration(rep.TimeoutMs) * time.Millisecond
	return nil
}

// carryLoad gives the client the buffer of one with many replies in flight.
// None may be in flight yet.
func (c *client) carryLoad() { c.in, c.last = bufio.NewReaderSize(c.conn, readLarge), 0 }

// send queues a request and returns its xid; flush writes what is queued.
func (c *client) send(op wire.OpCode, body wire.Appender) int32 {
	c.xid++
	c.queue(c.xid, op, body)
	return c.xid
}

func (c *client) queue(xid int32, op wire.OpCode, body wire.Appender) {
	start := len(c.out)
	h := wire.RequestHeader{Xid: xid, Op: op}
	c.out = h.Append(wire.BeginFrame(c.out))
	if body != nil {
		c.out = body.Append(c.out)
	}
	c.out = wire.EndFrame(c.out, start)
}

func (c *client) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConnection, err)
	}
	return nil
}

// skipLast gives up the frame that was read last.
func (c *client) skipLast() {
	// What was peeked at can be discarded.
	_, _ = c.in.Discard(c.last)
	c.last = 0
}

// buffered reports whether the next frame is here, so that reading it does not
// wait.
func (c *client) buffered() bool {
	n := c.in.Buffered() - c.last
	if n < 4 {
		return false
	}
	head, _ := c.in.Peek(c.last + 4)
	return n >= 4+int(binary.BigEndian.Uint32(head[c.last:]))
}

// readFrame gives the next frame, which is valid until the next call.
func (c *client) readFrame() ([]byte, error) {
	c.skipLast()
	head, err := c.in.Peek(4)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConnection, err)
	}
	n := int(int32(binary.BigEndian.Uint32(head)))
	if n < 0 || n > frameMax {
		return nil, fmt.Errorf("%w: a frame of %d bytes, which no ZooKeeper server sends here", ErrConnection, n)
	}
	if 4+n > c.in.Size() {
		return c.readBig(n)
	}
	frame, err := c.in.Peek(4 + n)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConnection, err)
	}
	c.last = 4 + n
	return frame[4:], nil
}

// readBig reads a frame that the buffer cannot hold.
func (c *client) readBig(n int) ([]byte, error) {
	if cap(c.big) < 4+n {
		c.big = make([]byte, 4+n)
	}
	c.big = c.big[:4+n]
	if _, err := io.ReadFull(c.in, c.big); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConnection, err)
	}
	return c.big[4:], nil
}

// reply gives the next reply, its body valid until the next call. Events on
// the way go to c.event.
func (c *client) reply() (wire.ReplyHeader, []byte, error) {
	for {
		frame, err := c.readFrame()
		if err != nil {
			return wire.ReplyHeader{}, nil, err
		}
		d := wire.NewDecoder(frame)
		var h wire.ReplyHeader
		h.Decode(&d)
		if d.Err() != nil {
			return h, nil, d.Err()
		}
		if h.Xid != wire.XidNotification {
			return h, frame[d.Offset():], nil
		}
		var e wire.WatcherEvent
		if e.Decode(&d); d.Err() != nil {
			return h, nil, d.Err()
		}
		if c.event != nil {
			c.event(e)
		}
	}
}

// call sends one request and waits for its reply. The reply's body is valid
// until the next one is read.
func (c *client) call(op wire.OpCode, body wire.Appender) ([]byte, error) {
	xid := c.send(op, body)
	if err := c.flush(); err != nil {
		return nil, err
	}
	return c.answer(op, xid)
}

// answer waits for the reply to a request that has been sent.
func (c *client) answer(op wire.OpCode, xid int32) ([]byte, error) {
	h, rep, err := c.reply()
	switch {
	case err != nil:
		return nil, fmt.Errorf("%v: %w", op, err)
	case h.Xid != xid:
		return nil, fmt.Errorf("%v: reply to request %d, expected %d", op, h.Xid, xid)
	case h.Err != wire.OK:
		return nil, fmt.Errorf("%v: %w", op, h.Err)
	}
	return rep, nil
}

// ping sends a ping and waits for its reply.
func (c *client) ping() error {
	c.queue(wire.XidPing, wire.OpPing, nil)
	if err := c.flush(); err != nil {
		return err
	}
	_, _, err := c.reply()
	return err
}

// awaitEvent blocks until a notification arrives on a connection that awaits no
// reply, and keeps the session alive meanwhile. A server that does not answer
// its pings for a session timeout is given up.
func (c *client) awaitEvent() error {
	for silent := 0; ; {
		c.skipLast()
		if err := c.conn.SetReadDeadline(time.Now().Add(c.timeout / 3)); err != nil {
			return err
		}
		_, err := c.in.Peek(4)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if silent++; silent > 3 {
				return fmt.Errorf("%w: nothing was heard for %v", ErrConnection, c.timeout)
			}
			if c.queue(wire.XidPing, wire.OpPing, nil); c.flush() == nil {
				continue
			}
		}
		silent = 0
		frame, err := c.readFrame()
		if err != nil {
			return err
		}
		var h wire.ReplyHeader
		if err := wire.Unmarshal(frame, &h); err != nil {
			return err
		}
		switch h.Xid {
		case wire.XidNotification:
			return c.conn.SetReadDeadline(time.Time{})
		case wire.XidPing:
		default:
			return fmt.Errorf("a reply to request %d where an event was expected", h.Xid)
		}
	}
}

// create makes a znode with the open ACL and gives its path.
func (c *client) create(path string, data []byte, flags int32) (string, error) {
	rep, err := c.call(wire.OpCreate, &wire.CreateRequest{Path: path, Data: data, ACL: wire.OpenACL, Flags: flags})
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	var r wire.PathResponse
	err = wire.Unmarshal(append([]byte(nil), rep...), &r)
	return r.Path, err
}

// remove deletes a znode. One that is not there is fine.
func (c *client) remove(path string) error {
	_, err := c.call(wire.OpDelete, &wire.DeleteRequest{Path: path, Version: -1})
	if err != nil && !errors.Is(err, wire.ErrNoNode) {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// close ends the session and waits for the server to say so.
func (c *client) close() error {
	xid := c.send(wire.OpCloseSession, nil)
	return errors.Join(c.flush(), c.awaitClose(xid))
}

func (c *client) awaitClose(xid int32) error {
	var err error
	for err == nil {
		var h wire.ReplyHeader
		if h, _, err = c.reply(); err == nil && h.Xid == xid {
			break
		}
	}
	return errors.Join(err, c.conn.Close())
}

// connect opens n sessions, spread over the servers.
func (o *Options) connect(n int) ([]*client, error) {
	clients, errs := make([]*client, n), make([]error, n)
	slots := make(chan struct{}, dialsAtOnce)
	var wg sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			clients[i], errs[i] = dial(o.Servers[i%len(o.Servers)], o.Timeout, dialTimeout)
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			closeAll(clients)
			return nil, fmt.Errorf("connection %d of %d: %w", i+1, n, err)
		}
	}
	return clients, nil
}

// closeLimit bounds the wait for servers to say that sessions have ended.
const closeLimit = 10 * time.Second

// closeAll ends sessions whose end is of no interest any more, all at once. A
// nil among them is passed over.
func closeAll(clients []*client) {
	deadline := time.Now().Add(closeLimit)
	xids := make([]int32, len(clients))
	for i, c := range clients {
		if c != nil {
			_ = c.conn.SetDeadline(deadline)
			xids[i] = c.send(wire.OpCloseSession, nil)
			_ = c.flush()
		}
	}
	for i, c := range clients {
		if c != nil {
			_ = c.awaitClose(xids[i])
		}
	}
}
