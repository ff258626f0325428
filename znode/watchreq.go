package znode

import "zooid/wire"

// setWatches sets what a client watched on its previous connection again. Where
// the change that a watch waits for has happened meanwhile, there is an event in
// r.Catchup instead; persistent watches do not catch up.
func (t *Tree) setWatches(op wire.OpCode, r *Reader, body []byte) error {
	q := wire.SetWatchesRequest{Two: op == wire.OpSetWatches2}
	r.Catchup = r.Catchup[:0]
	r.self[0] = r.Conn
	if err := wire.Unmarshal(body, &q); err != nil {
		return err
	}
	t.watches.mu.Lock()
	defer t.watches.mu.Unlock()
	for _, path := range q.Data {
		switch n := t.lookup(path); {
		case n == 0:
			r.missed(wire.EventNodeDeleted, path)
		case t.nodes.at(uint32(n)).mzxid > q.RelativeZxid:
			r.missed(wire.EventNodeDataChanged, path)
		default:
			t.watches.add(path, r.Conn, dataWatch)
		}
	}
	for _, path := range q.Exist {
		if t.lookup(path) != 0 {
			r.missed(wire.EventNodeCreated, path)
		} else {
			t.watches.add(path, r.Conn, dataWatch)
		}
	}
	for _, path := range q.Child {
		switch n := t.lookup(path); {
		case n == 0:
			r.missed(wire.EventNodeDeleted, path)
		case t.nodes.at(uint32(n)).pzxid > q.RelativeZxid:
			r.missed(wire.EventNodeChildrenChanged, path)
		default:
			t.watches.add(path, r.Conn, childWatch)
		}
	}
	for _, path := range q.Persistent {
		t.watches.add(path, r.Conn, persistentWatch)
	}
	for _, path := range q.PersistentRecursive {
		t.watches.add(path, r.Conn, recursiveWatch)
	}
	return nil
}

func (r *Reader) missed(typ wire.EventType, path string) {
	r.Catchup = append(r.Catchup, Event{Type: typ, Path: path, Zxid: -1, Watchers: r.self[:]})
}

// addWatch sets a persistent watch on any string that the client calls a path.
// The reply is an error code, always OK.
func (t *Tree) addWatch(r *Reader, body, dst []byte) ([]byte, error) {
	var q wire.AddWatchRequest
	if err := wire.Unmarshal(body, &q); err != nil {
		return dst, err
	}
	kinds := persistentWatch
	if q.Mode == wire.AddWatchPersistentRecursive {
		kinds = recursiveWatch
	}
	t.watch(q.Path, r.Conn, kinds)
	return wire.AppendInt32(dst, int32(wire.OK)), nil
}

// changeWatches is checkWatches and removeWatches, which differ in what becomes
// of the watches. No event tells of the removal; the client makes its own.
func (t *Tree) changeWatches(op wire.OpCode, r *Reader, body []byte) error {
	var q wire.WatcherTypeRequest
	if err := wire.Unmarshal(body, &q); err != nil {
		return err
	}
	t.watches.mu.Lock()
	defer t.watches.mu.Unlock()
	act := t.watches.has
	if op == wire.OpRemoveWatches {
		act = t.watches.remove
	}
	if !act(q.Path, r.Conn, q.Type) {
		return wire.ErrNoWatcher
	}
	return nil
}
