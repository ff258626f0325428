package rawclient

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"zooid/wire"
)

// FrameMax is the longest frame that a Conn takes from a server.
const FrameMax = 64 << 20

// Conn is a connection with a session.
type Conn struct {
	Session   wire.SessionID
	Passwd    []byte
	TimeoutMs int32 // as negotiated

	LastZxid wire.Zxid // the greatest that a reply's header has shown
	Events   []Event   // those that came while Call waited, oldest first
	Wait     time.Duration

	nc  net.Conn
	xid int32
}

// Options say how to connect; the zero value opens a session of 30 s.
type Options struct {
	TimeoutMs int32
	Session   wire.SessionID // with Passwd, to re-attach
	Passwd    []byte
	LastZxid  wire.Zxid
	NoROByte  bool // leave the readOnly byte out
	ReadOnly  bool
	Xid       int32         // the number of the last request, from which they count on
	Wait      time.Duration // for any one answer; 20 s if 0
}

// Event is a notification.
type Event struct {
	Type wire.EventType
	Path string
	Zxid wire.Zxid
}

// String shows e without its zxid.
func (e Event) String() string { return e.Type.String() + " " + e.Path }

// ErrNoSession says that the server answered the handshake with a zeroed
// response: no such session.
var ErrNoSession = errors.New("the server knows no such session")

// Open connects to a server and opens or re-attaches a session.
func Open(addr string, o Options) (*Conn, error) {
	nc, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	c, err := Handshake(nc, o)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return c, nil
}

// Handshake opens a session over a connection that the caller has made.
func Handshake(nc net.Conn, o Options) (*Conn, error) {
	c := &Conn{nc: nc, Wait: o.Wait, LastZxid: o.LastZxid, xid: o.Xid}
	if c.Wait == 0 {
		c.Wait = 20 * time.Second
	}
	req := wire.ConnectRequest{
		LastZxidSeen: o.LastZxid, TimeoutMs: o.TimeoutMs, SessionID: o.Session, Passwd: o.Passwd,
		HasReadOnly: !o.NoROByte, ReadOnly: o.ReadOnly,
	}
	if req.TimeoutMs == 0 {
		req.TimeoutMs = 30000
	}
	if req.Passwd == nil {
		req.Passwd = make([]byte, 16)
	}
	if err := c.SendFrame(req.Append(nil)); err != nil {
		return nil, err
	}
	body, err := c.ReadFrame()
	if err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	var resp wire.ConnectResponse
	if err := wire.Unmarshal(body, &resp); err != nil {
		return nil, err
	}
	if resp.HasReadOnly != req.HasReadOnly {
		return nil, fmt.Errorf("readOnly byte in the request %v, in the response %v", req.HasReadOnly, resp.HasReadOnly)
	}
	if resp.SessionID == 0 {
		return nil, ErrNoSession
	}
	c.Session, c.Passwd, c.TimeoutMs = resp.SessionID, resp.Passwd, resp.TimeoutMs
	return c, nil
}

// SendFrame sends a frame with the body.
func (c *Conn) SendFrame(body []byte) error {
	frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	return c.SendBytes(frame)
}

// SendBytes sends bytes as they are.
func (c *Conn) SendBytes(b []byte) error {
	if err := c.nc.SetWriteDeadline(time.Now().Add(c.Wait)); err != nil {
		return err
	}
	_, err := c.nc.Write(b)
	return err
}

// ReadFrame reads one frame and returns its body.
func (c *Conn) ReadFrame() ([]byte, error) {
	if err := c.nc.SetReadDeadline(time.Now().Add(c.Wait)); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(c.nc, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > FrameMax {
		return nil, fmt.Errorf("the server sends a frame of %d bytes", n)
	}
	body := make([]byte, n)
	_, err := io.ReadFull(c.nc, body)
	return body, err
}

// Frame is what a server sent: an event or a reply.
type Frame struct {
	Header wire.ReplyHeader
	Body   []byte // of a reply; aliases nothing
	Event  *Event // set for a notification
}

// Next reads the next frame.
func (c *Conn) Next() (Frame, error) {
	body, err := c.ReadFrame()
	if err != nil {
		return Frame{}, err
	}
	d := wire.NewDecoder(body)
	var f Frame
	f.Header.Decode(&d)
	if d.Err() != nil {
		return Frame{}, d.Err()
	}
	f.Body = body[d.Offset():]
	if f.Header.Xid == wire.XidNotification {
		var e wire.WatcherEvent
		e.Decode(&d)
		if d.Err() != nil || d.Remaining() != 0 || e.State != wire.StateSyncConnected {
			return Frame{}, fmt.Errorf("strange notification % x (%v)", body, d.Err())
		}
		f.Event = &Event{Type: e.Type, Path: e.Path, Zxid: f.Header.Zxid}
	}
	c.LastZxid = max(c.LastZxid, f.Header.Zxid)
	return f, nil
}

// AwaitEOF tells whether the server closes the connection without a further
// byte within the wait.
func (c *Conn) AwaitEOF() error {
	_, err := c.ReadFrame()
	switch {
	case err == nil:
		return errors.New("the server sent a frame where it should have closed")
	case errors.Is(err, io.EOF), isReset(err):
		return nil
	}
	return err
}

// Close closes the connection; the session stays.
func (c *Conn) Close() error { return c.nc.Close() }

// Reset closes the connection so that the other side sees a reset.
func (c *Conn) Reset() error {
	if t, ok := c.nc.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	return c.nc.Close()
}

// Wrap makes a Conn of a connection without a handshake: frames can be sent and
// read.
func Wrap(nc net.Conn) *Conn { return &Conn{nc: nc, Wait: 20 * time.Second} }
