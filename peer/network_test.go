package peer

import (
	"container/heap"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"zooid/session"
	"zooid/wire"
	"zooid/zab"
	"zooid/znode"
)

// world is an ensemble of peers over a network and disks that take a
// millisecond for everything, in a time of its own.
type world struct {
	t       *testing.T
	cfg     Config
	now     int64
	events  eventQueue
	seq     int
	members map[wire.SID]*member
	ends    map[zab.ConnID]*end
	lastEnd zab.ConnID
	cut     map[[2]wire.SID]bool
	names   map[wire.SessionID]string
	ids     map[string]wire.SessionID
	out     strings.Builder
	// intercept, if not nil, sees every packet that a member sends, and tells
	// whether it is lost.
	intercept func(m *member, p *wire.QuorumPacket) bool
	// replied, if not nil, sees every outcome that a client is told.
	replied func(m *member, c *client, a *znode.Applied)
}

// member is a peer with its disk and its clients.
type member struct {
	sid     wire.SID
	peer    *Peer
	tree    *znode.Tree
	up      bool
	life    int // of this process: what was under way in an earlier one is lost
	epochs  zab.Epochs
	log     []wire.Entry
	durable int          // entries of log
	base    []wire.Entry // what a snapshot stands for, before log
	clients map[znode.ConnID]*client
	said    map[wire.SessionID]*client      // by session: who has it here
	stamp   int64                           // real time of the last Advance
	links   map[wire.SID]bool               // who a connection for the election stands with
	sentTo  map[wire.SID]*wire.Notification // last notice, for who links later
	told    Serving
	digests map[wire.Zxid]uint64 // of the tree after each transaction
}

type client struct {
	conn      znode.ConnID
	session   wire.SessionID
	timeoutMs int32
	heard     int64
	silent    bool // pings no more
	closing   bool // has asked for the end of its session
}

// end is one side of a connection between a learner and its leader.
type end struct {
	id    zab.ConnID
	owner *member
	life  int
	other *end
	snaps [][]wire.Entry // streams that arrive behind SNAP
}

type event struct {
	at  int64
	seq int
	do  func()
}

type eventQueue []event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *eventQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}

// testSecret is what the members of a world share.
const testSecret = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"

// passwd is the right password of a session that exists, or would be.
func (w *world) passwd(id wire.SessionID) [16]byte {
	for _, m := range w.members {
		if _, cxid, ok := m.tree.Session(id); ok && cxid == session.CxidJava || m.peer != nil && m.peer.local.sessions[id] != nil {
			return session.JavaPassword(id)
		}
	}
	return w.cfg.Keys.Password(id)
}

const (
	testTick = 1000
	testGap  = 50 // between two ticks of a member's loop
)

// newWorld makes members 1 to n, of which those above voters observe.
func newWorld(t *testing.T, cfg Config, voters, n int) *world {
	w := &world{t: t, cfg: cfg, members: map[wire.SID]*member{}, ends: map[zab.ConnID]*end{}, cut: map[[2]wire.SID]bool{},
		names: map[wire.SessionID]string{}, ids: map[string]wire.SessionID{}}
	e := &zab.Ensemble{}
	for i := 1; i <= n; i++ {
		e.Members = append(e.Members, zab.Member{SID: wire.SID(i), Observer: i > voters})
	}
	w.cfg.Zab = zab.Config{Ensemble: e, TickMs: testTick, InitLimit: 10, SyncLimit: 5, MinNotifyMs: 200, MaxNotifyMs: 60_000,
		FinalizeMs: 200, MaxEpochWaitMs: -1, DialTries: 5, DiffBytes: cfg.Zab.DiffBytes, RecentBytes: cfg.Zab.RecentBytes, Secret: testSecret}
	w.cfg.Keys = session.NewKeys([]byte(testSecret))
	for _, m := range e.Members {
		w.members[m.SID] = &member{sid: m.SID}
	}
	for _, m := range e.Members {
		w.start(m.SID)
	}
	return w
}

func (w *world) sids() []wire.SID { return slices.Sorted(maps.Keys(w.members)) }

func (w *world) say(format string, args ...any) {
	fmt.Fprintf(&w.out, format+"\n", args...)
}

// at has something done later.
func (w *world) at(delay int64, do func()) {
	w.seq++
	heap.Push(&w.events, event{w.now + delay, w.seq, do})
}

// on has something done by a member later, if it still lives then.
func (w *world) on(m *member, delay int64, do func()) {
	life := m.life
	w.at(delay, func() {
		if m.up && m.life == life {
			m.peer.Tick(w.now)
			do()
			w.carryOut(m)
		}
	})
}

// run lets time pass.
func (w *world) run(ms int64) {
	for until := w.now + ms; ; {
		if len(w.events) == 0 || w.events[0].at > until {
			w.now = until
			return
		}
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.do()
	}
}

// start makes a peer of what is on a member's disk.
func (w *world) start(sid wire.SID) {
	m := w.members[sid]
	m.up, m.life = true, m.life+1
	m.log = m.log[:m.durable]
	m.tree = znode.New()
	m.tree.SetRules(znode.Rules{ExtendedTypes: true})
	var out znode.Applied
	for _, e := range m.base {
		w.apply(m.tree, e, &out)
	}
	disk := zab.Disk{Epochs: m.epochs, Last: m.tree.LastZxid(), Committed: m.tree.LastZxid(), Recent: slices.Clone(m.log)}
	if len(m.log) > 0 {
		disk.Last = m.log[len(m.log)-1].Zxid
	}
	m.clients, m.said = map[znode.ConnID]*client{}, map[wire.SessionID]*client{}
	m.links, m.sentTo = map[wire.SID]bool{}, map[wire.SID]*wire.Notification{}
	m.told, m.digests = Serving{State: wire.Looking}, map[wire.Zxid]uint64{}
	cfg := w.cfg
	cfg.Zab.SID = sid
	cfg.Zab.Observer = cfg.Zab.Ensemble.Members[sid-1].Observer
	m.peer = New(cfg, m.tree, disk, startMs+w.now)
	m.peer.Start(w.now)
	m.stamp = w.now
	w.carryOut(m)
	w.on(m, testGap, func() { w.tick(m) })
}

func (w *world) apply(tree *znode.Tree, e wire.Entry, out *znode.Applied) {
	txn, err := wire.DecodeTxn(e.Payload)
	if err != nil {
		w.t.Fatal(err)
	}
	tree.Apply(txn, out)
}

// tick is the loop's: session clock, expiry, sweep; and the machine's deadline.
func (w *world) tick(m *member) {
	for _, c := range m.clients {
		if !c.silent {
			c.heard = m.peer.SessionNow() + testGap
		}
	}
	if m.peer.Advance(w.now-m.stamp, testGap) {
		w.touch(m)
		m.peer.Expire(startMs + w.now)
	}
	m.stamp = w.now
	m.peer.Sweep(startMs + w.now)
	w.on(m, testGap, func() { w.tick(m) })
	if d := m.peer.Deadline() - w.now; d < testGap {
		w.on(m, max(d, 1), func() {})
	}
}

func (w *world) touch(m *member) {
	for id, c := range m.said {
		m.peer.Touch(id, c.heard)
	}
}

// stop ends a member at once; what its log has not written is lost.
func (w *world) stop(sid wire.SID) {
	m := w.members[sid]
	m.up = false
	for _, id := range slices.Sorted(maps.Keys(w.ends)) {
		if e := w.ends[id]; e != nil && e.owner == m {
			w.closeEnd(e, "connection reset")
		}
	}
	for _, other := range w.sids() {
		w.unlink(m, w.members[other])
	}
}

func (w *world) reachable(a, b *member) bool {
	return a.up && b.up && !w.cut[[2]wire.SID{a.sid, b.sid}] && !w.cut[[2]wire.SID{b.sid, a.sid}]
}

// separate cuts two members off from each other; both notice at once.
func (w *world) separate(a, b wire.SID) {
	w.cut[[2]wire.SID{a, b}] = true
	for _, id := range slices.Sorted(maps.Keys(w.ends)) {
		if e := w.ends[id]; e != nil && e.owner.sid == a && e.other.owner.sid == b {
			w.closeEnd(e, "connection lost")
			w.closeEnd(e.other, "connection lost")
		}
	}
	w.unlink(w.members[a], w.members[b])
}

func (w *world) unlink(a, b *member) {
	for _, pair := range [][2]*member{{a, b}, {b, a}} {
		me, him := pair[0], pair[1]
		if me.links[him.sid] {
			delete(me.links, him.sid)
			if me.up {
				w.on(me, 1, func() { me.peer.Unlinked(him.sid) })
			}
		}
	}
}

func (w *world) link(a, b *member) {
	if a == b || a.links[b.sid] || !w.reachable(a, b) {
		return
	}
	for _, pair := range [][2]*member{{a, b}, {b, a}} {
		me, him := pair[0], pair[1]
		me.links[him.sid] = true
		w.on(me, 1, func() { me.peer.Linked(him.sid) })
		if n := me.sentTo[him.sid]; n != nil {
			w.on(him, 2, func() { him.peer.Notified(me.sid, n) })
		}
	}
}

// closeEnd tells both sides that a connection is gone.
func (w *world) closeEnd(e *end, reason string) {
	for _, side := range []*end{e, e.other} {
		if w.ends[side.id] == nil {
			continue
		}
		w.on(side.owner, 1, func() {
			if w.ends[side.id] != nil {
				delete(w.ends, side.id)
				side.owner.peer.Closed(side.id, reason)
			}
		})
	}
}

func (w *world) newEnd(m *member) *end {
	w.lastEnd++
	e := &end{id: w.lastEnd, owner: m, life: m.life}
	w.ends[e.id] = e
	return e
}

func (w *world) dial(m *member, d *zab.Dial) {
	him := w.members[d.Leader]
	if !w.reachable(m, him) {
		w.on(m, 1, func() { m.peer.DialFailed(d.Leader) })
		return
	}
	mine, his := w.newEnd(m), w.newEnd(him)
	mine.other, his.other = his, mine
	w.on(him, 1, func() { him.peer.Accepted(his.id) })
	w.on(m, 1, func() { m.peer.Dialled(mine.id) })
}

func (w *world) send(m *member, conn zab.ConnID, p wire.QuorumPacket, stream []wire.Entry) {
	e := w.ends[conn]
	if e == nil || w.intercept != nil && w.intercept(m, &p) {
		return
	}
	// The bytes, so that a packet that cannot be written as such shows.
	q, n, err := wire.DecodeQuorumPacket(p.Append(nil), 1<<20)
	if err != nil || n == 0 {
		w.t.Fatalf("%v: %v", p.Type, err)
	}
	w.on(e.other.owner, 1, func() {
		if w.ends[e.other.id] == nil {
			return
		}
		if stream != nil {
			e.other.snaps = append(e.other.snaps, stream)
		}
		e.other.owner.peer.Packet(e.other.id, q)
	})
}

// carryOut does what a member's loop does.
func (w *world) carryOut(m *member) {
	for rounds := 0; ; rounds++ {
		if rounds > 1000 {
			w.t.Fatalf("member %d does not come to rest", m.sid)
		}
		rd := m.peer.Ready()
		if rd.Empty() && !m.peer.Pending() {
			return
		}
		if rd.Broken != nil {
			w.say("%d: stops: %v", m.sid, rd.Broken)
			w.stop(m.sid)
			return
		}
		w.disk(m, &rd)
		w.network(m, &rd)
		w.clientsOf(m, &rd)
		var a znode.Applied
		for m.peer.Apply(&a) {
			w.applied(m, &a)
		}
	}
}

func (w *world) disk(m *member, rd *Ready) {
	if rd.Truncate != nil {
		z := *rd.Truncate
		if m.tree.LastZxid() > z {
			w.t.Errorf("member %d is to go back to %v from its state at %v", m.sid, z, m.tree.LastZxid())
		}
		keep := len(m.log)
		for keep > 0 && m.log[keep-1].Zxid > z {
			keep--
		}
		m.log, m.durable = m.log[:keep], keep
		last := m.tree.LastZxid()
		if keep > 0 {
			last = m.log[keep-1].Zxid
		}
		w.on(m, 1, func() { m.peer.Truncated(last, true) })
	}
	if n := len(rd.Entries); n > 0 {
		m.log = append(m.log, rd.Entries...)
		end, last := len(m.log), rd.Entries[n-1].Zxid
		w.on(m, 1, func() {
			m.durable = end
			m.peer.Logged(last)
		})
	}
	if rd.SaveEpochs != nil {
		e := *rd.SaveEpochs
		w.on(m, 1, func() {
			m.epochs = e
			m.peer.EpochsSaved(e)
		})
	}
	if in := rd.Install; in != nil {
		e := w.ends[in.Conn]
		stream := e.snaps[0]
		e.snaps = e.snaps[1:]
		w.on(m, 1, func() {
			fresh := znode.New()
			fresh.SetRules(znode.Rules{ExtendedTypes: true})
			var out znode.Applied
			for _, r := range stream {
				w.apply(fresh, r, &out)
			}
			m.tree.Adopt(fresh)
			m.base, m.log, m.durable = stream, nil, 0
			if int64(m.tree.LastZxid().Epoch()) == in.Epoch {
				m.epochs.Current = in.Epoch // disk.md §11.5
			}
			w.say("%d: takes over a snapshot of %v", m.sid, m.tree.LastZxid())
			clear(m.clients)
			clear(m.said)
			m.peer.Installed(in.Zxid, true)
		})
	}
}

// history is everything up to z.
func (m *member) history(z wire.Zxid) []wire.Entry {
	all := slices.Concat(m.base, m.log)
	n := 0
	for n < len(all) && all[n].Zxid <= z {
		n++
	}
	return all[:n]
}

func (w *world) network(m *member, rd *Ready) {
	for _, n := range rd.Notices {
		him := w.members[n.To]
		note := n.N
		m.sentTo[n.To] = &note
		if !m.links[n.To] {
			w.link(m, him)
		} else {
			w.on(him, 1, func() { him.peer.Notified(m.sid, &note) })
		}
	}
	if rd.ConnectAll {
		for _, sid := range w.sids() {
			w.link(m, w.members[sid])
		}
	}
	if rd.Dial != nil {
		w.dial(m, rd.Dial)
	}
	for _, s := range rd.Sends {
		w.send(m, s.Conn, s.Packet, nil)
	}
	for _, s := range rd.Snapshots {
		w.snapshot(m, s)
	}
	for _, r := range rd.Reads {
		c := zab.LogChunk{After: r.After}
		for _, e := range m.log[:m.durable] {
			if e.Zxid <= r.After {
				c.Prev = e.Zxid
			} else {
				c.Entries = append(c.Entries, e)
			}
		}
		if len(m.base) > 0 && c.Prev == 0 {
			if c.Prev = m.base[len(m.base)-1].Zxid; c.Prev > r.After {
				c.Err = fmt.Errorf("the log begins behind %v", c.Prev)
			}
		}
		w.on(m, 1, func() { m.peer.LogRead(r.Conn, c) })
	}
	for _, conn := range rd.Close {
		if e := w.ends[conn]; e != nil {
			w.closeEnd(e, "")
		}
	}
}

// snapshot streams a member's state once that is new enough.
func (w *world) snapshot(m *member, s zab.SendSnapshot) {
	w.on(m, 1, func() {
		z := m.tree.LastZxid()
		if z < s.AtLeast {
			w.snapshot(m, s)
			return
		}
		w.send(m, s.Conn, wire.QuorumPacket{Type: wire.PacketSnap, Zxid: max(z, s.Label)}, slices.Clone(m.history(z)))
		m.peer.SnapshotSent(s.Conn, z, true)
	})
}
