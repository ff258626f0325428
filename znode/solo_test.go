package znode

import (
	"errors"
	"fmt"
	"testing"

	"zooid/auth"
	"zooid/wire"
)

// solo is the least that makes a member of a tree: it prepares requests as
// bytes from a client, holds the proposals, and applies them when told.
type solo struct {
	tb     testing.TB
	tree   *Tree
	view   *View
	zxid   wire.Zxid
	timeMs int64
	queue  []proposal
	out    Applied
}

type proposal struct {
	payload []byte
	conn    ConnID
	op      wire.OpCode
}

// defaultRules are those of a server with TTL nodes and the usual schemes.
func defaultRules(tb testing.TB) Rules {
	tb.Helper()
	// super:secret
	a, err := auth.New(auth.Options{SuperDigest: "super:lK75jTNcA+U9vtVEw5vB51mj/w4="})
	if err != nil {
		tb.Fatal(err)
	}
	return Rules{Auth: a, ExtendedTypes: true}
}

func newSolo(tb testing.TB, rules Rules) *solo {
	tree := New()
	tree.SetRules(rules)
	return &solo{tb: tb, tree: tree, view: NewView(tree), timeMs: 1_000_000}
}

// propose prepares r under the next zxid. The body takes the way of a request
// from the network, and its memory is overwritten afterwards, so whatever the
// view keeps without a copy shows.
func (s *solo) propose(r *Request) *wire.Txn {
	s.tb.Helper()
	s.zxid++
	s.timeMs++
	q := *r
	var frame []byte
	if q.Body != nil {
		frame = q.Body.Append(nil)
		q.Body = row(q.Op).newBody()
		if err := wire.Unmarshal(frame, q.Body); err != nil {
			s.tb.Fatalf("%v: %v", q.Op, err)
		}
	}
	payload := s.view.Prepare(&q, s.zxid, s.timeMs).Append(nil)
	for i := range frame {
		frame[i] = 0xee
	}
	s.queue = append(s.queue, proposal{payload, q.Conn, q.Op})
	return decodeTxn(s.tb, payload)
}

func decodeTxn(tb testing.TB, payload []byte) *wire.Txn {
	tb.Helper()
	txn, err := wire.DecodeTxn(payload)
	if err != nil {
		tb.Fatalf("a txn that was prepared cannot be decoded: %v", err)
	}
	return txn
}

// apply applies the oldest proposal and checks what its leader foresaw.
func (s *solo) apply() *Applied {
	s.tb.Helper()
	p := s.queue[0]
	s.queue = s.queue[1:]
	txn := decodeTxn(s.tb, p.payload)
	s.tree.Lock()
	s.tree.Apply(txn, &s.out)
	s.tree.Unlock()
	s.view.Applied(txn.Zxid)
	s.out.Conn, s.out.Op = p.conn, p.op
	if e, refused := txn.Body.(*wire.ErrorTxn); refused != (s.out.Err != wire.OK) || refused && e.Err != s.out.Err {
		s.tb.Errorf("%v %v: applied with %v, which is not what was prepared", txn.Zxid, txn.Op, s.out.Err)
	}
	switch {
	case txn.Digest.Version == 0:
		if txn.Op != wire.OpError && txn.Body != nil && !s.tree.rules.NoDigest {
			s.tb.Errorf("%v %v: no digest", txn.Zxid, txn.Op)
		}
	case txn.Digest.Tree != s.tree.Digest():
		s.tb.Errorf("%v %v: foresaw digest %#x, the tree has %#x", txn.Zxid, txn.Op, txn.Digest.Tree, s.tree.Digest())
	}
	return &s.out
}

// do proposes and applies.
func (s *solo) do(r *Request) *Applied {
	s.tb.Helper()
	s.propose(r)
	for len(s.queue) > 1 {
		s.apply()
	}
	return s.apply()
}

// must is do for what has to succeed.
func (s *solo) must(r *Request) *Applied {
	s.tb.Helper()
	a := s.do(r)
	if a.Err != wire.OK {
		s.tb.Fatalf("%v: %v", r.Op, a.Err)
	}
	return a
}

func (s *solo) session(id wire.SessionID) {
	s.tb.Helper()
	s.must(&Request{Session: id, Op: wire.OpCreateSession, TimeoutMs: 4000})
}

// Requests of session 1, which most tests use.

func reqCreate(op wire.OpCode, path string, flags int32) *Request {
	return &Request{Session: 1, Op: op, Body: &wire.CreateRequest{Path: path, Data: []byte("d"), ACL: wire.OpenACL, Flags: flags}}
}

func reqCreateTTL(path string, flags int32, ttlMs int64) *Request {
	return &Request{Session: 1, Op: wire.OpCreateTTL, Body: &wire.CreateTTLRequest{
		CreateRequest: wire.CreateRequest{Path: path, ACL: wire.OpenACL, Flags: flags}, TTLMs: ttlMs}}
}

func reqDelete(path string, version int32) *Request {
	return &Request{Session: 1, Op: wire.OpDelete, Body: &wire.DeleteRequest{Path: path, Version: version}}
}

func reqSetData(path, data string, version int32) *Request {
	return &Request{Session: 1, Op: wire.OpSetData, Body: &wire.SetDataRequest{Path: path, Data: []byte(data), Version: version}}
}

func reqSetACL(path string, acl []wire.ACL, version int32) *Request {
	return &Request{Session: 1, Op: wire.OpSetACL, Body: &wire.SetACLRequest{Path: path, ACL: acl, Version: version}}
}

func reqMulti(parts ...*Request) *Request {
	m := new(wire.MultiRequest)
	for _, p := range parts {
		m.Ops = append(m.Ops, wire.MultiOp{Op: p.Op, Body: p.Body})
	}
	return &Request{Session: 1, Op: wire.OpMulti, Body: m}
}

func reqCheck(path string, version int32) *Request {
	return &Request{Op: wire.OpCheck, Body: &wire.CheckVersionRequest{Path: path, Version: version}}
}

func reqReap(path string) *Request {
	return &Request{Op: wire.OpDeleteContainer, Body: &wire.DeleteContainerRequest{Path: path}}
}

func as(r *Request, session wire.SessionID, ids ...wire.ID) *Request {
	r.Session, r.IDs = session, ids
	return r
}

// worldACL lets everybody do what perms says.
func worldACL(perms int32) []wire.ACL {
	return []wire.ACL{{Perms: perms, ID: wire.OpenACL[0].ID}}
}

var (
	superID = wire.ID{Scheme: "super"}
	userID  = wire.ID{Scheme: "digest", ID: "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ="}
	ipID    = wire.ID{Scheme: "ip", ID: "127.0.0.1"}
)

// codeOf is the code with which a txn refuses, OK if it does not.
func codeOf(txn *wire.Txn) wire.ErrCode {
	if e, ok := txn.Body.(*wire.ErrorTxn); ok {
		return e.Err
	}
	return wire.OK
}

// name is a code for messages.
func name(c wire.ErrCode) string { return fmt.Sprintf("%d (%v)", int32(c), c) }

func isMarshalling(err error) bool { return errors.Is(err, wire.ErrMarshalling) }
