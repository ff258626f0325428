package peer

import (
	"fmt"
	"strings"

	"zooid/wire"
	"zooid/zab"
	"zooid/znode"
)

// pending is a transaction between its proposal, or its commit by another
// leader, and its application, with what its reply needs.
type pending struct {
	txn  *wire.Txn
	conn znode.ConnID
	op   wire.OpCode // what was asked; the txn of a refused request says OpError
	// r is the request of a client here, while it is a leader's proposal: another
	// leader may have to be asked for it.
	r *znode.Request
}

// outcome is what a client is told without a transaction.
type outcome struct {
	conn    znode.ConnID
	session wire.SessionID
	cxid    int32
	op      wire.OpCode
	err     wire.ErrCode
	path    string
	closed  wire.SessionID // local session that has ended
	after   wire.Zxid      // not before this is applied
}

// CorruptTxn is a committed transaction that cannot be applied. A member that
// went on would differ from the others.
type CorruptTxn struct {
	Zxid  wire.Zxid // under which it was committed
	Cause error
}

// Error says what is wrong.
func (e *CorruptTxn) Error() string {
	return fmt.Sprintf("committed transaction %v cannot be applied, so this member stops: %v", e.Zxid, e.Cause)
}

// Unwrap gives the cause.
func (e *CorruptTxn) Unwrap() error { return e.Cause }

// commit takes the next transaction that is final.
func (p *Peer) commit(e wire.Entry) {
	if p.broken != nil {
		return
	}
	if p.committed < len(p.queue) {
		if z := p.queue[p.committed].txn.Zxid; z != e.Zxid {
			panic(fmt.Sprintf("peer: %v is committed, the oldest proposal is %v", e.Zxid, z))
		}
		p.overtake(e.Zxid, 0)
	} else {
		txn, err := wire.DecodeTxn(e.Payload)
		if err == nil && txn.Zxid != e.Zxid {
			err = fmt.Errorf("its header says %v: %w", txn.Zxid, wire.ErrMarshalling)
		}
		if err != nil {
			p.broken = &CorruptTxn{e.Zxid, err}
			return
		}
		if zab.Mistaken(zab.KeepEphemerals) && txn.Op == wire.OpCloseSession && e.Zxid <= p.role.Base {
			txn.Body = &wire.ErrorTxn{}
		}
		q := p.match(txn)
		p.noteElsewhere(&q)
		p.queue = append(p.queue, q)
	}
	p.committed++
	p.handed = e.Zxid
	p.releaseHere()
}

// match finds out whether a committed transaction is the outcome of the oldest
// request that was forwarded.
func (p *Peer) match(txn *wire.Txn) pending {
	q := pending{txn: txn, op: txn.Op}
	if len(p.learner.awaited) == 0 {
		return q
	}
	r := p.learner.awaited[0].r
	if txn.Zxid <= p.learner.awaited[0].above && !zab.Mistaken(zab.DropAbove) || r.Session != txn.Session || r.Cxid != txn.Cxid && r.Op != wire.OpCreateSession || !sameKind(r.Op, txn.Op) || !sameContent(r, txn) {
		return q
	}
	q.conn, q.op = r.Conn, r.Op
	p.overtake(txn.Zxid, p.learner.awaited[0].n)
	p.popAwaited()
	return q
}

// sameKind keeps the beginning and the end of sessions, which members ask for
// too, apart from clients' requests with the same number.
func sameKind(asked, done wire.OpCode) bool {
	if done == wire.OpError || asked == done {
		return true
	}
	return asked != wire.OpCreateSession && asked != wire.OpCloseSession &&
		done != wire.OpCreateSession && done != wire.OpCloseSession
}

// sameContent tells whether a transaction can be what a request became, by what
// they say: with two requests of the same number under way, from two members, that
// tells most of them apart even where a leader of ZooKeeper's has not said what was
// under way when the session came here. A failure says nothing.
func sameContent(r *znode.Request, txn *wire.Txn) bool {
	switch body := txn.Body.(type) {
	case *wire.CreateTxn:
		return createsAt(r, body.Path)
	case *wire.CreateTTLTxn:
		return createsAt(r, body.Path)
	case *wire.CreateContainerTxn:
		return createsAt(r, body.Path)
	case *wire.DeleteTxn:
		switch ask := r.Body.(type) {
		case *wire.DeleteRequest:
			return ask.Path == body.Path
		case *wire.DeleteContainerRequest:
			return ask.Path == body.Path
		}
		return false
	case *wire.SetDataTxn:
		if ask, ok := r.Body.(*wire.SetDataRequest); ok {
			return ask.Path == body.Path
		}
		return r.Op == wire.OpReconfig
	case *wire.SetACLTxn:
		ask, ok := r.Body.(*wire.SetACLRequest)
		return ok && ask.Path == body.Path
	case *wire.MultiTxn:
		return r.Op == wire.OpMulti
	}
	return true
}

// createsAt tells whether a request creates a znode there; a sequential one gets
// digits behind its path.
func createsAt(r *znode.Request, path string) bool {
	switch ask := r.Body.(type) {
	case *wire.CreateRequest:
		return strings.HasPrefix(path, ask.Path)
	case *wire.CreateTTLRequest:
		return strings.HasPrefix(path, ask.Path)
	}
	return false
}

func (p *Peer) popAwaited() {
	l := &p.learner
	l.awaited[0] = awaited{} // let its memory go
	if l.awaited = l.awaited[1:]; len(l.awaited) == 0 {
		l.awaited = l.awaited[:0]
	}
}

// releaseHere lets the outcomes go that have waited for the requests before them.
func (p *Peer) releaseHere() {
	for len(p.learner.awaited) > 0 && p.learner.awaited[0].here != nil {
		w := &p.learner.awaited[0]
		w.here.after = p.handed
		p.finish(*w.here, w.syncs)
		p.popAwaited()
	}
}

// conclude gives a request its outcome, behind those before it.
func (p *Peer) conclude(o outcome) {
	switch {
	case p.leads():
		o.after = p.proposed
	case len(p.learner.awaited) > 0:
		p.learner.awaited = append(p.learner.awaited, awaited{here: &o, syncs: p.syncs.sent})
		return
	default:
		o.after = p.handed
	}
	p.finish(o, p.syncs.sent)
}

// answerEarly is the mistake of answering a proposal that is not committed.
func (p *Peer) answerEarly(q *pending) {
	if q.op == wire.OpCreateSession || q.op == wire.OpCloseSession || q.op == wire.OpMulti {
		return
	}
	o := outcome{conn: q.conn, session: q.txn.Session, cxid: q.txn.Cxid, op: q.op}
	switch body := q.txn.Body.(type) {
	case *wire.ErrorTxn:
		o.err = body.Err
	case *wire.CreateTxn:
		o.path = body.Path
	}
	q.conn = 0
	p.outcomes = append(p.outcomes, o)
}

// Pending reports whether Apply has something to do.
func (p *Peer) Pending() bool { return p.committed > 0 || p.outcomeDue() || p.syncDue() }

// outcomeDue tells whether the oldest outcome need not wait any more.
func (p *Peer) outcomeDue() bool {
	return len(p.outcomes) > 0 && p.outcomes[0].after <= p.tree.LastZxid()
}

// Apply applies the next committed transaction and fills out with its result,
// its events and whom the reply belongs to; the slices in out are reused.
// Outcomes without a transaction, as a sync's, come among them. It reports
// false, and leaves out alone, if there is nothing more. The caller holds the
// tree's write lock.
func (p *Peer) Apply(out *znode.Applied) bool {
	switch {
	case p.outcomeDue():
		o := p.outcomes[0]
		p.outcomes[0] = outcome{} // let its memory go
		p.outcomes = p.outcomes[1:]
		p.fill(out, &o)
	case p.syncDue():
		o := p.takeSync()
		p.fill(out, &o)
	case p.committed > 0:
		p.applyNext(out)
	default:
		return false
	}
	return true
}

// AppliedTime is when the transaction that was applied last was made, in ms on its
// leader's wall clock; 0 before the first.
func (p *Peer) AppliedTime() int64 { return p.appliedMs }

// fill makes an outcome without a transaction look like one with.
func (p *Peer) fill(out *znode.Applied, o *outcome) {
	*out = znode.Applied{Conn: o.conn, Session: o.session, Cxid: o.cxid, Op: o.op, Zxid: p.tree.LastZxid(),
		Err: o.err, Path: o.path, Closed: o.closed, Multi: out.Multi[:0], Events: out.Events[:0]}
}

func (p *Peer) applyNext(out *znode.Applied) {
	next := p.queue[0]
	p.queue[0] = pending{} // let its memory go
	p.queue = p.queue[1:]
	p.committed--
	if next.txn.Zxid <= p.tree.LastZxid() {
		panic(fmt.Sprintf("peer: applying %v after %v", next.txn.Zxid, p.tree.LastZxid()))
	}
	p.tree.Apply(next.txn, out)
	p.appliedMs = next.txn.TimeMs
	if p.leads() {
		p.leader.view.Applied(next.txn.Zxid)
	}
	out.Conn, out.Op = next.conn, next.op
	out.Session, out.Cxid, out.Zxid = next.txn.Session, next.txn.Cxid, next.txn.Zxid
	if out.Created != 0 {
		p.sessionBegun(out.Created, out.TimeoutMs)
		if next.conn != 0 && !p.alone {
			p.attached.add(out.Created, out.Zxid)
		}
	}
	if out.Closed != 0 {
		p.sessionEnded(out.Closed)
	}
}
