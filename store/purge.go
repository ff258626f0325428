package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"go.uber.org/zap"

	"zooid/wire"
)

// fewerSnapshots is how many log budgets all log files together may take before
// Purge keeps fewer snapshots than SnapRetain.
const fewerSnapshots = 4

// snapshotShare is the share of one core that writing a snapshot may take.
const snapshotShare = 0.5

// Snapshot writes a ZooKeeper snapshot of the newest state that the store holds,
// from which ZooKeeper can go on together with the log files from z on. It
// reads a point-in-time view, so nothing waits for it. If that snapshot is
// already there it is not written again. Any goroutine may call it.
func (s *Store) Snapshot() (file string, z wire.Zxid, err error) {
	s.snapshotting.Lock()
	defer s.snapshotting.Unlock()
	return s.writeSnapshot(true)
}

// writeSnapshot writes a snapshot; roll has a new log file begin behind it. The
// caller holds snapshotting.
func (s *Store) writeSnapshot(roll bool) (file string, z wire.Zxid, err error) {
	e, err := s.readable(context.Background(), 0)
	if err != nil {
		return "", 0, err
	}
	defer e.use.RUnlock()
	if err := s.checkSnapshot(); err != nil {
		return "", 0, err // also because Pebble would wait for room in the flush below
	}
	view := e.db.NewSnapshot()
	defer view.Close()
	m, err := readMarker(view)
	if err != nil {
		return "", 0, s.storeError(err)
	}
	// The store must never fall behind a snapshot of its own, or the next start
	// would take the snapshot for ZooKeeper's and load it instead.
	if err := e.flush(); err != nil {
		return "", 0, err
	}
	if f, ok := s.existing(m.zxid); ok {
		return f, m.zxid, nil
	}
	began := time.Now()
	defer func() {
		if s.o.Snapshotted != nil {
			s.o.Snapshotted(time.Since(began), err)
		}
	}()
	name := snapshotName(m.zxid)
	file = s.fs.PathJoin(s.snapDir, name)
	if err := writeSnapshotFile(s.fs, s.snapDir, name, view, m, newPacer(snapshotShare, s.stop, e.over)); err != nil {
		return "", 0, fmt.Errorf("snapshot %s: %w", file, err)
	}
	if err := s.publish(e, name); err != nil {
		return "", 0, fmt.Errorf("snapshot %s: %w", file, err)
	}
	if roll {
		s.txns.Roll() // so that the files before it can go one day
	}
	s.log.Info("snapshot written", zap.String("file", file))
	return file, m.zxid, nil
}

// publish gives a snapshot that is written its name, unless the tree has been
// replaced and with it all snapshots.
func (s *Store) publish(e *edition, name string) error {
	s.files.Lock()
	defer s.files.Unlock()
	tmp := s.fs.PathJoin(s.snapDir, name+tmpSuffix)
	if isClosed(e.over) {
		return errors.Join(errReplaced, removeIfThere(s.fs, tmp))
	}
	if err := s.fs.Rename(tmp, s.fs.PathJoin(s.snapDir, name)); err != nil {
		return errors.Join(err, removeIfThere(s.fs, tmp))
	}
	delete(s.damaged, name)
	return syncDir(s.fs, s.snapDir)
}

// existing is the plain snapshot of the state at z if it is there.
func (s *Store) existing(z wire.Zxid) (file string, ok bool) {
	f, _ := parseSnapshotName(snapshotName(z))
	if s.isDamaged(f) {
		return "", false
	}
	if err := f.inspect(s.fs, s.snapDir); err != nil || !f.complete {
		return "", false
	}
	return s.fs.PathJoin(s.snapDir, f.name), true
}

// Purged tells what Purge did.
type Purged struct {
	Snapshot string   // that was written, "" if none
	Removed  []string // file names, without directories
}

// Purge removes the snapshots and log files that neither a start of Zooid nor
// one of ZooKeeper needs any more. What stays: the newest Options.SnapRetain
// snapshots, every log file from the oldest of these on, and every log file
// that the store would be replayed from. A snapshot is written first when so
// much log follows the newest one that it would not become less otherwise; when
// the log files together still take several times Options.LogBudget, or the
// snapshots more than their share of the volume, fewer snapshots are kept, but
// never none.
//
// Where the disk is low one snapshot is kept, and what can go without a new one
// goes first: that may be the room in which the new one is written. An error in
// writing it does not keep Purge from removing what can go. Any goroutine may call
// it.
func (s *Store) Purge() (p Purged, err error) {
	s.snapshotting.Lock()
	defer s.snapshotting.Unlock()
	e := s.edition.Load()
	low := s.Space().Level >= SpaceLow
	snaps, err := s.goodSnapshots()
	if err != nil {
		return p, err
	}
	if low && len(snaps) > 0 {
		if p.Removed, err = s.removeBefore(e, snaps[0].zxid); err != nil {
			return p, err
		}
	}
	var failed error
	if len(snaps) == 0 || s.logBytesSince(snaps[0].zxid) > s.logWorth(low) {
		p.Snapshot, _, failed = s.writeSnapshot(true)
		if snaps, err = s.goodSnapshots(); err != nil {
			return p, errors.Join(failed, err)
		}
	}
	if len(snaps) == 0 {
		return p, failed
	}
	keep := s.retained(snaps)
	if low || errors.Is(failed, syscall.ENOSPC) {
		keep = 1 // what is there must make room for the next one
	}
	removed, err := s.removeBefore(e, snaps[keep-1].zxid)
	p.Removed = append(p.Removed, removed...)
	return p, errors.Join(failed, err)
}

// logWorth is how much log must follow the newest snapshot for Purge to write
// another one, in bytes. On a low disk it is what the new one would take.
func (s *Store) logWorth(low bool) int64 {
	if low {
		return min(s.o.LogBudget, s.snapshotEstimate()+stepMin)
	}
	return s.o.LogBudget
}

// retained is how many of snaps Purge keeps.
func (s *Store) retained(snaps []snapshotFile) int {
	keep := min(s.o.SnapRetain, len(snaps))
	for keep > 1 && s.logBytesSince(snaps[keep-1].zxid) > fewerSnapshots*s.o.LogBudget {
		keep--
	}
	if total := s.space.total(s.snapDir); total > 0 {
		for keep > 1 && sizeOf(snaps[:keep]) > total/snapshotsPart {
			keep--
		}
	}
	return keep
}

// PurgeableBytes is what snapshots and log files take together. Any goroutine
// may call it.
func (s *Store) PurgeableBytes() int64 {
	snaps, err := listSnapshots(s.fs, s.snapDir)
	if err != nil {
		return s.txns.Size() // Purge will tell
	}
	return s.txns.Size() + sizeOf(snaps)
}

// goodSnapshots are the snapshots that look complete, newest first, without
// those in which Open has found damage.
func (s *Store) goodSnapshots() ([]snapshotFile, error) {
	all, err := listSnapshots(s.fs, s.snapDir)
	return slices.DeleteFunc(all, func(f snapshotFile) bool { return !f.complete || s.isDamaged(f) }), err
}

func (s *Store) isDamaged(f snapshotFile) bool {
	s.files.Lock()
	defer s.files.Unlock()
	return s.damaged[f.name]
}

// logBytesSince is the size of the log files that hold anything behind z.
func (s *Store) logBytesSince(z wire.Zxid) int64 {
	files := s.txns.Files()
	var n int64
	for i, f := range files {
		if i+1 < len(files) && files[i+1].First <= z+1 {
			continue // ends at z or before
		}
		n += f.Size
	}
	return n
}

// removeBefore removes what is not needed if z is the oldest snapshot that is
// kept of this edition. Snapshots go first: a snapshot without the log behind it
// would be a trap, a log without its snapshot is only in the way.
func (s *Store) removeBefore(e *edition, z wire.Zxid) (removed []string, err error) {
	s.files.Lock()
	defer s.files.Unlock()
	if isClosed(e.over) {
		return nil, errReplaced
	}
	all, err := listSnapshots(s.fs, s.snapDir)
	if err != nil {
		return nil, err
	}
	for i := len(all) - 1; i >= 0 && all[i].zxid < z; i-- {
		if all[i].folder {
			continue
		}
		if err := s.fs.Remove(s.fs.PathJoin(s.snapDir, all[i].name)); err != nil {
			return removed, fmt.Errorf("purge snapshot: %w", err)
		}
		removed = append(removed, all[i].name)
	}
	if len(removed) > 0 {
		if err := syncDir(s.fs, s.snapDir); err != nil {
			return removed, fmt.Errorf("purge snapshot: %w", err)
		}
	}
	logs, err := s.txns.Purge(min(z, e.flushedZxid()))
	if removed = append(removed, logs...); len(removed) > 0 {
		s.log.Info("purged", zap.Strings("files", removed), zap.Stringer("oldest snapshot", z))
	}
	return removed, err
}

// secureWayBack sees to it that ZooKeeper could go on from what is here: with a
// snapshot, and a log that goes on from it.
func (s *Store) secureWayBack() error {
	snaps, err := s.goodSnapshots()
	if err != nil {
		return err
	}
	last, first := s.txns.Last(), s.txns.First()
	if len(snaps) > 0 && (last <= snaps[0].zxid || first <= snaps[0].zxid+1 || first.Epoch() > snaps[0].zxid.Epoch()) {
		return nil
	}
	if s.base.from == "nothing" || s.base.standsIn || s.tree.LastZxid() == 0 {
		// The snapshot is there before the first acknowledgement.
		s.Keep(true)
		_, _, err := s.Snapshot()
		return err
	}
	s.background.Go(func() {
		if _, _, err := s.Snapshot(); err != nil {
			s.log.Error("no snapshot for ZooKeeper could be written", zap.Error(err))
		}
	})
	return nil
}
