package zab

import (
	"fmt"
	"slices"
	"strings"

	"zooid/wire"
)

// electionConfig is a member's configuration with ZooKeeper's time-outs.
func electionConfig(sid wire.SID, ens *Ensemble) *Config {
	m := ens.Member(sid)
	return &Config{
		SID: sid, Ensemble: ens, Observer: m != nil && m.Observer,
		TickMs: 2000, MinNotifyMs: 200, MaxNotifyMs: 60000, FinalizeMs: 200,
	}
}

// electionNet joins elections by a network in virtual time. It does what
// quorum's links do: a connection for each pair of members, made when one of
// them has something to say, in order and broken as a whole; what is said first
// on a new one is what was said last on the old one.
type electionNet struct {
	now     int64
	latency int64
	ens     *Ensemble
	members []*electionMember // in order of their SIDs
	flights []flight
	links   map[[2]wire.SID]bool
	cuts    map[[2]wire.SID]bool
	said    map[[2]wire.SID]wire.Notification // from, to
	log     func(format string, args ...any)
}

// electionMember is one member and what its disk holds.
type electionMember struct {
	*election
	sid wire.SID
	up  bool
	// frozen is a process that is stopped: its connections stand, and what comes
	// waits for it.
	frozen bool
	last   wire.Zxid
	epoch  int64
}

// flight is a notification under way.
type flight struct {
	at       int64
	from, to wire.SID
	n        wire.Notification
}

func newElectionNet(ens *Ensemble) *electionNet {
	n := &electionNet{
		latency: 1, ens: ens,
		links: map[[2]wire.SID]bool{}, cuts: map[[2]wire.SID]bool{}, said: map[[2]wire.SID]wire.Notification{},
		log: func(string, ...any) {},
	}
	for _, m := range ens.Members {
		n.members = append(n.members, &electionMember{sid: m.SID})
	}
	return n
}

func (n *electionNet) member(sid wire.SID) *electionMember {
	for _, m := range n.members {
		if m.sid == sid {
			return m
		}
	}
	return nil
}

func pair(a, b wire.SID) [2]wire.SID { return [2]wire.SID{min(a, b), max(a, b)} }

// start starts a member's process.
func (n *electionNet) start(sid wire.SID) {
	m := n.member(sid)
	m.up = true
	m.election = newElection(electionConfig(sid, n.ens))
	for _, o := range n.members {
		delete(n.said, [2]wire.SID{sid, o.sid})
	}
	n.look(sid)
}

// look begins an election, the first one or after a role has ended.
func (n *electionNet) look(sid wire.SID) {
	m := n.member(sid)
	m.settle(wire.Looking)
	m.look(n.now, m.last, m.epoch)
	n.drain(m)
}

// kill ends a member's process.
func (n *electionNet) kill(sid wire.SID) {
	n.member(sid).up = false
	for _, o := range n.members {
		n.disconnect(sid, o.sid)
	}
}

// cut and mend break and repair the way between two members.
func (n *electionNet) cut(a, b wire.SID) {
	n.cuts[pair(a, b)] = true
	n.disconnect(a, b)
}

func (n *electionNet) mend(a, b wire.SID) { delete(n.cuts, pair(a, b)) }

// drain carries out what a member wants.
func (n *electionNet) drain(m *electionMember) {
	notices, connectAll, decided := m.notices, m.connectAll, m.decided
	m.notices, m.connectAll, m.decided = nil, false, nil
	for _, notice := range notices {
		n.say(m.sid, notice.To, notice.N)
	}
	if connectAll {
		for _, o := range n.members {
			n.connect(m.sid, o.sid)
		}
	}
	if decided != nil {
		n.log("%4d ms  %d: %s\n", n.now, m.sid, describeMember(m))
	}
}

func (n *electionNet) say(from, to wire.SID, note wire.Notification) {
	n.said[[2]wire.SID{from, to}] = note
	if n.links[pair(from, to)] {
		n.fly(from, to, note)
	} else {
		n.connect(from, to)
	}
}

// fly sends on a connection. Saying the same twice in one breath is saying it
// once: newer notifications replace older ones that wait to be written.
func (n *electionNet) fly(from, to wire.SID, note wire.Notification) {
	for _, f := range slices.Backward(n.flights) {
		if f.from == from && f.to == to {
			if f.at == n.now+n.latency && describeNotification(&f.n) == describeNotification(&note) {
				return
			}
			break
		}
	}
	n.flights = append(n.flights, flight{n.now + n.latency, from, to, note})
}

func (n *electionNet) connect(a, b wire.SID) {
	x, y := n.member(a), n.member(b)
	if a == b || x == nil || y == nil || !x.up || !y.up || n.links[pair(a, b)] || n.cuts[pair(a, b)] {
		return
	}
	n.links[pair(a, b)] = true
	for _, way := range [][2]wire.SID{{a, b}, {b, a}} {
		if note, ok := n.said[way]; ok {
			n.fly(way[0], way[1], note)
		}
	}
	x.linked(n.now, b)
	y.linked(n.now, a)
	n.drain(x)
	n.drain(y)
}

func (n *electionNet) disconnect(a, b wire.SID) {
	if !n.links[pair(a, b)] {
		return
	}
	delete(n.links, pair(a, b))
	n.flights = slices.DeleteFunc(n.flights, func(f flight) bool { return pair(f.from, f.to) == pair(a, b) })
	for _, way := range [][2]wire.SID{{a, b}, {b, a}} {
		if m := n.member(way[0]); m.up {
			m.unlinked(n.now, way[1])
			n.drain(m)
		}
	}
}

// deliver brings the i-th notification under way to its receiver.
func (n *electionNet) deliver(i int) {
	f := n.flights[i]
	n.flights = slices.Delete(n.flights, i, i+1)
	n.log("%4d ms  %d -> %d  %s\n", n.now, f.from, f.to, describeNotification(&f.n))
	m := n.member(f.to)
	m.notified(n.now, f.from, &f.n)
	n.drain(m)
}

// step lets the next thing happen, if it does before limit.
func (n *electionNet) step(limit int64) bool {
	i := slices.IndexFunc(n.flights, func(f flight) bool { return !n.member(f.to).frozen })
	at, due := never, n.deadline()
	if i >= 0 {
		at = max(n.now, n.flights[i].at) // one latency: first in, first out
	}
	if min(at, due) > limit {
		return false
	}
	if at <= due {
		n.now = at
		n.deliver(i)
	} else {
		n.advance(due)
	}
	return true
}

// deadline is the next time at which a member wants its Tick.
func (n *electionNet) deadline() int64 {
	d := never
	for _, m := range n.members {
		if m.up && !m.frozen {
			d = min(d, m.deadline())
		}
	}
	return d
}

// advance lets time pass without any delivery.
func (n *electionNet) advance(to int64) {
	n.now = max(n.now, to)
	for _, m := range n.members {
		if m.up && !m.frozen && m.deadline() <= n.now {
			m.tick(n.now)
			n.drain(m)
		}
	}
}

// run lets things happen for some time, or until every member has a role and
// all is said.
func (n *electionNet) run(ms int64) {
	limit := n.now + ms
	for !n.quiet() {
		if !n.step(limit) {
			n.advance(limit)
			return
		}
	}
}

func (n *electionNet) quiet() bool {
	for _, m := range n.members {
		if m.up && !m.frozen && !m.silent && m.state == wire.Looking {
			return false
		}
	}
	return !slices.ContainsFunc(n.flights, func(f flight) bool { return !n.member(f.to).frozen })
}

func describeVote(v wire.Vote) string {
	if v == wire.NoVote {
		return "nobody"
	}
	return fmt.Sprintf("%d, epoch %d, %v", v.Leader, v.PeerEpoch, v.Zxid)
}

func describeNotification(n *wire.Notification) string {
	return fmt.Sprintf("%s for %s, round %d", strings.ToUpper(n.State.String()), describeVote(n.Vote), n.Round)
}

func describeMember(m *electionMember) string {
	switch {
	case m.election == nil || !m.up:
		return "down"
	case m.silent:
		return "silent"
	case m.frozen:
		return "frozen"
	case m.state == wire.Leading:
		return fmt.Sprintf("LEADING, round %d", m.round)
	}
	return fmt.Sprintf("%s %s, round %d", strings.ToUpper(m.state.String()), describeVote(m.vote), m.round)
}
