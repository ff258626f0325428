package zab

import (
	"fmt"

	"zooid/wire"
)

// Machine is one member's part in the protocol. It has at most one role at a
// time: leader or learner; without one it rests until all that the last one
// wrote is on disk, and then looks for a leader.
type Machine struct {
	cfg   Config
	nowMs int64 // of the last Tick, less stalledMs
	// stalledMs is the time in which this process did not run although it was to,
	// from the last Tick before: nobody can be blamed for not having been heard.
	stalledMs int64
	log       history
	elect     *election // nil for a member alone

	disloyal int64 // see Status.Disloyal

	epochs Epochs // on disk
	saving *Epochs
	// secret is on disk, and adopting, if not empty, on its way there.
	secret, adopting string
	// zooids tells of the members that have served in a role with this one, as its
	// learners or its leader, whether they are ours, as far as is known.
	zooids map[wire.SID]bool
	// cutting and installing tell that the disk has not answered Truncate or
	// Install yet.
	cutting, installing bool

	leader  *leader
	learner *learner
	resting bool // has no role, and the election waits for the disk
	// confirmed is the last zxid that a quorum is known to have had: what was
	// applied in a role since the start. No leader of this ensemble can lack it.
	confirmed wire.Zxid
	// failures counts the roles in a row that ended before they served. From the
	// patience-th on the next election waits, until restUntil: a member that every
	// leader refuses must not keep the others busy.
	failures  int
	restUntil int64
	// raise is the epoch beyond which the next term as leader begins at the least:
	// the last one was given up for a voter that has promised it.
	raise   int64
	retired bool // has resigned and takes part in nothing any more

	// links are the learners' connections to this member, in the order of their
	// arrival. While looking they are kept waiting, for this member may come to
	// lead; a learner has none.
	links []*link
	// zeroEpoch is the epoch towards whose leader this member reports an empty
	// history, because its disk cannot go back to what that leader has.
	zeroEpoch int64
	// distrusted says that the state here is not what its history leads to. Until a
	// leader's has taken its place this member reports an empty history, and does not
	// lead while others can; nor does it while it is unfit to lead.
	distrusted, unfit bool
	declined          int   // elections that it has won and declined since it became so
	declining         bool  // and who comes to be led is turned away until it looks again
	confirms          int64 // numbers handed out by Confirm

	ready, spare Ready
}

// New makes a machine; Start sets it going.
func New(cfg Config, disk Disk) *Machine {
	m := &Machine{cfg: cfg, log: newHistory(disk, cfg.RecentBytes), epochs: disk.Epochs,
		secret: cfg.Secret, zooids: map[wire.SID]bool{}}
	if cfg.Ensemble != nil {
		m.elect = newElection(&m.cfg)
	}
	return m
}

// Start begins the first election, or the term of a member alone. nowMs, here
// and everywhere, is a monotonic clock in ms.
func (m *Machine) Start(nowMs int64) {
	m.nowMs = nowMs
	if m.elect == nil {
		m.leader = newLeader(m)
		m.leader.start()
		return
	}
	m.resting = true
	m.settle()
}

// Tick tells the time. It is due at Deadline at the latest.
func (m *Machine) Tick(nowMs int64) {
	if m.elect == nil || m.retired {
		return
	}
	nowMs -= m.stalledMs
	if late := nowMs - m.due(); late > m.cfg.TickMs {
		m.stalledMs += nowMs - m.nowMs
		nowMs = m.nowMs
	}
	m.nowMs = max(m.nowMs, nowMs)
	switch {
	case m.leader != nil:
		m.leader.tick()
	case m.learner != nil:
		m.learner.tick()
	default:
		m.dropSilent()
	}
	m.elect.tick(m.nowMs)
	m.settle()
}

// Deadline is when Tick is wanted next, in ms of the clock.
func (m *Machine) Deadline() int64 {
	if m.elect == nil || m.retired {
		return never
	}
	if at := m.due(); at != never {
		return at + m.stalledMs
	}
	return never
}

// due is when Tick is wanted, in the time that leaves out stalls.
func (m *Machine) due() int64 {
	at := m.elect.deadline()
	switch {
	case m.leader != nil:
		at = min(at, m.leader.nextTick)
	case m.learner != nil:
		at = min(at, m.learner.deadline())
	case m.resting && m.restUntil > m.nowMs:
		at = min(at, m.restUntil)
	case m.resting:
		at = min(at, m.nowMs+m.cfg.TickMs)
	case len(m.links) > 0:
		at = min(at, m.links[0].heard+m.initMs())
	}
	return at
}

// initMs and syncMs are initLimit and syncLimit in ms.
func (m *Machine) initMs() int64 { return m.cfg.InitLimit * m.cfg.TickMs }
func (m *Machine) syncMs() int64 { return m.cfg.SyncLimit * m.cfg.TickMs }

// settle carries on where no single event leads: it begins an election once the
// disk has everything, and a role once the election has decided.
func (m *Machine) settle() {
	if m.elect == nil {
		return
	}
	if m.resting && !m.retired && m.nowMs >= m.restUntil && m.drained() {
		m.resting, m.declining = false, false
		m.elect.look(m.nowMs, m.log.durable, m.epochs.Current)
	}
	if v := m.elect.decided; v != nil {
		m.elect.decided = nil
		m.begin(v.Leader)
	}
	if seen := m.elect.lookingSeen; len(seen) > 0 {
		m.elect.lookingSeen = seen[:0]
		if m.leader != nil {
			m.leader.disloyal(seen)
		}
	}
	if n := m.elect.notices; len(n) > 0 {
		m.ready.Notices = append(m.ready.Notices, n...)
		m.elect.notices = n[:0]
	}
	if m.elect.connectAll {
		m.ready.ConnectAll, m.elect.connectAll = true, false
	}
}

// drained tells whether nothing is under way to the disk, so that what this
// member says of its history is what a crash would leave (quorum.md §22.10).
func (m *Machine) drained() bool {
	return m.saving == nil && m.adopting == "" && !m.cutting && !m.installing && m.log.durable == m.log.last()
}

// begin takes the role that the election has given.
func (m *Machine) begin(leader wire.SID) {
	if m.leader != nil || m.learner != nil || !m.drained() {
		panic(fmt.Sprintf("zab: elected %d while in a role, or before the disk is done", leader))
	}
	if leader == m.cfg.SID {
		if m.declines() {
			return
		}
		m.leader = newLeader(m)
		m.leader.discover()
		return
	}
	m.closeLinks()
	m.learner = newLearner(m, leader)
	m.learner.dial()
}

// Declining to lead: how often in a row, and for how many ticks the member then
// takes part in no election. The others elect one of themselves meanwhile, if they
// are a quorum; if they are none without this member, or lack what it has, it
// leads nevertheless.
const (
	declinesMax  = 2
	declineTicks = 3
)

// declines ends an election that this member has won, if it had better not lead.
func (m *Machine) declines() bool {
	if !m.distrusted && !m.unfit {
		return false
	}
	if m.declined++; m.declined > declinesMax {
		return false
	}
	m.end("elected, but another server had better lead")
	m.declining = true
	m.restUntil = m.nowMs + declineTicks*m.cfg.TickMs
	return true
}

// Distrust says that the state here is not what its history leads to, as a digest
// shows: the role ends, and the next leader is asked for its whole state. The
// history itself stays, and counts in elections.
func (m *Machine) Distrust(reason string) {
	if m.elect == nil || m.retired {
		return
	}
	m.distrusted, m.declined = true, 0
	m.leave(reason)
}

// Unfit says that this member must not lead from now on while others can: a term
// of its own ends.
func (m *Machine) Unfit(reason string) {
	if m.elect == nil || m.retired || m.unfit {
		return
	}
	m.unfit, m.declined = true, 0
	if m.leader != nil {
		m.leave(reason)
	}
}

// leave ends the role, if there is one, and looks again.
func (m *Machine) leave(reason string) {
	if m.leader != nil || m.learner != nil {
		m.end(reason)
		m.settle()
	}
}

// patience is how many elections in vain follow each other without a pause.
const patience = 4

// end ends the role, if there is one, and the next election comes as soon as the
// disk is done. From here on nobody is told of the old role, and only then do
// the connections go: who looks at once finds nobody that still claims to lead
// (quorum.md §18).
func (m *Machine) end(reason string) {
	serving := m.leader != nil && m.leader.phase == leaderBroadcast || m.learner != nil && m.learner.phase == learnerServing
	silentMs := m.silentMs()
	if m.elect != nil {
		m.elect.settle(wire.Looking)
	}
	if m.learner != nil && m.learner.conn != 0 {
		m.ready.Close = append(m.ready.Close, m.learner.conn)
	}
	m.leader, m.learner = nil, nil
	m.resting = true
	if m.failures++; serving {
		m.failures = 0
	}
	if over := m.failures - patience; over >= 0 {
		m.restUntil = m.nowMs + min(int64(5)<<min(over, 10), m.cfg.TickMs/2)
	}
	m.closeLinks()
	r := &m.ready
	r.Dial, r.PingsDue = nil, 0
	r.Reads, r.Snapshots, r.Forwarded = r.Reads[:0], r.Snapshots[:0], r.Forwarded[:0]
	if serving {
		r.Role = &RoleChange{State: wire.Looking, Leader: wire.NoSID, Reason: reason, SilentMs: silentMs}
	} else {
		r.Failed = reason
	}
}

// silentMs is RoleChange.SilentMs of the role that ends. A leader that a quorum has
// not answered for a tick is as silent as one can be: nobody knows since when.
func (m *Machine) silentMs() int64 {
	switch {
	case m.learner != nil:
		return m.nowMs - m.learner.heard
	case m.leader != nil && !m.leader.quorum(true, func(k *link) bool { return k.stage >= linkNewLeaderOK && m.nowMs-k.heard <= m.cfg.TickMs }):
		return never
	}
	return 0
}

// Resign ends a leader's term in good order so that the others elect at once;
// a member that does not lead only leaves its leader. It takes part in no
// election any more.
func (m *Machine) Resign(reason string) {
	m.retired = true
	if m.leader != nil || m.learner != nil {
		m.end(reason)
	}
	m.closeLinks()
	if m.elect != nil {
		m.elect.silence()
		m.settle()
	}
}

// StepDown ends the role so that another member may lead: this one looks for a
// leader only after others have had the time to elect one, and not before all
// that it was given is on disk. Without a role, or alone, it does nothing.
func (m *Machine) StepDown(reason string) {
	if m.elect == nil || m.leader == nil && m.learner == nil {
		return
	}
	m.end(reason)
	m.restUntil = max(m.restUntil, m.nowMs+max(m.cfg.TickMs/2, 2*m.cfg.FinalizeMs))
	m.settle()
}

// Notified is a notification from a member, by an election connection.
func (m *Machine) Notified(from wire.SID, n *wire.Notification) {
	if m.elect != nil {
		m.elect.notified(m.nowMs, from, n)
		m.settle()
	}
}

// Linked and Unlinked tell that an election connection with a member stands, or
// is gone and could not be made again at once.
func (m *Machine) Linked(sid wire.SID) {
	if m.elect != nil {
		m.elect.linked(m.nowMs, sid)
		if m.leader != nil && m.leader.phase == leaderDiscovery {
			m.leader.chooseEpoch() // it may have been all that was missing
		}
		m.settle()
	}
}

// Unlinked is the other half of Linked.
func (m *Machine) Unlinked(sid wire.SID) {
	if m.elect == nil {
		return
	}
	m.elect.unlinked(m.nowMs, sid)
	if m.learner != nil {
		m.learner.unlinked(sid)
	}
	m.settle()
}

// Dialled and DialFailed answer Ready.Dial.
func (m *Machine) Dialled(conn ConnID) {
	if m.learner == nil || m.learner.phase != learnerDialling || m.learner.conn != 0 {
		m.ready.Close = append(m.ready.Close, conn) // nobody waits for it any more
		return
	}
	m.learner.dialled(conn)
}

// DialFailed is the other answer to Ready.Dial.
func (m *Machine) DialFailed(leader wire.SID) {
	if m.learner != nil && m.learner.leader == leader {
		m.learner.dialFailed()
		m.settle()
	}
}

// Packet is what a connection has brought. The machine keeps the packet's data.
func (m *Machine) Packet(conn ConnID, p wire.QuorumPacket) {
	if m.learner != nil {
		if m.learner.conn == conn {
			m.learner.packet(&p)
			m.settle()
		}
		return
	}
	k := m.link(conn)
	switch {
	case k == nil: // closed by us, and it has not heard yet
	case k.stage == linkGreeting:
		m.greeted(k, &p)
		m.settle()
	case m.leader != nil:
		m.leader.packet(k, &p)
		m.settle()
	default:
		m.closeLink(k, fmt.Sprintf("%v before the leader has answered", p.Type))
	}
}

// Closed tells that a connection has ended, whoever ended it.
func (m *Machine) Closed(conn ConnID, reason string) {
	if m.learner != nil && m.learner.conn == conn {
		m.learner.conn = 0
		if reason == "" {
			reason = "leader closed the connection"
		}
		m.end(reason)
		m.settle()
		return
	}
	if k := m.link(conn); k != nil {
		m.forget(k)
		if m.leader != nil {
			m.leader.vacated(k.sid)
			m.settle()
		}
	}
}

// Logged tells that every entry up to z is on disk.
func (m *Machine) Logged(z wire.Zxid) {
	m.log.logged(z)
	switch {
	case m.leader != nil:
		m.leader.logged()
	case m.learner != nil:
		m.learner.logged()
	}
	m.log.trim()
	m.settle()
}

// save has the epochs written; neither goes back.
func (m *Machine) save(e Epochs) {
	if m.saving != nil {
		panic(fmt.Sprintf("zab: epochs %v to be saved while %v are", e, *m.saving))
	}
	e.Current = max(e.Current, m.epochs.Current)
	e.Accepted = max(e.Accepted, e.Current, m.epochs.Accepted)
	m.saving = &e
	if mistaken(ForgetAcceptedEpoch) && e.Current == m.epochs.Current || mistaken(ForgetCurrentEpoch) && e.Current > m.epochs.Current {
		m.EpochsSaved(e)
		return
	}
	m.ready.SaveEpochs = &e
}

// EpochsSaved answers Ready.SaveEpochs.
func (m *Machine) EpochsSaved(e Epochs) {
	if m.saving == nil || *m.saving != e {
		panic(fmt.Sprintf("zab: epochs %v are saved, which were not to be", e))
	}
	m.saving, m.epochs = nil, e
	switch {
	case m.leader != nil:
		m.leader.saved()
	case m.learner != nil:
		m.learner.saved()
	}
	m.settle()
}

// Truncated answers Ready.Truncate; last is the last record that is left, or the
// state that the log follows if there is none.
// false says that the disk holds a later state than that: see quorum.md §22.7.
func (m *Machine) Truncated(last wire.Zxid, ok bool) {
	if !m.cutting {
		panic(fmt.Sprintf("zab: truncated to %v without being asked", last))
	}
	m.cutting = false
	if ok {
		m.log.truncated(last)
	}
	if m.learner != nil {
		m.learner.truncated(last, ok)
	}
	m.settle()
}

// Installed answers Ready.Install: the state on disk and the tree are at z now.
// ok is false if the stream broke; everything is as it was before then.
func (m *Machine) Installed(z wire.Zxid, ok bool) {
	if !m.installing {
		panic(fmt.Sprintf("zab: a snapshot of %v installed without being asked for", z))
	}
	m.installing = false
	ok = ok || mistaken(KeepBrokenSnapshot)
	if ok {
		m.log.reset(z)
		m.zeroEpoch, m.distrusted = 0, false
		// It came with its own epoch, see Install.Epoch.
		m.epochs.Current = max(m.epochs.Current, int64(z.Epoch()))
	}
	if m.learner != nil {
		m.learner.installed(ok)
	}
	m.settle()
}

// SnapshotSent answers a SendSnapshot: the stream at z is written, or under way
// with nothing else in between. ok is false if it could not be made.
func (m *Machine) SnapshotSent(conn ConnID, z wire.Zxid, ok bool) {
	if k := m.link(conn); k != nil && m.leader != nil {
		m.leader.snapshotSent(k, z, ok)
		m.settle()
	}
}

// LogRead answers a ReadLog.
func (m *Machine) LogRead(conn ConnID, c LogChunk) {
	if k := m.link(conn); k != nil && m.leader != nil {
		m.leader.logRead(k, &c)
		m.settle()
	}
}

// append gives a record to the log.
func (m *Machine) append(e wire.Entry) {
	m.log.append(e)
	m.ready.Entries = append(m.ready.Entries, e)
}

// commitTo hands the records in front of a position to the peer.
func (m *Machine) commitTo(pos int) {
	m.ready.Committed = m.log.commitTo(pos, m.ready.Committed)
	m.confirmed = m.log.committed
}

// send queues a packet for a connection.
func (m *Machine) send(conn ConnID, p wire.QuorumPacket) {
	m.ready.Sends = append(m.ready.Sends, Send{Conn: conn, Packet: p})
}

// NextZxid is the zxid of the next proposal. It is false while not leading, and
// once the epoch's counter is used up: the leader's term ends then, as soon as
// what it has proposed is committed.
func (m *Machine) NextZxid() (wire.Zxid, bool) {
	if m.leader == nil {
		return 0, false
	}
	return m.leader.nextZxid()
}

// Propose makes payload, the encoding of a txn with NextZxid, a proposal. The
// machine keeps payload.
func (m *Machine) Propose(payload []byte) {
	z, ok := m.NextZxid()
	if !ok {
		panic(fmt.Sprintf("zab: a proposal behind %v without leading", m.log.last()))
	}
	m.leader.propose(z, payload)
}

// Forward sends a packet (REQUEST, REVALIDATE) to the leader; only while
// following or observing. If that has just ended the packet is lost.
func (m *Machine) Forward(p wire.QuorumPacket) {
	if l := m.learner; l != nil && l.phase == learnerServing {
		m.send(l.conn, p)
	}
}

// Reply sends a packet (REVALIDATE, SYNC) to a learner; only while leading. A
// connection that is gone is no error.
func (m *Machine) Reply(conn ConnID, p wire.QuorumPacket) {
	if k := m.link(conn); k != nil && m.leader != nil && k.stage == linkServing {
		m.send(conn, p)
	}
}

// Pong answers one PING of the leader with the sessions heard from.
func (m *Machine) Pong(touched []wire.Touch) {
	if m.learner != nil {
		m.learner.pong(touched)
	}
}

// Confirm asks for proof that this member still leads. The number comes back
// in Ready.Confirmed, or a later one, once a quorum has answered something sent
// after this call; never if the member ceases to lead.
func (m *Machine) Confirm() int64 {
	m.confirms++
	if l := m.leader; l != nil && l.phase == leaderBroadcast {
		l.pingDue = true
	}
	return m.confirms
}

// Ready gives what is to be done and forgets it.
func (m *Machine) Ready() Ready {
	if m.leader != nil && m.leader.pingDue {
		m.leader.confirm()
	}
	r := m.ready
	m.ready, m.spare = m.spare.emptied(), r
	return r
}
