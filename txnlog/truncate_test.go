package txnlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"zooid/wire"
)

// rolledLog is a log of two epochs in five files: 1-3, 4-6, 7-9, e1, e2-e6.
func rolledLog(t testing.TB, o Options, g *ledger) (*Log, []Entry) {
	t.Helper()
	l := open(t, o)
	l.Start()
	all := entries(1, 9, 400)
	all = append(all, entries(wire.MakeZxid(1, 1), wire.MakeZxid(1, 6), 400)...)
	for i, e := range all {
		l.Append([]Entry{e})
		if i == 2 || i == 5 || i == 8 || i == 9 {
			l.Roll()
		}
	}
	must(t, g.wait(all[len(all)-1].Zxid))
	return l, all
}

// upTo is the entries with a zxid of at most z.
func upTo(all []Entry, z wire.Zxid) []Entry {
	n := 0
	for n < len(all) && all[n].Zxid <= z {
		n++
	}
	return all[:n]
}

// TestTruncate keeps exactly the records up to a zxid, and goes on from there.
func TestTruncate(t *testing.T) {
	e := func(counter uint32) wire.Zxid { return wire.MakeZxid(1, counter) }
	for _, c := range []struct {
		name  string
		z     wire.Zxid
		files string // that are left
	}{
		{"the end", e(6), "log.1 log.4 log.7 log.100000001 log.100000002"},
		{"beyond the end", e(60), "log.1 log.4 log.7 log.100000001 log.100000002"},
		{"inside the newest file", e(4), "log.1 log.4 log.7 log.100000001 log.100000002"},
		{"the first record of the newest file", e(2), "log.1 log.4 log.7 log.100000001 log.100000002"},
		{"the end of an older file", e(1), "log.1 log.4 log.7 log.100000001"},
		{"between the epochs", wire.MakeZxid(1, 0), "log.1 log.4 log.7"},
		{"no record, in the first epoch", 77, "log.1 log.4 log.7"},
		{"inside an older file", 5, "log.1 log.4"},
		{"the first record", 1, "log.1"},
		{"everything", 0, ""},
	} {
		for _, running := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, running=%v", c.name, running), func(t *testing.T) {
				fs, g := newFS(t), newLedger()
				l, all := rolledLog(t, options(fs, g), g)
				if !running {
					must(t, l.Close())
					l = open(t, options(fs, g))
				}
				want := upTo(all, c.z)
				last, err := l.Truncate(c.z)
				must(t, err)
				if len(want) == 0 && last != 0 || len(want) > 0 && last != want[len(want)-1].Zxid || l.Last() != last {
					t.Errorf("last is %v, and %v", last, l.Last())
				}
				var names []string
				for _, f := range l.Files() {
					names = append(names, f.Name)
				}
				if got := strings.Join(names, " "); got != c.files {
					t.Errorf("files %s, want %s", got, c.files)
				}
				sameEntries(t, replayed(t, l, 0), want)
				if !running {
					l.Start()
				}
				more := entries(wire.MakeZxid(2, 1), wire.MakeZxid(2, 3), 500)
				l.Append(more)
				must(t, g.wait(more[2].Zxid))
				must(t, l.Close())
				l = open(t, options(fs, newLedger()))
				if len(l.Repairs()) > 0 {
					t.Errorf("repairs: %v", l.Repairs())
				}
				sameEntries(t, replayed(t, l, 0), append(want[:len(want):len(want)], more...))
			})
		}
	}
}

// A truncated file reads as one that was never longer: padding and a mark behind
// the last record, for ZooKeeper as well as for us.
func TestTruncateLeavesPadding(t *testing.T) {
	fs, g := newFS(t), newLedger()
	l := open(t, options(fs, g))
	l.Start()
	l.Append(entries(1, 20, 300))
	must(t, g.wait(20))
	_, err := l.Truncate(7)
	must(t, err)
	must(t, l.Close())
	b := getFile(t, fs, "log.1")
	var end int64
	tail, err := Scan(fs, dir+"/log.1", func(r Record) error { end = r.End(); return nil })
	must(t, err)
	if tail.Reason != "" || tail.Offset != end || !isZero(withoutMark(b)[end:]) || end == int64(len(b)) {
		t.Errorf("tail %+v behind %d of %d bytes", tail, end, len(b))
	}
}

// TestTruncateCrash crashes before every operation on the disk. The log has its
// old end or its new one, and goes on from there. ZooKeeper, which does not know
// of an interrupted truncation, may find something in between, but no hole.
func TestTruncateCrash(t *testing.T) {
	for _, z := range []wire.Zxid{wire.MakeZxid(1, 3), wire.MakeZxid(1, 0), 8, 2, 0} {
		r := rand.New(rand.NewPCG(uint64(z), 1))
		mem, g := newFS(t), newLedger()
		l, all := rolledLog(t, options(mem, g), g)
		must(t, l.Close())
		var points []crashPoint
		record := func(p crashPoint) { points = append(points, p) }
		o := options(crashing(mem, r, g.get, record), newLedger())
		l = open(t, o)
		l.Start()
		opened := len(points)
		_, err := l.Truncate(z)
		must(t, err)
		record(crashPoint{fs: mem.CrashClone(vfs.CrashCloneCfg{})})
		old, cut := 0, 0
		for _, p := range points[opened:] {
			if p.percent%100 == 0 {
				checkJavaEnd(t, p, z, all)
			}
			// Crash again while Open finishes it.
			var again []crashPoint
			l, err := Open(options(crashing(p.fs, r, g.get, func(q crashPoint) { again = append(again, q) }), newLedger()))
			must(t, err)
			must(t, l.Close())
			if checkTruncated(t, p.fs, z, all) {
				cut++
				for _, q := range again {
					if !checkTruncated(t, q.fs, z, all) {
						t.Fatalf("z %v: the old end is back after a crash before %+v", z, q.before)
					}
				}
			} else {
				old++
			}
		}
		if old == 0 || cut < 2 {
			t.Errorf("z %v: %d crashes left the old end, %d the new one", z, old, cut)
		}
	}
}

// checkTruncated opens what a crash in Truncate has left, tells whether it took
// effect, and appends.
func checkTruncated(t *testing.T, fs vfs.FS, z wire.Zxid, all []Entry) (cut bool) {
	t.Helper()
	g := newLedger()
	l, err := Open(options(fs, g))
	must(t, err)
	got := replayed(t, l, 0)
	want := all
	if cut = len(got) < len(all); cut {
		want = upTo(all, z)
	}
	sameEntries(t, got, want)
	l.Start()
	next := entries(wire.MakeZxid(5, 1), wire.MakeZxid(5, 1), 10)
	l.Append(next)
	must(t, l.Close())
	l = open(t, options(fs, newLedger()))
	sameEntries(t, replayed(t, l, 0), append(want[:len(want):len(want)], next...))
	_, err = l.Truncate(got0(got))
	must(t, err)
	must(t, l.Close())
	return cut
}

// got0 is the last zxid of got.
func got0(got []Entry) wire.Zxid {
	if len(got) == 0 {
		return 0
	}
	return got[len(got)-1].Zxid
}

// checkJavaEnd reads the log as somebody would who does not look at our files.
func checkJavaEnd(t *testing.T, p crashPoint, z wire.Zxid, all []Entry) {
	t.Helper()
	fs := p.fs.CrashClone(vfs.CrashCloneCfg{})
	if err := fs.Remove(dir + "/" + cutName); err != nil && !strings.Contains(err.Error(), "not exist") {
		t.Fatal(err)
	}
	l, err := Open(options(fs, newLedger()))
	must(t, err)
	got := replayed(t, l, 0)
	if len(got) < len(upTo(all, z)) {
		t.Fatalf("z %v, crash before %+v: the log ends at %v", z, p.before, got0(got))
	}
	sameEntries(t, got, all[:len(got)])
	must(t, l.Close())
}

// TestReset empties the log; a crash leaves a log that lies before the new base.
func TestReset(t *testing.T) {
	mem, g := newFS(t), newLedger()
	var points []crashPoint
	o := options(crashing(mem, rand.New(rand.NewPCG(1, 1)), g.get, func(p crashPoint) { points = append(points, p) }), g)
	l, _ := rolledLog(t, o, g)
	points = nil
	base := wire.MakeZxid(3, 0)
	must(t, l.Reset(base))
	if z, ok := l.Base(); z != base || !ok || l.Last() != 0 || len(l.Files()) != 0 {
		t.Errorf("base %v %v, last %v, files %v", z, ok, l.Last(), l.Files())
	}
	must(t, l.Await(base))
	more := entries(base+1, base+4, 10)
	l.Append(more)
	must(t, g.wait(base+4))
	must(t, l.Close())
	l = open(t, options(mem, newLedger()))
	sameEntries(t, replayed(t, l, base), more)
	p, err := l.Read(base, 1<<20)
	must(t, err)
	sameEntries(t, p.Entries, more)
	if _, err := l.Read(base-1, 1<<20); !errors.Is(err, ErrTooOld) {
		t.Errorf("before the base: %v", err)
	}
	for _, p := range points {
		l, err := Open(options(p.fs, newLedger()))
		must(t, err)
		if l.Last() > base && l.Last() < base+1 {
			t.Errorf("crash before %+v: last %v", p.before, l.Last())
		}
		must(t, l.Reset(base)) // as who resets will do again
		must(t, l.Close())
	}
}

// TestTruncateFails: a disk that fails in between ends the log, and the next
// Open finishes what was begun.
func TestTruncateFails(t *testing.T) {
	for _, kind := range []errorfs.OpKind{errorfs.OpCreate, errorfs.OpRename, errorfs.OpRemove, errorfs.OpFileWriteAt, errorfs.OpFileSync, errorfs.OpOpenDir, errorfs.OpFileReadAt} {
		mem, g := newFS(t), newLedger()
		fs, fault := faulty(mem)
		l, all := rolledLog(t, options(fs, g), g)
		fault.Store(failing(syscall.EIO, "version-2", kind))
		if _, err := l.Truncate(5); !errors.Is(err, syscall.EIO) {
			t.Errorf("kind %v: %v", kind, err)
		}
		fault.Store(nil)
		if _, err := l.Truncate(5); err == nil {
			t.Errorf("kind %v: truncated after a failure", kind)
		}
		if err := l.Close(); !errors.Is(err, syscall.EIO) || g.errors != 1 {
			t.Errorf("kind %v: Close %v, %d errors reported", kind, err, g.errors)
		}
		checkTruncated(t, mem, 5, all)
	}
}

// Damage before the cut must not be cut away with what lies behind it.
func TestTruncateDamaged(t *testing.T) {
	fs, g := newFS(t), newLedger()
	l, _ := rolledLog(t, options(fs, g), g)
	must(t, l.Close())
	b := getFile(t, fs, "log.4")
	b[600] ^= 1
	putFile(t, fs, "log.4", b)
	before := map[string][]byte{"log.4": b}
	l = open(t, options(fs, newLedger()))
	_, err := l.Truncate(6)
	checkDamage(t, fs, before, err, 487)
}

// A file that should say how the log is truncated and does not is no reason to
// forget that it was.
func TestTruncateNoteDamaged(t *testing.T) {
	for _, text := range []string{"", "x", "1", "5 log.1", "5 log.x 7", "5 log.1 -7", "zz log.1 7", "5 log.1 7 8"} {
		fs := newFS(t)
		putFile(t, fs, "log.1", fileOf(1, 2, 3))
		putFile(t, fs, cutName, []byte(text))
		if _, err := Open(options(fs, newLedger())); err == nil || !strings.Contains(err.Error(), dir+"/"+cutName) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestCutText(t *testing.T) {
	for _, c := range []cut{{after: 0}, {after: 0x100000005}, {after: 7, file: "log.5", offset: 4711}} {
		got, err := parseCut(c.String())
		if err != nil || *got != c {
			t.Errorf("%q: %+v, %v", c.String(), got, err)
		}
	}
}

// Await returns when what was appended is durable, or never will be.
func TestAwait(t *testing.T) {
	mem, g := newFS(t), newLedger()
	fs, fault := faulty(mem)
	l := open(t, options(fs, g))
	must(t, l.Await(5)) // nothing was appended
	done := make(chan error)
	l.Append(entries(1, 3, 10))
	go func() { done <- l.Await(3) }()
	l.Start()
	must(t, <-done)
	if g.get() != 3 && l.mu.durable != 3 {
		t.Errorf("durable is %v", g.get())
	}
	fault.Store(failing(syscall.EIO, "log", errorfs.OpFileSyncData))
	l.Append(entries(4, 4, 10))
	if err := l.Await(4); !errors.Is(err, syscall.EIO) {
		t.Errorf("after a failed sync: %v", err)
	}
	must(t, l.Await(3))
}

// TestTruncateForgetsCursors: who read up to a record that was then cut off is not
// taken for being at the end of what is left, or a learner with that record would
// be sent what follows instead of being told to truncate.
func TestTruncateForgetsCursors(t *testing.T) {
	fs, g := newFS(t), newLedger()
	l := open(t, options(fs, g))
	l.Start()
	must(t, l.SetBase(0))
	l.Append(entries(1, 10, 100))
	must(t, g.wait(10))
	if part, err := l.Read(2, 1<<20); err != nil || len(part.Entries) != 8 {
		t.Fatalf("%d entries, %v", len(part.Entries), err)
	}
	_, err := l.Truncate(5)
	must(t, err)
	next := wire.MakeZxid(2, 1)
	l.Append(entries(next, next, 100))
	must(t, g.wait(next))
	part, err := l.Read(10, 1<<20)
	if err != nil || part.Prev != 5 || len(part.Entries) != 1 || part.Entries[0].Zxid != next {
		t.Errorf("behind a record that was cut off: from %v, %d entries, %v", part.Prev, len(part.Entries), err)
	}
}
