package znode

import "zooid/wire"

// readMulti answers several getData and getChildren at once. One that fails has
// an error result and does not touch the others. Watch flags are ignored, as
// ZooKeeper ignores them. A reply beyond ReplyBytesMax is refused as a whole,
// before the part is made that would exceed it: 64 kB of parts that read one
// large node would make gigabytes.
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
		var ok bool
		if dst, ok = t.readPart(h.Op, r, q.Path, dst, start+ReplyBytesMax); !ok {
			return dst[:start], errReplyTooLarge
		}
	}
}

// readPart appends the result of one part. It is false, and the part not made, if
// dst would be longer than max then.
func (t *Tree) readPart(op wire.OpCode, r *Reader, path string, dst []byte, max int) ([]byte, bool) {
	n, err := t.readable(r, path)
	if err != nil {
		res := wire.MultiResult{Op: wire.OpError, Err: wire.CodeOf(err)}
		dst = res.Append(dst)
		return dst, len(dst) <= max
	}
	h := wire.MultiHeader{Op: op}
	dst = h.Append(dst)
	if op == wire.OpGetChildren {
		if count := t.childCount(n); count < listCacheMin {
			dst = t.encodeNames(dst, n, count)
			return dst, len(dst) <= max
		}
		names := t.lists.get(t, n)
		if len(dst)+len(names) > max {
			return dst, false
		}
		return append(dst, names...), true
	}
	data := t.data(n)
	if len(dst)+4+len(data)+wire.StatSize > max {
		return dst, false
	}
	return t.appendStat(wire.AppendBuffer(dst, data), n), true
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
