package store

import (
	"fmt"
	"os"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

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
	first := z // in the paths, so that another call makes other ones
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
			apply(wire.OpCreate2, &wire.CreateTxn{Path: fmt.Sprintf("/%x-%04d", first, i/1000), Data: []byte{}, ACL: wire.OpenACL, ParentCversion: -1})
		}
		apply(wire.OpCreate2, &wire.CreateTxn{Path: fmt.Sprintf("/%x-%04d/node-%07d", first, i/1000, i), Data: data, ACL: wire.OpenACL, ParentCversion: -1})
	}
	s.txns.Append(batch)
	for got := range durable { // never empty: there is at least one txn
		if got == z {
			break
		}
	}
}

// bigDir is a directory with n znodes, and tail more that only the log has, as
// after a crash. ZOOID_BENCH_DIR keeps it for the next run.
func bigDir(b *testing.B, n, tail int) string {
	b.Helper()
	dir := os.Getenv("ZOOID_BENCH_DIR")
	if dir == "" {
		dir = b.TempDir()
	} else if exists(vfs.Default, dir+"/zooid") {
		return dir
	}
	durable := make(chan wire.Zxid, 1<<20)
	o := Options{DataDir: dir, FlushTxns: 1 << 40, Durable: func(z wire.Zxid, _ error) { durable <- z }}
	s, err := Open(o)
	must(b, err)
	s.txns.Start()
	bulk(b, s, durable, n)
	must(b, s.Close())
	if tail > 0 {
		s, err := Open(o)
		must(b, err)
		s.txns.Start()
		bulk(b, s, durable, tail)
		must(b, s.abandon())
	}
	return dir
}

// BenchmarkOpen is a restart: the store, its tree and the log are opened, and
// what a crash has left in the log only is replayed.
func BenchmarkOpen(b *testing.B) {
	for _, c := range []struct{ znodes, tail int }{{1, 0}, {200_000, 0}, {200_000, DefaultFlushTxns}, {1_000_000, 0}} {
		b.Run(fmt.Sprintf("znodes=%d,tail=%d", c.znodes, c.tail), func(b *testing.B) {
			dir := bigDir(b, c.znodes, c.tail)
			b.ResetTimer()
			for range b.N {
				s, err := Open(Options{DataDir: dir})
				must(b, err)
				b.StopTimer()
				must(b, s.abandon())
				b.StartTimer()
			}
		})
	}
}

// BenchmarkSnapshot writes a ZooKeeper snapshot, and reads it back, as fast as
// one core allows. A server takes its time, see snapshotShare.
func BenchmarkSnapshot(b *testing.B) {
	const n = 200_000
	dir := bigDir(b, n, 0)
	s, err := Open(Options{DataDir: dir})
	must(b, err)
	defer s.Close()
	view := s.db.NewSnapshot()
	defer view.Close()
	m, err := readMarker(view)
	must(b, err)
	out := b.TempDir()
	b.Run(fmt.Sprintf("write/znodes=%d", n), func(b *testing.B) {
		for range b.N {
			name := snapshotName(m.zxid)
			must(b, writeSnapshotFile(vfs.Default, out, name, view, m, nil))
			must(b, os.Rename(out+"/"+name+tmpSuffix, out+"/"+name))
			st, err := os.Stat(out + "/" + name)
			must(b, err)
			b.SetBytes(st.Size())
		}
	})
	b.Run(fmt.Sprintf("read/znodes=%d", n), func(b *testing.B) {
		f, _ := parseSnapshotName(snapshotName(m.zxid))
		for range b.N {
			tree := &Store{fs: vfs.Default}
			tree.newTree()
			_, err := readSnapshotFile(vfs.Default, out, f, &importer{tree: tree.tree})
			must(b, err)
		}
	})
}
