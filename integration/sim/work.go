package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"zooid/wire"
)

// workloadNames are the things that clients do. Which of them a run has is in
// its plan; they share nodes, so that they get into each other's way.
var workloadNames = [...]string{"registers", "counters", "locks", "queue", "watches", "multi", "mix", "recipe"}

const (
	workRegisters = iota
	workCounters
	workLocks
	workQueue
	workWatches
	workMulti
	workMix
	workRecipe
)

const (
	registers = 4
	counters  = 2
	mixPaths  = 6 // names in a directory of the mix: few, so that requests collide
)

// work begins one operation of one of the workloads.
func (c *client) work() {
	if c.plan.reader {
		if k := c.rng.IntN(registers); c.rng.IntN(4) > 0 {
			c.readRegister(k, registerPath(k))
		} else {
			c.watchSome()
		}
		return
	}
	for {
		n := c.rng.IntN(len(workloadNames))
		if c.w.plan.workloads&(1<<n) == 0 {
			continue
		}
		switch n {
		case workRegisters:
			c.register()
		case workCounters:
			c.count()
		case workLocks:
			c.lock.act(c)
		case workQueue:
			c.queue()
		case workWatches:
			c.watchSome()
		case workMulti:
			c.multi()
		case workMix:
			c.mix()
		case workRecipe:
			if c.w.plan.local {
				continue // a session that has moved is a new one, and the old one may live on
			}
			c.recipe.act(c)
		}
		return
	}
}

// register sets, or sets if the version is right, or reads one of the shared
// registers. All but plain reads go into the history that must be linearizable.
func (c *client) register() {
	k := c.rng.IntN(registers)
	path := registerPath(k)
	switch c.rng.IntN(5) {
	case 0, 1:
		c.setRegister(k, path, -1)
	case 2:
		c.setRegister(k, path, int32(c.w.history.version(k))+int32(c.rng.IntN(3))-1)
	case 3:
		c.readRegister(k, path)
	default:
		c.ask(wire.OpGetData, &wire.WatchRequest{Path: path}, true, func(a *answer) { c.sawData(a, path, false) })
	}
}

// readRegister reads behind a sync.
func (c *client) readRegister(k int, path string) {
	h := c.w.history.call(c.w.now, c.i, regInput{key: k, op: regRead})
	c.readSure(wire.OpGetData, &wire.WatchRequest{Path: path}, path, func(a *answer) {
		if a == nil || a.err != wire.OK {
			c.w.history.forget(h)
			return
		}
		d := wire.NewDecoder(a.body)
		value := string(d.Buffer())
		s := statOf(a)
		c.w.history.answer(c.w.now, h, regOutput{ok: true, value: value, version: s.Version})
		c.sawData(a, path, false)
	})
}

func (c *client) setRegister(k int, path string, version int32) {
	c.serial++
	value := strconv.Itoa(c.i) + "." + strconv.Itoa(c.serial)
	h := c.w.history.call(c.w.now, c.i, regInput{key: k, op: regSet, value: value, version: max(version, -1)})
	c.write(wire.OpSetData, &wire.SetDataRequest{Path: path, Data: []byte(value), Version: max(version, -1)}, func(a *answer) {
		switch {
		case a == nil:
			c.w.history.unknown(h)
		case a.err == wire.OK:
			c.w.history.answer(c.w.now, h, regOutput{ok: true, version: a.stat.Version})
		case a.err == wire.ErrBadVersion:
			c.w.history.answer(c.w.now, h, regOutput{})
		default:
			c.w.history.forget(h) // it was refused for its session's sake
		}
	})
}

// count reads a counter and adds one if nobody else did meanwhile.
func (c *client) count() {
	k := c.rng.IntN(counters)
	path := counterPath(k)
	c.ask(wire.OpGetData, &wire.WatchRequest{Path: path}, true, func(a *answer) {
		if a == nil || a.err != wire.OK || c.conn == nil {
			return
		}
		d := wire.NewDecoder(a.body)
		n, err := strconv.ParseInt(string(d.Buffer()), 10, 64)
		s := statOf(a)
		if err != nil || n != int64(s.Version) {
			c.w.fail("18 counters", "counter %d has value %d at version %d", k, n, s.Version)
		}
		q := &wire.SetDataRequest{Path: path, Data: strconv.AppendInt(nil, n+1, 10), Version: s.Version}
		c.write(wire.OpSetData, q, func(a *answer) {
			switch {
			case a == nil:
				c.w.history.counted[k].unknown++
			case a.err == wire.OK:
				c.w.history.count(c.w, k, n+1)
			}
		})
	})
}

// queue puts something into the queue, or takes what is at its head.
func (c *client) queue() {
	if c.rng.IntN(2) == 0 {
		c.serial++
		q := &wire.CreateRequest{Path: "/queue/e-", ACL: wire.OpenACL, Flags: wire.FlagPersistentSequential,
			Data: fmt.Appendf(nil, "%d.%d", c.i, c.serial)}
		c.write(wire.OpCreate2, q, func(a *answer) {
			if a != nil && a.err == wire.OK {
				c.w.history.produced(c.w, a.path)
			}
		})
		return
	}
	c.ask(wire.OpGetChildren, &wire.WatchRequest{Path: "/queue"}, true, func(a *answer) {
		if a == nil || a.err != wire.OK || c.conn == nil {
			return
		}
		names := namesOf(a)
		if len(names) == 0 {
			return
		}
		path := "/queue/" + slices.Min(names)
		c.write(wire.OpDelete, &wire.DeleteRequest{Path: path, Version: -1}, func(a *answer) {
			switch {
			case a == nil:
				c.w.history.queue[path] |= queueUnknown
			case a.err == wire.OK:
				c.w.history.consumed(c.w, path)
			}
		})
	})
}

func namesOf(a *answer) []string {
	d := wire.NewDecoder(a.body)
	return d.Strings()
}

// multi sets two nodes at once, or reads both at once: they are always equal.
func (c *client) multi() {
	if c.rng.IntN(2) == 0 {
		c.serial++
		value := fmt.Appendf(nil, "%d.%d", c.i, c.serial)
		m := &wire.MultiRequest{Ops: []wire.MultiOp{
			{Op: wire.OpSetData, Body: &wire.SetDataRequest{Path: "/multi/a", Data: value, Version: -1}},
			{Op: wire.OpSetData, Body: &wire.SetDataRequest{Path: "/multi/b", Data: value, Version: -1}},
		}}
		if c.rng.IntN(3) == 0 { // one that most often fails, as a whole
			m.Ops = append(m.Ops, wire.MultiOp{Op: wire.OpCheck, Body: &wire.CheckVersionRequest{Path: "/multi/a", Version: int32(c.rng.IntN(3))}})
		}
		c.write(wire.OpMulti, m, nil)
		return
	}
	m := &wire.MultiRequest{Reads: true, Ops: []wire.MultiOp{
		{Op: wire.OpGetData, Body: &wire.WatchRequest{Path: "/multi/a"}},
		{Op: wire.OpGetData, Body: &wire.WatchRequest{Path: "/multi/b"}},
	}}
	c.ask(wire.OpMultiRead, m, true, func(a *answer) {
		if a == nil || a.err != wire.OK {
			return
		}
		var r wire.MultiResponse
		d := wire.NewDecoder(a.body)
		r.Decode(&d)
		if len(r.Results) != 2 || r.Results[0].Err != wire.OK || r.Results[1].Err != wire.OK {
			return
		}
		if x, y := r.Results[0], r.Results[1]; string(x.Data) != string(y.Data) || x.Stat.Mzxid != y.Stat.Mzxid && x.Stat.Version > 0 {
			c.w.fail("18 multi", "client %d reads %s at %v in one node, %s at %v in the other, which are always set together",
				c.i, x.Data, x.Stat.Mzxid, y.Data, y.Stat.Mzxid)
		}
	})
}

// lockState is a client's part in the standard recipe for a lock.
type lockState struct {
	path    string // of its own node, "" while it has none
	asking  bool
	holds   bool
	waiting string // the node before its own, which it watches
}

func (l *lockState) act(c *client) {
	switch {
	case l.asking:
	case l.path == "":
		l.enter(c)
	case l.holds:
		l.release(c)
	case l.waiting != "" && c.rng.IntN(8) > 0:
		// The event will tell; now and then it looks all the same.
	default:
		l.look(c)
	}
}

func (l *lockState) enter(c *client) {
	l.asking = true
	c.serial++
	q := &wire.CreateRequest{Path: fmt.Sprintf("/lock/%d-%d-", c.i, c.serial), ACL: wire.OpenACL, Flags: wire.FlagEphemeralSequential}
	session := c.session
	c.write(wire.OpCreate, q, func(a *answer) {
		l.asking = false
		if a != nil && a.err == wire.OK && c.session == session {
			l.path = a.path
		}
		// With the outcome unknown the node may be there: the others wait for it
		// until the session ends, or until this client finds it.
	})
}

// place is a node's number in the queue for the lock.
func place(name string) string { return name[strings.LastIndexByte(name, '-')+1:] }

// look finds out who is first.
func (l *lockState) look(c *client) {
	l.asking = true
	session := c.session
	c.ask(wire.OpGetChildren, &wire.WatchRequest{Path: "/lock"}, true, func(a *answer) {
		l.asking = false
		if a == nil || a.err != wire.OK || c.session != session || l.path == "" || c.conn == nil {
			return
		}
		mine, before := place(l.path), ""
		for _, name := range namesOf(a) {
			if p := place(name); p < mine && (before == "" || p > place(before)) {
				before = name
			}
			if strings.HasPrefix(name, strconv.Itoa(c.i)+"-") && place(name) != mine && place(name) < mine {
				// One of its own whose creation it never heard the outcome of.
				c.write(wire.OpDelete, &wire.DeleteRequest{Path: "/lock/" + name, Version: -1}, nil)
			}
		}
		if before == "" {
			l.holds, l.waiting = true, ""
			c.w.history.acquired(c.w, c)
			return
		}
		l.waiting = "/lock/" + before
		path := l.waiting
		c.ask(wire.OpExists, &wire.WatchRequest{Path: path, Watch: true}, true, func(a *answer) {
			c.sawData(a, path, true)
			if a == nil || a.err != wire.OK {
				l.waiting = ""
			}
		})
	})
}

func (l *lockState) release(c *client) {
	c.w.history.released(c)
	path, session := l.path, c.session
	l.path, l.holds = "", false
	c.write(wire.OpDelete, &wire.DeleteRequest{Path: path, Version: -1}, func(a *answer) {
		if a != nil && a.err == wire.ErrNoNode && c.session == session {
			c.w.fail("18 locks", "client %d: its own lock node %s cannot be deleted: %v", c.i, path, a.err)
		}
	})
}

// notified is an event of a watch.
func (l *lockState) notified(_ *client, path string) {
	if path == l.waiting {
		l.waiting = ""
	}
}

// end is the end of the session.
func (l *lockState) end(c *client) {
	if l.holds {
		c.w.history.released(c)
	}
	*l = lockState{}
}
