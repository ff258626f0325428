package main

import (
	"zooid/peer"
	"zooid/wire"
	"zooid/zab"
	"zooid/znode"
)

const (
	loopMs = 50 // a member's loop looks at the clock this often
	// stallMs is the gap from which on the loop stood still; of such a gap only
	// loopMs count, as in package quorum.
	stallMs = 4 * loopMs
	// roundsMax bounds how often a loop may ask for Ready before it comes to rest.
	roundsMax = 10_000
)

// item is something that has arrived at a member and waits for its loop.
type item struct {
	kind    itemKind
	ok      bool
	conn    *conn
	id      zab.ConnID
	sid     wire.SID
	zxid    wire.Zxid
	epochs  zab.Epochs
	pkt     wire.QuorumPacket
	note    *wire.Notification
	chunk   *zab.LogChunk
	arrival *arrival
	ask     *ask
}

type itemKind uint8

const (
	itPacket itemKind = iota
	itNote
	itLinked
	itUnlinked
	itAccepted
	itDialled
	itDialFailed
	itClosed
	itLogged
	itEpochs
	itTruncated
	itInstalled
	itSnapshotSent
	itLogRead
	itAsk
	itClientGone
)

// process is what runs on a member and is lost with it: the peer with its tree,
// and the loop that carries out what it wants.
type process struct {
	m    *member
	w    *world
	peer *peer.Peer
	tree *znode.Tree

	inbox, spare []item
	knockAt      int64 // when the loop looks at the inbox; forever if nothing is planned
	wakeAt       int64 // when it looks at the clock for the peer's sake
	clock        lapse
	lastTick     int64 // local µs
	keepAt       int64
	flushAt      int64
	purgeAt      int64
	resigned     bool
	installing   bool // the disk has, or soon has, a state that the tree has not

	serving  peer.Serving
	onHeld   func() // what a fault has planned for when clients are held
	open     bool   // clients are let in
	links    []*conn
	dialling []bool
	dials    int                  // of leaders
	notes    []*wire.Notification // the last one to each member, which a new link says again
	doors    doors
	out      znode.Applied
	check    processCheck
}

// lapse is the protocol's clock: the time in which the member could have heard
// the others.
type lapse struct{ last, now int64 } // µs

func (c *lapse) move(local int64) (stalled bool) {
	gap := local - c.last
	c.last = local
	if stalled = gap >= stallMs*ms; stalled {
		gap = loopMs * ms
	}
	c.now += gap
	return stalled
}

func newProcess(m *member, tree *znode.Tree) *process {
	w, n := m.w, len(m.w.plan.members)
	p := &process{
		m: m, w: w, tree: tree, knockAt: forever, wakeAt: forever,
		links: make([]*conn, n), dialling: make([]bool, n), notes: make([]*wire.Notification, n),
	}
	p.clock.last = m.local()
	p.clock.now = int64(w.loops.IntN(1_000_000))
	p.lastTick = m.local()
	p.doors.init()
	p.serving.State = wire.Looking
	return p
}

// alive tells whether the process is still the one that runs.
func (p *process) alive() bool { return p.m.process == p }

// arrive puts something into the inbox. The process may be gone: then it is
// lost, as is all that goes with one.
func (p *process) arrive(it item) {
	if p == nil {
		return
	}
	p.inbox = append(p.inbox, it)
	p.knock()
}

// knock has the loop look at its inbox soon.
func (p *process) knock() {
	if p.knockAt != forever || p.m.paused {
		return
	}
	p.knockAt = p.w.now + 5 + int64(p.w.loops.Uint32()&63)
	p.w.add(event{at: p.knockAt, kind: atRound, who: int32(p.m.i), arg: p.m.incarnation})
}

// wake is an event of the loop: somebody knocked, or the peer wanted the time.
func (p *process) wake(at int64) {
	if p.m.paused {
		return
	}
	if at >= p.knockAt {
		p.knockAt = forever
	}
	if at >= p.wakeAt {
		p.wakeAt = forever
	}
	p.round()
}

// tickDue is the loop's own look at the clock.
func (p *process) tickDue() {
	if p.m.paused {
		return
	}
	local := p.m.local()
	if gap := (local - p.lastTick) / ms; gap >= loopMs-1 {
		p.lastTick = local
		p.advance(gap)
		p.upkeep()
		p.round()
		if !p.alive() {
			return
		}
		p.w.add(event{at: p.w.now + loopMs*ms, kind: atTick, who: int32(p.m.i), arg: p.m.incarnation})
	}
}

// advance tells the peer of the time that sessions go by.
func (p *process) advance(gap int64) {
	if p.peer.Advance(gap, loopMs) {
		p.touch()
		p.peer.Expire(p.m.wallMs())
	}
	p.peer.Sweep(p.m.wallMs())
}

// round is the loop's one round: time, news, effects.
func (p *process) round() {
	if p.clock.move(p.m.local()) {
		p.w.saw(rareStall)
	}
	p.peer.Tick(p.clock.now / ms)
	p.inbox, p.spare = p.spare[:0], p.inbox
	for i := range p.spare {
		p.take(&p.spare[i])
	}
	clear(p.spare)
	p.settle()
	if p.alive() {
		p.schedule()
	}
}

// schedule plans the next round by the peer's deadline, unless the loop's own
// tick comes first.
func (p *process) schedule() {
	left := p.peer.Deadline()*ms - p.clock.now
	if left > loopMs*ms {
		return
	}
	at := p.w.now + max(left, 0) + ms
	if at >= p.wakeAt {
		return
	}
	p.wakeAt = at
	p.w.add(event{at: at, kind: atRound, who: int32(p.m.i), arg: p.m.incarnation})
}

// take hands one piece of news to the peer.
func (p *process) take(it *item) {
	w := p.w
	switch it.kind {
	case itPacket:
		p.packet(it)
	case itNote:
		p.peer.Notified(it.sid, it.note)
	case itLinked:
		w.tell("%d: linked with %d", p.m.sid, it.sid)
		p.peer.Linked(it.sid)
	case itUnlinked:
		w.tell("%d: unlinked from %d", p.m.sid, it.sid)
		p.peer.Unlinked(it.sid)
	case itAccepted:
		w.tell("%d: accepted connection %d", p.m.sid, it.id)
		p.peer.Accepted(it.id)
	case itDialled:
		w.tell("%d: dialled, connection %d", p.m.sid, it.id)
		p.peer.Dialled(it.id)
	case itDialFailed:
		w.tell("%d: dial of %d failed", p.m.sid, it.sid)
		p.peer.DialFailed(it.sid)
	case itClosed:
		w.tell("%d: connection %d closed", p.m.sid, it.id)
		p.peer.Closed(it.id, "the connection has ended")
	case itLogged:
		p.peer.Logged(it.zxid)
	case itEpochs:
		w.tell("%d: epochs saved: %d %d", p.m.sid, it.epochs.Accepted, it.epochs.Current)
		p.peer.EpochsSaved(it.epochs)
	case itTruncated:
		w.tell("%d: truncated, last %v, ok=%v", p.m.sid, it.zxid, it.ok)
		p.peer.Truncated(it.zxid, it.ok)
	case itInstalled:
		p.installed(it)
	case itSnapshotSent:
		p.peer.SnapshotSent(it.id, it.zxid, it.ok)
	case itLogRead:
		w.tell("%d: log read for %d behind %v: %d entries, prev %v, err=%v", p.m.sid, it.id, it.chunk.After, len(it.chunk.Entries), it.chunk.Prev, it.chunk.Err)
		p.peer.LogRead(it.id, *it.chunk)
	case itAsk:
		p.doors.asked(p, it.conn, it.ask)
	case itClientGone:
		p.doors.gone(p, it.conn)
	}
}

// settle carries out what the peer wants until it wants no more.
func (p *process) settle() {
	for range roundsMax {
		rd := p.peer.Ready()
		if rd.Broken != nil {
			p.w.fail("broken", "member %d cannot go on: %v", p.m.sid, rd.Broken)
		}
		busy := p.carryOut(&rd)
		for p.alive() && p.peer.Pending() {
			p.apply()
			busy = true
		}
		if !busy || !p.alive() {
			return
		}
	}
	p.w.fail("rest", "member %d: the loop does not come to rest", p.m.sid)
}

// apply applies what is committed.
func (p *process) apply() {
	p.tree.Lock()
	defer p.tree.Unlock()
	for p.peer.Apply(&p.out) {
		p.applied(&p.out)
	}
}

// upkeep hands changes to the copy, has that written, and lets the log's
// beginning go, each now and then.
func (p *process) upkeep() {
	w, plan := p.w, p.w.plan
	if w.now < p.keepAt {
		return
	}
	p.keepAt = w.now + plan.keepEvery
	p.keep()
	if w.now >= p.flushAt {
		p.flushAt = w.now + plan.flushEvery
		p.m.flush()
	}
	if plan.purgeEvery > 0 && w.now >= p.purgeAt {
		p.purgeAt = w.now + plan.purgeEvery
		p.m.disk.purge(w.loops.IntN(30))
	}
}

// flush makes the copy durable.
func (m *member) flush() {
	if d := &m.disk; d.copied != nil && m.process != nil && !m.process.installing {
		d.flushed = d.copied.clone()
	}
}

// keep hands what has changed to the copy.
func (p *process) keep() {
	if !p.installing {
		p.m.disk.copied.take(p.tree)
	}
}
