package store

import (
	"bytes"
	"fmt"
	"hash/adler32"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"zooid/txnlog"
	"zooid/wire"
	"zooid/znode"
)

// memOptions are those of a new directory in memory.
func memOptions() Options {
	return Options{DataDir: "/data", FS: vfs.NewCrashableMem(), PreallocBytes: -1}
}

// filled is a directory in which some txns were run and the server was closed.
func filled(t *testing.T, txns int) (Options, *content) {
	t.Helper()
	o := memOptions()
	l := startLoop(t, o)
	l.some(rand.New(rand.NewPCG(3, 4)), txns)
	l.apply()
	want := contentOf(t, l.s)
	mustClose(t, l.s)
	return o, want
}

// TestFirstStart leaves what ZooKeeper needs to start, and goes on afterwards.
func TestFirstStart(t *testing.T) {
	o := memOptions()
	s := open(t, o)
	if s.tree.LastZxid() != 0 || s.tree.Digest() != wire.EmptyTreeDigest || s.tree.NodeCount() != 5 {
		t.Errorf("zxid %v, digest %#x, %d nodes", s.tree.LastZxid(), s.tree.Digest(), s.tree.NodeCount())
	}
	if !exists(o.FS, "/data/version-2/snapshot.0") {
		t.Error("no snapshot.0")
	}
	want := contentOf(t, s)
	mustClose(t, s)
	s = open(t, o)
	if !s.base.isStore {
		t.Errorf("the second start began from %+v", s.base)
	}
	compare(t, want, contentOf(t, s))
}

// TestRestart reads the store and replays nothing after a clean end.
func TestRestart(t *testing.T) {
	o, want := filled(t, 300)
	s := open(t, o)
	if !s.base.isStore || s.base.zxid != want.Zxid {
		t.Errorf("began from %+v, want %v", s.base, want.Zxid)
	}
	compare(t, want, contentOf(t, s))
}

// TestSessionsKeepTheirScheme: the cxid of a session's txn tells how its
// password is made, so it must survive. ZooKeeper's own snapshots do not tell; of
// ours only that of a password which is derived from the secret is known.
func TestSessionsKeepTheirScheme(t *testing.T) {
	o := memOptions()
	l := startLoop(t, o)
	l.cxid = 0
	l.propose(77, wire.OpCreateSession, nil) // cxid 1
	l.cxid = -1
	l.propose(78, wire.OpCreateSession, nil) // cxid 0
	l.apply()
	l.s.settle()
	mustClose(t, l.s)
	s := open(t, o)
	if timeoutMs, cxid, ok := s.tree.Session(77); timeoutMs != 6000 || cxid != 1 || !ok {
		t.Errorf("session: %d ms, cxid %d, %v", timeoutMs, cxid, ok)
	}
	_, _, err := s.Snapshot()
	must(t, err)
	mustClose(t, s)
	must(t, o.FS.RemoveAll("/data/"+pebbleDir))
	s = open(t, o)
	if _, cxid, ok := s.tree.Session(77); cxid != cxidKeyed || !ok {
		t.Errorf("session with a derived password from a snapshot: cxid %d, %v", cxid, ok)
	}
	if timeoutMs, cxid, ok := s.tree.Session(78); cxid != -1 || timeoutMs != 6000 || !ok {
		t.Errorf("session with ZooKeeper's password from a snapshot: %d ms, cxid %d, %v", timeoutMs, cxid, ok)
	}
}

// TestStoreAhead: with log files gone the store must not be trusted silently,
// nor thrown away.
func TestStoreAhead(t *testing.T) {
	o, want := filled(t, 100)
	for _, name := range listDir(t, o.FS, "/data/version-2", "log.") {
		must(t, o.FS.Remove("/data/version-2/"+name))
	}
	before := listDir(t, o.FS, "/data/zooid", "")
	expectRefused(t, o, "/data/zooid holds the state at zxid "+want.Zxid.String())
	expectRefused(t, o, "end at 0x0")
	expectRefused(t, o, "remove /data/zooid")
	if len(before) == 0 || len(listDir(t, o.FS, "/data/zooid", "")) == 0 {
		t.Error("the store is gone")
	}
	must(t, o.FS.RemoveAll("/data/zooid"))
	if s := open(t, o); s.tree.LastZxid() != 0 {
		t.Errorf("at %v", s.tree.LastZxid())
	}
}

// TestStoreAlone: without any snapshot the store and the log are enough, and a
// snapshot for ZooKeeper is written at once.
func TestStoreAlone(t *testing.T) {
	o, want := filled(t, 100)
	must(t, o.FS.Remove("/data/version-2/snapshot.0"))
	s := open(t, o)
	compare(t, want, contentOf(t, s))
	s.background.Wait()
	mustClose(t, s)
	if name := "/data/version-2/" + snapshotName(want.Zxid); !exists(o.FS, name) {
		t.Errorf("no %s", name)
	}
	must(t, o.FS.RemoveAll("/data/zooid"))
	compare(t, want, contentOf(t, open(t, o)))
}

// asZooKeeper runs more txns on the directory the way ZooKeeper would: into the
// log and a snapshot of its own, past our store.
func asZooKeeper(t *testing.T, o Options, txns int, snapshot bool) *content {
	t.Helper()
	kept := copyDir(t, o.FS, "/data/zooid")
	l := startLoop(t, o)
	l.some(rand.New(rand.NewPCG(30, 40)), txns)
	l.apply()
	want := contentOf(t, l.s)
	if snapshot {
		_, _, err := l.s.Snapshot()
		must(t, err)
	}
	mustClose(t, l.s)
	must(t, o.FS.RemoveAll("/data/zooid"))
	for name, b := range kept {
		putFile(t, o.FS, "/data/zooid/"+name, b)
	}
	return want
}

func copyDir(t *testing.T, fs vfs.FS, dir string) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	for _, name := range listDir(t, fs, dir, "") {
		files[name] = getFile(t, fs, dir+"/"+name)
	}
	return files
}

// TestZooKeeperInBetween: after ZooKeeper has run on the directory the store is
// behind. The state must be ZooKeeper's, whether it left a snapshot or only log,
// and with a hole in the log behind the store.
func TestZooKeeperInBetween(t *testing.T) {
	for _, c := range []struct {
		name                   string
		snapshot, hole, damage bool
		from                   string
		refused                string
	}{
		{name: "log only", from: "store"},
		{name: "snapshot", snapshot: true, from: "snapshot"},
		{name: "snapshot, and old log purged", snapshot: true, hole: true, from: "snapshot"},
		{name: "damaged snapshot", snapshot: true, damage: true, from: "store"},
		{name: "old log purged, no snapshot", hole: true, refused: "transactions are missing"},
		{name: "old log purged, damaged snapshot", hole: true, snapshot: true, damage: true, refused: "transactions are missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, _ := filled(t, 100)
			asZooKeeper(t, o, 50, false)
			want := asZooKeeper(t, o, 50, c.snapshot)
			logs := listDir(t, o.FS, "/data/version-2", "log.")
			if len(logs) != 3 {
				t.Fatalf("logs: %v", logs)
			}
			if c.hole {
				must(t, o.FS.Remove("/data/version-2/"+logs[1]))
			}
			if c.damage {
				name := "/data/version-2/" + snapshotName(want.Zxid)
				b := getFile(t, o.FS, name)
				b[len(b)/2] ^= 1
				putFile(t, o.FS, name, b)
			}
			if c.refused != "" {
				expectRefused(t, o, c.refused)
				return
			}
			s := open(t, o)
			if s.base.from != c.from {
				t.Errorf("began from %+v", s.base)
			}
			compare(t, want, contentOf(t, s))
			mustClose(t, s)
			s = open(t, o)
			if !s.base.isStore {
				t.Errorf("then began from %+v", s.base)
			}
			compare(t, want, contentOf(t, s))
		})
	}
}

// TestOtherHistory: a store beside another tree's snapshots and log gives way
// to them, or to a log that begins with the first transaction; without both
// nothing is decided.
func TestOtherHistory(t *testing.T) {
	other := memOptions()
	l := startLoop(t, other)
	l.some(rand.New(rand.NewPCG(99, 1)), 400)
	l.apply()
	want := contentOf(t, l.s)
	mustClose(t, l.s)

	o, _ := filled(t, 100)
	for _, name := range listDir(t, o.FS, "/data/version-2", "") {
		must(t, o.FS.Remove("/data/version-2/"+name))
	}
	for name, b := range copyDir(t, other.FS, "/data/version-2") {
		putFile(t, o.FS, "/data/version-2/"+name, b)
	}
	must(t, o.FS.Remove("/data/version-2/snapshot.0"))
	crashed := o.FS.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{})
	s := open(t, o)
	compare(t, want, contentOf(t, s))
	mustClose(t, s)

	o.FS = crashed // and now with the beginning missing
	must(t, o.FS.Remove("/data/version-2/snapshot.0"))
	log := getFile(t, o.FS, "/data/version-2/log.1")
	b := bytes.Clone(log[:wire.FileHeaderSize])
	_, err := txnlog.Scan(o.FS, "/data/version-2/log.1", func(r txnlog.Record) error {
		if r.Zxid > 1 {
			b = append(b, log[r.Offset:r.End()]...)
		}
		return nil
	})
	must(t, err)
	must(t, o.FS.Remove("/data/version-2/log.1"))
	putFile(t, o.FS, "/data/version-2/log.2", b)
	expectRefused(t, o, errForeign.Error())
	expectRefused(t, o, "set snapshot.trust.empty=true for one start")
}

// TestDamagedStore changes bytes all over the files of a store. Either that
// does no harm, or the store is made again, with one warning; at no time may it
// lead to another state.
func TestDamagedStore(t *testing.T) {
	o, want := filled(t, 400)
	files := copyDir(t, o.FS, "/data/zooid")
	again := 0
	for name, good := range files {
		for i := 0; i < len(good); i += 1 + len(good)/30 {
			fs := o.FS.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{})
			bad := bytes.Clone(good)
			bad[i] ^= 0x20
			putFile(t, fs, "/data/zooid/"+name, bad)
			if strings.HasPrefix(name, "marker.") {
				continue // empty, its name is what counts
			}
			if damagedStart(t, fs, o, want) {
				again++
			}
			if t.Failed() {
				t.Fatalf("%s: byte %d of %d", name, i, len(good))
			}
		}
		fs := o.FS.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{})
		must(t, fs.Remove("/data/zooid/"+name))
		if damagedStart(t, fs, o, want) {
			again++
		}
		if t.Failed() {
			t.Fatalf("without %s", name)
		}
	}
	if again < 20 {
		t.Errorf("only %d stores were made again", again)
	}
}

// damagedStart starts with a store that is damaged, and tells whether that was
// noticed. If it was the next start finds a good one.
func damagedStart(t *testing.T, fs vfs.FS, o Options, want *content) (again bool) {
	t.Helper()
	o.FS = fs
	core, logs := observer.New(zap.WarnLevel)
	o.Log = zap.New(core)
	for start := range 2 {
		s, err := Open(o)
		if err != nil {
			t.Errorf("start %d: %v", start, err)
			return again
		}
		compare(t, want, contentOf(t, s))
		mustClose(t, s)
		warnings := logs.FilterMessage(madeAgain).Len()
		if start == 0 {
			again = warnings > 0
		}
		if warnings > 1 {
			t.Errorf("%d warnings by start %d", warnings, start)
		}
	}
	return again
}

// TestAlteredStore: a store whose files are in order but whose znodes are not
// those of its marker is made again like a damaged one.
func TestAlteredStore(t *testing.T) {
	for name, alter := range map[string]func(db *pebble.DB) error{
		"another znode": func(db *pebble.DB) error {
			return db.Set([]byte("n/zzz"), appendRecord(nil, &znode.Record{}), pebble.NoSync)
		},
		"orphan": func(db *pebble.DB) error {
			return db.Set([]byte("n/x/y"), appendRecord(nil, &znode.Record{}), pebble.NoSync)
		},
		"cut value":    func(db *pebble.DB) error { return db.Set([]byte("n/zookeeper"), []byte{flagOwner}, pebble.NoSync) },
		"cut marker":   func(db *pebble.DB) error { return db.Set([]byte{markerKey}, []byte{1}, pebble.NoSync) },
		"no marker":    func(db *pebble.DB) error { return db.Delete([]byte{markerKey}, pebble.NoSync) },
		"long session": func(db *pebble.DB) error { return db.Set([]byte("s123456789"), []byte("12345678"), pebble.NoSync) },
	} {
		t.Run(name, func(t *testing.T) {
			o, want := filled(t, 0)
			db, err := openPebble(o.FS, "/data/zooid", zap.NewNop())
			must(t, err)
			must(t, alter(db))
			must(t, db.Flush())
			must(t, db.Close())
			if !damagedStart(t, o.FS, o, want) {
				t.Error("not noticed")
			}
		})
	}
}

// TestNewerStore is left alone.
func TestNewerStore(t *testing.T) {
	o, _ := filled(t, 10)
	db, err := openPebble(o.FS, "/data/zooid", zap.NewNop())
	must(t, err)
	must(t, db.Set([]byte{markerKey}, []byte{storeFormat + 1, 1, 2, 3}, pebble.NoSync))
	must(t, db.Flush())
	must(t, db.Close())
	expectRefused(t, o, "store /data/zooid: format 2, this program reads up to 1")
}

// TestUnknownACL: a snapshot whose table lacks an ACL is good only if a later
// txn sets it.
func TestUnknownACL(t *testing.T) {
	for _, c := range []struct {
		name string
		op   wire.OpCode
		body wire.TxnBody
		ok   bool
	}{
		{"set later", wire.OpSetACL, &wire.SetACLTxn{Path: "/n", ACL: wire.OpenACL, Version: 1}, true},
		{"deleted later", wire.OpDelete, &wire.DeleteTxn{Path: "/n"}, true},
		{"made again", wire.OpCreate2, &wire.CreateTxn{Path: "/n", ACL: wire.OpenACL, ParentCversion: 1}, true},
		{"set in a multi", wire.OpMulti, &wire.MultiTxn{Txns: []wire.SubTxn{{Op: wire.OpDelete, Body: &wire.DeleteTxn{Path: "/n"}}}}, true},
		{"set in a failed multi", wire.OpMulti, &wire.MultiTxn{Txns: []wire.SubTxn{
			{Op: wire.OpDelete, Body: &wire.DeleteTxn{Path: "/n"}}, {Op: wire.OpError, Body: &wire.ErrorTxn{Err: wire.ErrBadVersion}}}}, false},
		{"its session ended", wire.OpCloseSession, nil, true},
		{"another node's", wire.OpSetACL, &wire.SetACLTxn{Path: "/zookeeper", ACL: wire.OpenACL, Version: 1}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := memOptions()
			putFile(t, o.FS, "/data/version-2/snapshot.5", snapshotWithUnknownACL())
			log, err := txnlog.Open(txnlog.Options{Dir: "/data/version-2", FS: o.FS, PreallocBytes: -1})
			must(t, err)
			log.Start()
			txn := wire.Txn{TxnHeader: wire.TxnHeader{Session: 9, Zxid: 6, Op: c.op}, Body: c.body}
			log.Append([]txnlog.Entry{{Zxid: 6, Payload: txn.Append(nil)}})
			must(t, log.Close())
			if !c.ok {
				expectRefused(t, o, "snapshot /data/version-2/snapshot.5: znode /n has an ACL that the file does not define")
				return
			}
			if s := open(t, o); s.tree.LastZxid() != 6 {
				t.Errorf("at %v", s.tree.LastZxid())
			}
		})
	}
}

// snapshotWithUnknownACL holds /n, of session 9, with ACL 7 that is not in the table.
func snapshotWithUnknownACL() []byte {
	h := wire.FileHeader{Magic: wire.SnapshotMagic, Version: wire.FileVersion, DBID: -1}
	b := h.Append(nil)
	b = wire.AppendInt32(b, 0) // sessions
	b = wire.AppendInt32(b, 0) // ACLs
	for _, n := range []struct {
		path       string
		acl, owner int64
	}{{"", -1, 0}, {"/n", 7, 9}} {
		b = wire.AppendBuffer(wire.AppendString(b, n.path), []byte{})
		s := wire.StatPersisted{EphemeralOwner: n.owner}
		b = s.Append(wire.AppendInt64(b, n.acl))
	}
	b = wire.AppendString(b, "/")
	return wire.AppendString(wire.AppendInt64(b, int64(adler32.Checksum(b))), "/")
}

// TestDeferTail leaves the log beyond the store unapplied until it is told how
// much of it was committed.
func TestDeferTail(t *testing.T) {
	o := memOptions()
	l := startLoop(t, o)
	l.some(rand.New(rand.NewPCG(3, 4)), 60)
	l.apply()
	crashed := o.FS.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{})
	mustClose(t, l.s)
	o.FS, o.DeferTail = crashed, true
	s := open(t, o)
	if z := s.tree.LastZxid(); z != 0 {
		t.Fatalf("at %v", z)
	}
	must(t, s.ReplayTail(40))
	compare(t, model(t, l.txns, 40), contentOf(t, s))
	must(t, s.ReplayTail(60))
	compare(t, model(t, l.txns, 60), contentOf(t, s))

	empty := memOptions()
	empty.DeferTail = true
	open(t, empty)
	if !exists(empty.FS, "/data/version-2/snapshot.0") {
		t.Error("no snapshot.0 at first start")
	}
}

// TestFuzzyWithoutDigest: of a snapshot without a digest nobody knows how fuzzy
// it is, so no txn's digest tells anything until the log has been replayed.
func TestFuzzyWithoutDigest(t *testing.T) {
	fs, want := unpack(t, "standalone-all-types")
	body := getFile(t, fs, "/data/version-2/snapshot.46")
	body = body[:len(body)-digestPart-lastPart]
	for _, name := range listDir(t, fs, "/data/version-2", "snapshot.") {
		must(t, fs.Remove("/data/version-2/"+name))
	}
	putFile(t, fs, "/data/version-2/snapshot.0", body)
	o := want.options(fs)
	warned := watchLog(&o)
	compare(t, want.content(t), contentOf(t, open(t, o)).comparable())
	if warned("digest") {
		t.Error("a digest did not match")
	}
}

// TestDamagedStoreAlone: if snapshot and log do not lead to the state that a
// damaged store held the start is refused, and says why.
func TestDamagedStoreAlone(t *testing.T) {
	o, _ := filled(t, 100)
	for _, name := range listDir(t, o.FS, "/data/zooid", "") {
		if strings.HasPrefix(name, "MANIFEST-") {
			putFile(t, o.FS, "/data/zooid/"+name, []byte("no manifest"))
		}
	}
	must(t, o.FS.Rename("/data/version-2/snapshot.0", "/data/version-2/snapshot.200"))
	b := getFile(t, o.FS, "/data/version-2/snapshot.200")
	b[20] ^= 1
	putFile(t, o.FS, "/data/version-2/snapshot.200", b)
	expectRefused(t, o, "none of the 1 snapshot files in /data/version-2 can be used")
	expectRefused(t, o, "store /data/zooid:")
	if len(listDir(t, o.FS, "/data/zooid", "")) == 0 {
		t.Error("the store is gone")
	}
}

// TestUselessSnapshots: a newest snapshot that is a directory, or is damaged, or
// cannot be read, is warned of and passed over as long as the log leads on from
// the one before. Where it does not, acknowledged transactions would be lost.
func TestUselessSnapshots(t *testing.T) {
	unreadable := func(fs vfs.FS, name string) vfs.FS {
		return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpOpen && strings.HasSuffix(op.Path, name) {
				return syscall.EACCES
			}
			return nil
		}))
	}
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, fs vfs.FS, name string) vfs.FS
		past  bool // also if the log does not reach it
	}{
		{name: "a directory", past: true, spoil: func(t *testing.T, fs vfs.FS, name string) vfs.FS {
			must(t, fs.MkdirAll(name+"/inside", 0o755))
			return fs
		}},
		{name: "unfinished", past: true, spoil: func(t *testing.T, fs vfs.FS, name string) vfs.FS {
			putFile(t, fs, name, []byte("ZKSN and no more"))
			return fs
		}},
		{name: "damaged", spoil: func(t *testing.T, fs vfs.FS, name string) vfs.FS {
			b := getFile(t, fs, "/data/version-2/snapshot.0")
			b[30] ^= 1
			putFile(t, fs, name, b)
			return fs
		}},
		{name: "unreadable", spoil: func(t *testing.T, fs vfs.FS, name string) vfs.FS {
			putFile(t, fs, name, []byte("some"))
			return unreadable(fs, name)
		}},
	} {
		for _, reached := range []bool{true, false} {
			for _, withStore := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/reached=%v/store=%v", c.name, reached, withStore), func(t *testing.T) {
					o, want := filled(t, 100)
					if !withStore {
						must(t, o.FS.RemoveAll("/data/zooid"))
					}
					z := wire.Zxid(101)
					if reached {
						z = 90
					}
					o.FS = c.spoil(t, o.FS, "/data/version-2/"+snapshotName(z))
					if !reached && !c.past {
						expectRefused(t, o, snapshotName(z)+" cannot be used, and the next older state with the log behind it reaches only to 0x64")
						return
					}
					warned := watchLog(&o)
					s := open(t, o)
					compare(t, want, contentOf(t, s))
					if c.name != "unfinished" && (!withStore || !reached) && !warned("a snapshot cannot be used") {
						t.Error("no warning")
					}
					_, err := s.Purge()
					must(t, err)
				})
			}
		}
	}
}

// TestTrustEmpty: as in ZooKeeper, snapshot.trust.empty lets a log without its
// beginning be replayed onto an empty tree; without it the start is refused and
// names the key.
func TestTrustEmpty(t *testing.T) {
	o := memOptions()
	l := startLoop(t, o)
	l.next = 5
	l.propose(1, wire.OpCreateSession, nil)
	l.create("/a", "", 0)
	l.create("/b", "", 0)
	l.apply()
	mustClose(t, l.s)
	must(t, o.FS.RemoveAll("/data/zooid"))
	must(t, o.FS.Remove("/data/version-2/snapshot.0"))
	expectRefused(t, o, "snapshot.trust.empty=true")
	o.TrustEmpty = true
	s := open(t, o)
	if s.tree.LastZxid() != 7 || s.tree.NodeCount() != 7 {
		t.Errorf("at %v with %d nodes", s.tree.LastZxid(), s.tree.NodeCount())
	}
	mustClose(t, s)
	o.TrustEmpty = false // the next start needs it no more
	if s := open(t, o); s.tree.LastZxid() != 7 {
		t.Errorf("then at %v", s.tree.LastZxid())
	}
}
