package main

import (
	"slices"

	"zooid/wire"
)

// armed is a one-shot watch of a client, and the state that it was set on.
type armed struct {
	path   string
	child  bool
	absent bool      // set on a node that was not there
	zxid   wire.Zxid // mzxid, or pzxid for a watch on children
}

func watchKey(path string, child bool) string {
	if child {
		return "c" + path
	}
	return "d" + path
}

// watchSome reads with a watch: the node's data, its existence, or its children.
func (c *client) watchSome() {
	path := registerPath(c.rng.IntN(registers))
	switch c.rng.IntN(4) {
	case 0:
		path = c.mixPath()
	case 1:
		path = "/queue"
	case 2:
		path = "/mix"
	}
	q := &wire.WatchRequest{Path: path, Watch: true}
	switch c.rng.IntN(3) {
	case 0:
		c.ask(wire.OpGetData, q, true, func(a *answer) { c.sawData(a, path, true) })
	case 1:
		c.ask(wire.OpExists, q, true, func(a *answer) { c.sawData(a, path, true) })
	default:
		c.ask(wire.OpGetChildren2, q, true, func(a *answer) { c.sawChildren(a, path, true) })
	}
}

// statOf decodes the stat of a read's answer.
func statOf(a *answer) (s wire.Stat) {
	d := wire.NewDecoder(a.body)
	switch a.op {
	case wire.OpGetData:
		d.Buffer()
	case wire.OpGetChildren2:
		d.Strings()
	}
	s.Decode(&d)
	return s
}

// sawData takes the answer to a getData or exists: what a watch waits for must
// not be seen before its event.
func (c *client) sawData(a *answer, path string, watch bool) {
	if a == nil || a.err != wire.OK && a.err != wire.ErrNoNode {
		return
	}
	absent := a.err == wire.ErrNoNode
	var z wire.Zxid
	if !absent {
		s := statOf(a)
		z = s.Mzxid
	}
	key := watchKey(path, false)
	if w := c.watches[key]; w != nil && (w.absent != absent || w.zxid != z) {
		c.w.fail("18 watch", "client %d sees %s changed (mzxid %v, absent %v) before the event of its watch (mzxid %v, absent %v)",
			c.i, path, z, absent, w.zxid, w.absent)
	}
	if watch && (!absent || a.op == wire.OpExists) {
		c.watches[key] = &armed{path: path, absent: absent, zxid: z}
	}
}

func (c *client) sawChildren(a *answer, path string, watch bool) {
	if a == nil || a.err != wire.OK && a.err != wire.ErrNoNode {
		return
	}
	key := watchKey(path, true)
	w := c.watches[key]
	if a.err == wire.ErrNoNode {
		if w != nil {
			c.w.fail("18 watch", "client %d sees %s gone before the event of its watch on children", c.i, path)
		}
		return
	}
	s := statOf(a)
	if w != nil && w.zxid != s.Pzxid {
		c.w.fail("18 watch", "client %d sees the children of %s changed (pzxid %v) before the event of its watch (pzxid %v)", c.i, path, s.Pzxid, w.zxid)
	}
	if watch {
		c.watches[key] = &armed{path: path, child: true, zxid: s.Pzxid}
	}
}

// notified is an event: there must be a watch for it, which it uses up.
func (c *client) notified(a *answer) {
	w := c.w
	if a.zxid > 0 && a.zxid <= c.lastZxid {
		w.fail("18 watch", "client %d gets the event of %v after it has seen %v", c.i, a.zxid, c.lastZxid)
	}
	child := a.event == wire.EventNodeChildrenChanged
	data, children := c.watches[watchKey(a.path, false)], c.watches[watchKey(a.path, true)]
	switch {
	case child && children != nil:
		delete(c.watches, watchKey(a.path, true))
	case !child && (data != nil || a.event == wire.EventNodeDeleted && children != nil):
		delete(c.watches, watchKey(a.path, false))
		if a.event == wire.EventNodeDeleted {
			delete(c.watches, watchKey(a.path, true))
		}
	case a.zxid > 0:
		w.fail("18 watch", "client %d gets %v of %s without a watch", c.i, a.event, a.path)
	}
	w.saw(rareEvent)
	if a.zxid < 0 {
		w.saw(rareCatchUp)
	}
	c.lock.notified(c, a.path)
}

// rearm sets the watches again on a new connection.
func (c *client) rearm() {
	if len(c.watches) == 0 {
		return
	}
	q := &wire.SetWatchesRequest{RelativeZxid: c.lastZxid, Data: []string{}, Exist: []string{}, Child: []string{}}
	keys := make([]string, 0, len(c.watches))
	for key := range c.watches {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		switch w := c.watches[key]; {
		case w.child:
			q.Child = append(q.Child, w.path)
		case w.absent:
			q.Exist = append(q.Exist, w.path)
		default:
			q.Data = append(q.Data, w.path)
		}
	}
	c.w.saw(rareSetWatches)
	c.ask(wire.OpSetWatches, q, true, nil)
}
