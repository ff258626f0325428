package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"zooid/wire"
)

// lane is one connection of a load, with a fixed number of requests in flight.
type lane struct {
	c     *client
	next  nextFunc
	depth int64
	sent  []time.Time // ring of the times of the requests in flight
	head  int64       // requests answered
	tail  int64       // requests sent
	hist  *hdrhistogram.Histogram
	ops   int64
	errs  int64

	// period is the time between two requests when there is a rate, else 0;
	// offset is when the first of them is due.
	period, offset time.Duration
}

func newLane(c *client, depth int, next nextFunc) *lane {
	c.carryLoad()
	return &lane{c: c, next: next, depth: int64(depth), sent: make([]time.Time, depth), hist: newHistogram()}
}

// schedule gives the i-th of n lanes its share of a rate in requests a second.
// The lanes take turns.
func (l *lane) schedule(rate float64, i, n int) {
	l.period = time.Duration(float64(n) / rate * float64(time.Second))
	l.offset = l.period * time.Duration(i) / time.Duration(n)
}

// runLoad runs the lanes for the warm-up and the time after it.
func runLoad(ctx context.Context, o *Options, lanes []*lane, p *Progress) (result, error) {
	return measure(ctx, o, p, func(ctx context.Context, m *meter) (result, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		clients, errs := make([]*client, len(lanes)), make([]error, len(lanes))
		for i, l := range lanes {
			clients[i] = l.c
		}
		release := guard(ctx, clients)
		var wg sync.WaitGroup
		for i, l := range lanes {
			wg.Go(func() {
				if errs[i] = l.run(ctx, m); errs[i] != nil {
					cancel()
				}
			})
		}
		wg.Wait()
		r := result{hist: newHistogram()}
		for _, l := range lanes {
			r.ops += l.ops
			r.errs += l.errs
			r.hist.Merge(l.hist)
		}
		return r, firstError(append([]error{release()}, errs...))
	})
}

// firstError is the first of errs that is one: when a server goes away every
// connection has the same to say.
func firstError(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// run drives one connection until ctx ends; then it takes the replies that are
// still to come, so that the session can be used further.
func (l *lane) run(ctx context.Context, m *meter) error {
	if l.period > 0 {
		return l.runScheduled(ctx, m)
	}
	for {
		if ctx.Err() == nil {
			for now := time.Now(); l.tail-l.head < l.depth; {
				l.request(now)
			}
		} else if l.head == l.tail {
			return nil
		}
		if err := l.c.flush(); err != nil {
			return err
		}
		if err := l.takeReplies(m); err != nil {
			return err
		}
	}
}

// request queues the next request, whose latency counts from at.
func (l *lane) request(at time.Time) {
	op, body := l.next(l.tail)
	l.c.send(op, body)
	l.sent[l.tail%l.depth] = at
	l.tail++
}

// takeReplies blocks for one reply and takes every other that has come with it.
func (l *lane) takeReplies(m *meter) error {
	h, _, err := l.c.reply()
	now := time.Now()
	n := int64(0)
	for {
		if err != nil {
			return fmt.Errorf("reply %d of a connection: %w", l.head+1, err)
		}
		l.take(m, &h, l.sent[l.head%l.depth], now)
		l.head++
		n++
		if l.head == l.tail || !l.c.buffered() {
			m.answered(n, now)
			return nil
		}
		h, _, err = l.c.reply()
	}
}

// take notes a reply that came at now to a request of the time at.
func (l *lane) take(m *meter, h *wire.ReplyHeader, at, now time.Time) {
	if !m.counts(now) {
		return
	}
	l.ops++
	if h.Err != wire.OK {
		l.errs++
	}
	record(l.hist, now.Sub(at))
}

// runScheduled sends on a schedule from a goroutine of its own and takes the
// replies here. At most depth requests are in flight; what is due beyond that
// is sent late, and its latency counts from when it was due.
func (l *lane) runScheduled(ctx context.Context, m *meter) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	slots, due := make(chan struct{}, l.depth), make(chan time.Time, l.depth)
	var sendErr error
	go func() {
		defer close(due)
		sendErr = l.sendOnSchedule(ctx, slots, due)
	}()
	var err error
	for at := range due {
		if err != nil {
			continue // until the sender has ended
		}
		var h wire.ReplyHeader
		if h, _, err = l.c.reply(); err != nil {
			cancel()
			_ = l.c.conn.Close() // the sender may wait for room in it
			continue
		}
		<-slots
		now := time.Now()
		l.take(m, &h, at, now)
		m.answered(1, now)
	}
	return errors.Join(err, sendErr)
}

// sendOnSchedule sends one request each period until ctx ends.
func (l *lane) sendOnSchedule(ctx context.Context, slots chan<- struct{}, due chan<- time.Time) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for at := time.Now().Add(l.offset); ; at = at.Add(l.period) {
		timer.Reset(time.Until(at))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		op, body := l.next(l.tail)
		l.tail++
		l.c.send(op, body)
		if err := l.c.flush(); err != nil {
			return err
		}
		due <- at
	}
}
