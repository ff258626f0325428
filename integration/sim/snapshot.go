package main

import (
	"zooid/wire"
	"zooid/zab"
)

// arrival is a snapshot on its way in.
type arrival struct {
	conn     *conn
	zxid     wire.Zxid
	epoch    int64
	snapshot *copyOfTree
	complete bool // all of the stream has arrived
}

// sendSnapshot streams the copy to a learner, once it is new enough. What is
// sent on the connection meanwhile comes behind it.
func (p *process) sendSnapshot(s zab.SendSnapshot) {
	c, side := p.connOf(s.Conn)
	if c == nil {
		p.arrive(item{kind: itSnapshotSent, id: s.Conn})
		return
	}
	p.w.saw(rareSnap)
	c.pipes[side].holding = true
	p.w.later(int64(p.w.disks.IntN(20_000)), func() { p.stream(s, c, side) })
}

func (p *process) stream(s zab.SendSnapshot, c *conn, side int) {
	w := p.w
	switch {
	case !p.alive():
		return
	case w.conns[c.n] == nil || !c.ends[side].open:
		p.arrive(item{kind: itSnapshotSent, id: s.Conn})
		return
	}
	p.keep()
	snap := p.m.disk.copied
	if p.m.paused || p.installing || snap.zxid < s.AtLeast {
		w.later(2*ms, func() { p.stream(s, c, side) })
		return
	}
	snap = snap.clone()
	w.tell("%d: SNAP %v on %d (at least %v)", p.m.sid, snap.zxid, s.Conn, s.AtLeast)
	pipe := &c.pipes[side]
	head := zab.Send{Conn: s.Conn, Packet: wire.QuorumPacket{Type: wire.PacketSnap, Zxid: max(snap.zxid, s.Label)}}
	p.checkSend(c, side, &head)
	pipe.holding = false
	w.send(c, side, msg{kind: msgPacket, pkt: head.Packet})
	for parts := 1 + w.network.IntN(8); parts > 0; parts-- {
		pipe.last += int64(w.network.IntN(10_000))
		m := msg{kind: msgChunk}
		if parts == 1 {
			m.body = snap
		}
		w.send(c, side, m)
	}
	for _, m := range pipe.held {
		w.send(c, side, m)
	}
	pipe.held = nil
	w.later(int64(w.network.IntN(10_000)), func() {
		if p.alive() {
			p.arrive(item{kind: itSnapshotSent, id: s.Conn, zxid: snap.zxid, ok: w.conns[c.n] != nil && c.ends[side].open})
		}
	})
	p.m.moment(momSnap)
}

// readSnapshot begins to read the stream of a snapshot.
func (p *process) readSnapshot(in *zab.Install) {
	p.w.tell("%d: reads snapshot %v on %d", p.m.sid, in.Zxid, in.Conn)
	c, side := p.connOf(in.Conn)
	if c == nil {
		p.arrive(item{kind: itInstalled, zxid: in.Zxid})
		return
	}
	pipe := &c.pipes[1-side]
	if !pipe.reading {
		p.w.fail("connections", "member %d wants to read a snapshot on connection %d, where none comes", p.m.sid, in.Conn)
	}
	pipe.ready = true
	p.check.arrival = &arrival{conn: c, zxid: in.Zxid, epoch: in.Epoch}
	p.w.arm(c, 1-side)
}

// chunk is a part of the stream.
func (p *process) chunk(c *conn, m *msg) {
	a := p.check.arrival
	if a == nil || a.conn != c {
		return
	}
	p.m.moment(momSnapPart)
	if m.body == nil || !p.alive() || p.check.arrival != a {
		return
	}
	a.snapshot, a.complete = m.body.(*copyOfTree), true
	c.pipes[1].ready = false
	p.installing = true
	p.m.disk.ask(job{kind: jobInstall, install: a})
	p.m.moment(momInstall)
}

// installed gives the tree the content of the snapshot that the disk has now,
// or says that the stream broke.
func (p *process) installed(it *item) {
	a := it.arrival
	p.w.tell("%d: installed %v, ok=%v", p.m.sid, it.zxid, it.ok)
	if it.ok {
		p.doors.dropAll(p)
		fresh, err := a.snapshot.restore(p.w.rules())
		if err != nil {
			p.w.fail("20 digests", "member %d: snapshot: %v", p.m.sid, err)
		}
		p.tree.Adopt(fresh)
		p.tree.TrackChanges()
		p.installing = false
		p.check.pos = p.w.ledger.place(a.zxid)
		p.w.saw(rareInstalled)
	}
	p.check.arrival = nil
	p.peer.Installed(it.zxid, it.ok)
	if it.ok && p.w.conns[a.conn.n] != nil {
		a.conn.pipes[1].reading = false
		p.w.arm(a.conn, 1)
	}
}
