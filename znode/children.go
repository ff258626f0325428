package znode

import "zooid/wire"

// dir is what a node with children has more than others.
type dir struct {
	first nodeID
	count int32 // children
	below int32 // descendants
	_     uint32
	bytes int64 // data bytes of all descendants
}

func (d *dir) link() *uint32 { return (*uint32)(&d.first) }

// childCount is the number of n's children.
func (t *Tree) childCount(n nodeID) int32 {
	if d := t.nodes.at(uint32(n)).dir; d != 0 {
		return t.dirs.at(d).count
	}
	return 0
}

// below is the number of n's descendants and the bytes of their data. Both are
// kept up to date with every change, so that neither getAllChildrenNumber nor a
// quota ever walks a subtree.
func (t *Tree) below(n nodeID) (nodes, bytes int64) {
	if d := t.nodes.at(uint32(n)).dir; d != 0 {
		d := t.dirs.at(d)
		return int64(d.below), d.bytes
	}
	return 0, 0
}

// addRoot makes the root. Its data is empty, not null, as in ZooKeeper.
func (t *Tree) addRoot() {
	i, p := t.nodes.alloc()
	if nodeID(i) != rootID {
		panic("znode: the root is not the first node")
	}
	p.crc = contentCRC("", nil)
	t.redigest(p)
}

// insert makes a node, which must not exist, as parent's last child. hash is
// the index's of path. It takes over the caller's reference to acl.
func (t *Tree) insert(parent nodeID, hash uint64, path, name string, data []byte, acl aclID, s *wire.StatPersisted) nodeID {
	i, p := t.nodes.alloc()
	n := nodeID(i)
	p.parent = parent
	p.name = t.slab.putName(name)
	p.acl = acl
	p.system = isSystem(path)
	p.dataLen = -1
	t.storeData(p, data)
	p.crc = contentCRC(path, data)
	t.setStat(n, p, s)
	t.redigest(p)
	t.linkChild(n, p)
	t.sumUp(parent, 1, int64(len(data)))
	t.figures.pathBytes += int64(len(path))
	t.index.add(hash, n)
	t.lists.childAdded(p.parent, name)
	t.changes.created(n, p)
	return n
}

// setStat takes over a stored stat.
func (t *Tree) setStat(n nodeID, p *node, s *wire.StatPersisted) {
	p.czxid, p.mzxid, p.pzxid = s.Czxid, s.Mzxid, s.Pzxid
	p.ctime, p.mtime = s.Ctime, s.Mtime
	p.version, p.cversion, p.aversion = s.Version, s.Cversion, s.Aversion
	p.owner = s.EphemeralOwner
	t.own(n, p)
}

// storeData replaces a node's data bytes by a copy of data; nil is null.
func (t *Tree) storeData(p *node, data []byte) {
	switch old := int(p.dataLen); {
	case old > 0 && len(data) > 0 && t.slab.fits(p.data, old, len(data)):
		copy(t.slab.bytes(p.data, len(data)), data)
	default:
		if old > 0 {
			t.slab.release(p.data, old)
		}
		p.data = 0
		if len(data) > 0 {
			p.data = t.slab.put(data)
		}
	}
	p.dataLen = int32(len(data))
	if data == nil {
		p.dataLen = -1
	}
}

// setData replaces n's data, and all that follows from it but the stat.
func (t *Tree) setData(n nodeID, path string, data []byte) {
	p := t.nodes.at(uint32(n))
	t.changes.touch(t, n, p)
	grown := int64(len(data)) - int64(max(p.dataLen, 0))
	t.storeData(p, data)
	p.crc = contentCRC(path, data)
	if n == rootID {
		t.figures.rootBytes += grown
	} else if grown != 0 {
		t.sumUp(p.parent, 0, grown)
	}
}

// setACL replaces n's ACL.
func (t *Tree) setACL(n nodeID, acl []wire.ACL) {
	p := t.nodes.at(uint32(n))
	t.changes.touch(t, n, p)
	old := p.acl
	p.acl = t.acls.intern(acl)
	t.acls.release(old)
}

// remove deletes n, which has no children and is not the root.
func (t *Tree) remove(n nodeID, path string) {
	p := t.nodes.at(uint32(n))
	t.changes.gone(t, n, p, path)
	t.index.remove(t.index.hash(path), n)
	t.disown(n, p)
	t.unlinkChild(n, p)
	t.lists.drop(p.parent)
	t.sumUp(p.parent, -1, -int64(max(p.dataLen, 0)))
	t.figures.pathBytes -= int64(len(path))
	t.sum.tree -= uint64(p.digest)
	t.acls.release(p.acl)
	t.storeData(p, nil)
	t.slab.releaseName(p.name)
	// The parent's dir goes last: the sums above are kept in it.
	if up := t.nodes.at(uint32(p.parent)); t.dirs.at(up.dir).count == 0 {
		t.dirs.release(up.dir)
		up.dir = 0
	}
	t.nodes.release(uint32(n))
}

// sumUp adds to the figures of n, which has children, and of all above it.
func (t *Tree) sumUp(n nodeID, nodes int32, bytes int64) {
	for n != 0 {
		p := t.nodes.at(uint32(n))
		d := t.dirs.at(p.dir)
		d.below += nodes
		d.bytes += bytes
		n = p.parent
	}
}

func (t *Tree) linkChild(n nodeID, p *node) {
	up := t.nodes.at(uint32(p.parent))
	if up.dir == 0 {
		up.dir, _ = t.dirs.alloc()
	}
	d := t.dirs.at(up.dir)
	d.count++
	if d.first == 0 {
		d.first, p.prev = n, n
		return
	}
	first := t.nodes.at(uint32(d.first))
	p.prev = first.prev
	t.nodes.at(uint32(first.prev)).next = n
	first.prev = n
}

func (t *Tree) unlinkChild(n nodeID, p *node) {
	d := t.dirs.at(t.nodes.at(uint32(p.parent)).dir)
	d.count--
	last := t.nodes.at(uint32(d.first)).prev
	if d.first == n {
		d.first = p.next
	} else {
		t.nodes.at(uint32(p.prev)).next = p.next
	}
	switch {
	case p.next != 0:
		t.nodes.at(uint32(p.next)).prev = p.prev
	case last == n && d.first != 0:
		t.nodes.at(uint32(d.first)).prev = p.prev
	}
}

// eachChild visits n's children in order of creation.
func (t *Tree) eachChild(n nodeID, visit func(child nodeID)) {
	d := t.nodes.at(uint32(n)).dir
	if d == 0 {
		return
	}
	for c := t.dirs.at(d).first; c != 0; {
		next := t.nodes.at(uint32(c)).next
		visit(c)
		c = next
	}
}

// appendNames appends the names of n's children as a jute vector.
func (t *Tree) appendNames(dst []byte, n nodeID) []byte {
	count := t.childCount(n)
	if count >= listCacheMin {
		return append(dst, t.lists.get(t, n)...)
	}
	return t.encodeNames(dst, n, count)
}

func (t *Tree) encodeNames(dst []byte, n nodeID, count int32) []byte {
	dst = wire.AppendInt32(dst, count)
	if count == 0 {
		return dst
	}
	for c := t.dirs.at(t.nodes.at(uint32(n)).dir).first; c != 0; {
		p := t.nodes.at(uint32(c))
		dst = wire.AppendBuffer(dst, t.slab.name(p.name))
		c = p.next
	}
	return dst
}
