package store

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// TestSnapshotRule counts between half of the number and all of it, anew each
// time, by transactions or by bytes.
func TestSnapshotRule(t *testing.T) {
	for _, c := range []struct {
		name         string
		count, bytes int64
		size         int // of a txn
		low, high    int // txns between two
	}{
		{"by count", 100, 1 << 30, 100, 50, 100},
		{"by bytes", 100_000, 1000, 10, 50, 100},
		{"by bytes alone", 0, 1000, 10, 50, 100},
		{"the least count", 2, 0, 10, 1, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := snapshotRule{count: c.count, bytes: c.bytes}
			now, between := time.Now(), 0
			seen := map[int]bool{}
			for range 20_000 {
				now = now.Add(rollPause)
				between++
				if !r.wrote(1, c.size, now) {
					continue
				}
				if between < c.low || between > c.high {
					t.Fatalf("%d txns, want %d to %d", between, c.low, c.high)
				}
				seen[between] = true
				between = 0
			}
			if len(seen) < 2 {
				t.Errorf("always the same number: %v", seen)
			}
		})
	}
}

// TestSnapshotRuleOff is never due.
func TestSnapshotRuleOff(t *testing.T) {
	r, now := snapshotRule{}, time.Now()
	for range 1000 {
		if now = now.Add(time.Hour); r.wrote(1000, 1<<20, now) {
			t.Fatal("it is due")
		}
	}
}

// TestSnapshotRuleUnderLoad begins files no faster than a disk may bear, however
// small the count is.
func TestSnapshotRuleUnderLoad(t *testing.T) {
	r := snapshotRule{count: 100}
	now, rolls := time.Now(), 0
	for range 1000 { // a second of 100,000 txns in groups of a hundred
		now = now.Add(time.Millisecond)
		if r.wrote(100, 10_000, now) {
			rolls++
		}
	}
	if rolls < 10 || rolls > 50 {
		t.Errorf("%d files in a second", rolls)
	}
}

// TestLargeTreesAreNotWrittenBackToBack: with a snapshot due all the time, those
// of a large tree take a tenth of the time.
func TestLargeTreesAreNotWrittenBackToBack(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		5 * time.Millisecond: 0, 50 * time.Millisecond: 0, 100 * time.Millisecond: 900 * time.Millisecond, 10 * time.Second: 90 * time.Second,
	} {
		if rest := restAfter(took); rest != want {
			t.Errorf("a pause of %v after %v, want %v", rest, took, want)
		}
	}
}

// TestSnapshotsByCount has them written, and log files begun, by the number of
// transactions, without anybody purging; and what an outside tool leaves by
// ZooKeeper's rule, the newest three and the log from the oldest of them on, is
// enough to start from.
func TestSnapshotsByCount(t *testing.T) { synctest.Test(t, testSnapshotsByCount) }

func testSnapshotsByCount(t *testing.T) {
	o := memOptions()
	o.SnapTxns, o.FlushTxns = 100, 100
	l := startLoop(t, o)
	rng := rand.New(rand.NewPCG(1, 1))
	const txns = 3000
	have := func() int { return len(listDir(t, o.FS, "/data/version-2", "snapshot.")) }
	for wrote := 0; wrote < txns; wrote += 100 {
		before := have()
		l.some(rng, 100)
		l.apply()
		for end := time.Now().Add(10 * time.Second); have() == before; {
			l.s.Keep(l.s.Wanted()) // as the loop does in its rounds
			if time.Sleep(time.Millisecond); time.Now().After(end) {
				t.Fatalf("no snapshot came after %d txns, %d are there", wrote+100, before)
			}
		}
		time.Sleep(rollPause) // the clock that the rule goes by
	}
	want := contentOf(t, l.s)
	snaps, logs := have(), len(listDir(t, o.FS, "/data/version-2", "log."))
	if snaps < 20 || snaps > 1+2*txns/100 || logs < 20 || logs > 1+2*txns/100 {
		t.Fatalf("%d snapshots and %d log files after %d txns", snaps, logs, txns)
	}
	mustClose(t, l.s)
	files, err := listSnapshots(o.FS, "/data/version-2")
	must(t, err)
	l.s.snapshotting.Lock()
	for _, f := range files[3:] {
		must(t, o.FS.Remove("/data/version-2/"+f.name))
	}
	if removed, err := l.s.txns.Purge(files[2].zxid); err != nil || len(removed) < 15 {
		t.Errorf("%d log files could go, %v", len(removed), err)
	}
	l.s.snapshotting.Unlock()
	must(t, o.FS.RemoveAll("/data/zooid"))
	compare(t, want, contentOf(t, open(t, o)))
}
