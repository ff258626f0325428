package store

import (
	"fmt"
	"os"
	"testing"

	"zooid/txnlog"
	"zooid/wire"
	"zooid/znode"
)

// bulk makes n znodes of 100 B in directories of 1000, as txns that go the way
// of every write: log, tree, store.
func bulk(t testing.TB, s *Store, durable <-chan wire.Zxid, n int) {
	t.Helper()
	data := make([]byte, 100)
	for i := range data {
		data[i] = byte(i*7 + i*i)
	}
	z := s.tree.LastZxid()
	var applied znode.Applied
	var batch []txnlog.Entry
	apply := func(op wire.OpCode, body wire.TxnBody) {
		z++
		txn := wire.Txn{TxnHeader: wire.TxnHeader{Session: 1, Cxid: int32(z), Zxid: z, TimeMs: 1795358202377 + int64(z), Op: op}, Body: body}
		batch = append(batch, txnlog.Entry{Zxid: z, Payload: txn.Append(nil)})
		s.tree.Lock()
		s.tree.Apply(&txn, &applied)
		s.tree.Unlock()
		if len(batch) == 1000 {
			s.txns.Append(batch)
			batch = batch[:0]
			s.Keep(false)
		}
	}
	for i := range n {
		if i%1000 == 0 {
			apply(wire.OpCreate2, &wire.CreateTxn{Path: fmt.Sprintf("/dir-%04d", i/1000), Data: []byte{}, ACL: wire.OpenACL, ParentCversion: -1})
		}
		apply(wire.OpCreate2, &wire.CreateTxn{Path: fmt.Sprintf("/dir-%04d/node-%07d", i/1000, i), Data: data, ACL: wire.OpenACL, ParentCversion: -1})
	}
	s.txns.Append(batch)
	for got := range durable {
		if got == z {
			break
		}
	}
}

// bigDir is a directory with n znodes, the last tail of which are in the log
// only if crash is set.
func bigDir(b *testing.B, n int) string {
	b.Helper()
	dir := os.Getenv("ZOOID_BENCH_DIR")
	if dir == "" {
		dir = b.TempDir()
	} else if exists(vfsDefault, dir+"/zooid") {
		return dir
	}
	o := Options{DataDir: dir}
	durable := make(chan wire.Zxid, 1<<20)
	o.Durable = func(z wire.Zxid, err error) { durable <- z }
	s, err := Open(o)
	must(b, err)
	s.txns.Start()
	bulk(b, s, durable, n)
	must(b, s.Close())
	return dir
}

// BenchmarkOpen is a restart: the store, its tree and the log are opened.
func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{0, 200_000, 1_000_000} {
		b.Run(fmt.Sprintf("znodes=%d", n), func(b *testing.B) {
			dir := bigDir(b, n)
			b.ResetTimer()
			for range b.N {
				s, err := Open(Options{DataDir: dir})
				must(b, err)
				b.StopTimer()
				must(b, s.Close())
				b.StartTimer()
			}
		})
	}
}
