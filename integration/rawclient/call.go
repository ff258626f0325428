package rawclient

import (
	"errors"
	"fmt"
	"syscall"

	"zooid/wire"
)

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// AppendRequest appends a request's frame; body may be nil.
func AppendRequest(b []byte, xid int32, op wire.OpCode, body wire.Appender) []byte {
	start := len(b)
	b = wire.BeginFrame(b)
	h := wire.RequestHeader{Xid: xid, Op: op}
	b = h.Append(b)
	if body != nil {
		b = body.Append(b)
	}
	return wire.EndFrame(b, start)
}

// NextXid gives the next number for a request.
func (c *Conn) NextXid() int32 {
	c.xid++
	return c.xid
}

// Xid is the number of the last request.
func (c *Conn) Xid() int32 { return c.xid }

// Send sends a request and returns its xid.
func (c *Conn) Send(op wire.OpCode, body wire.Appender) (int32, error) {
	xid := c.NextXid()
	if op == wire.OpPing {
		xid = wire.XidPing
	}
	return xid, c.SendBytes(AppendRequest(nil, xid, op, body))
}

// Call sends a request and waits for its reply; events that come before it go
// to Events. The error is the reply's code, or that of the connection.
func (c *Conn) Call(op wire.OpCode, body wire.Appender, reply wire.Record) (wire.ReplyHeader, error) {
	xid, err := c.Send(op, body)
	if err != nil {
		return wire.ReplyHeader{}, err
	}
	f, err := c.Await(xid)
	switch {
	case err != nil:
		return wire.ReplyHeader{}, fmt.Errorf("%v: %w", op, err)
	case f.Header.Err != wire.OK:
		return f.Header, fmt.Errorf("%v: %w", op, f.Header.Err)
	case reply == nil:
		return f.Header, nil
	}
	return f.Header, wire.Unmarshal(f.Body, reply)
}

// Await reads until the reply with the xid, which must be the next reply.
func (c *Conn) Await(xid int32) (Frame, error) {
	for {
		f, err := c.Next()
		if err != nil {
			return Frame{}, err
		}
		if f.Event != nil {
			c.Events = append(c.Events, *f.Event)
			continue
		}
		if f.Header.Xid != xid {
			return f, fmt.Errorf("a reply to xid %d where %d was due", f.Header.Xid, xid)
		}
		return f, nil
	}
}

// TakeEvents returns the events so far and forgets them.
func (c *Conn) TakeEvents() []Event {
	e := c.Events
	c.Events = nil
	return e
}

// Create makes a node by create2 with the open ACL, and returns its path.
func (c *Conn) Create(path string, data []byte, flags int32) (string, wire.Stat, error) {
	var r wire.Create2Response
	_, err := c.Call(wire.OpCreate2, &wire.CreateRequest{Path: path, Data: data, ACL: wire.OpenACL, Flags: flags}, &r)
	return r.Path, r.Stat, err
}

// Delete deletes a node whatever its version.
func (c *Conn) Delete(path string) error {
	_, err := c.Call(wire.OpDelete, &wire.DeleteRequest{Path: path, Version: -1}, nil)
	return err
}

// SetData sets a node's data; version -1 matches any.
func (c *Conn) SetData(path string, data []byte, version int32) (wire.Stat, error) {
	var s wire.Stat
	_, err := c.Call(wire.OpSetData, &wire.SetDataRequest{Path: path, Data: data, Version: version}, &s)
	return s, err
}

// GetData reads a node.
func (c *Conn) GetData(path string, watch bool) ([]byte, wire.Stat, error) {
	var r wire.GetDataResponse
	_, err := c.Call(wire.OpGetData, &wire.WatchRequest{Path: path, Watch: watch}, &r)
	return r.Data, r.Stat, err
}

// Exists reads a node's Stat.
func (c *Conn) Exists(path string, watch bool) (wire.Stat, error) {
	var s wire.Stat
	_, err := c.Call(wire.OpExists, &wire.WatchRequest{Path: path, Watch: watch}, &s)
	return s, err
}

// Children lists a node's children.
func (c *Conn) Children(path string, watch bool) ([]string, error) {
	var r wire.GetChildren2Response
	_, err := c.Call(wire.OpGetChildren2, &wire.WatchRequest{Path: path, Watch: watch}, &r)
	return r.Names, err
}

// ACL reads a node's ACL.
func (c *Conn) ACL(path string) ([]wire.ACL, error) {
	var r wire.GetACLResponse
	_, err := c.Call(wire.OpGetACL, &wire.PathRequest{Path: path}, &r)
	return r.ACL, err
}

// Ping goes there and back; every event that the server had for this connection
// before is in Events afterwards.
func (c *Conn) Ping() error {
	_, err := c.Call(wire.OpPing, nil, nil)
	return err
}

// Auth adds an identity to the connection.
func (c *Conn) Auth(scheme, auth string) error {
	_, err := c.Call(wire.OpAuth, &wire.AuthPacket{Scheme: scheme, Auth: []byte(auth)}, nil)
	return err
}

// CloseSession ends the session, and waits for the server to close.
func (c *Conn) CloseSession() error {
	_, err := c.Call(wire.OpCloseSession, nil, nil)
	if err == nil {
		err = c.AwaitEOF()
	}
	c.Close()
	return err
}
