package store

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What is kept free of a volume, in bytes, follows from its size, so that a
// small one can be used and a large one is not filled to the brim:
//
//	floor       total/16, at most 64 MiB: below it clients' writes are refused
//	reserve     a quarter of the floor: below it no new session is logged either
//	start       total/64, 64 KiB to 4 MiB: below it a store is not opened
//	log budget  total/16, or Options.LogBudget if that is less
//	step        total/64, or Options.PreallocBytes if that is less
//	snapshots   total/4: beyond it fewer are written, and fewer kept
//
// A volume whose size the system does not tell is never short.
const (
	floorShare    = 16
	floorMax      = 64 << 20
	reserveShare  = 4 // of the floor
	startShare    = 64
	startMin      = 64 << 10
	startMax      = 4 << 20
	logShare      = 16
	stepShare     = 64
	stepMin       = 64 << 10
	stepUnit      = 4 << 10
	snapshotsPart = 4
)

// SpaceLevel tells how much is left of the disks.
type SpaceLevel int32

// The levels, from good to bad.
const (
	SpaceEnough SpaceLevel = iota
	// SpaceLow: it is time to purge. There is room for what is going on.
	SpaceLow
	// SpaceShort: what is free lies below the floor. Clients' writes should be
	// refused, so that the rest lasts for what the server itself must write.
	SpaceShort
	// SpaceNone: the rest is used up as well, or the log waits for room.
	SpaceNone
)

// Space is what is left of the disk that has least, at one moment.
type Space struct {
	Level SpaceLevel
	Dir   string
	Free  int64 // bytes that this process may still use
	Total int64 // bytes; 0 if the system does not tell
	Floor int64 // bytes, see SpaceShort
}

// String tells it to an operator.
func (sp Space) String() string {
	if sp.Total == 0 {
		return "no room is left below " + sp.Dir
	}
	if sp.Level == SpaceNone && sp.Free >= 2*sp.Floor {
		// The log was refused for want of something else than bytes.
		return fmt.Sprintf("%s has %s free of %s, but takes no more: see whether its inodes (df -i) or a quota are used up", sp.Dir, sizeText(sp.Free), sizeText(sp.Total))
	}
	return fmt.Sprintf("%s has %s free of %s, and %s are to stay free", sp.Dir, sizeText(sp.Free), sizeText(sp.Total), sizeText(sp.Floor))
}

// NoSpaceError says that a disk is too full for the store to be opened. It wraps
// ENOSPC, and goes away when there is room.
type NoSpaceError struct {
	Dir               string
	Free, Total, Need int64 // bytes
}

// Error tells what is missing where.
func (e *NoSpaceError) Error() string {
	return fmt.Sprintf("the disk is full: %s has %s free of %s, and a start needs %s: make room there",
		e.Dir, sizeText(e.Free), sizeText(e.Total), sizeText(e.Need))
}

// Unwrap gives the system's word for it.
func (e *NoSpaceError) Unwrap() error { return syscall.ENOSPC }

// sizeText is a number of bytes for people.
func sizeText(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

func floorOf(total int64) int64 { return min(total/floorShare, floorMax) }

func startNeed(total int64) int64 { return min(max(total/startShare, startMin), startMax) }

// spaceGuard watches the volumes of dataDir and dataLogDir.
type spaceGuard struct {
	fs      vfs.FS
	dirs    []string // without repetition
	started atomic.Bool
	// Set by start.
	noSpace func() bool                      // the log waits for room
	changed func(from SpaceLevel, now Space) // told of every change of the level, with mu held
	// unseen counts the bytes logged since the last look, and stride is after how
	// many the next one is due: a volume can fill up between two seconds.
	unseen, stride atomic.Int64
	need           atomic.Int64 // bytes that one more snapshot takes

	mu   sync.Mutex
	last Space // guarded by mu
}

func newSpaceGuard(fs vfs.FS, dirs []string) *spaceGuard {
	g := &spaceGuard{fs: fs, dirs: dirs}
	g.last.Dir = dirs[len(dirs)-1]
	return g
}

// start takes the first look. Nothing is judged before.
func (g *spaceGuard) start(noSpace func() bool, changed func(from SpaceLevel, now Space)) {
	g.noSpace, g.changed = noSpace, changed
	g.started.Store(true)
	g.look()
}

// volume is a volume's size and what is free there; false if nobody knows.
func volume(fs vfs.FS, dir string) (free, total int64, ok bool) {
	u, err := fs.GetDiskUsage(dir)
	if err != nil || u.TotalBytes == 0 {
		return 0, 0, false
	}
	return int64(u.AvailBytes), int64(u.TotalBytes), true
}

// total is the size of the volume under dir, 0 if nobody knows.
func (g *spaceGuard) total(dir string) int64 {
	_, total, _ := volume(g.fs, dir)
	return total
}

// wrote counts bytes that went to the log, and looks when there were many.
func (g *spaceGuard) wrote(n int) {
	if g.unseen.Add(int64(n)) >= g.stride.Load() && g.started.Load() {
		g.look()
	}
}

// look looks at the disks.
func (g *spaceGuard) look() Space {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unseen.Store(0)
	now, stride := Space{Dir: g.last.Dir}, int64(floorMax)
	for _, dir := range g.dirs {
		free, total, ok := volume(g.fs, dir)
		if !ok {
			continue
		}
		v := Space{Dir: dir, Free: free, Total: total, Floor: floorOf(total)}
		v.Level = levelOf(v, g.last.Level, g.need.Load())
		stride = min(stride, max(v.Floor/8, stepMin))
		if now.Total == 0 || v.Level > now.Level || v.Level == now.Level && v.Free < now.Free {
			now = v
		}
	}
	if g.noSpace() {
		now.Level = SpaceNone
	}
	g.stride.Store(stride)
	from := g.last.Level
	g.last = now
	if from != now.Level && g.changed != nil {
		g.changed(from, now)
	}
	return now
}

// levelOf judges a volume. Who was short is so until there is a quarter of the
// floor more, so that the level does not flicker around a bound. need is what one
// more snapshot takes.
func levelOf(v Space, before SpaceLevel, need int64) SpaceLevel {
	slack := v.Floor / 4
	over := func(bound int64, level SpaceLevel) bool {
		if before >= level {
			bound += slack
		}
		return v.Free >= bound
	}
	switch {
	case !over(v.Floor/reserveShare, SpaceNone):
		return SpaceNone
	case !over(v.Floor, SpaceShort):
		return SpaceShort
	case !over(2*v.Floor+2*need, SpaceLow):
		return SpaceLow
	}
	return SpaceEnough
}

// Space looks at the disks now. Any goroutine may call it that may wait for the
// tree's read lock.
func (s *Store) Space() Space {
	s.space.need.Store(s.snapshotEstimate())
	return s.space.look()
}

// Limits are the numbers by which what lies on the disks is bounded.
type Limits struct {
	LogBudget int64 // bytes of log that may follow the newest snapshot
	Space     Space
}

// Limits tells the numbers that hold, as the size of the volumes lets them be.
func (s *Store) Limits() Limits { return Limits{LogBudget: s.o.LogBudget, Space: s.Space()} }

// checkStart refuses to open a store on a full disk. It looks at what exists of
// each directory's path: the directory itself may still have to be made.
func (s *Store) checkStart() error {
	for _, dir := range []string{s.o.DataDir, s.o.LogDir} {
		for {
			if _, err := s.fs.Stat(dir); err == nil || s.fs.PathDir(dir) == dir {
				break
			}
			dir = s.fs.PathDir(dir)
		}
		free, total, ok := volume(s.fs, dir)
		if need := startNeed(total); ok && free < need {
			return &NoSpaceError{Dir: dir, Free: free, Total: total, Need: need}
		}
	}
	return nil
}

// fitToVolumes bounds what the log may take by the size of its volume.
func (s *Store) fitToVolumes() {
	total := s.space.total(s.logDir)
	if total == 0 {
		return
	}
	s.o.LogBudget = min(s.o.LogBudget, max(total/logShare, stepMin))
	if s.o.PreallocBytes >= 0 {
		s.o.PreallocBytes = min(s.o.PreallocBytes, max(total/stepShare/stepUnit*stepUnit, stepMin))
	}
}

// znodeOverhead is about what a znode takes in a snapshot beside its data: path,
// stat and lengths, in bytes.
const znodeOverhead = 150

// snapshotEstimate is about what a snapshot of the present tree takes, in bytes.
func (s *Store) snapshotEstimate() int64 {
	s.tree.RLock()
	defer s.tree.RUnlock()
	return s.tree.DataSize() + znodeOverhead*int64(s.tree.NodeCount())
}

// checkSnapshot refuses a snapshot for which there is no room: it would take the
// last of it from the log.
func (s *Store) checkSnapshot() error {
	free, total, ok := volume(s.fs, s.snapDir)
	if need := s.snapshotEstimate() + floorOf(total)/reserveShare; ok && free < need {
		return fmt.Errorf("no room for a snapshot: %s has %s free, and %s are needed: %w", s.snapDir, sizeText(free), sizeText(need), syscall.ENOSPC)
	}
	return nil
}
