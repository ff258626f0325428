package znode

import (
	"fmt"
	"math"
	"strings"

	"zooid/wire"
)

// limitsOfRoot would be the quota of everything. With Apache ZooKeeper 3.9 its
// creation stops the server for good; here it is refused.
const limitsOfRoot = quotaPath + "/" + limitsName

// prepareCreate serves create, create2, createContainer and createTTL. The
// order of the checks is ZooKeeper's.
func prepareCreate(v *View, r *Request, op wire.OpCode, body wire.Record) (wire.TxnBody, wire.ErrCode) {
	req, ttlMs := createRequest(body)
	sequential, code := v.checkMode(op, req.Flags, ttlMs)
	if code != wire.OK {
		return nil, code
	}
	if code := v.checkSession(r); code != wire.OK {
		return nil, code
	}
	if r.Local && isEphemeral(op, req.Flags) && !v.HasSession(r.Session) {
		return nil, wire.ErrSessionExpired // nobody would ever delete it
	}
	parentPath, code := parentOf(req.Path)
	if code != wire.OK {
		return nil, code
	}
	acl, code := v.normalize(req.ACL, r)
	if code != wire.OK {
		return nil, code
	}
	parent, ok := v.node(parentPath)
	if !ok {
		return nil, wire.ErrNoNode
	}
	if !v.permits(parent.acl, wire.PermCreate, r) {
		return nil, wire.ErrNoAuth
	}
	path := req.Path
	if sequential {
		if parent.stat.Cversion == math.MaxInt32 {
			// ZooKeeper's counter turns negative here, and from then on each
			// name is already taken.
			return nil, wire.ErrBadArguments
		}
		path = fmt.Sprintf("%s%010d", path, parent.stat.Cversion)
	}
	if !validPath(path) || path == limitsOfRoot {
		return nil, wire.ErrBadArguments
	}
	if v.exists(path) {
		return nil, wire.ErrNodeExists
	}
	if kind, _ := v.t.kindOf(parent.stat.EphemeralOwner); kind == wire.OwnerSession {
		return nil, wire.ErrNoChildrenForEphemerals
	}
	if v.exceedsQuota(path, int64(len(req.Data)), 1) {
		return nil, wire.ErrQuotaExceeded
	}
	if !v.fits(wire.CreateTxnSize(path, req.Data, acl)) {
		return nil, wire.ErrBadArguments
	}
	parentCversion := v.addChild(parentPath, &parent)
	v.noteCreated(r, op, path, acl, req, ttlMs)
	return createTxn(op, path, acl, req, ttlMs, parentCversion), wire.OK
}

func createRequest(body wire.Record) (req *wire.CreateRequest, ttlMs int64) {
	if b, ok := body.(*wire.CreateTTLRequest); ok {
		return &b.CreateRequest, b.TTLMs
	}
	return body.(*wire.CreateRequest), 0
}

// checkMode checks the flags of a create against its opcode. With
// createContainer the ephemeral flag means nothing, with create and create2 the
// container flag.
func (v *View) checkMode(op wire.OpCode, flags int32, ttlMs int64) (sequential bool, code wire.ErrCode) {
	if flags < wire.FlagPersistent || flags > wire.FlagPersistentSequentialTTL {
		return false, wire.ErrBadArguments
	}
	if flags == wire.FlagPersistentTTL || flags == wire.FlagPersistentSequentialTTL {
		if !v.t.rules.ExtendedTypes {
			return false, wire.ErrUnimplemented
		}
		if op != wire.OpCreateTTL || ttlMs < 1 || ttlMs > wire.TTLMax {
			return false, wire.ErrBadArguments
		}
	} else if op == wire.OpCreateTTL {
		// In ZooKeeper a negative ttl gets past this check and ends the server.
		return false, wire.ErrBadArguments
	}
	switch flags {
	case wire.FlagPersistentSequential, wire.FlagEphemeralSequential, wire.FlagPersistentSequentialTTL:
		return true, wire.OK
	}
	return false, wire.OK
}

func isEphemeral(op wire.OpCode, flags int32) bool {
	return (op == wire.OpCreate || op == wire.OpCreate2) &&
		(flags == wire.FlagEphemeral || flags == wire.FlagEphemeralSequential)
}

// normalize turns the ACL of a request into what is stored.
func (v *View) normalize(acl []wire.ACL, r *Request) ([]wire.ACL, wire.ErrCode) {
	if v.t.rules.Auth == nil {
		if len(acl) == 0 {
			return nil, wire.ErrInvalidACL
		}
		return acl, wire.OK
	}
	acl, err := v.t.rules.Auth.Normalize(acl, r.IDs)
	return acl, wire.CodeOf(err)
}

// addChild notes what the creation of a child changes in its parent, and
// returns the parent's counter after it. At the end of its range the counter
// stays, and then, as Apply has it, pzxid does too.
func (v *View) addChild(path string, parent *state) (cversion int32) {
	next := *parent
	next.children++
	if next.stat.Cversion < math.MaxInt32 {
		next.stat.Cversion++
		next.stat.Pzxid = v.zxid
	}
	v.change(path, parent, &next)
	return next.stat.Cversion
}

// noteCreated notes the new node, and that its session owns it.
func (v *View) noteCreated(r *Request, op wire.OpCode, path string, acl []wire.ACL, req *wire.CreateRequest, ttlMs int64) {
	s := state{
		stat: wire.StatPersisted{Czxid: v.zxid, Mzxid: v.zxid, Pzxid: v.zxid, Ctime: v.timeMs, Mtime: v.timeMs},
		acl:  v.keepACL(acl),
		size: int32(len(req.Data)),
		crc:  contentCRC(path, req.Data),
	}
	ephemeralNode := isEphemeral(op, req.Flags)
	switch {
	case op == wire.OpCreateContainer:
		s.stat.EphemeralOwner = wire.ContainerOwner
	case op == wire.OpCreateTTL:
		s.stat.EphemeralOwner = wire.TTLOwner(ttlMs)
	case ephemeralNode:
		s.stat.EphemeralOwner = int64(r.Session)
	}
	path = v.add(path, &s)
	if ephemeralNode {
		p := v.touchSession(r.Session)
		p.made = append(p.made, ephemeral{zxid: v.zxid, path: path})
	}
}

func createTxn(op wire.OpCode, path string, acl []wire.ACL, req *wire.CreateRequest, ttlMs int64, parentCversion int32) wire.TxnBody {
	switch op {
	case wire.OpCreateContainer:
		return &wire.CreateContainerTxn{Path: path, Data: req.Data, ACL: acl, ParentCversion: parentCversion}
	case wire.OpCreateTTL:
		return &wire.CreateTTLTxn{Path: path, Data: req.Data, ACL: acl, ParentCversion: parentCversion, TTLMs: ttlMs}
	}
	return &wire.CreateTxn{Path: path, Data: req.Data, ACL: acl, Ephemeral: isEphemeral(op, req.Flags), ParentCversion: parentCversion}
}

// exceedsQuota tells whether so many bytes and nodes more would pass a hard
// limit, and then has it counted. The comparison is with what is applied, not with what is in flight, so
// a burst can pass the limit by its own size, as in ZooKeeper.
func (v *View) exceedsQuota(path string, bytes, count int64) bool {
	if !v.t.rules.EnforceQuota {
		return false
	}
	q, ok := v.t.quotaOf(path)
	if !ok {
		return false
	}
	exceeds := count != 0 && q.CountHardLimit > -1 && q.Count+count > q.CountHardLimit ||
		bytes != 0 && q.BytesHardLimit > -1 && q.Bytes+bytes > q.BytesHardLimit
	if exceeds && v.t.rules.QuotaExceeded != nil {
		namespace, _, _ := strings.Cut(path[1:], "/")
		v.t.rules.QuotaExceeded(namespace)
	}
	return exceeds
}
