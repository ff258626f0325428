package znode

import (
	"slices"
	"strings"

	"zooid/wire"
)

// aclID names an interned ACL.
type aclID uint32

// openACL is wire.OpenACL's, which most nodes have; it is never released.
const openACL aclID = 0

type aclEntry struct {
	acl  []wire.ACL
	key  string // encoded form
	refs int    // nodes that have it
	no   uint64 // names the ACL for good, where an id is used again
}

// aclOrigin is a thing that has an address of its own.
type aclOrigin struct{ _ byte }

// aclTable keeps each distinct ACL once. A million nodes seldom have more than
// a handful.
type aclTable struct {
	entries []aclEntry
	ids     map[string]aclID
	free    []aclID
	scratch []byte
	made    uint64 // ACLs ever interned, the last one's number
	// origin tells this table's numbers from another's, whose content a tree may
	// take over.
	origin *aclOrigin

	last   []wire.ACL // what lastID stands for, to spare the encoding when many nodes in a row have the same
	lastID aclID
}

func (a *aclTable) init() {
	a.ids = make(map[string]aclID)
	a.origin = new(aclOrigin)
	a.intern(wire.OpenACL)
}

// list is the ACL that id stands for. It is never changed.
func (a *aclTable) list(id aclID) []wire.ACL { return a.entries[id].acl }

// intern finds or makes the id of acl, with one reference more. nil stands for
// the open ACL, as in Record; a list without entries is kept as such.
func (a *aclTable) intern(acl []wire.ACL) aclID {
	if acl == nil && len(a.entries) > 0 {
		return openACL
	}
	if len(a.last) > 0 && slices.Equal(acl, a.last) && a.entries[a.lastID].refs > 0 {
		a.entries[a.lastID].refs++
		return a.lastID
	}
	a.scratch = wire.AppendACLs(a.scratch[:0], acl)
	id, ok := a.ids[string(a.scratch)]
	if !ok {
		id = a.add(acl)
	}
	a.entries[id].refs++
	a.last, a.lastID = a.entries[id].acl, id
	return id
}

func (a *aclTable) add(acl []wire.ACL) aclID {
	own := make([]wire.ACL, len(acl))
	for i, e := range acl {
		own[i] = wire.ACL{Perms: e.Perms, ID: wire.ID{Scheme: strings.Clone(e.ID.Scheme), ID: strings.Clone(e.ID.ID)}}
	}
	a.made++
	e := aclEntry{acl: own, key: string(a.scratch), no: a.made}
	var id aclID
	if n := len(a.free); n > 0 {
		id, a.free = a.free[n-1], a.free[:n-1]
		a.entries[id] = e
	} else {
		id = aclID(len(a.entries))
		a.entries = append(a.entries, e)
	}
	a.ids[e.key] = id
	return id
}

// release gives one reference back.
func (a *aclTable) release(id aclID) {
	if id == openACL {
		return
	}
	e := &a.entries[id]
	if e.refs--; e.refs > 0 {
		return
	}
	if e.refs < 0 {
		panic("znode: ACL released more often than interned")
	}
	delete(a.ids, e.key)
	*e = aclEntry{}
	a.free = append(a.free, id)
	if id == a.lastID {
		a.last = nil
	}
}
