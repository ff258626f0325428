package main

import (
	"bytes"
	"slices"
	"strings"

	"zooid/wire"
	"zooid/znode"
)

// request is a write as its client has asked it, for the checks: clients that
// count their requests anew with each connection have several of one number.
type request struct {
	xid  int32
	op   wire.OpCode
	body wire.Record
	done wire.Zxid // the transaction that it became, as far as that is known

	refused   wire.Zxid // its client was told that it was refused
	at        int64
	by        *process // that took it, nil if nobody did
	came      int64
	timeoutMs int32
}

// asked are the writes of one session, in the order in which they were asked.
type asked struct {
	list  []*request
	byXid map[int32][]int
	txns  map[int32]int // how many transactions there are of a number
	last  int           // of list: the newest that had an effect, -1: none
}

// of gives what a session has asked.
func (l *ledger) of(id wire.SessionID) *asked {
	s := l.asked[id]
	if s == nil {
		s = &asked{byXid: map[int32][]int{}, txns: map[int32]int{}, last: -1}
		l.asked[id] = s
	}
	return s
}

// ask notes a write before it is sent.
func (l *ledger) ask(id wire.SessionID, q *request) {
	s := l.of(id)
	s.byXid[q.xid] = append(s.byXid[q.xid], len(s.list))
	s.list = append(s.list, q)
}

// outcome looks for the request that a txn is the outcome of: each has one at
// most, and what had an effect has it in the order of the asking. Where requests
// cannot be told apart it is the oldest that may be.
func (l *ledger) outcome(w *world, t *wire.Txn, effect bool) {
	s := l.asked[t.Session]
	if s == nil || len(s.byXid[t.Cxid]) == 0 {
		w.fail("18 outcomes", "%v is request %d of session %v, which nobody has asked for", t.Zxid, t.Cxid, t.Session)
	}
	if s.txns[t.Cxid]++; s.txns[t.Cxid] > len(s.byXid[t.Cxid]) {
		w.fail("18 once", "request %d of session %v is done twice, the second time at %v", t.Cxid, t.Session, t.Zxid)
	}
	if !effect {
		return
	}
	var done, late, refused *request
	for _, i := range s.byXid[t.Cxid] {
		switch q := s.list[i]; {
		case !q.becomes(t):
		case q.done != 0:
			done = q
		case q.refused != 0:
			refused = q
		case i < s.last:
			late = q
		default:
			q.done, s.last = t.Zxid, i
			return
		}
	}
	switch {
	case refused != nil:
		w.fail("18 outcomes", "request %d of session %v is done at %v, and was answered with a refusal at %v", t.Cxid, t.Session, t.Zxid, refused.refused)
	case late != nil:
		w.fail("18 order", "request %d of session %v is done at %v, behind its request %d", t.Cxid, t.Session, t.Zxid, s.list[s.last].xid)
	case done != nil:
		w.fail("18 once", "request %d of session %v is done twice, at %v and %v", t.Cxid, t.Session, done.done, t.Zxid)
	}
	w.fail("18 outcomes", "%v is request %d of session %v, which has asked for something else", t.Zxid, t.Cxid, t.Session)
}

// alike tells whether a session has asked for the same more than once by the same
// number: then nobody can say which of them a txn is.
func (s *asked) alike(q *request) bool {
	n := 0
	for _, i := range s.byXid[q.xid] {
		o := s.list[i]
		if o.op == q.op && (q.body == nil || o.body != nil && bytes.Equal(o.body.Append(nil), q.body.Append(nil))) {
			n++
		}
	}
	return n > 1
}

// becomes tells whether a txn that is no refusal can be what a request became, by
// op, path and data.
func (q *request) becomes(t *wire.Txn) bool { return becomes(q.op, q.body, t.Op, t.Body) }

func becomes(op wire.OpCode, asked wire.Record, done wire.OpCode, body wire.TxnBody) bool {
	switch t := body.(type) {
	case *wire.CreateTxn:
		return creates(asked, t.Path, t.Data)
	case *wire.CreateTTLTxn:
		return creates(asked, t.Path, t.Data)
	case *wire.CreateContainerTxn:
		return creates(asked, t.Path, t.Data)
	case *wire.DeleteTxn:
		q, ok := asked.(*wire.DeleteRequest)
		return ok && q.Path == t.Path
	case *wire.SetDataTxn:
		q, ok := asked.(*wire.SetDataRequest)
		return ok && q.Path == t.Path && bytes.Equal(q.Data, t.Data)
	case *wire.SetACLTxn:
		q, ok := asked.(*wire.SetACLRequest)
		return ok && q.Path == t.Path
	case *wire.MultiTxn:
		_, ok := asked.(*wire.MultiRequest)
		return ok
	}
	return op == done
}

func creates(asked wire.Record, path string, data []byte) bool {
	var q *wire.CreateRequest
	switch a := asked.(type) {
	case *wire.CreateRequest:
		q = a
	case *wire.CreateTTLRequest:
		q = &a.CreateRequest
	default:
		return false
	}
	return strings.HasPrefix(path, q.Path) && bytes.Equal(q.Data, data)
}

// checkAnswered looks at the answer to a write: the txn at its zxid must be what
// the request asked for, and answers nobody else.
func (l *ledger) checkAnswered(w *world, c *client, o *op, a *answer) {
	k := l.known(a.zxid)
	if k == nil || k.place <= 0 || k.txn == nil {
		w.fail("18 outcomes", "client %d: request %d of session %v was answered with %v, which is not done", c.i, a.xid, c.session, a.zxid)
	}
	t := k.txn
	refused, isRefused := t.Body.(*wire.ErrorTxn)
	right := t.Session == c.session && t.Cxid == a.xid
	switch {
	case isRefused:
		right = right && refused.Err == a.err
	case o.code != wire.OpMulti:
		right = right && a.err == wire.OK && o.asked.becomes(t)
	default:
		right = right && o.asked.becomes(t)
	}
	if !right {
		w.fail("18 outcomes", "client %d: %v %d of session %v was answered with %v, where %v %d of session %v is done",
			c.i, o.code, a.xid, c.session, a.zxid, t.Op, t.Cxid, t.Session)
	}
	if isRefused && o.asked.done != 0 && !l.of(c.session).alike(o.asked) {
		w.fail("18 outcomes", "client %d: %v %d of session %v is answered with the refusal of %v, and was done at %v",
			c.i, o.code, a.xid, c.session, a.zxid, o.asked.done)
	}
	if isRefused {
		o.asked.refused = a.zxid
	}
	if k.answered {
		w.fail("18 outcomes", "%v answers two requests, the second one is %v %d of client %d", a.zxid, o.code, a.xid, c.i)
	}
	k.answered = true
}

// effective tells whether a txn of a client changed something.
func effective(a *znode.Applied) bool {
	return a.Err == wire.OK && !slices.ContainsFunc(a.Multi, func(r wire.MultiResult) bool { return r.Op == wire.OpError })
}
