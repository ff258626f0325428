package peer

import (
	"slices"

	"zooid/wire"
	"zooid/zab"
	"zooid/znode"
)

// syncs are those of clients here. A leader answers one when a quorum has shown
// that it still follows, behind the proposals made before it; a learner when the
// leader has, and what was committed until then is applied.
type syncs struct {
	waiting []waitingSync // oldest first
	// confirmed counts the leader's confirmations, or the SYNCs that a learner
	// was sent; sent counts those that it has asked for.
	confirmed, sent int64
	// asked is the confirmation that was asked for since the last Ready, 0 if
	// none: one round of packets serves all syncs of a batch.
	asked int64
}

// waitingSync is a sync on its way.
type waitingSync struct {
	r *znode.Request
	// here, if not nil, is no sync but an outcome of this member's own that has
	// its place behind the syncs before it.
	here    *outcome
	after   wire.Zxid // to be applied before
	confirm int64     // to be reached by confirmed before
	asked   int64     // a learner's: how many requests it had forwarded before
	number  int64     // a learner's: which of its syncs it is, or stands behind
}

// learnerSync is a sync that a learner has forwarded.
type learnerSync struct {
	conn    zab.ConnID
	after   wire.Zxid // to be committed before
	confirm int64
}

// sync takes a client's sync.
//
// It waits for the proposals made before it: a client that has just seen the
// outcome of a write must not be told an older zxid by the sync that it sent
// behind it.
func (p *Peer) sync(r *znode.Request) {
	s := waitingSync{r: r, after: p.proposed}
	if p.leads() {
		s.confirm = p.confirm()
	} else {
		p.syncs.sent++
		s.confirm, s.number, s.asked = p.syncs.sent, p.syncs.sent, p.learner.forwarded
		packet, _ := p.requestPacket(r)
		p.Forward(packet)
	}
	p.syncs.waiting = append(p.syncs.waiting, s)
}

// confirm asks for proof of leadership and gives its number.
func (p *Peer) confirm() int64 {
	if zab.Mistaken(zab.SyncUnconfirmed) {
		return 0
	}
	if p.syncs.asked == 0 {
		p.syncs.asked = p.Confirm()
	}
	return p.syncs.asked
}

// synced takes n SYNC of the leader, which are for the oldest n syncs that were
// forwarded. What was committed before them has been handed over.
func (p *Peer) synced(n int) {
	for i := range p.syncs.waiting {
		s := &p.syncs.waiting[i]
		if s.confirm > p.syncs.confirmed && s.confirm <= p.syncs.confirmed+int64(n) {
			s.after = p.handed
		}
	}
	p.syncs.confirmed += int64(n)
}

// overtake makes the syncs due that the next transaction, the outcome of what
// was asked behind them, would overtake: its commit is a quorum's word, given
// since, that the leader leads. Else the reads between the two would be answered
// from a tree that has the later write already. The transaction is z, and the
// request that it answers the asked-th that this learner has forwarded.
func (p *Peer) overtake(z wire.Zxid, asked int64) {
	for i := range p.syncs.waiting {
		s := &p.syncs.waiting[i]
		switch {
		case p.leads() && s.after < z:
			s.confirm = 0
		case !p.leads() && s.asked < asked && s.confirm > p.syncs.confirmed:
			s.confirm, s.after = 0, p.handed
		}
	}
}

// answerLearners sends SYNC for the learners' syncs that are due. The COMMITs
// before it have been sent by then.
func (p *Peer) answerLearners() {
	l := &p.leader
	for len(l.syncs) > 0 && l.syncs[0].confirm <= p.syncs.confirmed && l.syncs[0].after <= p.handed {
		p.Reply(l.syncs[0].conn, wire.QuorumPacket{Type: wire.PacketSync})
		l.syncs = l.syncs[1:]
	}
}

// syncDue tells whether the oldest sync need not wait any more.
func (p *Peer) syncDue() bool {
	w := p.syncs.waiting
	return len(w) > 0 && w[0].confirm <= p.syncs.confirmed && w[0].after <= p.tree.LastZxid()
}

// takeSync takes the outcome of the oldest sync.
func (p *Peer) takeSync() outcome {
	w := p.syncs.waiting
	oldest := w[0]
	w[0] = waitingSync{} // let its memory go
	p.syncs.waiting = w[1:]
	if oldest.here != nil {
		return *oldest.here
	}
	r := oldest.r
	o := outcome{conn: r.Conn, session: r.Session, cxid: r.Cxid, op: r.Op}
	if body, ok := r.Body.(*wire.PathRequest); ok {
		o.path = body.Path
	}
	return o
}

// finish hands an outcome of this member's own over, behind those of the syncs
// that wait that came before its request; a learner has asked for so many then.
func (p *Peer) finish(o outcome, asked int64) {
	w := p.syncs.waiting
	n := len(w)
	for n > 0 && w[n-1].number > asked {
		n--
	}
	if n == 0 {
		p.outcomes = append(p.outcomes, o)
		return
	}
	last := w[n-1]
	p.syncs.waiting = slices.Insert(w, n, waitingSync{
		here: &o, after: max(o.after, last.after), confirm: last.confirm, asked: last.asked, number: last.number})
}

// begin starts the counting of a role.
func (s *syncs) begin() { s.confirmed, s.sent, s.asked = 0, 0, 0 }

// end gives up the syncs that the role has not answered: those of clients are to
// be asked again. What only waits for what is final up to handed stays.
func (s *syncs) end(handed wire.Zxid) (again []*znode.Request, here []outcome) {
	kept := s.waiting[:0]
	for _, w := range s.waiting {
		switch {
		case w.confirm <= s.confirmed && w.after <= handed:
			w.confirm, w.number = 0, 0
			kept = append(kept, w)
		case w.here != nil:
			here = append(here, *w.here)
		default:
			again = append(again, w.r)
		}
	}
	clear(s.waiting[len(kept):])
	s.waiting = kept
	s.begin()
	return again, here
}
