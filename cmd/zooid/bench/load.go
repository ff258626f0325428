package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"zooid/wire"
)

// histogram bounds: 1 µs to 5 min, three digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, (5 * time.Minute).Microseconds(), 3)
}

// result is what a load measured.
type result struct {
	ops    int64 // requests answered; for multi the transactions
	errs   int64 // of them refused
	took   time.Duration
	hist   *hdrhistogram.Histogram // latency in µs
	gapMax time.Duration           // longest time without an answer on any connection
}

// meter is shared by the connections of one load.
type meter struct {
	counting atomic.Bool // the warm-up is over
	done     atomic.Int64
	lastNs   atomic.Int64 // when the last answer came, ns since begin
	gapNs    atomic.Int64
	begin    time.Time
}

// answered notes the time of n answers.
func (m *meter) answered(n int64, now time.Time) {
	m.done.Add(n)
	ns := int64(now.Sub(m.begin))
	gap := ns - m.lastNs.Swap(ns)
	if !m.counting.Load() {
		return
	}
	for {
		old := m.gapNs.Load()
		if gap <= old || m.gapNs.CompareAndSwap(old, gap) {
			return
		}
	}
}

// lane is one connection of a load.
type lane struct {
	c     *client
	next  nextFunc
	depth int
	// period is the time between two requests when there is a rate, else 0.
	period time.Duration
	sent   []time.Time // ring of the times of requests in flight
	head   int64       // requests answered
	tail   int64       // requests sent
	hist   *hdrhistogram.Histogram
	ops    int64
	errs   int64
}

// runLoad runs the lanes for the warm-up and the time after it.
func runLoad(ctx context.Context, lanes []*lane, warmup, duration time.Duration, progress func(done int64)) (result, error) {
	m := &meter{begin: time.Now()}
	ctx, cancel := context.WithTimeout(ctx, warmup+duration)
	defer cancel()
	var wg sync.WaitGroup
	errs := make(chan error, len(lanes))
	for _, l := range lanes {
		wg.Go(func() {
			if err := l.run(ctx, m); err != nil {
				errs <- err
				cancel()
			}
		})
	}
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	warm := time.NewTimer(warmup)
	defer warm.Stop()
	var countedFrom time.Time
	for ctx.Err() == nil {
		select {
		case <-warm.C:
			countedFrom = time.Now()
			m.lastNs.Store(int64(countedFrom.Sub(m.begin)))
			m.counting.Store(true)
		case <-ticker.C:
			progress(m.done.Load())
		case <-ctx.Done():
		}
	}
	ended := time.Now()
	wg.Wait()
	close(errs)
	if err := <-errs; err != nil {
		return result{}, err
	}
	r := result{hist: newHistogram(), took: ended.Sub(countedFrom), gapMax: time.Duration(m.gapNs.Load())}
	for _, l := range lanes {
		r.ops += l.ops
		r.errs += l.errs
		r.hist.Merge(l.hist)
	}
	return r, nil
}

// run drives one connection until ctx ends; then it takes the replies that are
// still to come, so that the session can be used further.
func (l *lane) run(ctx context.Context, m *meter) error {
	l.sent = make([]time.Time, l.depth)
	stop := context.AfterFunc(ctx, func() {
		// A server that hangs must not hang the measurement.
		_ = l.c.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	})
	defer stop()
	if l.period > 0 {
		return l.runScheduled(ctx, m)
	}
	for ctx.Err() == nil || l.head < l.tail {
		if ctx.Err() == nil {
			now := time.Now()
			for l.tail-l.head < int64(l.depth) {
				l.request(now)
			}
		}
		if err := l.c.flush(); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		if err := l.takeReplies(m); err != nil {
			return err
		}
	}
	return nil
}

func (l *lane) request(at time.Time) {
	op, body := l.next(l.tail)
	l.c.send(op, body)
	l.sent[l.tail%int64(l.depth)] = at
	l.tail++
}

// takeReplies blocks for one reply and takes every other that has come with it.
func (l *lane) takeReplies(m *meter) error {
	var n int64
	var now time.Time
	for first := true; first || l.c.in.Buffered() > 4 && l.head < l.tail; first = false {
		h, _, err := l.c.reply()
		if err != nil {
			return fmt.Errorf("reply %d of a connection: %w", l.head+1, err)
		}
		if first {
			now = time.Now()
		}
		if m.counting.Load() {
			l.ops++
			if h.Err != wire.OK {
				l.errs++
			}
			_ = l.hist.RecordValue(max(1, now.Sub(l.sent[l.head%int64(l.depth)]).Microseconds()))
		}
		l.head++
		n++
	}
	m.answered(n, now)
	return nil
}

// runScheduled sends on a schedule from a goroutine of its own and takes the
// replies here. At most depth requests are in flight; what is due beyond that
// is sent late, and its latency counts from when it was due.
func (l *lane) runScheduled(ctx context.Context, m *meter) error {
	slots := make(chan struct{}, l.depth)
	due := make(chan time.Time, l.depth)
	sendErr := make(chan error, 1)
	go func() {
		defer close(due)
		next := time.Now()
		for ; ctx.Err() == nil; next = next.Add(l.period) {
			if wait := time.Until(next); wait > 0 {
				timer := time.NewTimer(wait)
				select {
				case <-timer.C:
				case <-ctx.Done():
					timer.Stop()
					return
				}
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			op, body := l.next(l.tail)
			l.tail++
			l.c.send(op, body)
			if err := l.c.flush(); err != nil {
				sendErr <- fmt.Errorf("write: %w", err)
				return
			}
			due <- next
		}
	}()
	for at := range due {
		h, _, err := l.c.reply()
		if err != nil {
			return errors.Join(fmt.Errorf("reply: %w", err), l.c.conn.Close())
		}
		<-slots
		now := time.Now()
		m.answered(1, now)
		if m.counting.Load() {
			l.ops++
			if h.Err != wire.OK {
				l.errs++
			}
			_ = l.hist.RecordValue(max(1, now.Sub(at).Microseconds()))
		}
	}
	select {
	case err := <-sendErr:
		return err
	default:
		return nil
	}
}

// micros gives a quantile of h in µs; NaN without values.
func micros(h *hdrhistogram.Histogram, q float64) float64 {
	if h.TotalCount() == 0 {
		return math.NaN()
	}
	return float64(h.ValueAtQuantile(q))
}
