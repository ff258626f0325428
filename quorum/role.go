package quorum

import (
	"time"

	"go.uber.org/zap"

	"zooid/peer"
	"zooid/wire"
)

// place is what the loop knows of the member's role, or of the search for one.
type place struct {
	state   wire.PeerState // in which clients are served; Looking if they are not
	since   time.Time      // of the role, or of its end
	held    bool           // without a role, clients stay for a while
	reading bool           // without a role, clients are served read-only
	reason  string         // why the last role ended
	// Of the search: when it began anew, when somebody was elected and when the
	// leader said what it will send. Zero where that has not happened.
	search, elected, synced time.Time
	disloyal                int64 // zab.Status.Disloyal, as far as it has been counted
}

// serving lets clients in or out as the peer's role changes.
func (m *Member) serving(s *peer.Serving) {
	p := &m.turn.place
	switch {
	case s.State != wire.Looking:
		m.begin(s)
	case p.state != wire.Looking:
		m.ended(s.Reason)
	}
	p.held = s.Held
	switch looking, ends := s.State == wire.Looking, m.stopping.Load() || m.frozen.Load(); {
	case looking && ends:
		m.dropAll("this server stops")
	case looking && !p.held && !p.reading:
		m.o.Clients.Drop("this server has no leader")
	case !looking && !ends:
		m.o.Clients.Open(false)
	}
	if m.turn.disk.now != DiskEnough {
		m.judgeDisk()
	}
}

// begin notes a role. Clients that were served read-only go: their sessions are
// known nowhere else.
func (m *Member) begin(s *peer.Serving) {
	p, now := &m.turn.place, m.o.Now()
	if p.reading {
		p.reading = false
		m.o.Clients.Drop("there is a leader again, and this server serves writes")
	}
	unserved := now.Sub(p.since)
	found := p.state == wire.Looking
	p.state, p.since = s.State, now
	m.turn.office = office{sizes: noSizes}
	if m.net == nil || !found {
		return
	}
	m.log.Info(s.State.String(), zap.Int64("leader", int64(s.Leader)), zap.Int64("epoch", s.Epoch),
		zap.Stringer("zxid", m.tree.LastZxid()), zap.Duration("after", unserved))
	m.o.Count.Found(unserved)
	switch {
	case s.State == wire.Leading:
		m.o.Count.FoundLeading(unserved)
	case !p.synced.IsZero():
		m.o.Count.Synced(now.Sub(p.synced))
	}
}

// ended notes the end of a role that served.
func (m *Member) ended(reason string) {
	p := &m.turn.place
	p.state, p.since, p.reason = wire.Looking, m.o.Now(), reason
	m.turn.office = office{}
	if m.stopping.Load() {
		return
	}
	m.log.Warn("looking for a leader: "+reason, zap.Stringer("zxid", m.tree.LastZxid()))
	m.o.Count.RoleEnded(reason)
	m.look()
}

// look notes that the search for a leader begins, for the first time or anew.
func (m *Member) look() {
	p := &m.turn.place
	p.search, p.elected, p.synced = m.o.Now(), time.Time{}, time.Time{}
	m.o.Count.Looked(1)
}

// watch notes how far the search has come.
func (m *Member) watch() {
	p := &m.turn.place
	if p.state != wire.Looking || !p.synced.IsZero() {
		return
	}
	st := m.peer.Machine.Status()
	if n := st.Disloyal - p.disloyal; n > 0 {
		m.o.Count.Disloyal(n)
		p.disloyal = st.Disloyal
	}
	if st.State == wire.Looking {
		return
	}
	if p.elected.IsZero() {
		p.elected = m.o.Now()
		if st.State != wire.Observing { // which only asks who was elected
			m.o.Count.Elected(p.elected.Sub(p.search))
		}
	}
	if st.Phase == "synchronization" {
		p.synced = m.o.Now()
	}
}

// readOnly serves clients that only want to read, when there has been no
// leader for long.
func (m *Member) readOnly(now time.Time) {
	p := &m.turn.place
	if m.net == nil || p.reading || p.held || p.state != wire.Looking || m.stopping.Load() || m.frozen.Load() {
		return
	}
	if after := m.net.e.ReadOnlyAfter; after > 0 && now.Sub(p.since) >= after {
		p.reading = true
		m.log.Warn("read-only until there is a leader", zap.Stringer("zxid", m.tree.LastZxid()))
		m.o.Clients.Open(true)
	}
}

// dropAll lets all clients go, for a reason that is not the role's: who may only
// read may come back.
func (m *Member) dropAll(reason string) {
	m.turn.place.held, m.turn.place.reading = false, false
	m.o.Clients.Drop(reason)
}
