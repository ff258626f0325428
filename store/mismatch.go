package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"time"

	"go.uber.org/zap"

	"zooid/wire"
	"zooid/znode"
)

// mismatchName is the file in dataDir that says that a transaction has led to
// another tree here than where it was made. It is evidence, and the next Open does
// not use what may hold the wrong tree: the copy, and snapshots of that zxid or
// later. Then, or when a leader's state has taken the tree's place, it becomes
// mismatchName.old; there is at most one of each, a line long.
const (
	mismatchName = "zooid.mismatch"
	mismatchOld  = mismatchName + ".old"
)

// NoteMismatch writes down a digest that shows that the tree is wrong, if it is the
// first one. It does not block; any goroutine may call it.
func (s *Store) NoteMismatch(m znode.DigestMismatch) {
	if !s.mismatchNoted.CompareAndSwap(false, true) {
		return
	}
	e := s.edition.Load()
	s.background.Go(func() {
		s.files.Lock()
		defer s.files.Unlock()
		if isClosed(e.over) {
			return // the tree has been replaced meanwhile
		}
		err := writeAtomically(s.fs, s.o.DataDir, mismatchName, false, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "zxid %x want %x have %x at %s\n", int64(m.Zxid), m.Want, m.Have, time.Now().UTC().Format(time.RFC3339))
			return err
		})
		if err != nil {
			s.log.Warn("what is known of a digest that did not match could not be written down", zap.Error(err))
		}
	})
}

// notedMismatch is the zxid that the file names, 0 if it is not there. What it says
// otherwise is for who reads it.
func (s *Store) notedMismatch() (wire.Zxid, error) {
	path := s.fs.PathJoin(s.o.DataDir, mismatchName)
	text, err := s.readNote(path)
	if errors.Is(err, iofs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	var z int64
	if _, err := fmt.Sscanf(text, "zxid %x", &z); err != nil || z <= 0 {
		z = 1 // nothing but the log is trusted
	}
	return wire.Zxid(z), nil
}

// forgetMismatch puts the file away once the copy has been made again. Until then
// it must stay: another start would use the old copy. It belongs to the end of Open.
func (s *Store) forgetMismatch() error {
	if z, err := s.notedMismatch(); z == 0 || err != nil {
		return err
	}
	s.Keep(true)
	s.background.Go(func() {
		e, err := s.readable(context.Background(), 0)
		if err != nil {
			return // the next start does it
		}
		e.use.RUnlock()
		if err := s.doneWithMismatch(); err != nil {
			s.log.Warn("the next start makes the tree again once more", zap.Error(err))
		}
	})
	return nil
}

// doneWithMismatch keeps the file as evidence alone: the tree is another one now.
func (s *Store) doneWithMismatch() error {
	err := s.fs.Rename(s.fs.PathJoin(s.o.DataDir, mismatchName), s.fs.PathJoin(s.o.DataDir, mismatchOld))
	if errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = syncDir(s.fs, s.o.DataDir)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", mismatchName, err)
	}
	return nil
}
