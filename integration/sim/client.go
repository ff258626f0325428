package main

import (
	"fmt"

	"zooid/wire"
	"zooid/znode"
)

// client is one user of the member: at most one connection, one session.
type client struct {
	n        int
	conn     znode.ConnID // 0: not connected
	session  wire.SessionID
	passwd   [16]byte
	ready    bool  // the handshake is over
	stamp    int64 // session clock at which it was last heard
	xid      int32
	lastZxid wire.Zxid
	waiting  []request
}

// request is one that has no outcome yet.
type request struct {
	cxid int32
	op   wire.OpCode
}

// drop ends the connection from this side; the session lives on.
func (c *client) drop() { c.conn, c.ready, c.waiting = 0, false, nil }

// depart loses the connection while the member runs on. What was heard on it
// counts for the session all the same.
func (c *client) depart(w *world) {
	if c.ready {
		w.peer.Touch(c.session, c.stamp)
	}
	delete(w.conns, c.conn)
	w.tree.DropWatcher(c.conn)
	delete(w.watches, c.conn)
	c.drop()
}

// hear says that the member has read something from this client.
func (c *client) hear(w *world) {
	c.stamp = w.peer.SessionNow() + loopMs
	if l := w.sessions[c.session]; l != nil {
		l.heard = w.heard
	}
}

// act does one random thing that a client does.
func (c *client) act(w *world) {
	if c.conn == 0 {
		if w.rng.IntN(4) == 0 {
			c.connect(w)
		}
		return
	}
	if !c.ready {
		return
	}
	if w.rng.IntN(60) == 0 {
		c.depart(w)
		w.note("connection lost")
		return
	}
	c.hear(w)
	if l := w.sessions[c.session]; l == nil || l.asked {
		return
	}
	if len(c.waiting) == 0 && w.rng.IntN(3) == 0 {
		c.read(w)
		return
	}
	c.write(w)
}

func (c *client) connect(w *world) {
	w.lastConn++
	c.conn, c.xid = w.lastConn, 0
	w.conns[c.conn] = c
	passwd := c.passwd
	if c.session != 0 && w.rng.IntN(20) == 0 {
		passwd[0] ^= 1
		w.note("wrong password")
		w.peer.Attach(0, c.session, passwd[:], 4000, wallStartMs+w.now)
	}
	timeout := int32(4000 + w.rng.IntN(4)*4000)
	w.peer.Attach(c.conn, c.session, c.passwd[:], timeout, wallStartMs+w.now)
}

// read arms a watch on a random node, if it exists.
func (c *client) read(w *world) {
	r := znode.Reader{Conn: c.conn, Session: c.session, IDs: openIDs}
	req := wire.WatchRequest{Path: w.somePath(), Watch: w.rng.IntN(2) == 0}
	w.tree.RLock()
	defer w.tree.RUnlock()
	reply, err := w.tree.Read(wire.OpGetData, &r, req.Append(nil), nil)
	w.observe("read %d %s %x %v", c.n, req.Path, reply, wire.CodeOf(err))
	if err == nil && req.Watch {
		if w.watches[c.conn] == nil {
			w.watches[c.conn] = map[string]bool{}
		}
		w.watches[c.conn][req.Path] = true
	}
}

var openIDs = []wire.ID{{Scheme: "ip", ID: "127.0.0.1"}}

// paths is how many names a directory has: few, so that requests collide.
const paths = 6

func (w *world) somePath() string {
	p := fmt.Sprintf("/n%d", w.rng.IntN(paths))
	if w.rng.IntN(2) == 0 {
		p += fmt.Sprintf("/m%d", w.rng.IntN(paths))
	}
	return p
}

// write submits a random change.
func (c *client) write(w *world) {
	c.xid++
	r := &znode.Request{Conn: c.conn, Session: c.session, Cxid: c.xid, IDs: openIDs}
	version := int32(-1)
	if w.rng.IntN(3) == 0 {
		version = int32(w.rng.IntN(4))
	}
	switch w.rng.IntN(20) {
	case 0:
		r.Op = wire.OpCloseSession
		if l := w.sessions[c.session]; l != nil {
			l.asked = true
		}
	case 1, 2:
		r.Op, r.Body = wire.OpSync, &wire.PathRequest{Path: w.somePath()}
	case 3, 4, 5:
		r.Op, r.Body = wire.OpDelete, &wire.DeleteRequest{Path: w.somePath(), Version: version}
	case 6, 7, 8, 9:
		r.Op, r.Body = wire.OpSetData, &wire.SetDataRequest{Path: w.somePath(), Data: w.someData(), Version: version}
	case 10:
		r.Op, r.Body = wire.OpSetACL, &wire.SetACLRequest{Path: w.somePath(), ACL: wire.OpenACL, Version: version}
	case 11, 12:
		m := new(wire.MultiRequest)
		for range 1 + w.rng.IntN(4) {
			m.Ops = append(m.Ops, w.someOp())
		}
		r.Op, r.Body = wire.OpMulti, m
	case 13:
		r.Op = wire.OpCreateTTL
		r.Body = &wire.CreateTTLRequest{CreateRequest: *w.someCreate(wire.FlagPersistentTTL), TTLMs: int64(1 + w.rng.IntN(20_000))}
	case 14:
		r.Op, r.Body = wire.OpCreateContainer, w.someCreate(wire.FlagContainer)
	default:
		r.Op, r.Body = wire.OpCreate, w.someCreate(int32(w.rng.IntN(4)))
	}
	c.waiting = append(c.waiting, request{c.xid, r.Op})
	w.peer.Submit(r, wallStartMs+w.now)
}

func (w *world) someData() []byte {
	if w.rng.IntN(10) == 0 {
		return nil
	}
	b := make([]byte, w.rng.IntN(40))
	for i := range b {
		b[i] = byte(w.rng.Uint32())
	}
	return b
}

func (w *world) someCreate(flags int32) *wire.CreateRequest {
	return &wire.CreateRequest{Path: w.somePath(), Data: w.someData(), ACL: wire.OpenACL, Flags: flags}
}

func (w *world) someOp() wire.MultiOp {
	switch w.rng.IntN(4) {
	case 0:
		return wire.MultiOp{Op: wire.OpDelete, Body: &wire.DeleteRequest{Path: w.somePath(), Version: -1}}
	case 1:
		return wire.MultiOp{Op: wire.OpSetData, Body: &wire.SetDataRequest{Path: w.somePath(), Data: w.someData(), Version: -1}}
	case 2:
		return wire.MultiOp{Op: wire.OpCheck, Body: &wire.CheckVersionRequest{Path: w.somePath(), Version: int32(w.rng.IntN(3))}}
	}
	return wire.MultiOp{Op: wire.OpCreate, Body: w.someCreate(int32(w.rng.IntN(4)))}
}
