package store

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	iofs "io/fs"
	"strings"

	"go.uber.org/zap"

	"zooid/txnlog"
	"zooid/wire"
)

// closedName is the file in dataDir that says that the server ended in good order
// and that the copy in Pebble holds all that was ever logged here: a line of
//
//	zxid ‹hex› digest ‹hex› record ‹hex› accepted ‹n› current ‹n› server ‹n› sum ‹hex›
//
// with the copy's marker, the fingerprint of the log record there, the two epochs
// (-1: no such file), whose directory it is, and a CRC of what stands before it.
// Close writes it as the last thing, Open removes it before anything is logged or
// promised: after a crash it is not there. With it the copy can stand in for a
// version-2 that was lost meanwhile, see recoverAhead.
const closedName = "zooid.closed"

type closedNote struct {
	marker
	print             uint64 // 0: not known
	accepted, current int64  // -1: there was no such file
	server            wire.SID
}

const closedFormat = "zxid %x digest %x record %x accepted %d current %d server %d"

func (n *closedNote) String() string {
	text := fmt.Sprintf(closedFormat, int64(n.zxid), n.digest, n.print, n.accepted, n.current, n.server)
	return fmt.Sprintf("%s sum %08x", text, crc32.ChecksumIEEE([]byte(text)))
}

func parseClosed(text string) (*closedNote, error) {
	n := new(closedNote)
	var zxid, server int64
	if _, err := fmt.Sscanf(text, closedFormat, &zxid, &n.digest, &n.print, &n.accepted, &n.current, &server); err != nil {
		return nil, fmt.Errorf("it does not say how the server ended: %w", err)
	}
	n.zxid, n.server = wire.Zxid(zxid), wire.SID(server)
	if n.String() != text {
		return nil, errors.New("its checksum is wrong")
	}
	return n, nil
}

func (s *Store) closedPath() string { return s.fs.PathJoin(s.o.DataDir, closedName) }

// closing is the note of a clean end, nil if the copy does not hold all that the
// log has: a member may have acknowledged what was not committed yet. The log is
// closed without an error, and the copy is flushed and still open.
func (s *Store) closing() *closedNote {
	e := s.edition.Load()
	if s.db == nil || e.db != s.db || isClosed(e.over) || s.mismatchNoted.Load() {
		return nil
	}
	for _, name := range [...]string{mismatchName, installName} {
		if _, err := s.fs.Stat(s.fs.PathJoin(s.o.DataDir, name)); !errors.Is(err, iofs.ErrNotExist) {
			return nil
		}
	}
	m, err := readMarker(s.db)
	last := max(s.lastZxid(), s.txns.Durable())
	if err != nil || m.zxid == 0 || m.zxid != last || e.flushedZxid() != last {
		return nil
	}
	n := &closedNote{marker: m, server: s.o.ServerID}
	if n.print, _, err = recordPrint(s.db, m.zxid); err != nil {
		return nil
	}
	if n.accepted, n.current, err = s.epochsOnDisk(); err != nil {
		return nil
	}
	none := n.accepted < 0 && n.current < 0
	if !none && (n.accepted < n.current || n.current < int64(last.Epoch())) {
		return nil
	}
	return n
}

// epochsOnDisk is what the epoch files say, -1 for one that is not there.
func (s *Store) epochsOnDisk() (accepted, current int64, err error) {
	s.epochs.Lock()
	defer s.epochs.Unlock()
	accepted, _, err = s.readEpoch(acceptedName, -1)
	if err == nil {
		current, _, err = s.readEpoch(currentName, -1)
	}
	return accepted, current, err
}

// noteClosed writes the note. Without it nothing is lost but that the copy could
// stand in for version-2.
func (s *Store) noteClosed(n *closedNote) {
	err := writeAtomically(s.fs, s.o.DataDir, closedName, false, func(w io.Writer) error {
		_, err := io.WriteString(w, n.String()+"\n")
		return err
	})
	if err == nil {
		return
	}
	say := s.log.Warn
	if txnlog.IsFull(err) {
		say = s.log.Info
	}
	say("the clean end could not be written down; the next start needs version-2, as after a crash", zap.String("file", s.closedPath()), zap.Error(err))
}

// forgetClosed removes the note, durably: from now on the log may hold more than
// the copy, and other promises may be made.
func (s *Store) forgetClosed() error {
	s.closed = nil
	if _, err := s.fs.Stat(s.closedPath()); errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	if err := removeIfThere(s.fs, s.closedPath()); err != nil {
		return fmt.Errorf("%s: %w", closedName, err)
	}
	if err := syncDir(s.fs, s.o.DataDir); err != nil {
		return fmt.Errorf("%s: %w", closedName, err)
	}
	return nil
}

// findClosed is the note of the end before, if it is of the copy at m and of this
// member. Else the error says why the copy cannot stand in for version-2.
func (s *Store) findClosed(m marker) (*closedNote, error) {
	path := s.closedPath()
	text, err := s.readNote(path)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil, fmt.Errorf("the server did not end in good order, as there is no %s, and may have acknowledged more", path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	n, err := parseClosed(text)
	if err != nil {
		return nil, fmt.Errorf("%s holds %q: %w", path, text, err)
	}
	print, _, err := recordPrint(s.db, m.zxid)
	switch {
	case err != nil:
		return nil, err
	case n.marker != m || n.print != print:
		return nil, fmt.Errorf("%s is about another copy than this one, which ended at %v", path, n.zxid)
	case n.server != s.o.ServerID:
		return nil, fmt.Errorf("%s is about server %d, and this is server %d (0: a server alone)", path, n.server, s.o.ServerID)
	}
	return n, nil
}

// recoverAhead is for a copy at m that knows more than log and snapshots do. Where
// version-2 holds neither log nor snapshot, and the end before was a clean one, the
// copy is all that ever was, and stands in for them. But where they hold an
// earlier state the operator must say what he means: they may be what is left, or
// a backup that was put back on purpose, and those two look alike. After a crash
// the copy may lack what was acknowledged.
func (s *Store) recoverAhead(m marker, snaps []snapshotFile) error {
	if s.closed == nil || len(usable(snaps, -1)) > 0 || s.txns.First() != 0 {
		return s.aheadError(m.zxid, snaps)
	}
	accepted, current, err := s.epochsOnDisk()
	if err != nil {
		return err
	}
	if accepted >= 0 && accepted != s.closed.accepted || current >= 0 && current != s.closed.current {
		s.closed, s.notClosed = nil, fmt.Errorf("%s knows of the epochs %d (accepted) and %d (current), the epoch files in %s say %d and %d (-1: no file): they are from another time, or the server has run without Zooid since",
			s.closedPath(), s.closed.accepted, s.closed.current, s.snapDir, accepted, current)
		return s.aheadError(m.zxid, snaps)
	}
	if err := s.useStore(m); err != nil {
		return errors.Join(err, s.aheadError(m.zxid, snaps))
	}
	s.base.standsIn = true
	s.log.Warn("neither log nor snapshot is left; the copy of the tree held everything when the server was stopped, and takes their place. "+
		"To begin with nothing instead, remove it as well",
		zap.String("dir", s.snapDir), zap.String("copy", s.dir), zap.Stringer("zxid", m.zxid))
	return nil
}

// restoreEpochs makes epoch files that are gone again, if this is the state of the
// clean end before. A promise that was made stays made.
func (s *Store) restoreEpochs() error {
	n := s.closed
	if n == nil || n.accepted < 0 || n.current < 0 || s.lastZxid() != n.zxid {
		return nil
	}
	accepted, current, err := s.epochsOnDisk()
	if err != nil || accepted >= 0 && accepted != n.accepted || current >= 0 && current != n.current {
		return nil // loadEpochs says what is wrong
	}
	var made []string
	for _, f := range [...]struct {
		name       string
		have, want int64
	}{{acceptedName, accepted, n.accepted}, {currentName, current, n.current}} {
		if f.have >= 0 {
			continue
		}
		if err := s.writeEpoch(f.name, f.want); err != nil {
			return err
		}
		made = append(made, f.name)
	}
	if len(made) > 0 {
		s.log.Warn("epoch files were gone, and are made again as the clean end left them", zap.String("dir", s.snapDir), zap.String("files", strings.Join(made, ", ")))
	}
	return nil
}
