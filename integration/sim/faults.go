package main

import (
	"fmt"
	"math/rand/v2"

	"zooid/wire"
)

// act is what a fault does.
type act uint8

const (
	actKill     act = iota // the process dies
	actPower               // the machine goes down: what is not synced may be lost, and nobody sees a connection end
	actPowerAll            // all of them do
	actPause               // the process stands still
	actHole                // a member, or some, are cut off, and nobody is told
	actCut                 // … and every connection breaks
	actOneWay              // what a member sends is not heard, or it hears nothing
	actDepose              // a leader is cut off and does not know: only the others see its connections end, and clients reach them all
	actBreak               // connections break, and can be made again
	actSlowNet             // what a member sends takes long
	actSlowDisk            // a disk is slow
	actStall               // a disk does nothing for a while
	actFull                // a disk is full
	actStrand              // clients are cut off from a member, and go elsewhere; it hears nothing of that
	actOrphan              // a member is cut off; when it has noticed that its leader dies, and the cut is healed
	actResign              // a member is stopped in good order
	actPurge               // a log loses its beginning
	actWipe                // an observer's disk is replaced by an empty one
	acts
)

var actNames = [acts]string{"kill", "power off", "power off all", "pause", "black hole", "cut off", "one way", "depose", "break connections",
	"slow network", "slow disk", "disk stalls", "disk full", "strand clients", "orphan", "resign", "purge", "wipe observer"}

// moment is a point in a member's work at which a fault may wait for it.
type moment uint8

const (
	momNone moment = iota
	momAppend
	momSynced
	momSaveEpochs
	momEpochsSaved
	momLeaderInfo
	momAckEpoch
	momDiff
	momTruncSent
	momSnap
	momNewLeader
	momAckNewLeader
	momUpToDate
	momProposal
	momAck
	momCommit
	momSnapPart
	momInstall
	momInstalled
	momTruncate
	momTruncated
	momServing
	momDial
	momHeld
	moments
)

var momentNames = [moments]string{"", "append", "sync done", "epochs to disk", "epochs saved", "LEADERINFO", "ACKEPOCH", "DIFF", "TRUNC",
	"SNAP", "NEWLEADER", "ACK of NEWLEADER", "UPTODATE", "PROPOSAL", "ACK", "COMMIT", "part of a snapshot", "snapshot to disk",
	"snapshot installed", "cutting the log", "log cut", "a role begins", "dial", "clients are held"}

// momentOf is the moment at which a packet is sent.
func momentOf(q *wire.QuorumPacket) moment {
	switch q.Type {
	case wire.PacketProposal:
		return momProposal
	case wire.PacketCommit:
		return momCommit
	case wire.PacketAck:
		if q.Zxid.Counter() == 0 {
			return momAckNewLeader
		}
		return momAck
	case wire.PacketLeaderInfo:
		return momLeaderInfo
	case wire.PacketAckEpoch:
		return momAckEpoch
	case wire.PacketDiff:
		return momDiff
	case wire.PacketTrunc:
		return momTruncSent
	case wire.PacketNewLeader:
		return momNewLeader
	case wire.PacketUpToDate:
		return momUpToDate
	}
	return momNone
}

// whom is who a fault is for.
type whom uint8

const (
	whomAny whom = iota
	whomLeader
	whomOther // not the leader
	whomActor // whoever comes to the moment
)

// fault is one trouble: at a time, or at a member's n-th moment of a kind behind
// it.
type fault struct {
	n      int
	wait   int64 // µs behind the one before
	act    act
	whom   whom
	at     moment
	nth    int
	length int64 // µs
	dice   uint32
}

func (f *fault) String() string {
	s := fmt.Sprintf("fault %d: %s", f.n, actNames[f.act])
	if f.at != momNone {
		s += fmt.Sprintf(" at %s (%d more)", momentNames[f.at], f.nth)
	}
	return s + fmt.Sprintf(" for %d ms", f.length/ms)
}

// drawFault makes the n-th fault of a run. It depends on nothing else.
func (p *plan) drawFault(n int) fault {
	r := stream(p.seed, forFaults+uint64(n))
	f := fault{n: n, dice: r.Uint32(), wait: 1 + int64(r.ExpFloat64()*float64(p.faultEvery))}
	for f.act = act(r.IntN(int(acts))); p.acts&(1<<f.act) == 0; {
		f.act = act(r.IntN(int(acts)))
	}
	f.whom = pick(r, whomAny, whomLeader, whomLeader, whomOther)
	switch f.act {
	case actOrphan:
		f.whom = whomOther
	case actDepose:
		f.whom = whomLeader
	}
	tick := float64(p.tickMs * ms)
	f.length = int64(pick(r, 0.2, 1, 4) * tick * r.ExpFloat64())
	if r.IntN(10) == 0 {
		f.length *= 8
	}
	if r.IntN(3) == 0 && f.act != actPurge && f.act != actWipe {
		f.at = moment(1 + r.IntN(int(moments)-1))
		f.nth = pick(r, 0, 0, 1, r.IntN(8))
		if r.IntN(2) == 0 {
			f.whom = whomActor
		}
	}
	return f
}

// faults is where the run is in its faults.
type faults struct {
	n     int
	armed []fault
	mask  uint32 // moments that somebody waits for
	done  []fault
}

// nextFault plans the next fault.
func (w *world) nextFault() {
	if w.plan.faultEvery == 0 {
		return
	}
	f := w.plan.drawFault(w.faults.n)
	w.faults.n++
	w.later(f.wait, func() {
		if w.healed {
			return
		}
		w.nextFault()
		if !w.plan.hasFault(f.n) {
			return
		}
		if f.at != momNone {
			w.faults.armed = append(w.faults.armed, f)
			w.faults.mask |= 1 << f.at
			return
		}
		w.strike(&f, nil)
	})
}

// moment is a member's coming to a point in its work.
func (m *member) moment(at moment) {
	if m.w.faults.mask&(1<<at) != 0 && at != momNone {
		m.w.atMoment(m, at)
	}
}

// atMoment lets the faults strike that have waited for this.
func (w *world) atMoment(m *member, at moment) {
	if w.healed {
		return
	}
	var due []fault
	keep := w.faults.armed[:0]
	for _, f := range w.faults.armed {
		if f.at == at && f.nth == 0 {
			due = append(due, f)
			continue
		}
		if f.at == at {
			f.nth--
		}
		keep = append(keep, f)
	}
	w.faults.armed = keep
	w.faults.mask = 0
	for _, f := range keep {
		w.faults.mask |= 1 << f.at
	}
	for i := range due {
		w.saw(rareAtMoment)
		w.strike(&due[i], m)
	}
}

// victim chooses whom a fault is for.
func (w *world) victim(f *fault, actor *member) *member {
	r := rand.New(rand.NewPCG(uint64(f.dice), uint64(f.n)))
	lead := w.leader()
	switch {
	case f.whom == whomActor && actor != nil:
		return actor
	case f.whom == whomLeader && lead != nil:
		return lead
	}
	m := w.members[r.IntN(len(w.members))]
	if f.whom == whomOther && m == lead {
		m = w.members[(m.i+1)%len(w.members)]
	}
	return m
}

// strike carries a fault out, and plans its end.
func (w *world) strike(f *fault, actor *member) {
	m := w.victim(f, actor)
	w.tell("*** %v, member %d", f, m.sid)
	w.faults.done = append(w.faults.done, *f)
	w.mix(uint64(f.n), uint64(f.act), uint64(m.i))
	switch f.act {
	case actKill, actPower:
		m.kill(f.act == actPower)
		w.restart(m, f.length)
	case actPowerAll:
		w.saw(rarePowerAll)
		for i, m := range w.members {
			m.kill(true)
			w.restart(m, f.length/int64(1+i))
		}
	case actPause:
		m.pause()
		w.later(f.length, m.resume)
	case actHole, actCut, actOneWay:
		w.partition(f, m)
	case actDepose:
		w.depose(f, m)
	case actBreak:
		w.breakSome(f, m)
	case actSlowNet:
		for to := range w.slow[m.i] {
			w.slow[m.i][to] = 30
		}
		w.later(f.length, func() { clear(w.slow[m.i]) })
	case actSlowDisk:
		m.disk.slowBy = 20
		w.later(f.length, func() { m.disk.slowBy = 1 })
	case actStall:
		w.saw(rareDiskStall)
		m.disk.stallUntil = max(m.disk.stallUntil, w.now+f.length)
	case actFull:
		w.saw(rareDiskFull)
		m.disk.full = true
		w.later(f.length, m.disk.goOn)
	case actStrand:
		w.strand(f, m)
	case actOrphan:
		w.orphan(f, m)
	case actResign:
		w.resign(m, f.length)
	case actPurge:
		m.flush()
		m.disk.purge(int(f.dice & 15))
	case actWipe:
		w.wipe(m)
	}
}

// restart starts a member after a while.
func (w *world) restart(m *member, after int64) {
	w.later(1+after, func() {
		if m.process == nil {
			m.start()
		}
	})
}

// partition cuts the network: between two groups, or one way.
func (w *world) partition(f *fault, m *member) {
	r := rand.New(rand.NewPCG(uint64(f.dice), 1))
	in := make([]bool, len(w.members)+len(w.clients))
	in[m.i] = true
	if r.IntN(2) == 0 {
		for i := range w.members {
			in[i] = in[i] || r.IntN(3) == 0
		}
	}
	clients := len(w.members)
	together := r.IntN(2) == 0
	for i := clients; i < len(in); i++ {
		if together && i > clients {
			in[i] = in[clients]
		} else {
			in[i] = r.IntN(3) == 0 // it is on the side of the victim
		}
	}
	reachAll := r.IntN(2) == 0 // or clients are on both
	oneWay := f.act == actOneWay
	w.saw(rarePartition)
	var cut [][2]int
	for a := range in {
		for b := range in {
			if in[a] == in[b] || w.blocked[a][b] || reachAll && (a >= clients || b >= clients) || oneWay && in[a] != (f.dice&1 == 0) {
				continue
			}
			cut = append(cut, [2]int{a, b})
		}
	}
	for _, c := range cut {
		w.block(c[0], c[1], true)
	}
	if f.act == actCut {
		for _, c := range w.live {
			if w.conns[c.n] != nil && in[c.ends[0].node] != in[c.ends[1].node] && !(reachAll && c.purpose == forClient) {
				w.breakBlind(c)
			}
		}
	}
	w.later(f.length, func() {
		for _, c := range cut {
			w.block(c[0], c[1], false)
		}
	})
}

// strand cuts clients off from their member. They go elsewhere after a while, and
// what they have sent last, and that they have gone, is heard when the network is
// whole again.
func (w *world) strand(f *fault, m *member) {
	r := rand.New(rand.NewPCG(uint64(f.dice), 2))
	w.saw(rareStranded)
	for _, c := range w.clients {
		if c.conn == nil || c.home != m.i || r.IntN(3) == 0 {
			continue
		}
		from, to, conn := c.node(), m.i, c.conn
		w.block(from, to, true)
		w.block(to, from, true)
		w.later(int64(r.Uint64N(uint64(int64(c.timeoutMs)*ms/2))), func() {
			if c.conn == conn && !w.healed {
				c.leave()
			}
		})
		returns := r.IntN(2) == 0
		w.later(f.length, func() {
			w.block(from, to, false)
			w.block(to, from, false)
			if returns && !w.healed && c.conn != conn && m.process != nil {
				c.leave()
				c.home = to
				c.connect()
			}
		})
	}
}

// orphan cuts a member off from the others until it holds its clients for want of a
// leader. Then the leader dies, and the network is whole: what has waited here meets a
// new leader, and clients have had time to ask for it elsewhere.
func (w *world) orphan(f *fault, m *member) {
	lead := w.leader()
	clients := func(m *member) (n int) {
		for _, c := range w.clients {
			if c.ready && c.home == m.i {
				n++
			}
		}
		return n
	}
	for _, other := range w.members { // one that has clients
		if other != lead && (m == lead || clients(other) > clients(m)) {
			m = other
		}
	}
	p := m.process
	if p == nil || lead == nil || lead == m {
		return
	}
	cut := func(is bool) {
		for i := range w.members {
			w.block(m.i, i, is)
			w.block(i, m.i, is)
		}
	}
	cut(true)
	r := rand.New(rand.NewPCG(uint64(f.dice), 3))
	for _, c := range w.clients {
		conn := c.conn
		if conn == nil || c.home != m.i || r.IntN(3) == 0 {
			continue
		}
		w.later(int64(r.Uint64N(uint64(w.plan.syncLimit*w.plan.tickMs*ms))), func() { // it loses patience
			if c.conn == conn && !w.healed {
				if c.ready && len(c.unset) == 0 && !c.plan.reader && !w.plan.local {
					c.recipe.act(c)
				}
				if c.conn != conn {
					return
				}
				w.vanish(conn, 0, f.length+3*w.plan.syncLimit*w.plan.tickMs*ms)
				c.disconnected()
				c.home = lead.i
				c.connect()
			}
		})
	}
	p.onHeld = func() {
		cut(false)
		w.saw(rareOrphaned)
		lead.kill(false)
		w.restart(lead, f.length)
	}
	w.later((w.plan.syncLimit+2)*w.plan.tickMs*ms, func() {
		if p.onHeld != nil {
			p.onHeld = nil
			cut(false)
		}
	})
}

// depose cuts a member off from the others, who see that at once.
func (w *world) depose(f *fault, m *member) {
	w.saw(rareDeposed)
	length := max(f.length, w.plan.syncLimit*w.plan.tickMs*ms) // until it finds out by itself
	for i := range w.members {
		w.block(m.i, i, true)
		w.block(i, m.i, true)
	}
	for _, c := range w.live {
		side := 0
		if c.ends[0].node == m.i {
			side = 1
		}
		if w.conns[c.n] == nil || c.purpose == forClient || c.ends[1-side].node != m.i {
			continue
		}
		for i := range c.pipes {
			p := &c.pipes[i]
			clear(p.q)
			p.q, p.head, p.broken, p.holding, p.held = p.q[:0], 0, true, false, nil
		}
		w.receive(c, side, &msg{kind: msgEnd})
		// The member hears of it when the network is whole again.
		w.later(length, func() { w.receive(c, 1-side, &msg{kind: msgEnd}) })
	}
	w.later(length, func() {
		for i := range w.members {
			w.block(m.i, i, false)
			w.block(i, m.i, false)
		}
	})
}

// breakBlind breaks a connection across a cut: both sides see it at once, and
// nothing that was on its way arrives.
func (w *world) breakBlind(c *conn) {
	for side := range c.pipes {
		p := &c.pipes[side]
		clear(p.q)
		p.q, p.head, p.broken, p.holding, p.held = p.q[:0], 0, true, false, nil
	}
	for side := range c.ends {
		w.receive(c, side, &msg{kind: msgEnd})
	}
}

// breakSome breaks connections of a member.
func (w *world) breakSome(f *fault, m *member) {
	for _, c := range w.live {
		if w.conns[c.n] == nil || c.ends[0].node != m.i && c.ends[1].node != m.i {
			continue
		}
		if f.dice>>uint(c.n&15)&1 == 0 {
			w.breakConn(c)
		}
	}
}

// resign stops a member in good order: it says so, finishes, and ends.
func (w *world) resign(m *member, pause int64) {
	p := m.process
	if p == nil || w.plan.alone || m.paused {
		return
	}
	w.saw(rareResign)
	// It happens in the middle of somebody's work, so its turn comes next.
	w.later(1, func() {
		if m.process != p || m.paused {
			return
		}
		p.resigned = true
		p.open = false
		p.doors.dropAll(p)
		p.peer.Resign("the member stops")
		p.settle()
		if m.process != p {
			return
		}
		for _, c := range w.live {
			for side := range c.ends {
				if e := c.ends[side]; w.conns[c.n] != nil && e.node == m.i && e.incarnation == m.incarnation {
					w.closeEnd(c, side)
				}
			}
		}
		m.kill(false)
		w.restart(m, pause)
	})
}

// wipe gives an observer an empty disk. A voter must not be treated so: it
// would forget what it has promised.
func (w *world) wipe(m *member) {
	if !m.observer || w.plan.origin != 0 {
		return
	}
	w.saw(rareWiped)
	m.kill(true)
	m.disk = disk{m: m, flushed: emptyCopy(0), lanes: m.disk.lanes}
	clear(m.check.promised)
	w.restart(m, int64(m.sid)*10*ms)
}

// heal ends all trouble.
func (w *world) heal() {
	w.tell("*** everything is healed")
	w.healed = true
	w.faults.armed, w.faults.mask = nil, 0
	for a := range w.blocked {
		clear(w.blocked[a])
		clear(w.slow[a])
	}
	w.thaw()
	for _, m := range w.members {
		m.resume()
		m.disk.slowBy, m.disk.stallUntil = 1, 0
		m.disk.hurry()
		m.disk.goOn()
		if m.process == nil {
			w.restart(m, 0)
		}
	}
}
