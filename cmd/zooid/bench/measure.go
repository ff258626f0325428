package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// newHistogram holds 1 µs to 5 min with three digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, (5 * time.Minute).Microseconds(), 3)
}

// record notes a latency in µs, the shortest as 1 and what is out of bounds as
// the longest.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d.Microseconds(), 1), h.HighestTrackableValue()))
}

// result is what a load measured.
type result struct {
	ops    int64 // requests answered; for multi the transactions
	errs   int64 // of them refused; for outage the connections that were lost
	took   time.Duration
	hist   *hdrhistogram.Histogram // latency in µs
	gapMax time.Duration           // longest time in which no connection got an answer

	before, after processSample // the server's processes, around what was measured
}

// stopwatch measures a part of a run.
type stopwatch struct {
	from   time.Time
	before processSample
	pids   []int
}

func (o *Options) startWatch() stopwatch {
	return stopwatch{time.Now(), sampleProcesses(o.PIDs), o.PIDs}
}

func (w *stopwatch) stop(r *result) {
	r.took = time.Since(w.from)
	r.before, r.after = w.before, sampleProcesses(w.pids)
}

// errInterrupted ends a run that was given up before it measured anything.
var errInterrupted = errors.New("interrupted before all was measured")

// meter is shared by the connections of one load. What comes before from is
// warm-up and does not count.
type meter struct {
	from   time.Time
	done   atomic.Int64 // answers, warm-up included
	lastNs atomic.Int64 // when the last answer came, ns after from
	gapNs  atomic.Int64
}

// counts tells whether an answer at now is measured.
func (m *meter) counts(now time.Time) bool { return !now.Before(m.from) }

// answered notes the time of n answers.
func (m *meter) answered(n int64, now time.Time) {
	m.done.Add(n)
	if !m.counts(now) {
		return
	}
	ns := int64(now.Sub(m.from))
	gap := ns - m.lastNs.Swap(ns)
	for old := m.gapNs.Load(); gap > old; old = m.gapNs.Load() {
		if m.gapNs.CompareAndSwap(old, gap) {
			return
		}
	}
}

// measure runs a load, which ends soon after its context does, for the warm-up
// and the time after it, and fills in what does not depend on the load. The
// time ends with the load's last answer, for its operations count as well.
func measure(ctx context.Context, o *Options, p *Progress, load func(ctx context.Context, m *meter) (result, error)) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Warmup+o.Duration)
	defer cancel()
	m := &meter{from: time.Now().Add(o.Warmup)}
	type outcome struct {
		result
		err error
	}
	ended := make(chan outcome, 1)
	go func() {
		r, err := load(ctx, m)
		ended <- outcome{r, err}
	}()
	warm := time.NewTimer(o.Warmup)
	defer warm.Stop()
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	var watch stopwatch
	for {
		select {
		case <-warm.C:
			watch = o.startWatch()
			watch.from = m.from // the timer may be late, and answers count from there
		case <-ticker.C:
			p.update(m.done.Load())
		case out := <-ended:
			switch {
			case out.err != nil:
				return out.result, out.err
			case watch.from.IsZero():
				return out.result, errInterrupted
			}
			watch.stop(&out.result)
			out.gapMax = time.Duration(m.gapNs.Load())
			return out.result, nil
		}
	}
}

// drainLimit is how long after its end a load may wait for answers.
const drainLimit = 10 * time.Second

// guard sees to it that a server that hangs does not hang the measurement: a
// while after ctx has ended it closes the connections. release ends that, and
// tells whether it has happened.
func guard(ctx context.Context, clients []*client) (release func() error) {
	released, result := make(chan struct{}), make(chan error, 1)
	go func() {
		select {
		case <-released:
			result <- nil
			return
		case <-ctx.Done():
		}
		timer := time.NewTimer(drainLimit)
		defer timer.Stop()
		select {
		case <-released:
			result <- nil
		case <-timer.C:
			for _, c := range clients {
				_ = c.conn.Close()
			}
			result <- fmt.Errorf("%w: no answer within %v of the end", ErrConnection, drainLimit)
		}
	}()
	return func() error { close(released); return <-result }
}
