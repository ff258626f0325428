package main

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
)

// purgeCheck is how often the size of the log is looked at.
const purgeCheck = 10 * time.Second

// purger purges from time to time.
type purger struct {
	every   time.Duration // between two purges
	budget  int64         // bytes of log that bring one forward
	logSize func() int64
	purge   func() error
	logger  *zap.Logger
}

// run purges until ctx ends: after each interval, and as soon as the log has
// grown by the budget since the last time. The log that is found at the start
// counts as grown, so that what an interrupted predecessor left does not lie
// there for an interval.
func (p *purger) run(ctx context.Context) {
	ticker := time.NewTicker(min(purgeCheck, p.every))
	defer ticker.Stop()
	last, size := time.Now(), int64(0)
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if time.Since(last) < p.every && p.logSize()-size < p.budget {
			continue
		}
		if err := p.purge(); err != nil && ctx.Err() == nil {
			p.logger.Error("purging old snapshots and log files", zap.Error(err))
		}
		last, size = time.Now(), p.logSize()
	}
}

// purging is the goroutine of a process that purges, if one is wanted.
type purging struct {
	cancelled context.CancelFunc
	running   sync.WaitGroup
}

func (g *purging) start(p *process) {
	s := &p.cfg.Storage
	if s.PurgeInterval <= 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.cancelled = cancel
	run := purger{every: s.PurgeInterval, budget: s.LogBudgetBytes, logSize: p.store.Log().Size, logger: p.logger,
		purge: func() error { _, err := p.store.Purge(); return err }}
	g.running.Go(func() { run.run(ctx) })
}

// cancel lets no purge begin any more. One that is under way ends when the
// store is closed.
func (g *purging) cancel() {
	if g.cancelled != nil {
		g.cancelled()
	}
}

func (g *purging) wait() { g.running.Wait() }
