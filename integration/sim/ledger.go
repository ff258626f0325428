package main

import (
	"zooid/wire"
	"zooid/znode"
)

// ledger is what the ensemble as a whole has proposed and committed, as an
// omniscient observer writes it down. All members' logs and trees are compared
// with it.
type ledger struct {
	origin wire.Zxid
	alone  bool
	final  []final // what was delivered to anybody, in order; the first one is where all began
	epochs map[uint32]*epochBook
	recent *epochBook
	acked  wire.Zxid // the newest state that any client has seen
	asked  map[wire.SessionID]*asked
}

// final is a delivered txn.
type final struct {
	zxid   wire.Zxid
	digest uint64 // of the tree behind it
}

// known is a txn that some log has, or had.
type known struct {
	hash  uint64 // of its bytes; 0 = unknown
	prev  wire.Zxid
	place int32 // in ledger.final, 0 = not there

	txn      *wire.Txn // what it says; nil if that cannot be read
	answered bool      // a client was told that it is the outcome of its request
}

// epochBook has the txns of one epoch by their counter.
type epochBook struct {
	epoch  uint32
	leader *process // who has announced it
	sid    wire.SID
	first  uint32 // counter of txns[0]
	txns   []known
}

func (l *ledger) begin(origin wire.Zxid, digest uint64, alone bool) {
	l.origin, l.alone = origin, alone
	l.epochs = map[uint32]*epochBook{}
	l.asked = map[wire.SessionID]*asked{}
	l.final = []final{{origin, digest}}
}

// book is an epoch's; it is opened with the first counter that is asked for.
func (l *ledger) book(z wire.Zxid) *epochBook {
	e := z.Epoch()
	if b := l.recent; b != nil && b.epoch == e {
		return b
	}
	b := l.epochs[e]
	if b == nil {
		b = &epochBook{epoch: e, first: 1}
		if l.origin.Epoch() == e {
			b.first = l.origin.Counter() + 1
		} else if l.alone {
			b.first = 0 // it counts on into the epoch
		}
		l.epochs[e] = b
	}
	l.recent = b
	return b
}

// known finds a txn, nil if no log ever had it.
func (l *ledger) known(z wire.Zxid) *known {
	b := l.book(z)
	if c := z.Counter(); c >= b.first && uint64(c-b.first) < uint64(len(b.txns)) {
		return &b.txns[c-b.first]
	}
	return nil
}

// isFinal tells whether a txn was delivered to anybody.
func (l *ledger) isFinal(z wire.Zxid) bool {
	if z == l.origin {
		return true
	}
	k := l.known(z)
	return k != nil && k.place > 0
}

// place is where a zxid stands among the final ones, -1 if it does not.
func (l *ledger) place(z wire.Zxid) int {
	if z == l.origin {
		return 0
	}
	if k := l.known(z); k != nil && k.place > 0 {
		return int(k.place)
	}
	return -1
}

func (l *ledger) last() final { return l.final[len(l.final)-1] }

// lastBefore is the last final txn of an epoch before this one.
func (l *ledger) lastBefore(epoch uint32) wire.Zxid {
	i := len(l.final) - 1
	for i > 0 && l.final[i].zxid.Epoch() >= epoch {
		i--
	}
	return l.final[i].zxid
}

// written notes that a member writes an entry behind prev. The same zxid must
// have the same bytes and the same history in every log, whether it is ever
// committed or not, and it must have been proposed by its epoch's leader.
func (l *ledger) written(p *process, e *wire.Entry, prev wire.Zxid) {
	w := p.w
	b := l.book(e.Zxid)
	hash := hashOf(e.Payload)
	if k := l.known(e.Zxid); k != nil {
		if k.hash != hash {
			w.fail("2 integrity", "member %d writes %v with other bytes than others have", p.m.sid, e.Zxid)
		}
		if k.prev != prev {
			w.fail("10 consistency", "member %d writes %v behind %v; others have it behind %v", p.m.sid, e.Zxid, prev, k.prev)
		}
		return
	}
	if uint64(e.Zxid.Counter()) != uint64(b.first)+uint64(len(b.txns)) {
		w.fail("5 order", "member %d writes %v, nobody has the one before it", p.m.sid, e.Zxid)
	}
	if !w.plan.alone && b.leader != p {
		w.fail("2 integrity", "member %d writes %v, which the leader of its epoch (member %d) has not proposed", p.m.sid, e.Zxid, b.sid)
	}
	if e.Zxid.Counter() >= 0xfffffffe {
		w.saw(rareRollover)
	}
	txn, err := wire.DecodeTxn(e.Payload)
	if err != nil {
		txn = nil
	}
	b.txns = append(b.txns, known{hash: hash, prev: prev, txn: txn})
}

// forgetBehind forgets what a member alone has lost: it will use the zxids
// again.
func (l *ledger) forgetBehind(z wire.Zxid) {
	for e := uint64(z.Epoch()); e <= uint64(z.Epoch())+1; e++ {
		b := l.epochs[uint32(e)]
		if b == nil {
			continue
		}
		keep := 0
		for keep < len(b.txns) && wire.MakeZxid(b.epoch, b.first+uint32(keep)) <= z {
			keep++
		}
		b.txns = b.txns[:keep]
	}
}

// deliver notes that a process has applied a txn, and compares it with what
// others have applied.
func (l *ledger) deliver(p *process, a *znode.Applied) {
	w := p.w
	z, digest := a.Zxid, p.tree.Digest()
	if z != p.tree.LastZxid() {
		w.fail("2 integrity", "member %d: outcome of %v while the tree is at %v", p.m.sid, z, p.tree.LastZxid())
	}
	k := l.known(z)
	if k == nil {
		w.fail("2 integrity", "member %d delivers %v, which no log has", p.m.sid, z)
	}
	p.check.pos++
	if at := p.check.pos; at < len(l.final) {
		switch f := l.final[at]; {
		case f.zxid != z:
			w.fail("3 agreement", "member %d delivers %v where others have delivered %v", p.m.sid, z, f.zxid)
		case f.digest != digest:
			w.fail("20 digests", "member %d has digest %x at %v, others have %x", p.m.sid, digest, z, f.digest)
		}
		return
	}
	if prev := l.last().zxid; k.prev != prev {
		w.fail("3 agreement", "member %d delivers %v behind %v; its proposer had it behind %v", p.m.sid, z, prev, k.prev)
	}
	if !w.quorum(func(m *member) bool { return m.disk.holds(z) }) {
		w.fail("8 durability", "member %d delivers %v, which no quorum has on disk", p.m.sid, z)
	}
	if int64(z.Epoch()) < p.check.leads {
		w.saw(rareTailCommitted)
	}
	k.place = int32(len(l.final))
	l.final = append(l.final, final{z, digest})
	l.effect(w, k, a)
}

// effect looks at a txn that is delivered for the first time.
func (l *ledger) effect(w *world, k *known, a *znode.Applied) {
	switch {
	case a.Created != 0:
		if w.sessions[a.Created] != nil {
			w.fail("19 sessions", "%v creates session %v a second time", a.Zxid, a.Created)
		}
		w.sessions[a.Created] = newLife(w, a)
		if a.Conn == 0 && w.plan.local && w.plan.upgrade {
			w.saw(rareUpgraded)
		}
		return
	case a.Closed != 0:
		if s := w.sessions[a.Closed]; s != nil {
			s.closed = true
			if a.Cxid == 0 {
				w.saw(rareExpiry)
				w.checkExpired(a.Closed)
			}
		}
	}
	if a.Cxid <= 0 || a.Session == 0 {
		return
	}
	if k.txn == nil {
		w.fail("2 integrity", "%v is delivered, and cannot be decoded", a.Zxid)
	}
	effect := effective(a)
	l.outcome(w, k.txn, effect && !(w.plan.local && w.over(a)))
	w.sawRefusal(a.Err)
	if !effect {
		return
	}
	if w.over(a) {
		// With local sessions a leader believes a member about sessions that it does
		// not know, and so it does not know that this one has ended. As in ZooKeeper.
		if !w.plan.local {
			w.fail("19 sessions", "request %d of session %v is done at %v, behind the end of the session", a.Cxid, a.Session, a.Zxid)
		}
		return
	}
	w.history.checkRecipe(w, k.txn)
}

// over tells whether a txn is of a session that has ended before.
func (w *world) over(a *znode.Applied) bool {
	s := w.sessions[a.Session]
	return s != nil && s.closed && a.Closed == 0
}
