package zab

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"zooid/wire"
)

// TestElectionProperty: whatever is delayed, reordered between connections, cut,
// lost, stopped or restarted, once that ends all members have the same leader,
// and a quorum of voters has nothing that it lacks.
func TestElectionProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ens := drawEnsemble(t)
		if !ens.quorum(func(wire.SID) bool { return true }) {
			t.Skip("nobody has weight")
		}
		net := newElectionNet(ens)
		var story strings.Builder
		net.log = func(format string, args ...any) { fmt.Fprintf(&story, format, args...) }
		for _, m := range net.members {
			m.epoch = rapid.Int64Range(1, 2).Draw(t, "epoch")
			m.last = wire.MakeZxid(uint32(rapid.Int64Range(1, m.epoch).Draw(t, "epoch of the log")), rapid.Uint32Range(1, 3).Draw(t, "counter"))
		}
		for range rapid.IntRange(0, 150).Draw(t, "events") {
			electionChaos(t, net)
		}
		fmt.Fprintln(&story, "healed")
		if problem := electionHeals(net); problem != "" {
			t.Fatalf("%s\n%s", problem, story.String())
		}
	})
}

// electionChaos lets one thing happen.
func electionChaos(t *rapid.T, net *electionNet) {
	sid := func(name string) wire.SID {
		return wire.SID(rapid.IntRange(1, len(net.members)).Draw(t, name))
	}
	m := net.member(sid("member"))
	switch what := rapid.IntRange(0, 19).Draw(t, "what"); {
	case !m.up:
		net.start(m.sid)
	case what == 0:
		net.kill(m.sid)
	case what == 1:
		m.frozen = !m.frozen
	case what == 2:
		net.cut(m.sid, sid("other"))
	case what == 3:
		net.mend(m.sid, sid("other"))
	case what <= 5:
		if !m.frozen && m.state != wire.Looking && !net.served(m) {
			net.look(m.sid)
		}
	case what == 6:
		net.advance(net.now + rapid.Int64Range(1, 500).Draw(t, "ms"))
	case what == 7 && len(net.flights) > 0:
		i := rapid.IntRange(0, len(net.flights)-1).Draw(t, "lost")
		net.flights = slices.Delete(net.flights, i, i+1)
	case len(net.flights) > 0:
		f := net.flights[rapid.IntRange(0, len(net.flights)-1).Draw(t, "delivered")]
		if !net.member(f.to).frozen { // the oldest of this connection
			net.deliver(slices.IndexFunc(net.flights, func(g flight) bool { return g.from == f.from && g.to == f.to }))
		}
	}
}

// electionHeals repairs everything and says what is wrong in the end.
func electionHeals(net *electionNet) string {
	for _, m := range net.members {
		m.frozen = false
		for _, o := range net.members {
			net.mend(m.sid, o.sid)
		}
	}
	for _, m := range net.members {
		if !m.up {
			net.start(m.sid)
		}
	}
	for range 20 {
		net.run(20_000)
		// A role without leader or followers ends; all such are noticed.
		again := slices.DeleteFunc(slices.Clone(net.members), func(m *electionMember) bool {
			return m.state == wire.Looking || net.served(m)
		})
		if len(again) == 0 && net.quiet() {
			return electionOutcome(net)
		}
		for _, m := range again {
			net.look(m.sid)
		}
	}
	return "there is no end of elections"
}

// served says whether a member's role makes sense: a follower's leader leads, a
// leader has a quorum, and they reach each other.
func (n *electionNet) served(m *electionMember) bool {
	follows := func(m *electionMember, leader wire.SID) bool {
		l := n.member(leader)
		return m.up && l.up && m.state != wire.Looking && m.vote.Leader == leader && l.state == wire.Leading && !n.cuts[pair(m.sid, leader)]
	}
	if m.state != wire.Leading {
		return follows(m, m.vote.Leader)
	}
	return n.ens.quorum(func(sid wire.SID) bool { return follows(n.member(sid), m.sid) })
}

// electionOutcome checks the leader that everybody has in the end.
func electionOutcome(net *electionNet) string {
	leader := net.member(net.members[0].vote.Leader)
	if net.ens.weight(leader.sid) == 0 {
		return fmt.Sprintf("%d leads without weight", leader.sid)
	}
	for _, m := range net.members {
		if m.vote.Leader != leader.sid {
			return fmt.Sprintf("%d: %s; %d: %s", m.sid, describeMember(m), leader.sid, describeMember(leader))
		}
	}
	knows := func(sid wire.SID) bool {
		m := net.member(sid)
		return m.epoch < leader.epoch || m.epoch == leader.epoch &&
			(m.last < leader.last || m.last == leader.last && (m.sid <= leader.sid || net.ens.weight(m.sid) == 0))
	}
	if !net.ens.quorum(knows) {
		return fmt.Sprintf("%d leads, which knows less than most others", leader.sid)
	}
	return ""
}
