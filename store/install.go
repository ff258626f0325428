package store

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"strings"
	"time"

	"go.uber.org/zap"

	"zooid/wire"
)

// installName is the file in dataDir that says that a leader's snapshot is
// taking the place of everything here:
//
//	install ‹file› ‹zxid› ‹epoch›   it is decided; see finishInstall
//	void ‹zxid›                     done, but for the store, which is still the old one
//
// zxids are in hex. Without the file the directories hold one state, and what
// lies around of another is of no use.
const installName = "zooid.install"

// install is what the file says.
type install struct {
	file  string // in version-2; "" once the snapshot is in use
	label wire.Zxid
	epoch int64
}

func (in *install) String() string {
	if in.file == "" {
		return fmt.Sprintf("void %x", int64(in.label))
	}
	return fmt.Sprintf("install %s %x %d", in.file, int64(in.label), in.epoch)
}

func parseInstall(text string) (*install, error) {
	in := new(install)
	var label int64
	if _, err := fmt.Sscanf(text, "void %x", &label); err == nil {
		in.label = wire.Zxid(label)
		return in, nil
	}
	_, err := fmt.Sscanf(text, "install %s %x %d", &in.file, &label, &in.epoch)
	if in.label = wire.Zxid(label); err == nil && !strings.HasPrefix(in.file, receivedPrefix) {
		err = fmt.Errorf("%q is not the name of a received snapshot", in.file)
	}
	return in, err
}

// note writes the file.
func (s *Store) note(in *install) error {
	err := writeAtomically(s.fs, s.o.DataDir, installName, false, func(w io.Writer) error {
		_, err := io.WriteString(w, in.String()+"\n")
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", s.fs.PathJoin(s.o.DataDir, installName), err)
	}
	return nil
}

// unnote removes the file, durably.
func (s *Store) unnote() error {
	if err := removeIfThere(s.fs, s.fs.PathJoin(s.o.DataDir, installName)); err != nil {
		return err
	}
	return syncDir(s.fs, s.o.DataDir)
}

// Install puts the snapshot in the place of everything that the store holds:
// on disk, and in the tree. The caller has the loop's turn, and everything that
// was appended to the log is durable. After an error the store must be closed:
// the next Open finds the old state, or finishes what was begun.
func (r *Received) Install() error {
	s := r.s
	s.files.Lock()
	defer s.files.Unlock()
	if r.file == "" {
		return errors.New("the snapshot has been installed or discarded already")
	}
	in := &install{file: r.file, label: r.Zxid, epoch: r.epoch}
	r.file = ""
	if err := s.note(in); err != nil {
		return err
	}
	if err := s.finishInstall(in); err != nil {
		return err
	}
	s.tree.Lock()
	s.tree.Adopt(r.tree)
	s.tree.Unlock()
	r.tree = nil
	s.base = base{from: "leader", zxid: in.label, began: time.Now(), snapshot: snapshotName(in.label), reach: r.reach}
	close(s.edition.Swap(newEdition()).over)
	s.keeper.rebuild = true
	s.Keep(true)
	return nil
}

// finishInstall carries an install out. A crash at any time lets the next Open
// do it again from the start; and ZooKeeper, which knows nothing of that, finds
// the old state, less what was never committed, or the new one:
//
//	the log behind the snapshot's zxid goes, and snapshots of later states
//	the snapshot gets its name, with currentEpoch.tmp beside it
//	the epoch becomes current
//	everything older goes: the other snapshots, then the log
//
// The caller holds files.
func (s *Store) finishInstall(in *install) error {
	name := snapshotName(in.label)
	path, received := s.fs.PathJoin(s.snapDir, name), s.fs.PathJoin(s.snapDir, in.file)
	if _, err := s.fs.Stat(received); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return err
	} else if err == nil {
		if _, err := s.txns.Truncate(in.label); err != nil {
			return err
		}
		if _, err := s.removeSnapshots(func(f snapshotFile) bool { return f.zxid > in.label }); err != nil {
			return err
		}
		if err := s.announceEpoch(int64(in.label.Epoch())); err != nil {
			return err
		}
		if err := s.fs.Rename(received, path); err != nil {
			return fmt.Errorf("install snapshot: %w", err)
		}
		if err := syncDir(s.fs, s.snapDir); err != nil {
			return fmt.Errorf("install snapshot: %w", err)
		}
	} else if _, err := s.fs.Stat(path); err != nil {
		return fmt.Errorf("a snapshot from the leader was being installed, but it is neither in %s nor in %s (%w). "+
			"Put one of them back; or, if the other members of the ensemble are healthy, move this member's data directories away and let it synchronize anew", received, path, err)
	}
	delete(s.damaged, name)
	if err := s.enterEpoch(int64(in.label.Epoch())); err != nil {
		return err
	}
	if _, err := s.removeSnapshots(func(f snapshotFile) bool { return f.name != name }); err != nil {
		return err
	}
	if err := s.txns.Reset(in.label); err != nil {
		return err
	}
	return s.note(&install{label: in.label})
}

// installed says that a new store is complete: if it is the newest edition's
// nothing refers to the one before any more.
func (s *Store) installed(e *edition) error {
	s.files.Lock()
	defer s.files.Unlock()
	if isClosed(e.over) {
		return nil
	}
	if _, err := s.fs.Stat(s.fs.PathJoin(s.o.DataDir, installName)); errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	if err := s.doneWithMismatch(); err != nil {
		return err
	}
	s.mismatchNoted.Store(false)
	return s.unnote()
}

// resumeInstall finishes what a crash has interrupted. The store that is there
// goes: it is the old state's.
func (s *Store) resumeInstall() error {
	path := s.fs.PathJoin(s.o.DataDir, installName)
	text, err := s.readNote(path)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	in, err := parseInstall(text)
	if err != nil {
		return fmt.Errorf("a snapshot from the leader was being installed, but %s does not say which: %w. Nothing was changed. "+
			"If the other members of the ensemble are healthy, move this member's data directories away and let it synchronize anew", path, err)
	}
	s.log.Info("an interrupted installation of a leader's snapshot is completed", zap.Stringer("zxid", in.label))
	if in.file != "" {
		if err := s.finishInstall(in); err != nil {
			return err
		}
	}
	if err := errors.Join(s.fs.RemoveAll(s.dir), syncDir(s.fs, s.o.DataDir)); err != nil {
		return fmt.Errorf("remove the store of the state before: %w", err)
	}
	return s.unnote()
}

func (s *Store) readNote(path string) (string, error) {
	f, err := s.fs.Open(path)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.LimitReader(f, 1000))
	return strings.TrimSpace(string(b)), errors.Join(err, f.Close())
}
