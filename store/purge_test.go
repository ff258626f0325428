package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"zooid/wire"
)

// checkWayBack asserts what must hold after every Purge: the newest snapshots
// are there, each with all the log behind it, and so is the log behind the
// store.
func checkWayBack(t *testing.T, s *Store) {
	t.Helper()
	snaps, err := s.goodSnapshots()
	must(t, err)
	if len(snaps) == 0 {
		t.Fatal("no snapshot left")
	}
	files := s.txns.Files()
	need := min(snaps[len(snaps)-1].zxid, s.FlushedZxid())
	if len(files) > 0 && files[0].First > need+1 {
		t.Errorf("the log begins at %v, %v is needed; snapshots %+v, flushed %v", files[0].First, need+1, snaps, s.FlushedZxid())
	}
	if newest := snaps[0].zxid; newest > s.FlushedZxid() {
		t.Errorf("snapshot %v is newer than the store, %v", newest, s.FlushedZxid())
	}
}

// TestPurge runs with a small log budget. The directory must stay small, and
// ZooKeeper could start from it, and from every snapshot in it, all the time.
func TestPurge(t *testing.T) {
	o := memOptions()
	o.LogBudget, o.FlushTxns, o.RollBytes = 20_000, 50, 3000
	l := startLoop(t, o)
	l.s.rule = snapshotRule{} // no snapshot but those of Purge, which are counted; the log's writer has not looked yet
	rng := rand.New(rand.NewPCG(1, 1))
	snapshots, removed := 0, 0
	for range 120 {
		l.some(rng, 20)
		l.apply()
		l.s.Keep(true)
		l.s.waitIdle()
		p, err := l.s.Purge()
		must(t, err)
		if p.Snapshot != "" {
			snapshots++
		}
		removed += len(p.Removed)
		checkWayBack(t, l.s)
		if size := l.s.txns.Size(); size > 5*o.LogBudget+2*o.RollBytes {
			t.Fatalf("%d bytes of log", size)
		}
	}
	if snapshots < 5 || removed < 20 {
		t.Errorf("%d snapshots written, %d files removed", snapshots, removed)
	}
	want := contentOf(t, l.s)
	snaps, err := l.s.goodSnapshots()
	must(t, err)
	if len(snaps) != DefaultSnapRetain {
		t.Errorf("%d snapshots are kept", len(snaps))
	}
	mustClose(t, l.s)
	for _, f := range snaps {
		must(t, o.FS.RemoveAll("/data/zooid"))
		s := open(t, o)
		if s.base.zxid != f.zxid {
			t.Errorf("began from %+v, want %v", s.base, f.zxid)
		}
		compare(t, want, contentOf(t, s))
		mustClose(t, s)
		must(t, o.FS.Remove("/data/version-2/"+f.name))
	}
}

// TestPurgeLeavesAlone what is no snapshot, and removes nothing without need.
func TestPurgeLeavesAlone(t *testing.T) {
	o := memOptions()
	l := startLoop(t, o)
	l.create("/x", "", 0)
	l.apply()
	for _, name := range []string{"currentEpoch", "acceptedEpoch", "snapshot.bak", "notes.txt"} {
		putFile(t, o.FS, "/data/version-2/"+name, []byte("1"))
	}
	before := fmt.Sprint(listDir(t, o.FS, "/data/version-2", ""))
	p, err := l.s.Purge()
	must(t, err)
	if after := fmt.Sprint(listDir(t, o.FS, "/data/version-2", "")); p.Snapshot != "" || len(p.Removed) != 0 || after != before {
		t.Errorf("%+v; %s, before %s", p, after, before)
	}
}

// TestPurgeSmallDisk keeps fewer snapshots when their log takes several budgets.
func TestPurgeSmallDisk(t *testing.T) {
	o := memOptions()
	o.SnapRetain, o.FlushTxns, o.RollBytes = 10, 10, 1000
	l := startLoop(t, o)
	rng := rand.New(rand.NewPCG(2, 1))
	for range 10 {
		l.some(rng, 100)
		l.apply()
		l.s.settle()
		_, _, err := l.s.Snapshot()
		must(t, err)
	}
	l.some(rng, 10)
	l.apply()
	l.s.o.LogBudget = l.s.txns.Size() / 20 // as if the budget had always been this
	_, err := l.s.Purge()
	must(t, err)
	checkWayBack(t, l.s)
	snaps, err := l.s.goodSnapshots()
	must(t, err)
	if len(snaps) < 1 || len(snaps) > 3 {
		t.Errorf("%d snapshots are kept", len(snaps))
	}
	if size := l.s.txns.Size(); size > (fewerSnapshots+1)*l.s.o.LogBudget+2*o.RollBytes {
		t.Errorf("%d bytes of log, the budget is %d", size, l.s.o.LogBudget)
	}
}

// TestPurgeDamaged does not count a snapshot whose writing was interrupted.
func TestPurgeDamaged(t *testing.T) {
	o := memOptions()
	o.SnapRetain = 1
	l := startLoop(t, o)
	var good wire.Zxid
	for range 3 {
		l.create("/"+fmt.Sprint(l.next), "", 0)
		l.apply()
		l.s.settle()
		var err error
		_, good, err = l.s.Snapshot()
		must(t, err)
	}
	putFile(t, o.FS, "/data/version-2/snapshot.1000", []byte("ZKSN and then nothing"))
	_, err := l.s.Purge()
	must(t, err)
	if have := listDir(t, o.FS, "/data/version-2", "snapshot."); fmt.Sprint(have) != fmt.Sprintf("[snapshot.1000 %s]", snapshotName(good)) {
		t.Errorf("left: %v", have)
	}
	checkWayBack(t, l.s)
}

// TestPurgeDamagedInside does not count on a snapshot that Open could not read:
// it would be the only one left.
func TestPurgeDamagedInside(t *testing.T) {
	o := memOptions()
	o.SnapRetain, o.RollBytes = 1, 100
	l := startLoop(t, o)
	rng := rand.New(rand.NewPCG(2, 1))
	var names []string
	for range 3 {
		l.some(rng, 30)
		l.apply()
		l.s.settle()
		file, _, err := l.s.Snapshot()
		must(t, err)
		names = append(names, file)
	}
	want := contentOf(t, l.s)
	mustClose(t, l.s)
	b := getFile(t, o.FS, names[2])
	b[len(b)/2] ^= 1
	putFile(t, o.FS, names[2], b)
	must(t, o.FS.RemoveAll("/data/zooid"))
	s := open(t, o)
	compare(t, want, contentOf(t, s))
	_, err := s.Purge()
	must(t, err)
	mustClose(t, s)
	if !exists(o.FS, names[1]) {
		t.Fatal("the last good snapshot is gone")
	}
	must(t, o.FS.RemoveAll("/data/zooid"))
	compare(t, want, contentOf(t, open(t, o)))
}

// TestPurgeOnFullDisk makes room even though no new snapshot can be written.
func TestPurgeOnFullDisk(t *testing.T) {
	o := memOptions()
	var full atomic.Bool
	o.FS = errorfs.Wrap(o.FS, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind == errorfs.OpFileWrite && strings.Contains(op.Path, "/snapshot.") {
			return &os.PathError{Op: "write", Path: op.Path, Err: syscall.ENOSPC}
		}
		return nil
	}))
	o.FlushTxns, o.RollBytes = 10, 1000
	l := startLoop(t, o)
	rng := rand.New(rand.NewPCG(2, 1))
	for range 3 {
		l.some(rng, 100)
		l.apply()
		l.s.settle()
		_, _, err := l.s.Snapshot()
		must(t, err)
	}
	l.some(rng, 100)
	l.apply()
	l.s.settle()
	l.s.o.LogBudget = 1000
	full.Store(true)
	before := l.s.txns.Size()
	p, err := l.s.Purge()
	if !errors.Is(err, syscall.ENOSPC) || len(p.Removed) == 0 || l.s.txns.Size() > before*3/4 {
		t.Errorf("%+v, %v; %d bytes of log, before %d", p, err, l.s.txns.Size(), before)
	}
	checkWayBack(t, l.s)
	if tmp := listDir(t, o.FS, "/data/version-2", "snapshot."); len(tmp) != 1 {
		t.Errorf("left: %v", tmp)
	}
}
