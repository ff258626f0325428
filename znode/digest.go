package znode

import (
	"hash/crc32"
	"math/bits"
	"strings"

	"zooid/wire"
)

// contentCRC is the CRC-32 with which a node's digest begins: of its path, the
// root's counting as empty, and its data.
func contentCRC(path string, data []byte) uint32 {
	if path == "/" {
		path = ""
	}
	return crc32.Update(crc32.ChecksumIEEE(bytesOf(path)), crc32.IEEETable, data)
}

// isSystem tells whether a path lies below /zookeeper/, whose nodes differ
// between members and have no part in the digest.
func isSystem(path string) bool { return strings.HasPrefix(path, systemPath+"/") }

// nodeDigest is what a node adds to the tree digest: its contentCRC continued
// with its stat, in the order of ZooKeeper's DigestCalculator; 0 for a node
// below /zookeeper/.
func nodeDigest(path string, contentCRC uint32, s *wire.StatPersisted) uint64 {
	if isSystem(path) {
		return 0
	}
	return uint64(statCRC(contentCRC, s))
}

// statCRC continues crc with the 60 bytes of s.
func statCRC(crc uint32, s *wire.StatPersisted) uint32 {
	crc = ^crc
	crc = crc64(crc, uint64(s.Czxid))
	crc = crc64(crc, uint64(s.Mzxid))
	crc = crc64(crc, uint64(s.Pzxid))
	crc = crc64(crc, uint64(s.Ctime))
	crc = crc64(crc, uint64(s.Mtime))
	crc = crc64(crc, uint64(uint32(s.Version))<<32|uint64(uint32(s.Cversion)))
	crc = crc32of(crc, uint32(s.Aversion))
	return ^crc64(crc, uint64(s.EphemeralOwner))
}

// crcTables are those of slicing-by-8: crcTables[k][b] is the effect of byte b
// with k bytes behind it. hash/crc32 does not show its own, and lets its input
// escape to the heap, which costs as much as the sum.
var crcTables = func() (t [8][256]uint32) {
	t[0] = *crc32.IEEETable
	for k := 1; k < 8; k++ {
		for b := range t[k] {
			t[k][b] = t[0][byte(t[k-1][b])] ^ t[k-1][b]>>8
		}
	}
	return t
}()

// crc64 continues an inverted CRC-32 with the eight bytes of x, big-endian.
func crc64(crc uint32, x uint64) uint32 {
	crc ^= bits.ReverseBytes32(uint32(x >> 32))
	t := &crcTables
	return t[7][byte(crc)] ^ t[6][byte(crc>>8)] ^ t[5][byte(crc>>16)] ^ t[4][crc>>24] ^
		t[3][byte(x>>24)] ^ t[2][byte(x>>16)] ^ t[1][byte(x>>8)] ^ t[0][byte(x)]
}

// crc32of continues an inverted CRC-32 with the four bytes of x, big-endian.
func crc32of(crc uint32, x uint32) uint32 {
	crc ^= bits.ReverseBytes32(x)
	t := &crcTables
	return t[3][byte(crc)] ^ t[2][byte(crc>>8)] ^ t[1][byte(crc>>16)] ^ t[0][crc>>24]
}

// ZxidDigest is the tree digest after a txn.
type ZxidDigest struct {
	Zxid   wire.Zxid
	Digest uint64
}

// As in ZooKeeper's DataTree: a digest is remembered for every 128th zxid, and
// 1024 of them are.
const (
	digestInterval = 128
	digestHistory  = 1024
)

type digestState struct {
	tree       uint64 // sum of all nodes' digests, modulo 2^64
	history    []ZxidDigest
	oldest     int // where history begins once it is full
	after      wire.Zxid
	mismatches int64
	last       DigestMismatch // the newest one
	matched    bool           // a digest has matched since this content was loaded
	row        int            // mismatches since then, without one that matched
}

// DigestMismatch is a txn after which the tree's digest was not the one that the
// txn brought.
type DigestMismatch struct {
	Zxid       wire.Zxid
	Want, Have uint64 // the txn's, and the tree's
	// Sure says that the tree must be another one than where the txn was made: its
	// digest had matched before, or has not for long. A tree that was loaded from a
	// fuzzy snapshot may first have to catch up with what is in it already.
	Sure bool
}

// mismatchesSure is the number of mismatches in a row from which on they are sure,
// also if no digest ever matched.
const mismatchesSure = 16

// Digest is the tree digest, version 2, after the last applied txn.
func (t *Tree) Digest() uint64 { return t.sum.tree }

// DigestHistory lists remembered digests, oldest first: one for every zxid
// that is a multiple of 128, at most 1024.
func (t *Tree) DigestHistory() []ZxidDigest {
	h := make([]ZxidDigest, 0, len(t.sum.history))
	h = append(h, t.sum.history[t.sum.oldest:]...)
	return append(h, t.sum.history[:t.sum.oldest]...)
}

// DigestMismatches counts the txns whose digest was not the tree's after they
// were applied.
func (t *Tree) DigestMismatches() int64 { return t.sum.mismatches }

// LastMismatch is the newest of DigestMismatches; a zxid of 0 if there is none.
func (t *Tree) LastMismatch() DigestMismatch { return t.sum.last }

// CompareDigestsAfter puts off the comparison of txns' digests until z is
// reached: a snapshot of ZooKeeper's is fuzzy, and replay brings the tree to a
// state that ever existed only at the zxid of the snapshot's digest.
func (t *Tree) CompareDigestsAfter(z wire.Zxid) { t.sum.after = z }

// settle remembers and compares the digest after a txn.
func (d *digestState) settle(txn *wire.Txn) {
	if txn.Digest.Version == wire.DigestVersion && txn.Zxid >= d.after {
		d.compare(txn)
	}
	if txn.Zxid%digestInterval != 0 {
		return
	}
	entry := ZxidDigest{Zxid: txn.Zxid, Digest: d.tree}
	if len(d.history) < digestHistory {
		d.history = append(d.history, entry)
		return
	}
	d.history[d.oldest] = entry
	d.oldest = (d.oldest + 1) % digestHistory
}

// compare compares the digest of a txn with the tree's.
func (d *digestState) compare(txn *wire.Txn) {
	if txn.Digest.Tree == d.tree {
		d.matched, d.row = true, 0
		return
	}
	d.mismatches++
	d.row++
	d.last = DigestMismatch{Zxid: txn.Zxid, Want: txn.Digest.Tree, Have: d.tree, Sure: d.matched || d.row >= mismatchesSure}
}

// redigest brings n's share of the tree digest up to date after a change of
// its content or stat.
func (t *Tree) redigest(p *node) {
	if p.system {
		return
	}
	s := wire.StatPersisted{
		Czxid: p.czxid, Mzxid: p.mzxid, Ctime: p.ctime, Mtime: p.mtime,
		Version: p.version, Cversion: p.cversion, Aversion: p.aversion,
		EphemeralOwner: p.owner, Pzxid: p.pzxid,
	}
	digest := statCRC(p.crc, &s)
	t.sum.tree += uint64(digest) - uint64(p.digest)
	p.digest = digest
}
