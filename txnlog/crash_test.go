package txnlog

import (
	"errors"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"zooid/wire"
)

// crashPoint is a state of the disk after a crash, and what had been reported
// durable then.
type crashPoint struct {
	fs      *vfs.MemFS
	durable wire.Zxid
	percent int // of what was not synced and is there nevertheless
	before  errorfs.Op
}

// crashing wraps fs so that a crash is recorded before each operation that
// changes the disk: one that loses all that was not synced, one that loses
// nothing, and some that lose single blocks and names.
func crashing(fs *vfs.MemFS, r *rand.Rand, durable func() wire.Zxid, record func(crashPoint)) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsRead && op.Kind != errorfs.OpOpen {
			return nil
		}
		for _, percent := range []int{0, 100, 50, 80} {
			clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: r})
			record(crashPoint{fs: clone, durable: durable(), percent: percent, before: op})
		}
		return nil
	}))
}

// TestCrash crashes before every operation on the disk, while records of all
// sizes are appended, files are rolled and purged, and reopens what the crash
// left: all that was durable is there, in order; what more is there was appended.
func TestCrash(t *testing.T) {
	for _, seed := range []uint64{1, 2} {
		crashRun(t, seed)
	}
}

func crashRun(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0))
	var want []Entry
	var points []crashPoint
	g := newLedger()
	mem := newFS(t)
	o := options(crashing(mem, rand.New(rand.NewPCG(seed, 1)), g.get, func(p crashPoint) { points = append(points, p) }), g)
	o.RollBytes = 40 << 10
	l := open(t, o)
	l.Start()
	z := wire.Zxid(0)
	for range 25 {
		var batch []Entry
		for range 1 + r.IntN(8) {
			if z++; r.IntN(20) == 0 {
				z = wire.MakeZxid(z.Epoch()+1, 1)
			}
			size := r.IntN(300)
			if r.IntN(5) == 0 {
				size = r.IntN(12 << 10)
			}
			p := payload(z, size)
			if r.IntN(6) == 0 {
				p = payloadOf(z, make([]byte, size)) // zeros, as a hole looks
			}
			batch = append(batch, Entry{Zxid: z, Payload: p})
		}
		want = append(want, batch...)
		l.Append(batch)
		if r.IntN(10) == 0 {
			l.Roll()
		}
		must(t, g.wait(z))
	}
	must(t, l.Close())
	for _, p := range points {
		checkCrash(t, seed, p, want)
	}
	t.Logf("seed %d: %d crashes", seed, len(points))
}

// checkCrash opens a log after a crash, twice, and appends to it.
func checkCrash(t *testing.T, seed uint64, p crashPoint, want []Entry) {
	t.Helper()
	for range 2 {
		g := newLedger()
		l, err := Open(options(p.fs, g))
		if err != nil {
			t.Fatalf("seed %d, crash at %d%% before %+v: %v", seed, p.percent, p.before, err)
		}
		if l.Last() < p.durable {
			t.Fatalf("seed %d, crash at %d%% before %+v: last is %v, but %v was durable", seed, p.percent, p.before, l.Last(), p.durable)
		}
		got := replayed(t, l, 0)
		sameEntries(t, got, want[:len(got)])
		if len(got) > 0 && got[len(got)-1].Zxid != l.Last() || len(got) == 0 && l.Last() != 0 {
			t.Fatalf("seed %d: last is %v, but %d records were replayed", seed, l.Last(), len(got))
		}
		names, err := p.fs.List(dir)
		must(t, err)
		if s := strings.Join(names, " "); strings.Contains(s, "tmp") {
			t.Fatalf("left behind: %s", s)
		}
		l.Start()
		if len(got) < len(want) {
			l.Append(want[len(got) : len(got)+1])
		}
		must(t, l.Close())
	}
}

// TestCrashInRepair crashes while Open repairs what a crash has left.
func TestCrashInRepair(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	want := entries(1, 8, 9<<10)
	var torn []crashPoint
	g := newLedger()
	mem := newFS(t)
	o := options(crashing(mem, r, g.get, func(p crashPoint) { torn = append(torn, p) }), g)
	o.PreallocBytes = 128 << 10
	l := open(t, o)
	l.Append(want[:2])
	l.Start()
	must(t, g.wait(2))
	l.Append(want[2:]) // one write of several blocks
	must(t, l.Close())
	repairs := 0
	for _, p := range torn {
		var again []crashPoint
		fs := crashing(p.fs, r, func() wire.Zxid { return p.durable }, func(q crashPoint) { again = append(again, q) })
		l, err := Open(options(fs, newLedger()))
		must(t, err)
		repairs += len(l.Repairs())
		must(t, l.Close())
		for _, q := range again {
			checkCrash(t, 4, q, want)
		}
	}
	if repairs == 0 {
		t.Error("no crash left anything to repair")
	}
}

// TestHole builds what a power failure leaves of one write of several sectors,
// and damage that looks nearly like it.
func TestHole(t *testing.T) {
	build := func(t *testing.T, n int) ([]byte, []int64) {
		fs, g := newFS(t), newLedger()
		o := options(fs, g)
		o.PreallocBytes = max(64<<10, int64(n)<<10)
		l := open(t, o)
		l.Append(entries(1, wire.Zxid(n), 700))
		l.Start()
		must(t, g.wait(wire.Zxid(n)))
		fs = fs.CrashClone(vfs.CrashCloneCfg{}) // in one group but for the longest; not closed
		must(t, l.Close())
		var at []int64
		_, err := Scan(fs, dir+"/log.1", func(r Record) error { at = append(at, r.Offset); return nil })
		must(t, err)
		return getFile(t, fs, "log.1"), at
	}
	for _, c := range []struct {
		name    string
		records int
		spoil   func(b []byte, at []int64)
		last    wire.Zxid // 0: refused
	}{
		{"a sector inside record 3 is missing", 9, func(b []byte, at []int64) { sector(b, at[2]+512) }, 2},
		{"the sector in which record 3 begins is missing from there on", 9, func(b []byte, at []int64) { clear(b[at[2] : at[2]+512-at[2]%512]) }, 2},
		{"a page is missing", 40, func(b []byte, at []int64) { clear(b[8192:12288]) }, wire.Zxid((8192 - 16) / (700 + 93))},
		{"two sectors are missing", 30, func(b []byte, at []int64) { sector(b, at[4]+512); sector(b, at[20]+512) }, 4},
		{"zeros in record 3 that are no sector", 9, func(b []byte, at []int64) { clear(b[at[2]+100 : at[2]+200]) }, 0},
		{"a bit of record 3", 9, func(b []byte, at []int64) { b[at[2]+100] ^= 1 }, 0},
		{"a sector of record 3 is not zero but wrong", 9, func(b []byte, at []int64) { s := sector(b, at[2]+512); s[17] = 1 }, 0},
		{"a sector is missing far before the end", 1500, func(b []byte, at []int64) { sector(b, at[2]+512) }, 0},
		{"header and first record are missing", 9, func(b []byte, at []int64) { clear(b[:1024]) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, at := build(t, c.records)
			c.spoil(b, at)
			fs := newFS(t)
			putFile(t, fs, "log.1", b)
			l, err := Open(options(fs, newLedger()))
			if c.last == 0 {
				offset := at[2]
				if strings.HasPrefix(c.name, "header") {
					offset = 0
				}
				checkDamage(t, fs, map[string][]byte{"log.1": b}, err, offset)
				return
			}
			must(t, err)
			if l.Last() != c.last || len(l.Repairs()) != 1 {
				t.Errorf("last %v, repairs %v; want %v and one", l.Last(), l.Repairs(), c.last)
			}
			if got := replayed(t, l, 0); len(got) != int(c.last) {
				t.Errorf("%d records, want %d", len(got), c.last)
			}
			must(t, l.Close())
		})
	}
}

// The record behind a hole may begin in its last bytes, as a record begins with
// zeros.
func TestHoleEndsInsideTheNextRecord(t *testing.T) {
	h := wire.FileHeader{Magic: wire.LogMagic, Version: wire.FileVersion}
	b := h.Append(nil)
	for i, n := range []int{125, 225, 40} {
		b = appendRecord(b, payload(wire.Zxid(i+1), n))
	}
	if len(b) != 508+111 {
		t.Fatalf("record 3 ends at %d", len(b))
	}
	clear(b[16+196 : 512]) // record 2 and the beginning of record 3
	fs := newFS(t)
	putFile(t, fs, "log.1", b)
	if l := open(t, options(fs, newLedger())); l.Last() != 1 {
		t.Errorf("last %v, want 1", l.Last())
	}
}

// A repair that cannot be made durable is no repair.
func TestRepairFails(t *testing.T) {
	for _, kind := range []errorfs.OpKind{errorfs.OpFileWriteAt, errorfs.OpFileSync, errorfs.OpRemove} {
		mem := newFS(t)
		b := fileOf(1, 2)
		putFile(t, mem, "log.1", b[:len(b)-1010])
		putFile(t, mem, "log.2", nil)
		fs, fault := faulty(mem)
		fault.Store(failing(syscall.EIO, "log", kind))
		if _, err := Open(options(fs, newLedger())); !errors.Is(err, syscall.EIO) {
			t.Errorf("kind %v: error %v", kind, err)
		}
		fault.Store(nil)
		if l := open(t, options(fs, newLedger())); l.Last() != 1 {
			t.Errorf("kind %v: last %v, want 1", kind, l.Last())
		}
	}
}

// sector clears and returns the sector that holds byte off.
func sector(b []byte, off int64) []byte {
	s := b[off-off%512:][:512]
	clear(s)
	return s
}
