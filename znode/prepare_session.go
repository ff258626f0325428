package znode

import "zooid/wire"

// prepareCreateSession serves createSession, which a member asks for when a
// client connects.
func prepareCreateSession(v *View, r *Request, _ wire.OpCode, _ wire.Record) (wire.TxnBody, wire.ErrCode) {
	s := v.touchSession(r.Session)
	s.begun, s.ended = true, false
	return &wire.CreateSessionTxn{TimeoutMs: r.TimeoutMs}, wire.OK
}

// prepareCloseSession serves closeSession, of a client or of the leader that
// lets a session expire. It is never refused: the end of a session that has
// ended already changes nothing. If its list of paths is longer than a txn may be
// it goes without: it then deletes whatever ephemerals the session has when it is
// applied, which are the same.
func prepareCloseSession(v *View, r *Request, _ wire.OpCode, _ wire.Record) (wire.TxnBody, wire.ErrCode) {
	paths := v.ephemerals(r.Session)
	for _, path := range paths {
		old, _ := v.node(path)
		v.deleteNode(path, &old)
	}
	s := v.touchSession(r.Session)
	s.begun, s.ended = false, true
	txn := &wire.CloseSessionTxn{Paths: paths}
	if !v.fits(wire.TxnBodySize(txn)) {
		return nil, wire.OK
	}
	return txn, wire.OK
}

// ephemerals lists the nodes that a session will own once the proposals in
// flight commit.
func (v *View) ephemerals(id wire.SessionID) []string {
	var paths []string
	for _, path := range v.t.Ephemerals(id) {
		// A pending node under this path may be another one, made by a later
		// create: that one stands in made.
		if p := v.nodes[path]; p == nil || !p.gone && p.stat.Czxid <= v.t.LastZxid() {
			paths = append(paths, path)
		}
	}
	s := v.sessions[id]
	if s == nil {
		return paths
	}
	for i, m := range s.made {
		p := v.nodes[m.path]
		if p == nil || p.gone || p.stat.EphemeralOwner != int64(id) || p.stat.Czxid != m.zxid {
			continue
		}
		// A multi may create a node, delete it and create it again.
		if i == 0 || !madeTwice(s.made[:i], m) {
			paths = append(paths, m.path)
		}
	}
	return paths
}

func madeTwice(before []ephemeral, m ephemeral) bool {
	for i := len(before) - 1; i >= 0 && before[i].zxid == m.zxid; i-- {
		if before[i].path == m.path {
			return true
		}
	}
	return false
}
