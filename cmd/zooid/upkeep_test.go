package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// disk is what an upkeep looks at.
type disk struct {
	size   atomic.Int64 // bytes of log
	full   atomic.Bool
	purges atomic.Int64
	err    error // what a purge comes to
	logs   *observer.ObservedLogs
}

const testBudget = 1000

// look begins the upkeep of d, in a bubble.
func (d *disk) look(t *testing.T, every time.Duration) {
	core, logs := observer.New(zap.InfoLevel)
	d.logs = logs
	u := upkeep{every: every, budget: testBudget, logger: zap.New(core), logSize: d.size.Load, full: d.full.Load,
		purge: func() error { d.purges.Add(1); return d.err }}
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

func TestPurgeWhenTheLogHasGrown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(disk)
		d.size.Store(testBudget) // found at the start
		d.look(t, time.Hour)
		time.Sleep(2 * upkeepEvery)
		d.wantPurges(t, 1)
		d.size.Store(2*testBudget - 1)
		time.Sleep(time.Minute)
		d.wantPurges(t, 1)
		d.size.Store(2 * testBudget)
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

// A full disk is told once, and what can go goes at once.
func TestFullDisk(t *testing.T) {
	for name, c := range map[string]struct {
		every  time.Duration
		purges int64
	}{"with purging": {time.Hour, 1}, "without": {0, 0}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := new(disk)
				d.look(t, c.every)
				d.full.Store(true)
				time.Sleep(10 * time.Minute)
				d.wantPurges(t, c.purges)
				d.full.Store(false)
				time.Sleep(10 * time.Minute)
				d.wantPurges(t, c.purges)
				if full, room := d.logs.FilterMessageSnippet("is full").Len(), d.logs.FilterMessageSnippet("room again: writes go on").Len(); full != 1 || room != 1 {
					t.Errorf("the full disk is told %d times, the room %d times", full, room)
				}
			})
		})
	}
}
