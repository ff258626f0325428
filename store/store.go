package store

import (
	"errors"
	"io"
	iofs "io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"zooid/txnlog"
	"zooid/wire"
	"zooid/znode"
)

// The defaults of Options.
const (
	DefaultSnapRetain = 3
	DefaultLogBudget  = 1 << 30
	DefaultFlushTxns  = 100_000
)

// flushLogBytes is the length of log after which the store is flushed even if
// there were few txns, as they must be large ones.
const flushLogBytes = 64 << 20

var errClosed = errors.New("the store is closed")

// Options says where a member keeps its data and how.
type Options struct {
	DataDir string // ZooKeeper's dataDir, without version-2
	LogDir  string // ZooKeeper's dataLogDir, "" = DataDir
	FS      vfs.FS // nil = the operating system's
	Log     *zap.Logger
	// SnapRetain is how many ZooKeeper snapshots Purge keeps; 0 means
	// DefaultSnapRetain.
	SnapRetain int
	// LogBudget is how many bytes of log may follow the newest ZooKeeper
	// snapshot before Purge writes a newer one; 0 means DefaultLogBudget.
	LogBudget int64
	// SnapTxns and SnapBytes are ZooKeeper's snapCount and snapSizeLimitInKb in
	// bytes: a snapshot is written, and a new log file begun, after so many
	// transactions, or so much log. 0 = without that limit. What Purge needs is
	// written in any case.
	SnapTxns, SnapBytes int64
	// FlushTxns is how many txns a restart after a crash has to replay at
	// most, give or take what was in flight; 0 means DefaultFlushTxns.
	FlushTxns int64
	// DeferTail leaves what the log holds beyond the store unapplied until
	// ReplayTail. A member of an ensemble learns from its leader how much of
	// that was committed; alone, all of it was.
	DeferTail bool
	// ServerID is the number of the member whose directories these are; 0 for a
	// server alone, which may use any.
	ServerID wire.SID
	// TrustEmpty is ZooKeeper's snapshot.trust.empty: a log without any snapshot
	// is replayed onto an empty tree, though what it begins with is not the first
	// transaction.
	TrustEmpty bool

	// The log's, see txnlog.Options.
	PreallocBytes int64
	RollBytes     int64
	NoSync        bool
	Durable       func(z wire.Zxid, err error)
	Observe       func(txnlog.Sync)

	// Replayed is told how many transactions of the log were applied at the start
	// and how long that took. nil: nobody is told.
	Replayed func(txns int, took time.Duration)
	// Snapshotted is told of each snapshot that was written, or could not be, by
	// any goroutine; it must not block. nil: nobody is told.
	Snapshotted func(took time.Duration, err error)

	// SpaceChanged is told when the disks' SpaceLevel changes, by any goroutine; it
	// must not block. nil: nobody is told.
	SpaceChanged func(from SpaceLevel, now Space)
	// SnapshotWritten is told when a snapshot that was due has been written, and a
	// Purge has more to remove; it must not block. nil: nobody is told.
	SnapshotWritten func()
}

func (o *Options) setDefaults() {
	if o.LogDir == "" {
		o.LogDir = o.DataDir
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.SnapRetain <= 0 {
		o.SnapRetain = DefaultSnapRetain
	}
	if o.LogBudget <= 0 {
		o.LogBudget = DefaultLogBudget
	}
	if o.FlushTxns <= 0 {
		o.FlushTxns = DefaultFlushTxns
	}
	if o.PreallocBytes == 0 {
		o.PreallocBytes = txnlog.DefaultPrealloc
	}
}

// Store is what a member has on disk, open. See the package comment for which
// goroutine may call what.
type Store struct {
	o       Options
	fs      vfs.FS
	log     *zap.Logger
	snapDir string // DataDir/version-2
	logDir  string // LogDir/version-2
	dir     string // DataDir/zooid, Pebble's

	locks  []io.Closer
	secret []byte
	txns   *txnlog.Log
	db     *pebble.DB // nil until there is a store
	// distrusted is why the store that was found is made again, nil if it is not.
	distrusted error
	// closed is the note of the clean end before, nil if there is none that is of
	// this copy; then notClosed says why.
	closed    *closedNote
	notClosed error
	// mismatchNoted says that NoteMismatch has been called.
	mismatchNoted atomic.Bool
	room          *roomFS
	tree          *znode.Tree
	base          base         // what recovery began from
	logged        atomic.Int64 // bytes of log written since Open

	space *spaceGuard
	rule  snapshotRule  // the log writer's
	due   chan struct{} // has an element when a snapshot is due

	keeper  keeper
	edition atomic.Pointer[edition] // the newest one
	epochs  epochs

	// snapshotting is held while a snapshot is written and while files are
	// purged, so that neither meets the other.
	snapshotting sync.Mutex
	// files is held for the moments in which snapshots and log files come and go,
	// all but the log's own new ones.
	files      sync.Mutex
	damaged    map[string]bool // snapshots that could not be read; guarded by files
	received   atomic.Int64    // numbers what Receive writes
	stop       chan struct{}   // closed by Close: background work ends
	background sync.WaitGroup
	// snapshotter is the goroutine of snapshotAsDue.
	snapshotter sync.WaitGroup
}

// Open takes the directories for this process, brings the store to the newest
// state that they hold and builds the tree from it. The log is ready for its
// Start. The caller must Close the Store.
//
// On a full disk it ends with an error that wraps ENOSPC, and may be tried again.
// Whatever else is refused (a directory in use or not writable, exchanged
// directories, a damaged log, a store that does not fit the log) is left as it
// is, and the error says what to do.
func Open(o Options) (*Store, error) {
	o.setDefaults()
	s := &Store{
		o: o, fs: o.FS, log: o.Log,
		snapDir: o.FS.PathJoin(o.DataDir, versionDir),
		logDir:  o.FS.PathJoin(o.LogDir, versionDir),
		dir:     o.FS.PathJoin(o.DataDir, pebbleDir),
		stop:    make(chan struct{}),
		damaged: make(map[string]bool),
		due:     make(chan struct{}, 1),
	}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.abandon())
	}
	return s, nil
}

func (s *Store) open() error {
	if err := s.checkSpaceAtStart(); err != nil {
		return err
	}
	if err := s.takeDirs(); err != nil {
		return err
	}
	s.space = newSpaceGuard(s.fs, slices.Compact([]string{s.snapDir, s.logDir}))
	s.fitToVolumes()
	s.rule = snapshotRule{count: s.o.SnapTxns, bytes: s.o.LogBudget}
	if s.o.SnapBytes > 0 {
		s.rule.bytes = min(s.rule.bytes, s.o.SnapBytes)
	}
	if err := checkContents(s.fs, s.snapDir, s.logDir); err != nil {
		return err
	}
	if err := s.checkBinding(); err != nil {
		return err
	}
	var err error
	if s.secret, err = sessionKey(s.fs, s.o.DataDir, s.log); err != nil {
		return err
	}
	if err := s.openLog(); err != nil {
		return err
	}
	if err := s.resumeInstall(); err != nil {
		return err
	}
	removed, err := removeLeftovers(s.fs, s.snapDir)
	if err != nil {
		return err
	}
	for _, name := range removed {
		s.log.Info("removed an unfinished snapshot", zap.String("file", s.fs.PathJoin(s.snapDir, name)))
	}
	private, err := withModeOf(s.fs, s.snapDir, s.dir, s.log)
	if err != nil {
		return dirError(s.fs, s.dir, err)
	}
	s.room = newRoomFS(private, s.dir, s.log)
	if err := s.findPebble(); err != nil {
		return err
	}
	if err := s.recover(); err != nil {
		return err
	}
	if err := s.restoreEpochs(); err != nil {
		return err
	}
	s.startKeeper()
	if s.o.DeferTail {
		err = s.settleBase()
	} else {
		err = s.replayAll()
	}
	if err != nil {
		return err
	}
	if err := s.bind(); err != nil {
		return err
	}
	if err := s.forgetMismatch(); err != nil {
		return err
	}
	if err := s.secureWayBack(); err != nil {
		return err
	}
	if err := s.forgetClosed(); err != nil {
		return err
	}
	s.space.need.Store(s.snapshotEstimate())
	s.space.start(s.txns.NoSpace, s.o.SpaceChanged)
	s.snapshotter.Go(s.snapshotAsDue)
	return nil
}

// replayAll applies the whole log. If the store turns out to be another tree's
// the snapshots are the base, as if the store were not there.
func (s *Store) replayAll() error {
	err := s.ReplayTail(s.txns.Last())
	if !errors.Is(err, errForeign) {
		return err
	}
	s.distrusted = err
	s.log.Warn("the copy of the tree cannot be used; it is made again from snapshot and log", zap.String("dir", s.dir), zap.Error(err))
	if other := s.recoverFromSnapshots(); other != nil {
		return errors.Join(err, other)
	}
	return s.ReplayTail(s.txns.Last())
}

// takeDirs makes the directories and locks them. The log's is locked as well:
// two servers with one dataLogDir would write into one log. Once taken they stay so.
func (s *Store) takeDirs() error {
	if len(s.locks) > 0 {
		return nil
	}
	dirs := slices.Compact([]string{s.o.DataDir, s.o.LogDir})
	if err := prepareDirs(s.fs, dirs...); err != nil {
		return err
	}
	if sameDir(s.fs, s.o.DataDir, s.o.LogDir) {
		s.o.LogDir, s.logDir, dirs = s.o.DataDir, s.snapDir, dirs[:1]
	}
	for _, dir := range dirs {
		l, err := lockDir(s.fs, dir)
		if err != nil {
			return err
		}
		s.locks = append(s.locks, l)
	}
	return prepareDirs(s.fs, slices.Compact([]string{s.snapDir, s.logDir})...)
}

func (s *Store) openLog() (err error) {
	s.txns, err = txnlog.Open(txnlog.Options{
		Dir: s.logDir, FS: s.fs,
		PreallocBytes: s.o.PreallocBytes, RollBytes: s.o.RollBytes, NoSync: s.o.NoSync,
		Durable: s.o.Durable,
		Observe: func(sync txnlog.Sync) {
			s.logWritten(sync.Records, sync.Bytes)
			if s.o.Observe != nil {
				s.o.Observe(sync)
			}
		},
	})
	if err != nil {
		return err
	}
	for _, r := range s.txns.Repairs() {
		s.log.Warn("repaired the transaction log", zap.String("dir", s.logDir), zap.Stringer("repair", r))
	}
	return nil
}

// findPebble opens the store if there is one, and removes what an interrupted
// replacement of it has left. A store that holds a state has s.dir as its name.
func (s *Store) findPebble() error {
	for _, suffix := range []string{newSuffix, oldSuffix} {
		if err := s.fs.RemoveAll(s.dir + suffix); err != nil {
			return err
		}
	}
	if _, err := s.fs.Stat(s.dir); errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	if err := s.openPebble(); err != nil {
		if refused := s.refusal(err); refused != nil {
			return refused
		}
		s.distrust(err)
	}
	return nil
}

func (s *Store) openPebble() (err error) {
	if s.db, err = openPebble(s.room, s.dir, s.log); err != nil {
		s.db = nil
	}
	return err
}

// Tree is the tree that Open built.
func (s *Store) Tree() *znode.Tree { return s.tree }

// Log is the transaction log; Close closes it.
func (s *Store) Log() *txnlog.Log { return s.txns }

// SessionSecret is what the passwords of sessions are derived from: 32 random
// bytes, made when the data directory was first used. It must not be changed.
func (s *Store) SessionSecret() []byte { return s.secret }

// FlushedZxid is the zxid up to which the store would survive a crash without
// the log.
func (s *Store) FlushedZxid() wire.Zxid { return s.edition.Load().flushedZxid() }

// Close writes the tree's last changes to the store and lets go of everything.
// Nobody may change the tree any more. What was acknowledged is in the log in
// any case: an error says at worst that the next start replays more of it. A full
// disk is no error.
func (s *Store) Close() error {
	err := s.txns.Close()
	logged := err == nil
	if txnlog.IsFull(err) {
		s.log.Warn("the disk is full: what the log did not take was not acknowledged", zap.String("dir", s.logDir))
		err = nil
	}
	close(s.stop)
	clean, closeErr := s.closeCopy()
	if clean != nil && logged {
		s.noteClosed(clean)
	}
	return errors.Join(err, closeErr, s.unlock())
}

// closeCopy ends the work in the background and closes Pebble. clean is what a
// clean end says of the copy, nil if that does not hold all there is.
func (s *Store) closeCopy() (clean *closedNote, err error) {
	var closed atomic.Pointer[closedNote]
	err = s.unlessFull(func() error {
		s.background.Wait()
		s.snapshotter.Wait()
		s.snapshotting.Lock() // a snapshot that is being written has ended
		defer s.snapshotting.Unlock()
		err := s.endKeeper()
		var n *closedNote
		if err == nil {
			n = s.closing()
		}
		if err = errors.Join(err, s.closePebble()); err == nil {
			closed.Store(n)
		}
		return err
	})
	return closed.Load(), err
}

// unlessFull does what may use Pebble, and waits for it unless the disk is full or
// fails: then Pebble waits for better days, and so would the caller. Nothing is lost by leaving
// it as a crash would. What still waits then goes on in its order when there is
// room, for Pebble panics if it is used once it is closed.
func (s *Store) unlessFull(do func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- do() }()
	var full, failed <-chan struct{}
	if s.room != nil {
		full, failed = s.room.full(), s.room.failed()
	}
	select {
	case err := <-ended:
		return err
	case <-full:
		s.log.Warn("the disk is full: the store's last changes stay in the log, the next start replays them", zap.String("dir", s.dir))
		return nil
	case <-failed:
		s.log.Warn("the copy of the tree cannot be written: its last changes stay in the log, the next start replays them", zap.String("dir", s.dir))
		return nil
	}
}

func (s *Store) closePebble() error {
	if s.db == nil {
		return nil
	}
	if e := s.keeper.owner; e != nil {
		e.use.Lock() // streams have ended
		defer e.use.Unlock()
	}
	return s.db.Close()
}

// abandon undoes a failed open.
func (s *Store) abandon() error {
	close(s.stop)
	err := s.unlessFull(func() error {
		s.background.Wait()
		if s.keeper.cuts != nil {
			close(s.keeper.cuts)
			<-s.keeper.done
		}
		return s.closePebble()
	})
	if s.txns != nil {
		err = errors.Join(err, s.txns.Close())
	}
	return errors.Join(err, s.unlock())
}

func (s *Store) unlock() error {
	var errs []error
	for _, l := range s.locks {
		errs = append(errs, l.Close())
	}
	s.locks = nil
	return errors.Join(errs...)
}
