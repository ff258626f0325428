package bench

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"zooid/wire"
)

// frameMax bounds a reply; it is far above what any workload asks for.
const frameMax = 64 << 20

// client is one session on one connection. It is used by one goroutine.
type client struct {
	conn    net.Conn
	in      *bufio.Reader
	out     []byte // requests that are not written yet
	frame   []byte // the reply last read, reused
	xid     int32
	session wire.SessionID
	passwd  []byte
	event   func(wire.WatcherEvent) // called for notifications; may be nil
}

// dial opens a session. The timeout bounds the dial and the handshake.
func dial(addr string, sessionTimeout, timeout time.Duration) (*client, error) {
	conn, err := net.DialTimeout("tcp", addr, timeout)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	c := &client{conn: conn, in: bufio.NewReaderSize(conn, 16<<10)}
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := c.handshake(sessionTimeout); err != nil {
		return nil, errors.Join(fmt.Errorf("handshake with %s: %w", addr, err), conn.Close())
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
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
		return fmt.Errorf("the server refused a new session")
	}
	c.session, c.passwd = rep.SessionID, append([]byte(nil), rep.Passwd...)
	return nil
}

// send queues a request and returns its xid; flush writes what is queued.
func (c *client) send(op wire.OpCode, body wire.Appender) int32 {
	c.xid++
	start := len(c.out)
	h := wire.RequestHeader{Xid: c.xid, Op: op}
	c.out = h.Append(wire.BeginFrame(c.out))
	if body != nil {
		c.out = body.Append(c.out)
	}
	c.out = wire.EndFrame(c.out, start)
	return c.xid
}

func (c *client) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	return err
}

// readFrame gives the next frame, which is valid until the next call.
func (c *client) readFrame() ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(c.in, size[:]); err != nil {
		return nil, err
	}
	n := int(int32(binary.BigEndian.Uint32(size[:])))
	if n < 0 || n > frameMax {
		return nil, fmt.Errorf("frame of %d bytes", n)
	}
	if cap(c.frame) < n {
		c.frame = make([]byte, n)
	}
	c.frame = c.frame[:n]
	_, err := io.ReadFull(c.in, c.frame)
	return c.frame, err
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

// call sends one request and waits for its reply.
func (c *client) call(op wire.OpCode, body wire.Appender) ([]byte, error) {
	xid := c.send(op, body)
	if err := c.flush(); err != nil {
		return nil, err
	}
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

// create makes a znode with the open ACL.
func (c *client) create(path string, data []byte, flags int32) (string, error) {
	rep, err := c.call(wire.OpCreate, &wire.CreateRequest{Path: path, Data: data, ACL: wire.OpenACL, Flags: flags})
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	var r wire.PathResponse
	err = wire.Unmarshal(append([]byte(nil), rep...), &r)
	return r.Path, err
}

// ensure makes a persistent znode unless it is there.
func (c *client) ensure(path string, data []byte) error {
	_, err := c.create(path, data, wire.FlagPersistent)
	if errors.Is(err, wire.ErrNodeExists) {
		return nil
	}
	return err
}

// close ends the session and waits for the server to say so.
func (c *client) close() error {
	xid := c.send(wire.OpCloseSession, nil)
	err := c.flush()
	for err == nil {
		var h wire.ReplyHeader
		if h, _, err = c.reply(); err == nil && h.Xid == xid {
			break
		}
	}
	return errors.Join(err, c.conn.Close())
}
