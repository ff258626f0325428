package znode

import "zooid/wire"

// readMulti answers several getData and getChildren at once. One that fails has
// an error result and does not touch the others. Watch flags are ignored, as
// ZooKeeper ignores them.
func (t *Tree) readMulti(r *Reader, body, dst []byte) ([]byte, error) {
	start := len(dst)
	d := wire.NewDecoder(body)
	for {
		var h wire.MultiHeader
		h.Decode(&d)
		if d.Err() == nil && h.Done {
			return wire.MultiEnd.Append(dst), nil
		}
		var q wire.WatchRequest
		q.Decode(&d)
		if d.Err() == nil && (h.Op != wire.OpGetData && h.Op != wire.OpGetChildren || q.NullPath) {
			d.Fail(h.Op.String() + " in a multiRead")
		}
		if d.Err() != nil {
			return refuseMulti(body, dst[:start]), d.Err()
		}
		dst = t.readPart(h.Op, r, q.Path, dst)
	}
}

func (t *Tree) readPart(op wire.OpCode, r *Reader, path string, dst []byte) []byte {
	n, err := t.readable(r, path)
	if err != nil {
		res := wire.MultiResult{Op: wire.OpError, Err: wire.CodeOf(err)}
		return res.Append(dst)
	}
	h := wire.MultiHeader{Op: op}
	dst = h.Append(dst)
	if op == wire.OpGetChildren {
		return t.appendNames(dst, n)
	}
	return t.appendStat(wire.AppendBuffer(dst, t.data(n)), n)
}

// refuseMulti is the body of a refused multiRead: an end marker if it is a well
// formed multi of writes, else none. ZooKeeper decodes the two kinds by the same
// code and finds out late which one it has.
func refuseMulti(body, dst []byte) []byte {
	var writes wire.MultiRequest
	if wire.Unmarshal(body, &writes) == nil && len(writes.Ops) > 0 {
		return wire.MultiEnd.Append(dst)
	}
	return dst
}
