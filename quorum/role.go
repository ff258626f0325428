package quorum

import (
	"errors"
	"syscall"
	"time"

	"go.uber.org/zap"

	"zooid/peer"
	"zooid/wire"
)

// Instruments count what the member does; nil ones count nothing.
type Instruments struct {
	Proposed      func(n int64)                // transactions handed to the log
	Applied       func(n int64)                // transactions that were committed
	Expired       func(n int64)                // sessions that ended because nobody was heard
	SnapshotsSent func(n int64)                // snapshots streamed to learners
	Installed     func(n int64)                // snapshots taken over from leaders
	Truncated     func(n int64)                // times that the log was cut
	RoleEnded     func(reason string)          // roles that ended, and why
	Found         func(unserved time.Duration) // a role begins again after so long without one
}

// fill puts something that does nothing in the place of what is not counted.
func (c *Instruments) fill() {
	for _, count := range []*func(int64){&c.Proposed, &c.Applied, &c.Expired, &c.SnapshotsSent, &c.Installed, &c.Truncated} {
		if *count == nil {
			*count = func(int64) {}
		}
	}
	if c.RoleEnded == nil {
		c.RoleEnded = func(string) {}
	}
	if c.Found == nil {
		c.Found = func(time.Duration) {}
	}
}

// serving lets clients in or out as the peer's role changes.
func (m *Member) serving(s *peer.Serving) {
	t := &m.turn
	if s.State != wire.Looking || t.looking.IsZero() {
		t.since = m.o.Now()
	}
	switch {
	case s.State != wire.Looking:
		if m.net != nil {
			unserved := m.o.Now().Sub(t.looking)
			m.o.Count.Found(unserved)
			m.log.Info(s.State.String(), zap.Int64("leader", int64(s.Leader)), zap.Int64("epoch", s.Epoch),
				zap.Stringer("zxid", m.tree.LastZxid()), zap.Duration("after", unserved))
		}
		t.looking = time.Time{}
		if t.reading {
			t.reading = false
			m.o.Clients.Drop("there is a leader again, and this server serves writes")
		}
		m.o.Clients.Open(false)
	case m.stopping.Load():
		t.looking = m.o.Now()
		m.o.Clients.Drop("the server stops")
	default:
		if t.looking.IsZero() {
			t.looking, t.reason = m.o.Now(), s.Reason
			m.o.Count.RoleEnded(s.Reason)
			m.log.Warn("looking for a leader: "+s.Reason, zap.Stringer("zxid", m.tree.LastZxid()))
		}
		if !s.Held && !t.reading || m.frozen.Load() {
			m.o.Clients.Drop("this server has no leader")
		}
	}
}

// readOnly serves clients that only want to read, when there has been no
// leader for long.
func (m *Member) readOnly(now time.Time) {
	t := &m.turn
	if m.net == nil || t.reading || t.looking.IsZero() || m.stopping.Load() {
		return
	}
	if after := m.net.e.ReadOnlyAfter; after > 0 && now.Sub(t.looking) >= after {
		t.reading = true
		m.log.Warn("read-only until there is a leader", zap.Stringer("zxid", m.tree.LastZxid()))
		m.o.Clients.Open(true)
	}
}

// isDiskFull tells whether an error goes away when there is room.
func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
