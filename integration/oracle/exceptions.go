package oracle

import (
	"strings"

	"zooid/wire"
)

// exceptions are requests on which Zooid differs from ZooKeeper with intent, or
// which end a ZooKeeper server. They are not generated.
var exceptions = []struct {
	reason string
	match  func(op wire.OpCode, body wire.Appender) bool
}{
	{
		"ZooKeeper ends, and does not start again, when a quota is set on the root; Zooid refuses it",
		func(_ wire.OpCode, body wire.Appender) bool {
			r, ok := body.(*wire.CreateRequest)
			return ok && strings.HasPrefix(r.Path, "/zookeeper/quota/zookeeper_")
		},
	},
	{
		"ZooKeeper ends when a quota's nodes hold what it cannot parse",
		func(_ wire.OpCode, body wire.Appender) bool {
			var path string
			var data []byte
			switch r := body.(type) {
			case *wire.CreateRequest:
				path, data = r.Path, r.Data
			case *wire.CreateTTLRequest:
				path, data = r.Path, r.Data
			case *wire.SetDataRequest:
				path, data = r.Path, r.Data
			}
			return strings.HasPrefix(path, "/zookeeper/quota/") && strings.Contains(path, "/zookeeper_") &&
				!strings.HasPrefix(string(data), "count=")
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

// Further exceptions are exceptions by the shape of the drill:
//   - deleteContainer and createSession from a client (Zooid refuses both; the
//     first lets anyone delete any node, the second makes a second handshake);
//   - a wrong password while the rightful client is connected (ZooKeeper
//     disconnects that one before it looks at the password);
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
	case wire.OpMulti:
		rec = new(wire.MultiRequest)
	default:
		return false
	}
	return wire.Unmarshal(body, rec) == nil && intended(op, rec)
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
