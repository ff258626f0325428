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

func TestPurger(t *testing.T) {
	const budget = 1000
	for _, c := range []struct {
		name   string
		every  time.Duration
		growth int64 // bytes of log a second
		want   int64 // purges in three hours
	}{
		{"after each interval", time.Hour, 0, 3},
		{"a log within the budget", time.Hour, budget / 7200, 3},
		{"before its time when the log grows", time.Hour, budget / 100, 3 * 3600 / 100},
		{"an interval shorter than a look at the log", time.Second, 0, 3 * 3600},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				began := time.Now()
				var purges atomic.Int64
				p := purger{every: c.every, budget: budget, logger: zap.NewNop(),
					logSize: func() int64 { return int64(time.Since(began).Seconds()) * c.growth },
					purge:   func() error { purges.Add(1); return nil },
				}
				go p.run(ctx)
				time.Sleep(3*time.Hour + time.Minute)
				synctest.Wait()
				if n := purges.Load(); n < c.want || n > c.want+c.want/50+1 && c.every > time.Minute {
					t.Errorf("%d purges, want %d", n, c.want)
				}
			})
		})
	}
}

// A log that is large at the start is purged soon, and a failure is told and
// tried again.
func TestPurgerAtStartAndOnFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		core, logs := observer.New(zap.ErrorLevel)
		var purges atomic.Int64
		p := purger{every: time.Hour, budget: 1000, logger: zap.New(core),
			logSize: func() int64 { return 5000 },
			purge:   func() error { purges.Add(1); return errors.New("no") },
		}
		go p.run(ctx)
		time.Sleep(purgeCheck + time.Second)
		synctest.Wait()
		if purges.Load() != 1 || logs.Len() != 1 {
			t.Errorf("%d purges and %d lines after the first look", purges.Load(), logs.Len())
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if purges.Load() != 2 {
			t.Errorf("%d purges after an hour more", purges.Load())
		}
	})
}
