package bench

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"zooid/wire"
)

// options for a run of the given length, without warm-up.
func during(d time.Duration) *Options { return &Options{Duration: d} }

func quiet() *Progress { return newProgress(nil, 0) }

// run puts a load on f by one lane.
func (f *fakeServer) run(t *testing.T, ctx context.Context, o *Options, depth int, rate float64) (result, error) {
	t.Helper()
	l := newLane(f.connect(t), depth, gets)
	if rate > 0 {
		l.schedule(rate, 0, 1)
	}
	return runLoad(ctx, o, []*lane{l}, quiet())
}

func within(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if math.Abs(float64(got-want)) > float64(want)/100+float64(2*time.Millisecond) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// A server that takes a millisecond for each request: throughput, latency and
// requests in flight follow from that and the depth.
func TestLoadOfAFixedDepth(t *testing.T) {
	const depth, each = 8, time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{before: func(wire.RequestHeader) bool { time.Sleep(each); return true }}
		r, err := f.run(t, t.Context(), during(time.Second), depth, 0)
		if err != nil {
			t.Fatal(err)
		}
		if want := int64(time.Second/each + depth); r.ops < want-2 || r.ops > want+2 {
			t.Errorf("%d operations, want %d", r.ops, want)
		}
		within(t, "the time", r.took, time.Second+depth*each)
		within(t, "the median", time.Duration(r.hist.ValueAtQuantile(50))*time.Microsecond, depth*each)
		within(t, "the longest gap", r.gapMax, each)
		if f.most != depth {
			t.Errorf("%d requests in flight, want %d", f.most, depth)
		}
	})
}

func TestWarmupDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		f := &fakeServer{before: func(wire.RequestHeader) bool {
			// Slow at first, as a cold server is.
			if time.Since(began) < time.Second {
				time.Sleep(99 * time.Millisecond)
			}
			time.Sleep(time.Millisecond)
			return true
		}}
		o := during(time.Second)
		o.Warmup = 2 * time.Second
		r, err := f.run(t, t.Context(), o, 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		within(t, "the time", r.took, time.Second)
		within(t, "the slowest", time.Duration(r.hist.Max())*time.Microsecond, time.Millisecond)
		within(t, "the longest gap", r.gapMax, time.Millisecond)
		if r.ops < 998 || r.ops > 1002 {
			t.Errorf("%d operations, want 1000", r.ops)
		}
	})
}

// stallOnce makes a server that stands still once, at the given moment.
func stallOnce(at, length time.Duration) *fakeServer {
	began, done := time.Now(), false
	return &fakeServer{before: func(wire.RequestHeader) bool {
		if !done && time.Since(began) >= at {
			done = true
			time.Sleep(length)
		} else {
			time.Sleep(100 * time.Microsecond)
		}
		return true
	}}
}

// While the server stands still requests go on to be due: their latency counts
// from then, whether they could be sent or not. Without a schedule one request
// would show the stall.
func TestScheduleShowsAStall(t *testing.T) {
	const stall = 400 * time.Millisecond
	for name, depth := range map[string]int{"all can be sent": 1000, "one at a time": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, err := stallOnce(300*time.Millisecond, stall).run(t, t.Context(), during(time.Second), depth, 1000)
				if err != nil {
					t.Fatal(err)
				}
				if r.ops < 990 || r.ops > 1010 {
					t.Errorf("%d operations, want 1000", r.ops)
				}
				slow := int64(0)
				for _, bar := range r.hist.Distribution() {
					if bar.From > (stall / 2).Microseconds() {
						slow += bar.Count
					}
				}
				if slow < 190 || slow > 250 {
					t.Errorf("%d operations took more than half of the stall, want 200: those that were due in its first half", slow)
				}
				within(t, "the slowest", time.Duration(r.hist.Max())*time.Microsecond, stall)
				within(t, "the longest gap", r.gapMax, stall)
			})
		})
	}
}

// Lanes with a rate take turns.
func TestScheduleSpreadsTheLanes(t *testing.T) {
	for i, want := range []time.Duration{0, time.Millisecond, 2 * time.Millisecond, 3 * time.Millisecond} {
		var l lane
		l.schedule(1000, i, 4)
		if l.period != 4*time.Millisecond || l.offset != want {
			t.Errorf("lane %d: every %v from %v on", i, l.period, l.offset)
		}
	}
}

// A stall at the end of the time counts like any other.
func TestGapAtTheEnd(t *testing.T) {
	const stall = 3 * time.Second
	synctest.Test(t, func(t *testing.T) {
		r, err := stallOnce(900*time.Millisecond, stall).run(t, t.Context(), during(time.Second), 4, 0)
		if err != nil {
			t.Fatal(err)
		}
		within(t, "the longest gap", r.gapMax, stall)
		within(t, "the slowest", time.Duration(r.hist.Max())*time.Microsecond, stall)
		within(t, "the time", r.took, 900*time.Millisecond+stall)
	})
}

func TestServerThatHangs(t *testing.T) {
	for name, rate := range map[string]float64{"depth": 0, "schedule": 1000} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				f := &fakeServer{before: func(wire.RequestHeader) bool { n++; return n < 100 }}
				began := time.Now()
				_, err := f.run(t, t.Context(), during(time.Second), 16, rate)
				if !errors.Is(err, ErrConnection) {
					t.Errorf("%v, want a lost connection", err)
				}
				within(t, "the wait", time.Since(began), time.Second+drainLimit)
			})
		})
	}
}

// A connection that breaks ends the run at once, for every lane.
func TestConnectionThatBreaks(t *testing.T) {
	for name, rate := range map[string]float64{"depth": 0, "schedule": 1000} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// Without a delay no time would pass in the bubble.
				slow := func(wire.RequestHeader) bool { time.Sleep(time.Millisecond); return true }
				good, bad := &fakeServer{before: slow}, &fakeServer{before: slow}
				lanes := []*lane{newLane(good.connect(t), 4, gets), newLane(bad.connect(t), 4, gets)}
				for i, l := range lanes {
					if rate > 0 {
						l.schedule(rate, i, len(lanes))
					}
				}
				time.AfterFunc(100*time.Millisecond, func() { lanes[1].c.conn.Close() })
				began := time.Now()
				_, err := runLoad(t.Context(), during(time.Minute), lanes, quiet())
				if !errors.Is(err, ErrConnection) {
					t.Errorf("%v, want a lost connection", err)
				}
				within(t, "the end", time.Since(began), 104*time.Millisecond) // the other's four in flight
			})
		})
	}
}

func TestInterrupted(t *testing.T) {
	for _, c := range []struct {
		name   string
		after  time.Duration
		err    error
		lasted time.Duration
	}{
		{"in the warm-up", 500 * time.Millisecond, errInterrupted, 0},
		{"while measuring", 1500 * time.Millisecond, nil, 500 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeServer{before: func(wire.RequestHeader) bool { time.Sleep(time.Millisecond); return true }}
				ctx, cancel := context.WithTimeout(t.Context(), c.after)
				defer cancel()
				o := &Options{Warmup: time.Second, Duration: time.Minute}
				r, err := f.run(t, ctx, o, 1, 0)
				if !errors.Is(err, c.err) {
					t.Fatalf("%v, want %v", err, c.err)
				}
				if err == nil {
					within(t, "the time", r.took, c.lasted)
				}
			})
		})
	}
}

// Refused requests are counted as what they are.
func TestRefusedRequests(t *testing.T) {
	l := &lane{hist: newHistogram()}
	m := &meter{from: time.Now()}
	now := m.from.Add(time.Millisecond)
	l.take(m, &wire.ReplyHeader{}, m.from, now)
	l.take(m, &wire.ReplyHeader{Err: wire.ErrNoNode}, m.from, now)
	l.take(m, &wire.ReplyHeader{}, m.from, m.from.Add(-time.Second)) // warm-up
	if l.ops != 2 || l.errs != 1 || l.hist.TotalCount() != 2 {
		t.Errorf("%d operations, %d refused, %d latencies", l.ops, l.errs, l.hist.TotalCount())
	}
}

func TestGap(t *testing.T) {
	m := &meter{from: time.Now()}
	at := func(ms int) time.Time { return m.from.Add(time.Duration(ms) * time.Millisecond) }
	for _, ms := range []int{-500, -1, 20, 21, 71, 72} {
		m.answered(2, at(ms))
	}
	if gap := time.Duration(m.gapNs.Load()); gap != 50*time.Millisecond || m.done.Load() != 12 {
		t.Errorf("longest gap %v of %d answers, want 50ms of 12", gap, m.done.Load())
	}
}
