package main

import (
	"zooid/wire"
)

// purpose is what a connection is for.
type purpose uint8

const (
	forElection purpose = iota
	forLearner          // end 0 is the learner
	forClient           // end 0 is the client
)

// msgKind says what a message is.
type msgKind uint8

const (
	msgPacket msgKind = iota // between learner and leader
	msgChunk                 // a part of a snapshot's stream; the last one has the snapshot
	msgNote                  // a notification
	msgAsk                   // of a client
	msgAnswer                // to a client
	msgEnd                   // nothing follows: the connection has ended
)

// msg is something on its way.
type msg struct {
	at   int64 // when it arrives
	kind msgKind
	pkt  wire.QuorumPacket
	body any
}

// conn is a connection: two ends and a FIFO each way. It may break at any time;
// then what is on its way arrives up to some point, and behind it the end.
type conn struct {
	n       int
	purpose purpose
	ends    [2]end
	pipes   [2]pipe // the first from end 0 to end 1
	link    linkCheck
}

// end is one side of a connection.
type end struct {
	node        int    // a member, or behind them a client
	incarnation uint32 // of the member
	open        bool   // this side has not closed it, nor seen its end
}

// pipe is one direction.
type pipe struct {
	q       []msg
	head    int
	last    int64 // when the newest message arrives
	armed   bool  // an event is on the agenda
	stuck   bool  // something is due, but the network is cut here
	reading bool  // the receiver is reading a snapshot and takes nothing else
	ready   bool  // … and is ready for its parts
	broken  bool  // what is sent now is lost
	holding bool  // a snapshot is being made, and comes before what is sent now
	held    []msg
}

func (w *world) cut(from, to int) bool { return w.blocked[from][to] }

// delay is how long one message takes.
func (w *world) delay(from, to int) int64 {
	d := w.plan.latency + int64(w.network.Uint64N(uint64(w.plan.jitter)))
	if w.network.Uint32()&0xff == 0 {
		d *= 20
	}
	if f := w.slow[from][to]; f > 1 {
		d *= f
	}
	return d
}

// connect makes a connection between two nodes.
func (w *world) connect(p purpose, a, b end) *conn {
	c := &conn{n: len(w.conns), purpose: p, ends: [2]end{a, b}}
	c.ends[0].open, c.ends[1].open = true, true
	w.conns = append(w.conns, c)
	w.live = append(w.live, c)
	if len(w.live) > 64 && len(w.live) > 2*w.standing() {
		w.tidy()
	}
	return c
}

func (w *world) standing() (n int) {
	for _, c := range w.live {
		if w.conns[c.n] != nil {
			n++
		}
	}
	return n
}

// tidy forgets the connections that are gone.
func (w *world) tidy() {
	keep := w.live[:0]
	for _, c := range w.live {
		if w.conns[c.n] != nil {
			keep = append(keep, c)
		}
	}
	clear(w.live[len(keep):])
	w.live = keep
}

// send puts a message into the pipe that begins at side.
func (w *world) send(c *conn, side int, m msg) {
	p := &c.pipes[side]
	switch {
	case p.broken || !c.ends[side].open:
	case p.holding:
		p.held = append(p.held, m)
	default:
		w.push(c, side, m)
	}
}

func (w *world) push(c *conn, side int, m msg) {
	p := &c.pipes[side]
	m.at = max(p.last, w.now+w.delay(c.ends[side].node, c.ends[1-side].node))
	p.last = m.at
	p.q = append(p.q, m)
	w.arm(c, side)
}

// arm has the oldest message delivered when it is due.
func (w *world) arm(c *conn, side int) {
	p := &c.pipes[side]
	if p.armed || p.head == len(p.q) {
		return
	}
	p.armed = true
	w.add(event{at: max(p.q[p.head].at, w.now), kind: atDeliver, who: int32(c.n), arg: uint32(side)})
}

// deliver hands over what is due in one direction.
func (w *world) deliver(c *conn, side int) {
	p := &c.pipes[side]
	p.armed = false
	for first := true; p.head < len(p.q) && p.q[p.head].at <= w.now; first = false {
		m := &p.q[p.head]
		if w.cut(c.ends[side].node, c.ends[1-side].node) {
			p.stuck = true
			return
		}
		if p.reading && (m.kind == msgPacket || !p.ready) {
			return // goes on when the snapshot is read
		}
		if !first {
			w.steps++
		}
		taken := *m
		*m = msg{}
		p.head++
		w.receive(c, 1-side, &taken)
		if w.conns[c.n] == nil {
			return
		}
	}
	if p.head == len(p.q) {
		p.q, p.head = p.q[:0], 0
	}
	w.arm(c, side)
}

// receive is a message's arrival at a side of its connection.
func (w *world) receive(c *conn, side int, m *msg) {
	e := &c.ends[side]
	if !e.open {
		return
	}
	if m.kind == msgEnd {
		e.open = false
		w.forget(c)
	}
	if e.node >= len(w.members) {
		w.clients[e.node-len(w.members)].receive(c, m)
		return
	}
	if mb := w.members[e.node]; mb.process != nil && mb.incarnation == e.incarnation {
		mb.process.receive(c, side, m)
	}
}

// forget lets a connection go that nobody has any more.
func (w *world) forget(c *conn) {
	if !c.ends[0].open && !c.ends[1].open {
		w.conns[c.n] = nil
	}
}

// closeEnd is an orderly close by one side: the other one reads what was sent
// before.
func (w *world) closeEnd(c *conn, side int) {
	if !c.ends[side].open {
		return
	}
	p := &c.pipes[side]
	if p.holding {
		p.holding, p.held = false, nil
	}
	w.end(c, side)
	c.ends[side].open = false
	w.forget(c)
}

// end puts the end of the connection into one direction.
func (w *world) end(c *conn, side int) {
	if p := &c.pipes[side]; !p.broken {
		w.push(c, side, msg{kind: msgEnd})
		p.broken = true
	}
}

// cutTail loses a random suffix of what is on its way.
func (w *world) cutTail(c *conn, side int) {
	p := &c.pipes[side]
	if n := len(p.q) - p.head; n > 0 && !p.broken {
		keep := p.head + w.network.IntN(n+1)
		clear(p.q[keep:])
		p.q = p.q[:keep]
		p.last = w.now
		if keep > 0 && keep > p.head {
			p.last = max(p.last, p.q[keep-1].at)
		}
	}
	p.holding, p.held = false, nil
}

// breakConn breaks a connection, which both sides see.
func (w *world) breakConn(c *conn) {
	for side := range c.ends {
		w.cutTail(c, side)
		w.end(c, side)
	}
}

// vanish is a side's going without a word: what it has sent arrives, and that it has
// gone is heard some time later.
func (w *world) vanish(c *conn, side int, silence int64) {
	if !c.ends[side].open {
		return
	}
	c.ends[side].open = false
	w.endLater(c, side, silence)
	w.forget(c)
}

// endLater loses what is sent in one direction from now on, and ends it after a
// while.
func (w *world) endLater(c *conn, side int, silence int64) {
	p := &c.pipes[side]
	if p.broken {
		return
	}
	p.broken = true
	w.later(silence, func() {
		if w.conns[c.n] == nil {
			return
		}
		p.broken = false
		w.end(c, side)
		w.forget(c)
	})
}

// hangUp is what becomes of a dead process's side of a connection. Whoever is
// at the other end sees it at once if the machine lives on, else some time
// later.
func (w *world) hangUp(c *conn, side int, silence int64) {
	if !c.ends[side].open {
		return
	}
	w.cutTail(c, side)
	c.ends[side].open = false
	p := &c.pipes[side]
	if silence == 0 || p.broken {
		w.end(c, side)
		w.forget(c)
		return
	}
	w.endLater(c, side, silence)
	w.forget(c)
}

// block cuts or heals one direction between two nodes.
func (w *world) block(from, to int, cut bool) {
	if from == to || w.blocked[from][to] == cut {
		return
	}
	w.blocked[from][to] = cut
	if !cut {
		w.thaw()
	}
}

// thaw lets what was stuck go on: TCP has kept it.
func (w *world) thaw() {
	for _, c := range w.live {
		for side := range c.pipes {
			if p := &c.pipes[side]; p.stuck && !w.cut(c.ends[side].node, c.ends[1-side].node) {
				p.stuck = false
				if c.purpose == forClient && w.network.IntN(2) == 0 {
					// TCP's next try may be as far away as the last one, or come together
					// with what the client does now.
					most := 6 * w.plan.tickMs * ms
					if w.network.IntN(2) == 0 {
						most = 4 * (w.plan.latency + w.plan.jitter)
					}
					later := w.now + int64(w.network.Uint64N(uint64(most)))
					for i := p.head; i < len(p.q); i++ {
						p.q[i].at = max(p.q[i].at, later)
					}
					p.last = max(p.last, later)
				}
				w.arm(c, side)
			}
		}
	}
}

// reachable tells whether one node can connect to another.
func (w *world) reachable(a, b int) bool { return !w.cut(a, b) && !w.cut(b, a) }
