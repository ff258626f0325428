package server

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"

	"zooid/socket"
	"zooid/wire"
	"zooid/znode"
)

// phase is how far a connection has come.
type phase uint8

const (
	phaseNew       phase = iota // nothing but a word or a ConnectRequest is welcome
	phaseAttaching              // the member has been asked for the session
	phaseServing
)

// conn is one client connection.
type conn struct {
	srv    *Server
	id     znode.ConnID
	nc     net.Conn
	raw    syscall.RawConn // nil if nc is not a socket of the system's: then reads and writes may block
	remote netip.AddrPort
	began  int64 // ms since 1970
	shard  *statShard

	// member and tree serve the connection, from its handshake on.
	member Member
	tree   *znode.Tree
	// attached says that the goroutine has seen the connection in
	// phaseServing. Only the goroutine looks at it.
	attached bool
	// readOnly says that the session is one of a read-only server. Only the
	// goroutine looks at it, once it has asked for a session.
	readOnly bool

	// session is the key of the connection in Server.mu.sessions, 0 while it has
	// none. It is guarded by Server.mu, as are the next two.
	session wire.SessionID
	// entered says that the connection was let in to ask for a session, so that
	// Drop closes it. One that is not may yet ask a word.
	entered bool
	// visitor is the session on a read-only server, nil while there is none.
	visitor *visitor

	// wordsOnly marks a connection beyond a limit, which overLimit names.
	wordsOnly bool
	overLimit zap.Field

	// saslSteps counts the steps of SASL logins. Only the goroutine looks at it.
	saslSteps int

	in input // the connection's goroutine only
	// memory is the connection's part of Server.memory; what it is told is said
	// holding mu.
	memory *socket.Account
	out    socket.Writer // whoever holds mu.writing

	// heard is the session clock when the client was last heard.
	heard atomic.Int64

	mu struct {
		sync.Mutex
		// changed is signalled when what the connection's goroutine waits for
		// may have come: room, an answered attachment, the end.
		changed sync.Cond
		phase   phase
		reader  znode.Reader // identities, session and connection for reads

		timeoutMs   int32
		hasReadOnly bool // the ConnectRequest had the readOnly byte

		queue queue
		// backlog says that the queue holds only reads that are due, left there
		// because the client takes its replies too slowly. The goroutine that
		// writes answers them; nothing may be queued behind them.
		backlog bool
		// drain says that the goroutine waits until the queue is empty, since the
		// reads in it may yield more than should be made at once.
		drain bool
		// replySize is a guess at the size of the next reply: the last ones',
		// the largest of which is forgotten slowly.
		replySize int
		// readCost is a guess at the time that the next read takes.
		readCost time.Duration

		buf     *outBuffer // what is to be written next; nil if nothing is
		unsent  int        // bytes being written
		writing bool       // somebody writes, and will write what is in buf as well
		touched bool       // is in the loop's list of connections to flush

		lingering bool // the time for writing the rest is limited
		word      bool // asked a four-letter word
		stalled   bool // is in Server.stalled
		finishing bool // close when everything is answered and written
		dismissed bool // the loop lets the client go: nothing more is answered
		closed    bool
		large     int64 // bytes of large requests being served
		input     int   // bytes that in holds

		stats connStats
	}
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{srv: s, nc: nc, remote: addrPort(nc.RemoteAddr()), began: time.Now().UnixMilli()}
	c.mu.changed.L = &c.mu.Mutex
	c.mu.reader.IDs = s.o.Auth.InitialIDs(c.remote.Addr())
	c.mu.stats.clear()
	c.mu.replySize, c.mu.readCost = replySizeGuess, readCostGuess
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			c.raw = raw
			c.in.ready = c.readReady
			c.out.Init(raw)
		}
	}
	return c
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		p := t.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
}

// serve is the connection's goroutine.
func (c *conn) serve() {
	defer c.end()
	patience := c.srv.o.HandshakeTimeout
	if c.wordsOnly {
		patience = min(patience, wordPatience)
	}
	c.nc.SetReadDeadline(time.Now().Add(patience))
	for c.read() && c.workOff() {
	}
}

// workOff works until more bytes are needed. It is false at the end.
func (c *conn) workOff() bool {
	for {
		switch c.work() {
		case needMore:
			// While too many requests are unanswered in all, who has one of
			// them is not read from.
			if !c.attached || !c.srv.overLimit(1) {
				return true
			}
			c.in.park()
			return c.awaitRoom()
		case mustWait:
			c.in.park()
			if !c.awaitRoom() {
				return false
			}
		case atEnd:
			c.in.drop()
			c.awaitClosed()
			return false
		}
	}
}

// read waits for bytes. It is false at the end of the connection; then what
// has been received is answered first if the server is stopping.
func (c *conn) read() bool {
	if c.readOnly && c.attached {
		c.readUntil(time.Now().Add(c.visitTimeout()))
	}
	err := c.receive()
	if err == nil {
		if m := c.member; m != nil {
			c.heard.Store(m.SessionNow())
		}
		c.in.at, c.in.waited = c.srv.now(), 0
		return true
	}
	c.in.drop()
	c.mu.Lock()
	closed := c.mu.closed
	c.mu.Unlock()
	switch {
	case closed:
	case isTimeout(err):
		c.readTimedOut()
	default:
		c.close(err.Error())
	}
	return false
}

// readTimedOut is what a deadline means: the server stops, or there was no
// handshake in time.
func (c *conn) readTimedOut() {
	c.mu.Lock()
	phase := c.mu.phase
	c.mu.Unlock()
	c.srv.mu.RLock()
	stopping := c.srv.mu.stopping
	c.srv.mu.RUnlock()
	switch {
	case stopping && phase == phaseServing:
		c.finish()
		c.awaitClosed()
	case stopping:
		c.close("the server stops")
	case phase == phaseServing:
		c.leave()
		c.close("not heard from for its session's timeout")
	case c.wordsOnly:
		c.srv.stats.rejected(1)
		c.srv.refusals.Warn("too many connections", zap.Stringer("client", c.remote), c.overLimit)
		c.close("too many connections")
	default:
		c.srv.stats.handshakesExpired(1)
		c.srv.refusals.Warn("no handshake in time", zap.Stringer("client", c.remote),
			zap.Duration("limit", c.srv.o.HandshakeTimeout))
		c.close("no handshake in time")
	}
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// readUntil has the connection's reading end at a time, or sooner if there is
// a reason. It is called by the connection's goroutine.
func (c *conn) readUntil(at time.Time) {
	c.nc.SetReadDeadline(at)
	c.srv.mu.RLock()
	stopping := c.srv.mu.stopping
	c.srv.mu.RUnlock()
	c.mu.Lock()
	closed := c.mu.closed
	c.mu.Unlock()
	if stopping || closed {
		c.stopReading() // the deadline that said so may just have been replaced
	}
}

// stopReading ends the connection's reading as soon as it waits for bytes.
func (c *conn) stopReading() { c.nc.SetReadDeadline(past) }

// finish closes the connection once everything queued is answered and written.
func (c *conn) finish() {
	c.mu.Lock()
	c.mu.finishing = true
	c.mu.Unlock()
	c.flush()
}

// awaitClosed waits until somebody closes the connection.
func (c *conn) awaitClosed() {
	c.mu.Lock()
	for !c.mu.closed {
		c.mu.changed.Wait()
	}
	c.mu.Unlock()
}

// awaitRoom waits until the connection may go on working: attached, and with
// room for what it produces. It is false if the connection is closed.
func (c *conn) awaitRoom() bool {
	began, throttled := c.srv.now(), false
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.mu.closed {
		if !c.mustWait() {
			if throttled {
				waited := c.srv.now() - began
				c.in.waited += waited
				c.srv.stats.throttleTime(micros(waited))
			}
			return true
		}
		if !throttled && c.srv.throttling(0) {
			throttled = true
			c.srv.stats.throttles(1)
		}
		c.mu.changed.Wait()
	}
	return false
}

// full tells whether something of the connection's own stops its work: the
// attachment under way, or what is unanswered or unwritten. The caller holds
// c.mu.
func (c *conn) full() bool {
	q := &c.mu.queue
	if q.len() == 0 {
		c.mu.drain = false
	}
	return c.mu.drain || c.mu.phase == phaseAttaching || c.mu.backlog || c.outBytes() > outHigh ||
		q.len() >= c.srv.o.QueueRequests || q.bytes >= queueBytesHigh
}

// mustWait tells whether a limit stops the connection from working on. The
// caller holds c.mu.
func (c *conn) mustWait() bool {
	s := c.srv
	if c.full() {
		return true
	}
	if !s.overLimit(c.mu.queue.len()) {
		return false
	}
	s.stall(c)
	return s.overLimit(c.mu.queue.len())
}

// overLimit tells whether the requests that are unanswered in all are too many
// for a connection that has own of them.
func (s *Server) overLimit(own int) bool {
	return own > 0 && s.outstanding.Load() > int64(s.o.OutstandingLimit) || s.throttling(0)
}

// throttling tells whether the request throttle stops everybody, more requests
// being about to be added to those in work.
func (s *Server) throttling(more int64) bool {
	limit := int64(s.o.ThrottleRequests)
	return limit > 0 && s.outstanding.Load()+more >= limit
}

// close ends the connection at once; what is not written is lost. Why is said
// in the log. Any goroutine may call it, the loop included: closing the socket
// itself would wait for whoever uses it, so that is left to the connection's
// goroutine, which this wakes wherever it is.
func (c *conn) close(why string) {
	c.mu.Lock()
	c.closeLocked(why)
	c.mu.Unlock()
}

func (c *conn) closeLocked(why string) {
	if c.mu.closed {
		return
	}
	c.mu.closed = true
	c.mu.changed.Broadcast()
	if c.mu.buf != nil {
		c.mu.buf.release()
		c.mu.buf = nil
	}
	c.nc.SetDeadline(past)
	c.srv.log.Debug("connection closed", zap.Stringer("client", c.remote),
		zap.Stringer("session", c.mu.reader.Session), zap.String("why", why))
}

// cutOffLocked closes a connection that exceeds a limit. The caller holds c.mu.
func (c *conn) cutOffLocked(what string, fields ...zap.Field) {
	if c.mu.closed {
		return
	}
	c.logRefusal(what, fields...)
	c.closeLocked(what)
}

// refuse closes a connection before it has a session, for what it sent.
func (c *conn) refuse(what string, fields ...zap.Field) {
	c.logRefusal(what, fields...)
	c.close(what)
}

// logRefusal says why a connection is being closed. The caller holds c.mu, or
// is the connection's goroutine.
func (c *conn) logRefusal(what string, fields ...zap.Field) {
	c.srv.refusals.Warn("closing a connection: "+what, append(fields,
		zap.Stringer("client", c.remote), zap.Stringer("session", c.mu.reader.Session))...)
}

// end takes the connection out of the server, at the end of its goroutine.
func (c *conn) end() {
	c.in.drop()
	c.mu.Lock()
	c.closeLocked("its goroutine ends")
	left := c.mu.queue.len()
	c.mu.queue.clear()
	finished := c.mu.finishing
	c.mu.large, c.in.large = c.mu.large+c.in.large, 0
	c.releaseLarge()
	c.mu.stats.publish(&c.srv.stats, c.shard)
	c.mu.Unlock()

	s := c.srv
	s.outstanding.Add(-int64(left))
	s.wakeStalled()
	s.unregister(c)
	if c.tree != nil {
		c.tree.DropWatcher(c.id)
	}
	s.stats.ended(1)
	c.memory.Close()
	// Last, so that who sees the end and comes again finds room.
	if finished {
		c.discardInput()
	}
	c.nc.Close()
}
