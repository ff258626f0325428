package server

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/subtle"
	"slices"
	"time"

	"go.uber.org/zap"

	"zooid/fourletter"
	"zooid/session"
	"zooid/wire"
)

// A read-only server has no leader who could make a session, so its sessions,
// visitors, live and die here: they take no zxid, own nothing, and end with the
// next Drop.

// visitor is a session on a read-only server.
type visitor struct {
	id        wire.SessionID
	passwd    [session.PasswordSize]byte
	timeoutMs int32
	conn      *conn // nil while it has none
	until     int64 // without a connection: when it is forgotten, see Server.now
}

// visitors are the sessions of a read-only server. Server.mu guards them.
type visitors struct {
	byID  map[wire.SessionID]*visitor
	ids   *session.IDs
	sweep int64 // when to look for those to be forgotten, see Server.now
}

// visitorMark begins the password of every session of a read-only server of
// ours. Any member can tell by it that a session which it does not know was
// one, and is gone. Of other sessions a read-only server cannot say whether they
// live, so it must not say that they are gone.
var visitorMark = []byte("readonly")

// visitorsEvery is the pause in µs between two looks for visitors that are
// gone for good.
const visitorsEvery = int64(time.Second / time.Microsecond)

func (v *visitors) begin(sid wire.SID) {
	if v.ids == nil {
		// The member's own ids began at its start, and fall behind by 65,536 a ms.
		v.ids = session.NewIDs(sid, time.Now().UnixMilli())
	}
}

func (v *visitors) clear() { clear(v.byID) }

// add makes a session; taken tells whether an id is another's.
func (v *visitors) add(c *conn, timeoutMs int32, now int64, taken func(wire.SessionID) bool) *visitor {
	if now >= v.sweep {
		v.sweep = now + visitorsEvery
		for id, one := range v.byID {
			if one.conn == nil && now >= one.until {
				delete(v.byID, id)
			}
		}
	}
	one := &visitor{id: v.ids.Next(), timeoutMs: timeoutMs, conn: c}
	for taken(one.id) {
		one.id = v.ids.Next()
	}
	copy(one.passwd[copy(one.passwd[:], visitorMark):], rand.Text())
	v.byID[one.id] = one
	return one
}

// parted notes that c has ended; its session waits for another connection.
func (v *visitors) parted(c *conn, now int64) {
	if one := c.visitor; one != nil && one.conn == c {
		one.conn = nil
		one.until = now + int64(one.timeoutMs)*1000
	}
}

// describe fills in what words tell of the sessions.
func (v *visitors) describe(st *fourletter.Status, parts fourletter.Part, now int64) {
	st.LocalSessions += int64(len(v.byID))
	st.Sessions.LocalEnabled = true
	if parts&fourletter.PartSessions == 0 {
		return
	}
	ends := map[time.Time][]wire.SessionID{}
	wall := time.Now()
	for id, one := range v.byID {
		left := int64(one.timeoutMs) * 1000
		if one.conn == nil {
			left = max(one.until-now, 0)
		}
		at := wall.Add(micros(left)).Truncate(time.Second).Add(time.Second)
		ends[at] = append(ends[at], id)
	}
	for at, ids := range ends {
		slices.Sort(ids)
		st.Sessions.Local = append(st.Sessions.Local, fourletter.SessionExpiry{At: at, Sessions: ids})
	}
	slices.SortFunc(st.Sessions.Local, func(a, b fourletter.SessionExpiry) int { return cmp.Compare(a.At.Unix(), b.At.Unix()) })
}

// visit gives the connection a session of the read-only server. It is false if
// the connection is refused without a word.
func (c *conn) visit(r *wire.ConnectRequest, timeoutMs int32) bool {
	s := c.srv
	one, ok := s.visitor(c, r, timeoutMs)
	if !ok {
		c.close("a read-only server cannot confirm a session of the ensemble")
		return false
	}
	c.readOnly = true
	answer := wire.ConnectResponse{ReadOnly: true}
	if one != nil {
		answer.SessionID, answer.TimeoutMs, answer.Passwd = one.id, timeoutMs, one.passwd[:]
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mu.closed && !c.mu.dismissed {
		c.welcome(&answer)
	}
	return true
}

// visitor finds or makes the session that c asks for; nil is one that is gone.
// It is false for a session of which nothing can be said, and when the door has
// been shut meanwhile.
func (s *Server) visitor(c *conn, r *wire.ConnectRequest, timeoutMs int32) (one *visitor, ok bool) {
	c.tree.RLock()
	defer c.tree.RUnlock()
	taken := func(id wire.SessionID) bool {
		_, _, ok := c.tree.Session(id)
		return ok
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.door != doorReadOnly {
		return nil, false
	}
	one = s.mu.visitors.byID[r.SessionID]
	switch {
	case r.SessionID == 0:
		one = s.mu.visitors.add(c, timeoutMs, s.now(), taken)
	case one != nil && subtle.ConstantTimeCompare(one.passwd[:], r.Passwd) == 1:
		if one.conn != nil {
			one.conn.close("its session moved to another connection from " + c.remote.String())
		}
		one.conn, one.timeoutMs = c, timeoutMs
	case one != nil || bytes.HasPrefix(r.Passwd, visitorMark) && !taken(r.SessionID):
		return nil, true
	default:
		return nil, false
	}
	c.visitor = one
	return one, true
}

// visitTimeout is how long a client of a read-only server may be silent.
func (c *conn) visitTimeout() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(c.mu.timeoutMs) * time.Millisecond
}

// leave ends the session of a client of a read-only server.
func (c *conn) leave() {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	if one := c.visitor; one != nil && one.conn == c {
		delete(c.srv.mu.visitors.byID, one.id)
	}
}

// readOnly answers what would have to go through the leader. The end of the
// session is a matter of this server alone.
func (w *worker) readOnly(xid int32, op wire.OpCode) {
	if op != wire.OpCloseSession {
		w.fail(xid, op, wire.ErrNotReadOnly)
		return
	}
	w.unlock() // the registry's lock comes before the connection's
	w.c.leave()
	w.lockConn()
	w.fail(xid, op, wire.OK)
	w.c.srv.log.Debug("session of a read-only server ended", zap.Stringer("client", w.c.remote))
}
