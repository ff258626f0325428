package main

import (
	"zooid/peer"
	"zooid/session"
	"zooid/wire"
	"zooid/zab"
)

// member is a configured server: its machine with disk and clock. The process
// on it comes and goes.
type member struct {
	w           *world
	i           int
	sid         wire.SID
	observer    bool
	drift       int64 // of its clock, millionths
	offset      int64 // of its clock, µs
	disk        disk
	process     *process // nil while it is down
	incarnation uint32
	paused      bool
	pausedAt    int64
	pausedFor   int64 // µs in all
	check       memberCheck
}

func newMember(w *world, i int, origin *copyOfTree) *member {
	mp := w.plan.members[i]
	m := &member{w: w, i: i, sid: wire.SID(i + 1), observer: mp.observer, drift: mp.drift, offset: mp.offset}
	m.disk = disk{m: m, base: w.plan.origin, flushed: origin}
	if w.ensemble != nil {
		e := int64(w.plan.origin.Epoch())
		m.disk.epochs = zab.Epochs{Accepted: e, Current: e}
	}
	m.check.promised = map[int64]bool{}
	return m
}

// local is the member's clock in µs.
func (m *member) local() int64 { return m.w.now + m.w.now*m.drift/1_000_000 + m.offset }

// awake is how long, in µs, the member's machine has not stood still.
func (m *member) awake() int64 {
	t := m.w.now - m.pausedFor
	if m.paused {
		t -= m.w.now - m.pausedAt
	}
	return t
}

// wallMs is the member's calendar.
func (m *member) wallMs() int64 { return wallStartMs + m.local()/ms }

// keepSecret is on every disk, as if an earlier leader had passed it on.
const keepSecret = "a simulated ensemble's one secret"

func (m *member) config() peer.Config {
	p := m.w.plan
	return peer.Config{
		Zab: zab.Config{
			SID: m.sid, Ensemble: m.w.ensemble, Observer: m.observer,
			TickMs: p.tickMs, InitLimit: p.initLimit, SyncLimit: p.syncLimit,
			MinNotifyMs: p.minNotifyMs, MaxNotifyMs: p.maxNotifyMs, FinalizeMs: p.finalMs, MaxEpochWaitMs: p.epochWaitMs,
			DialTries: 5, Secret: keepSecret[:wire.SecretSize], DiffBytes: p.diffBytes, RecentBytes: p.recentBytes,
		},
		Keys:    session.NewKeys([]byte(keepSecret[:wire.SecretSize])),
		SweepMs: sweepEvery, SweepMax: sweepMax, HoldMs: p.holdMs, HoldMax: p.holdMax,
		LocalSessions: p.local, LocalUpgrade: p.upgrade,
	}
}

const (
	sweepEvery = 3_000 // ms
	sweepMax   = 10_000
)

// start begins a process from what is on the disk.
func (m *member) start() {
	if m.process != nil {
		return
	}
	w := m.w
	tree, err := m.disk.flushed.restore(w.rules())
	if err != nil {
		w.fail("20 digests", "member %d: %v", m.sid, err)
	}
	m.disk.copied = m.disk.flushed.clone()
	tree.TrackChanges()
	m.incarnation++
	p := newProcess(m, tree)
	m.process = p
	m.checkRestart(p)
	d := &m.disk
	from := d.firstBehind(tree.LastZxid())
	if from > 0 {
		from -= w.loops.IntN(min(from, 40) + 1)
	}
	recent := make([]wire.Entry, 0, len(d.log)-from)
	for _, r := range d.log[from:] {
		recent = append(recent, r.Entry)
	}
	p.peer = peer.New(m.config(), tree, zab.Disk{
		Epochs: d.epochs, Last: max(d.last(), tree.LastZxid()), Committed: tree.LastZxid(), Recent: recent,
	}, m.wallMs())
	w.tell("member %d starts: tree %v, log behind %v to %v, epochs %d %d", m.sid, tree.LastZxid(), d.base, d.last(), d.epochs.Accepted, d.epochs.Current)
	p.peer.Advance(0, loopMs)
	p.peer.Start(p.clock.now / ms)
	p.settle()
	if m.process == p {
		p.schedule()
		w.add(event{at: w.now + loopMs*ms, kind: atTick, who: int32(m.i), arg: m.incarnation})
	}
}

// firstBehind is the place in the log of the first record behind z.
func (d *disk) firstBehind(z wire.Zxid) int {
	i := len(d.log)
	for i > 0 && d.log[i-1].Zxid > z {
		i--
	}
	return i
}

// kill ends the process. With power true the machine goes down: the others see
// nothing of it for a while. What was written and not synced may be lost either
// way, for the log may not have got round to writing it.
func (m *member) kill(power bool) {
	p := m.process
	if p == nil {
		return
	}
	w := m.w
	w.tell("member %d dies, power=%v", m.sid, power)
	w.saw(rareCrash)
	if p.serving.State == wire.Leading {
		w.saw(rareLeaderDies)
	}
	if len(m.disk.log) > m.disk.durable {
		w.saw(rareCrashInFlight)
	}
	silence := int64(0)
	if power {
		silence = int64(w.victims.Uint64N(uint64(3 * w.plan.tickMs * w.plan.syncLimit * ms)))
	}
	m.process = nil
	if m.paused {
		m.resume()
	}
	for _, c := range w.live {
		for side := range c.ends {
			if e := &c.ends[side]; e.node == m.i && e.incarnation == m.incarnation && w.conns[c.n] != nil {
				w.hangUp(c, side, silence)
			}
		}
	}
	m.disk.crash()
}

// pause stops the process where it is, as SIGSTOP does.
func (m *member) pause() {
	if m.paused || m.process == nil {
		return
	}
	m.w.tell("member %d stands still", m.sid)
	m.w.saw(rarePause)
	m.paused, m.pausedAt = true, m.w.now
}

func (m *member) resume() {
	if !m.paused {
		return
	}
	m.w.tell("member %d goes on", m.sid)
	m.paused = false
	if gap := m.w.now - m.pausedAt; gap > 2*loopMs*ms { // less is no stall to the session clock
		m.pausedFor += gap - loopMs*ms // so much it counts of one
	}
	if p := m.process; p != nil {
		p.knockAt, p.wakeAt = forever, forever
		p.knock()
		m.w.add(event{at: m.w.now + 1, kind: atTick, who: int32(m.i), arg: m.incarnation})
	}
}
