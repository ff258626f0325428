package peer

import (
	"zooid/session"
	"zooid/wire"
	"zooid/zab"
	"zooid/znode"
)

// Config is what a peer is told about its place and its rules.
type Config struct {
	Zab  zab.Config
	Keys session.Keys // passwords of sessions, of the secret on this member's disk

	// SweepMs is the pause between two searches for empty containers and for
	// TTL nodes past their time; SweepMax the most deletions a minute;
	// NeverUsedMs, if positive, the age at which a container that never had a
	// child goes too.
	SweepMs     int64
	SweepMax    int
	NeverUsedMs int64

	// LocalSessions says that new sessions exist on their own member only, and
	// LocalUpgrade that such a session enters the replicated table when it makes
	// its first ephemeral. Both mean nothing for a member alone.
	LocalSessions bool
	LocalUpgrade  bool

	// PacketMax is how many bytes of data, and how many of identities, a leader
	// accepts in one packet; 0 is wire.TxnBytesMax. A client's request beyond it is
	// refused with BADARGUMENTS, wherever it is made.
	PacketMax int

	// HoldMs is how long clients are held while there is no role, 0 for not at
	// all, and HoldMax how many of their requests; 0 is 10,000.
	HoldMs  int64
	HoldMax int
}

const holdMax = 10_000 // default of Config.HoldMax

// phase is what becomes of clients' requests.
type phase uint8

const (
	phaseShut   phase = iota // there is no role: nobody is served
	phaseHold                // there is no role yet again: requests wait
	phaseResume              // there is, and the shell is being asked who is still here
	phaseOpen                // requests are served
)

// Peer is the machine. Its zero value is not usable; see New.
//
// The calls of zab.Machine are made on the peer, which has Start, Tick,
// Deadline, Ready, Installed and Status of its own.
type Peer struct {
	*zab.Machine
	cfg  Config
	tree *znode.Tree
	// appliedMs is when the transaction that was applied last was made.
	appliedMs int64
	alone     bool
	// keys are those of the secret that the ensemble shares in this role.
	keys session.Keys

	// nowMs is the time of the last Tick, timeMs the wall clock at that time: it
	// is set whenever a call says it, and goes with nowMs in between.
	nowMs, timeMs int64

	role  zab.RoleChange
	ended endedRole // the last role that served
	phase phase
	told  Serving // what the shell is told last
	// servings are not handed out yet, oldest first.
	servings []Serving
	holding  hold

	// queue holds the transactions that are not applied, oldest first; the first
	// committed of them are final. The others are a leader's proposals.
	queue     []pending
	committed int
	handed    wire.Zxid // last zxid that became final
	proposed  wire.Zxid // last zxid of the leader's proposals
	outcomes  []outcome // that need no transaction, oldest first
	broken    error

	// attached has the sessions that are attached here, see moved.go. There may be
	// some whose connection is gone; those that a change of leader finds are let go.
	attached attachments

	// latest has the connection with which each session that came back did so.
	latest map[wire.SessionID]znode.ConnID

	leader  leader
	learner learner
	local   localSessions
	refusal refusal
	syncs   syncs

	ready Ready  // what has gathered for the shell, without zab's part
	chunk []byte // holds encodings, see memory

	clock session.Clock
	gapMs int64 // the plan of the last Advance, of which there should be one before Start
	ids   *session.IDs
	sweep sweep
}

// New makes a peer. disk tells what the member's disk holds; the tree is at
// disk.Committed. unixMs is the wall clock in ms since 1970, from which session
// ids are made. Start sets it going.
func New(cfg Config, tree *znode.Tree, disk zab.Disk, unixMs int64) *Peer {
	if cfg.HoldMax == 0 {
		cfg.HoldMax = holdMax
	}
	if cfg.PacketMax == 0 {
		cfg.PacketMax = wire.TxnBytesMax
	}
	p := &Peer{
		Machine: zab.New(cfg.Zab, disk),
		cfg:     cfg,
		tree:    tree,
		alone:   cfg.Zab.Ensemble == nil,
		keys:    cfg.Keys,
		timeMs:  unixMs,
		role:    zab.RoleChange{State: wire.Looking},
		told:    Serving{State: wire.Looking},
		handed:  tree.LastZxid(),
		ids:     session.NewIDs(cfg.Zab.SID, unixMs),
	}
	p.holding.gone = map[znode.ConnID]struct{}{}
	p.attached = newAttachments()
	p.ended.epoch = -1
	p.latest = map[wire.SessionID]znode.ConnID{}
	p.local.init(cfg.Zab.TickMs)
	p.sweep.nextMs = unixMs + cfg.SweepMs // as ZooKeeper: the first one an interval after the start
	p.avoidIDs()
	return p
}

// avoidIDs keeps clear of the sessions in the tree.
func (p *Peer) avoidIDs() {
	p.tree.Sessions(func(id wire.SessionID, _, _ int32) { p.ids.Avoid(id) })
}

// Start begins the first election, or the term of a member alone. nowMs is a
// monotonic clock in ms.
func (p *Peer) Start(nowMs int64) {
	p.nowMs = nowMs
	p.Machine.Start(nowMs)
}

// Tick tells the time, in ms of the same clock as Start. It comes at the
// beginning of each round, and at Deadline at the latest.
func (p *Peer) Tick(nowMs int64) {
	p.timeMs += nowMs - p.nowMs
	p.nowMs = nowMs
	p.Machine.Tick(nowMs)
	if p.phase == phaseHold && nowMs >= p.holding.untilMs {
		p.shut("no leader in time")
	}
}

// Deadline is when Tick is wanted next, in ms of the clock.
func (p *Peer) Deadline() int64 {
	d := p.Machine.Deadline()
	if p.phase == phaseHold {
		d = min(d, p.holding.untilMs)
	}
	return d
}

// Installed answers Ready.Install: if ok, the tree has the content of a snapshot
// now, and no client is connected any more.
func (p *Peer) Installed(z wire.Zxid, ok bool) {
	if ok {
		clear(p.queue)
		p.queue, p.committed = p.queue[:0], 0
		p.handed = p.tree.LastZxid()
		p.avoidIDs()
		if p.phase == phaseHold {
			p.shut("the state was replaced by a snapshot")
		}
	}
	p.Machine.Installed(z, ok)
}

// Status is the peer at a glance, for words and metrics: zab's part, and the
// peer's own figures.
type Status struct {
	zab.Status
	Serving Serving

	Outstanding    int // requests and transactions in work here: proposed, forwarded, to be applied
	Held           int // requests and attachments that wait for a role
	PendingSyncs   int
	Revalidating   int // attachments that wait for the leader's word
	GlobalSessions int
	LocalSessions  int
}

// Status tells it.
func (p *Peer) Status() Status {
	return Status{
		Status:         p.Machine.Status(),
		Serving:        p.told,
		Outstanding:    p.Outstanding(),
		Held:           p.holding.len(),
		PendingSyncs:   len(p.syncs.waiting) + len(p.leader.syncs),
		Revalidating:   len(p.learner.revalidating),
		GlobalSessions: p.tree.SessionCount(),
		LocalSessions:  len(p.local.sessions),
	}
}

// Outstanding is the number of requests and transactions that are in work here:
// proposed and not applied, or forwarded and not answered.
func (p *Peer) Outstanding() int { return len(p.queue) + len(p.learner.awaited) }

// leads tells whether this member proposes transactions itself.
func (p *Peer) leads() bool { return p.leader.view != nil }

// self is this member's id.
func (p *Peer) self() wire.SID { return p.cfg.Zab.SID }
