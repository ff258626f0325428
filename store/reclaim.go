package store

import (
	"strings"

	"go.uber.org/zap"
)

// checkSpaceAtStart refuses a full disk, but only after what no start needs has
// been removed. A kill in the middle of a snapshot or of making the copy again
// leaves files that a start removes, and they may be what the disk is full of.
func (s *Store) checkSpaceAtStart() error {
	full := s.checkStart()
	if full == nil {
		return nil
	}
	if _, err := s.fs.Stat(s.snapDir); err != nil {
		return full // nothing of ours is there, and nothing is made
	}
	if err := s.takeDirs(); err != nil {
		s.log.Debug("what fills the disk cannot be looked at", zap.Error(err))
		return full
	}
	removed, err := s.reclaim()
	if err != nil {
		s.log.Warn("what no start needs could not be removed from the full disk", zap.Error(err))
	}
	if len(removed) > 0 {
		s.log.Warn("the disk is full: removed what an interrupted write had left", zap.Strings("files", removed))
	}
	return s.checkStart()
}

// reclaim removes what Open would remove as well, later on: unfinished snapshots
// and unfinished copies. Unfinished tables of the copy stay: Pebble would write
// them again at once, and take the same space.
func (s *Store) reclaim() (removed []string, err error) {
	names, err := s.fs.List(s.snapDir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		// What was received of a leader may be about to be installed, so it stays.
		base, ok := strings.CutSuffix(name, tmpSuffix)
		if !ok {
			continue
		}
		if _, ok := parseSnapshotName(base); !ok {
			continue
		}
		if err := s.fs.Remove(s.fs.PathJoin(s.snapDir, name)); err != nil {
			return removed, err
		}
		removed = append(removed, name)
	}
	for _, dir := range []string{s.dir + newSuffix, s.dir + oldSuffix} {
		if _, err := s.fs.Stat(dir); err != nil {
			continue
		}
		if err := s.fs.RemoveAll(dir); err != nil {
			return removed, err
		}
		removed = append(removed, s.fs.PathBase(dir))
	}
	return removed, nil
}
