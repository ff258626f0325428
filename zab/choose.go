package zab

import (
	"fmt"

	"zooid/wire"
)

// This file has how a leader brings a learner to its own history: what it opens
// with, what it sends behind that, and the joint with the broadcast.
//
//	 P known, not beyond C     DIFF, the committed rest
//	 P unknown, or beyond C    ours:  TRUNC to what both have, the committed rest
//	                           Java:  SNAP, labelled with the new epoch
//	 nothing, or too far back  SNAP, the committed rest
//
// P is the learner's last zxid and C the end of what is committed. Before the
// broadcast that is this member's whole history, which it is about to commit.
//
// A Java learner is never told to truncate: it keeps one transaction too many
// (quorum.md §22.8). The label of its snapshot, greater than any zxid before
// this epoch, keeps it from replaying what its log has behind the snapshot. A
// label is true: a learner has the snapshot on disk only together with all that
// comes before NEWLEADER, which is at least this leader's initial history.

// readBytes is how much of the log is read at once for one learner.
const readBytes = 1 << 20

// offered is the end of what is offered to learners as committed.
func (l *leader) offered() wire.Zxid {
	if l.phase == leaderBroadcast {
		return l.m.log.committed
	}
	return l.initial
}

// choose begins the synchronization of a learner. Between the choice and the
// joint the learner may have to wait for the disk; the joint itself is made in
// one step with the state that it rests on.
func (l *leader) choose(k *link) {
	h := &l.m.log
	p := k.last
	if p == epochZxid(l.epoch) {
		p = l.initial // the label of a snapshot of this epoch, and no more
	}
	switch {
	case p == l.offered():
		l.open(k, wire.PacketDiff, p, p)
	case p == 0:
		l.snapshot(k)
	case p >= h.base:
		l.chooseKnown(k, p)
	default:
		k.last = p
		l.read(k, p)
	}
}

// chooseKnown chooses where the history in memory reaches back to p.
func (l *leader) chooseKnown(k *link, p wire.Zxid) {
	h, c := &l.m.log, l.offered()
	pos, known := h.behind(p)
	switch {
	case known && p <= c:
		l.open(k, wire.PacketDiff, c, p)
	case !known && p.Counter() == 0 && pos < h.end() && h.at(pos).Zxid.Epoch() == p.Epoch():
		// The beginning of an epoch that is in the history.
		l.open(k, wire.PacketDiff, c, h.before(pos))
	default:
		pos, _ = h.behind(min(p, c))
		l.diverged(k, h.before(pos))
	}
}

// diverged deals with a learner that has something that is not committed: prev
// is the last thing that it may keep.
func (l *leader) diverged(k *link, prev wire.Zxid) {
	if k.ours {
		l.open(k, wire.PacketTrunc, prev, prev)
		return
	}
	l.snapshot(k)
}

// open sends DIFF or TRUNC, after which the learner has everything up to have,
// and goes on behind that.
func (l *leader) open(k *link, t wire.PacketType, z, have wire.Zxid) {
	l.m.send(k.conn, wire.QuorumPacket{Type: t, Zxid: z})
	k.opened, k.sent = true, have
	l.carry(k)
}

// snapshot asks for the state to be streamed.
func (l *leader) snapshot(k *link) {
	k.stage = linkSnapshot
	s := SendSnapshot{Conn: k.conn, AtLeast: l.m.log.committed}
	if !k.ours {
		s.Label = epochZxid(l.epoch)
	}
	l.m.ready.Snapshots = append(l.m.ready.Snapshots, s)
}

// snapshotSent goes on behind a snapshot of the state at z.
func (l *leader) snapshotSent(k *link, z wire.Zxid, ok bool) {
	switch {
	case k.stage != linkSnapshot:
		panic(fmt.Sprintf("zab: a snapshot of %v sent to %d without being asked for", z, k.conn))
	case !ok:
		l.m.closeLink(k, "no snapshot could be made")
		return
	case z > l.m.log.committed:
		panic(fmt.Sprintf("zab: a snapshot of %v sent, committed is %v", z, l.m.log.committed))
	}
	k.opened, k.sent = true, z
	l.carry(k)
}

// read asks for the part of the log behind z.
func (l *leader) read(k *link, z wire.Zxid) {
	k.stage = linkReading
	l.m.ready.Reads = append(l.m.ready.Reads, ReadLog{Conn: k.conn, After: z, MaxBytes: readBytes})
}

// carry sends what is committed behind k.sent: from memory, together with the
// joint, if that reaches back so far, else by way of the log on disk.
func (l *leader) carry(k *link) {
	if k.sent >= l.m.log.base {
		l.join(k)
		return
	}
	l.read(k, k.sent)
}

// logRead takes a part of the log.
func (l *leader) logRead(k *link, c *LogChunk) {
	if k.stage != linkReading {
		panic(fmt.Sprintf("zab: log read behind %v for %d without being asked for", c.After, k.conn))
	}
	switch {
	case !k.opened:
		l.chooseRead(k, c)
	case c.Err == nil && c.Prev != c.After:
		l.m.closeLink(k, fmt.Sprintf("the log has no record %v, only %v", c.After, c.Prev))
	default:
		l.sendRead(k, c)
	}
}

// chooseRead chooses by the first part of the log that was read.
func (l *leader) chooseRead(k *link, c *LogChunk) {
	behind := c.Behind
	for i := range c.Entries {
		behind += int64(len(c.Entries[i].Payload))
	}
	if c.Err != nil || behind > l.m.cfg.DiffBytes || len(c.Entries) == 0 {
		l.snapshot(k)
		return
	}
	known := c.Prev == c.After
	if c.After.Counter() == 0 && c.Entries[0].Zxid.Epoch() == c.After.Epoch() {
		known = true // the beginning of an epoch that is in the history
	}
	if !known && !k.ours {
		l.snapshot(k)
		return
	}
	opening := wire.QuorumPacket{Type: wire.PacketDiff, Zxid: l.offered()}
	if !known {
		opening = wire.QuorumPacket{Type: wire.PacketTrunc, Zxid: c.Prev}
	}
	l.m.send(k.conn, opening)
	k.opened, k.sent = true, c.Prev
	l.sendRead(k, c)
}

// sendRead sends what a part of the log holds of the committed history. Behind
// that the log has proposals in flight, which the joint sends.
func (l *leader) sendRead(k *link, c *LogChunk) {
	sent := k.sent
	for _, e := range c.Entries {
		if e.Zxid > l.offered() {
			break
		}
		if e.Zxid > k.sent {
			l.sendCommitted(k, e)
		}
	}
	if c.Err != nil || k.sent == sent {
		l.m.closeLink(k, fmt.Sprintf("the log cannot be read behind %v: %v", sent, c.Err))
		return
	}
	l.carry(k)
}

func (l *leader) sendCommitted(k *link, e wire.Entry) {
	l.m.send(k.conn, wire.QuorumPacket{Type: wire.PacketProposal, Zxid: e.Zxid, Data: e.Payload})
	l.m.send(k.conn, wire.QuorumPacket{Type: wire.PacketCommit, Zxid: e.Zxid})
	k.sent = e.Zxid
}

// join sends the committed rest and, to a follower, every proposal in flight,
// and from then on all that is broadcast; NEWLEADER comes behind what stands in
// the stream by then (quorum.md §22.5). Nothing can come between, for it is one
// step.
func (l *leader) join(k *link) {
	h, c := &l.m.log, l.offered()
	for pos, _ := h.behind(k.sent); pos < h.end(); pos++ {
		e := *h.at(pos)
		if e.Zxid <= c {
			l.sendCommitted(k, e)
		} else if !k.observer && !mistaken(SkipOutstanding) {
			l.m.send(k.conn, wire.QuorumPacket{Type: wire.PacketProposal, Zxid: e.Zxid, Data: e.Payload})
		}
	}
	l.m.send(k.conn, wire.QuorumPacket{Type: wire.PacketNewLeader, Zxid: epochZxid(l.epoch), Data: l.m.cfg.Ensemble.Text})
	k.stage, k.heard = linkJoined, l.m.nowMs
}
