package txnlog

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"zooid/wire"
)

// BenchmarkAppend measures how long it takes until appended records are durable
// on the real disk. 1x1: one record at a time; batch32: 32 records in one
// Append; 16x1: sixteen callers with one record in flight each, which group
// commit serves together.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct {
		name         string
		batch, depth int
		size         int
		noSync       bool
	}{
		{"1x1", 1, 1, 100, false},
		{"batch32", 32, 1, 100, false},
		{"16x1", 1, 16, 100, false},
		{"64xbatch32", 32, 64, 100, false},
		{"1x1-1MB", 1, 1, 1 << 20, false},
		{"1x1-nosync", 1, 1, 100, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			durable := make(chan wire.Zxid, 1<<16)
			var took time.Duration
			syncs := 0
			l, err := Open(Options{
				Dir: b.TempDir(), NoSync: c.noSync,
				Durable: func(z wire.Zxid, err error) {
					if err != nil {
						panic(err)
					}
					durable <- z
				},
				Observe: func(s Sync) { took += s.Took; syncs++ },
			})
			must(b, err)
			l.Start()
			batch := make([]Entry, c.batch)
			z, done := wire.Zxid(0), wire.Zxid(0)
			p := payload(1, c.size)
			add := func() {
				for i := range batch {
					z++
					batch[i] = Entry{Zxid: z, Payload: p}
				}
				l.Append(batch)
			}
			add()
			done = <-durable // the file is there
			took, syncs = 0, 0
			b.ReportAllocs()
			b.SetBytes(int64(c.batch * len(p)))
			for b.Loop() {
				add()
				for z-done >= wire.Zxid(c.batch*c.depth) {
					done = <-durable
				}
			}
			b.StopTimer()
			for done < z {
				done = <-durable
			}
			b.ReportMetric(float64(took.Nanoseconds())/float64(max(syncs, 1)), "ns/sync")
			b.ReportMetric(float64(z)/float64(max(syncs, 1)), "records/sync")
			must(b, l.Close())
		})
	}
}

// BenchmarkOpen measures recovery's look at a full file of 64 MiB, and its
// replay.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	l, err := Open(Options{Dir: dir, NoSync: true})
	must(b, err)
	l.Start()
	z := wire.Zxid(0)
	for n := 0; n < 60<<20; n += 200 {
		z++
		l.Append([]Entry{{Zxid: z, Payload: payload(z, 107)}})
	}
	must(b, l.Close())
	for _, name := range []string{"open", "open+replay"} {
		b.Run(fmt.Sprintf("64MiB/%s", name), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l, err := Open(Options{Dir: dir, FS: vfs.Default})
				must(b, err)
				if name == "open+replay" {
					must(b, l.Replay(0, func([]byte, *wire.Txn) error { return nil }))
				}
				must(b, l.Close())
			}
			b.ReportMetric(float64(z), "records")
		})
	}
}
