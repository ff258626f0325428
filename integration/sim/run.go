package main

import (
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"zooid/wire"
	"zooid/znode"
)

// result is what came of a run.
type result struct {
	trace uint64
	seen  [rareStates]int
	steps int
	now   int64
	ops   int // answers to clients
	fault []int
	err   *failure
	stack []byte // if what is tested panicked
}

// simulate runs a plan to its end. A check that fails, or a panic of what is
// tested, ends it early.
func simulate(p *plan, s *story) (res result) {
	var w *world
	defer func() {
		r := recover()
		if w != nil {
			res.trace, res.seen, res.steps, res.now = w.trace, w.seen, w.steps, w.now
			for _, c := range w.clients {
				res.ops += c.answers
			}
			for _, f := range w.faults.done {
				res.fault = append(res.fault, f.n)
			}
		}
		switch r := r.(type) {
		case nil:
		case failure:
			res.err = &r
		default:
			res.err = &failure{"panic", fmt.Sprint(r)}
			res.stack = debug.Stack()
		}
		if res.err != nil && w != nil {
			w.tell("FAILED: %s: %s", res.err.check, res.err.text)
		}
	}()
	w = &world{story: s}
	w.build(p)
	for w.steps < p.steps {
		w.step()
	}
	w.settle()
	return res
}

const (
	// progressMs bounds how long an ensemble may take, once everything is healed,
	// to serve all clients: some elections, each with its time-outs.
	progressTicks = 400
	progressMs    = 30_000
	enoughOps     = 6 // answers to each client that are demanded then
)

// settle heals everything and demands progress, rest and agreement.
func (w *world) settle() {
	w.heal()
	until := w.now + (progressMs+progressTicks*w.plan.tickMs)*ms
	for _, c := range w.clients {
		c.served = 0
		c.plan.restless = 0
	}
	w.runUntil(until, "progress", func() bool {
		for i, c := range w.clients {
			if w.plan.hasClient(i) && c.served < enoughOps {
				return false
			}
		}
		return true
	}, w.whoWaits)
	if w.plan.calm {
		w.runUntil(w.now+(progressMs+progressTicks*w.plan.tickMs)*ms, "union", w.united, w.whoWaits)
		w.stayCalm()
	}
	w.resting = true
	w.runUntil(w.now+(progressMs+progressTicks*w.plan.tickMs)*ms, "rest", w.atRest, w.whoWaits)
	w.compare()
	w.farewell()
}

// stayCalm lets time go by, more than the longest timeout of a session. Clients
// do little but say that they are there: none of them may lose its session.
func (w *world) stayCalm() {
	w.tell("*** calm")
	most := int64(0)
	for _, c := range w.clients {
		most = max(most, int64(c.timeoutMs))
	}
	w.calm = true
	for end := w.now + (most*3/2+4*w.plan.tickMs)*ms; w.now < end; {
		w.step()
	}
	w.calm = false
}

// runUntil lets events happen until something holds, which must be so in time.
func (w *world) runUntil(until int64, check string, holds func() bool, why func() string) {
	for n := 0; ; n++ {
		if n%16 == 0 && holds() {
			return
		}
		if w.now > until {
			w.fail("liveness: "+check, "%s", why())
		}
		w.step()
	}
}

// whoWaits says what has not come to rest.
func (w *world) whoWaits() string {
	var b strings.Builder
	for _, m := range w.members {
		p := m.process
		if p == nil {
			fmt.Fprintf(&b, "member %d is down; ", m.sid)
			continue
		}
		st := p.peer.Status()
		fmt.Fprintf(&b, "member %d %v %s leader %d epoch %d tree %v log %v; ", m.sid, p.serving.State, st.Phase, st.Leader, st.Epoch, p.tree.LastZxid(), m.disk.last())
	}
	for i, c := range w.clients {
		if w.plan.hasClient(i) {
			fmt.Fprintf(&b, "client %d at member %d ready=%v served %d waiting %d; ", i, c.home+1, c.ready, c.served, len(c.waiting))
		}
	}
	return b.String()
}

// united tells whether everybody serves in one epoch.
func (w *world) united() bool {
	lead := w.leader()
	for _, m := range w.members {
		p := m.process
		if lead == nil || p == nil || p.serving.State == wire.Looking || p.serving.Epoch != lead.process.serving.Epoch {
			return false
		}
	}
	return true
}

// atRest tells whether everybody serves in one epoch, everything is answered, and
// all members have applied the same.
func (w *world) atRest() bool {
	for i, c := range w.clients {
		if w.plan.hasClient(i) && (len(c.waiting) > 0 || c.conn != nil && (!c.ready || len(c.conn.pipes[1].q) > 0)) {
			return false
		}
	}
	if !w.united() {
		return false
	}
	last := w.ledger.last().zxid
	for _, m := range w.members {
		d := &m.disk
		if m.process.tree.LastZxid() != last || d.durable != len(d.log) || d.last() != last && !m.observer {
			return false
		}
	}
	return true
}

// compare holds the trees, and what clients were told, against each other.
func (w *world) compare() {
	f := w.ledger.last()
	for _, m := range w.members {
		p := m.process
		if p.tree.Digest() != f.digest {
			w.fail("20 digests", "member %d has digest %x at %v, others %x", m.sid, p.tree.Digest(), f.zxid, f.digest)
		}
		p.checkOwners()
	}
	tree := w.members[0].process.tree
	w.history.settle(w, func(path string) (string, bool) {
		r := znode.Reader{IDs: openIDs}
		q := wire.WatchRequest{Path: path}
		body, err := tree.Read(wire.OpGetData, &r, q.Append(nil), nil)
		if err != nil {
			return "", false
		}
		d := wire.NewDecoder(body)
		return string(d.Buffer()), true
	})
	w.missedEvents(tree)
}

// missedEvents looks at the watches that clients still have: what they wait for
// must not have happened.
func (w *world) missedEvents(tree *znode.Tree) {
	for _, c := range w.clients {
		if !c.ready || c.conn == nil {
			continue
		}
		keys := make([]string, 0, len(c.watches))
		for k := range c.watches {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			a := c.watches[k]
			r := znode.Reader{IDs: openIDs}
			q := wire.WatchRequest{Path: a.path}
			body, err := tree.Read(wire.OpExists, &r, q.Append(nil), nil)
			var s wire.Stat
			if err == nil {
				d := wire.NewDecoder(body)
				s.Decode(&d)
			}
			z := s.Mzxid
			if a.child {
				z = s.Pzxid
			}
			if (err != nil) != a.absent || err == nil && z != a.zxid {
				w.fail("18 watch", "client %d was never told of the change of %s at %v, which it watches since %v", c.i, a.path, z, a.zxid)
			}
		}
	}
}

// farewell has all clients go: every session must end, with its ephemerals.
func (w *world) farewell() {
	w.tell("*** all clients go")
	most := int64(0)
	for _, c := range w.clients {
		c.leave()
		most = max(most, int64(c.plan.timeoutMs))
	}
	until := w.now + (4*most+10*w.plan.tickMs+5_000)*ms
	w.runUntil(until, "expiry", func() bool {
		for _, m := range w.members {
			if m.process == nil || m.process.tree.SessionCount() > 0 {
				return false
			}
		}
		return true
	}, func() string {
		return fmt.Sprintf("%d sessions live on without a client", w.members[0].process.tree.SessionCount())
	})
	for _, m := range w.members {
		if n := m.process.tree.EphemeralCount(); n != 0 {
			w.fail("19 ephemerals", "member %d: %d ephemerals without a session", m.sid, n)
		}
	}
}
