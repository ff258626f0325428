package znode

import "zooid/wire"

const (
	// verdictPairs is the number of pairs of an ACL's entry and an identity up to
	// which a permission is judged anew each time, which takes less than a look into
	// the verdicts.
	verdictPairs = 16
	// verdictsMax is how many verdicts a connection remembers, of some 32 bytes
	// each. The one beyond it takes the place of all of them.
	verdictsMax = 256
)

// verdicts remembers what one connection may do under the ACLs that it has met, so
// that a long ACL is judged once for it and not with each request.
type verdicts struct {
	// The identities that were judged, which are never changed in place, and the
	// table whose numbers the keys have.
	ids    *wire.ID
	count  int
	origin *aclOrigin

	known map[verdictKey]bool
}

type verdictKey struct {
	acl  uint64 // aclEntry.no
	perm int32
}

// permits tells whether r has one of the permissions under the ACL id.
func (t *Tree) permits(r *Reader, acl []wire.ACL, no uint64, perm int32) bool {
	if t.rules.SkipACL || t.rules.Auth == nil {
		return true
	}
	if len(acl)*len(r.IDs) <= verdictPairs {
		return t.rules.Auth.Permits(acl, perm, r.IDs)
	}
	v := &r.verdicts
	if v.ids != &r.IDs[0] || v.count != len(r.IDs) || v.origin != t.acls.origin {
		*v = verdicts{ids: &r.IDs[0], count: len(r.IDs), origin: t.acls.origin, known: v.known}
		clear(v.known)
	}
	key := verdictKey{no, perm}
	verdict, ok := v.known[key]
	if ok {
		return verdict
	}
	verdict = t.rules.Auth.Permits(acl, perm, r.IDs)
	switch {
	case v.known == nil:
		v.known = make(map[verdictKey]bool)
	case len(v.known) >= verdictsMax:
		clear(v.known)
	}
	v.known[key] = verdict
	return verdict
}

// MaySee tells whether r may be told of e, which Apply has just made: whether it may
// read the znode. Only the goroutine that changes the tree may ask.
func (t *Tree) MaySee(r *Reader, e *Event) bool {
	return e.ACL == nil || t.permits(r, e.ACL, e.aclNo, wire.PermRead)
}
