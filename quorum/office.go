package quorum

import (
	"slices"
	"time"

	"zooid/wire"
	"zooid/zab"
)

// Sizes are the last, least and greatest of some sizes in bytes, each -1
// before the first one.
type Sizes struct{ Last, Min, Max int64 }

var noSizes = Sizes{-1, -1, -1}

func (s *Sizes) add(n int64) {
	s.Last = n
	if s.Min < 0 || n < s.Min {
		s.Min = n
	}
	s.Max = max(s.Max, n)
}

// office is what a leader of an ensemble measures: how far its voters are
// behind, and how long proposals take. The peer has no clock for that.
type office struct {
	sizes  Sizes // of proposals
	voters []voter
	sample sample
}

// voter is a connected voter as the last tick saw it.
type voter struct {
	conn zab.ConnID
	sid  wire.SID
	// lacks is a proposal that it had not acknowledged at the time of since; 0 if
	// it lacks none.
	lacks wire.Zxid
	since time.Time
}

// sample is a proposal whose time is taken. There is one at a time: every one
// would cost a look at the clock for every ACK.
type sample struct {
	upTo  wire.Zxid // 0: none
	at    time.Time
	waits []voter // who has not acknowledged it, this member among them
	// open tells that it is not committed.
	open bool
}

// sampleMax is how long voters that have not acknowledged a committed sample
// keep the next one waiting.
const sampleMax = time.Second

// look compares, with every tick, what the voters have acknowledged with what
// was proposed. Closer is not worth it.
func (o *office) look(st *zab.Status, now time.Time) {
	before := o.voters
	o.voters = make([]voter, 0, len(st.Learners))
	for i := range st.Learners {
		l := &st.Learners[i]
		if !l.Voter {
			continue
		}
		v := voter{conn: l.Conn, sid: l.SID}
		// A leader that has proposed nothing yet points behind the history that
		// every learner in step has.
		if l.Acked < st.Proposed && !(l.Synced && st.Proposed.Counter() == 0) {
			v.lacks, v.since = st.Proposed, now
			for j := range before {
				if b := &before[j]; b.conn == v.conn && b.lacks != 0 && l.Acked < b.lacks {
					v.lacks, v.since = b.lacks, b.since
				}
			}
		}
		o.voters = append(o.voters, v)
	}
}

// lags tells for each connected voter how long it has lacked something, 0 if it
// lacks nothing.
func (o *office) lags(now time.Time) map[wire.SID]time.Duration {
	times := make(map[wire.SID]time.Duration, len(o.voters))
	for _, v := range o.voters {
		times[v.sid] = 0
		if v.lacks != 0 {
			times[v.sid] = now.Sub(v.since)
		}
	}
	return times
}

// proposed notes a batch of proposals, and takes it as the sample if there is
// none.
func (m *Member) proposed(batch []wire.Entry) {
	m.o.Count.Proposed(int64(len(batch)))
	if m.net == nil {
		return
	}
	o := &m.turn.office
	for i := range batch {
		o.sizes.add(int64(len(batch[i].Payload)))
	}
	s := &o.sample
	if s.upTo != 0 {
		return
	}
	s.upTo, s.at, s.open = batch[len(batch)-1].Zxid, m.o.Now(), true
	s.waits = append(append(s.waits[:0], voter{sid: m.o.Peer.Zab.SID}), o.voters...)
}

// acked notes that a learner, or with connection 0 this member's own log, has
// everything up to z on disk.
func (m *Member) acked(conn zab.ConnID, z wire.Zxid) {
	s := &m.turn.office.sample
	if s.upTo == 0 || z < s.upTo {
		return
	}
	i := slices.IndexFunc(s.waits, func(v voter) bool { return v.conn == conn })
	if i < 0 {
		return
	}
	m.o.Count.Acked(s.waits[i].sid, m.o.Now().Sub(s.at))
	s.waits = slices.Delete(s.waits, i, i+1)
	s.endIfDone()
}

// applied notes that everything up to z is committed and in the tree.
func (m *Member) applied(z wire.Zxid) {
	if s := &m.turn.office.sample; s.open && z >= s.upTo {
		s.open = false
		m.o.Count.QuorumAcked(m.o.Now().Sub(s.at))
		s.endIfDone()
	}
}

// countPackets counts what a batch of packets brings to a member that serves.
func (m *Member) countPackets(conn zab.ConnID, packets []wire.QuorumPacket) {
	var proposals, commits, asked int64
	var last *wire.QuorumPacket
	for i := range packets {
		switch p := &packets[i]; p.Type {
		case wire.PacketAck:
			m.acked(conn, p.Zxid)
		case wire.PacketProposal:
			proposals, last = proposals+1, p
		case wire.PacketCommit, wire.PacketInform:
			commits++
		case wire.PacketRevalidate:
			asked++
		}
	}
	if state := m.turn.place.state; state == wire.Looking || proposals+commits+asked == 0 {
		return
	} else if state == wire.Leading {
		m.o.Count.Revalidated(asked)
		return
	}
	m.o.Count.ProposalsReceived(proposals)
	m.o.Count.CommitsReceived(commits)
	if last != nil {
		var h wire.TxnHeader
		d := wire.NewDecoder(last.Data)
		if h.Decode(&d); d.Err() == nil {
			m.o.Count.ProposalTravelled(m.o.Now().Sub(time.UnixMilli(h.TimeMs)))
		}
	}
}

func (s *sample) endIfDone() {
	if !s.open && len(s.waits) == 0 {
		s.upTo = 0
	}
}

// survey has a leader look at its voters. A sample that only stragglers have not
// acknowledged is ended, with what they have taken so far.
func (m *Member) survey(now time.Time) {
	o := &m.turn.office
	st := m.peer.Machine.Status()
	o.look(&st, now)
	s := &o.sample
	if s.upTo == 0 || s.open || now.Sub(s.at) < sampleMax {
		return
	}
	for _, v := range s.waits {
		if v.conn == 0 || slices.ContainsFunc(o.voters, func(still voter) bool { return still.conn == v.conn }) {
			m.o.Count.Acked(v.sid, now.Sub(s.at))
		}
	}
	s.waits = s.waits[:0]
	s.endIfDone()
}
