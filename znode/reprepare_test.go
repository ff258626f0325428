package znode

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"zooid/wire"
)

// TestPrepareMakesRecordedTxns asks for what the txns in logs of Apache
// ZooKeeper 3.9.5 do, with several of them in flight, and wants the bytes of
// those logs: bodies, counters, versions, and the digest that its leader
// foresaw.
func TestPrepareMakesRecordedTxns(t *testing.T) {
	for _, dir := range []string{"standalone-all-types", "quorum-server-3"} {
		for _, ahead := range []int{0, 5} {
			t.Run(fmt.Sprintf("%s/ahead=%d", dir, ahead), func(t *testing.T) {
				d := readJavaDir(t, dir)
				tree := New()
				tree.SetRules(defaultRules(t))
				view := NewView(tree)
				var queue []*wire.Txn
				var out Applied
				apply := func() {
					tree.Apply(queue[0], &out)
					view.Applied(queue[0].Zxid)
					queue = queue[1:]
				}
				made := 0
				for _, want := range d.txns {
					r := requestOf(want)
					if r == nil {
						for len(queue) > 0 {
							apply()
						}
						queue = append(queue, want)
						apply()
						continue
					}
					got := view.Prepare(r, want.Zxid, want.TimeMs)
					if c, ok := got.Body.(*wire.CloseSessionTxn); ok { // the order is that of a hash set there
						slices.Sort(c.Paths)
						slices.Sort(want.Body.(*wire.CloseSessionTxn).Paths)
					}
					if g, w := got.Append(nil), want.Append(nil); !bytes.Equal(g, w) {
						t.Fatalf("%v %v:\n%x\nZooKeeper logged\n%x", want.Zxid, want.Op, g, w)
					}
					made++
					for queue = append(queue, want); len(queue) > ahead; {
						apply()
					}
				}
				if made < 25 {
					t.Errorf("only %d txns made", made)
				}
				t.Logf("%d of %d txns made", made, len(d.txns))
			})
		}
	}
}

// requestOf is a request that leads to txn; nil if it cannot be told (reconfig,
// which the quorum makes, and refusals of anything but a multi).
func requestOf(txn *wire.Txn) *Request {
	r := &Request{Session: txn.Session, Cxid: txn.Cxid, Op: txn.Op, IDs: []wire.ID{superID}}
	switch body := txn.Body.(type) {
	case *wire.CreateSessionTxn:
		r.TimeoutMs = body.TimeoutMs
	case *wire.CloseSessionTxn:
	case *wire.MultiTxn:
		m := new(wire.MultiRequest)
		for _, sub := range body.Txns {
			m.Ops = append(m.Ops, partFor(sub))
		}
		r.Body = m
	case *wire.DeleteTxn:
		if r.Body = bodyFor(txn.Op, body); txn.Op == wire.OpDeleteContainer {
			r.Body = &wire.DeleteContainerRequest{Path: body.Path}
		}
	default:
		if r.Body = bodyFor(txn.Op, body); r.Body == nil {
			return nil
		}
	}
	return r
}

func partFor(sub wire.SubTxn) wire.MultiOp {
	if sub.Op == wire.OpError {
		// The failed multi of the recordings deletes what is not there.
		return wire.MultiOp{Op: wire.OpDelete, Body: &wire.DeleteRequest{Path: "/nosuch", Version: -1}}
	}
	return wire.MultiOp{Op: sub.Op, Body: bodyFor(sub.Op, sub.Body)}
}

func bodyFor(op wire.OpCode, txn wire.TxnBody) wire.Record {
	switch txn := txn.(type) {
	case *wire.CreateTxn:
		flags := wire.FlagPersistent
		if txn.Ephemeral {
			flags = wire.FlagEphemeral
		}
		return &wire.CreateRequest{Path: txn.Path, Data: txn.Data, ACL: txn.ACL, Flags: flags}
	case *wire.CreateContainerTxn:
		return &wire.CreateRequest{Path: txn.Path, Data: txn.Data, ACL: txn.ACL, Flags: wire.FlagContainer}
	case *wire.CreateTTLTxn:
		return &wire.CreateTTLRequest{TTLMs: txn.TTLMs, CreateRequest: wire.CreateRequest{
			Path: txn.Path, Data: txn.Data, ACL: txn.ACL, Flags: wire.FlagPersistentTTL}}
	case *wire.DeleteTxn:
		return &wire.DeleteRequest{Path: txn.Path, Version: -1}
	case *wire.SetDataTxn:
		if op == wire.OpReconfig {
			return nil
		}
		return &wire.SetDataRequest{Path: txn.Path, Data: txn.Data, Version: txn.Version - 1}
	case *wire.SetACLTxn:
		return &wire.SetACLRequest{Path: txn.Path, ACL: txn.ACL, Version: txn.Version - 1}
	case *wire.CheckVersionTxn:
		return &wire.CheckVersionRequest{Path: txn.Path, Version: txn.Version - 1}
	}
	return nil
}
