package main

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"

	"zooid/auth"
	"zooid/peer"
	"zooid/session"
	"zooid/wire"
	"zooid/znode"
)

const (
	tickMs      = 2000 // zoo.cfg's tickTime
	loopMs      = 50   // the member looks at the clock this often
	keepSecret  = "simulated secret"
	sweepEvery  = 10_000
	sweepMax    = 10_000
	wallStartMs = 1_700_000_000_000
)

// world is one member, its log and its clients.
type world struct {
	seed  uint64
	rng   *rand.Rand
	trace uint64 // running hash of everything that was observable
	seen  map[string]int

	now     int64 // ms since the start of the simulation, stalls included
	heard   int64 // ms of them in which the member could have heard its clients
	auth    *auth.Registry
	tree    *znode.Tree
	peer    *peer.Peer
	log     []wire.Entry // all that was appended
	durable int          // of them on disk
	acked   wire.Zxid    // last zxid that a client has seen the outcome of
	digests map[wire.Zxid]uint64

	clients  []*client
	conns    map[znode.ConnID]*client
	lastConn znode.ConnID
	sessions map[wire.SessionID]*life
	watches  map[znode.ConnID]map[string]bool // one-shot data watches that are armed
	out      znode.Applied
}

// life is what the checks know of a session.
type life struct {
	timeoutMs int64
	heard     int64 // of world.heard
	asked     bool  // its client has asked for its end
}

// client finds who has a connection; nil if it is gone.
func (w *world) client(conn znode.ConnID) *client {
	if c := w.conns[conn]; c != nil && c.conn == conn {
		return c
	}
	return nil
}

// note counts a rare state that the run came through.
func (w *world) note(what string) { w.seen[what]++ }

// observe puts something into the trace.
func (w *world) observe(format string, args ...any) {
	h := fnv.New64a()
	fmt.Fprintf(h, "%x ", w.trace)
	fmt.Fprintf(h, format, args...)
	w.trace = h.Sum64()
}

// failure is what a check raises; run catches it.
type failure struct{ text string }

func (w *world) fail(format string, args ...any) {
	panic(failure{fmt.Sprintf(format, args...)})
}

func newWorld(seed uint64) *world {
	w := &world{seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), seen: map[string]int{},
		digests: map[wire.Zxid]uint64{}, sessions: map[wire.SessionID]*life{}}
	var err error
	if w.auth, err = auth.New(auth.Options{}); err != nil {
		w.fail("auth: %v", err)
	}
	for i := range 3 + w.rng.IntN(6) {
		w.clients = append(w.clients, &client{n: i})
	}
	w.start()
	return w
}

// start recovers the tree from what is on disk, as a restart does.
func (w *world) start() {
	w.tree = znode.New()
	w.tree.SetRules(znode.Rules{Auth: w.auth, ExtendedTypes: true})
	w.conns = map[znode.ConnID]*client{}
	w.watches = map[znode.ConnID]map[string]bool{}
	w.tree.Lock()
	for _, e := range w.log {
		txn, err := wire.DecodeTxn(e.Payload)
		if err != nil {
			w.fail("log record %v: %v", e.Zxid, err)
		}
		w.tree.Apply(txn, &w.out)
		if want, ok := w.digests[e.Zxid]; ok && want != w.tree.Digest() {
			w.fail("replay of %v gives digest %x, it was %x", e.Zxid, w.tree.Digest(), want)
		}
		w.digests[e.Zxid] = w.tree.Digest()
	}
	w.tree.Unlock()
	if w.tree.LastZxid() < w.acked {
		w.fail("acknowledged up to %v, recovered only %v", w.acked, w.tree.LastZxid())
	}
	known := map[wire.SessionID]bool{}
	w.tree.Sessions(func(id wire.SessionID, timeoutMs, _ int32) {
		known[id] = true
		// Everyone gets a full timeout after a start: the one that the session
		// was created with, for one that a re-attachment asked for is not
		// written down, as in ZooKeeper.
		if l := w.sessions[id]; l != nil {
			l.heard, l.timeoutMs, l.asked = w.heard, int64(timeoutMs), false
		} else {
			w.sessions[id] = &life{timeoutMs: int64(timeoutMs), heard: w.heard}
		}
	})
	for id := range w.sessions {
		if !known[id] {
			delete(w.sessions, id)
		}
	}
	w.peer = peer.New(peer.Config{SID: 1, TickMs: tickMs, Keys: session.NewKeys([]byte(keepSecret)),
		SweepMs: sweepEvery, SweepMax: sweepMax}, w.tree, wallStartMs+w.now)
}

// crash loses what was not synced, but for a random beginning of it, and
// starts again. Every connection is gone.
func (w *world) crash() {
	survives := w.durable
	if lost := len(w.log) - w.durable; lost > 0 {
		survives += w.rng.IntN(lost + 1)
		w.note("crash with writes in flight")
	}
	w.log = w.log[:survives:survives]
	for z := range w.digests {
		if survives == 0 || z > w.log[survives-1].Zxid {
			delete(w.digests, z)
		}
	}
	w.durable = survives
	for _, c := range w.clients {
		c.drop()
	}
	w.observe("crash keeps %d", survives)
	w.note("crash")
	w.start()
}

// tick lets time pass. Now and then the process stands still for long.
func (w *world) tick() {
	gap := int64(loopMs)
	switch {
	case w.rng.IntN(400) == 0:
		gap = int64(1000 + w.rng.IntN(60_000))
		w.note("stall")
	case w.rng.IntN(4) == 0:
		gap = int64(1 + w.rng.IntN(2*loopMs))
	}
	w.now += gap
	if gap > 2*loopMs {
		w.heard += loopMs
	} else {
		w.heard += gap
	}
	if w.peer.Advance(gap, loopMs) {
		for _, c := range w.clients {
			if c.session != 0 && c.conn != 0 {
				w.peer.Touch(c.session, c.stamp)
			}
		}
		w.peer.Expire(wallStartMs + w.now)
	}
	w.peer.Sweep(wallStartMs + w.now)
}

// carryOut does what the member's loop does after each batch.
func (w *world) carryOut() {
	rd := w.peer.Ready()
	for _, e := range rd.Entries {
		if n := len(w.log); n > 0 && e.Zxid != w.log[n-1].Zxid+1 {
			w.fail("log entry %v follows %v", e.Zxid, w.log[n-1].Zxid)
		}
		w.log = append(w.log, e)
	}
	for _, a := range rd.Attached {
		w.attached(a.Conn, a.Session, a.TimeoutMs, a.Passwd)
	}
	w.tree.Lock()
	defer w.tree.Unlock()
	for w.peer.Apply(&w.out) {
		w.applied(&w.out)
	}
}

// sync makes a random part of what was appended durable.
func (w *world) sync() {
	waiting := len(w.log) - w.durable
	if waiting == 0 {
		return
	}
	if waiting > 1 {
		w.note("group commit")
	}
	w.durable += 1 + w.rng.IntN(waiting)
	w.peer.Durable(w.log[w.durable-1].Zxid)
}

// step does one random thing.
func (w *world) step() {
	switch n := w.rng.IntN(1000); {
	case n < 2:
		w.crash()
	case n < 200:
		w.tick()
	case n < 400:
		w.sync()
	default:
		w.clients[w.rng.IntN(len(w.clients))].act(w)
	}
	w.carryOut()
}

// settle heals everything, and demands that all which was asked is answered.
func (w *world) settle() {
	for range 3 {
		for w.durable < len(w.log) {
			w.sync()
			w.carryOut()
		}
		w.carryOut()
	}
	for _, c := range w.clients {
		if len(c.waiting) > 0 {
			w.fail("client %d still waits for %d outcomes, first %v", c.n, len(c.waiting), c.waiting[0])
		}
		c.depart(w)
	}
	// Nobody is there any more: every session must end, with its ephemerals.
	for range 3 * 60_000 / loopMs {
		w.now += loopMs
		w.heard += loopMs
		if w.peer.Advance(loopMs, loopMs) {
			w.peer.Expire(wallStartMs + w.now)
		}
		w.carryOut()
		w.sync()
		w.carryOut()
	}
	for w.durable < len(w.log) {
		w.sync()
		w.carryOut()
	}
	if len(w.sessions) != 0 {
		w.fail("%d sessions live on without a client", len(w.sessions))
	}
	if n := w.tree.EphemeralCount(); n != 0 {
		w.fail("%d ephemerals without a session", n)
	}
}
