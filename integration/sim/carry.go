package main

import (
	"errors"

	"zooid/peer"
	"zooid/wire"
	"zooid/zab"
)

// carryOut does what the peer wants, and tells whether it wanted anything. Disk
// and network come in either order, as in a real loop they are beside each
// other. The process may die in the middle of it.
func (p *process) carryOut(rd *peer.Ready) (busy bool) {
	p.checkReady(rd)
	if rd.Failed != "" {
		p.w.tell("%d: gives up: %s", p.m.sid, rd.Failed)
	}
	for _, r := range rd.Refused {
		p.w.tell("%d: refuses a learner: %+v", p.m.sid, r)
		p.checkRefused(&r)
	}
	if p.w.loops.Uint32()&1 == 0 {
		busy = p.toDisk(rd)
		busy = p.alive() && p.toNetwork(rd) || busy
	} else {
		busy = p.toNetwork(rd)
		busy = p.alive() && p.toDisk(rd) || busy
	}
	return p.alive() && p.toClients(rd) || busy
}

// toDisk hands over what the disk is to do.
func (p *process) toDisk(rd *peer.Ready) (busy bool) {
	d := &p.m.disk
	if rd.Truncate != nil {
		p.w.tell("%d: truncate behind %v", p.m.sid, *rd.Truncate)
		d.ask(job{kind: jobTruncate, zxid: *rd.Truncate})
		busy = true
		p.m.moment(momTruncate)
	}
	if len(rd.Entries) > 0 {
		d.append(rd.Entries)
		busy = true
		p.m.moment(momAppend)
	}
	if rd.SaveSecret != "" {
		panic("a member is to adopt a secret that it has")
	}
	if rd.SaveEpochs != nil && p.alive() {
		p.w.tell("%d: save epochs %d %d", p.m.sid, rd.SaveEpochs.Accepted, rd.SaveEpochs.Current)
		d.ask(job{kind: jobEpochs, epochs: *rd.SaveEpochs})
		busy = true
		p.m.moment(momSaveEpochs)
	}
	if rd.Install != nil && p.alive() {
		p.readSnapshot(rd.Install)
		busy = true
	}
	return busy
}

// toNetwork sends, dials and closes.
func (p *process) toNetwork(rd *peer.Ready) (busy bool) {
	for i := range rd.Notices {
		p.notify(&rd.Notices[i])
		busy = true
	}
	if rd.ConnectAll {
		for i := range p.links {
			if p.links[i] == nil && i != p.m.i {
				p.dialLink(i)
			}
		}
		busy = true
	}
	if rd.Dial != nil {
		p.dial(rd.Dial.Leader)
		busy = true
	}
	for i := range rd.Sends {
		p.sendPacket(&rd.Sends[i])
		if busy = true; !p.alive() {
			return true
		}
	}
	for _, s := range rd.Snapshots {
		p.sendSnapshot(s)
		busy = true
	}
	for _, r := range rd.Reads {
		p.readLog(r)
		busy = true
	}
	for _, id := range rd.Close {
		p.hangUp(id)
		busy = true
	}
	return busy
}

// toClients tells the clients' connections.
func (p *process) toClients(rd *peer.Ready) (busy bool) {
	for i := range rd.Attached {
		p.attached(&rd.Attached[i])
		busy = true
	}
	for _, d := range rd.Dropped {
		p.w.tell("%d: drops client connection %d: %s", p.m.sid, d.Conn, d.Reason)
		p.doors.drop(p, p.doors.byID[d.Conn])
		busy = true
	}
	if rd.Serving != nil {
		p.serve(rd.Serving)
		busy = true
		p.m.moment(momServing)
	}
	if !p.alive() {
		return true
	}
	if rd.WantAttached {
		p.w.saw(rareResumed)
		p.peer.Resume(p.doors.sessions())
		busy = true
	}
	if rd.WantTouched {
		p.touch()
		p.peer.Touched()
		busy = true
	}
	return busy
}

// idOf is the number that the peer knows a side of a connection by.
func idOf(c *conn, side int) zab.ConnID { return zab.ConnID(2*c.n + side + 1) }

// connOf finds a connection of this process that is open on this side.
func (p *process) connOf(id zab.ConnID) (c *conn, side int) {
	n, side := int(id-1)/2, int(id-1)%2
	if id <= 0 || n >= len(p.w.conns) {
		p.w.fail("connections", "member %d speaks of connection %d, which there never was", p.m.sid, id)
	}
	c = p.w.conns[n]
	if c == nil || !c.ends[side].open {
		return nil, side
	}
	if c.ends[side].node != p.m.i || c.ends[side].incarnation != p.m.incarnation {
		p.w.fail("connections", "member %d speaks of connection %d, which is not its own", p.m.sid, id)
	}
	return c, side
}

func (p *process) sendPacket(s *zab.Send) {
	c, side := p.connOf(s.Conn)
	p.w.tellPacket(p.m, s)
	p.checkSend(c, side, s)
	if c != nil {
		p.w.send(c, side, msg{kind: msgPacket, pkt: s.Packet})
	}
	p.m.moment(momentOf(&s.Packet))
}

// hangUp closes one of the peer's connections, which hears of it as of any
// other end.
func (p *process) hangUp(id zab.ConnID) {
	c, side := p.connOf(id)
	if c == nil {
		return
	}
	p.w.tell("%d: closes connection %d", p.m.sid, id)
	p.w.closeEnd(c, side)
	p.ended(c, side)
}

// ended is the end of a connection between members, whoever ended it.
func (p *process) ended(c *conn, side int) {
	if p.check.arrival != nil && p.check.arrival.conn == c && !p.check.arrival.complete {
		p.arrive(item{kind: itInstalled, zxid: p.check.arrival.zxid, arrival: p.check.arrival})
		p.check.arrival = nil
		p.w.saw(rareSnapBroken)
	}
	p.arrive(item{kind: itClosed, id: idOf(c, side)})
}

// receive is a message's arrival from the network.
func (p *process) receive(c *conn, side int, m *msg) {
	switch m.kind {
	case msgPacket:
		if m.pkt.Type == wire.PacketSnap && side == 0 {
			c.pipes[1].reading, c.pipes[1].ready = true, false
		}
		p.arrive(item{kind: itPacket, conn: c, id: idOf(c, side), pkt: m.pkt})
	case msgChunk:
		p.chunk(c, m)
	case msgNote:
		p.arrive(item{kind: itNote, sid: wire.SID(c.ends[1-side].node + 1), note: m.body.(*wire.Notification)})
	case msgAsk:
		p.arrive(item{kind: itAsk, conn: c, ask: m.body.(*ask)})
	case msgEnd:
		switch c.purpose {
		case forElection:
			p.linkLost(c, side)
		case forLearner:
			p.ended(c, side)
		case forClient:
			p.arrive(item{kind: itClientGone, conn: c})
		}
	}
}

// dial connects to a leader's quorum port, where the others always listen.
func (p *process) dial(leader wire.SID) {
	w, to := p.w, int(leader)-1
	w.tell("%d: dials %d", p.m.sid, leader)
	p.m.moment(momDial)
	p.dials++
	no := p.dials // a later dial replaces this one
	w.later(w.delay(p.m.i, to)+w.delay(to, p.m.i), func() {
		switch {
		case !p.alive() || no != p.dials:
		case !w.reachable(p.m.i, to):
			w.later(w.plan.connectMs*ms, func() {
				if p.alive() && no == p.dials {
					p.arrive(item{kind: itDialFailed, sid: leader})
				}
			})
		case w.members[to].process == nil:
			p.arrive(item{kind: itDialFailed, sid: leader})
		default:
			q := w.members[to].process
			c := w.connect(forLearner, end{node: p.m.i, incarnation: p.m.incarnation}, end{node: to, incarnation: q.m.incarnation})
			p.arrive(item{kind: itDialled, id: idOf(c, 0), conn: c})
			q.arrive(item{kind: itAccepted, id: idOf(c, 1), conn: c})
		}
	})
}

// notify sends a notification, for which a link is made if there is none.
func (p *process) notify(n *zab.Notice) {
	p.checkNotice(n)
	p.w.tellNotice(p.m, n)
	note, to := n.N, int(n.To)-1
	if to == p.m.i {
		p.arrive(item{kind: itNote, sid: n.To, note: &note})
		return
	}
	p.notes[to] = &note
	if c := p.links[to]; c != nil {
		p.w.send(c, p.sideOf(c), msg{kind: msgNote, body: &note})
		return
	}
	p.dialLink(to)
}

func (p *process) sideOf(c *conn) int {
	if c.ends[0].node == p.m.i {
		return 0
	}
	return 1
}

// dialLink makes an election connection. Which of the two dials does not show.
func (p *process) dialLink(to int) {
	if p.dialling[to] || p.links[to] != nil {
		return
	}
	p.dialling[to] = true
	p.w.later(p.w.delay(p.m.i, to)+p.w.delay(to, p.m.i), func() { p.linkDialled(to) })
}

func (p *process) linkDialled(to int) {
	w, q := p.w, p.w.members[to].process
	switch {
	case !p.alive():
		return
	case p.links[to] != nil:
		p.dialling[to] = false
		return
	case !w.reachable(p.m.i, to):
		w.later(w.plan.connectMs*ms, func() {
			if p.dialling[to] = false; p.alive() && p.links[to] == nil {
				p.arrive(item{kind: itUnlinked, sid: wire.SID(to + 1)})
			}
		})
		return
	case q == nil:
		p.dialling[to] = false
		p.arrive(item{kind: itUnlinked, sid: wire.SID(to + 1)})
		return
	case q.m.paused || p.m.paused: // nobody reads the greeting
		w.later(20*ms, func() { p.linkDialled(to) })
		return
	}
	p.dialling[to] = false
	c := w.connect(forElection, end{node: p.m.i, incarnation: p.m.incarnation}, end{node: to, incarnation: q.m.incarnation})
	p.linked(c, to)
	q.linked(c, p.m.i)
}

// linked takes over a new link, and says again on it what was said last: it may
// be long out of date.
func (p *process) linked(c *conn, to int) {
	if old := p.links[to]; old != nil {
		p.w.closeEnd(old, p.sideOf(old))
	}
	p.links[to] = c
	p.arrive(item{kind: itLinked, sid: wire.SID(to + 1)})
	if n := p.notes[to]; n != nil {
		p.w.send(c, p.sideOf(c), msg{kind: msgNote, body: n})
	}
}

// linkLost tries once to make the link again before the peer hears of it.
func (p *process) linkLost(c *conn, side int) {
	to := c.ends[1-side].node
	if p.links[to] != c {
		return // another one has taken its place
	}
	p.links[to] = nil
	p.dialLink(to)
}

// readLog reads what is durable of the log, some time later.
func (p *process) readLog(r zab.ReadLog) {
	p.w.later(100+int64(p.w.disks.IntN(5000)), func() {
		if !p.alive() {
			return
		}
		chunk := p.m.disk.read(r)
		p.w.saw(rareDiffFromLog)
		p.arrive(item{kind: itLogRead, id: r.Conn, chunk: &chunk})
	})
}

var errPurged = errors.New("the log does not reach back so far")

// read gives the records behind a zxid.
func (d *disk) read(r zab.ReadLog) zab.LogChunk {
	c := zab.LogChunk{After: r.After}
	if r.After < d.base {
		d.m.w.saw(rareLogPurged)
		c.Err = errPurged
		return c
	}
	c.Prev = d.base
	size := 0
	for _, rec := range d.log[:d.durable] {
		switch {
		case rec.Zxid <= r.After:
			c.Prev = rec.Zxid
		case len(c.Entries) > 0 && size+len(rec.Payload) > r.MaxBytes, c.Behind > 0:
			c.Behind += int64(len(rec.Payload))
		default:
			size += len(rec.Payload)
			c.Entries = append(c.Entries, rec.Entry)
		}
	}
	return c
}
