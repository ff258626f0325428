package znode

import "zooid/wire"

// prepareSetData serves setData. The quota is asked before the version, as in
// ZooKeeper.
func prepareSetData(v *View, r *Request, _ wire.OpCode, body wire.Record) (wire.TxnBody, wire.ErrCode) {
	req := body.(*wire.SetDataRequest)
	old, code := v.target(r, req.Path, wire.PermWrite)
	if code != wire.OK {
		return nil, code
	}
	if v.exceedsQuota(req.Path, int64(len(req.Data))-int64(old.size), 0) {
		return nil, wire.ErrQuotaExceeded
	}
	if req.Version != -1 && req.Version != old.stat.Version {
		return nil, wire.ErrBadVersion
	}
	txn := &wire.SetDataTxn{Path: req.Path, Data: req.Data, Version: old.stat.Version + 1}
	if !v.fits(wire.TxnBodySize(txn)) {
		return nil, wire.ErrBadArguments
	}
	next := old
	next.stat.Version++ // wraps around, as in ZooKeeper
	next.stat.Mzxid, next.stat.Mtime = v.zxid, v.timeMs
	next.size = int32(len(req.Data))
	if !v.t.rules.NoDigest {
		next.crc = contentCRC(req.Path, req.Data)
	}
	v.change(req.Path, &old, &next)
	return txn, wire.OK
}

// target makes the checks that setData and check begin with, and finds the
// node.
func (v *View) target(r *Request, path string, perm int32) (s state, code wire.ErrCode) {
	if code := v.checkSession(r); code != wire.OK {
		return s, code
	}
	if !validPath(path) {
		return s, wire.ErrBadArguments
	}
	s, ok := v.node(path)
	if !ok {
		return s, wire.ErrNoNode
	}
	if !v.permits(s.acl, perm, r) {
		return s, wire.ErrNoAuth
	}
	return s, wire.OK
}

// prepareSetACL serves setACL. The ACL is judged before the node is looked for.
func prepareSetACL(v *View, r *Request, _ wire.OpCode, body wire.Record) (wire.TxnBody, wire.ErrCode) {
	req := body.(*wire.SetACLRequest)
	if code := v.checkSession(r); code != wire.OK {
		return nil, code
	}
	if !validPath(req.Path) {
		return nil, wire.ErrBadArguments
	}
	acl, code := v.normalize(req.ACL, r)
	if code != wire.OK {
		return nil, code
	}
	old, ok := v.node(req.Path)
	switch {
	case !ok:
		return nil, wire.ErrNoNode
	case !v.permits(old.acl, wire.PermAdmin, r):
		return nil, wire.ErrNoAuth
	case req.Version != -1 && req.Version != old.stat.Aversion:
		return nil, wire.ErrBadVersion
	}
	txn := &wire.SetACLTxn{Path: req.Path, ACL: acl, Version: old.stat.Aversion + 1}
	if !v.fits(wire.TxnBodySize(txn)) {
		return nil, wire.ErrBadArguments
	}
	next := old
	next.stat.Aversion++
	next.acl = v.keepACL(acl)
	v.change(req.Path, &old, &next)
	return txn, wire.OK
}

// prepareCheck serves check, a part of a multi that changes nothing. The txn
// carries the version that a write would make, as in ZooKeeper.
func prepareCheck(v *View, r *Request, _ wire.OpCode, body wire.Record) (wire.TxnBody, wire.ErrCode) {
	req := body.(*wire.CheckVersionRequest)
	s, code := v.target(r, req.Path, wire.PermRead)
	if code != wire.OK {
		return nil, code
	}
	if req.Version != -1 && req.Version != s.stat.Version {
		return nil, wire.ErrBadVersion
	}
	txn := &wire.CheckVersionTxn{Path: req.Path, Version: s.stat.Version + 1}
	if !v.fits(wire.TxnBodySize(txn)) {
		return nil, wire.ErrBadArguments
	}
	return txn, wire.OK
}

// prepareReconfig serves reconfig. A member that is a quorum of one has no
// configuration to change.
func prepareReconfig(v *View, r *Request, _ wire.OpCode, _ wire.Record) (wire.TxnBody, wire.ErrCode) {
	if !v.t.rules.ReconfigEnabled {
		return nil, wire.ErrReconfigDisabled
	}
	if code := v.checkSession(r); code != wire.OK {
		return nil, code
	}
	return nil, wire.ErrUnimplemented
}
