package main

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"zooid/store"
)

// disk is what an upkeep looks at.
type disk struct {
	taken  atomic.Int64 // bytes of snapshots and log
	level  atomic.Int32 // a store.SpaceLevel
	judged atomic.Int32 // the last one that was acted on
	purges atomic.Int64
	hold   chan struct{} // if not nil, a purge lasts until it is closed
	err    error         // what a purge comes to
	logs   *observer.ObservedLogs
	wake   chan struct{}
}

const testBudget = 1000

// look begins the upkeep of d, in a bubble.
func (d *disk) look(t *testing.T, every time.Duration) {
	core, logs := observer.New(zap.InfoLevel)
	d.logs, d.wake = logs, make(chan struct{}, 1)
	u := upkeep{every: every, budget: testBudget, logger: zap.New(core), taken: d.taken.Load, wake: d.wake,
		space:  func() store.Space { return store.Space{Level: store.SpaceLevel(d.level.Load()), Dir: "/data"} },
		judged: func(sp store.Space) { d.judged.Store(int32(sp.Level)) },
		purge: func() error {
			d.purges.Add(1)
			if d.hold != nil {
				<-d.hold
			}
			return d.err
		}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		u.run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-ended })
}

func (d *disk) wantPurges(t *testing.T, want int64) {
	t.Helper()
	synctest.Wait()
	if n := d.purges.Load(); n != want {
		t.Errorf("%d purges, want %d", n, want)
	}
}

func TestPurgeAfterEachInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(disk)
		d.look(t, time.Hour)
		time.Sleep(59 * time.Minute)
		d.wantPurges(t, 0)
		time.Sleep(2*time.Hour + 2*time.Minute)
		d.wantPurges(t, 3)
	})
}

func TestPurgeWhenSnapshotsAndLogHaveGrown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(disk)
		d.taken.Store(testBudget) // found at the start
		d.look(t, time.Hour)
		time.Sleep(2 * upkeepEvery)
		d.wantPurges(t, 1)
		d.taken.Store(2*testBudget - 1)
		time.Sleep(time.Minute)
		d.wantPurges(t, 1)
		d.taken.Store(2 * testBudget)
		time.Sleep(time.Minute)
		d.wantPurges(t, 2)
	})
}

func TestPurgeThatFailsIsToldAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{err: errors.New("no")}
		d.look(t, time.Hour)
		time.Sleep(2*time.Hour + time.Minute)
		d.wantPurges(t, 2)
		if n := d.logs.FilterMessageSnippet("purging").Len(); n != 2 {
			t.Errorf("told %d times", n)
		}
	})
}

// A disk that is low is purged at once, and while it stays so every now and then.
func TestPurgeWhenTheDiskIsLow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(disk)
		d.look(t, time.Hour)
		d.level.Store(int32(store.SpaceLow))
		time.Sleep(2 * upkeepEvery)
		d.wantPurges(t, 1)
		time.Sleep(lowEvery)
		d.wantPurges(t, 2)
		d.level.Store(int32(store.SpaceEnough))
		time.Sleep(10 * time.Minute)
		d.wantPurges(t, 2)
		if n := d.logs.Len(); n != 0 {
			t.Errorf("it says %v", d.logs.All())
		}
	})
}

// A disk that is nearly full is told once, acted on, and purged if that is
// wished; and so is the room that comes back.
func TestDiskNearlyFull(t *testing.T) {
	for name, c := range map[string]struct {
		every  time.Duration
		purges int64 // in a minute
		advice string
	}{"with purging": {time.Hour, 6, "make room"}, "without": {0, 0, "autopurge.purgeInterval=0"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := new(disk)
				d.look(t, c.every)
				d.level.Store(int32(store.SpaceShort))
				d.wake <- struct{}{}
				synctest.Wait()
				if d.judged.Load() != int32(store.SpaceShort) {
					t.Error("nobody was told at once")
				}
				time.Sleep(time.Minute - 5*time.Second)
				d.wantPurges(t, c.purges)
				d.level.Store(int32(store.SpaceEnough))
				time.Sleep(10 * time.Minute)
				d.wantPurges(t, c.purges)
				full := d.logs.FilterMessageSnippet("nearly full")
				if room := d.logs.FilterMessageSnippet("room again: writes go on").Len(); full.Len() != 1 || room != 1 {
					t.Fatalf("the full disk is told %d times, the room %d times", full.Len(), room)
				}
				if advice := full.All()[0].ContextMap()["advice"].(string); !strings.Contains(advice, c.advice) {
					t.Errorf("the advice is %q", advice)
				}
			})
		})
	}
}

// TestPurgeComesBeforeRefusal: while a purge may still make room writes are taken,
// unless what is kept free is used up as well.
func TestPurgeComesBeforeRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{hold: make(chan struct{})}
		d.look(t, time.Hour)
		d.level.Store(int32(store.SpaceShort))
		time.Sleep(time.Minute)
		d.wantPurges(t, 1)
		if d.judged.Load() != int32(store.SpaceLow) || d.logs.Len() != 0 {
			t.Errorf("level %d during the purge; it says %v", d.judged.Load(), d.logs.All())
		}
		d.level.Store(int32(store.SpaceEnough)) // it has helped
		close(d.hold)
		time.Sleep(time.Minute)
		d.hold = nil
		d.level.Store(int32(store.SpaceShort)) // the next one does not
		time.Sleep(2 * upkeepEvery)
		if d.judged.Load() != int32(store.SpaceShort) {
			t.Errorf("level %d after a purge in vain", d.judged.Load())
		}
	})
}

// A purge that lasts does not keep the disk from being looked at, and none is
// begun beside it.
func TestDiskIsWatchedDuringAPurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{hold: make(chan struct{})}
		d.look(t, time.Hour)
		d.level.Store(int32(store.SpaceLow))
		time.Sleep(2 * upkeepEvery)
		d.level.Store(int32(store.SpaceNone))
		time.Sleep(10 * time.Minute)
		d.wantPurges(t, 1)
		if d.judged.Load() != int32(store.SpaceNone) {
			t.Error("the full disk was not seen")
		}
		close(d.hold)
	})
}
