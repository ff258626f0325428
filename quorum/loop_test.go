package quorum

import (
	"testing"
	"time"

	"zooid/peer"
	"zooid/zab"
)

// The protocol's clock goes with the time in which something could be heard.
func TestClock(t *testing.T) {
	began := time.Unix(100, 0)
	c := clock{last: began}
	now := began
	for i, step := range []struct {
		passed time.Duration
		want   int64
	}{
		{0, 0}, {900 * time.Microsecond, 0}, {100 * time.Microsecond, 1}, {50 * time.Millisecond, 51},
		{stallMin - 1, 250}, {1, 251}, {stallMin, 301}, {time.Hour, 351}, {-time.Hour, 351}, {time.Millisecond, 352},
	} {
		now = now.Add(step.passed)
		if got := c.lapse(now); got != step.want {
			t.Errorf("step %d: %d ms, want %d", i, got, step.want)
		}
	}
}

// The loop's own goroutine sleeps until the next tick, or until the peer waits
// for something, by its clock.
func TestUntilNext(t *testing.T) {
	began := time.Unix(100, 0)
	now := began
	alone := newRig(func(o *Options) { o.Now = func() time.Time { return now } }).Member
	alone.net = &network{}
	if d := alone.untilNext(began); d != tickEvery || alone.deadline.Load() != tickEvery.Milliseconds() {
		t.Errorf("with nothing to wait for: %v, until %d ms", d, alone.deadline.Load())
	}

	const notify = 20 // ms to the first time that votes are sent again
	m := newRig(func(o *Options) {
		o.Now = func() time.Time { return now }
		o.Peer = peer.Config{Zab: zab.Config{SID: 1, TickMs: 2000, MinNotifyMs: notify, MaxNotifyMs: 1000,
			Ensemble: &zab.Ensemble{Members: []zab.Member{{SID: 1}, {SID: 2}}}}}
	}).Member
	m.net = &network{}
	m.peer.Start(m.turn.clock.lapse(now))
	if at := m.peer.Deadline(); at != notify {
		t.Fatalf("the election waits until %d ms", at)
	}
	for _, c := range []struct{ passed, want time.Duration }{
		{0, notify * time.Millisecond}, {300 * time.Microsecond, 19700 * time.Microsecond}, {time.Second, 0},
	} {
		now = began.Add(c.passed)
		if d := m.untilNext(now); d != c.want || m.deadline.Load() != notify {
			t.Errorf("after %v: %v, until %d ms, want %v", c.passed, d, m.deadline.Load(), c.want)
		}
		if m.earlier() {
			t.Errorf("after %v: it would be woken to no purpose", c.passed)
		}
	}
	m.deadline.Store(notify + 1)
	if !m.earlier() {
		t.Error("it would sleep beyond the deadline")
	}
}
