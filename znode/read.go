package znode

import (
	"fmt"
	"strings"

	"zooid/wire"
)

// Reader is the connection that reads; one per connection, used again and again.
type Reader struct {
	Conn    ConnID
	Session wire.SessionID
	IDs     []wire.ID
	// Catchup holds, after setWatches, the events that the client missed. They go
	// out before the reply, with zxid -1 and without regard to ACLs. Their paths
	// alias the request's body.
	Catchup []Event

	self     [1]ConnID // the Watchers of Catchup
	verdicts verdicts
}

// ReplyBytesMax bounds the body of a reply that a small request makes large: of a
// multiRead, and of getEphemerals. It is four times what a ZooKeeper client with
// default settings takes. Beyond it the reply is BADARGUMENTS, and what there was
// of it is dropped. Replies about one znode are as large as that.
const ReplyBytesMax = 4 << 20

// errReplyTooLarge is the answer to a request whose reply is beyond ReplyBytesMax.
var errReplyTooLarge = fmt.Errorf("the reply is larger than %d bytes: %w", ReplyBytesMax, wire.ErrBadArguments)

// Read answers a request for which the leader is not needed: dst extended by the
// body of the reply. The caller holds RLock, or is the loop. On an error dst
// comes back as it was, and wire.CodeOf tells the code; only a multiRead with
// a write in it has both an error and a body, an artefact of ZooKeeper's that
// clients know.
//
// A watch that the request asks for is set before Read returns, so no change
// after the answer is missed. The path's syntax is not checked, as in ZooKeeper:
// what cannot exist is simply not there.
func (t *Tree) Read(op wire.OpCode, r *Reader, body []byte, dst []byte) ([]byte, error) {
	if o := row(op); o != nil && o.read != nil {
		return o.read(t, r, body, dst)
	}
	return dst, wire.ErrUnimplemented
}

// allowed tells whether r has one of the permissions on n.
func (t *Tree) allowed(r *Reader, n nodeID, perm int32) bool {
	id := t.nodes.at(uint32(n)).acl
	if id == openACL {
		return true
	}
	e := &t.acls.entries[id]
	return t.permits(r, e.acl, e.no, perm)
}

// readable finds a node for a read: NONODE, then NOAUTH.
func (t *Tree) readable(r *Reader, path string) (nodeID, error) {
	n := t.lookup(path)
	if n == 0 {
		return 0, wire.ErrNoNode
	}
	if !t.allowed(r, n, wire.PermRead) {
		return 0, wire.ErrNoAuth
	}
	return n, nil
}

// decodeWatch decodes the body of exists, getData, getChildren and getChildren2.
func decodeWatch(body []byte, q *wire.WatchRequest) error {
	d := wire.NewDecoder(body)
	if q.Decode(&d); d.Err() == nil && q.NullPath {
		d.Fail("null path")
	}
	return d.Err()
}

func decodePath(body []byte, q *wire.PathRequest) error {
	d := wire.NewDecoder(body)
	if q.Decode(&d); d.Err() == nil && q.NullPath {
		d.Fail("null path")
	}
	return d.Err()
}

// readExists may watch a node that is not there; one that may not be read it
// does not watch.
func (t *Tree) readExists(r *Reader, body, dst []byte) ([]byte, error) {
	var q wire.WatchRequest
	if err := decodeWatch(body, &q); err != nil {
		return dst, err
	}
	if strings.IndexByte(q.Path, 0) >= 0 {
		return dst, wire.ErrBadArguments
	}
	n := t.lookup(q.Path)
	if n != 0 && !t.allowed(r, n, wire.PermRead) {
		return dst, wire.ErrNoAuth
	}
	if q.Watch {
		t.watch(q.Path, r.Conn, dataWatch)
	}
	if n == 0 {
		return dst, wire.ErrNoNode
	}
	return t.appendStat(dst, n), nil
}

// readAndWatch finds the node that a getData or getChildren asks for, and
// registers the watch if it wants one, which it gets only if it may read.
func (t *Tree) readAndWatch(r *Reader, body []byte, kind watchKinds) (nodeID, error) {
	var q wire.WatchRequest
	if err := decodeWatch(body, &q); err != nil {
		return 0, err
	}
	n, err := t.readable(r, q.Path)
	if err == nil && q.Watch {
		t.watch(q.Path, r.Conn, kind)
	}
	return n, err
}

func (t *Tree) readData(r *Reader, body, dst []byte) ([]byte, error) {
	n, err := t.readAndWatch(r, body, dataWatch)
	if err != nil {
		return dst, err
	}
	return t.appendStat(wire.AppendBuffer(dst, t.data(n)), n), nil
}

func (t *Tree) readChildren(op wire.OpCode, r *Reader, body, dst []byte) ([]byte, error) {
	n, err := t.readAndWatch(r, body, childWatch)
	if err != nil {
		return dst, err
	}
	dst = t.appendNames(dst, n)
	if op == wire.OpGetChildren2 {
		dst = t.appendStat(dst, n)
	}
	return dst, nil
}

func (t *Tree) appendStat(dst []byte, n nodeID) []byte {
	s := t.stat(n)
	return s.Append(dst)
}

// readACL answers who may READ or ADMIN; without ADMIN the hashes of digest
// entries are not shown.
func (t *Tree) readACL(r *Reader, body, dst []byte) ([]byte, error) {
	var q wire.PathRequest
	if err := decodePath(body, &q); err != nil {
		return dst, err
	}
	n := t.lookup(q.Path)
	if n == 0 {
		return dst, wire.ErrNoNode
	}
	if !t.allowed(r, n, wire.PermRead|wire.PermAdmin) {
		return dst, wire.ErrNoAuth
	}
	acl := t.acl(n)
	if !t.allowed(r, n, wire.PermAdmin) {
		acl = maskDigests(acl)
	}
	return t.appendStat(wire.AppendACLs(dst, acl), n), nil
}

// maskDigests puts an x in the place of what follows the user's name.
func maskDigests(acl []wire.ACL) []wire.ACL {
	masked := make([]wire.ACL, len(acl))
	for i, e := range acl {
		if e.ID.Scheme == "digest" {
			if user, _, ok := strings.Cut(e.ID.ID, ":"); ok {
				e.ID.ID = user + ":x"
			}
		}
		masked[i] = e
	}
	return masked
}

func (t *Tree) readAllChildrenNumber(r *Reader, body, dst []byte) ([]byte, error) {
	var q wire.PathRequest
	if err := decodePath(body, &q); err != nil {
		return dst, err
	}
	n, err := t.readable(r, q.Path)
	if err != nil {
		return dst, err
	}
	nodes, _ := t.below(n)
	if q.Path == "" {
		nodes++ // ZooKeeper takes "/" for a child of ""
	}
	return wire.AppendInt32(dst, int32(nodes)), nil
}

// readWhoAmI shows the connection's identities, without what is secret in them.
func (t *Tree) readWhoAmI(r *Reader, dst []byte) []byte {
	dst = wire.AppendInt32(dst, int32(len(r.IDs)))
	for _, id := range r.IDs {
		if t.rules.Auth != nil {
			id = t.rules.Auth.DisplayID(id)
		}
		dst = wire.AppendString(wire.AppendString(dst, id.Scheme), id.ID)
	}
	return dst
}
