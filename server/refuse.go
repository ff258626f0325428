package server

import (
	"sync/atomic"
	"time"

	"zooid/wire"
)

// refusedFor is how long, in µs, writes are refused here after the leader has
// refused one: each that it refuses takes a transaction on a disk that has hardly
// any room. After it one is let through again, which finds out whether there is.
const refusedFor = int64(time.Second / time.Microsecond)

// refusal says whether writes are taken.
type refusal struct {
	own    atomic.Bool  // this member refuses them
	leader atomic.Int64 // until when the leader is taken to refuse them, see Server.now
}

// RefuseWrites has writes answered with NOTREADONLY, or no longer: there is too
// little room on the disk for them. It is what a read-only server of ZooKeeper's
// answers, so that every client knows the code, and that nothing was done. Reads,
// syncs, pings and the ends of sessions go on, and clients are let in. Any
// goroutine may call it.
func (s *Server) RefuseWrites(refuse bool) { s.refusal.own.Store(refuse) }

// refuses tells whether a request that needs the leader is refused.
func (s *Server) refuses(op wire.OpCode) bool {
	if op == wire.OpCloseSession || op == wire.OpSync {
		return false
	}
	until := s.refusal.leader.Load()
	return s.refusal.own.Load() || until != 0 && s.now() < until
}

// leaderRefused notes the outcome of a request that was let through.
func (s *Server) leaderRefused(code wire.ErrCode) {
	switch {
	case code == wire.ErrNotReadOnly:
		s.refusal.leader.Store(s.now() + refusedFor)
	case s.refusal.leader.Load() != 0:
		s.refusal.leader.Store(0)
	}
}
