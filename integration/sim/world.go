package main

import (
	"fmt"
	"math/rand/v2"

	"zooid/auth"
	"zooid/wire"
	"zooid/zab"
	"zooid/znode"
)

const (
	ms          = int64(1000) // µs
	second      = 1000 * ms
	wallStartMs = 1_700_000_000_000
	forever     = int64(1) << 60
)

// world is a whole ensemble with all that is around it.
type world struct {
	plan *plan
	now  int64 // µs since the start
	agenda
	steps int // events so far

	network, disks, loops, victims *rand.Rand

	auth     *auth.Registry
	ensemble *zab.Ensemble // nil for a member alone
	members  []*member
	clients  []*client
	conns    []*conn // by number; nil once they are gone
	live     []*conn // those that are not, and some that are
	blocked  [][]bool
	slow     [][]int64 // factor on the latency; [from][to], members before clients

	ledger   ledger
	sessions map[wire.SessionID]*life
	history  history
	votes    map[wire.Vote]bool // that anybody has given

	faults  faults
	healed  bool // no more faults
	calm    bool // nothing but time goes by
	resting bool // clients do nothing any more
	trace   uint64
	seen    [rareStates]int
	story   *story // nil unless somebody wants to read it
}

// failure is what a check raises; run catches it.
type failure struct {
	check string // its name, which is the same for every seed
	text  string
}

func (w *world) fail(check, format string, args ...any) {
	panic(failure{check, fmt.Sprintf(format, args...)})
}

// saw counts a rare state that the run came through.
func (w *world) saw(s rare) { w.seen[s]++ }

// mix puts something into the hash of the trace.
func (w *world) mix(a, b, c uint64) {
	h := w.trace
	h = (h ^ a) * 0x9e3779b97f4a7c15
	h = (h ^ b ^ h>>29) * 0xbf58476d1ce4e5b9
	h = (h ^ c ^ h>>32) * 0x94d049bb133111eb
	w.trace = h ^ h>>31
}

// later has something called after a while.
func (w *world) later(after int64, call func()) {
	w.add(event{at: w.now + after, kind: atCall, call: call})
}

func (w *world) rules() znode.Rules { return znode.Rules{Auth: w.auth, ExtendedTypes: true} }

// build makes the world of a plan.
func (w *world) build(p *plan) {
	w.plan = p
	w.network, w.disks = stream(p.seed, forNetwork), stream(p.seed, forDisks)
	w.loops, w.victims = stream(p.seed, forLoops), stream(p.seed, forVictims)
	w.sessions, w.votes = map[wire.SessionID]*life{}, map[wire.Vote]bool{}
	var err error
	if w.auth, err = auth.New(auth.Options{}); err != nil {
		panic(err)
	}
	nodes := len(p.members) + len(p.clients)
	for range nodes {
		w.blocked = append(w.blocked, make([]bool, nodes))
		w.slow = append(w.slow, make([]int64, nodes))
	}
	w.ensemble = newEnsemble(p)
	origin := emptyCopy(p.origin)
	w.ledger.begin(p.origin, origin.digest, p.alone)
	w.history.begin()
	for i := range p.members {
		m := newMember(w, i, origin)
		w.members = append(w.members, m)
		w.later(int64(w.loops.IntN(20_000)), m.start)
	}
	for i := range p.clients {
		c := newClient(w, i)
		w.clients = append(w.clients, c)
		if p.hasClient(i) {
			c.wake(int64(w.network.IntN(50_000)))
		}
	}
	w.nextFault()
	w.strangers()
}

func newEnsemble(p *plan) *zab.Ensemble {
	if p.alone {
		return nil
	}
	e := &zab.Ensemble{Groups: p.groups, Weights: p.weights}
	for i, m := range p.members {
		sid, role := wire.SID(i+1), "participant"
		if m.observer {
			role = "observer"
		}
		e.Members = append(e.Members, zab.Member{SID: sid, Observer: m.observer})
		e.Text = fmt.Appendf(e.Text, "server.%d=m%d:2888:3888:%s\n", sid, sid, role)
	}
	e.Text = append(e.Text, "version=0"...)
	return e
}

// step lets the next event happen.
func (w *world) step() {
	e := w.next()
	w.now = e.at
	w.steps++
	w.mix(uint64(e.at), uint64(e.kind)<<32|uint64(uint32(e.who)), uint64(e.arg))
	switch e.kind {
	case atRound:
		if m := w.members[e.who]; m.process != nil && m.incarnation == e.arg {
			m.process.wake(e.at)
		}
	case atTick:
		if m := w.members[e.who]; m.process != nil && m.incarnation == e.arg {
			m.process.tickDue()
		}
	case atDeliver:
		if c := w.conns[e.who]; c != nil {
			w.deliver(c, int(e.arg))
		}
	case atDisk:
		w.members[e.who].disk.done(e.arg)
	case atClient:
		w.clients[e.who].due(e.arg)
	case atCall:
		e.call()
	}
}

// quorum tells whether the voters that has names are one. It is written for
// itself, not taken from what is tested.
func (w *world) quorum(has func(m *member) bool) bool {
	if w.plan.alone {
		return has(w.members[0])
	}
	if w.plan.groups == nil {
		voters, yes := 0, 0
		for _, m := range w.members {
			if !m.observer {
				voters++
				if has(m) {
					yes++
				}
			}
		}
		return 2*yes > voters
	}
	groups, won := 0, 0
	for g := int64(1); g <= int64(len(w.plan.groups)); g++ {
		all, yes := int64(0), int64(0)
		for _, sid := range w.plan.groups[g] {
			weight := w.plan.weights[sid]
			all += weight
			if has(w.members[sid-1]) {
				yes += weight
			}
		}
		if all > 0 {
			groups++
		}
		if 2*yes > all {
			won++
		}
	}
	return 2*won > groups
}

// leader is the member that serves as leader of the latest epoch, nil if there
// is none.
func (w *world) leader() (lead *member) {
	for _, m := range w.members {
		if p := m.process; p != nil && p.serving.State == wire.Leading && (lead == nil || p.serving.Epoch > lead.process.serving.Epoch) {
			lead = m
		}
	}
	return lead
}
