package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"zooid/wire"
)

// smallDisk makes a file system in memory one of so many bytes: what its files
// take counts, and so does ballast.
type smallDisk struct {
	vfs.FS
	mu      sync.Mutex
	total   int64
	ballast int64
}

func (d *smallDisk) setBallast(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ballast = n
}

func (d *smallDisk) Unwrap() vfs.FS { return d.FS }

// GetDiskUsage adds up the files.
func (d *smallDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	used := d.ballast
	for _, dir := range []string{"/data/version-2", "/data/zooid", "/data/zooid.new"} {
		names, _ := d.FS.List(dir)
		for _, name := range names {
			if st, err := d.FS.Stat(d.FS.PathJoin(dir, name)); err == nil {
				used += st.Size()
			}
		}
	}
	return vfs.DiskUsage{TotalBytes: uint64(d.total), AvailBytes: uint64(max(d.total-used, 0)), UsedBytes: uint64(used)}, nil
}

func TestLevelsOfSpace(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name        string
		total, free int64
		before      SpaceLevel
		need        int64
		want        SpaceLevel
	}{
		{"half empty", 320 * mib, 160 * mib, SpaceEnough, 0, SpaceEnough},
		{"two floors", 320 * mib, 40 * mib, SpaceEnough, 0, SpaceEnough},
		{"less than two floors", 320 * mib, 40*mib - 1, SpaceEnough, 0, SpaceLow},
		{"no room for two more snapshots", 320 * mib, 100 * mib, SpaceEnough, 40 * mib, SpaceLow},
		{"below the floor", 320 * mib, 20*mib - 1, SpaceEnough, 0, SpaceShort},
		{"at the floor again", 320 * mib, 20 * mib, SpaceShort, 0, SpaceShort},
		{"above the floor again", 320 * mib, 25 * mib, SpaceShort, 0, SpaceLow},
		{"below the reserve", 320 * mib, 5*mib - 1, SpaceEnough, 0, SpaceNone},
		{"at the reserve again", 320 * mib, 5 * mib, SpaceNone, 0, SpaceNone},
		{"above the reserve again", 320 * mib, 10 * mib, SpaceNone, 0, SpaceShort},
		{"a large volume keeps no more than the floor's bound", 1 << 40, 64 * mib, SpaceEnough, 0, SpaceLow},
		{"a large volume below it", 1 << 40, 64*mib - 1, SpaceEnough, 0, SpaceShort},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := Space{Total: c.total, Free: c.free, Floor: floorOf(c.total)}
			if have := levelOf(v, c.before, c.need); have != c.want {
				t.Errorf("level %d, want %d", have, c.want)
			}
		})
	}
}

// TestSpaceTellsOfInodes sees that an operator is not told of a want of bytes where
// most of the volume is free.
func TestSpaceTellsOfInodes(t *testing.T) {
	v := Space{Level: SpaceNone, Dir: "/data", Free: 199 << 20, Total: 200 << 20, Floor: 12 << 20}
	if have := v.String(); !strings.Contains(have, "inodes (df -i) or a quota") || strings.Contains(have, "to stay free") {
		t.Error(have)
	}
	v.Free = 1 << 20
	if have := v.String(); !strings.Contains(have, "12 MiB are to stay free") || strings.Contains(have, "inodes") {
		t.Error(have)
	}
}

// TestOpenOnFullDisk is refused with the system's word for it, the directory and
// the numbers, changes nothing, and works when there is room.
func TestOpenOnFullDisk(t *testing.T) {
	o := memOptions()
	disk := &smallDisk{FS: o.FS, total: 64 << 20, ballast: 64<<20 - 900<<10}
	o.FS = disk
	_, err := Open(o)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(fmt.Sprint(err), "900 KiB free of 64 MiB, and a start needs 1024 KiB") {
		t.Fatalf("error %v", err)
	}
	if exists(disk, "/data") {
		t.Error("it has made the directory")
	}
	disk.setBallast(0)
	s := open(t, o)
	if level := s.Space().Level; level != SpaceEnough {
		t.Errorf("level %d", level)
	}
}

// TestStartRemovesWhatFillsTheDisk starts on a disk that is full of what a kill in
// the middle of a snapshot or of making the copy has left, and touches nothing else.
func TestStartRemovesWhatFillsTheDisk(t *testing.T) {
	for _, left := range []string{"/data/version-2/snapshot.7.tmp", "/data/zooid.new/000001.sst"} {
		t.Run(left, func(t *testing.T) {
			o := memOptions()
			disk := &smallDisk{FS: o.FS, total: 64 << 20}
			o.FS = disk
			l := startLoop(t, o)
			l.propose(1, wire.OpCreateSession, nil)
			for i := range 50 {
				l.create(fmt.Sprintf("/n%d", i), "value", 0)
			}
			l.apply()
			mustClose(t, l.s)
			must(t, disk.FS.MkdirAll(disk.FS.PathDir(left), 0o755))
			f, err := disk.FS.Create(left, vfs.WriteCategoryUnspecified)
			must(t, err)
			_, err = f.Write(make([]byte, 2<<20))
			must(t, err)
			must(t, f.Close())
			disk.setBallast(62<<20 + 512<<10)
			s := open(t, o)
			if exists(disk, left) {
				t.Error("it is still there")
			}
			if n := s.Tree().NodeCount(); n < 50 {
				t.Errorf("%d znodes", n)
			}
			must(t, s.Close())
			disk.setBallast(64 << 20)
			names := filesOf(disk)
			if _, err := Open(o); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("a full disk without leftovers: %v", err)
			}
			if after := filesOf(disk); !slices.Equal(after, names) {
				t.Errorf("before %v, after %v", names, after)
			}
		})
	}
}

// filesOf are the names of the files in a store's directories.
func filesOf(fs vfs.FS) (names []string) {
	for _, dir := range []string{"/data/version-2", "/data/zooid"} {
		in, _ := fs.List(dir)
		names = append(names, in...)
	}
	slices.Sort(names)
	return names
}

// TestWaitingForRoomOnASmallVolume ends also where there can never be as much free
// as a large volume would be asked for.
func TestWaitingForRoomOnASmallVolume(t *testing.T) {
	for _, c := range []struct {
		free, total int64
		want        bool
	}{{1 << 20, 16 << 20, true}, {100 << 10, 16 << 20, false}, {32 << 20, 1 << 40, true}, {31 << 20, 1 << 40, false}} {
		if enough(c.free, c.total) != c.want {
			t.Errorf("%d free of %d: %v", c.free, c.total, !c.want)
		}
	}
}

// TestSmallTreeNeverFillsASmallDisk writes many times its size to a volume, with
// the purges that the server does when the disk is low. The log may never take
// more than a part of it.
func TestSmallTreeNeverFillsASmallDisk(t *testing.T) {
	o := memOptions()
	disk := &smallDisk{FS: o.FS, total: 4 << 20}
	o.FS, o.PreallocBytes, o.SnapTxns, o.FlushTxns = disk, 0, 100_000, 100_000
	l := startLoop(t, o)
	rng := rand.New(rand.NewPCG(1, 1))
	l.propose(1, wire.OpCreateSession, nil)
	for i := range 100 {
		l.create(fmt.Sprintf("/n%d", i), "", 0)
	}
	data := make([]byte, 1000)
	purges := 0
	var most int64
	for i := range 300 {
		for range 50 {
			l.propose(1, wire.OpSetData, &wire.SetDataRequest{Path: fmt.Sprintf("/n%d", rng.IntN(100)), Data: data, Version: -1})
		}
		l.apply()
		l.s.Keep(l.s.Wanted())
		if i%10 == 0 {
			l.s.settle()
		}
		most = max(most, l.s.txns.Size())
		switch sp := l.s.Space(); {
		case sp.Level >= SpaceShort:
			t.Fatalf("round %d: %v", i, sp)
		case sp.Level == SpaceLow || l.s.PurgeableBytes() > 2*l.s.o.LogBudget:
			purges++
			_, err := l.s.Purge()
			must(t, err)
			checkWayBack(t, l.s)
		}
	}
	if written := l.s.logged.Load(); written < 3*disk.total {
		t.Fatalf("only %d bytes were written", written)
	}
	if purges == 0 || most > disk.total/2 {
		t.Errorf("%d purges, the log took up to %d bytes of %d", purges, most, disk.total)
	}
	if l.s.o.LogBudget != disk.total/logShare || l.s.o.PreallocBytes != disk.total/stepShare {
		t.Errorf("a budget of %d bytes, steps of %d", l.s.o.LogBudget, l.s.o.PreallocBytes)
	}
}

// TestPurgeMakesRoomForTheSnapshot: where there is no room for a new snapshot the
// old files go first, and then there is.
func TestPurgeMakesRoomForTheSnapshot(t *testing.T) {
	o := memOptions()
	disk := &smallDisk{FS: o.FS, total: 16 << 20}
	o.FS, o.RollBytes, o.FlushTxns = disk, 10_000, 50
	l := startLoop(t, o)
	rng := rand.New(rand.NewPCG(2, 1))
	more := func() {
		for range 10 {
			l.some(rng, 300)
			l.apply()
			l.s.settle()
		}
	}
	more()
	_, kept, err := l.s.Snapshot()
	must(t, err)
	more()
	free := l.s.Space().Free
	disk.setBallast(free - floorOf(disk.total)/reserveShare - l.s.snapshotEstimate()/2)
	if _, _, err := l.s.Snapshot(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("a snapshot without room for it: %v", err)
	}
	p, err := l.s.Purge()
	must(t, err)
	if p.Snapshot == "" || !slices.Contains(p.Removed, snapshotName(kept)) {
		t.Errorf("%+v", p)
	}
	checkWayBack(t, l.s)
	snaps, err := l.s.goodSnapshots()
	must(t, err)
	if len(snaps) != 1 || snaps[0].zxid != l.s.tree.LastZxid() {
		t.Errorf("left %+v", snaps)
	}
}

// TestSpaceChanged tells of the change as soon as much has been written, without
// anybody asking.
func TestSpaceChanged(t *testing.T) {
	o := memOptions()
	disk := &smallDisk{FS: o.FS, total: 4 << 20}
	o.FS = disk
	var mu sync.Mutex
	var levels []SpaceLevel
	o.SpaceChanged = func(from SpaceLevel, now Space) {
		mu.Lock()
		defer mu.Unlock()
		levels = append(levels, from, now.Level)
	}
	l := startLoop(t, o)
	disk.setBallast(l.s.Space().Free - floorOf(disk.total) - 1000)
	rng := rand.New(rand.NewPCG(2, 1))
	for range 18 {
		l.some(rng, 100)
		l.apply()
	}
	disk.setBallast(0)
	l.s.Space()
	mu.Lock()
	defer mu.Unlock()
	if want := []SpaceLevel{SpaceEnough, SpaceShort, SpaceShort, SpaceEnough}; !slices.Equal(levels, want) {
		t.Errorf("levels %v, want %v", levels, want)
	}
}
