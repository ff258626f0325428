package znode

import "zooid/wire"

// prepareDelete serves delete. Only the four built-in paths and what has no
// parent at all is a bad path; any other that names nothing is NONODE.
func prepareDelete(v *View, r *Request, _ wire.OpCode, body wire.Record) (wire.TxnBody, wire.ErrCode) {
	req := body.(*wire.DeleteRequest)
	if code := v.checkSession(r); code != wire.OK {
		return nil, code
	}
	parentPath, code := parentOf(req.Path)
	if code != wire.OK || isBuiltIn(req.Path) {
		return nil, wire.ErrBadArguments
	}
	parent, ok := v.node(parentPath)
	if !ok {
		return nil, wire.ErrNoNode
	}
	if !v.permits(parent.acl, wire.PermDelete, r) {
		return nil, wire.ErrNoAuth
	}
	old, ok := v.node(req.Path)
	switch {
	case !ok:
		return nil, wire.ErrNoNode
	case req.Version != -1 && req.Version != old.stat.Version:
		return nil, wire.ErrBadVersion
	case old.children > 0:
		return nil, wire.ErrNotEmpty
	}
	txn := &wire.DeleteTxn{Path: req.Path}
	if !v.fits(wire.TxnBodySize(txn)) {
		return nil, wire.ErrBadArguments
	}
	v.deleteNode(req.Path, &old)
	return txn, wire.OK
}

// prepareDeleteContainer serves deleteContainer, by which a member reaps an
// empty container or an expired TTL node that it found some moments ago. It
// needs no permission, so it is for the member itself only (session 0), and
// looks again whether the node is still to be reaped.
func prepareDeleteContainer(v *View, r *Request, _ wire.OpCode, body wire.Record) (wire.TxnBody, wire.ErrCode) {
	path := body.(*wire.DeleteContainerRequest).Path
	if r.Session != 0 {
		return nil, wire.ErrUnimplemented
	}
	if _, code := parentOf(path); code != wire.OK || isBuiltIn(path) {
		return nil, wire.ErrBadArguments
	}
	old, ok := v.node(path)
	if !ok {
		return nil, wire.ErrNoNode
	}
	if old.children > 0 {
		return nil, wire.ErrNotEmpty
	}
	switch kind, ttlMs := v.t.kindOf(old.stat.EphemeralOwner); {
	case kind == wire.OwnerTTL && v.timeMs-old.stat.Mtime <= ttlMs:
		return nil, wire.ErrBadVersion // written since
	case kind != wire.OwnerTTL && kind != wire.OwnerContainer:
		return nil, wire.ErrBadVersion // as ZooKeeper answers for an ephemeral
	}
	v.deleteNode(path, &old)
	return &wire.DeleteTxn{Path: path}, wire.OK
}

// deleteNode notes the deletion of a node that is there, and what it changes in
// the parent. A node has a parent, or it would not be there.
func (v *View) deleteNode(path string, old *state) {
	parentPath, _ := parentOf(path)
	parent, _ := v.node(parentPath)
	next := parent
	next.children--
	next.stat.Pzxid = v.zxid
	v.change(parentPath, &parent, &next)
	v.remove(path, old)
}
