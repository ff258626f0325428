package zab

import (
	"bytes"
	"fmt"
	"slices"
	"sort"

	"zooid/wire"
)

// machineNet joins machines by a network and gives them disks, all in virtual
// time. Connections are FIFO and break as a whole; a disk does what it is asked
// in order, but for the epoch files, which are written beside the log; and what
// it has not done by a crash is lost.
type machineNet struct {
	now      int64
	latency  int64
	diskMs   int64
	epochsMs int64
	streamMs int64 // how long a snapshot is under way
	ens      *Ensemble
	nodes    []*node // in order of their SIDs
	flights  []*parcel
	seq      int
	pipes    map[ConnID]*pipe // by either end
	nextConn ConnID
	linked   map[[2]wire.SID]bool // election connections
	cuts     map[[2]wire.SID]bool // from, to
	held     map[[2]wire.SID]bool // from, to: parcels wait
	log      func(format string, args ...any)
	// order is what has been delivered anywhere, leaders who led in each epoch.
	order   []wire.Entry
	leaders map[int64]wire.SID
	// broken is the first invariant that did not hold.
	broken string
	tweak  func(*Config)
}

// node is a member: its machine and what is around it.
type node struct {
	*Machine
	net *machineNet
	sid wire.SID
	up  bool

	// What is on disk: a state, as the sequence that made it, and the records
	// behind it and some before it.
	epochs  Epochs
	log     []wire.Entry
	logBase wire.Zxid // what log[0] follows
	state   []wire.Entry
	stateZ  wire.Zxid // zxid of state; a label may be greater than its last entry

	ops      []*diskOp
	saves    []*diskOp // of epochs
	diskHeld bool

	// What is in memory.
	tree  []wire.Entry
	treeZ wire.Zxid
	role  RoleChange

	dialling  int // number of the Dial that is not answered
	install   *Install
	synced    int
	confirmed int64
	forwarded []Forwarded
	noPong    bool
}

type diskOp struct {
	at       int64
	entries  []wire.Entry
	epochs   *Epochs
	truncate *wire.Zxid
	install  *parcel
	read     *ReadLog
}

// pipe is a connection of a learner with a leader.
type pipe struct {
	ends [2]ConnID // learner, leader
	sids [2]wire.SID
	open [2]bool
}

// parcel is something under way.
type parcel struct {
	at       int64
	seq      int
	from, to wire.SID
	notice   *wire.Notification
	conn     ConnID // of the receiver
	packet   *wire.QuorumPacket
	stream   []wire.Entry // a snapshot
	streamZ  wire.Zxid
	isStream bool
	isClose  bool
	dial     int // an attempt to connect
}

func newMachineNet(ens *Ensemble) *machineNet {
	n := &machineNet{latency: 1, diskMs: 1, epochsMs: 1, streamMs: 1, ens: ens, pipes: map[ConnID]*pipe{}, linked: map[[2]wire.SID]bool{},
		cuts: map[[2]wire.SID]bool{}, held: map[[2]wire.SID]bool{}, leaders: map[int64]wire.SID{},
		log: func(string, ...any) {}, tweak: func(*Config) {}}
	for _, m := range ens.Members {
		n.nodes = append(n.nodes, &node{net: n, sid: m.SID})
	}
	return n
}

func (n *machineNet) node(sid wire.SID) *node {
	for _, x := range n.nodes {
		if x.sid == sid {
			return x
		}
	}
	panic(fmt.Sprintf("no server %d", sid))
}

// brief is a zxid as transcripts have it: epoch:counter.
func brief(z wire.Zxid) string {
	switch z {
	case 0:
		return "0"
	case -1:
		return "-1"
	}
	if c := z.Counter(); c >= 0xffffff00 {
		return fmt.Sprintf("%d:%#x", z.Epoch(), c)
	}
	return fmt.Sprintf("%d:%d", z.Epoch(), z.Counter())
}

// payload is a txn with nothing in it but its zxid and a text.
func payload(z wire.Zxid, text string) []byte {
	b := wire.AppendInt64(nil, 0)
	b = wire.AppendInt32(b, 0)
	b = wire.AppendInt64(b, int64(z))
	b = wire.AppendInt64(b, 0)
	b = wire.AppendInt32(b, 0)
	return append(b, text...)
}

func (x *node) config() Config {
	m := x.net.ens.Member(x.sid)
	cfg := Config{SID: x.sid, Ensemble: x.net.ens, Observer: m != nil && m.Observer, TickMs: 100, InitLimit: 10, SyncLimit: 5,
		MinNotifyMs: 20, MaxNotifyMs: 400, FinalizeMs: 20, MaxEpochWaitMs: -1, DialTries: 5, DiffBytes: 1 << 20, RecentBytes: 1 << 20}
	x.net.tweak(&cfg)
	return cfg
}

// start begins a member with what is on its disk. It keeps that many records
// that are in the state in memory.
func (x *node) start(before int) {
	x.up = true
	x.tree, x.treeZ = slices.Clone(x.state), x.stateZ
	x.role = RoleChange{State: wire.Looking}
	last := x.stateZ
	if k := len(x.log); k > 0 && x.log[k-1].Zxid > last {
		last = x.log[k-1].Zxid
	} else if k > 0 && x.log[k-1].Zxid < last {
		x.log, x.logBase = nil, last // the log ends before the state
	} else if k == 0 {
		x.logBase = last
	}
	i := sort.Search(len(x.log), func(i int) bool { return x.log[i].Zxid > x.stateZ })
	x.Machine = New(x.config(), Disk{Epochs: x.epochs, Last: last, Committed: x.stateZ, Recent: slices.Clone(x.log[max(0, i-before):])})
	x.Machine.Start(x.net.now)
	x.carry()
}

// crash loses what is in memory and what the disk has not done. Of the appends
// that many records survive; of the tree so many entries beyond what was sure.
func (x *node) crash(appended, applied int) {
	for _, op := range x.ops {
		for _, e := range op.entries {
			if appended > 0 {
				x.log = append(x.log, e)
				appended--
			}
		}
	}
	x.ops, x.saves = nil, nil
	if applied > 0 && x.stateZ < x.treeZ && x.up {
		x.state, x.stateZ = slices.Clone(x.tree), x.treeZ
	}
	x.up, x.Machine, x.install = false, nil, nil
	for _, p := range x.net.pipesOf(x.sid) {
		x.net.breakPipe(p)
	}
	for pair := range x.net.linked {
		if pair[0] == x.sid || pair[1] == x.sid {
			x.net.unlink(pair)
		}
	}
}

func (n *machineNet) pipesOf(sid wire.SID) []*pipe {
	var ids []ConnID
	for id, p := range n.pipes {
		if id == p.ends[0] && (p.sids[0] == sid || p.sids[1] == sid) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	var list []*pipe
	for _, id := range ids {
		list = append(list, n.pipes[id])
	}
	return list
}

// breakPipe ends a connection: the newer half of what is under way is lost, and
// each end that still has it hears of it.
func (n *machineNet) breakPipe(p *pipe) {
	for i := range p.ends {
		mine := func(q *parcel) bool { return q.conn == p.ends[i] }
		left := 0
		for _, q := range n.flights {
			if mine(q) {
				left++
			}
		}
		left /= 2
		n.flights = slices.DeleteFunc(n.flights, func(q *parcel) bool {
			if mine(q) {
				left--
			}
			return mine(q) && left < 0
		})
		if p.open[i] {
			n.post(&parcel{from: p.sids[1-i], to: p.sids[i], conn: p.ends[i], isClose: true})
		}
	}
}

func (n *machineNet) unlink(pair [2]wire.SID) {
	if !n.linked[pair] {
		return
	}
	delete(n.linked, pair)
	for i, sid := range pair {
		if x := n.node(sid); x.up {
			x.Unlinked(pair[1-i])
			x.carry()
		}
	}
}

func (n *machineNet) reachable(a, b wire.SID) bool {
	return !n.cuts[[2]wire.SID{a, b}] && !n.cuts[[2]wire.SID{b, a}]
}

// cut separates two members; their connections end.
func (n *machineNet) cut(a, b wire.SID) {
	n.cuts[[2]wire.SID{a, b}] = true
	for _, p := range n.pipesOf(a) {
		if p.sids[0] == b || p.sids[1] == b {
			n.breakPipe(p)
		}
	}
	n.unlink([2]wire.SID{min(a, b), max(a, b)})
}

func (n *machineNet) mend(a, b wire.SID) {
	delete(n.cuts, [2]wire.SID{a, b})
	delete(n.cuts, [2]wire.SID{b, a})
}

func (n *machineNet) post(p *parcel) {
	n.seq++
	p.seq = n.seq
	p.at = max(p.at, n.now+n.latency)
	n.flights = append(n.flights, p)
}

// link makes an election connection if there can be one.
func (n *machineNet) link(a, b wire.SID) bool {
	pair := [2]wire.SID{min(a, b), max(a, b)}
	x, y := n.node(a), n.node(b)
	if !x.up || !y.up || !n.reachable(a, b) {
		return false
	}
	if !n.linked[pair] {
		n.linked[pair] = true
		x.Linked(b)
		y.Linked(a)
		y.carry()
	}
	return true
}

// step does the next thing that is due, not later than limit.
func (n *machineNet) step(limit int64) bool {
	at, best, disk, tick := limit+1, (*parcel)(nil), (*node)(nil), (*node)(nil)
	first := map[[2]wire.SID]bool{}
	for _, p := range n.flights {
		dir := [2]wire.SID{p.from, p.to}
		if n.held[dir] && !p.isClose {
			continue
		}
		if p.dial == 0 {
			if first[dir] {
				continue
			}
			first[dir] = true
		}
		if p.at < at {
			at, best, disk, tick = p.at, p, nil, nil
		}
	}
	for _, x := range n.nodes {
		if !x.up {
			continue
		}
		if op := x.nextOp(); op != nil && !x.diskHeld && op.at < at {
			at, best, disk, tick = op.at, nil, x, nil
		}
		if d := max(x.Deadline(), n.now); d < at {
			at, best, disk, tick = d, nil, nil, x
		}
	}
	if at > limit {
		n.now = limit
		return false
	}
	n.now = max(n.now, at)
	switch {
	case best != nil:
		n.flights = slices.DeleteFunc(n.flights, func(p *parcel) bool { return p == best })
		n.deliver(best)
	case disk != nil:
		disk.doDisk()
	default:
		before := tick.Deadline()
		tick.Tick(n.now)
		tick.carry()
		if tick.up && tick.Deadline() <= n.now && before == tick.Deadline() {
			panic(fmt.Sprintf("server %d wants a tick at %d again and again", tick.sid, before))
		}
	}
	return true
}

// run lets ms pass.
func (n *machineNet) run(ms int64) {
	limit := n.now + ms
	for n.step(limit) {
	}
}

func (n *machineNet) deliver(p *parcel) {
	x := n.node(p.to)
	if p.dial != 0 {
		n.connect(p)
		return
	}
	if !x.up {
		return
	}
	x.Tick(n.now)
	switch {
	case p.notice != nil:
		if n.linked[[2]wire.SID{min(p.from, p.to), max(p.from, p.to)}] {
			x.Notified(p.from, p.notice)
		}
	case n.pipes[p.conn] == nil:
	case p.isClose:
		pipe := n.pipes[p.conn]
		for i := range pipe.ends {
			if pipe.ends[i] == p.conn {
				pipe.open[i] = false
			}
		}
		delete(n.pipes, p.conn)
		x.Closed(p.conn, "")
		if x.install != nil && x.install.Conn == p.conn {
			x.Installed(x.install.Zxid, false)
			x.install = nil
		}
	case p.isStream:
		if x.install != nil && x.install.Conn == p.conn {
			x.ops = append(x.ops, &diskOp{at: n.now + n.diskMs, install: p})
			x.install = nil
		}
	default:
		x.Packet(p.conn, *p.packet)
	}
	x.carry()
}

// connect makes the connection that a learner has dialled.
func (n *machineNet) connect(p *parcel) {
	x, y := n.node(p.from), n.node(p.to)
	if !x.up || x.dialling != p.dial {
		return
	}
	x.Tick(n.now)
	x.dialling = 0
	if !y.up || !n.reachable(p.from, p.to) {
		x.DialFailed(p.to)
		x.carry()
		return
	}
	n.nextConn += 2
	c := &pipe{ends: [2]ConnID{n.nextConn, n.nextConn + 1}, sids: [2]wire.SID{p.from, p.to}, open: [2]bool{true, true}}
	n.pipes[c.ends[0]], n.pipes[c.ends[1]] = c, c
	y.Tick(n.now)
	y.Accepted(c.ends[1])
	y.carry()
	x.Dialled(c.ends[0])
	x.carry()
}

// peerOf is the other end of a connection.
func (n *machineNet) peerOf(conn ConnID) (ConnID, wire.SID, bool) {
	p := n.pipes[conn]
	switch {
	case p == nil:
		return 0, 0, false
	case p.ends[0] == conn:
		return p.ends[1], p.sids[1], p.open[1]
	}
	return p.ends[0], p.sids[0], p.open[0]
}

// carry carries out what the machine wants, until it wants nothing.
func (x *node) carry() {
	n := x.net
	for x.up {
		r := x.Ready()
		x.describe(&r)
		x.absorb(&r)
		x.toDisk(&r)
		for _, s := range r.Sends {
			if conn, to, ok := n.peerOf(s.Conn); ok {
				p := s.Packet
				n.post(&parcel{from: x.sid, to: to, conn: conn, packet: &p})
			}
		}
		for _, s := range r.Snapshots {
			conn, to, ok := n.peerOf(s.Conn)
			if ok {
				z := max(x.treeZ, s.Label)
				n.post(&parcel{from: x.sid, to: to, conn: conn, packet: &wire.QuorumPacket{Type: wire.PacketSnap, Zxid: z}})
				n.post(&parcel{from: x.sid, to: to, conn: conn, isStream: true, stream: slices.Clone(x.tree), streamZ: z,
					at: n.now + n.latency + n.streamMs})
				n.log("%d: stream %s -> %d", x.sid, brief(z), to)
			}
			if x.treeZ < s.AtLeast {
				panic(fmt.Sprintf("server %d: a snapshot of %v is wanted, the tree is at %v", x.sid, s.AtLeast, x.treeZ))
			}
			x.SnapshotSent(s.Conn, x.treeZ, ok)
		}
		for _, c := range r.Close {
			p := n.pipes[c]
			if p == nil {
				continue
			}
			i := slices.Index(p.ends[:], c)
			p.open[i] = false
			delete(n.pipes, c)
			if p.open[1-i] {
				n.post(&parcel{from: x.sid, to: p.sids[1-i], conn: p.ends[1-i], isClose: true})
			}
			if x.install != nil && x.install.Conn == c {
				x.Installed(x.install.Zxid, false)
				x.install = nil
			}
		}
		for _, m := range r.Notices {
			if n.link(x.sid, m.To) {
				note := m.N
				n.post(&parcel{from: x.sid, to: m.To, notice: &note})
			}
		}
		if r.ConnectAll {
			for _, y := range n.nodes {
				if y != x {
					n.link(x.sid, y.sid)
				}
			}
		}
		if d := r.Dial; d != nil {
			n.seq++
			x.dialling = n.seq
			n.post(&parcel{from: x.sid, to: d.Leader, dial: x.dialling})
		}
		for range r.PingsDue {
			if !x.noPong {
				x.Pong(nil)
			}
		}
		if wantsNothing(&r) {
			return
		}
	}
}

func wantsNothing(r *Ready) bool {
	return r.Truncate == nil && len(r.Entries) == 0 && r.SaveEpochs == nil && r.Install == nil && len(r.Notices) == 0 && !r.ConnectAll &&
		r.Dial == nil && len(r.Sends) == 0 && len(r.Snapshots) == 0 && len(r.Reads) == 0 && len(r.Close) == 0 && len(r.Committed) == 0 &&
		r.Role == nil && len(r.Forwarded) == 0 && r.Synced == 0 && len(r.Revalidated) == 0 && r.PingsDue == 0 && r.Confirmed == 0
}

// absorb does what the peer would do.
func (x *node) absorb(r *Ready) {
	n := x.net
	if r.Role != nil && r.Role.State != wire.Looking {
		x.role = *r.Role
		if r.Role.State == wire.Leading {
			if who, ok := n.leaders[r.Role.Epoch]; ok && who != x.sid {
				n.fail("servers %d and %d lead in epoch %d", who, x.sid, r.Role.Epoch)
			}
			n.leaders[r.Role.Epoch] = x.sid
		}
	}
	for _, e := range r.Committed {
		x.tree, x.treeZ = append(x.tree, e), e.Zxid
		if x.role.State == wire.Leading && e.Zxid > x.role.Base {
			n.isDurable(e)
		}
	}
	if len(r.Committed) > 0 {
		n.delivered(x)
	}
	if r.Role != nil && r.Role.State == wire.Looking {
		x.role = *r.Role
	}
	x.forwarded = append(x.forwarded, r.Forwarded...)
	x.synced += r.Synced
	x.confirmed = max(x.confirmed, r.Confirmed)
}

// fail notes that an invariant does not hold.
func (n *machineNet) fail(format string, args ...any) {
	if n.broken == "" {
		n.broken = fmt.Sprintf("at %d ms: ", n.now) + fmt.Sprintf(format, args...)
	}
}

// delivered checks that what a member has delivered is a prefix of what all
// have, or the other way round.
func (n *machineNet) delivered(x *node) {
	for i, e := range x.tree {
		if i == len(n.order) {
			n.order = append(n.order, e)
		}
		if e.Zxid != n.order[i].Zxid || !bytes.Equal(e.Payload, n.order[i].Payload) {
			n.fail("server %d delivers %v as number %d, another has %v", x.sid, e.Zxid, i+1, n.order[i].Zxid)
			return
		}
	}
}

// isDurable checks that a quorum has a committed entry on disk.
func (n *machineNet) isDurable(e wire.Entry) {
	if !n.ens.quorum(func(sid wire.SID) bool { return n.node(sid).has(e.Zxid) }) {
		n.fail("%v is committed, but not on the disks of a quorum", e.Zxid)
	}
}

func (x *node) has(z wire.Zxid) bool {
	same := func(e wire.Entry) bool { return e.Zxid == z }
	return slices.ContainsFunc(x.log, same) || slices.ContainsFunc(x.state, same)
}

// leader is the member that leads with the greatest epoch.
func (n *machineNet) leader() *node {
	var best *node
	for _, x := range n.nodes {
		if x.up && x.role.State == wire.Leading && (best == nil || x.role.Epoch > best.role.Epoch) {
			best = x
		}
	}
	return best
}
