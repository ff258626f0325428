package server

import (
	"bytes"

	"go.uber.org/zap"

	"zooid/session"
	"zooid/wire"
)

// handshakeMax is the length in bytes up to which a ConnectRequest is read. It
// has some 50; a connection that has proved nothing gets no memory for more,
// and is closed.
const handshakeMax = 16 << 10

// connect takes a ConnectRequest and asks the member for the session. It is
// false if the connection is refused, in all cases without a word to the
// client. The order of the checks is ZooKeeper's.
func (c *conn) connect(frame []byte) bool {
	s := c.srv
	s.stats.handshakes(1)
	c.mu.Lock()
	c.mu.stats.packetIn()
	c.mu.Unlock()
	var r wire.ConnectRequest
	if err := wire.Unmarshal(frame, &r); err != nil {
		c.refuse("undecodable handshake", zap.Error(err))
		return false
	}
	m, door, why := s.enter(c)
	switch {
	case door == doorClosed:
		s.stats.closedNotServing(1)
		c.close("not serving: " + why)
		return false
	case c.wordsOnly:
		s.stats.rejected(1)
		c.refuse("too many connections", c.overLimit)
		return false
	case !s.connects.take():
		s.stats.rejected(1)
		c.refuse("too many handshakes at once", zap.Int("connection_throttle_tokens", s.o.ConnectTokens))
		return false
	case door == doorReadOnly && !r.ReadOnly:
		c.close("a read-only server serves only clients that ask for one")
		return false
	}
	tree := m.Tree()
	tree.RLock()
	last := tree.LastZxid()
	tree.RUnlock()
	if r.LastZxidSeen > last {
		c.refuse("the client has seen a later state than this server", zap.Stringer("zxid_seen", r.LastZxidSeen),
			zap.Stringer("zxid", last))
		return false
	}
	if r.SessionID != 0 {
		s.stats.reattaches(1)
	}
	c.mu.Lock()
	c.member, c.tree = m, tree
	c.mu.phase = phaseAttaching
	c.mu.hasReadOnly = r.HasReadOnly
	c.mu.stats.asked("SESS", 0)
	closed := c.mu.closed
	c.mu.Unlock()
	if closed {
		return false // the door has been shut meanwhile
	}
	c.heard.Store(m.SessionNow())
	timeout := session.Negotiate(r.TimeoutMs, s.o.MinTimeoutMs, s.o.MaxTimeoutMs)
	if door == doorReadOnly {
		return c.visit(&r, timeout)
	}
	m.Attach(c.id, r.SessionID, bytes.Clone(r.Passwd), timeout)
	return true
}
