package oracle

import (
	"strings"

	"zooid/wire"
)

// withTTL says whether the servers have TTL nodes.
var withTTL = true

// exceptions are requests on which Zooid differs from ZooKeeper with intent, or
// which end a ZooKeeper server. They are not generated.
var exceptions = []struct {
	reason string
	match  func(op wire.OpCode, body wire.Appender) bool
}{
	{
		"ZooKeeper ends, and does not start again, when a quota is set on the root or when a quota's nodes hold what it " +
			"cannot parse; and it counts on from what the stats node says, which is wrong if that is older than the limits " +
			"node or was set by a client, and when a quota comes or goes below another, where Zooid counts what is there. Quota nodes are made by gen.quota alone",
		func(op wire.OpCode, body wire.Appender) bool {
			path := ""
			switch r := body.(type) {
			case *wire.CreateRequest:
				path = r.Path
			case *wire.CreateTTLRequest:
				path = r.Path
			case *wire.SetDataRequest:
				path = r.Path
			case *wire.DeleteRequest:
				path = r.Path
			}
			return strings.HasPrefix(path, "/zookeeper/quota/") && strings.Contains(path, "/zookeeper_")
		},
	},
	{
		"ZooKeeper ends on createTTL with a mode that has no TTL and a negative TTL; Zooid says BADARGUMENTS",
		func(_ wire.OpCode, body wire.Appender) bool {
			r, ok := body.(*wire.CreateTTLRequest)
			return ok && r.Flags != wire.FlagPersistentTTL && r.Flags != wire.FlagPersistentSequentialTTL && r.TTLMs < 0
		},
	},
}

// unheard tells whether a reply is to a request that Zooid answers without a
// transaction and ZooKeeper, in some cases, with one: a write that cannot be
// understood. (Zooid proposes only what it has understood; in an ensemble of
// ZooKeeper such a proposal is what stops all commits.) The zxid that a server
// spends on it is not counted.
func unheard(err wire.ErrCode) bool { return err == wire.ErrMarshalling }

// Further exceptions are exceptions by the shape of the drill:
//   - deleteContainer and createSession from a client (Zooid refuses both; the
//     first lets anyone delete any node, the second makes a second handshake);
//   - a wrong password while the rightful client is connected (ZooKeeper
//     disconnects that one before it looks at the password);
//   - what lies beyond the bounds of Zooid's: 128 identities of a connection, ACLs
//     of 1,000 entries, replies of 4 MiB; no request comes near them;
//   - the order of getChildren, which in ZooKeeper follows hash codes and the size
//     that a table once had, and differs between two of its own servers;
//   - what is pipelined with setACL, auth, quotas: see pipelines.

// intended tells whether a request is an exception.
func intended(op wire.OpCode, body wire.Appender) bool {
	if m, ok := body.(*wire.MultiRequest); ok {
		for _, o := range m.Ops {
			if intended(o.Op, o.Body) {
				return true
			}
		}
		return false
	}
	for _, e := range exceptions {
		if e.match(op, body) {
			return true
		}
	}
	return false
}

// brokenIntended is intended for a body that was damaged: only those matter that
// still decode.
func brokenIntended(op wire.OpCode, body []byte) bool {
	var rec wire.Record
	switch op {
	case wire.OpCreate, wire.OpCreate2, wire.OpCreateContainer:
		rec = new(wire.CreateRequest)
	case wire.OpCreateTTL:
		rec = new(wire.CreateTTLRequest)
	case wire.OpSetData:
		rec = new(wire.SetDataRequest)
	case wire.OpDelete:
		rec = new(wire.DeleteRequest)
	case wire.OpMulti:
		rec = new(wire.MultiRequest)
	default:
		return false
	}
	if d := wire.NewDecoder(body); d.Int32() == -1 {
		return nullPathAndMore(body, rec)
	}
	return wire.Unmarshal(body, rec) == nil && intended(op, rec)
}

// nullPathAndMore tells whether a create has a null path and wrong flags or a
// wrong TTL too, or a TTL where there are none. ZooKeeper finds those first; to
// Zooid a null path is what cannot be decoded.
func nullPathAndMore(body []byte, rec wire.Record) bool {
	empty := append(make([]byte, 4), body[4:]...)
	if wire.Unmarshal(empty, rec) != nil {
		return false
	}
	switch r := rec.(type) {
	case *wire.CreateRequest:
		return r.Flags < wire.FlagPersistent || r.Flags > wire.FlagContainer
	case *wire.CreateTTLRequest:
		ttl := r.Flags == wire.FlagPersistentTTL || r.Flags == wire.FlagPersistentSequentialTTL
		return !ttl || !withTTL || r.TTLMs < 1 || r.TTLMs > wire.TTLMax
	}
	return false
}

// pipelines tells whether a request may be sent before the answer to the
// request before it has come. In ZooKeeper the others depend on timing: auth
// overtakes what is queued, a setACL judges what follows by the old or the new
// ACL, quotas are checked against counts that lag behind.
func pipelines(r *request) bool {
	switch r.op {
	case wire.OpAuth, wire.OpSetACL, wire.OpCloseSession, wire.OpCheck, wire.OpNotification, wire.OpError, unknownOp:
		return false
	}
	return !strings.Contains(r.text, "broken")
}
