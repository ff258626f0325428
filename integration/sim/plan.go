package main

import (
	"math/rand/v2"

	"zooid/wire"
)

// plan is everything about a run that is decided before it begins. Faults are
// drawn one after the other while it goes on, see drawFault.
type plan struct {
	seed  uint64
	steps int // events until everything is healed

	members   []memberPlan
	alone     bool // one member without an ensemble
	groups    map[int64][]wire.SID
	weights   map[wire.SID]int64
	clients   []clientPlan
	workloads uint32 // a set of workload numbers
	local     bool   // new sessions are local
	upgrade   bool   // … until they make an ephemeral

	tickMs, initLimit, syncLimit      int64
	minNotifyMs, maxNotifyMs, finalMs int64
	epochWaitMs                       int64
	diffBytes, recentBytes            int64
	holdMs                            int64
	holdMax                           int
	latency, jitter                   int64 // µs of a message between members
	fsync                             int64 // µs of a sync
	keepEvery, flushEvery, purgeEvery int64 // µs between hands-over to the copy, its flushes, and purges of the log
	origin                            wire.Zxid
	faultEvery                        int64 // mean µs between faults, 0 = none
	acts                              uint32
	calm                              bool  // in the end, time goes by in which no session may expire
	connectMs                         int64 // how long a dial into a black hole takes
	onlyFaults, onlyClients           []int // nil: all
}

// memberPlan is one member's part.
type memberPlan struct {
	observer bool
	drift    int64 // of its clock, millionths
	offset   int64 // of its clock, µs
}

// clientPlan is one client's part.
type clientPlan struct {
	think      int64 // mean µs between two things that it does
	depth      int   // requests that it sends ahead
	timeoutMs  int32
	reader     bool // it never writes
	countsAnew bool // its requests, with each connection
	vanishes   bool // it may go without its member's hearing that
	fickle     int  // it asks for another timeout with one in so many connections
	restless   int  // one in so many things that it does is a move to another member; 0 = never
}

// shape narrows what plans may look like; zero values leave the choice to the
// seed.
type shape struct {
	members                 int
	onlyFaults, onlyClients []int
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// stream is a source of randomness of its own for each purpose.
func stream(seed uint64, purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, purpose)) }

// Purposes of streams. Clients and faults have one each from these numbers on.
const (
	forPlan = iota + 1
	forNetwork
	forDisks
	forLoops
	forVictims
	forStrangers
	forClients = 1 << 20
	forFaults  = 1 << 32
)

func newPlan(seed uint64, steps int, s shape) *plan {
	r := stream(seed, forPlan)
	p := &plan{seed: seed, steps: steps, onlyFaults: s.onlyFaults, onlyClients: s.onlyClients}
	p.drawMembers(r, s.members)
	p.tickMs = pick(r, int64(100), 200, 400)
	p.initLimit, p.syncLimit = int64(4+r.IntN(7)), int64(2+r.IntN(4))
	p.minNotifyMs, p.maxNotifyMs = pick(r, int64(20), 50, 200), pick(r, int64(400), 1600)
	p.finalMs = pick(r, int64(20), 50, 200)
	p.epochWaitMs = pick(r, int64(-1), 0, 300)
	p.diffBytes = pick(r, int64(1<<20), 1<<20, 2000, 300, 0)
	p.recentBytes = pick(r, int64(1<<20), 4000, 500, 0)
	p.holdMs = pick(r, p.tickMs, p.tickMs, 3*p.tickMs, 0)
	p.holdMax = pick(r, 0, 0, 3)
	p.latency = pick(r, int64(100), 300, 1000)
	p.jitter = p.latency * pick(r, int64(1), 1, 4)
	p.fsync = pick(r, int64(100), 500, 3000)
	p.keepEvery = pick(r, int64(100_000), 1_000_000)
	p.flushEvery = pick(r, int64(300_000), 2_000_000)
	p.purgeEvery = pick(r, int64(0), 700_000, 3_000_000)
	p.faultEvery = pick(r, int64(100_000), 300_000, 300_000, 1_000_000, 1_000_000, 4_000_000)
	if r.IntN(20) == 0 {
		p.faultEvery = 0
	}
	p.connectMs = pick(r, int64(200), 1000)
	p.calm = r.IntN(4) == 0
	p.origin = p.drawOrigin(r)
	p.acts = drawSet(r, int(acts))
	p.local, p.upgrade = !p.alone && r.IntN(8) == 0, r.IntN(4) > 0
	p.drawClients(r)
	return p
}

// drawSet draws a set out of n things: all of them, or some.
func drawSet(r *rand.Rand, n int) uint32 {
	if r.IntN(3) == 0 {
		return 1<<n - 1
	}
	var set uint32
	for set == 0 {
		set = r.Uint32() & (1<<n - 1)
	}
	return set
}

func (p *plan) drawMembers(r *rand.Rand, want int) {
	n, observers := pick(r, 1, 3, 3, 3, 3, 5, 5, 7), 0
	if want > 0 {
		n = want
	}
	if n == 1 {
		p.alone = r.IntN(3) > 0
	}
	if !p.alone && r.IntN(3) == 0 {
		observers = 1 + r.IntN(2)
	}
	for i := range n + observers {
		p.members = append(p.members, memberPlan{
			observer: i >= n, drift: int64(r.IntN(2001) - 1000), offset: int64(r.IntN(10_000_000)),
		})
	}
	if n >= 5 && r.IntN(4) == 0 {
		p.drawGroups(r, n)
	}
}

// drawGroups makes a hierarchical quorum of the first n members.
func (p *plan) drawGroups(r *rand.Rand, n int) {
	p.groups, p.weights = map[int64][]wire.SID{}, map[wire.SID]int64{}
	groups := pick(r, 2, 3)
	for i := range n {
		sid, g := wire.SID(i+1), int64(i%groups+1)
		p.groups[g] = append(p.groups[g], sid)
		p.weights[sid] = pick(r, int64(1), 1, 1, 2)
		if i > 2 && r.IntN(6) == 0 {
			p.weights[sid] = 0 // votes, but does not count
		}
	}
}

// drawOrigin is the zxid at which everybody begins: 0, or one from which the
// counter's end is not far.
func (p *plan) drawOrigin(r *rand.Rand) wire.Zxid {
	if r.IntN(4) > 0 {
		return 0
	}
	epoch := pick(r, uint32(1), 7, 0x1234)
	if p.alone {
		epoch = 0
	}
	return wire.MakeZxid(epoch, 0xffffffff-uint32(2+r.IntN(120)))
}

func (p *plan) drawClients(r *rand.Rand) {
	p.workloads = drawSet(r, len(workloadNames))
	if p.local && p.workloads == 1<<workRecipe {
		p.workloads |= 1 << workMix
	}
	think, readers := pick(r, int64(2_000), 8_000, 30_000), pick(r, 2, 6)
	for range 2 + r.IntN(6) {
		p.clients = append(p.clients, clientPlan{
			think: think, depth: pick(r, 1, 1, 3, 8),
			timeoutMs:  int32(p.tickMs * int64(2+r.IntN(18))),
			reader:     r.IntN(readers) == 0,
			restless:   pick(r, 0, 10, 40, 150),
			countsAnew: r.IntN(2) == 0, vanishes: r.IntN(2) == 0, fickle: pick(r, 8, 8, 2),
		})
	}
}

// hasFault and hasClient tell whether the n-th takes part in the run.
func (p *plan) hasFault(n int) bool { return p.onlyFaults == nil || contains(p.onlyFaults, n) }

func (p *plan) hasClient(n int) bool { return p.onlyClients == nil || contains(p.onlyClients, n) }

func contains(list []int, n int) bool {
	for _, x := range list {
		if x == n {
			return true
		}
	}
	return false
}
