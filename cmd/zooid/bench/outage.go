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
	// outageClose is how long a session may take to end.
	outageClose = time.Second
	// outageRate is the writes a second in all if nobody asks for another rate.
	outageRate = 1000
)

// outageLoad has a client on every server at least.
func outageLoad(o *Options) (connections, depth int) { return max(o.Connections, len(o.Servers)), 1 }

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
	defer func() {
		// What cannot be removed because nobody serves stays, until the next run
		// does it; the figures are worth having all the same.
		place.renew(o)
		var gone error
		place.leave(p, &gone)
	}()
	place.rest()
	if o.Rate == 0 {
		o.Rate = outageRate
	}
	p.phase(o.Workload)
	return measure(ctx, o, p, func(ctx context.Context, m *meter) (result, error) {
		r := result{hist: newHistogram()}
		var lost atomic.Int64
		var mu sync.Mutex // guards r
		var wg sync.WaitGroup
		every := time.Duration(float64(time.Second) * float64(o.Connections) / o.Rate)
		begin := time.Now()
		for n := range o.Connections {
			wg.Go(func() {
				w := newOutageWriter(o, m, &lost, place.dir, n%len(o.Servers))
				w.run(ctx, begin.Add(every*time.Duration(n)/time.Duration(o.Connections)), every)
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

// renew gives a place whose connection was lost another one, if any server
// serves.
func (pl *place) renew(o *Options) {
	pl.stopPings()
	pl.stopPings = nil
	_ = pl.c.conn.SetDeadline(time.Now().Add(outageClose))
	if pl.c.ping() == nil {
		_ = pl.c.conn.SetDeadline(time.Now().Add(drainLimit))
		return
	}
	for _, addr := range o.Servers {
		if c, err := dial(addr, o.Timeout, outageDial); err == nil {
			_ = pl.c.conn.Close()
			pl.c = c
			_ = c.conn.SetDeadline(time.Now().Add(drainLimit))
			return
		}
	}
}

// outageWriter is one client.
type outageWriter struct {
	o      *Options
	m      *meter
	lost   *atomic.Int64 // connections, of all clients
	path   string
	data   []byte
	server int // which of the servers it is connected to
	hist   *hdrhistogram.Histogram
	ops    int64
}

func newOutageWriter(o *Options, m *meter, lost *atomic.Int64, path string, server int) *outageWriter {
	return &outageWriter{o: o, m: m, lost: lost, path: path, data: make([]byte, o.Size), server: server, hist: newHistogram()}
}

// run writes every so often, for the first time when due, until ctx ends.
func (w *outageWriter) run(ctx context.Context, due time.Time, every time.Duration) {
	var c *client
	for ctx.Err() == nil {
		if c == nil {
			if c = w.connect(ctx); c == nil {
				continue
			}
		}
		if !pause(ctx, time.Until(due)) {
			break
		}
		from := time.Now()
		due = due.Add(every)
		if due.Before(from) {
			due = from // what could not be written meanwhile is not made up for
		}
		if err := w.write(ctx, c); err != nil {
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
	if c != nil {
		_ = c.conn.SetDeadline(time.Now().Add(outageClose))
		_ = c.close()
	}
}

// write makes one write. Like every client it gives a server up that has been
// silent for two thirds of the session timeout.
func (w *outageWriter) write(ctx context.Context, c *client) error {
	if err := c.conn.SetDeadline(time.Now().Add(c.timeout * 2 / 3)); err != nil {
		return err
	}
	// The last write may still be answered, so that its session can be closed.
	defer context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Now().Add(outageClose)) })()
	_, err := c.call(wire.OpSetData, &wire.SetDataRequest{Path: w.path, Data: w.data, Version: -1})
	return err
}

// connect dials the writer's server; after a failure, which is nil, its server
// is the next one.
func (w *outageWriter) connect(ctx context.Context) *client {
	c, err := dial(w.o.Servers[w.server], w.o.Timeout, outageDial)
	if err == nil {
		return c
	}
	w.server = (w.server + 1) % len(w.o.Servers)
	pause(ctx, outageRedial)
	return nil
}

// pause waits, and tells whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
