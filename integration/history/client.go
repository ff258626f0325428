package history

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"zooid/integration/rawclient"
	"zooid/wire"
)

// Client is one session at a time, on one connection at a time, with one
// request at a time. It does what a client library does when its connection
// breaks: it goes to another member with its session and sets its watches again.
type Client struct {
	h *History
	n int
	r *rand.Rand

	ops     []Op
	conn    *rawclient.Conn // nil while disconnected
	conns   int             // connections so far
	server  int             // of conn
	session wire.SessionID
	passwd  []byte
	zxid    wire.Zxid // the newest that it was told
	xid     int32     // of the last request, for the next connection
	writes  int       // attempts, which make values unique

	versions map[string]int32     // of registers, as last seen
	armed    map[string]wire.Zxid // watches, and what they were set on
	own      bool                 // it has its ephemeral, as far as it knows
}

func newClient(h *History, n int) *Client {
	return &Client{
		h: h, n: n, r: rand.New(rand.NewPCG(h.opts.Seed, uint64(n))),
		versions: map[string]int32{}, armed: map[string]wire.Zxid{},
	}
}

// run connects and works until the history is stopped.
func (c *Client) run() {
	for !c.stopped() {
		if c.conn == nil && !c.connect() {
			c.pause(5 * time.Millisecond)
			continue
		}
		if c.conn != nil {
			c.step()
			c.pause(time.Duration(c.r.Int64N(int64(c.h.opts.Pace) + 1)))
		}
	}
	if c.conn != nil {
		c.close()
	}
}

func (c *Client) stopped() bool {
	select {
	case <-c.h.stop:
		return true
	default:
		return false
	}
}

// pause is the load's rhythm, not a wait for something.
func (c *Client) pause(d time.Duration) {
	if d > 0 {
		time.Sleep(d)
	}
}

// answerLimit is how long an answer is waited for before the client goes to
// another member, and dialLimit how long a connection.
const (
	answerLimit = 1500 * time.Millisecond
	dialLimit   = 500 * time.Millisecond
)

// connect tries one member, any. It tells whether the client is connected.
func (c *Client) connect() bool {
	server := c.h.opts.Servers[c.r.IntN(len(c.h.opts.Servers))]
	op := Op{Client: c.n, Server: server, Conn: c.conns + 1, Session: c.session, Call: c.h.now(), Kind: Connect, Outcome: Done}
	nc, err := c.h.opts.Dial(server, dialLimit)
	if err != nil {
		return false
	}
	conn, err := rawclient.Handshake(nc, rawclient.Options{
		TimeoutMs: int32(c.h.opts.Timeout.Milliseconds()), Session: c.session, Passwd: c.passwd,
		LastZxid: c.zxid, Xid: c.xid, Wait: answerLimit,
	})
	op.Return = c.h.now()
	if errors.Is(err, rawclient.ErrNoSession) {
		op.Kind = Expired
		c.ops = append(c.ops, op)
		c.session, c.passwd, c.own = 0, nil, false
	}
	if err != nil {
		nc.Close()
		return false
	}
	c.conn, c.server, c.session, c.passwd = conn, server, conn.Session, conn.Passwd
	c.conns++
	op.Session, op.TimeoutMs = conn.Session, conn.TimeoutMs
	c.ops = append(c.ops, op)
	return c.rewatch()
}

// rewatch sets the watches of the last connection on this one: what has
// changed meanwhile fires at once.
func (c *Client) rewatch() bool {
	if len(c.armed) == 0 {
		return true
	}
	req := wire.SetWatchesRequest{RelativeZxid: c.zxid, Exist: []string{}, Child: []string{}}
	req.Data = slices.Sorted(maps.Keys(c.armed))
	err := c.conn.SendBytes(rawclient.AppendRequest(nil, wire.XidSetWatches, wire.OpSetWatches, &req))
	if err == nil {
		_, err = c.conn.Await(wire.XidSetWatches)
	}
	c.takeEvents()
	if err != nil {
		c.drop()
		return false
	}
	return true
}

// drop gives the connection up; the session stays.
func (c *Client) drop() {
	if !c.h.opts.CountAnew || c.n%2 == 0 {
		c.xid = c.conn.Xid()
	}
	c.conn.Close()
	c.conn = nil
}

// ask sends a request and records it; answer puts what came into the op. A
// connection that fails, or a session that does, leaves the outcome unknown.
func (c *Client) ask(op Op, request wire.OpCode, body wire.Appender, reply wire.Record, answer func(*Op)) {
	op.Call = c.h.now()
	c.askSince(op, request, body, reply, answer)
}

func (c *Client) askSince(op Op, request wire.OpCode, body wire.Appender, reply wire.Record, answer func(*Op)) {
	op.Client, op.Server, op.Conn, op.Session = c.n, c.server, c.conns, c.session
	header, err := c.conn.Call(request, body, reply)
	op.Return = c.h.now()
	c.takeEvents()
	switch {
	case err == nil:
		op.Outcome = Done
	case header.Err != wire.OK && !lost(header.Err):
		op.Outcome, op.Code = Refused, header.Err
	default:
		op.Outcome, op.Code, op.Return = Unknown, header.Err, Never
		c.ops = append(c.ops, op)
		c.drop()
		return
	}
	op.Zxid = header.Zxid
	c.zxid = max(c.zxid, header.Zxid)
	if op.Outcome == Done && answer != nil {
		answer(&op)
	}
	if op.Outcome == Done && op.changes() {
		c.h.acked.Add(1)
	}
	c.ops = append(c.ops, op)
}

// lost tells whether a code says nothing about what became of the request, or
// that the session is not this connection's any more.
func lost(code wire.ErrCode) bool {
	switch code {
	case wire.ErrConnectionLoss, wire.ErrSessionExpired, wire.ErrSessionMoved, wire.ErrRequestTimeout, wire.ErrOperationTimeout:
		return true
	}
	return false
}

// takeEvents records what came before the last reply.
func (c *Client) takeEvents() {
	for _, e := range c.conn.TakeEvents() {
		now := c.h.now()
		c.ops = append(c.ops, Op{Client: c.n, Server: c.server, Conn: c.conns, Session: c.session, Kind: Event,
			Path: e.Path, Value: e.Type.String(), Call: now, Return: now, Outcome: Done})
		delete(c.armed, e.Path)
	}
}

// close ends the session.
func (c *Client) close() {
	c.ask(Op{Kind: Close}, wire.OpCloseSession, nil, nil, nil)
	if c.conn != nil {
		c.drop()
	}
}

// value is one that no other write has.
func (c *Client) value() string {
	c.writes++
	return fmt.Sprintf("c%d-%d", c.n, c.writes)
}
