package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"go.uber.org/zap"

	"zooid/txnlog"
	"zooid/wire"
	"zooid/znode"
)

// recordKey is the key in Pebble of the fingerprint of the log record at the
// marker: zxid, fingerprint (8 bytes each). It counts only with the marker's zxid:
// a Zooid that does not know of it leaves an old one, or none.
const recordKey = 'r'

// putRecordPrint adds the fingerprint of the log record at z to a batch.
func putRecordPrint(b *pebble.Batch, z wire.Zxid, print uint64) error {
	v := binary.BigEndian.AppendUint64(nil, uint64(z))
	return b.Set([]byte{recordKey}, binary.BigEndian.AppendUint64(v, print), nil)
}

// recordPrint is the fingerprint of the log record at z, where the copy stands;
// false if it does not tell.
func recordPrint(db pebble.Reader, z wire.Zxid) (print uint64, ok bool, err error) {
	v, closer, err := db.Get([]byte{recordKey})
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	defer closer.Close()
	if len(v) != 16 || wire.Zxid(binary.BigEndian.Uint64(v)) != z {
		return 0, false, nil
	}
	return binary.BigEndian.Uint64(v[8:]), true, nil
}

// checkMarker tells whether the copy is of the history that the log and the
// snapshots tell. A directory that was put back to a backup, and went on from
// there without Zooid, may stand beside a copy of what came after the backup. Its
// zxid proves nothing: history may have reached that number again, or a later
// epoch. The error is errForeign, or one of reading the copy.
//
//	the log has the record at the marker → its fingerprint, or the digest after it
//	a snapshot of that zxid              → the digest in it, if it has one
//	neither                              → the digest after the next transaction
func (s *Store) checkMarker(m marker) error {
	if m.zxid == 0 {
		return nil // the empty tree is every history's
	}
	logged, inLog, err := s.txns.Find(m.zxid)
	if damage := (*txnlog.DamageError)(nil); errors.As(err, &damage) {
		return nil // the replay says so, if it matters
	}
	if err != nil {
		return err
	}
	if inLog {
		return s.checkRecord(m, &logged)
	}
	snap, _ := parseSnapshotName(snapshotName(m.zxid))
	if digest, there, known := s.snapshotDigest(snap); there {
		if known && digest != m.digest {
			return fmt.Errorf("%w: its tree's digest at %v is %#x, that in %s is %#x", errForeign, m.zxid, m.digest, snap.name, digest)
		}
		return nil
	}
	tree, err := loadTree(s.db, m)
	if err != nil {
		return err
	}
	switch same, known := s.leadsOn(tree); {
	case same:
		return nil
	case known:
		return fmt.Errorf("%w: the log has no transaction %v, and the next one leads to another tree", errForeign, m.zxid)
	}
	return fmt.Errorf("%w: neither log nor snapshots have anything of %v", errForeign, m.zxid)
}

// snapshotDigest is the tree's digest that a plain snapshot says its state has,
// if it is the one of its name; the file is not read for that. there tells whether
// the file is, as far as can be seen.
func (s *Store) snapshotDigest(f snapshotFile) (digest uint64, there, known bool) {
	if err := f.inspect(s.fs, s.snapDir); err != nil || !f.complete {
		return 0, false, false
	}
	r, err := s.fs.Open(s.fs.PathJoin(s.snapDir, f.name))
	if err != nil {
		return 0, false, false
	}
	defer r.Close()
	// A file with both parts of the trailer ends with: seal, zxid, version, digest,
	// seal, last zxid, seal. One without the last zxid lacks the end of that.
	for _, tail := range [...]int64{digestPart + lastPart, digestPart} {
		if f.size < tail+sealSize {
			continue
		}
		b := make([]byte, sealSize+digestPart)
		if n, _ := r.ReadAt(b, f.size-tail-sealSize); n < len(b) {
			continue
		}
		d := wire.NewDecoder(b[sealSize:])
		zxid, version, sum := wire.Zxid(d.Int64()), d.Int32(), uint64(d.Int64())
		if endsSeal(b[:sealSize]) && endsSeal(b) && zxid == f.zxid && version == wire.DigestVersion {
			return sum, true, true
		}
	}
	return 0, true, false
}

// endsSeal tells whether b ends as a seal does.
func endsSeal(b []byte) bool { return string(b[len(b)-5:]) == "\x00\x00\x00\x01/" }

// checkRecord compares the copy with the log's record at its marker.
func (s *Store) checkRecord(m marker, logged *txnlog.Logged) error {
	print, ok, err := recordPrint(s.db, m.zxid)
	switch {
	case err != nil:
		return err
	case ok && print != logged.Fingerprint:
		return fmt.Errorf("%w: the log has another transaction %v than the one that the copy stands at", errForeign, m.zxid)
	case !ok && logged.Digest.Version == wire.DigestVersion && logged.Digest.Tree != m.digest:
		return fmt.Errorf("%w: after %v its tree's digest is %#x, the log says %#x", errForeign, m.zxid, m.digest, logged.Digest.Tree)
	}
	return nil
}

// leadsOn applies the log to tree, which is used up by that, as far as the first
// transaction with a digest: whether that is the tree's then. Where no digest
// comes, or the log does not go on from the tree, nothing is known.
func (s *Store) leadsOn(tree *znode.Tree) (same, known bool) {
	var out znode.Applied
	err := s.txns.Replay(tree.LastZxid(), func(_ []byte, txn *wire.Txn) error {
		tree.Apply(txn, &out)
		if txn.Digest.Version != wire.DigestVersion || txn.Op == wire.OpError {
			return nil
		}
		same, known = txn.Digest.Tree == tree.Digest(), true
		return errStopped
	})
	return same && errors.Is(err, errStopped), known
}

// distrust gives the copy up, with one warning: it will be made again from
// snapshot and log. What is on disk of it stays until the new one has taken its
// place.
func (s *Store) distrust(why error) {
	s.distrusted = why
	s.log.Warn("the copy of the tree cannot be used; it is made again from snapshot and log", zap.String("dir", s.dir), zap.Error(why))
	if s.db == nil {
		return
	}
	if err := s.db.Close(); err != nil {
		s.log.Debug("closing the copy that cannot be used", zap.Error(err))
	}
	s.room.wrote(s.dir) // its troubles are over
	s.db = nil
}
