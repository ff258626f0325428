package store

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"zooid/txnlog"
	"zooid/wire"
	"zooid/znode"
)

// loop stands in for a member's: what is asked is prepared, logged, and applied
// once it is durable.
type loop struct {
	t       testing.TB
	s       *Store
	view    *znode.View
	next    wire.Zxid
	timeMs  int64
	durable chan wire.Zxid
	acked   atomic.Int64 // zxid up to which everything is durable
	flight  []*wire.Txn
	txns    []*wire.Txn // all that this loop has applied
	applied znode.Applied
	cxid    int32
}

// startLoop opens o and starts its log.
func startLoop(t testing.TB, o Options) *loop {
	t.Helper()
	l := &loop{t: t, durable: make(chan wire.Zxid, 1<<16), timeMs: 1795358202377}
	o.Durable = func(z wire.Zxid, err error) {
		if err != nil {
			t.Error(err)
		}
		l.acked.Store(int64(z))
		l.durable <- z
	}
	l.s = open(t, o)
	l.s.tree.SetRules(znode.Rules{ExtendedTypes: true})
	l.s.txns.Start()
	l.view = znode.NewView(l.s.tree)
	l.next = l.s.tree.LastZxid() + 1
	l.acked.Store(int64(l.s.tree.LastZxid()))
	return l
}

// propose prepares and logs a request.
func (l *loop) propose(session wire.SessionID, op wire.OpCode, body wire.Record) *wire.Txn {
	l.cxid++
	l.timeMs += 3
	r := &znode.Request{Session: session, Cxid: l.cxid, Op: op, Body: body, TimeoutMs: 6000}
	txn := l.view.Prepare(r, l.next, l.timeMs)
	l.next++
	l.flight = append(l.flight, txn)
	l.s.txns.Append([]txnlog.Entry{{Zxid: txn.Zxid, Payload: txn.Append(nil)}})
	return txn
}

// apply waits until everything in flight is durable and applies it.
func (l *loop) apply() {
	for len(l.flight) > 0 {
		z := <-l.durable
		for len(l.flight) > 0 && l.flight[0].Zxid <= z {
			txn := l.flight[0]
			l.flight = l.flight[1:]
			l.s.tree.Lock()
			l.s.tree.Apply(txn, &l.applied)
			l.s.tree.Unlock()
			l.view.Applied(txn.Zxid)
			l.txns = append(l.txns, txn)
		}
	}
}

func (l *loop) create(path string, data string, flags int32) {
	l.propose(1, wire.OpCreate2, &wire.CreateRequest{Path: path, Data: []byte(data), ACL: wire.OpenACL, Flags: flags})
}

// some proposes n random requests on few paths, so that they meet.
func (l *loop) some(rng *rand.Rand, n int) {
	for range n {
		session := wire.SessionID(1 + rng.IntN(4))
		path := randomPath(rng)
		acl := randomACL(rng)
		switch rng.IntN(10) {
		case 0, 1, 2:
			l.propose(session, wire.OpCreate2, &wire.CreateRequest{Path: path, Data: randomData(rng), ACL: acl, Flags: int32(rng.IntN(5))})
		case 3:
			l.propose(session, wire.OpCreateTTL, &wire.CreateTTLRequest{CreateRequest: wire.CreateRequest{Path: path, Data: randomData(rng), ACL: acl, Flags: wire.FlagPersistentTTL}, TTLMs: 1000})
		case 4:
			l.propose(session, wire.OpDelete, &wire.DeleteRequest{Path: path, Version: -1})
		case 5, 6:
			l.propose(session, wire.OpSetData, &wire.SetDataRequest{Path: path, Data: randomData(rng), Version: -1})
		case 7:
			l.propose(session, wire.OpSetACL, &wire.SetACLRequest{Path: path, ACL: acl, Version: -1})
		case 8:
			l.propose(session, wire.OpMulti, &wire.MultiRequest{Ops: []wire.MultiOp{
				{Op: wire.OpCreate, Body: &wire.CreateRequest{Path: path, Data: []byte("m"), ACL: acl}},
				{Op: wire.OpDelete, Body: &wire.DeleteRequest{Path: randomPath(rng), Version: -1}},
			}})
		case 9:
			op := wire.OpCreateSession
			if rng.IntN(3) == 0 {
				op = wire.OpCloseSession
			}
			l.propose(session, op, nil)
		}
	}
}

func randomPath(rng *rand.Rand) string {
	path := fmt.Sprintf("/%c", 'a'+rng.IntN(4))
	for rng.IntN(2) == 0 {
		path += fmt.Sprintf("/%c", 'a'+rng.IntN(4))
	}
	return path
}

func randomData(rng *rand.Rand) []byte {
	switch rng.IntN(6) {
	case 0:
		return nil
	case 1:
		return []byte{}
	}
	b := make([]byte, rng.IntN(200))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func randomACL(rng *rand.Rand) []wire.ACL {
	if rng.IntN(2) == 0 {
		return wire.OpenACL
	}
	return []wire.ACL{{Perms: int32(1 + rng.IntN(31)), ID: wire.ID{Scheme: "ip", ID: fmt.Sprintf("10.0.0.%d", rng.IntN(5))}}}
}

// model replays txns up to z into a tree that never saw a disk.
func model(t testing.TB, txns []*wire.Txn, z wire.Zxid) *content {
	t.Helper()
	s := &Store{}
	s.newTree()
	s.tree.Loaded(0)
	var applied znode.Applied
	for _, txn := range txns {
		if txn.Zxid <= z {
			s.tree.Apply(txn, &applied)
		}
	}
	if s.tree.LastZxid() != z {
		t.Fatalf("the model ends at %v, not at %v", s.tree.LastZxid(), z)
	}
	return treeContent(s.tree)
}

// treeContent reads a tree all of whose nodes count as changed.
func treeContent(tree *znode.Tree) *content {
	cut := tree.Cut()
	c := &content{Zxid: cut.Zxid, Digest: cut.Digest, Nodes: map[string]znode.Record{}, Sessions: map[wire.SessionID]int32{}}
	for more := true; more; {
		more = cut.Drain(100, func(path []byte, r *znode.Record) {
			key := string(path)
			if key == "/" {
				key = ""
			}
			rec := znode.Record{ACL: r.ACL, Stat: r.Stat}
			if r.Data != nil {
				rec.Data = append([]byte{}, r.Data...)
			}
			c.Nodes[key] = rec
		})
	}
	for _, s := range cut.Sessions {
		c.Sessions[s.ID] = s.TimeoutMs
	}
	return c
}
