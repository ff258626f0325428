package store

import (
	"bytes"
	"fmt"

	"go.uber.org/zap"

	"zooid/wire"
)

// LogPart is a part of the log, read for a learner that is behind.
type LogPart struct {
	// Prev is the newest record at or before the zxid that was asked for, or
	// that zxid itself if the log begins right behind it.
	Prev wire.Zxid
	// Entries are the records behind Prev, in order and without a hole. The
	// payloads are the caller's.
	Entries []wire.Entry
	// Behind is about how many bytes of log follow Entries.
	Behind int64
}

// Tail gives the log's records behind the tree, with payloads that are the
// caller's and in the form that other members can read (wire.Portable); nothing is
// applied. It belongs before the first Append.
func (s *Store) Tail() ([]wire.Entry, error) {
	var tail []wire.Entry
	if from := s.tree.LastZxid(); from < s.txns.Last() {
		err := s.txns.Replay(from, func(payload []byte, txn *wire.Txn) error {
			if len(s.base.unknownACL) > 0 {
				s.base.learnACLs(txn.Session, txn.Op, txn.Body)
			}
			tail = append(tail, wire.Entry{Zxid: txn.Zxid, Payload: bytes.Clone(s.portable(txn.Zxid, payload))})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	// The txn may still come from the leader.
	if n := len(s.base.unknownACL); n > 0 {
		s.log.Warn("the snapshot and the log do not tell the ACLs of some znodes; until a transaction does they permit nothing",
			zap.String("file", s.base.snapshot), zap.Int("znodes", n))
		s.base.unknownACL = nil
	}
	s.log.Info("tree restored", zap.String("from", s.base.from), zap.String("file", s.base.snapshot),
		zap.Stringer("zxid", s.tree.LastZxid()), zap.Int("logged behind", len(tail)), zap.Int("znodes", s.tree.NodeCount()))
	return tail, nil
}

// settleBase sets down where the log's contiguous run begins. What is known
// holds as long as the store does: if the state comes from a snapshot that is
// newer, ZooKeeper has run here and may have taken one over from a leader, with
// nothing in the log of how it came about. Nor does it hold where the log does not
// reach the state: what led there is gone.
func (s *Store) settleBase() error {
	if z, ok := s.txns.Base(); ok && s.base.isStore && z <= s.base.zxid && s.txns.Last() >= s.base.zxid {
		return nil
	}
	return s.txns.SetBase(s.base.zxid)
}

// lastZxid is the last one that is on disk, of the log or of the state.
func (s *Store) lastZxid() wire.Zxid {
	s.tree.RLock()
	defer s.tree.RUnlock()
	return max(s.tree.LastZxid(), s.txns.Last())
}

// ReadLog reads the durable records behind after: as many as fit in maxBytes of
// payload, but at least one if there is any, in the form that other members can
// read. It is an error if the log does not reach back to after without a hole. Any
// goroutine may call it.
func (s *Store) ReadLog(after wire.Zxid, maxBytes int) (LogPart, error) {
	p, err := s.txns.Read(after, maxBytes)
	for i := range p.Entries {
		p.Entries[i].Payload = wire.Portable(p.Entries[i].Payload)
	}
	return LogPart(p), err
}

// portable is a payload in the form that every member can read, if there is one,
// and says of what ZooKeeper cannot read where it stands.
func (s *Store) portable(z wire.Zxid, payload []byte) []byte {
	if len(payload) <= wire.TxnBytesMax {
		return payload
	}
	short := wire.Portable(payload)
	s.log.Warn("the log holds a transaction that Apache ZooKeeper with default settings cannot read; it can start on this directory once a snapshot follows that transaction",
		zap.Stringer("zxid", z), zap.Int("bytes", len(payload)), zap.Bool("other members can read what they are sent of it", len(short) <= wire.TxnBytesMax))
	return short
}

// Truncate takes every record with a zxid greater than z from the log, durably,
// and snapshots of later states with them. last is what is left: the log's last
// record, or the state's if the log ends before it. ok is false, and nothing is
// changed, if the tree is beyond z already. It blocks; everything that was
// appended must be durable, and nothing may be appended or applied meanwhile.
// After an error the store must be closed.
func (s *Store) Truncate(z wire.Zxid) (last wire.Zxid, ok bool, err error) {
	s.files.Lock()
	defer s.files.Unlock()
	s.tree.RLock()
	at := s.tree.LastZxid()
	s.tree.RUnlock()
	// A fuzzy snapshot may hold something of txns behind its zxid.
	if max(at, s.base.reach) > z {
		return s.lastZxid(), false, nil
	}
	// What is left of snapshots of later states is damaged, or Open would have
	// taken them.
	if _, err := s.removeSnapshots(func(f snapshotFile) bool { return f.zxid > z }); err != nil {
		return 0, false, err
	}
	if _, err := s.txns.Truncate(z); err != nil {
		return 0, false, err
	}
	return s.lastZxid(), true, nil
}

// removeSnapshots removes some, durably. The caller holds files.
func (s *Store) removeSnapshots(which func(f snapshotFile) bool) (removed []string, err error) {
	all, err := listSnapshots(s.fs, s.snapDir)
	if err != nil {
		return nil, err
	}
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].folder || !which(all[i]) {
			continue
		}
		if err := s.fs.Remove(s.fs.PathJoin(s.snapDir, all[i].name)); err != nil {
			return removed, fmt.Errorf("remove snapshot: %w", err)
		}
		removed = append(removed, all[i].name)
	}
	if len(removed) > 0 {
		if err := syncDir(s.fs, s.snapDir); err != nil {
			return removed, fmt.Errorf("remove snapshot: %w", err)
		}
	}
	return removed, nil
}
