package znode

import (
	"fmt"
	"strings"

	"zooid/wire"
)

// Record is a znode as the durable copy and snapshots keep it.
type Record struct {
	Data []byte     // nil is null
	ACL  []wire.ACL // nil is open: world:anyone with all permissions
	Stat wire.StatPersisted
}

// loadState remembers the parent of the node that was loaded last, for the next
// one is most often its sibling.
type loadState struct {
	parentPath string
	parent     nodeID
}

// Load puts a node into a tree that is being built, in the place of a built-in
// one if that has the path. Parents come first; both "" and "/" are the root.
// What is kept is cloned. No digest is compared, no quota counted; Loaded ends
// the loading. The error names the path.
func (t *Tree) Load(path string, r *Record) error {
	if path == "" || path == "/" {
		t.replace(rootID, "/", r)
		return nil
	}
	parentPath, name := splitPath(path)
	if name == "" {
		return fmt.Errorf("load %q: %w", path, wire.ErrBadArguments)
	}
	l := &t.loading
	if l.parent == 0 || l.parentPath != parentPath {
		parent := t.lookup(parentPath)
		if parent == 0 {
			return fmt.Errorf("load %s: parent: %w", path, wire.ErrNoNode)
		}
		l.parent, l.parentPath = parent, strings.Clone(parentPath)
	}
	hash := t.index.hash(path)
	if n := t.index.find(t, hash, path); n != 0 {
		t.replace(n, path, r)
	} else {
		t.insert(l.parent, hash, path, name, r.Data, t.acls.intern(r.ACL), &r.Stat)
	}
	if about, role := quotaNode(path); role == limitsName {
		t.noteLimits(about, r.Data)
	}
	return nil
}

// replace overwrites a node.
func (t *Tree) replace(n nodeID, path string, r *Record) {
	t.setData(n, path, r.Data)
	t.setACL(n, r.ACL)
	p := t.nodes.at(uint32(n))
	t.disown(n, p)
	t.setStat(n, p, &r.Stat)
	t.redigest(p)
}

// LoadSession puts a session into the table of a tree that is being built.
func (t *Tree) LoadSession(id wire.SessionID, timeoutMs, cxid int32) {
	t.createSession(id, timeoutMs, cxid)
}

// Loaded ends the loading: z is the last applied zxid, and the stats nodes of
// quotas are recomputed, as ZooKeeper does after reading a snapshot.
func (t *Tree) Loaded(z wire.Zxid) {
	t.loading = loadState{}
	t.quotasLoaded()
	t.zxid = z
	t.publish()
}
