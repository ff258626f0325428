package bench

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"zooid/wire"
)

const (
	// outageRedial is the pause before a server that cannot be reached, or does
	// not serve, is tried again.
	outageRedial = 2 * time.Millisecond
	// outageDial is how long a connection and its handshake may take.
	outageDial = 250 * time.Millisecond
	// outageRate is the writes a second in all if nobody asks for another rate.
	outageRate = 1000
)

// runOutage writes at a steady rate from clients on all servers, each of which
// connects again by itself after every failure: to its own server first, which
// is how one sees whether connections are kept, then to the others in turn. The
// figure is the longest time without a successful write of anybody; errors are
// the connections that were lost. It is for somebody to kill servers meanwhile.
func runOutage(ctx context.Context, o *Options, p *Progress) (r result, err error) {
	place, err := newPlace(ctx, o, p)
	if err != nil {
		return r, err
	}
	// The place's own connection may be lost in the outage. What it made then
	// stays, until the next run removes it.
	defer func() {
		var gone error
		place.leave(p, &gone)
	}()
	place.rest()
	rate := o.Rate
	if rate == 0 {
		rate = outageRate
	}
	p.phase(o.Workload)
	return measure(ctx, o, p, func(ctx context.Context, m *meter) (result, error) {
		r := result{hist: newHistogram()}
		var lost atomic.Int64
		var mu sync.Mutex // guards r
		var wg sync.WaitGroup
		every := time.Duration(float64(time.Second) * float64(o.Connections) / rate)
		begin := time.Now()
		for n := range o.Connections {
			wg.Go(func() {
				w := outageWriter{o: o, m: m, lost: &lost, path: place.dir, server: n % len(o.Servers)}
				due := begin.Add(every * time.Duration(n) / time.Duration(o.Connections))
				w.run(ctx, due, every)
				mu.Lock()
				r.hist.Merge(w.hist)
				r.ops += w.ops
				mu.Unlock()
			})
		}
		wg.Wait()
		m.answered(0, time.Now()) // an outage that lasts to the end counts
		r.errs = lost.Load()
		return r, nil
	})
}

// outageWriter is one client.
type outageWriter struct {
	o      *Options
	m      *meter
	lost   *atomic.Int64
	path   string
	server int // which of the servers it is connected to
	hist   *hdrhistogram.Histogram
	ops    int64
}

// run writes every so often until ctx ends.
func (w *outageWriter) run(ctx context.Context, due time.Time, every time.Duration) {
	w.hist = newHistogram()
	var c *client
	defer func() {
		if c != nil {
			_ = c.conn.Close()
		}
	}()
	data := make([]byte, w.o.Size)
	for ctx.Err() == nil {
		if c == nil {
			if c = w.connect(ctx); c == nil {
				continue
			}
		}
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		}
		from := time.Now()
		due = due.Add(every)
		if due.Before(from) {
			due = from // what could not be written meanwhile is not made up for
		}
		stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Now()) })
		_, err := c.call(wire.OpSetData, &wire.SetDataRequest{Path: w.path, Data: data, Version: -1})
		stop()
		if err != nil {
			if ctx.Err() == nil {
				w.lost.Add(1)
			}
			_ = c.conn.Close()
			c = nil
			continue
		}
		now := time.Now()
		w.m.answered(1, now)
		if w.m.counts(now) {
			record(w.hist, now.Sub(from))
			w.ops++
		}
	}
}

// connect dials the writer's server, else the next one; nil after a failure.
func (w *outageWriter) connect(ctx context.Context) *client {
	c, err := dial(w.o.Servers[w.server], w.o.Timeout, outageDial)
	if err == nil {
		_ = c.conn.SetDeadline(time.Time{})
		return c
	}
	w.server = (w.server + 1) % len(w.o.Servers)
	select {
	case <-time.After(outageRedial):
	case <-ctx.Done():
	}
	return nil
}
