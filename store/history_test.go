package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"zooid/txnlog"
	"zooid/wire"
)

// asMember opens a directory as a member of an ensemble does.
func asMember(t testing.TB, o Options) *Store {
	t.Helper()
	o.DeferTail = true
	return open(t, o)
}

// expectRead reads the log behind after, to its end.
func expectRead(t *testing.T, s *Store, after wire.Zxid, first, last wire.Zxid) {
	t.Helper()
	part, err := s.ReadLog(after, 1<<30)
	if err != nil || part.Prev != after || part.Behind != 0 {
		t.Errorf("behind %v: from %v, %d bytes more, %v", after, part.Prev, part.Behind, err)
		return
	}
	if n := len(part.Entries); n == 0 || part.Entries[0].Zxid != first || part.Entries[n-1].Zxid != last {
		t.Errorf("behind %v: %d entries, want %v to %v", after, n, first, last)
	}
}

func expectTooOld(t *testing.T, s *Store, after wire.Zxid) {
	t.Helper()
	if _, err := s.ReadLog(after, 1<<20); err == nil || !strings.Contains(err.Error(), txnlog.ErrTooOld.Error()) {
		t.Errorf("behind %v: error %v", after, err)
	}
}

// TestTail gives what the log holds behind the tree, and applies nothing.
func TestTail(t *testing.T) {
	o := memOptions()
	l := startLoop(t, o)
	l.some(rand.New(rand.NewPCG(3, 4)), 60)
	l.apply()
	l.s.settle()
	l.some(rand.New(rand.NewPCG(3, 5)), 40)
	must(t, l.s.txns.Await(100))
	o.FS = o.FS.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{})
	s := asMember(t, o)
	base := s.tree.LastZxid()
	tail, err := s.Tail()
	must(t, err)
	if len(tail) != int(100-base) || s.tree.LastZxid() != base || s.lastZxid() != 100 {
		t.Errorf("a tail of %d behind %v, at %v", len(tail), base, s.tree.LastZxid())
	}
	all := append(l.txns, l.flight...)
	for i, e := range tail {
		if want := all[int(base)+i]; e.Zxid != want.Zxid || !bytes.Equal(e.Payload, want.Append(nil)) {
			t.Fatalf("entry %d is %v", i, e.Zxid)
		}
	}
	expectRead(t, s, 0, 1, 100)
	expectRead(t, s, 99, 100, 100)
	if tail, err := asMember(t, memOptions()).Tail(); len(tail) != 0 || err != nil {
		t.Errorf("the tail of nothing: %v, %v", tail, err)
	}
}

// TestTailWithHole is refused as a replay would be.
func TestTailWithHole(t *testing.T) {
	o := memOptions()
	o.RollBytes = 500
	l := startLoop(t, o)
	for range 100 {
		l.create("/x", "0123456789", 2)
		l.apply()
	}
	crashed := o.FS.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{})
	o.FS = crashed
	logs := listDir(t, crashed, "/data/version-2", "log.")
	must(t, crashed.Remove("/data/version-2/"+logs[len(logs)/2]))
	if _, err := asMember(t, o).Tail(); err == nil || !strings.Contains(err.Error(), "transactions are missing") {
		t.Errorf("error %v", err)
	}
}

// TestBaseOfImport: of a directory that ZooKeeper wrote only what follows the
// newest snapshot is known to be without a hole.
func TestBaseOfImport(t *testing.T) {
	for _, deferTail := range []bool{false, true} {
		fs, want := unpack(t, "standalone-all-types")
		o := want.options(fs)
		o.DeferTail = deferTail
		s := open(t, o)
		last := wire.Zxid(want.LastZxid)
		expectTooOld(t, s, 0)
		expectTooOld(t, s, 0x45)
		expectRead(t, s, 0x46, 0x47, last)
		mustClose(t, s)
		s = asMember(t, o) // from the store now
		expectTooOld(t, s, 0x45)
		expectRead(t, s, 0x46, 0x47, last)
	}
}

// TestBaseOfOlderZooid: a directory without the base is served from where its
// store is, and goes on as before.
func TestBaseOfOlderZooid(t *testing.T) {
	o, want := filled(t, 100)
	must(t, o.FS.Remove("/data/version-2/zooid.base"))
	s := asMember(t, o)
	expectTooOld(t, s, 99)
	if part, err := s.ReadLog(100, 1); err != nil || part.Prev != 100 || len(part.Entries) != 0 {
		t.Errorf("behind the end: %+v, %v", part, err)
	}
	compare(t, want, contentOf(t, s))
}

// TestBaseAfterZooKeeper: a snapshot that is newer than the store may have come
// from a leader, and then the log has a hole before it that nothing shows.
func TestBaseAfterZooKeeper(t *testing.T) {
	o, _ := filled(t, 100)
	asZooKeeper(t, o, 50, true)
	s := asMember(t, o)
	expectTooOld(t, s, 149)
	mustClose(t, s)

	o, _ = filled(t, 100)
	asZooKeeper(t, o, 50, false) // only the log went on
	s = asMember(t, o)
	expectRead(t, s, 0, 1, 150)
}

// TestForeignStore: a member of an ensemble too tells a store that belongs to
// another log.
func TestForeignStore(t *testing.T) {
	other := memOptions()
	l := startLoop(t, other)
	l.some(rand.New(rand.NewPCG(99, 1)), 400)
	l.apply()
	mustClose(t, l.s)
	o, _ := filled(t, 100)
	for _, name := range listDir(t, o.FS, "/data/version-2", "") {
		must(t, o.FS.Remove("/data/version-2/"+name))
	}
	for name, b := range copyDir(t, other.FS, "/data/version-2") {
		putFile(t, o.FS, "/data/version-2/"+name, b)
	}
	warned := watchLog(&o)
	s := asMember(t, o)
	if s.base.from != "snapshot" || s.tree.LastZxid() != 0 || !warned(madeAgain) {
		t.Errorf("began from %+v", s.base)
	}
	must(t, s.ReplayTail(400))
	compare(t, model(t, l.txns, 400), contentOf(t, s))
}

// TestTruncate cuts the log behind the tree and goes on; a crash afterwards
// brings nothing back.
func TestTruncate(t *testing.T) {
	for _, z := range []wire.Zxid{60, 61, 75, 99, 100, 500} {
		t.Run(fmt.Sprint(z), func(t *testing.T) {
			o := memOptions()
			o.RollBytes = 1500
			l := startLoop(t, o)
			l.some(rand.New(rand.NewPCG(3, 4)), 60)
			l.apply()
			l.s.settle()
			l.some(rand.New(rand.NewPCG(3, 5)), 40)
			must(t, l.s.txns.Await(100))
			l.flight = nil
			putFile(t, o.FS, "/data/version-2/snapshot.63", []byte("of a state that never was"))
			last, ok, err := l.s.Truncate(z)
			want := min(z, 100)
			if last != want || !ok || err != nil {
				t.Fatalf("truncated to %v, %v, %v", last, ok, err)
			}
			if left := exists(o.FS, "/data/version-2/snapshot.63"); left != (z >= 0x63) {
				t.Errorf("the later snapshot is there: %v", left)
			}
			for len(l.durable) > 0 {
				<-l.durable
			}
			l.next = wire.MakeZxid(2, 1)
			l.create("/after", "", 0)
			must(t, l.s.txns.Await(l.next-1))
			o.FS = o.FS.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{})
			s := asMember(t, o)
			tail, err := s.Tail()
			must(t, err)
			if n := len(tail); tail[n-1].Zxid != wire.MakeZxid(2, 1) || n > 1 && tail[n-2].Zxid != want {
				t.Errorf("a tail of %d", n)
			}
			if want > 60 {
				expectRead(t, s, 60, 61, wire.MakeZxid(2, 1))
			}
			expectRead(t, s, want, wire.MakeZxid(2, 1), wire.MakeZxid(2, 1))
		})
	}
}

// TestTruncateRefused: what the tree holds was committed, and stays.
func TestTruncateRefused(t *testing.T) {
	o, want := filled(t, 100)
	s := asMember(t, o)
	s.txns.Start()
	before := copyDir(t, o.FS, "/data/version-2")
	for _, z := range []wire.Zxid{0, 50, 99} {
		if last, ok, err := s.Truncate(z); last != 100 || ok || err != nil {
			t.Errorf("to %v: %v, %v, %v", z, last, ok, err)
		}
	}
	if after := copyDir(t, o.FS, "/data/version-2"); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Error("files have changed")
	}
	compare(t, want, contentOf(t, s))

	// A fuzzy snapshot holds something of what follows it.
	fs, _ := unpack(t, "standalone-all-types")
	must(t, fs.Rename("/data/version-2/snapshot.46", "/data/version-2/snapshot.44"))
	for _, name := range listDir(t, fs, "/data/version-2", "snapshot.") {
		if name != "snapshot.44" {
			must(t, fs.Remove("/data/version-2/"+name))
		}
	}
	s = asMember(t, Options{DataDir: "/data", LogDir: "/log", FS: fs, PreallocBytes: -1})
	if _, ok, err := s.Truncate(0x45); ok || err != nil {
		t.Errorf("into a fuzzy snapshot: %v, %v", ok, err)
	}
	if last, ok, err := s.Truncate(0x46); last != 0x46 || !ok || err != nil {
		t.Errorf("behind it: %v, %v, %v", last, ok, err)
	}
}

// TestStoreStaysBehindLog: a txn that a quorum has committed before this member
// has it on disk is applied, but must not be in the store before it is in the log.
func TestStoreStaysBehindLog(t *testing.T) { synctest.Test(t, storeStaysBehindLog) }

func storeStaysBehindLog(t *testing.T) {
	o := memOptions()
	mem := o.FS
	hold := make(chan struct{})
	held := make(chan struct{}, 100)
	var on atomic.Bool
	o.FS = errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSyncData && strings.Contains(op.Path, "log") && on.Load() {
			held <- struct{}{}
			<-hold
		}
		return nil
	}))
	l := startLoop(t, o)
	l.create("/x", "", 0)
	l.apply()
	l.s.settle()
	on.Store(true)
	txn := l.propose(1, wire.OpCreate2, &wire.CreateRequest{Path: "/y", ACL: wire.OpenACL})
	<-held
	l.s.tree.Lock()
	l.s.tree.Apply(txn, &l.applied)
	l.s.tree.Unlock()
	l.s.Keep(true)
	e := l.s.edition.Load()
	synctest.Wait() // everybody has done what he may
	if z := e.committed.Load(); z != 1 {
		t.Errorf("the store is at %v", z)
	}
	on.Store(false)
	close(hold)
	l.s.settle()
	if z := e.committed.Load(); z != 2 {
		t.Errorf("the store is at %v", z)
	}
}

// TestLongClosingIsHandedOnShort: what earlier versions logged of a session with
// very many ephemerals is given to other members in a form that they can read,
// both from the tail and from the log's middle.
func TestLongClosingIsHandedOnShort(t *testing.T) {
	o := memOptions()
	l := startLoop(t, o)
	long := &wire.CloseSessionTxn{}
	for i := range 20_000 {
		long.Paths = append(long.Paths, fmt.Sprintf("/%0112d", i))
	}
	closing := wire.Txn{TxnHeader: wire.TxnHeader{Session: 1, Zxid: 1, Op: wire.OpCloseSession}, Body: long}
	l.s.txns.Append([]txnlog.Entry{{Zxid: 1, Payload: closing.Append(nil)}})
	must(t, l.s.txns.Await(1))
	o.FS = o.FS.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{})
	s := asMember(t, o)
	tail, err := s.Tail()
	must(t, err)
	part, err := s.ReadLog(0, 1<<30)
	must(t, err)
	for _, e := range slices.Concat(tail, part.Entries) {
		if txn, err := wire.DecodeTxn(e.Payload); err != nil || txn.Body != nil || txn.Session != 1 || txn.Zxid != 1 {
			t.Errorf("%v of %d bytes: %+v, %v", e.Zxid, len(e.Payload), txn, err)
		}
	}
	if len(tail) != 1 || len(part.Entries) != 1 {
		t.Errorf("%d and %d records", len(tail), len(part.Entries))
	}
}
