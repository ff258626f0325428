package zab

import (
	"fmt"
	"math"
	"slices"

	"zooid/wire"
)

// link is a learner's connection to this member, as its leader sees it.
type link struct {
	conn  ConnID
	stage linkStage
	heard int64 // when the last packet came, or when the learner was last asked for one

	// What the learner has said of itself.
	sid      wire.SID
	observer bool
	voter    bool  // its acks count
	ours     bool  // it cuts its log exactly where TRUNC says
	accepted int64 // its accepted epoch
	from     []wire.SID
	known    bool // it comes from an address of the member that it says it is
	unlisted bool // is in nobody's list that we know of: follows without a vote

	// last is the learner's last zxid, from ACKEPOCH.
	last wire.Zxid
	// opened tells that DIFF, TRUNC or SNAP has been sent, and sent up to which
	// zxid the learner then has everything.
	opened bool
	sent   wire.Zxid

	// acked is the last zxid that the learner has on disk, as it told by this
	// connection. It is forgotten with the connection: who comes back may have to
	// drop what it has acknowledged, and get it anew.
	acked wire.Zxid
	// overdue is a proposal that was not acknowledged at the time of overdueAt.
	overdue   wire.Zxid
	overdueAt int64

	// contends tells that it has promised and waits, because another connection of
	// the same server is synchronized; challenged is when that one was asked for a
	// sign of life because of it, 0 if it was not. See contest.go.
	contends   bool
	challenged int64

	// pings has, for each PING that is not answered, the number that Confirm had
	// come to; confirmed is the last of them that is answered.
	pings     []int64
	confirmed int64
	// syncs has, for each SYNC that is owed, the zxid behind which it goes; of a
	// learner of ZooKeeper's only.
	syncs []wire.Zxid
}

// linkStage is how far a learner has come.
type linkStage uint8

const (
	linkGreeting    linkStage = iota // has said nothing
	linkInformed                     // FOLLOWERINFO or OBSERVERINFO came
	linkOffered                      // LEADERINFO sent
	linkPromised                     // ACKEPOCH came; waits for the leader to be ready
	linkReading                      // waits for a part of our log
	linkSnapshot                     // a snapshot is under way
	linkJoined                       // NEWLEADER sent; gets all broadcasts from here on
	linkNewLeaderOK                  // NEWLEADER acknowledged
	linkServing                      // UPTODATE sent
)

// linksMax bounds the connections of learners to this member. At the bound the
// oldest that has promised nothing gives way, one from a member's address last.
const linksMax = 1024

// epochMax is the greatest epoch in use: the next one would make zxids negative.
// What somebody says of epochs, anybody could say, so jumps are bounded:
// epochNear is how far beyond ours the claim of a member counts at once; epochLeap
// is how far a leader goes, once a term, if there is no quorum without those that
// claim more; epochJump is how far a learner goes with its leader.
const (
	epochMax  = math.MaxInt32 - 1
	epochNear = 8
	epochLeap = 1000
	epochJump = 1 << 20
)

// Accepted is a learner that has connected to this member's quorum port. from are
// the members to whose addresses the connection's other end belongs: who says to
// be one of them is believed sooner than who comes from elsewhere.
func (m *Machine) Accepted(conn ConnID, from ...wire.SID) {
	if m.elect == nil || m.retired || m.learner != nil || m.declining {
		m.ready.Close = append(m.ready.Close, conn)
		return
	}
	if len(m.links) >= linksMax && !m.evict(len(from) > 0, func(*link) bool { return true }) {
		m.ready.Close = append(m.ready.Close, conn)
		return
	}
	m.links = append(m.links, &link{conn: conn, heard: m.nowMs, from: from})
}

// link finds a learner's connection, nil if it is gone.
func (m *Machine) link(conn ConnID) *link {
	for _, k := range m.links {
		if k.conn == conn {
			return k
		}
	}
	return nil
}

// forget drops a connection that is gone.
func (m *Machine) forget(k *link) {
	i := slices.Index(m.links, k)
	m.links = slices.Delete(m.links, i, i+1)
}

// closeLink ends a learner's connection.
func (m *Machine) closeLink(k *link, reason string) {
	m.forget(k)
	m.ready.Close = append(m.ready.Close, k.conn)
	m.ready.Refused = append(m.ready.Refused, Refused{Conn: k.conn, SID: k.sid, Reason: reason})
}

// closeLinks ends the connections of all learners.
func (m *Machine) closeLinks() {
	for _, k := range m.links {
		m.ready.Close = append(m.ready.Close, k.conn)
	}
	clear(m.links)
	m.links = m.links[:0]
}

// dropSilent ends the connections that have said nothing, or have waited in
// vain for this member to lead.
func (m *Machine) dropSilent() {
	for i := len(m.links) - 1; i >= 0; i-- {
		if k := m.links[i]; m.nowMs-k.heard >= m.initMs() {
			m.closeLink(k, "no leader was found in time")
		}
	}
}

// greeted takes the first packet of a learner.
func (m *Machine) greeted(k *link, p *wire.QuorumPacket) {
	if p.Type != wire.PacketFollowerInfo && p.Type != wire.PacketObserverInfo {
		m.closeLink(k, fmt.Sprintf("begins with %v", p.Type))
		return
	}
	var info wire.LearnerInfo
	d := wire.NewDecoder(p.Data)
	info.Decode(&d)
	k.sid, k.accepted = info.SID, int64(p.Zxid)>>32
	switch {
	case d.Err() != nil:
		m.closeLink(k, "cannot be understood: "+d.Err().Error())
		return
	case info.SID < 0 || info.SID == m.cfg.SID:
		m.closeLink(k, fmt.Sprintf("claims to be server %d", info.SID))
		return
	case info.ProtocolVersion < wire.ProtocolVersion:
		m.closeLink(k, fmt.Sprintf("speaks protocol version %#x, at least %#x is needed", info.ProtocolVersion, wire.ProtocolVersion))
		return
	case k.accepted < 0 || k.accepted >= epochMax:
		m.closeLink(k, fmt.Sprintf("claims to have promised epoch %d, ours is %d", k.accepted, m.epochs.Accepted))
		return
	case info.ConfigVersion > m.cfg.Ensemble.Version:
		m.closeLink(k, fmt.Sprintf("knows configuration %v, newer than ours, %v", info.ConfigVersion, m.cfg.Ensemble.Version))
		return
	}
	k.observer = p.Type == wire.PacketObserverInfo
	k.voter = !k.observer && m.cfg.Ensemble.votes(k.sid)
	k.ours = info.ProtocolVersion == wire.ProtocolVersionZooid
	k.known = slices.Contains(k.from, k.sid)
	k.unlisted = m.cfg.Ensemble.Member(k.sid) == nil
	if !m.compete(k) {
		return
	}
	k.stage, k.heard = linkInformed, m.nowMs
	if m.leader != nil {
		m.leader.informed(k)
	}
}
