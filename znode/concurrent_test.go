package znode

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"zooid/wire"
)

// One goroutine changes the tree and cuts it, another drains the cuts, others
// read, watch and leave. It is for the race detector; what they do is checked
// by the model.
func TestConcurrentUse(t *testing.T) {
	tree := New()
	g := &generator{Rand: rand.New(rand.NewPCG(1, 0)), m: newModel()}
	var out Applied
	for i := range 40 { // a directory whose list is cached
		g.zxid++
		tree.Apply(&wire.Txn{TxnHeader: wire.TxnHeader{Zxid: g.zxid, Op: wire.OpCreate},
			Body: &wire.CreateTxn{Path: fmt.Sprintf("/n%d", i)}}, &out)
	}
	tree.TrackChanges()
	done := make(chan struct{})
	cuts := make(chan *Cut)
	var wg sync.WaitGroup
	wg.Go(func() {
		for cut := range cuts {
			for cut.Drain(3, func([]byte, *Record) {}) {
			}
		}
	})
	for conn := range ConnID(3) {
		wg.Go(func() { readAll(tree, conn+1, done) })
	}
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				tree.DropWatcher(2)
				tree.WatchCount()
				tree.DumpWatches(func(string, []ConnID) {})
			}
		}
	})
	for range 3000 {
		txn := g.txn()
		g.m.apply(txn)
		tree.Lock()
		tree.Apply(txn, &out)
		if cut := tree.Cut(); cut != nil {
			select {
			case cuts <- cut:
			default:
				tree.Unlock()
				cuts <- cut
				tree.Lock()
			}
		}
		tree.Unlock()
	}
	close(done)
	close(cuts)
	wg.Wait()
	verify(t, tree)
}

func readAll(tree *Tree, conn ConnID, done chan struct{}) {
	rng := rand.New(rand.NewPCG(uint64(conn), 0))
	g := &generator{Rand: rng, m: newModel()}
	r := &Reader{Conn: conn, Session: g.session()}
	var dst []byte
	ops := []wire.OpCode{wire.OpExists, wire.OpGetData, wire.OpGetChildren, wire.OpGetChildren2, wire.OpGetACL, wire.OpGetEphemerals}
	for {
		select {
		case <-done:
			return
		default:
		}
		path := g.path()
		if rng.IntN(4) == 0 {
			path = "/"
		}
		q := wire.WatchRequest{Path: path, Watch: rng.IntN(2) == 0}
		tree.RLock()
		dst, _ = tree.Read(ops[rng.IntN(len(ops))], r, q.Append(nil), dst[:0])
		tree.RUnlock()
		if rng.IntN(4) == 0 {
			w := wire.AddWatchRequest{Path: path, Mode: int32(rng.IntN(2))}
			tree.RLock()
			dst, _ = tree.Read(wire.OpAddWatch, r, w.Append(nil), dst[:0])
			tree.RUnlock()
		}
	}
}
