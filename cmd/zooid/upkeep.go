package main

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"zooid/store"
)

const (
	// upkeepEvery is how often the disk is looked at.
	upkeepEvery = time.Second
	// lowEvery is the least time between two purges of a disk that stays low: what
	// the last one has left is mostly needed.
	lowEvery = 10 * time.Second
)

// upkeep looks after the disk: it purges from time to time and when the disk is
// low, and says when there is too little room for writes.
type upkeep struct {
	every  time.Duration // between two purges; 0 = never purge
	budget int64         // bytes by which logs and snapshots may grow before one
	taken  func() int64  // bytes of logs and snapshots
	space  func() store.Space
	judged func(store.Space) // told of every look
	purge  func() error
	logger *zap.Logger
	wake   <-chan struct{} // asks for a look at once

	purged  time.Time // when it was purged last, and
	size    int64     // what was left then
	seen    store.SpaceLevel
	level   store.SpaceLevel // as it was judged: what was done about it
	tried   bool             // a purge was done since the disk became short
	helps   bool             // the one under way began on a disk that was short
	purging chan error       // what the purge that is under way comes to; nil if none is
}

// run goes on until ctx ends. What is found at the start counts as grown, so
// that what an interrupted predecessor left does not lie there for an interval.
func (u *upkeep) run(ctx context.Context) {
	ticker := time.NewTicker(upkeepEvery)
	defer ticker.Stop()
	u.purged = time.Now()
	for {
		u.look()
		select {
		case <-ticker.C:
		case <-u.wake:
		case err := <-u.purging:
			u.ended(err)
		case <-ctx.Done():
			if u.purging != nil {
				<-u.purging // it ends when the store is closed
			}
			return
		}
	}
}

// look judges the disk, and begins a purge if one is due. It does not wait for
// that: a snapshot of a large tree takes its time, and the disk goes on filling.
// A disk that is short counts as low until a purge has been tried.
func (u *upkeep) look() {
	sp := u.space()
	short, worse := sp.Level == store.SpaceShort, sp.Level > u.seen
	u.seen = sp.Level
	if sp.Level < store.SpaceShort {
		u.tried = false
	}
	if short && u.every > 0 && !u.tried {
		worse, sp.Level = true, store.SpaceLow
	}
	u.judged(sp)
	u.note(sp)
	if u.every == 0 || u.purging != nil || !worse && !u.due(sp) {
		return
	}
	done := make(chan error, 1)
	u.purging, u.helps = done, short
	go func() { done <- u.purge() }()
}

func (u *upkeep) ended(err error) {
	if err != nil {
		u.logger.Error("purging old snapshots and log files", zap.Error(err))
	}
	u.tried = u.tried || u.helps
	u.purging, u.purged, u.size = nil, time.Now(), u.taken()
}

// note says when the disk has too little room for writes, and when it has enough
// again.
func (u *upkeep) note(sp store.Space) {
	before := u.level
	u.level = sp.Level
	short, wasShort := sp.Level >= store.SpaceShort, before >= store.SpaceShort
	switch {
	case short && !wasShort:
		advice := "what may go is purged, and that was not enough: make room, or give the data a larger volume"
		if u.every == 0 {
			advice = "purging is off (autopurge.purgeInterval=0), so remove old snapshots and log files, or other things"
		}
		u.logger.Error("the disk is nearly full: "+sp.String()+". A server alone, or a leader, refuses writes until there is room again; reads are served",
			zap.String("advice", advice))
	case sp.Level == store.SpaceNone && before == store.SpaceShort:
		u.logger.Error("the disk is full: what was accepted waits until there is room again, reads are served", zap.String("dir", sp.Dir))
	case wasShort && !short:
		u.logger.Info("the disk has room again: writes go on", zap.String("dir", sp.Dir), zap.Int64("free", sp.Free))
	}
}

func (u *upkeep) due(sp store.Space) bool {
	since := time.Since(u.purged)
	return since >= u.every || sp.Level >= store.SpaceLow && since >= lowEvery || u.taken()-u.size >= u.budget
}

// upkeeping is a process's upkeep while it runs.
type upkeeping struct {
	cancelled context.CancelFunc
	running   sync.WaitGroup
	wake      chan struct{} // made before anybody may nudge
}

// nudge has the disk looked at now. It does not block.
func (g *upkeeping) nudge() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

func (g *upkeeping) start(p *process) {
	ctx, cancel := context.WithCancel(context.Background())
	g.cancelled = cancel
	every, limits := p.cfg.Storage.PurgeInterval, p.store.Limits()
	u := upkeep{every: every, budget: limits.LogBudget, logger: p.logger, wake: g.wake,
		taken: p.store.PurgeableBytes, space: p.store.Space, judged: p.actOnSpace,
		purge: func() error { _, err := p.store.Purge(); return err }}
	fields := []zap.Field{zap.Int64("log_budget_bytes", limits.LogBudget), zap.Int64("free_bytes", limits.Space.Free), zap.Int64("floor_bytes", limits.Space.Floor)}
	if every > 0 {
		p.logger.Info("purging is on: old snapshots and log files go in time, when they have grown by the budget, and when the disk is low",
			append(fields, zap.Duration("every", every), zap.Int("snapshots_kept", p.cfg.Storage.SnapRetain))...)
	} else {
		p.logger.Info("purging is off (autopurge.purgeInterval=0): remove old snapshots and log files in time, as with zkCleanup.sh", fields...)
	}
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
