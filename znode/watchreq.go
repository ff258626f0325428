package znode

import "zooid/wire"

// watchesPart is the number of paths of a setWatches that are dealt with in one hold
// of the tree's lock: about a millisecond.
const watchesPart = 1024

// SplitWatches cuts a setWatches or setWatches2 with very many paths into several
// with fewer, whose effects together are its own: a change that comes between two of
// them is either watched for already, or found by the later one. It is nil for any
// other request, and for one that is small or cannot be decoded.
func SplitWatches(op wire.OpCode, body []byte) (parts [][]byte) {
	const pathMin = 4 // bytes of a path in a list
	if op != wire.OpSetWatches && op != wire.OpSetWatches2 || len(body) < watchesPart*pathMin {
		return nil
	}
	q := wire.SetWatchesRequest{Two: op == wire.OpSetWatches2}
	if wire.Unmarshal(body, &q) != nil {
		return nil
	}
	lists := []*[]string{&q.Data, &q.Exist, &q.Child, &q.Persistent, &q.PersistentRecursive}
	left := 0
	for _, l := range lists {
		left += len(*l)
	}
	for left > watchesPart {
		part := wire.SetWatchesRequest{Two: q.Two, RelativeZxid: q.RelativeZxid}
		fill := watchesPart
		for i, into := range []*[]string{&part.Data, &part.Exist, &part.Child, &part.Persistent, &part.PersistentRecursive} {
			n := min(fill, len(*lists[i]))
			*into, *lists[i] = append([]string{}, (*lists[i])[:n]...), (*lists[i])[n:]
			fill -= n
		}
		left -= watchesPart
		parts = append(parts, part.Append(nil))
	}
	if parts == nil {
		return nil
	}
	return append(parts, q.Append(nil))
}

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
