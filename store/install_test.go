package store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"zooid/wire"
	"zooid/znode"
)

// TestInstallTwice takes over one state after the other, newer and older ones,
// and goes on with each: logs, keeps, writes snapshots, purges, restarts.
func TestInstallTwice(t *testing.T) {
	o := memOptions()
	o.FlushTxns, o.LogBudget, o.RollBytes = 50, 3000, 2000
	l := startLoop(t, o)
	rng := rand.New(rand.NewPCG(1, 1))
	l.some(rng, 300)
	l.apply()
	for i, label := range []wire.Zxid{wire.MakeZxid(2, 1), wire.MakeZxid(2, 500), 400, wire.MakeZxid(5, 0)} {
		want, stream := donor(t, uint64(i), label)
		l.install(stream, label)
		if z, ok := l.s.txns.Base(); z != label || !ok || len(l.s.txns.Files()) > 0 {
			t.Errorf("base %v, files %v", z, l.s.txns.Files())
		}
		if have := listDir(t, o.FS, "/data/version-2", "snapshot."); fmt.Sprint(have) != fmt.Sprintf("[%s]", snapshotName(label)) {
			t.Errorf("snapshots %v", have)
		}
		compare(t, want, contentOf(t, l.s))
		for range 10 {
			l.some(rng, 20)
			l.apply()
			l.s.Keep(true)
			_, err := l.s.Purge()
			must(t, err)
		}
		want = contentOf(t, l.s)
		checkWayBack(t, l.s)
		mustClose(t, l.s)
		if exists(o.FS, "/data/"+installName) {
			t.Error("the note is still there")
		}
		s := open(t, o)
		compare(t, want, contentOf(t, s))
		mustClose(t, s)
		if i%2 == 0 {
			must(t, o.FS.RemoveAll("/data/"+pebbleDir))
		}
		l = startLoop(t, o)
		compare(t, want, contentOf(t, l.s))
	}
}

// oldMember is a member before it takes over a snapshot: its store behind its
// log, snapshots of several ages, epoch files of epoch 1.
type oldMember struct {
	fs        *vfs.MemFS
	txns      []*wire.Txn // all that is in its log
	committed wire.Zxid   // of its store
}

func newOldMember(t *testing.T) *oldMember {
	t.Helper()
	m := &oldMember{fs: vfs.NewCrashableMem()}
	o := Options{DataDir: "/data", FS: m.fs, PreallocBytes: -1, RollBytes: 2000, FlushTxns: 20}
	l := startLoop(t, o)
	rng := rand.New(rand.NewPCG(5, 5))
	for range 3 {
		l.some(rng, 20)
		l.apply()
		l.s.settle()
		_, _, err := l.s.Snapshot()
		must(t, err)
	}
	m.committed = l.s.tree.LastZxid()
	l.some(rng, 20)
	m.txns = append(l.txns, l.flight...)
	must(t, l.s.txns.Await(l.next-1))
	must(t, l.s.SaveEpochs(0, 0))
	must(t, l.s.SaveEpochs(3, 0))
	mustClose(t, l.s)
	return m
}

// TestInstallCrash crashes before every operation on the disk, while a snapshot
// is received, installed, kept, and followed by txns. What comes back is the old
// state with its log, or the new one with what was logged behind it; the same
// holds for ZooKeeper, though it may miss what the old log had beyond the
// snapshot.
func TestInstallCrash(t *testing.T) {
	for _, c := range []struct {
		name  string
		label wire.Zxid
	}{
		{"of the leader's epoch", wire.MakeZxid(3, 7)},
		{"of an epoch before", wire.MakeZxid(2, 9)},
		{"a little ahead", 300},
		{"behind the log", 75},
		{"behind the store", 40},
	} {
		t.Run(c.name, func(t *testing.T) { installCrash(t, c.label) })
	}
}

func installCrash(t *testing.T, label wire.Zxid) {
	old := newOldMember(t)
	want, stream := donor(t, 3, label)
	type point struct {
		fs        *vfs.MemFS
		op        string
		installed bool
		percent   int
	}
	var mu sync.Mutex
	var points []point
	var installed atomic.Bool
	rng := rand.New(rand.NewPCG(uint64(label), 1))
	o := Options{DataDir: "/data", PreallocBytes: -1, DeferTail: true}
	record := func(op string) {
		mu.Lock()
		defer mu.Unlock()
		percent := 50 * (len(points) % 3)
		points = append(points, point{old.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}), op, installed.Load(), percent})
	}
	o.FS = errorfs.Wrap(lockFS{old.fs, &mu}, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			record(fmt.Sprint(op.Kind, " ", op.Path))
		}
		return nil
	}))
	l := startLoop(t, o)
	r, err := l.s.Receive(bytes.NewReader(stream), label, 3)
	must(t, err)
	must(t, r.Install())
	installed.Store(true)
	l.view = znode.NewView(l.s.tree)
	l.next = label + 1
	for range 3 {
		l.create(fmt.Sprintf("/after-%d", l.next), "", 0)
		l.apply()
		l.s.settle()
	}
	after := contentOf(t, l.s)
	mustClose(t, l.s)
	record("the end")
	oldOnes, newOnes := 0, 0
	step := 1
	if testing.Short() {
		step = 7
	}
	for i := 0; i < len(points); i += step {
		p := points[i]
		where := fmt.Sprintf("crash %d at %d%% before %s", i, p.percent, p.op)
		java := p.fs.CrashClone(vfs.CrashCloneCfg{})
		o.FS = p.fs
		if checkInstalled(t, where, o, old, want, after, label) {
			newOnes++
		} else if oldOnes++; p.installed {
			t.Errorf("%s: the old state is back", where)
		}
		if p.percent != 50 {
			checkForJava(t, where, java, old, want, label)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	if oldOnes == 0 || newOnes == 0 {
		t.Errorf("%d crashes left the old state, %d the new one", oldOnes, newOnes)
	}
	t.Logf("%d crashes, %d before and %d after", len(points), oldOnes, newOnes)
}

// checkInstalled opens what a crash has left and tells whether it is the new
// state. want is that at label, after the one at the end.
func checkInstalled(t *testing.T, where string, o Options, old *oldMember, want, after *content, label wire.Zxid) (isNew bool) {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	defer func() { must(t, s.Close()) }()
	if left := listDir(t, o.FS, "/data/version-2", receivedPrefix); len(left) > 0 || exists(o.FS, "/data/"+installName) {
		t.Errorf("%s: left behind: %v", where, left)
	}
	base := s.tree.LastZxid()
	tail, err := s.Tail()
	must(t, err)
	_, current, err := s.Epochs()
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	must(t, s.ReplayTail(s.txns.Last()))
	have := contentOf(t, s)
	isNew = have.Nodes["/donor-3"].Stat.Czxid != 0
	last := old.txns[len(old.txns)-1].Zxid
	switch {
	case !isNew:
		compare(t, model(t, old.txns, last), have)
		if len(tail) == 0 || tail[len(tail)-1].Zxid != last || base < old.committed {
			t.Errorf("%s: the old state with a tail of %d records behind %v", where, len(tail), base)
		}
	case have.Zxid == label:
		compare(t, want, have)
	case have.Zxid == after.Zxid:
		compare(t, after, have)
	}
	if isNew {
		if z, ok := s.txns.Base(); z != label || !ok {
			t.Errorf("%s: the log begins at %v", where, z)
		}
		for _, e := range tail {
			if e.Zxid <= label {
				t.Errorf("%s: the tail has %v", where, e.Zxid)
			}
		}
		if _, err := s.ReadLog(label-1, 1<<20); err == nil {
			t.Errorf("%s: the log is read from before the snapshot", where)
		}
		part, err := s.ReadLog(label, 1<<20)
		if err != nil || part.Prev != label || len(part.Entries) > 0 && part.Entries[0].Zxid != label+1 {
			t.Errorf("%s: the log behind the snapshot: %+v, %v", where, part, err)
		}
		if current < int64(label.Epoch()) {
			t.Errorf("%s: current epoch %d", where, current)
		}
	}
	if t.Failed() {
		t.Fatalf("%s: at %v, new: %v", where, have.Zxid, isNew)
	}
	return isNew
}

// checkForJava starts from the files that ZooKeeper looks at.
func checkForJava(t *testing.T, where string, fs *vfs.MemFS, old *oldMember, want *content, label wire.Zxid) {
	t.Helper()
	must(t, fs.RemoveAll("/data/"+pebbleDir))
	must(t, removeIfThere(fs, "/data/"+installName))
	for _, name := range listDir(t, fs, "/data/version-2", "") {
		if !strings.HasPrefix(name, "log.") && !strings.HasPrefix(name, "snapshot.") && !strings.HasSuffix(name, "Epoch") && name != "currentEpoch.tmp" {
			must(t, fs.Remove("/data/version-2/"+name))
		}
	}
	s, err := Open(Options{DataDir: "/data", FS: fs, PreallocBytes: -1})
	if err != nil {
		t.Fatalf("%s: for ZooKeeper: %v", where, err)
	}
	defer func() { must(t, s.Close()) }()
	have := contentOf(t, s)
	switch _, isNew := have.Nodes["/donor-3"]; {
	case !isNew:
		last := old.txns[len(old.txns)-1].Zxid
		if have.Zxid < min(last, label) {
			t.Errorf("%s: for ZooKeeper at %v, the snapshot is of %v", where, have.Zxid, label)
		}
		compare(t, model(t, old.txns, have.Zxid), have)
	case have.Zxid == label:
		compare(t, want, have)
	}
	if _, _, err := s.Epochs(); err != nil {
		t.Errorf("%s: for ZooKeeper: %v", where, err)
	}
}

// TestInstallFails: after a disk error in the middle the store is closed, and the
// next Open has the one state or the other.
func TestInstallFails(t *testing.T) {
	label := wire.MakeZxid(3, 7)
	want, stream := donor(t, 3, label)
	for n := 0; ; n++ {
		old := newOldMember(t)
		var left atomic.Int64
		left.Store(-1)
		o := Options{DataDir: "/data", PreallocBytes: -1, DeferTail: true}
		o.FS = errorfs.Wrap(old.fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if !strings.HasPrefix(op.Path, "/data/zooid/") && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && left.Load() >= 0 && left.Add(-1) < 0 {
				return syscall.EIO
			}
			return nil
		}))
		s, err := Open(o)
		must(t, err)
		s.txns.Start()
		r, err := s.Receive(bytes.NewReader(stream), label, 3)
		must(t, err)
		left.Store(int64(n))
		err = r.Install()
		left.Store(-1)
		_ = s.Close() // says so again
		if err == nil {
			if n < 10 {
				t.Errorf("only %d writes", n)
			}
			break
		}
		o.FS = old.fs
		checkInstalled(t, fmt.Sprintf("write %d fails", n), o, old, want, want, label)
	}
}

// TestInstallAmongOthers is for the race detector: streams, snapshots, purges and
// readers of the log meet one installation after the other.
func TestInstallAmongOthers(t *testing.T) {
	o := memOptions()
	o.FlushTxns, o.LogBudget, o.RollBytes = 50, 3000, 3000
	l := startLoop(t, o)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, work := range []func() error{
		func() error { _, _, err := l.s.Snapshot(); return err },
		func() error { _, err := l.s.Purge(); return err },
		func() error {
			st, err := l.s.Stream(ctx, 0)
			if err == nil {
				_, err = st.WriteTo(io.Discard)
				must(t, st.Close())
			}
			return err
		},
		func() error { _, err := l.s.ReadLog(l.s.lastZxid()-20, 5000); l.s.FlushedZxid(); return err },
	} {
		wg.Go(func() {
			for ctx.Err() == nil {
				_ = work() // may well fail, as the tree is replaced
			}
		})
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 12 {
		label := wire.MakeZxid(uint32(i+2), 9)
		want, stream := donor(t, uint64(i), label)
		for range rng.IntN(8) {
			l.some(rng, rng.IntN(40))
			l.apply()
			l.s.Keep(rng.IntN(2) == 0)
		}
		l.install(stream, label)
		if i%2 == 0 {
			compare(t, want, contentOf(t, l.s))
			checkWayBack(t, l.s)
		}
	}
	l.s.settle() // whoever waits for the copy goes on
	cancel()
	wg.Wait()
	want := contentOf(t, l.s)
	mustClose(t, l.s)
	compare(t, want, contentOf(t, open(t, o)))
}

// TestInstallOrder: a received snapshot has its name on disk before anything goes
// on from it, and before the epoch that it brings is current: else a crash could
// leave a current epoch without its history, or neither state whole.
func TestInstallOrder(t *testing.T) {
	m := newOldMember(t)
	label := wire.MakeZxid(3, 7)
	_, stream := donor(t, 1, label)
	var ops []string
	fs := errorfs.Wrap(m.fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		name := op.Path[strings.LastIndexByte(op.Path, '/')+1:]
		switch {
		case op.Kind == errorfs.OpRename && strings.HasPrefix(name, receivedPrefix):
			ops = append(ops, "snapshot gets its name")
		case op.Kind == errorfs.OpRename && strings.HasPrefix(name, currentName) && !strings.HasPrefix(name, currentName+tmpSuffix):
			ops = append(ops, "epoch becomes current")
		case op.Kind == errorfs.OpRemove && strings.HasPrefix(name, "snapshot."):
			ops = append(ops, "another snapshot goes")
		case op.Kind == errorfs.OpFileSync && name == versionDir:
			ops = append(ops, "sync")
		}
		return nil
	}))
	s := asMember(t, Options{DataDir: "/data", FS: fs, PreallocBytes: -1})
	_, _, err := s.Epochs()
	must(t, err)
	s.txns.Start()
	r, err := s.Receive(bytes.NewReader(stream), label, 3)
	must(t, err)
	ops = nil
	must(t, r.Install())
	named := slices.Index(ops, "snapshot gets its name")
	if named < 0 || named+1 >= len(ops) || ops[named+1] != "sync" {
		t.Errorf("the name of the snapshot is not made durable at once: %q", ops)
	}
	for _, after := range []string{"epoch becomes current", "another snapshot goes"} {
		if i := slices.Index(ops, after); i < 0 || i < named+2 {
			t.Errorf("%q comes before the snapshot's name is durable: %q", after, ops)
		}
	}
}
