package quorum

import (
	"fmt"
	"testing"
	"time"

	"zooid/wire"
	"zooid/zab"
)

func TestSizes(t *testing.T) {
	s := noSizes
	for _, n := range []int64{5, 3, 9, 4} {
		s.add(n)
	}
	if want := (Sizes{Last: 4, Min: 3, Max: 9}); s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
}

// Lags by what the leader sees with each tick, a second apart: of server 2, a
// voter, that has acknowledged so much.
func TestLags(t *testing.T) {
	const epoch = 1 << 32
	for name, steps := range map[string][]struct {
		proposed, acked wire.Zxid
		synced          bool
		lag             string
	}{
		"in step":                    {{epoch + 5, epoch + 5, true, "0s"}, {epoch + 6, epoch + 6, true, "0s"}},
		"nothing proposed yet":       {{epoch, 7, true, "0s"}, {epoch, 7, true, "0s"}},
		"not in step yet":            {{epoch, 0, false, "0s"}, {epoch, 0, false, "1s"}},
		"lacks the same":             {{epoch + 5, epoch + 4, true, "0s"}, {epoch + 9, epoch + 4, true, "1s"}, {epoch + 9, epoch + 4, true, "2s"}},
		"lacks always another one":   {{epoch + 5, epoch + 4, true, "0s"}, {epoch + 9, epoch + 8, true, "0s"}, {epoch + 12, epoch + 9, true, "0s"}},
		"lacks what it lacked first": {{epoch + 5, epoch + 1, true, "0s"}, {epoch + 9, epoch + 4, true, "1s"}, {epoch + 9, epoch + 5, true, "0s"}},
		"comes into step":            {{epoch + 5, epoch + 4, true, "0s"}, {epoch + 5, epoch + 5, true, "0s"}, {epoch + 6, epoch + 5, true, "0s"}},
	} {
		var o office
		now := time.Unix(100, 0)
		for i, step := range steps {
			st := zab.Status{Proposed: step.proposed, Learners: []zab.LearnerStatus{
				{Conn: 1, SID: 2, Voter: true, Synced: step.synced, Acked: step.acked},
				{Conn: 2, SID: 3, Observer: true, Synced: true},
			}}
			o.look(&st, now)
			if got, want := fmt.Sprint(o.lags(now)), "map[2:"+step.lag+"]"; got != want {
				t.Errorf("%s, step %d: %s, want %s", name, i, got, want)
			}
			now = now.Add(time.Second)
		}
	}
}

// One proposal at a time is followed, from the leader's batch to its commit and
// to the ACK of each voter.
func TestSample(t *testing.T) {
	var now time.Time
	var told []string
	m := newRig(func(o *Options) {
		o.Now = func() time.Time { return now }
		o.Count.QuorumAcked = func(took time.Duration) { told = append(told, fmt.Sprint("quorum ", took)) }
		o.Count.Acked = func(by wire.SID, took time.Duration) { told = append(told, fmt.Sprint(by, " ", took)) }
	}).Member
	m.net = &network{}
	o := &m.turn.office
	o.voters = []voter{{conn: 20, sid: 2}, {conn: 30, sid: 3}}
	at := func(ms int) { now = time.Unix(0, 0).Add(time.Duration(ms) * time.Millisecond) }
	expect := func(want ...string) {
		t.Helper()
		if fmt.Sprint(told) != fmt.Sprint(want) {
			t.Errorf("told %q, want %q", told, want)
		}
		told = nil
	}
	batch := func(zxids ...wire.Zxid) (list []wire.Entry) {
		for _, z := range zxids {
			list = append(list, wire.Entry{Zxid: z, Payload: make([]byte, 40)})
		}
		return list
	}

	at(0)
	m.proposed(batch(1, 2, 3))
	at(1)
	m.proposed(batch(4))
	m.acked(0, 2) // not all of the sample
	m.acked(20, 3)
	at(2)
	m.acked(20, 4) // counted already
	m.acked(0, 4)
	m.applied(2)
	m.applied(3)
	at(5)
	m.applied(4)
	m.acked(40, 4) // of somebody new
	expect("2 1ms", "1 2ms", "quorum 2ms")
	m.acked(30, 3)
	expect("3 5ms")

	m.proposed(batch(5)) // the first one is done with
	at(6)
	m.applied(5)
	m.acked(0, 5)
	m.acked(30, 5)
	expect("quorum 1ms", "1 1ms", "3 1ms")
	at(500)
	m.survey(now) // the peer has no voters at all, so server 2 is gone
	m.proposed(batch(6))
	at(2000)
	m.survey(now)
	m.applied(6)
	expect()
	m.proposed(batch(7))
	m.applied(7)
	expect("quorum 0s")
}
