package znode

import (
	"fmt"
	"slices"

	"zooid/wire"
)

// Applied is what a txn did, as far as somebody has to be told. Apply resets
// and fills it and reuses its slices; Path, Data, and the paths of Multi and
// Events alias the txn.
type Applied struct {
	// Conn waits for the reply; 0 is nobody here. Filled in by the peer.
	Conn ConnID
	// Op is what the client asked, also if that failed. Apply puts the txn's
	// type here; the peer puts the request's.
	Op wire.OpCode

	Session wire.SessionID
	Cxid    int32
	Zxid    wire.Zxid
	Err     wire.ErrCode // for the reply header

	Path string    // created node
	Stat wire.Stat // of the node as the txn left it: create*, setData, setACL, reconfig
	Data []byte    // reconfig: the new configuration

	Multi  []wire.MultiResult
	Events []Event // in the order in which they must be delivered

	Closed    wire.SessionID // session that this txn ended, else 0
	Created   wire.SessionID // session that this txn created, else 0
	TimeoutMs int32          // of Created

	watchers []ConnID // where the Events' Watchers lie
}

// Event is one change and the connections that watch it. Who delivers it drops
// it for a connection that has no READ permission on ACL.
type Event struct {
	Type wire.EventType
	Path string
	// Zxid of the txn; -1 for what setWatches catches up with, which is
	// delivered without regard to ACLs (ACL is nil).
	Zxid     wire.Zxid
	ACL      []wire.ACL
	Watchers []ConnID

	aclNo uint64 // names ACL, as aclEntry.no
}

func (a *Applied) reset(txn *wire.Txn) {
	*a = Applied{
		Op: txn.Op, Session: txn.Session, Cxid: txn.Cxid, Zxid: txn.Zxid,
		Multi: a.Multi[:0], Events: a.Events[:0], watchers: a.watchers[:0],
	}
}

// Apply carries out a txn and fills out. The caller holds Lock. Txns come in
// the order of their zxids; anything else is a defect that must not spread.
//
// Nothing in a txn makes Apply fail: ZooKeeper's snapshots are fuzzy, so in
// replay a txn may find its effect there already, or undone by a later one.
// Such a txn does what it still can, as in ZooKeeper's DataTree.processTxn, and
// only out.Err tells.
func (t *Tree) Apply(txn *wire.Txn, out *Applied) {
	if txn.Zxid <= t.zxid {
		panic(fmt.Sprintf("znode: txn %v applied after %v", txn.Zxid, t.zxid))
	}
	out.reset(txn)
	switch body := txn.Body.(type) {
	case *wire.ErrorTxn:
		out.Err = body.Err
	case *wire.MultiTxn:
		t.applyMulti(&txn.TxnHeader, body, out)
	case *wire.CreateSessionTxn:
		t.createSession(txn.Session, body.TimeoutMs, txn.Cxid)
		out.Created, out.TimeoutMs = txn.Session, body.TimeoutMs
	case *wire.CloseSessionTxn:
		t.applyClose(txn, body.Paths, out)
	case nil:
		t.applyClose(txn, nil, out)
	default:
		t.applySingle(txn, out)
	}
	// Only now, since a reader must never see a zxid whose changes are missing.
	t.zxid = txn.Zxid
	t.sum.settle(txn)
}

func (t *Tree) applySingle(txn *wire.Txn, out *Applied) {
	var r wire.MultiResult
	t.applyOne(&txn.TxnHeader, wire.SubTxn{Op: txn.Op, Body: txn.Body}, out, &r)
	out.Err, out.Path, out.Stat, out.Data = r.Err, r.Path, r.Stat, r.Data
}

// applyMulti applies all parts or, if one of them is an error, none. The results
// of a failed multi are those that its client is told: OK before the failing
// part, its code, and RUNTIMEINCONSISTENCY behind it.
func (t *Tree) applyMulti(h *wire.TxnHeader, m *wire.MultiTxn, out *Applied) {
	failed := slices.ContainsFunc(m.Txns, func(s wire.SubTxn) bool { return s.Op == wire.OpError })
	behind := wire.OK
	for _, s := range m.Txns {
		r := wire.MultiResult{Op: wire.OpError, Err: behind}
		switch e, isError := s.Body.(*wire.ErrorTxn); {
		case isError:
			r.Err = e.Err
			behind = wire.ErrRuntimeInconsistency
		case !failed:
			t.applyOne(h, s, out, &r)
		}
		out.Multi = append(out.Multi, r)
	}
}

// applyOne applies one change and says what a client is told of it.
func (t *Tree) applyOne(h *wire.TxnHeader, s wire.SubTxn, out *Applied, r *wire.MultiResult) {
	r.Op, r.Err = s.Op, wire.OK
	switch body := s.Body.(type) {
	case *wire.CreateTxn:
		c := creation{s.Op, body.Path, body.Data, body.ACL, 0, body.ParentCversion}
		if body.Ephemeral {
			c.owner = int64(h.Session)
		}
		t.applyCreate(h, &c, out, r)
	case *wire.CreateTTLTxn:
		t.applyCreate(h, &creation{wire.OpCreate2, body.Path, body.Data, body.ACL, wire.TTLOwner(body.TTLMs), body.ParentCversion}, out, r)
	case *wire.CreateContainerTxn:
		t.applyCreate(h, &creation{wire.OpCreate2, body.Path, body.Data, body.ACL, wire.ContainerOwner, body.ParentCversion}, out, r)
	case *wire.DeleteTxn:
		r.Op = wire.OpDelete
		r.Err = t.applyDelete(h.Zxid, body.Path, out)
	case *wire.SetDataTxn:
		t.applySetData(h, body, out, r)
	case *wire.SetACLTxn:
		t.applySetACL(body, r)
	case *wire.CheckVersionTxn: // held when the txn was prepared
	default:
		panic(fmt.Sprintf("znode: txn %v has a body of type %T", h.Zxid, s.Body))
	}
	if r.Err != wire.OK {
		*r = wire.MultiResult{Op: wire.OpError, Err: r.Err}
	}
}

// creation is what the three create txns have in common.
type creation struct {
	op             wire.OpCode // of the result: OpCreate has no Stat
	path           string
	data           []byte
	acl            []wire.ACL
	owner          int64
	parentCversion int32
}

func (t *Tree) applyCreate(h *wire.TxnHeader, c *creation, out *Applied, r *wire.MultiResult) {
	parentPath, name := splitPath(c.path)
	if name == "" {
		r.Err = wire.ErrBadArguments
		return
	}
	parent := t.lookup(parentPath)
	if parent == 0 {
		r.Err = wire.ErrNoNode
		return
	}
	hash := t.index.hash(c.path)
	if n := t.index.find(t, hash, c.path); n != 0 {
		// Replay over a fuzzy snapshot: the ACL may be missing there, and the
		// parent may be older than the child. ZooKeeper sees to the parent for
		// txns of type create only.
		t.setACL(n, c.acl)
		if c.op == wire.OpCreate {
			t.raiseCversion(parent, c.parentCversion, h.Zxid)
		}
		r.Err = wire.ErrNodeExists
		return
	}
	n := t.insert(parent, hash, c.path, name, c.data, t.acls.intern(c.acl), &wire.StatPersisted{
		Czxid: h.Zxid, Mzxid: h.Zxid, Pzxid: h.Zxid, Ctime: h.TimeMs, Mtime: h.TimeMs, EphemeralOwner: c.owner,
	})
	t.raiseCversion(parent, c.parentCversion, h.Zxid)
	t.quotaWritten(c.path, c.data)
	r.Op, r.Path, r.Stat = c.op, c.path, t.stat(n)
	t.fire(out, wire.EventNodeCreated, c.path, t.aclEntry(n))
	t.fire(out, wire.EventNodeChildrenChanged, parentPath, t.aclEntry(parent))
}

// raiseCversion sets the number of children that n ever had, but never back
// (ZOOKEEPER-3249); -1 counts one more than there were.
func (t *Tree) raiseCversion(n nodeID, cversion int32, z wire.Zxid) {
	p := t.nodes.at(uint32(n))
	if cversion == -1 {
		cversion = p.cversion + 1
	}
	if cversion <= p.cversion {
		return
	}
	t.changes.touch(t, n, p)
	p.cversion, p.pzxid = cversion, z
	t.redigest(p)
}

func (t *Tree) applyDelete(z wire.Zxid, path string, out *Applied) wire.ErrCode {
	parentPath, name := splitPath(path)
	if name == "" {
		return wire.ErrBadArguments
	}
	parent := t.lookup(parentPath)
	if parent == 0 {
		return wire.ErrNoNode
	}
	// Even if the node itself is missing (ZOOKEEPER-3125).
	if p := t.nodes.at(uint32(parent)); z > p.pzxid {
		t.changes.touch(t, parent, p)
		p.pzxid = z
		t.redigest(p)
	}
	n := t.lookup(path)
	if n == 0 {
		return wire.ErrNoNode
	}
	acl := t.aclEntry(n)
	t.removeBelow(n)
	t.remove(n, path)
	t.quotaDeleted(path)
	t.fire(out, wire.EventNodeDeleted, path, acl)
	t.fire(out, wire.EventNodeChildrenChanged, parentPath, t.aclEntry(parent))
	return wire.OK
}

// removeBelow deletes n's descendants. There are none but in replay over a fuzzy
// snapshot, which can hold children of a later node with the same path; the
// txns to come will make them again.
func (t *Tree) removeBelow(n nodeID) {
	for t.nodes.at(uint32(n)).dir != 0 {
		leaf := n
		for d := t.nodes.at(uint32(leaf)).dir; d != 0; d = t.nodes.at(uint32(leaf)).dir {
			leaf = t.dirs.at(d).first
		}
		path := t.path(leaf)
		t.remove(leaf, path)
		t.quotaDeleted(path)
	}
}

func (t *Tree) applySetData(h *wire.TxnHeader, body *wire.SetDataTxn, out *Applied, r *wire.MultiResult) {
	n := t.lookup(body.Path)
	if n == 0 {
		r.Err = wire.ErrNoNode
		return
	}
	t.setData(n, body.Path, body.Data)
	p := t.nodes.at(uint32(n))
	p.version, p.mzxid, p.mtime = body.Version, h.Zxid, h.TimeMs
	t.redigest(p)
	t.quotaWritten(body.Path, body.Data)
	r.Stat = t.stat(n)
	if h.Op == wire.OpReconfig {
		r.Data = body.Data
	}
	t.fire(out, wire.EventNodeDataChanged, body.Path, t.aclEntry(n))
}

func (t *Tree) applySetACL(body *wire.SetACLTxn, r *wire.MultiResult) {
	n := t.lookup(body.Path)
	if n == 0 {
		r.Err = wire.ErrNoNode
		return
	}
	t.setACL(n, body.ACL)
	p := t.nodes.at(uint32(n))
	p.aversion = body.Version
	t.redigest(p)
	r.Stat = t.stat(n)
}

// applyClose ends a session: the paths of the txn are deleted, then what else
// the session still owns, which is all of it for a txn without paths.
func (t *Tree) applyClose(txn *wire.Txn, paths []string, out *Applied) {
	delete(t.sessions.sorted, txn.Session) // nobody will ask, and all of it goes
	for _, path := range paths {
		t.applyDelete(txn.Zxid, path, out)
	}
	for _, path := range t.Ephemerals(txn.Session) {
		t.applyDelete(txn.Zxid, path, out)
	}
	t.endSession(txn.Session)
	out.Closed = txn.Session
}
