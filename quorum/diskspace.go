package quorum

import "zooid/wire"

// DiskSpace tells how much is free on a member's disk.
type DiskSpace uint8

// From good to bad.
const (
	// DiskEnough: no bound is touched.
	DiskEnough DiskSpace = iota
	// DiskShort: what is left is kept for what the ensemble itself must write.
	DiskShort
	// DiskFull: that is used up as well.
	DiskFull
)

// diskSpace is what the loop knows of that.
type diskSpace struct {
	now DiskSpace
	// steppedDown tells that this member has made way once for a leader whose disk
	// may have more room, since its own became short. If they are all short nobody
	// has, and one of them must lead.
	steppedDown bool
}

// SetDiskSpace says how much is free for the log. A member alone, or a
// leader whom nobody replaces, refuses what clients write while there is too
// little; a follower takes part as long as it can, for its clients' writes need
// the leader's disk and a quorum's, not its own.
func (m *Member) SetDiskSpace(d DiskSpace) {
	m.post(func() {
		m.turn.disk.now = d
		if d == DiskEnough {
			m.turn.disk.steppedDown = false
		}
		m.judgeDisk()
	})
}

// StepDown has the member give up its role because of its disk. It looks for a
// leader again when others had the time to elect one, and its log has taken all
// that it was given.
func (m *Member) StepDown(reason string) {
	m.post(func() { m.peer.StepDown(reason) })
}

// judgeDisk draws the consequences of what is free and of the role. The caller
// has the turn.
func (m *Member) judgeDisk() {
	d, p := &m.turn.disk, &m.turn.place
	leads := m.net == nil || p.state == wire.Leading
	if d.now >= DiskShort && m.net != nil && p.state == wire.Leading && !d.steppedDown && m.followed() {
		d.steppedDown = true
		m.log.Warn("this leader's disk is nearly full, so it makes way for another one")
		m.peer.StepDown("its disk is nearly full, so another member is to lead")
		leads = false
	}
	refuse := leads && d.now >= DiskShort
	m.peer.RefuseWrites(refuse, refuse && d.now == DiskFull)
	m.o.Clients.RefuseWrites(refuse)
}

// followed tells whether a voter other than this leader is in step with it.
func (m *Member) followed() bool {
	for _, l := range m.peer.Machine.Status().Learners {
		if l.Voter && l.Synced {
			return true
		}
	}
	return false
}
