package server

import (
	"encoding/binary"
	"sync"
	"time"

	"go.uber.org/zap"

	"zooid/wire"
	"zooid/znode"
)

// verdict is what the connection's goroutine is to do after work.
type verdict uint8

const (
	goOn     verdict = iota // only between frames
	needMore                // read; all complete frames are done with
	mustWait                // a limit stops the work; wait for room, then go on
	atEnd                   // nothing more is served; wait until the connection is closed
)

// Bounds of one hold of the tree's read lock.
const (
	holdFrames = 128
	holdBytes  = 64 << 10
)

const headerSize = 8 // bytes of a request's header

// hold says which locks a worker has.
type hold uint8

const (
	holdNothing hold = iota
	holdConn         // conn.mu
	holdTree         // the tree's read lock, and conn.mu
)

// worker goes through the frames that one read returned. It keeps a lock from
// one frame to the next where that is of use.
type worker struct {
	c    *conn
	hold hold

	heldFrames, heldBytes int // since the tree's lock was taken: frames, and bytes in the out buffer then
	allowed               allowance
	sinceClock            int // frames since the clock was looked at

	reqs   []*znode.Request // for the member
	queued int64            // items pushed on the connection's queue
	reads  int64            // answered here
	owned  bool             // the frames' memory is the connection's own and will not be used again

	arena []byte          // where requests' bytes are copied to
	slots []znode.Request // requests not used yet
}

var workers = sync.Pool{New: func() any { return new(worker) }}

// work serves the frames that have arrived. Everything it makes is on its way
// when it returns: requests at the member, replies in the socket or the queue.
func (c *conn) work() verdict {
	w := workers.Get().(*worker)
	w.c, w.owned = c, c.in.big != nil
	c.begin()
	used, need, v := w.frames(c.in.data())
	w.account()
	w.unlock()
	c.in.consume(used, need)
	c.tellInput()
	if w.queued > 0 {
		c.srv.outstanding.Add(w.queued)
	}
	if len(w.reqs) > 0 {
		c.member.Submit(w.reqs)
		clear(w.reqs)
		w.reqs = w.reqs[:0]
	}
	if used > 0 {
		c.srv.stats.bytesIn(int64(used))
		c.flush()
	}
	w.c, w.queued, w.reads = nil, 0, 0
	workers.Put(w)
	return v
}

// begin notes that the attachment has been answered, if it has.
func (c *conn) begin() {
	if c.attached || c.member == nil {
		return
	}
	c.attached = true
	c.readUntil(time.Time{})
}

// account notes how long the answers took that were given here.
func (w *worker) account() {
	if w.reads == 0 {
		return
	}
	c := w.c
	now := c.srv.now()
	took := now - c.in.at
	w.lockConn()
	c.mu.stats.took(took, w.reads, now)
	for range w.reads {
		c.srv.stats.reads(micros(took))
	}
}

// frames works through data. used is how many bytes are done with; need is the
// size of the frame that the rest begins, 0 if unknown.
func (w *worker) frames(data []byte) (used, need int, v verdict) {
	c := w.c
	for {
		if !c.attached && c.word(data) {
			return len(data), 0, atEnd
		}
		n, ok := frameLength(data[used:])
		if !ok {
			return used, 0, needMore
		}
		if !w.acceptable(n) {
			return len(data), 0, atEnd
		}
		end := used + 4 + n
		if end > len(data) {
			return used, 4 + n, needMore
		}
		frame := data[used+4 : end : end]
		if v := w.mayGoOn(frame); v != goOn {
			return used, 0, v
		}
		used, c.in.sized = end, false
		if !c.attached {
			w.unlock()
			if !c.connect(frame) {
				return len(data), 0, atEnd
			}
			return used, 0, mustWait
		}
		if !w.request(frame) {
			return len(data), 0, atEnd
		}
		if c.mu.queue.len() == 0 {
			c.releaseLarge()
		}
		w.bound(opOf(frame))
	}
}

// acceptable judges a frame by its length, once for each; the connection of a
// frame that is refused is closed.
func (w *worker) acceptable(n int) bool {
	c := w.c
	if c.in.sized {
		return true
	}
	o := &c.srv.o
	switch {
	case !c.attached && n > handshakeMax && n <= o.MaxFrame:
		w.refuse("handshake too long", zap.Int("length", n), zap.Int("most", handshakeMax))
		return false
	case n < 0 || n > o.MaxFrame:
		w.refuse("frame length out of bounds", zap.Int("length", n), zap.Int("jute.maxbuffer", o.MaxFrame))
		return false
	case n < headerSize && c.attached:
		w.refuse("frame too short for a request", zap.Int("length", n), zap.Int("least", headerSize))
		return false
	case o.LargeThreshold > 0 && n > o.LargeThreshold:
		if !c.srv.takeLarge(n) {
			c.srv.stats.largeRejected(1)
			w.refuse("too many large requests at once", zap.Int("length", n), zap.Int64("largeRequestMaxBytes", o.LargeMax))
			return false
		}
		c.in.large = int64(n)
	}
	c.in.sized = true
	return true
}

// mayGoOn tells whether a frame may be worked on, has to wait for room, or will
// not be served any more.
func (w *worker) mayGoOn(frame []byte) verdict {
	c := w.c
	if !c.attached {
		return goOn
	}
	w.lockConn()
	switch {
	case c.mu.closed || c.mu.finishing:
		return atEnd
	case c.full() || c.srv.throttling(w.queued):
		return mustWait
	case c.aheadFull():
		if row, ok := znode.LookupOp(opOf(frame)); ok && row.Quorum {
			c.mu.drain = true
			return mustWait
		}
	}
	return goOn
}

// xidOf and opOf read the header of a request.
func xidOf(frame []byte) int32      { return int32(binary.BigEndian.Uint32(frame)) }
func opOf(frame []byte) wire.OpCode { return wire.OpCode(int32(binary.BigEndian.Uint32(frame[4:]))) }

// bound ends a hold of the tree's lock that has lasted long enough, and sends
// on what has gathered. op is what the last frame asked.
func (w *worker) bound(op wire.OpCode) {
	if w.hold != holdTree {
		return
	}
	w.heldFrames++
	w.sinceClock++
	if w.sinceClock >= clockEvery || !w.c.cheap(op) {
		w.c.noteCost(w.allowed.spend(w.c.srv) / time.Duration(w.sinceClock))
		w.sinceClock = 0
	}
	out := w.c.outBytes()
	if w.heldFrames < holdFrames && out-w.heldBytes < holdBytes && !w.allowed.spent() {
		return
	}
	w.unlock()
	if out > outChunk {
		w.c.flush()
	}
}

// lockConn makes sure that conn.mu is held.
func (w *worker) lockConn() {
	if w.hold == holdNothing {
		w.c.mu.Lock()
		w.hold = holdConn
	}
}

// lockTree makes sure that the tree's read lock is held, and conn.mu after it.
func (w *worker) lockTree() {
	if w.hold == holdTree {
		return
	}
	w.unlock()
	w.c.tree.RLock()
	w.c.mu.Lock()
	w.hold, w.heldFrames, w.heldBytes = holdTree, 0, w.c.outBytes()
	w.allowed = allowance{left: holdTime}
	w.allowed.begin(w.c.srv)
	w.sinceClock = 0
}

func (w *worker) unlock() {
	switch w.hold {
	case holdConn:
		w.c.mu.Unlock()
	case holdTree:
		w.c.mu.Unlock()
		w.c.tree.RUnlock()
	}
	w.hold = holdNothing
}

// request serves one frame; c.mu is held afterwards. It is false if the frame
// is the connection's last.
func (w *worker) request(frame []byte) bool {
	c := w.c
	xid, op, body := xidOf(frame), opOf(frame), frame[headerSize:]
	w.lockConn()
	c.mu.stats.packetIn()
	c.mu.large, c.in.large = c.mu.large+c.in.large, 0
	switch {
	case op == wire.OpAuth:
		return w.auth(xid, body)
	case op == wire.OpSASL:
		return w.sasl(xid, body)
	case !c.srv.o.Auth.Admits(c.mu.reader.IDs):
		return w.rejectUnauthenticated(xid, op)
	}
	row, ok := znode.LookupOp(op)
	if !ok {
		return w.rejectUnknown(xid, op)
	}
	c.mu.stats.asked(row.Short, xid)
	switch {
	case w.throttled(op):
		c.srv.stats.throttled(1)
		w.fail(xid, op, wire.ErrThrottledOp)
	case row.Quorum && c.readOnly:
		w.readOnly(xid, op)
	case row.Quorum && c.srv.refuses(op):
		w.fail(xid, op, wire.ErrNotReadOnly)
	case row.Quorum:
		w.forward(xid, op, body)
	default:
		w.read(xid, op, body)
	}
	if op == wire.OpCloseSession {
		w.finishing()
		return false
	}
	return true
}

// throttled tells whether a request has waited so long in the request throttle
// that it is to be refused.
func (w *worker) throttled(op wire.OpCode) bool {
	wait := w.c.srv.o.ThrottledOpWait
	return wait > 0 && w.c.in.waited > wait.Microseconds() && op != wire.OpPing && op != wire.OpCloseSession
}

// read answers at once if nothing is ahead, else leaves the request in the queue.
// One that would hold the tree's lock for long is dealt with in parts, of which the
// last has the reply.
func (w *worker) read(xid int32, op wire.OpCode, body []byte) {
	parts := znode.SplitWatches(op, body)
	for i, part := range parts {
		if w.readPart(xid, op, part, i < len(parts)-1); i < len(parts)-1 {
			w.unlock()
			w.lockConn()
		}
	}
	if parts == nil {
		w.readPart(xid, op, body, false)
	}
}

// readPart is read for one part; more follow if partial is set.
func (w *worker) readPart(xid int32, op wire.OpCode, body []byte, partial bool) {
	c := w.c
	if c.mu.queue.len() > 0 {
		w.push(item{xid: xid, op: op, state: stateRead, size: len(body), body: w.keep(body), partial: partial})
		return
	}
	// Only this goroutine adds to the queue, so that it stays empty while the
	// locks are taken in their order.
	w.lockTree()
	if c.mu.closed || c.mu.dismissed {
		return // taking the locks gave the loop room to let the client go
	}
	c.answerRead(xid, op, body, partial)
	w.reads++
}

// forward decodes a request and has it handed to the member.
func (w *worker) forward(xid int32, op wire.OpCode, body []byte) {
	c := w.c
	body = w.keep(body)
	rec, err := znode.DecodeRequest(op, body)
	if err != nil {
		c.srv.log.Debug("undecodable request", zap.Stringer("client", c.remote), zap.Error(err))
		w.fail(xid, op, wire.ErrMarshalling)
		return
	}
	if len(w.slots) == 0 {
		w.slots = make([]znode.Request, 8)
	}
	r := &w.slots[0]
	w.slots = w.slots[1:]
	*r = znode.Request{Conn: c.id, Session: c.mu.reader.Session, Cxid: xid, Op: op, Body: rec, Raw: body,
		IDs: c.mu.reader.IDs}
	w.push(item{xid: xid, op: op, state: stateAwaited, size: len(body)})
	w.reqs = append(w.reqs, r)
}

// fail answers a request with an error code when its turn comes.
func (w *worker) fail(xid int32, op wire.OpCode, code wire.ErrCode) {
	c := w.c
	if c.mu.queue.len() > 0 {
		w.push(item{xid: xid, op: op, state: stateCode, code: code})
		return
	}
	w.lockTree()
	if c.mu.closed || c.mu.dismissed {
		return
	}
	c.answerCode(xid, op, code)
	w.reads++
}

func (w *worker) push(it item) {
	it.at = w.c.in.at
	w.c.mu.queue.push(it)
	w.queued++
}

const arenaSize = 4 << 10

// keep copies bytes that must outlive the read buffer.
func (w *worker) keep(b []byte) []byte {
	if w.owned {
		return b
	}
	if len(b) > arenaSize/4 {
		return append(make([]byte, 0, len(b)), b...)
	}
	if len(w.arena)+len(b) > cap(w.arena) {
		w.arena = make([]byte, 0, arenaSize)
	}
	n := len(w.arena)
	w.arena = append(w.arena, b...)
	return w.arena[n:len(w.arena):len(w.arena)]
}

// finishing has the connection closed when everything queued is answered.
func (w *worker) finishing() {
	w.lockConn()
	w.c.mu.finishing = true
}

// refuse has the connection closed for what it sent, after what is queued.
func (w *worker) refuse(what string, fields ...zap.Field) {
	w.finishing()
	w.c.logRefusal(what, fields...)
}

// rejectUnknown answers an opcode that clients may not use, then closes.
func (w *worker) rejectUnknown(xid int32, op wire.OpCode) bool {
	w.fail(xid, op, wire.ErrUnimplemented)
	w.refuse("unknown opcode", zap.Int32("opcode", int32(op)))
	return false
}

// rejectUnauthenticated answers a request of a client that should have
// authenticated first, then closes.
func (w *worker) rejectUnauthenticated(xid int32, op wire.OpCode) bool {
	w.c.appendReply(xid, 0, wire.ErrSessionClosedRequireSASL)
	w.refuse("request without the required authentication", zap.Stringer("operation", op))
	return false
}

// saslStepsMax is how many steps of a SASL login a connection may take; at the
// next one it is closed. No mechanism has that many.
const saslStepsMax = 16

// sasl answers a step of a SASL login as a ZooKeeper server without a login
// configuration does: success and no token, ahead of what is queued. A step
// without a token ends the connection, as there.
//
// kazoo takes the answer for a challenge and sends the next step, for ever. With
// ZooKeeper that ends when its session times out, for such packets do not count
// as signs of life; here it ends after saslStepsMax steps, with the same error
// for its user.
func (w *worker) sasl(xid int32, body []byte) bool {
	var p wire.SASLPacket
	if err := wire.Unmarshal(body, &p); err != nil {
		w.refuse("undecodable sasl packet", zap.Error(err))
		return false
	}
	if w.c.saslSteps++; p.Token == nil || w.c.saslSteps > saslStepsMax {
		w.refuse("a SASL login, which this server does not have")
		return false
	}
	w.c.replySASL(xid)
	return true
}

// auth judges an auth packet at once, ahead of what is queued. It is false if
// the credentials are refused, which ends the connection.
func (w *worker) auth(xid int32, body []byte) bool {
	c := w.c
	var p wire.AuthPacket
	if err := wire.Unmarshal(body, &p); err != nil {
		w.refuse("undecodable auth packet", zap.Error(err))
		return false
	}
	ids, err := c.srv.o.Auth.Authenticate(p.Scheme, p.Auth, c.remote.Addr(), c.mu.reader.IDs)
	if err != nil {
		c.srv.stats.authFailed.Add(1)
		c.appendReply(xid, 0, wire.ErrAuthFailed)
		w.refuse("authentication refused", zap.Error(err))
		return false
	}
	if len(ids) > 0 {
		// Requests in flight keep the identities that they came with.
		known := c.mu.reader.IDs
		c.mu.reader.IDs = append(known[:len(known):len(known)], ids...)
	}
	c.appendReply(xid, 0, wire.OK)
	return true
}
