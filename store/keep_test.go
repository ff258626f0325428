package store

import (
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// TestKeepIsCheapAndRare: without force a cut waits for enough txns, and while
// one is being written no other is taken.
func TestKeepIsCheapAndRare(t *testing.T) {
	l := startLoop(t, memOptions())
	l.s.waitIdle()
	l.some(rand.New(rand.NewPCG(1, 1)), keepTxns-1)
	l.apply()
	if l.s.Keep(false); l.s.keeper.cut != 0 {
		t.Errorf("cut at %v", l.s.keeper.cut)
	}
	l.create("/one-more", "", 0)
	l.apply()
	if l.s.Keep(false); l.s.keeper.cut != keepTxns {
		t.Errorf("no cut at %v", l.s.tree.LastZxid())
	}
	l.create("/and-one", "", 0)
	l.apply()
	l.s.keeper.busy.Store(true)
	if l.s.Keep(true); l.s.keeper.cut != keepTxns {
		t.Error("a cut while another is being written")
	}
	l.s.keeper.busy.Store(false)
	l.s.waitIdle()
}

// TestFlush bounds what a crash leaves to be replayed, and begins a new log file
// where replay would begin.
func TestFlush(t *testing.T) {
	o := memOptions()
	o.FlushTxns = 100
	l := startLoop(t, o)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		l.some(rng, 10)
		l.apply()
		l.s.Keep(true)
		l.s.waitIdle()
		if lag := distance(l.s.FlushedZxid(), l.s.tree.LastZxid()); lag >= 100 {
			t.Fatalf("%d txns are not flushed", lag)
		}
	}
	if n := len(l.s.txns.Files()); n != 5 {
		t.Errorf("%d log files: %+v", n, l.s.txns.Files())
	}
	crashed := o.FS.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{})
	o.FS = crashed
	s := open(t, o)
	if s.base.zxid < l.s.FlushedZxid() || !s.base.isStore {
		t.Errorf("after a crash from %+v, flushed was %v", s.base, l.s.FlushedZxid())
	}
	compare(t, model(t, l.txns, 500), contentOf(t, s))
}

// fullDisk makes every write to the store fail as on a full disk while it is on.
type fullDisk struct{ on atomic.Bool }

func (d *fullDisk) wrap(fs vfs.FS) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if d.on.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && strings.HasPrefix(op.Path, "/data/zooid/") {
			return &os.PathError{Op: "write", Path: op.Path, Err: syscall.ENOSPC}
		}
		return nil
	}))
}

// TestDiskFull: without room for the store txns go on as long as the log has
// room, and when there is room again the store catches up.
func TestDiskFull(t *testing.T) {
	o := memOptions()
	o.FlushTxns = 1
	var disk fullDisk
	o.FS = disk.wrap(o.FS)
	l := startLoop(t, o)
	l.s.waitIdle()
	l.s.room.retry = time.Millisecond
	disk.on.Store(true)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		l.some(rng, 10)
		l.apply()
		l.s.Keep(true)
	}
	<-l.s.room.full()
	l.some(rng, 100)
	l.apply()
	disk.on.Store(false)
	compare(t, model(t, l.txns, 300), contentOf(t, l.s))
	mustClose(t, l.s)
	compare(t, model(t, l.txns, 300), contentOf(t, open(t, o)))
}

// TestCloseOnFullDisk does not wait for room, and loses nothing. What was waiting
// for room finds it after Close, and must not meet a store that is closed already.
func TestCloseOnFullDisk(t *testing.T) {
	o := memOptions()
	o.FlushTxns = 1
	said := watchLog(&o)
	mem := o.FS.(*vfs.MemFS)
	var disk fullDisk
	o.FS = disk.wrap(mem)
	l := startLoop(t, o)
	l.s.waitIdle()
	l.s.room.retry = time.Millisecond
	disk.on.Store(true)
	l.some(rand.New(rand.NewPCG(1, 1)), 100)
	l.apply()
	l.s.Keep(true)
	<-l.s.room.full()
	if err := l.s.Close(); err != nil || !said("the disk is full: the store's last changes stay in the log") {
		t.Errorf("error %v", err)
	}
	o.FS = mem.CrashClone(vfs.CrashCloneCfg{})
	disk.on.Store(false) // lets Pebble's goroutines end
	compare(t, model(t, l.txns, 100), contentOf(t, open(t, o)))
}

// TestCloseOnFailingDisk: a disk that fails otherwise than by being full, as one does
// from which the directory was removed, neither has Pebble spin nor keeps the store
// from ending. The log brings everything back.
func TestCloseOnFailingDisk(t *testing.T) {
	o := memOptions()
	o.FlushTxns = 1
	said := watchLog(&o)
	mem := o.FS.(*vfs.MemFS)
	var bad atomic.Bool
	var tries atomic.Int64
	o.FS = errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if bad.Load() && op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") {
			tries.Add(1)
			return errors.New("input/output error")
		}
		return nil
	}))
	l := startLoop(t, o)
	l.s.waitIdle()
	l.s.room.retry = 50 * time.Millisecond
	bad.Store(true)
	l.some(rand.New(rand.NewPCG(1, 1)), 100)
	l.apply()
	for late := time.After(time.Minute); tries.Load() < 3; { // Pebble tells nobody of a try
		l.s.Keep(true)
		select {
		case <-late:
			t.Fatal("nothing was tried")
		case <-time.After(time.Millisecond):
		}
	}
	began, from := time.Now(), tries.Load()
	time.Sleep(10 * l.s.room.retry)
	if n, most := tries.Load()-from, int64(time.Since(began)/l.s.room.retry)+1; n > most {
		t.Errorf("%d tries in %v, want %d at most", n, time.Since(began), most)
	}
	if err := l.s.Close(); err != nil || !said("the copy of the tree cannot be written") {
		t.Errorf("error %v", err)
	}
	o.FS = mem.CrashClone(vfs.CrashCloneCfg{})
	bad.Store(false) // lets Pebble's goroutines end
	compare(t, model(t, l.txns, 100), contentOf(t, open(t, o)))
}

// TestBrokenStore: when the store cannot take a cut, it takes none of the later
// ones, for they would leave a gap; the log still brings everything back.
func TestBrokenStore(t *testing.T) {
	o := memOptions()
	mem := o.FS.(*vfs.MemFS)
	var broken atomic.Bool
	o.FS = errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind == errorfs.OpCreate && strings.Contains(op.Path, "zooid.new") {
			return errors.New("input/output error")
		}
		return nil
	}))
	broken.Store(true)
	said := watchLog(&o)
	o.DeferTail = true // the first cut, of a whole tree, is what fails
	putFile(t, mem, "/data/version-2/snapshot.46", javaSnapshot(t))
	s, err := Open(o)
	must(t, err)
	must(t, s.ReplayTail(0))
	<-s.keeper.broken
	if !said("the store takes no more changes") {
		t.Error("nobody was told")
	}
	s.Keep(true)
	if _, _, err := s.Snapshot(); err == nil {
		t.Error("a snapshot of nothing")
	}
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "lags behind") {
		t.Errorf("error %v", err)
	}
	broken.Store(false)
	if s := open(t, o); s.tree.LastZxid() != 0x46 {
		t.Errorf("at %v", s.tree.LastZxid())
	}
}
