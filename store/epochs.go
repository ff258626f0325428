package store

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"strconv"
	"strings"
	"sync"

	"go.uber.org/zap"
)

// The epoch files: a decimal number each, as ZooKeeper writes them.
//
// acceptedEpoch is the newest epoch in which this member has promised to follow
// no older leader, currentEpoch the newest one whose history it has taken over.
// At every instant accepted ≥ current ≥ the epoch of the last zxid. The one
// exception is a member that takes in more than one epoch: the last zxid may be
// of a later epoch than current then, and a currentEpoch.tmp beside it says that
// this is no damage. ZooKeeper starts with it, too.
const (
	acceptedName = "acceptedEpoch"
	currentName  = "currentEpoch"
)

// epochMax is the greatest epoch that a zxid has room for.
const epochMax = 1<<31 - 1

// adviceEpoch says what to do about an epoch file that cannot stand.
const adviceEpoch = "Nothing was changed. Restore the epoch files together with the log and the snapshots from one backup; or, if the other members of the ensemble are healthy, " +
	"move this member's data directories away and let it synchronize anew"

// epochs is what the epoch files say.
type epochs struct {
	sync.Mutex
	known             bool
	accepted, current int64
}

// Epochs reads the epoch files. One that is missing is made, with the epoch of
// the last zxid: a server that ran alone has none. What cannot be explained is
// refused, for a member that forgets its promises can break the ensemble's.
func (s *Store) Epochs() (accepted, current int64, err error) {
	e := &s.epochs
	e.Lock()
	defer e.Unlock()
	if !e.known {
		err = s.loadEpochs()
	}
	return e.accepted, e.current, err
}

// loadEpochs finds out what the files say, and changes them only once nothing is
// to be refused any more. The caller holds the mutex.
func (s *Store) loadEpochs() error {
	last := s.lastZxid()
	least := int64(last.Epoch())
	current, noCurrent, err := s.readEpoch(currentName, least)
	if err != nil {
		return err
	}
	adopt := current < least
	if adopt {
		tmp, missing, err := s.readEpoch(currentName+tmpSuffix, least)
		switch {
		case err != nil:
			return err
		case missing:
			return fmt.Errorf("%s says epoch %d, but the last transaction is %v of epoch %d: the file is older than the log or another member's. %s",
				s.epochPath(currentName), current, last, least, adviceEpoch)
		}
		s.log.Info("an interrupted change of the epoch is completed", zap.Int64("from", current), zap.Int64("to", max(tmp, least)))
		current = max(tmp, least)
	}
	accepted, noAccepted, err := s.readEpoch(acceptedName, least)
	switch {
	case err != nil:
		return err
	case accepted < current && noAccepted:
		return fmt.Errorf("%s is missing, but %s says epoch %d: what this member has promised is not known. %s",
			s.epochPath(acceptedName), s.epochPath(currentName), current, adviceEpoch)
	case accepted < current:
		return fmt.Errorf("%s says epoch %d, less than %d in %s: one of them is older than the other or another member's. %s",
			s.epochPath(acceptedName), accepted, current, s.epochPath(currentName), adviceEpoch)
	}
	if noAccepted {
		err = s.writeEpoch(acceptedName, accepted)
	}
	if err == nil && (noCurrent || adopt) {
		err = s.writeEpoch(currentName, current)
	}
	if err == nil {
		err = s.coverEpochs(accepted, current)
	}
	if err != nil {
		return err
	}
	s.epochs.accepted, s.epochs.current, s.epochs.known = accepted, current, true
	return nil
}

// coverEpochs leaves a currentEpoch.tmp exactly if records of an epoch between
// the two may come to the log before the current epoch is changed.
func (s *Store) coverEpochs(accepted, current int64) error {
	if accepted > current+1 {
		return s.writeEpoch(currentName+tmpSuffix, current)
	}
	if err := removeIfThere(s.fs, s.epochPath(currentName+tmpSuffix)); err != nil {
		return fmt.Errorf("epoch file: %w", err)
	}
	return nil
}

// SaveEpochs makes the two promises durable, as far as they have changed. It
// blocks; any goroutine may call it.
func (s *Store) SaveEpochs(accepted, current int64) error {
	e := &s.epochs
	e.Lock()
	defer e.Unlock()
	if !e.known {
		if err := s.loadEpochs(); err != nil {
			return err
		}
	}
	if accepted < e.accepted || current < e.current || current > accepted {
		return fmt.Errorf("epochs %d (accepted) and %d (current) do not follow %d and %d", accepted, current, e.accepted, e.current)
	}
	// In this order, so that accepted is never below current.
	if accepted > e.accepted {
		if accepted > e.current+1 && current == e.current {
			if err := s.coverEpochs(accepted, e.current); err != nil {
				return err
			}
		}
		if err := s.writeEpoch(acceptedName, accepted); err != nil {
			return err
		}
		e.accepted = accepted
	}
	if current > e.current {
		if err := s.writeEpoch(currentName, current); err != nil {
			return err
		}
		e.current = current
		return s.coverEpochs(accepted, current)
	}
	return nil
}

func (s *Store) epochPath(name string) string { return s.fs.PathJoin(s.snapDir, name) }

// readEpoch reads a file, if it is there; else it gives the other value.
func (s *Store) readEpoch(name string, otherwise int64) (epoch int64, missing bool, err error) {
	path := s.epochPath(name)
	f, err := s.fs.Open(path)
	if errors.Is(err, iofs.ErrNotExist) {
		return otherwise, true, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("epoch file: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(f, 100))
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, false, fmt.Errorf("epoch file %s: %w", path, err)
	}
	text := strings.TrimRight(string(b), "\r\n")
	epoch, err = strconv.ParseInt(text, 10, 64)
	switch {
	case text == "":
		return 0, false, fmt.Errorf("epoch file %s is empty. %s", path, adviceEpoch)
	case err != nil:
		return 0, false, fmt.Errorf("epoch file %s holds %q, which is not a number. %s", path, text, adviceEpoch)
	case epoch < 0 || epoch > epochMax:
		return 0, false, fmt.Errorf("epoch file %s holds %d, but epochs go from 0 to %d. %s", path, epoch, epochMax, adviceEpoch)
	}
	return epoch, false, nil
}

// writeEpoch makes an epoch file, durably. It is written beside under a name
// that means nothing: currentEpoch.tmp may be there and may be needed.
func (s *Store) writeEpoch(name string, epoch int64) error {
	path := s.epochPath(name)
	err := writeAside(s.fs, path+newSuffix, false, func(w io.Writer) error {
		_, err := io.WriteString(w, strconv.FormatInt(epoch, 10)) // no line end, as ZooKeeper
		return err
	})
	if err == nil {
		err = s.fs.Rename(path+newSuffix, path)
	}
	if err == nil {
		err = syncDir(s.fs, s.snapDir)
	}
	if err != nil {
		return fmt.Errorf("epoch file %s: %w", path, err)
	}
	return nil
}

// announceEpoch writes currentEpoch.tmp, if a state of this epoch is about to be
// installed and the current one is older: a server that starts between the two
// steps then knows what has happened.
func (s *Store) announceEpoch(epoch int64) error {
	e := &s.epochs
	e.Lock()
	defer e.Unlock()
	if older, err := s.currentBelow(epoch); err != nil || !older {
		return err
	}
	return s.writeEpoch(currentName+tmpSuffix, epoch)
}

// enterEpoch makes the epoch of a state that was installed the current one, if
// the current one is older.
func (s *Store) enterEpoch(epoch int64) error {
	e := &s.epochs
	e.Lock()
	defer e.Unlock()
	if older, err := s.currentBelow(epoch); err != nil || !older {
		return err
	}
	if err := s.writeEpoch(currentName, epoch); err != nil {
		return err
	}
	if !e.known {
		return nil // loadEpochs removes currentEpoch.tmp
	}
	e.current = epoch
	return s.coverEpochs(e.accepted, e.current)
}

// currentBelow tells whether there is a current epoch, and it is older than this.
// The caller holds the mutex.
func (s *Store) currentBelow(epoch int64) (bool, error) {
	if s.epochs.known {
		return s.epochs.current < epoch, nil
	}
	current, missing, err := s.readEpoch(currentName, 0)
	return !missing && current < epoch, err
}
