package znode

import (
	"sync"
	"unsafe"

	"zooid/wire"
)

// ConnID names a client connection within one server process: who asked a
// request and who holds watches. 0 is nobody.
type ConnID uint64

// nodeID addresses a znode in the tree's storage; 0 is none. It is reused
// after the znode's deletion, so it must not outlive the lock hold.
type nodeID uint32

// rootID is the root's, for the life of a tree.
const rootID nodeID = 1

// node is what the tree keeps of a znode beside its name and data bytes. It
// holds no pointers, so that the garbage collector need not look at a million
// of them; its order of fields leaves no padding.
type node struct {
	czxid, mzxid, pzxid wire.Zxid
	ctime, mtime        int64 // ms since 1970
	owner               int64 // stored ephemeralOwner, see wire.KindOfOwner

	version, cversion, aversion int32 // cversion: children ever created

	parent     nodeID
	next, prev nodeID // siblings in order of creation; the first's prev is the last, the last's next is 0
	dir        uint32 // index in Tree.dirs, 0 while there are no children

	ownedNext, ownedPrev nodeID // the owner's other nodes, linked like siblings; 0 for persistent nodes

	name    handle // length as uvarint, then the bytes
	data    handle // meaningful if dataLen > 0
	dataLen int32  // bytes; -1 = null
	acl     aclID
	crc     uint32 // CRC-32 of path‖data
	digest  uint32 // this node's share of the tree digest; 0 below /zookeeper/

	system bool  // lies below /zookeeper/
	kept   uint8 // where the durable copy stands with it: the kept… bits; touched only by the loop and by Drain
}

func (n *node) link() *uint32 { return (*uint32)(&n.next) }

// Tree holds all znodes, sessions and watches of a member. One goroutine, the
// member's loop, changes it and holds Lock while doing so; any goroutine reads
// holding RLock. The loop may read without a lock, for it is the only writer.
type Tree struct {
	mu sync.RWMutex

	rules Rules
	zxid  wire.Zxid // last applied

	nodes arena[node, *node]
	dirs  arena[dir, *dir]
	index index
	slab  slab
	acls  aclTable
	lists listCache

	sum       digestState
	figures   figures
	published published

	sessions sessionTable
	reapable ownedList // containers and TTL nodes
	reaper   nodeID    // where Reapable goes on in it; 0 = at its beginning
	quotas   quotaTable
	watches  watchTable
	changes  changes
	loading  loadState
}

// New makes a tree of the built-in nodes at zxid 0.
func New() *Tree {
	t := new(Tree)
	t.index.init()
	t.acls.init()
	t.lists.init()
	t.sessions.init()
	t.quotas.init()
	t.watches.init()
	t.addRoot()
	for _, path := range [...]string{systemPath, quotaPath, configPath} {
		var s wire.StatPersisted
		acl := aclID(openACL)
		if path == configPath {
			// ZooKeeper sets this ACL at start, by a setACL with version -1.
			s.Aversion = -1
			acl = t.acls.intern([]wire.ACL{{Perms: wire.PermRead, ID: wire.OpenACL[0].ID}})
		}
		parent, name := splitPath(path)
		t.insert(t.lookup(parent), t.index.hash(path), path, name, []byte{}, acl, &s)
	}
	t.publish()
	return t
}

// The built-in nodes, which cannot be deleted.
const (
	systemPath = "/zookeeper"
	quotaPath  = "/zookeeper/quota"
	configPath = "/zookeeper/config"
)

// Lock keeps everybody else out. Only the member's loop takes it.
func (t *Tree) Lock() { t.mu.Lock() }

// Unlock ends Lock.
func (t *Tree) Unlock() {
	t.publish()
	t.mu.Unlock()
}

// RLock keeps the tree as it is until RUnlock.
func (t *Tree) RLock() { t.mu.RLock() }

// RUnlock ends RLock.
func (t *Tree) RUnlock() { t.mu.RUnlock() }

// LastZxid is the zxid of the last txn that was applied.
func (t *Tree) LastZxid() wire.Zxid { return t.zxid }

// lookup finds the node of exactly this path, or 0. Both "/" and "" are the
// root: ZooKeeper keeps it under both names.
func (t *Tree) lookup(path string) nodeID {
	if len(path) <= 1 {
		if path == "" || path == "/" {
			return rootID
		}
		return 0
	}
	return t.index.find(t, t.index.hash(path), path)
}

// isPath tells whether path is n's.
func (t *Tree) isPath(n nodeID, path string) bool {
	end := len(path)
	for n != rootID {
		p := t.nodes.at(uint32(n))
		name := t.slab.name(p.name)
		start := end - len(name)
		if start < 1 || path[start-1] != '/' || path[start:end] != string(name) {
			return false
		}
		end = start - 1
		n = p.parent
	}
	return end == 0
}

// appendPath appends n's path: "/" for the root.
func (t *Tree) appendPath(dst []byte, n nodeID) []byte {
	if n == rootID {
		return append(dst, '/')
	}
	return t.appendBelow(dst, n)
}

// appendBelow is appendPath with nothing for the root.
func (t *Tree) appendBelow(dst []byte, n nodeID) []byte {
	if n == rootID {
		return dst
	}
	p := t.nodes.at(uint32(n))
	dst = append(t.appendBelow(dst, p.parent), '/')
	return append(dst, t.slab.name(p.name)...)
}

// path is n's path in memory of its own.
func (t *Tree) path(n nodeID) string { return string(t.appendPath(nil, n)) }

// splitPath cuts a path behind its last slash: the parent's path, "" if that
// is the root, and the node's name. A path without a slash has no name.
func splitPath(path string) (parent, name string) {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[:i], path[i+1:]
		}
	}
	return "", ""
}

// persisted is n's stat as snapshots keep it.
func (t *Tree) persisted(n nodeID) wire.StatPersisted {
	p := t.nodes.at(uint32(n))
	return wire.StatPersisted{
		Czxid: p.czxid, Mzxid: p.mzxid, Ctime: p.ctime, Mtime: p.mtime,
		Version: p.version, Cversion: p.cversion, Aversion: p.aversion,
		EphemeralOwner: p.owner, Pzxid: p.pzxid,
	}
}

// stat is n's stat as a client sees it: Cversion counts deletes too, and only
// sessions show as owners.
func (t *Tree) stat(n nodeID) wire.Stat {
	p := t.nodes.at(uint32(n))
	children := t.childCount(n)
	s := wire.Stat{
		Czxid: p.czxid, Mzxid: p.mzxid, Ctime: p.ctime, Mtime: p.mtime,
		Version: p.version, Cversion: 2*p.cversion - children, Aversion: p.aversion,
		DataLength: max(p.dataLen, 0), NumChildren: children, Pzxid: p.pzxid,
	}
	if kind, _ := t.kindOf(p.owner); kind == wire.OwnerSession {
		s.EphemeralOwner = wire.SessionID(p.owner)
	}
	return s
}

// data is n's data, nil if it is null. It aliases the tree.
func (t *Tree) data(n nodeID) []byte {
	p := t.nodes.at(uint32(n))
	switch {
	case p.dataLen < 0:
		return nil
	case p.dataLen == 0:
		return []byte{}
	}
	return t.slab.bytes(p.data, int(p.dataLen))
}

// acl is n's ACL, which is shared and must not be changed.
func (t *Tree) acl(n nodeID) []wire.ACL { return t.acls.list(t.nodes.at(uint32(n)).acl) }

// aclEntry is n's ACL with its number, by value: the table may release it.
func (t *Tree) aclEntry(n nodeID) aclEntry { return t.acls.entries[t.nodes.at(uint32(n)).acl] }

// contentCRC is the CRC-32 of n's path‖data (the root's path counts as empty),
// to be continued with its stat; see nodeDigest.
func (t *Tree) contentCRC(n nodeID) uint32 { return t.nodes.at(uint32(n)).crc }

// bytesOf views a string's bytes, which must not be written.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// stringOf views bytes as a string, which lives as long as they stay as they are.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
