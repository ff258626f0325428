package server

import (
	"go.uber.org/zap"

	"zooid/session"
	"zooid/wire"
	"zooid/znode"
)

// loop is what the member's loop keeps between two calls.
type loop struct {
	touched  []*conn   // have something to be written
	answered int64     // requests answered since the last Flush
	now      int64     // time of the batch, see Server.now; 0 = ask
	reading  allowance // for reads, until the next Flush
	owing    []*conn   // whose reads AnswerOwed is to answer
	frame    []byte    // an encoded event
}

// time is the time at which the loop's current batch is answered.
func (l *loop) time(s *Server) int64 {
	if l.now == 0 {
		l.now = s.now()
	}
	return l.now
}

// touch has Flush write what c has queued. The caller holds c.mu.
func (l *loop) touch(c *conn) {
	if !c.mu.touched {
		c.mu.touched = true
		l.touched = append(l.touched, c)
	}
}

// Attached answers Member.Attach: the connection has the session id now, with
// this timeout and password. id 0 says that there is no such session, or that
// the password is wrong. Another connection of the session here is closed.
//
// It is called by the member's loop, as are all methods of this file.
func (s *Server) Attached(who znode.ConnID, id wire.SessionID, timeoutMs int32, passwd [16]byte) {
	s.mu.Lock()
	c := s.mu.conns[who]
	if c != nil && c.gone() {
		c = nil
	}
	var old *conn
	if c != nil && id != 0 {
		old = s.mu.sessions[id]
		s.mu.sessions[id] = c
		c.session = id
	}
	s.mu.Unlock()
	if c == nil {
		return
	}
	if old != nil && old != c {
		old.close("its session moved to another connection from " + c.remote.String())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return
	}
	c.welcome(&wire.ConnectResponse{TimeoutMs: timeoutMs, SessionID: id, Passwd: passwd[:]})
	s.loop.touch(c)
}

// welcome answers the ConnectRequest; a SessionID of 0 says that there is no
// such session. The caller holds c.mu.
func (c *conn) welcome(r *wire.ConnectResponse) {
	r.HasReadOnly = c.mu.hasReadOnly
	if r.SessionID == 0 {
		r.TimeoutMs, r.Passwd = 0, make([]byte, session.PasswordSize)
		c.mu.finishing = true
	}
	o := c.buffer()
	start := len(o.b)
	o.b = wire.EndFrame(r.Append(wire.BeginFrame(o.b)), start)
	c.mu.phase = phaseServing
	c.mu.timeoutMs = r.TimeoutMs
	c.mu.reader.Session = r.SessionID
	c.mu.stats.packetOut()
	c.mu.changed.Broadcast()
}

// gone tells whether the connection has ended, or is about to. The caller holds
// Server.mu.
func (c *conn) gone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.closed || c.mu.dismissed
}

// Applied tells the outcome of one transaction. It is called under the tree's
// write lock, for one transaction after the other. The events go out first,
// then the reply to whoever asked, then the replies to its reads that waited.
//
// If it is true there are reads whose turn has come, but for which there is no
// time under this lock: the caller releases it and calls AnswerOwed before the
// next transaction is applied.
func (s *Server) Applied(a *znode.Applied) (owes bool) {
	if len(a.Events) > 0 {
		s.deliver(a.Events)
	}
	if a.Conn == 0 {
		return false
	}
	if a.Op != wire.OpCloseSession && a.Op != wire.OpSync {
		s.leaderRefused(a.Err)
	}
	c := s.lookup(a.Conn)
	if c == nil {
		s.stats.staleReplies(1)
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return false
	}
	it := c.mu.queue.find(a.Cxid, a.Op)
	switch {
	case it == nil && c.mu.finishing:
		return false // its session has ended meanwhile
	case it == nil:
		s.log.Error("the outcome of a request that nobody made; closing its connection", zap.Stringer("client", c.remote),
			zap.Stringer("session", a.Session), zap.Stringer("operation", a.Op), zap.Int32("xid", a.Cxid))
		c.closeLocked("its replies are out of step")
		return false
	case a.Err == wire.ErrSessionMoved:
		// The client has gone to another member; ZooKeeper too says nothing.
		c.closeLocked("its session moved to another member")
		return false
	}
	c.settle(it, a)
	if owes = c.answerFromLoop(&s.loop.reading); owes {
		s.loop.owing = append(s.loop.owing, c)
	}
	return owes
}

// answerFromLoop answers what is due, and tells whether reads are left that
// must be answered before the next transaction. The caller is the member's loop
// and holds c.mu.
func (c *conn) answerFromLoop(time *allowance) (owes bool) {
	s := c.srv
	answered, owes := c.answerDue(s.loop.time(s), time)
	s.loop.answered += answered
	c.checkOut()
	c.mu.changed.Broadcast()
	s.loop.touch(c)
	return owes
}

// AnswerOwed answers the reads of which Applied said that they are left. The
// tree's lock is released, and taken again to read: nothing is written
// meanwhile, for the caller is the only one who writes.
func (s *Server) AnswerOwed() {
	l := &s.loop
	for i, c := range l.owing {
		for owes := true; owes; {
			c.tree.RLock()
			c.mu.Lock()
			owes = !c.mu.closed && c.answerFromLoop(&allowance{left: holdTime})
			c.mu.Unlock()
			c.tree.RUnlock()
		}
		l.owing[i] = nil
	}
	l.owing = l.owing[:0]
}

// settle notes the outcome of the request it: as a reply at once if its turn
// has come. The caller holds c.mu.
func (c *conn) settle(it *item, a *znode.Applied) {
	s := c.srv
	now := s.loop.time(s)
	s.stats.updates(micros(now - it.at))
	c.mu.queue.awaited--
	if it != c.mu.queue.head() {
		it.state, it.body = stateReply, appendOutcome(nil, a)
		it.size += len(it.body)
		c.mu.queue.bytes += len(it.body)
		return
	}
	o := c.buffer()
	start := len(o.b)
	o.b = appendOutcome(o.b, a)
	c.mu.stats.replied(a.Zxid, int64(len(o.b)-start))
	c.mu.stats.took(now-it.at, 1, now)
	c.mu.queue.pop()
	s.loop.answered++
}

// deliver puts the events on the queues of those who watch. Each is encoded
// once.
func (s *Server) deliver(events []znode.Event) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	bytes := 0
	for i := range events {
		e := &events[i]
		s.loop.frame = appendEvent(s.loop.frame[:0], e)
		// Most ACLs let everybody read, and then nobody need be asked.
		open := s.o.SkipACL || s.o.Auth.Permits(e.ACL, wire.PermRead, nil)
		for _, id := range e.Watchers {
			if c := s.mu.conns[id]; c != nil && c.event(e, s.loop.frame, open) {
				bytes += len(s.loop.frame)
			}
		}
		s.stats.fired(e.Type, len(e.Watchers))
	}
	s.stats.eventBytes(int64(bytes))
}

// event queues an event, if the client may see it.
func (c *conn) event(e *znode.Event, frame []byte, open bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed || !open && !c.tree.MaySee(&c.mu.reader, e) {
		return false
	}
	c.append(frame)
	c.mu.stats.packetOut()
	c.checkOut()
	c.srv.loop.touch(c)
	return true
}

// Flush writes what the calls before it have queued. The tree's lock is
// released.
func (s *Server) Flush() {
	l := &s.loop
	if l.answered > 0 {
		s.outstanding.Add(-l.answered)
		l.answered = 0
		s.wakeStalled()
	}
	for i, c := range l.touched {
		c.flush()
		l.touched[i] = nil
	}
	l.touched = l.touched[:0]
	l.now, l.reading = 0, allowance{left: loopReadTime}
}

// SessionClosed says that a session has ended. Its connection here, if there is
// one, is closed after what is queued for it; requests that are not answered
// yet get no reply.
func (s *Server) SessionClosed(id wire.SessionID) {
	s.mu.RLock()
	c := s.mu.sessions[id]
	s.mu.RUnlock()
	if c == nil {
		return
	}
	c.dismiss()
}

// dismiss has the connection closed after what is queued for it. Requests that
// are not answered yet get no reply, and no more of them are taken.
func (c *conn) dismiss() {
	s := c.srv
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return
	}
	s.loop.answered += int64(c.mu.queue.len())
	c.mu.queue.clear()
	c.mu.backlog = false
	c.mu.finishing, c.mu.dismissed = true, true
	s.loop.touch(c)
}

// Touched visits every session that has a connection here, or has had one since
// the last call, with the session clock at which it was last heard.
func (s *Server) Touched(visit func(id wire.SessionID, at int64)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, at := range s.mu.departed {
		visit(id, at)
	}
	clear(s.mu.departed)
	for id, c := range s.mu.sessions {
		visit(id, c.heard.Load())
	}
}
