package store

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"zooid/wire"
	"zooid/znode"
)

// errForeign says that the store and the log tell different histories.
var errForeign = errors.New("the store does not belong to this log")

// ReplayTail applies what the log holds beyond the tree, up to and including
// upTo, and hands the changes to the keeper. Open does this itself unless
// Options.DeferTail is set; then the loop calls it, before the log's Start, once
// it is known up to where the log was committed.
//
// A snapshot of ZooKeeper's is fuzzy: it may hold effects of txns behind its
// zxid already. Applying them again leads to the same tree (see znode's Apply).
func (s *Store) ReplayTail(upTo wire.Zxid) error {
	from := s.tree.LastZxid()
	r := replay{s: s, upTo: upTo}
	began := time.Now()
	if from < s.txns.Last() {
		if err := s.txns.Replay(from, r.apply); err != nil && !errors.Is(err, errStopped) {
			return err
		}
	}
	for path := range s.base.unknownACL {
		return fmt.Errorf("snapshot %s: znode %s has an ACL that the file does not define, and no later transaction sets one: move the file away, so that the next older state is used",
			s.fs.PathJoin(s.snapDir, s.base.snapshot), path)
	}
	if s.o.Replayed != nil {
		s.o.Replayed(r.txns, time.Since(began))
	}
	s.log.Info("tree restored", zap.String("from", s.base.from), zap.String("file", s.base.snapshot),
		zap.Stringer("base", s.base.zxid), zap.Int("replayed", r.txns), zap.Stringer("zxid", s.tree.LastZxid()),
		zap.Int("znodes", s.tree.NodeCount()), zap.Duration("took", time.Since(s.base.began)))
	if n := s.tree.DigestMismatches(); n > 0 {
		s.log.Warn("the digests of transactions in the log are not those of the tree", zap.Int64("transactions", n))
	}
	if err := s.settleBase(); err != nil {
		return err
	}
	s.Keep(true)
	return nil
}

type replay struct {
	s       *Store
	upTo    wire.Zxid
	txns    int
	applied znode.Applied
	matched bool // a digest was compared
}

func (r *replay) apply(_ []byte, txn *wire.Txn) error {
	if txn.Zxid > r.upTo {
		return errStopped
	}
	tree := r.s.tree
	tree.Lock()
	tree.Apply(txn, &r.applied)
	tree.Unlock()
	r.txns++
	if len(r.s.base.unknownACL) > 0 {
		r.s.base.learnACLs(txn.Session, txn.Op, txn.Body)
	}
	if r.matched || !r.s.base.isStore || txn.Digest.Version != wire.DigestVersion {
		return nil
	}
	// The store's znodes are sound, their digest was compared with the marker's.
	// So if the very first txn leads elsewhere than where the log says, the log
	// comes from another tree.
	if r.matched = true; tree.DigestMismatches() > 0 {
		return fmt.Errorf("%w: after %v the tree's digest is %#x, the log says %#x", errForeign, txn.Zxid, tree.Digest(), txn.Digest.Tree)
	}
	return nil
}

// learnACLs forgets the znodes whose ACL the txn sets, and those that it
// deletes.
func (b *base) learnACLs(session wire.SessionID, op wire.OpCode, body wire.TxnBody) {
	switch t := body.(type) {
	case *wire.CreateTxn:
		delete(b.unknownACL, t.Path)
	case *wire.CreateTTLTxn:
		delete(b.unknownACL, t.Path)
	case *wire.CreateContainerTxn:
		delete(b.unknownACL, t.Path)
	case *wire.SetACLTxn:
		delete(b.unknownACL, t.Path)
	case *wire.DeleteTxn:
		delete(b.unknownACL, t.Path)
	case *wire.MultiTxn:
		for _, sub := range t.Txns {
			if sub.Op == wire.OpError {
				return // nothing of it is applied
			}
		}
		for _, sub := range t.Txns {
			b.learnACLs(session, sub.Op, sub.Body)
		}
	}
	if op == wire.OpCloseSession {
		for path, owner := range b.unknownACL {
			if owner == int64(session) {
				delete(b.unknownACL, path)
			}
		}
	}
}
