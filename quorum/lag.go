package quorum

import (
	"time"

	"zooid/peer"
	"zooid/wire"
)

// lags remembers, for a leader, since when each of its voters lacks something
// that was proposed. It is looked at with every tick: closer is not worth it.
type lags map[wire.SID]lag

// lag is one learner's: at since it had not acknowledged upTo yet.
type lag struct {
	upTo  wire.Zxid
	since time.Time
}

// look compares what the learners have acknowledged with what was proposed.
func (l *lags) look(p *peer.Peer, now time.Time) {
	st := p.Status()
	if st.State != wire.Leading || len(st.Learners) == 0 {
		*l = nil
		return
	}
	if *l == nil {
		*l = lags{}
	}
	for i := range st.Learners {
		learner := &st.Learners[i]
		behind, ok := (*l)[learner.SID]
		switch {
		case learner.Acked >= st.Proposed || learner.Observer:
			delete(*l, learner.SID)
		case !ok || learner.Acked >= behind.upTo:
			(*l)[learner.SID] = lag{upTo: st.Proposed, since: now}
		}
	}
}

// of tells how long each of those that lack something has lacked it.
func (l lags) of(now time.Time) map[wire.SID]time.Duration {
	times := make(map[wire.SID]time.Duration, len(l))
	for sid, behind := range l {
		times[sid] = now.Sub(behind.since)
	}
	return times
}
