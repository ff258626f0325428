package txnlog

import (
	"errors"
	"runtime"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"zooid/wire"
)

// FuzzOpen opens a directory of two files with arbitrary content. It may be
// refused, but neither panic nor take memory without measure; if it is accepted
// the log must go on from there, and say the same when it is opened again.
func FuzzOpen(f *testing.F) {
	old, newest := fileOf(1, 2, 3), fileOf(4, 5, 6)
	f.Add(old, newest)
	f.Add([]byte{}, []byte{})
	f.Add(old, newest[:100])
	f.Add(old[:300], newest)
	f.Add(old, make([]byte, 50))
	for _, at := range []int{0, 5, 16, 20, 24, 27, 30, 150, 157, 300, len(newest) - 1} {
		b := append([]byte(nil), newest...)
		b[at] ^= 0x40
		f.Add(old, b)
		b = append([]byte(nil), newest...)
		clear(b[min(at, 200):min(at+600, len(b))])
		f.Add(b, newest)
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		fs := vfs.NewMem()
		must(t, fs.MkdirAll(dir, 0o777))
		putFile(t, fs, "log.1", a)
		putFile(t, fs, "log.4", b)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		g := newLedger()
		l, err := Open(options(fs, g))
		var got []Entry
		if err == nil {
			got, err = tryReplay(l, 0)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 2<<20+50*uint64(len(a)+len(b)) {
			t.Errorf("%d bytes allocated for %d", used, len(a)+len(b))
		}
		if err != nil {
			var d *DamageError
			if !errors.As(err, &d) {
				t.Fatalf("refused with %v, not with a DamageError", err)
			}
			if l != nil {
				must(t, l.Close())
			}
			return
		}
		if n := len(got); n > 0 && got[n-1].Zxid != l.Last() {
			t.Fatalf("last is %v, replay ends with %v", l.Last(), got[n-1].Zxid)
		}
		if l.Last() == 1<<63-1 {
			must(t, l.Close())
			return
		}
		next := l.Last() + 1
		l.Start()
		l.Append([]Entry{{Zxid: next, Payload: payload(next, 10)}})
		must(t, l.Close())
		l, err = Open(options(fs, g))
		must(t, err)
		if len(l.Repairs()) != 0 || l.Last() != next {
			t.Fatalf("opened again: repairs %v, last %v, want %v", l.Repairs(), l.Last(), next)
		}
		again, err := tryReplay(l, 0)
		must(t, err)
		sameEntries(t, again[:len(again)-1], got)
		must(t, l.Close())
	})
}

// FuzzScan reads arbitrary bytes as a log file: what is found must lie in the
// file, in order, and be found again by a search through the same bytes.
func FuzzScan(f *testing.F) {
	f.Add(fileOf(1, 2, 3))
	f.Add(fileOf(1, 2, 3)[:200])
	f.Add(append(fileOf(1), fileOf(2, 3)[10:]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		fs := vfs.NewMem()
		must(t, fs.MkdirAll(dir, 0o777))
		putFile(t, fs, "log.1", b)
		var zxids []wire.Zxid
		tail, err := Scan(fs, dir+"/log.1", func(r Record) error {
			if r.Offset < 16 || r.End() > int64(len(b)) {
				t.Fatalf("record at %d to %d of %d", r.Offset, r.End(), len(b))
			}
			zxids = append(zxids, r.Zxid)
			return nil
		})
		if err != nil {
			return
		}
		if tail.Offset < 16 || tail.End < tail.Offset || tail.End > int64(len(b)) || (tail.End > tail.Offset) != (tail.Reason != "") {
			t.Fatalf("tail %+v of %d bytes", tail, len(b))
		}
		file, err := fs.Open(dir + "/log.1")
		must(t, err)
		defer file.Close()
		w := window{f: file, size: int64(len(b))}
		found := 0
		must(t, w.search(16, tail.Offset, 0, func(int64, wire.Zxid) { found++ }))
		if found != len(zxids) {
			t.Fatalf("search finds %d of %d records", found, len(zxids))
		}
	})
}
