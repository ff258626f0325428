package znode

// Adopt gives t everything that fresh holds: znodes, sessions, quotas, digest,
// zxid, and whether and what is tracked as changed. So a member takes over
// another's state without anybody's having to let go of the tree. fresh must
// not be used any more.
//
// The rules stay, and so does the count of digests that did not match. Watches
// are dropped, for nobody can tell which of them should have fired. A Cut of the
// old content ends, see Dropped. The caller holds Lock; it takes a moment that
// does not depend on the size of either.
func (t *Tree) Adopt(fresh *Tree) {
	if cut := t.changes.cut; cut != nil {
		cut.dropped, cut.nodes, cut.saved, cut.next = true, idList{}, nil, 0
	}
	t.zxid = fresh.zxid
	t.nodes, t.dirs, t.index, t.slab = fresh.nodes, fresh.dirs, fresh.index, fresh.slab
	t.acls = fresh.acls
	t.lists.adopt(&fresh.lists)
	mismatches, last := t.sum.mismatches, t.sum.last
	t.sum = fresh.sum
	t.sum.mismatches += mismatches
	t.sum.last = last
	t.figures = fresh.figures
	t.sessions, t.reapable, t.reaper = fresh.sessions, fresh.reapable, fresh.reaper
	rules := t.rules
	t.rules = fresh.rules // by which the lists were made
	t.setRules(rules)
	t.quotas = fresh.quotas
	t.changes, t.loading = fresh.changes, fresh.loading
	t.watches.dropAll()
}

// Dropped tells whether the tree's content has been replaced since the cut was
// made: what Drain has yielded then is not the whole of it, and no state.
func (c *Cut) Dropped() bool {
	c.tree.RLock()
	defer c.tree.RUnlock()
	return c.dropped
}

// adopt takes over another tree's lists. The caller holds the tree's write lock.
func (c *listCache) adopt(fresh *listCache) {
	c.lists, c.clock, c.made, c.bytes = fresh.lists, fresh.clock, fresh.made, fresh.bytes
}

// dropAll forgets every watch.
func (w *watchTable) dropAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.paths, w.conns, w.all = arena[watchedPath, *watchedPath]{}, arena[watcher, *watcher]{}, arena[watch, *watch]{}
	w.dataPaths, w.dataConns, w.dataCount, w.childCount = 0, 0, 0, 0
	w.init()
}
