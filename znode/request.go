package znode

import (
	"fmt"

	"zooid/wire"
)

// Request is a client's wish on its way to the leader: decoded, with the
// identities that its connection had proved when it arrived. Session 0 is the
// member itself (reaping of containers and TTL nodes).
type Request struct {
	Conn    ConnID // who waits for the reply, 0 = nobody here
	Session wire.SessionID
	Cxid    int32
	Op      wire.OpCode
	// Body is what DecodeRequest made of the frame; nil for operations without
	// a body (closeSession, createSession).
	Body wire.Record
	// Raw is what Body was decoded from, the request's bytes behind the header:
	// a learner forwards them as they came. Never changed afterwards.
	Raw []byte
	// IDs are the identities of the connection when it was received; never
	// changed afterwards.
	IDs       []wire.ID
	TimeoutMs int32 // createSession only: negotiated

	// Refused, if not OK, is why the request was refused before it was looked
	// at: it becomes an error txn with this code.
	Refused wire.ErrCode
	// Local says that the session is known to its own member only, which is to be
	// believed: it may do everything but own ephemerals.
	Local bool
	// AtMs is when it came, in ms of the member's clock. Filled in by the peer.
	AtMs int64
	// Resubmitted says that a role has ended without an outcome, and another one
	// was asked.
	Resubmitted bool
}

// MakesEphemeral tells whether the request would create an ephemeral, alone or
// as part of a multi.
func (r *Request) MakesEphemeral() bool {
	switch body := r.Body.(type) {
	case *wire.CreateRequest:
		return isEphemeral(r.Op, body.Flags)
	case *wire.MultiRequest:
		for i := range body.Ops {
			op, part := partOf(&body.Ops[i])
			if c, ok := part.(*wire.CreateRequest); ok && isEphemeral(op, c.Flags) {
				return true
			}
		}
	}
	return false
}

// Rules is what the server's configuration says about requests. The zero
// value refuses nothing by ACL: it has no Authority (see Rules.permits).
type Rules struct {
	Auth            Authority
	SkipACL         bool // zookeeper.skipACL: every ACL check passes
	EnforceQuota    bool // zookeeper.enforceQuota: hard limits refuse, else they are only kept
	ExtendedTypes   bool // zookeeper.extendedTypesEnabled: TTL nodes
	Emulate353      bool // zookeeper.emulate353TTLNodes: owners in the form of 3.5.3 are TTLs; nothing without ExtendedTypes
	ReconfigEnabled bool // reconfigEnabled
	NoDigest        bool // zookeeper.digest.enabled=false: txns carry no digest
	// QuotaExceeded, if not nil, is told of each request and part of a multi that a
	// hard limit refuses: the first part of its path, which is not to be kept.
	QuotaExceeded func(namespace string)
	// TxnMax is the largest txn that is prepared, in bytes of its encoding; 0 is
	// wire.TxnBytesMax. A request whose txn would be larger is BADARGUMENTS.
	TxnMax int
}

// Authority judges identities; package auth has the one that serves.
type Authority interface {
	// Permits tells whether somebody with these identities may do what perm
	// says under acl. An empty acl permits everything.
	Permits(acl []wire.ACL, perm int32, ids []wire.ID) bool
	// Normalize turns the ACL of a create or setACL into what is stored: `auth`
	// expanded, duplicates removed. The error wraps wire.ErrInvalidACL. The
	// result may alias acl, which is not changed.
	Normalize(acl []wire.ACL, ids []wire.ID) ([]wire.ACL, error)
	// DisplayID is the identity as whoAmI shows it: without the hash of a digest.
	DisplayID(id wire.ID) wire.ID
}

// SetRules says what the configuration says. Call it before the tree is used.
func (t *Tree) SetRules(r Rules) { t.setRules(r) }

// permits is the only place that asks about permissions: skipACL, and the
// default of a tree without an Authority (a tool's or a test's), which lets
// everything pass.
func (r *Rules) permits(acl []wire.ACL, perm int32, ids []wire.ID) bool {
	return r.SkipACL || r.Auth == nil || r.Auth.Permits(acl, perm, ids)
}

// DecodeRequest decodes the body of a request that goes through the member's
// loop (Op.Quorum). The error wraps wire.ErrMarshalling. The result aliases
// body, and is nil for an operation that has none. It is called on the member
// that has the connection, so that nothing undecodable ever reaches the leader:
// with Apache ZooKeeper 3.9 such a request stops the whole ensemble.
func DecodeRequest(op wire.OpCode, body []byte) (wire.Record, error) {
	row, ok := LookupOp(op)
	if !ok || !row.Quorum {
		return nil, fmt.Errorf("%v is not a request for the leader: %w", op, wire.ErrMarshalling)
	}
	if row.newBody == nil {
		return nil, nil
	}
	rec := row.newBody()
	if err := wire.Unmarshal(body, rec); err != nil {
		return nil, fmt.Errorf("%v request: %w", op, err)
	}
	if m, ok := rec.(*wire.MultiRequest); ok {
		if err := checkParts(m); err != nil {
			return nil, fmt.Errorf("%v request: %w", op, err)
		}
	}
	return rec, nil
}
