package main

import (
	"fmt"
	"math/rand/v2"

	"zooid/wire"
)

// client is a user of the ensemble: one connection at most, one session, and
// several workloads that it works at in turns.
type client struct {
	w    *world
	i    int
	plan clientPlan
	rng  *rand.Rand

	conn      *conn
	ready     bool // the handshake is over
	lied      bool // with a wrong password
	lives     bool // its session was in the table when it asked for it
	home      int
	dials     uint32
	dialledAt int64
	heardAt   int64
	saidAt    int64
	wakeNo    uint32

	session   wire.SessionID
	passwd    [16]byte
	timeoutMs int32
	least     int32 // timeout that it has asked for in this session
	xid       int32
	lastZxid  wire.Zxid
	lastWrite wire.Zxid
	waiting   []*op
	watches   map[string]*armed // one-shot, by kind and path
	unset     []string          // nodes that are still to be made before work begins
	recipe    recipe

	hops    int // moves that are still to follow each other
	lock    lockState
	serial  int
	served  int // answers since everything was healed
	answers int // in all
}

// op is a request that has no answer yet.
type op struct {
	xid   int32
	code  wire.OpCode
	asked *request // a write, for the checks
	read  bool
	at    int64
	floor wire.Zxid // the newest state that anybody had seen when it was sent
	sure  bool      // a read right behind a sync: it must show that state
	done  func(a *answer)
}

func newClient(w *world, i int) *client {
	c := &client{w: w, i: i, plan: w.plan.clients[i], rng: stream(w.plan.seed, forClients+uint64(i)), watches: map[string]*armed{}}
	c.home = c.rng.IntN(len(w.plan.members))
	c.timeoutMs = c.plan.timeoutMs
	c.unset = baseNodes()
	return c
}

func (c *client) node() int { return len(c.w.members) + c.i }

// wake has the client act after a while; an earlier plan is dropped.
func (c *client) wake(after int64) {
	c.wakeNo++
	c.w.add(event{at: c.w.now + after, kind: atClient, who: int32(c.i), arg: c.wakeNo})
}

// due is the client's turn.
func (c *client) due(no uint32) {
	if no != c.wakeNo || c.w.resting {
		return
	}
	c.act()
	if c.w.calm {
		c.wake(int64(c.timeoutMs) * ms / 8)
		return
	}
	c.wake(1 + int64(c.rng.ExpFloat64()*float64(c.plan.think)))
}

// act does one thing that a client does.
func (c *client) act() {
	w := c.w
	patience := int64(c.timeoutMs) * ms * 2 / 3
	switch {
	case c.conn == nil:
		c.connect()
		return
	case w.now-max(c.heardAt, c.dialledAt) > patience:
		// Nobody answers here.
		c.leave()
		return
	case !c.ready:
		return
	case c.plan.restless > 0 && c.rng.IntN(c.plan.restless) == 0:
		w.saw(rareClientMoves)
		c.leave()
		if c.rng.IntN(2) == 0 {
			c.connect() // before what it asked can have had an outcome
		}
		return
	}
	if w.now-c.saidAt > patience/2 {
		c.saidAt = w.now
		w.send(c.conn, 0, msg{kind: msgAsk, body: &ask{kind: askPing}})
	}
	if n := len(c.waiting); n >= c.plan.depth || n > 0 && c.waiting[n-1].code == wire.OpCloseSession {
		return
	}
	if len(c.unset) > 0 {
		c.setUp()
		return
	}
	before := c.xid
	c.work()
	switch {
	case c.hops == 0 && c.plan.countsAnew && c.plan.restless > 0 && !w.healed && c.rng.IntN(4*c.plan.restless) == 0:
		c.hops = 4
	case c.hops > 0 && c.xid != before && c.conn != nil:
		// One thing with each connection, and on to another member before the answer:
		// requests of the same number are under way there and here.
		c.hops--
		w.saw(rareHops)
		c.leave()
		c.connect()
	}
}

// leave drops the connection; the session lives on, perhaps at another member.
func (c *client) leave() {
	if c.conn == nil {
		return
	}
	conn := c.conn
	c.conn = nil
	if c.plan.vanishes && !c.w.healed && c.rng.IntN(3) == 0 {
		// Its machine, or the way to it, is gone: the member finds out long after.
		c.w.saw(rareHalfOpen)
		c.w.vanish(conn, 0, 1+int64(c.rng.Uint64N(uint64(3*int64(c.timeoutMs)*ms))))
	} else {
		c.w.closeEnd(conn, 0)
	}
	c.disconnected()
}

// disconnected is the end of a connection. The fate of what was asked is not
// known.
func (c *client) disconnected() {
	c.conn, c.ready = nil, false
	if c.plan.countsAnew {
		c.xid = 0
	}
	c.home = c.rng.IntN(len(c.w.members))
	lost := c.waiting
	c.waiting = nil
	for _, o := range lost {
		if o.done != nil {
			o.done(nil)
		}
		if o.code == wire.OpCloseSession {
			c.recipe = recipe{} // nobody knows whether the session has ended
			c.expired()         // whether it was heard or not, the client is done with it
		}
	}
}

// connect dials the member of the day.
func (c *client) connect() {
	w := c.w
	m := w.members[c.home]
	if m.process == nil || !w.reachable(c.node(), m.i) {
		c.home = c.rng.IntN(len(w.members))
		return
	}
	c.dials++
	c.conn = w.connect(forClient, end{node: c.node(), incarnation: c.dials}, end{node: m.i, incarnation: m.incarnation})
	c.dialledAt, c.saidAt = w.now, w.now
	hello := &ask{kind: askHello, session: c.session, passwd: c.passwd, timeoutMs: c.timeoutMs, lastZxid: c.lastZxid}
	c.lied = c.session != 0 && c.rng.IntN(30) == 0
	if c.lied {
		hello.passwd[0] ^= 1
		w.saw(rareWrongPassword)
	}
	if c.session == 0 || c.rng.IntN(c.plan.fickle) == 0 {
		c.timeoutMs = max(c.plan.timeoutMs/int32(1+c.rng.IntN(3)), int32(2*w.plan.tickMs))
		hello.timeoutMs = c.timeoutMs
	}
	if c.session == 0 {
		c.least = c.timeoutMs
	}
	c.least = min(c.least, c.timeoutMs)
	l := w.sessions[c.session]
	if c.lives = l != nil; c.lives {
		l.timeoutMs = min(l.timeoutMs, int64(c.least))
	}
	w.send(c.conn, 0, msg{kind: msgAsk, body: hello})
}

// ask sends a request.
func (c *client) ask(code wire.OpCode, body wire.Record, read bool, done func(a *answer)) *op {
	w := c.w
	c.xid++
	o := &op{xid: c.xid, code: code, read: read, at: w.now, floor: w.ledger.acked, done: done}
	a := &ask{kind: askRequest, xid: c.xid, op: code, body: body, read: read}
	if body != nil {
		a.raw = body.Append(nil)
	}
	if !read && code != wire.OpSync {
		o.asked = &request{xid: c.xid, op: code, body: body, at: w.now}
		a.asked = o.asked
		w.ledger.ask(c.session, o.asked)
	}
	c.waiting = append(c.waiting, o)
	c.saidAt = w.now
	w.send(c.conn, 0, msg{kind: msgAsk, body: a})
	return o
}

func (c *client) write(code wire.OpCode, body wire.Record, done func(a *answer)) *op {
	return c.ask(code, body, false, done)
}

// readSure reads behind a sync: the answer must not be older than anything that
// anybody had seen before.
func (c *client) readSure(code wire.OpCode, body wire.Record, path string, done func(a *answer)) *op {
	s := c.write(wire.OpSync, &wire.PathRequest{Path: path}, nil)
	o := c.ask(code, body, true, done)
	o.floor, o.sure = s.floor, true
	return o
}

// receive is an answer, an event, or the end.
func (c *client) receive(conn *conn, m *msg) {
	if conn != c.conn {
		return
	}
	c.heardAt = c.w.now
	if m.kind == msgEnd {
		c.disconnected()
		return
	}
	a := m.body.(*answer)
	switch a.kind {
	case answerWelcome:
		c.welcomed(a)
	case answerEvent:
		c.notified(a)
	case answerReply:
		c.answered(a)
	}
}

// welcomed is the answer to the handshake.
func (c *client) welcomed(a *answer) {
	w := c.w
	if a.session == 0 {
		if !c.lied {
			w.checkRefused(c)
			c.expired()
		}
		return
	}
	if c.lied {
		w.fail("19 sessions", "client %d: session %v with a wrong password", c.i, a.session)
	}
	if c.session != 0 {
		if c.session != a.session {
			w.fail("19 sessions", "client %d asked for session %v and got %v", c.i, c.session, a.session)
		}
		w.saw(rareReattach)
		if c.passwd != a.passwd {
			w.fail("19 sessions", "client %d: its password has changed", c.i)
		}
	}
	if c.session == 0 && w.plan.local && w.sessions[a.session] == nil {
		w.saw(rareLocalSession)
	}
	begins := c.session == 0
	c.session, c.passwd, c.ready = a.session, a.passwd, true
	if c.hops > 0 {
		c.wake(1)
	}
	if begins && c.plan.vanishes && !w.healed && c.rng.IntN(4) == 0 {
		c.leave() // before it has seen anything: any member may take it now
		c.connect()
		return
	}
	c.rearm()
}

// expired is the news that the session is over.
func (c *client) expired() {
	c.w.saw(rareReattachRefused)
	c.session, c.passwd = 0, [16]byte{}
	c.lastZxid, c.lastWrite = 0, 0
	c.xid = 0
	clear(c.watches)
	c.lock.end(c)
}

// answered is the answer to the oldest request.
func (c *client) answered(a *answer) {
	w := c.w
	if len(c.waiting) == 0 {
		w.fail("18 outcomes", "client %d gets an answer to %v %d, and waits for none", c.i, a.op, a.xid)
	}
	o := c.waiting[0]
	if o.xid != a.xid || o.code != a.op {
		w.fail("18 outcomes", "client %d waits for %v %d, gets %v %d", c.i, o.code, o.xid, a.op, a.xid)
	}
	c.waiting = c.waiting[1:]
	if a.zxid < c.lastZxid {
		w.fail("18 zxid", "client %d goes back from %v to %v with %v %d", c.i, c.lastZxid, a.zxid, a.op, a.xid)
	}
	local := w.plan.local && (a.op == wire.OpCloseSession || a.err == wire.ErrEphemeralOnLocalSession)
	if !o.read && a.op != wire.OpSync && !local {
		if a.zxid <= c.lastWrite || a.zxid <= o.floor {
			w.fail("18 order", "client %d: %v %d has zxid %v; before it was asked, %v was answered, and %v to itself",
				c.i, a.op, a.xid, a.zxid, o.floor, c.lastWrite)
		}
		c.lastWrite = a.zxid
		w.ledger.checkAnswered(w, c, o, a)
	}
	if o.sure && a.zxid < o.floor {
		w.fail("18 sync", "client %d reads at %v behind a sync; before that was asked, %v had been seen", c.i, a.zxid, o.floor)
	}
	c.lastZxid = a.zxid
	w.ledger.acked = max(w.ledger.acked, a.zxid)
	c.served++
	c.answers++
	if o.done != nil {
		o.done(a)
	}
	if a.op == wire.OpCloseSession {
		w.saw(rareClosedByClient)
		c.leave()
		c.session = 0
		c.expired()
	}
}

// baseNodes are the nodes that workloads need. Every client makes those that
// are missing before it begins, parents first.
func baseNodes() []string {
	list := []string{"/r", "/c", "/lock", "/queue", "/multi", "/multi/a", "/multi/b", "/mix", recipeDir}
	for k := range registers {
		list = append(list, registerPath(k))
	}
	for k := range counters {
		list = append(list, counterPath(k))
	}
	return list
}

func registerPath(k int) string { return fmt.Sprintf("/r/%d", k) }
func counterPath(k int) string  { return fmt.Sprintf("/c/%d", k) }

// setUp makes the next of the nodes that work needs.
func (c *client) setUp() {
	if len(c.waiting) > 0 {
		return
	}
	path := c.unset[0]
	c.write(wire.OpCreate, &wire.CreateRequest{Path: path, ACL: wire.OpenACL, Data: []byte("0")}, func(a *answer) {
		if a != nil && (a.err == wire.OK || a.err == wire.ErrNodeExists) && len(c.unset) > 0 && c.unset[0] == path {
			c.unset = c.unset[1:]
		}
	})
}
