package zab

import "zooid/wire"

// Member returns the member with this SID, nil if there is none.
func (e *Ensemble) Member(sid wire.SID) *Member {
	for i := range e.Members {
		if e.Members[i].SID == sid {
			return &e.Members[i]
		}
	}
	return nil
}

// votes says whether sid is a voter: a member, and not an observer.
func (e *Ensemble) votes(sid wire.SID) bool {
	m := e.Member(sid)
	return m != nil && !m.Observer
}

// weight is how much a voter counts in its group: 1 where a majority decides,
// or if nothing else was said. It is 0 for everybody else. A voter of weight 0
// votes but is never elected.
func (e *Ensemble) weight(sid wire.SID) int64 {
	if !e.votes(sid) {
		return 0
	}
	if w, ok := e.Weights[sid]; ok {
		return w
	}
	return 1
}

// quorum says whether the voters that has names are a quorum: more than half of
// all voters, or, with groups, more than half of the weight in more than half
// of the groups that have weight. Two quorums always have a voter in common.
// has is asked about voters only.
func (e *Ensemble) quorum(has func(wire.SID) bool) bool {
	spare := 0
	if mistaken(OneVoteFewer) {
		spare = 1
	}
	if e.Groups == nil {
		voters, count := 0, spare
		for i := range e.Members {
			if m := &e.Members[i]; !m.Observer {
				voters++
				if has(m.SID) {
					count++
				}
			}
		}
		return count > voters/2
	}
	groups, won := 0, spare
	for _, sids := range e.Groups {
		var all, got int64
		for _, sid := range sids {
			w := e.weight(sid)
			all += w
			if w > 0 && has(sid) {
				got += w
			}
		}
		if all > 0 {
			groups++
		}
		if got > all/2 {
			won++
		}
	}
	return won > groups/2
}
