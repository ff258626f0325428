package hostile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"zooid/integration/rawclient"
	"zooid/wire"
)

// shape is one way of doing harm.
type shape struct {
	name string
	// prepare makes what the shape needs, on a connection of its own that stays
	// open; nil if it needs nothing.
	prepare func(c *rawclient.Conn) error
	// conns is how many connections do it at once; same says that it is only the
	// one that made the preparations.
	conns int
	same  bool
	// attack does it once on a connection; it is called again until the time is
	// over, with the number of the call. An error ends the connection, and a new
	// one goes on.
	attack func(c *rawclient.Conn, n int) error
	// members says that it aims at what members of an ensemble do for each other.
	members bool
}

// ensemble tells whether the shape is worth an ensemble in every run.
func (s *shape) ensemble() bool { return s.members }

var shapes = []shape{
	{name: "reads of a long ACL by many identities", prepare: longACL, conns: 2, attack: func(c *rawclient.Conn, n int) error {
		if n == 0 {
			if err := proveAsMany(c); err != nil {
				return err
			}
		}
		return flood(c, 200, wire.OpGetData, &wire.WatchRequest{Path: "/long"})
	}},
	{name: "reads of a long ACL behind writes", prepare: longACL, conns: 2, attack: func(c *rawclient.Conn, n int) error {
		if n == 0 {
			if err := proveAsMany(c); err != nil {
				return err
			}
		}
		if _, err := c.Send(wire.OpSync, &wire.PathRequest{Path: "/"}); err != nil {
			return err
		}
		return flood(c, 200, wire.OpGetData, &wire.WatchRequest{Path: "/long"})
	}},
	{name: "one multiRead of a long ACL", prepare: longACL, conns: 2, attack: func(c *rawclient.Conn, n int) error {
		if n == 0 {
			if err := proveAsMany(c); err != nil {
				return err
			}
		}
		return flood(c, 1, wire.OpMultiRead, reads("/long", 36<<10))
	}},
	{name: "one multiRead of much data", prepare: func(c *rawclient.Conn) error {
		_, _, err := c.Create("/much", make([]byte, 1_000_000), 0)
		return err
	}, conns: 2, attack: func(c *rawclient.Conn, _ int) error {
		return flood(c, 1, wire.OpMultiRead, reads("/much", 64<<10))
	}},
	{name: "ephemerals that do not begin so", prepare: ephemerals, same: true, attack: func(c *rawclient.Conn, n int) error {
		return flood(c, 128, wire.OpGetEphemerals, &wire.PathRequest{Path: deep + "/nothing begins so"})
	}},
	{name: "ephemerals behind writes", prepare: ephemerals, same: true, attack: func(c *rawclient.Conn, n int) error {
		if _, err := c.Send(wire.OpSync, &wire.PathRequest{Path: "/"}); err != nil {
			return err
		}
		return flood(c, 128, wire.OpGetEphemerals, &wire.PathRequest{Path: deep + "/nothing begins so"})
	}},
	{name: "an ACL of 40,000 entries", conns: 2, attack: func(c *rawclient.Conn, n int) error {
		acl := make([]wire.ACL, 40_000)
		for i := range acl {
			acl[i] = wire.ACL{Perms: wire.PermAll, ID: wire.ID{Scheme: "ip", ID: fmt.Sprintf("1.%d.%d.1", i>>8, i&255)}}
		}
		return flood(c, 1, wire.OpCreate, &wire.CreateRequest{Path: fmt.Sprintf("/many%x-%d", uint64(c.Session), n), ACL: acl})
	}},
	{name: "auth entries times identities", conns: 1, attack: func(c *rawclient.Conn, n int) error {
		if n == 0 {
			if err := proveAsMany(c); err != nil {
				return err
			}
		}
		acl := make([]wire.ACL, 3000)
		for i := range acl {
			acl[i] = wire.ACL{Perms: int32(1 + i%31), ID: wire.ID{Scheme: "auth"}}
		}
		return flood(c, 1, wire.OpCreate, &wire.CreateRequest{Path: fmt.Sprintf("/auth%x-%d", uint64(c.Session), n), ACL: acl})
	}},
	{name: "1,030 identities and a write", members: true, conns: 2, attack: func(c *rawclient.Conn, n int) error {
		var frames []byte
		for i := range 1030 {
			frames = rawclient.AppendRequest(frames, wire.XidAuth, wire.OpAuth, &wire.AuthPacket{Scheme: "digest", Auth: fmt.Appendf(nil, "somebody%d-%d:secret", n, i)})
		}
		if err := c.SendBytes(frames); err != nil {
			return err
		}
		return flood(c, 1, wire.OpSetData, &wire.SetDataRequest{Path: "/probe", Version: -1})
	}},
	{name: "deaf watchers", prepare: func(c *rawclient.Conn) error {
		_, _, err := c.Create(deafPath, nil, 0)
		return err
	}, conns: 200, attack: func(c *rawclient.Conn, n int) error {
		if n == 0 {
			// Its events are never read.
			return c.SendBytes(rawclient.AppendRequest(nil, 1, wire.OpAddWatch, &wire.AddWatchRequest{Path: deafPath, Mode: wire.AddWatchPersistent}))
		}
		time.Sleep(20 * time.Millisecond)
		// Some of them make the events as well.
		return c.SendBytes(rawclient.AppendRequest(nil, int32(n), wire.OpSetData, &wire.SetDataRequest{Path: deafPath, Version: -1}))
	}},
	{name: "unfinished frames", conns: 300, attack: func(c *rawclient.Conn, n int) error {
		if n > 0 {
			_, err := c.ReadFrame() // until somebody closes it
			return err
		}
		return c.SendBytes(append(binary.BigEndian.AppendUint32(nil, 1_000_000), make([]byte, 999_000)...))
	}},
}

// deafPath is long, for events are as long as their paths.
var deafPath = "/deaf" + strings.Repeat("-", 4000)

// longACL makes a znode whose ACL has as many entries as the server takes.
func longACL(c *rawclient.Conn) error {
	for n := 9000; ; n /= 2 {
		acl := make([]wire.ACL, n)
		for i := range acl {
			acl[i] = wire.ACL{Perms: wire.PermRead, ID: wire.ID{Scheme: "digest", ID: fmt.Sprintf("user%d:%027d=", i, i)}}
		}
		acl = append(acl, wire.OpenACL...)
		_, err := c.Call(wire.OpCreate, &wire.CreateRequest{Path: "/long", Data: []byte("x"), ACL: acl}, nil)
		if !errors.Is(err, wire.ErrInvalidACL) || n < 10 {
			return err
		}
	}
}

// proveMany proves n identities, and tells how many the server has taken.
func proveMany(c *rawclient.Conn, n int) (int, error) {
	for i := range n {
		if err := c.Auth("digest", fmt.Sprintf("somebody%d:secret", i)); err != nil {
			return i, err
		}
	}
	return n, nil
}

// provable is how many identities proveAsMany tries.
var provable atomic.Int64

// proveAsMany proves as many identities as the server takes, which the first
// connection that tries finds out.
func proveAsMany(c *rawclient.Conn) error {
	taken, err := proveMany(c, int(provable.Load()))
	if err != nil {
		provable.Store(int64(taken))
	}
	return err
}

// deep is a path that takes a while to put together.
var deep = strings.Repeat("/d", 40)

// ephemerals makes many ephemerals of the connection's session.
func ephemerals(c *rawclient.Conn) error {
	for end := 2; end <= len(deep); end += 2 {
		if _, _, err := c.Create(deep[:end], nil, 0); err != nil {
			return err
		}
	}
	const all, each = 100_000, 1000
	for start := 0; start < all; start += each {
		var m wire.MultiRequest
		for i := range each {
			m.Ops = append(m.Ops, wire.MultiOp{Op: wire.OpCreate, Body: &wire.CreateRequest{
				Path: fmt.Sprintf("%s/%d", deep, start+i), ACL: wire.OpenACL, Flags: wire.FlagEphemeral}})
		}
		if _, err := c.Call(wire.OpMulti, &m, nil); err != nil {
			return err
		}
	}
	return nil
}

// reads is a multiRead of one path as often as fits in so many bytes.
func reads(path string, bytes int) wire.Appender {
	m := &wire.MultiRequest{Reads: true}
	for range bytes / (9 + 4 + len(path) + 1) {
		m.Ops = append(m.Ops, wire.MultiOp{Op: wire.OpGetData, Body: &wire.WatchRequest{Path: path}})
	}
	return m
}

// flood sends a request n times at once and reads as many answers, one more if
// a request was sent before. Refusals are answers.
func flood(c *rawclient.Conn, n int, op wire.OpCode, body wire.Appender) error {
	first := c.Xid()
	var frames []byte
	for range n {
		frames = rawclient.AppendRequest(frames, c.NextXid(), op, body)
	}
	if err := c.SendBytes(frames); err != nil {
		return err
	}
	for {
		f, err := c.Next()
		if err != nil {
			return err
		}
		if f.Event == nil && f.Header.Xid == first+int32(n) {
			return nil
		}
	}
}

// dial opens a connection with little memory in the system for what comes.
func dial(addr string) (*rawclient.Conn, error) {
	nc, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	if err := nc.(*net.TCPConn).SetReadBuffer(16 << 10); err != nil {
		return nil, err
	}
	c, err := rawclient.Handshake(nc, rawclient.Options{Wait: 30 * time.Second})
	if err != nil {
		nc.Close()
	}
	return c, err
}
