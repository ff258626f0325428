package txnlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"zooid/wire"
)

// readAll reads the log behind after in chunks.
func readAll(t testing.TB, l *Log, after wire.Zxid, maxBytes int) (got []Entry) {
	t.Helper()
	for {
		p, err := l.Read(after, maxBytes)
		must(t, err)
		if p.Prev != after {
			t.Fatalf("behind %v: begins at %v", after, p.Prev)
		}
		if len(p.Entries) == 0 {
			if p.Behind != 0 {
				t.Errorf("%d bytes are said to follow %v", p.Behind, after)
			}
			return got
		}
		size := 0
		for _, e := range p.Entries {
			size += len(e.Payload)
		}
		if size > maxBytes && len(p.Entries) > 1 {
			t.Fatalf("%d records of %d bytes in all, at most %d were asked for", len(p.Entries), size, maxBytes)
		}
		got = append(got, p.Entries...)
		after = got0(p.Entries)
	}
}

// TestRead reads from every zxid and between them, in chunks of all sizes.
func TestRead(t *testing.T) {
	fs, g := newFS(t), newLedger()
	l, all := rolledLog(t, options(fs, g), g)
	if _, err := l.Read(0, 1<<20); !errors.Is(err, ErrTooOld) {
		t.Errorf("without a base: %v", err)
	}
	must(t, l.SetBase(0))
	for range 2 {
		for i := -1; i < len(all); i++ {
			after := wire.Zxid(0)
			if i >= 0 {
				after = all[i].Zxid
			}
			for _, size := range []int{1, 500, 1000, 3000, 1 << 20} {
				sameEntries(t, readAll(t, l, after, size), all[i+1:])
			}
		}
		for _, c := range []struct{ after, prev wire.Zxid }{
			{10, 9}, {wire.MakeZxid(1, 0), 9}, {wire.MakeZxid(1, 7), wire.MakeZxid(1, 6)}, {wire.MakeZxid(7, 7), wire.MakeZxid(1, 6)},
		} {
			p, err := l.Read(c.after, 1<<20)
			must(t, err)
			if p.Prev != c.prev {
				t.Errorf("behind %v: begins at %v, want %v", c.after, p.Prev, c.prev)
			}
			sameEntries(t, p.Entries, all[len(upTo(all, c.after)):])
		}
		must(t, l.Close())
		l = open(t, options(fs, newLedger())) // a base outlives the process
	}
}

// TestReadBase: what lies before the base is not served, even if it is there.
func TestReadBase(t *testing.T) {
	fs, g := newFS(t), newLedger()
	l, all := rolledLog(t, options(fs, g), g)
	for _, base := range []wire.Zxid{5, 8, 20} { // 20 is a snapshot's label
		must(t, l.SetBase(base))
		if _, err := l.Read(base-1, 1<<20); !errors.Is(err, ErrTooOld) {
			t.Errorf("base %v: %v", base, err)
		}
		for _, after := range []wire.Zxid{base, base + 1, 100} {
			p, err := l.Read(after, 1<<20)
			if base == 8 && after == 8 {
				must(t, err)
			}
			must(t, err)
			want := all[len(upTo(all, after)):]
			sameEntries(t, p.Entries, want)
			if prev := max(base, got0(upTo(all, after))); p.Prev != prev {
				t.Errorf("base %v, after %v: begins at %v, want %v", base, after, p.Prev, prev)
			}
		}
	}
	if _, err := l.Read(20, 1); err != nil {
		t.Error(err)
	}
}

// TestReadHole never passes a hole, wherever the base is said to be.
func TestReadHole(t *testing.T) {
	fs := newFS(t)
	putFile(t, fs, "log.1", fileOf(1, 2, 3))
	putFile(t, fs, "log.6", fileOf(6, 7))
	l := open(t, options(fs, newLedger()))
	must(t, l.SetBase(0))
	if _, err := l.Read(1, 1<<20); err == nil || !strings.Contains(err.Error(), "transactions are missing: 0x6 follows 0x3") {
		t.Errorf("over a hole: %v", err)
	}
	if p, err := l.Read(1, 1); err != nil || len(p.Entries) != 1 {
		t.Errorf("before the hole: %v, %v", p, err)
	}
	if p, err := l.Read(6, 1<<20); err != nil || len(p.Entries) != 1 {
		t.Errorf("behind the hole: %v, %v", p, err)
	}
}

// TestReadPurged: the base moves with the oldest file, and the reader of a file
// that goes is told.
func TestReadPurged(t *testing.T) {
	fs, g := newFS(t), newLedger()
	l, all := rolledLog(t, options(fs, g), g)
	must(t, l.SetBase(0))
	if _, err := l.Read(0, 1000); err != nil {
		t.Fatal(err)
	}
	_, err := l.Purge(8)
	must(t, err)
	if z, _ := l.Base(); z != 6 {
		t.Errorf("base %v, want 6", z)
	}
	for _, after := range []wire.Zxid{0, 2, 5} {
		if _, err := l.Read(after, 1000); !errors.Is(err, ErrTooOld) {
			t.Errorf("behind %v: %v", after, err)
		}
	}
	sameEntries(t, readAll(t, l, 6, 1000), all[6:])
	must(t, fs.Remove(dir+"/log.7")) // as if purged between the look at the list and the opening
	if _, err := l.Read(6, 1000); err == nil {
		t.Error("read a file that is not there")
	}
}

// TestPurgeOnFullDisk removes files though the base cannot be written: then
// there is none.
func TestPurgeOnFullDisk(t *testing.T) {
	mem, g := newFS(t), newLedger()
	fs, fault := faulty(mem)
	l, _ := rolledLog(t, options(fs, g), g)
	must(t, l.SetBase(0))
	fault.Store(failing(syscall.ENOSPC, baseName, errorfs.OpCreate, errorfs.OpFileWrite))
	removed, err := l.Purge(8)
	if len(removed) != 2 || err != nil {
		t.Errorf("removed %v, %v", removed, err)
	}
	fault.Store(nil)
	if _, err := l.Read(6, 1000); !errors.Is(err, ErrTooOld) {
		t.Errorf("read without a base: %v", err)
	}
	must(t, l.Close())
	if z, ok := open(t, options(mem, newLedger())).Base(); ok {
		t.Errorf("base %v", z)
	}
}

// TestReadBesideWriter reads while records are appended: all of them come, each
// once, and none before it is durable.
func TestReadBesideWriter(t *testing.T) {
	fs, g := newFS(t), newLedger()
	o := options(fs, g)
	o.RollBytes = 30 << 10
	l := open(t, o)
	must(t, l.SetBase(0))
	l.Start()
	all := entries(1, 600, 200)
	go func() {
		r := rand.New(rand.NewPCG(1, 1))
		for rest := all; len(rest) > 0; {
			n := min(1+r.IntN(20), len(rest))
			l.Append(rest[:n])
			rest = rest[n:]
		}
	}()
	done := make(chan []Entry)
	for reader := range 3 {
		go func() {
			var got []Entry
			for len(got) < len(all) {
				p, err := l.Read(got0(got), 500*(reader+1))
				if durable := g.get(); err != nil || len(p.Entries) > 0 && got0(p.Entries) > durable+1000 {
					t.Error(err)
					break
				}
				got = append(got, p.Entries...)
			}
			done <- got
		}()
	}
	for range 3 {
		sameEntries(t, <-done, all)
	}
}

// TestReadDurableOnly shows nothing of a write whose sync has not ended.
func TestReadDurableOnly(t *testing.T) {
	mem, g := newFS(t), newLedger()
	hold, held := make(chan struct{}), make(chan struct{})
	var on atomic.Bool
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if on.Load() && op.Kind == errorfs.OpFileSyncData {
			held <- struct{}{}
			<-hold
		}
		return nil
	}))
	l := open(t, options(fs, g))
	must(t, l.SetBase(0))
	l.Start()
	all := entries(1, 6, 100)
	l.Append(all[:3])
	must(t, g.wait(3))
	on.Store(true)
	l.Append(all[3:])
	<-held
	p, err := l.Read(1, 1<<20)
	must(t, err)
	sameEntries(t, p.Entries, all[1:3])
	on.Store(false)
	close(hold)
	must(t, g.wait(6))
	sameEntries(t, readAll(t, l, 1, 1<<20), all[1:])
}

// TestReadWhileTruncated: a reader gets what is in the log before or after, or an
// error, but never what is gone.
func TestReadWhileTruncated(t *testing.T) {
	for seed := range uint64(20) {
		fs, g := newFS(t), newLedger()
		l, all := rolledLog(t, options(fs, g), g)
		must(t, l.SetBase(0))
		r := rand.New(rand.NewPCG(seed, 0))
		z := all[r.IntN(len(all))].Zxid
		var cut atomic.Bool
		done := make(chan struct{})
		go func() {
			defer close(done)
			for end := false; !end; {
				end = cut.Load()
				p, err := l.Read(0, 1<<20)
				if err != nil {
					if end {
						t.Error(err)
					}
					continue
				}
				want := all
				if len(p.Entries) < len(all) {
					want = upTo(all, z)
				} else if end {
					t.Error("what was truncated is still read")
				}
				if got0(p.Entries) != got0(want) {
					t.Errorf("read up to %v", got0(p.Entries))
				}
			}
		}()
		_, err := l.Truncate(z)
		must(t, err)
		cut.Store(true)
		<-done
		must(t, l.Close())
	}
}

// TestReadIsLinear counts the bytes that a pass in small chunks reads.
func TestReadIsLinear(t *testing.T) {
	mem, g := newFS(t), newLedger()
	var opened atomic.Int64
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileReadAt {
			opened.Add(1)
		}
		return nil
	}))
	o := options(fs, g)
	o.PreallocBytes = 4 << 20
	l := open(t, o)
	must(t, l.SetBase(0))
	l.Start()
	all := entries(1, 5000, 600)
	l.Append(all)
	must(t, g.wait(5000))
	opened.Store(0)
	sameEntries(t, readAll(t, l, 0, 20<<10), all)
	chunks := int64(5000 * 700 / (20 << 10))
	if n := opened.Load(); n > 5*chunks {
		t.Errorf("%d reads of the file for some %d chunks", n, chunks)
	}
	if n := len(l.cursors.order); n > cursorsMax || n != len(l.cursors.places) {
		t.Errorf("%d cursors, %d places", n, len(l.cursors.places))
	}
}

// TestBaseFile: what cannot be read as a base is none.
func TestBaseFile(t *testing.T) {
	for _, text := range []string{"", "x", "-1", "ffffffffffffffff", "12 13"} {
		fs := newFS(t)
		putFile(t, fs, baseName, []byte(text))
		if z, ok := open(t, options(fs, newLedger())).Base(); ok {
			t.Errorf("%q: base %v", text, z)
		}
	}
	fs := newFS(t)
	putFile(t, fs, baseName, []byte("100000005\n"))
	if z, ok := open(t, options(fs, newLedger())).Base(); !ok || z != 0x100000005 {
		t.Errorf("base %v, %v", z, ok)
	}
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	l := open(t, options(crashed, newLedger()))
	must(t, l.SetBase(7))
	if got := string(getFile(t, crashed, baseName)); got != "7\n" {
		t.Errorf("file %q", got)
	}
}

func BenchmarkRead(b *testing.B) {
	g := newLedger()
	o := options(vfs.Default, g)
	o.Dir, o.PreallocBytes = b.TempDir(), 0
	l, err := Open(o)
	must(b, err)
	defer l.Close()
	must(b, l.SetBase(0))
	l.Start()
	const n = 100_000
	l.Append(entries(1, n, 100))
	must(b, g.wait(n))
	for _, size := range []int{64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("chunk=%d", size), func(b *testing.B) {
			b.SetBytes(n * 193)
			for range b.N {
				if got := len(readAll(b, l, 0, size)); got != n {
					b.Fatalf("%d records", got)
				}
			}
		})
	}
}
