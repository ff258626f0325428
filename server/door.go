package server

import (
	"go.uber.org/zap"

	"zooid/fourletter"
	"zooid/wire"
	"zooid/znode"
)

// door tells who may have a session here at the moment.
type door uint8

const (
	doorClosed   door = iota // nobody: those who ask are closed without a word
	doorOpen                 // everybody
	doorReadOnly             // clients that put up with a server without a quorum
)

// The member's loop opens the door when the member has a role, and shuts it when
// it has none any more; it alone calls Open, Drop, DropConn and Sessions, and
// not under the tree's lock. While the loop only holds its clients over a short
// election it leaves the door alone: connections stand, reads are answered, and
// what has to go through the loop waits there.

// Open lets clients in. As a read-only server, without a quorum, it lets in
// only those that ask for one: they have sessions that nobody else knows, and
// their writes are refused. Between a read-only server and another Drop is
// called.
func (s *Server) Open(readOnly bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.door = doorOpen
	if readOnly {
		s.mu.door = doorReadOnly
		s.mu.visitors.begin(s.o.SID)
	}
}

// Drop shuts the door and lets every client go: nothing more is answered, and
// the connections are closed once what is queued for them is written. Those on
// which nobody has asked for a session yet stay, for a word.
func (s *Server) Drop(reason string) {
	s.mu.Lock()
	s.mu.door, s.mu.shutFor = doorClosed, reason
	s.mu.visitors.clear()
	var list []*conn
	for _, c := range s.mu.conns {
		if c.entered {
			list = append(list, c)
		}
	}
	s.mu.Unlock()
	for _, c := range list {
		c.dismiss()
	}
	s.Flush()
	s.log.Info("clients are no longer served", zap.String("reason", reason), zap.Int("connections", len(list)))
}

// DropConn lets one client go, as Drop does. One that is gone is no error.
func (s *Server) DropConn(conn znode.ConnID, reason string) {
	c := s.lookup(conn)
	if c == nil {
		return
	}
	s.log.Debug("closing a connection: "+reason, zap.Stringer("client", c.remote))
	c.dismiss()
	s.Flush()
}

// Sessions visits every session that has a connection here, with its timeout.
// The sessions of a read-only server are not among them: the member does not
// know those.
func (s *Server) Sessions(visit func(conn znode.ConnID, id wire.SessionID, timeoutMs int32)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for id, c := range s.mu.sessions {
		c.mu.Lock()
		timeout, gone := c.mu.timeoutMs, c.mu.closed || c.mu.dismissed
		c.mu.Unlock()
		if !gone {
			visit(c.id, id, timeout)
		}
	}
}

// enter takes a connection that asks for a session through the door as it is,
// so that the next Drop will find it.
func (s *Server) enter(c *conn) (m Member, d door, why string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	m = s.serving()
	if m == nil || s.mu.door == doorClosed {
		return nil, doorClosed, s.mu.shutFor
	}
	// Only c's goroutine sets it, and Drop reads it with the lock to itself.
	c.entered = true
	return m, s.mu.door, ""
}

// describeDoor corrects the Host's word on the mode by who is let in.
func (s *Server) describeDoor(st *fourletter.Status, parts fourletter.Part) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case s.mu.door == doorClosed || s.serving() == nil:
		if st.Mode != fourletter.ModeNotServing || st.NotServing == "" {
			st.NotServing = s.mu.shutFor
		}
		st.Mode = fourletter.ModeNotServing
	case s.mu.door == doorReadOnly:
		st.Mode, st.NotServing = fourletter.ModeReadOnly, ""
		s.mu.visitors.describe(st, parts, s.now())
	}
}
