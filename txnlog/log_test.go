package txnlog

import (
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"zooid/wire"
)

func TestAppendAndReopen(t *testing.T) {
	fs, g := newFS(t), newLedger()
	l := open(t, options(fs, g))
	if l.First() != 0 || l.Last() != 0 || l.Size() != 0 || len(l.Files()) != 0 {
		t.Fatalf("new log: first %v, last %v, files %v", l.First(), l.Last(), l.Files())
	}
	l.Start()
	want := entries(1, 100, 50)
	l.Append(nil)
	for i := range want {
		l.Append(want[i : i+1])
	}
	must(t, g.wait(100))
	must(t, l.Close())
	must(t, l.Close())
	l.Append(entries(101, 101, 1)) // dropped
	if len(l.Repairs()) != 0 || l.First() != 1 {
		t.Errorf("repairs %v, first %v", l.Repairs(), l.First())
	}

	l = open(t, options(fs, newLedger()))
	if l.Last() != 100 || l.First() != 1 || len(l.Repairs()) != 0 {
		t.Fatalf("reopened: first %v, last %v, repairs %v", l.First(), l.Last(), l.Repairs())
	}
	sameEntries(t, replayed(t, l, 0), want)
	sameEntries(t, replayed(t, l, 60), want[60:])
	sameEntries(t, replayed(t, l, 100), nil)
	sameEntries(t, replayed(t, l, 1000), nil)
}

// Every start of the process begins a new file, with its first record; a start
// without a record leaves nothing behind.
func TestNewFilePerStart(t *testing.T) {
	fs := newFS(t)
	for _, z := range []wire.Zxid{1, 2, 3} {
		g := newLedger()
		l := open(t, options(fs, g))
		l.Start()
		l.Append(entries(z, z, 10))
		must(t, g.wait(z))
		must(t, l.Close())
		must(t, open(t, options(fs, g)).Close())
	}
	l := open(t, options(fs, newLedger()))
	var names []string
	for _, f := range l.Files() {
		names = append(names, f.Name)
	}
	if want := []string{"log.1", "log.2", "log.3"}; !slices.Equal(names, want) {
		t.Fatalf("files %v, want %v", names, want)
	}
	if got := replayed(t, l, 0); len(got) != 3 {
		t.Errorf("%d records, want 3", len(got))
	}
}

func TestRoll(t *testing.T) {
	fs, g := newFS(t), newLedger()
	o := options(fs, g)
	o.RollBytes = 1000
	l := open(t, o)
	l.Start()
	l.Roll() // nothing to close yet
	want := entries(1, 6, 10)
	l.Append(want[:2])
	l.Roll()
	l.Roll()
	l.Append(want[2:5])
	must(t, g.wait(5))
	big := Entry{Zxid: 6, Payload: payload(6, 2000)}
	l.Append([]Entry{big})
	must(t, g.wait(6))
	next := entries(7, 8, 10) // beyond RollBytes
	l.Append(next)
	must(t, g.wait(8))
	want = append(append(want[:5:5], big), next...)

	var first []wire.Zxid
	for _, f := range l.Files() {
		first = append(first, f.First)
		if end := recordsEnd(t, fs, f.Name); f.Size != end {
			t.Errorf("%s: size %d, want %d", f.Name, f.Size, end)
		}
	}
	if !slices.Equal(first, []wire.Zxid{1, 3, 7}) {
		t.Errorf("files begin with %v", first)
	}
	must(t, l.Close())
	sameEntries(t, replayed(t, open(t, options(fs, newLedger())), 0), want)
}

func recordsEnd(t *testing.T, fs vfs.FS, name string) int64 {
	t.Helper()
	tail, err := Scan(fs, fs.PathJoin(dir, name), func(Record) error { return nil })
	must(t, err)
	if tail.Reason != "" || tail.End != tail.Offset {
		t.Errorf("%s: tail %+v", name, tail)
	}
	return tail.Offset
}

func TestPurge(t *testing.T) {
	fs, g := newFS(t), newLedger()
	l := open(t, options(fs, g))
	l.Start()
	for _, z := range []wire.Zxid{1, 4, 7} {
		l.Append(entries(z, z+2, 10))
		l.Roll()
	}
	must(t, g.wait(9))
	for _, c := range []struct {
		before  wire.Zxid
		removed []string
		first   wire.Zxid
	}{
		{0, nil, 1},
		{3, nil, 1}, // 3 is in the first file
		{4, []string{"log.1"}, 4},
		{1 << 40, []string{"log.4"}, 7}, // the newest one stays
		{1 << 40, nil, 7},
	} {
		removed, err := l.Purge(c.before)
		must(t, err)
		if !slices.Equal(removed, c.removed) || l.First() != c.first {
			t.Errorf("purge %v: removed %v, first %v; want %v, %v", c.before, removed, l.First(), c.removed, c.first)
		}
	}
	l.Append(entries(10, 10, 10))
	must(t, g.wait(10))
	must(t, l.Close())
	l = open(t, options(fs, newLedger()))
	if got := replayed(t, l, 6); len(got) != 4 {
		t.Errorf("%d records left after 6, want 4", len(got))
	}
	// What is gone is missed when it is asked for.
	if _, err := tryReplay(l, 5); err == nil {
		t.Error("a replay from before the purged part went well")
	}
}

// While one sync is under way everything that arrives is gathered for the next
// one.
func TestGroupCommit(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	syncs := 0
	fs := errorfs.Wrap(newFS(t), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSyncData {
			if syncs++; syncs == 1 {
				close(entered)
				<-release
			}
		}
		return nil
	}))
	g := newLedger()
	l := open(t, options(fs, g))
	l.Start()
	l.Append(entries(1, 1, 10))
	<-entered
	for z := wire.Zxid(2); z <= 101; z++ {
		l.Append(entries(z, z, 10)) // does not wait
	}
	if d := g.get(); d != 0 {
		t.Errorf("%v reported durable before its sync", d)
	}
	close(release)
	must(t, g.wait(101))
	must(t, l.Close())
	if len(g.syncs) != 2 || g.syncs[1].Records != 100 || g.calls != 2 {
		t.Errorf("syncs %+v, %d calls of Durable; want one for the first record and one for 100", g.syncs, g.calls)
	}
}

// A gathering is bounded, so that recovery knows how far an unfinished write can
// reach.
func TestGatheringIsBounded(t *testing.T) {
	fs, g := newFS(t), newLedger()
	o := options(fs, g)
	o.PreallocBytes = 4 << 20
	l := open(t, o)
	want := entries(1, 50, 100<<10)
	l.Append(want) // before Start: one batch for the writer
	l.Start()
	must(t, g.wait(50))
	must(t, l.Close())
	if len(g.syncs) < 5 {
		t.Errorf("5 MiB in %d syncs", len(g.syncs))
	}
	for _, s := range g.syncs {
		if last := len(want[0].Payload) + recordOverhead; s.Bytes >= groupBytes+last {
			t.Errorf("a gathering of %d bytes", s.Bytes)
		}
	}
	sameEntries(t, replayed(t, open(t, options(fs, newLedger())), 0), want)
}

func TestNoPreallocation(t *testing.T) {
	fs, g := newFS(t), newLedger()
	o := options(fs, g)
	o.PreallocBytes = -1
	l := open(t, o)
	l.Start()
	want := entries(1, 20, 300)
	l.Append(want)
	must(t, l.Close())
	if size, end := int64(len(getFile(t, fs, "log.1"))), recordsEnd(t, fs, "log.1"); size != markOffset(end)+int64(markSize) {
		t.Errorf("%d bytes of file, %d of records", size, end)
	}
	sameEntries(t, replayed(t, open(t, o), 0), want)
}

func TestAppendOutOfOrderPanics(t *testing.T) {
	l := open(t, options(newFS(t), newLedger()))
	l.Append(entries(5, 5, 1))
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	l.Append(entries(5, 5, 1))
}

// Close without Start writes what was appended.
func TestCloseWritesWhatWasAppended(t *testing.T) {
	fs, g := newFS(t), newLedger()
	l := open(t, options(fs, g))
	want := entries(1, 3, 10)
	l.Append(want)
	must(t, l.Close())
	if g.get() != 3 {
		t.Errorf("durable %v, want 3", g.get())
	}
	sameEntries(t, replayed(t, open(t, options(fs, g)), 0), want)
}

// Names that are not exactly those of log files are nobody's business.
func TestForeignFilesAreLeftAlone(t *testing.T) {
	fs, g := newFS(t), newLedger()
	names := []string{"log.1.bak", "log.0x1", "log.", "log.01", "log.A", "snapshot.1", "currentEpoch", "log.ffffffffffffffff"}
	for _, n := range names {
		putFile(t, fs, n, []byte("x"))
	}
	must(t, fs.MkdirAll(dir+"/log.2", 0o777))
	l := open(t, options(fs, g))
	l.Start()
	l.Append(entries(1, 1, 1))
	must(t, l.Close())
	for _, n := range names {
		if string(getFile(t, fs, n)) != "x" {
			t.Errorf("%s was changed", n)
		}
	}
	if l = open(t, options(fs, g)); l.Last() != 1 || len(l.Files()) != 1 {
		t.Errorf("last %v, files %v", l.Last(), l.Files())
	}
}

func TestSteadyAppendDoesNotAllocate(t *testing.T) {
	g := newLedger()
	o := options(vfs.Default, g)
	o.Dir, o.PreallocBytes, o.Observe = t.TempDir(), 1<<20, nil
	l := open(t, o)
	l.Start()
	z := wire.Zxid(0)
	batch := entries(1, 1, 100)
	step := func() {
		z++
		batch[0].Zxid = z // the payload keeps an old zxid: nobody looks here
		l.Append(batch)
		must(t, g.wait(z))
	}
	for range 10 {
		step()
	}
	if n := testing.AllocsPerRun(100, step); n > 0 {
		t.Errorf("%v allocations per append and sync", n)
	}
}

// The sizes are those that ZooKeeper's FilePadding computes.
func TestPaddedSize(t *testing.T) {
	for _, c := range []struct{ pos, size, step, want int64 }{
		{16, 16, 8192, 8208}, // a new file
		{4111, 8208, 8192, 8208},
		{4112, 8208, 8192, 16400}, // within 4096 bytes of the end
		{8208, 8208, 8192, 16400},
		{9000, 8208, 8192, 16384}, // overrun: a multiple of the step
		{16, 16, -1, 16},
	} {
		if got := paddedSize(c.pos, c.size, c.step); got != c.want {
			t.Errorf("paddedSize(%d, %d, %d) = %d, want %d", c.pos, c.size, c.step, got, c.want)
		}
	}
}

// TestStartSyncsNewestFile: records that a killed process had written but not
// synced are read at the next start, and whoever asks is told that they are
// durable. So they must be, though nothing more is written.
func TestStartSyncsNewestFile(t *testing.T) {
	fs := newFS(t)
	f, err := fs.Create(dir+"/log.1", vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = f.Write(fileOf(1, 2, 3))
	must(t, err)
	must(t, f.Close())
	l := open(t, options(fs, newLedger()))
	if l.Last() != 3 {
		t.Fatalf("last %v", l.Last())
	}
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	if l := open(t, options(crashed, newLedger())); l.Last() != 3 {
		t.Errorf("after a power failure the log ends at %v, not at 3", l.Last())
	}
}
