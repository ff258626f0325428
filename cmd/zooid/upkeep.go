package main

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
)

// upkeepEvery is how often the disk is looked at.
const upkeepEvery = time.Second

// upkeep looks after the disk: it purges from time to time, and says when the
// log waits for room.
type upkeep struct {
	every   time.Duration // between two purges; 0 = never purge
	budget  int64         // bytes of log that bring one forward
	logSize func() int64
	full    func() bool
	purge   func() error
	logger  *zap.Logger

	purged  time.Time // when it was purged last, and
	size    int64     // what the log was then
	wasFull bool
}

// run goes on until ctx ends. The log that is found at the start counts as
// grown, so that what an interrupted predecessor left does not lie there for
// an interval.
func (u *upkeep) run(ctx context.Context) {
	ticker := time.NewTicker(upkeepEvery)
	defer ticker.Stop()
	u.purged = time.Now()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if filled := u.noteRoom(); u.every > 0 && (filled || u.due()) {
			u.purgeNow(ctx)
		}
	}
}

// noteRoom says when the disk becomes full and when it has room again. It
// reports the former: a purge may help.
func (u *upkeep) noteRoom() (filled bool) {
	full := u.full()
	if full == u.wasFull {
		return false
	}
	u.wasFull = full
	if full {
		u.logger.Error("the disk is full: writes wait until there is room again, reads are served")
	} else {
		u.logger.Info("the disk has room again: writes go on")
	}
	return full
}

func (u *upkeep) due() bool {
	return time.Since(u.purged) >= u.every || u.logSize()-u.size >= u.budget
}

func (u *upkeep) purgeNow(ctx context.Context) {
	if err := u.purge(); err != nil && ctx.Err() == nil {
		u.logger.Error("purging old snapshots and log files", zap.Error(err))
	}
	u.purged, u.size = time.Now(), u.logSize()
}

// upkeeping is a process's upkeep while it runs.
type upkeeping struct {
	cancelled context.CancelFunc
	running   sync.WaitGroup
}

func (g *upkeeping) start(p *process) {
	ctx, cancel := context.WithCancel(context.Background())
	g.cancelled = cancel
	s, log := &p.cfg.Storage, p.store.Log()
	u := upkeep{every: s.PurgeInterval, budget: s.PurgeAfterBytes(), logSize: log.Size, full: log.NoSpace, logger: p.logger,
		purge: func() error { _, err := p.store.Purge(); return err }}
	g.running.Go(func() { u.run(ctx) })
}

// cancel lets nothing begin any more. A purge that is under way ends when the
// store is closed.
func (g *upkeeping) cancel() {
	if g.cancelled != nil {
		g.cancelled()
	}
}

func (g *upkeeping) wait() { g.running.Wait() }
