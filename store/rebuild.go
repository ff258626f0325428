package store

import (
	"errors"
	"fmt"
	"slices"

	"zooid/wire"
	"zooid/znode"
)

// rebuildPart is how many bytes of log TrueDigest reads at once.
const rebuildPart = 1 << 20

// TrueDigest is the digest of the tree to which snapshot and log lead at z: the
// tree is made once more, beside the one in use, from the newest snapshot before z
// and the log's records from there on. It takes as long as a start, and as much
// memory as another tree. It is an error if that cannot be told from what is on
// disk. Any goroutine may call it.
func (s *Store) TrueDigest(z wire.Zxid) (uint64, error) {
	if err := s.txns.Await(z); err != nil {
		return 0, err
	}
	snaps, err := s.goodSnapshots()
	if err != nil {
		return 0, err
	}
	err = errors.New("there is none")
	for _, f := range slices.DeleteFunc(snaps, func(f snapshotFile) bool { return f.zxid >= z }) {
		var digest uint64
		if digest, err = s.digestFrom(f, z); err == nil {
			return digest, nil
		}
	}
	return 0, fmt.Errorf("the tree at %v cannot be made from a snapshot before it: %w", z, err)
}

// digestFrom is the digest at z, from one snapshot.
func (s *Store) digestFrom(f snapshotFile, z wire.Zxid) (uint64, error) {
	to := importer{tree: znode.New()}
	trailer, err := readSnapshotFile(s.fs, s.snapDir, f, &to)
	if err != nil {
		return 0, err
	}
	to.tree.Loaded(f.zxid)
	if trailer.hasDigest && trailer.digestZxid == f.zxid && trailer.digest != to.tree.Digest() && f.zxid > 0 {
		return 0, fmt.Errorf("%s says %#x, its znodes have the digest %#x", f.name, trailer.digest, to.tree.Digest())
	}
	if max(f.zxid, to.newest) > z {
		return 0, errors.New("it holds something of what came after")
	}
	var out znode.Applied
	for at := f.zxid; at < z; {
		part, err := s.txns.Read(at, rebuildPart)
		if err != nil {
			return 0, err
		}
		if len(part.Entries) == 0 {
			return 0, fmt.Errorf("the log ends at %v", at)
		}
		for _, e := range part.Entries {
			if e.Zxid > z {
				return 0, fmt.Errorf("the log has no %v", z)
			}
			txn, err := wire.DecodeTxn(e.Payload)
			if err != nil {
				return 0, err
			}
			to.tree.Apply(txn, &out)
			if at = e.Zxid; at == z {
				break
			}
		}
		if isClosed(s.stop) {
			return 0, errClosed
		}
	}
	return to.tree.Digest(), nil
}
