package store

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"go.uber.org/zap"

	"zooid/wire"
	"zooid/znode"
)

const (
	// keepTxns is how many txns Keep lets pass before it cuts without being
	// forced to.
	keepTxns = 1024
	// drainRecords is how many znodes are copied out of the tree in one hold of
	// its read lock: some ten microseconds, for which the loop may have to wait.
	drainRecords = 64
	// newSuffix and oldSuffix mark the store that is being made and the one that
	// it replaces.
	newSuffix, oldSuffix = ".new", ".old"
	// rebuildBatchBytes is the size of the parts in which a whole tree goes to
	// the store.
	rebuildBatchBytes = 4 << 20
)

// keeper is the goroutine that brings the store up to the tree.
//
//	loop: Keep ─► Cut ─► keeper: drain ─► batch + marker ─► commit ─► flush, now and then
type keeper struct {
	cuts chan keeping
	done chan struct{} // closed when the goroutine has ended
	busy atomic.Bool   // from the cut on until it is committed

	// The loop's: the zxid of the newest cut, and whether the next one is the
	// whole tree and makes a new store.
	cut     wire.Zxid
	rebuild bool

	// The keeper's: Store.logged when it flushed last, and whose Store.db is.
	flushLog int64
	owner    *edition
	// broken is closed when a commit has failed: nothing more is kept then.
	broken chan struct{}
}

// keeping is a cut on its way to the store.
type keeping struct {
	cut   *znode.Cut
	whole bool     // it is the whole tree
	into  *edition // of the tree that it was cut from
}

func (s *Store) startKeeper() {
	k := &s.keeper
	k.cuts = make(chan keeping, 1)
	k.done = make(chan struct{})
	k.broken = make(chan struct{})
	go s.keepAll()
}

// Wanted tells whether somebody waits for changes of the tree that Keep has not
// handed over yet: the loop should call it now, and not wait for more of them.
func (s *Store) Wanted() bool {
	e := s.edition.Load()
	return !s.keeper.busy.Load() && e.wanted.Load() > e.committed.Load()
}

// Keep hands the tree's changes since the last time to the background writer
// and returns at once. Only the loop may call it, not holding the tree's lock. It
// does nothing while the previous changes are being written or, unless force is
// set or a Stream waits for them, as long as there are few.
func (s *Store) Keep(force bool) {
	k := &s.keeper
	if k.busy.Load() || k.isBroken() {
		return
	}
	e := s.edition.Load()
	force = force || k.rebuild || e.wanted.Load() > e.committed.Load()
	if !force && distance(k.cut, s.tree.LastZxid()) < keepTxns {
		return
	}
	if job, ok := s.nextCut(); ok {
		k.busy.Store(true)
		k.cuts <- job // has room: the keeper is not busy
	}
}

// nextCut is what has changed since the last one, if anything has. Only the loop
// may call it.
func (s *Store) nextCut() (keeping, bool) {
	s.tree.Lock()
	cut := s.tree.Cut()
	s.tree.Unlock()
	if cut == nil {
		return keeping{}, false
	}
	k := &s.keeper
	job := keeping{cut: cut, whole: k.rebuild, into: s.edition.Load()}
	k.cut, k.rebuild = cut.Zxid, false
	return job, true
}

// distance is the number of txns from a to b, as far as zxids tell: in a later
// epoch those of the earlier ones are not counted.
func distance(a, b wire.Zxid) int64 {
	if a.Epoch() == b.Epoch() {
		return int64(b - a)
	}
	return int64(b.Counter())
}

func (s *Store) keepAll() {
	k := &s.keeper
	defer close(k.done)
	for job := range k.cuts {
		if err := s.keepCut(job); err != nil {
			// The log still has everything. What this cut held is no longer
			// remembered, so no later state of the store would be right: the next
			// start replays from the last one.
			s.log.Error("the store takes no more changes until the next start", zap.String("dir", s.dir), zap.Error(err))
			close(k.broken)
			return
		}
		k.busy.Store(false)
	}
}

// Broken tells whether a commit has failed: nothing more is kept then, no snapshot
// can be made, and the next start replays the log from the last state. Any
// goroutine may ask.
func (s *Store) Broken() bool { return s.keeper.isBroken() }

func (k *keeper) isBroken() bool {
	select {
	case <-k.broken:
		return true
	default:
		return false
	}
}

func (s *Store) keepCut(job keeping) error {
	k, e := &s.keeper, job.into
	if job.whole {
		return s.writeWhole(job.cut, e)
	}
	if err := s.writeCut(e.db, job.cut); err != nil {
		return err
	}
	if job.cut.Dropped() {
		return nil
	}
	e.advance(job.cut.Zxid)
	if distance(e.flushedZxid(), job.cut.Zxid) < s.o.FlushTxns && s.logged.Load()-k.flushLog < flushLogBytes {
		return nil
	}
	k.flushLog = s.logged.Load()
	if err := e.flush(); err != nil {
		return err
	}
	if s.o.SnapTxns == 0 {
		// The next start reads the log from about here: let it begin a file. By
		// count it does so anyway.
		s.txns.Roll()
	}
	return nil
}

// mayCommit waits until the log holds durably what the cut has of it: a quorum
// may have committed a txn before it is on this member's disk, and a store that
// is ahead of the log would be refused at the next start. It is false if the
// cut is not to be committed because the tree has other content now.
func (s *Store) mayCommit(cut *znode.Cut) (bool, error) {
	if err := s.txns.Await(cut.Zxid); err != nil {
		return false, fmt.Errorf("wait for the log: %w", err)
	}
	return !cut.Dropped(), nil
}

// writeCut commits a cut as one batch, so that what a crash leaves is exactly
// the state at a marker.
func (s *Store) writeCut(db *pebble.DB, cut *znode.Cut) error {
	b := db.NewBatch()
	defer b.Close()
	w := cutWriter{b: b}
	w.deleted(cut)
	for more := true; more; {
		more = cut.Drain(drainRecords, w.node)
	}
	w.sessions(cut)
	if ok, err := s.mayCommit(cut); !ok {
		return err
	}
	s.addMarker(&w, cut)
	return errors.Join(w.err, b.Commit(pebble.NoSync))
}

// writeWhole makes a new store of a cut that is the whole tree. It is built
// beside the old one, if there is one, and takes its place when it is complete
// and durable: a store under its proper name always holds a state.
func (s *Store) writeWhole(cut *znode.Cut, e *edition) error {
	fresh := s.dir + newSuffix
	if err := s.fs.RemoveAll(fresh); err != nil {
		return err
	}
	db, err := openPebble(s.room, fresh, s.log)
	if err != nil {
		return err
	}
	ok, err := s.fill(db, cut)
	if err := errors.Join(err, db.Flush(), db.Close()); err != nil || !ok {
		return errors.Join(err, s.fs.RemoveAll(fresh))
	}
	if err := s.replaceStore(fresh); err != nil {
		return err
	}
	if err := s.openPebble(); err != nil {
		return err
	}
	s.keeper.owner = e
	e.complete(s.db, cut.Zxid)
	return s.installed(e)
}

// fill writes cut in parts of bounded size, the marker with the last one. It is
// false if the tree was given other content meanwhile.
func (s *Store) fill(db *pebble.DB, cut *znode.Cut) (bool, error) {
	w := cutWriter{b: db.NewBatch()}
	defer func() { w.b.Close() }()
	for more := true; more && w.err == nil; {
		more = cut.Drain(drainRecords, w.node)
		if w.b.Len() < rebuildBatchBytes {
			continue
		}
		w.note(w.b.Commit(pebble.NoSync))
		w.b.Reset()
	}
	w.sessions(cut)
	if ok, err := s.mayCommit(cut); !ok {
		return false, err
	}
	s.addMarker(&w, cut)
	return true, errors.Join(w.err, w.b.Commit(pebble.NoSync))
}

// replaceStore puts the store in dir fresh in the place of the present one, once
// nobody reads that any more, or of one that cannot be used.
func (s *Store) replaceStore(fresh string) error {
	old := s.dir + oldSuffix
	if s.db != nil {
		s.log.Info("replacing the store", zap.String("dir", s.dir))
		if e := s.keeper.owner; e != nil {
			e.use.Lock()
			defer e.use.Unlock()
		}
		if err := s.db.Close(); err != nil {
			return err
		}
		s.room.wrote(s.dir) // that copy's troubles are over
		s.db = nil
	}
	if _, err := s.fs.Stat(s.dir); err == nil {
		if err := errors.Join(s.fs.RemoveAll(old), s.fs.Rename(s.dir, old)); err != nil {
			return err
		}
	}
	if err := s.fs.Rename(fresh, s.dir); err != nil {
		return err
	}
	return errors.Join(syncDir(s.fs, s.o.DataDir), s.fs.RemoveAll(old))
}

// endKeeper lets the goroutine end and writes the last changes.
func (s *Store) endKeeper() error {
	k := &s.keeper
	close(k.cuts)
	<-k.done
	if k.isBroken() {
		return fmt.Errorf("store %s lags behind, the next start replays the log from %v", s.dir, s.FlushedZxid())
	}
	if job, ok := s.nextCut(); ok {
		if err := s.keepCut(job); err != nil {
			return err
		}
	}
	if e := s.edition.Load(); e.db != nil {
		return e.flush()
	}
	return nil
}

// cutWriter adds a cut to a batch; the first error stays.
type cutWriter struct {
	b   *pebble.Batch
	buf []byte
	err error
}

func (w *cutWriter) note(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *cutWriter) deleted(cut *znode.Cut) {
	for _, path := range cut.Deleted {
		w.buf = append(append(w.buf[:0], nodePrefix), path...)
		w.note(w.b.Delete(w.buf, nil))
	}
}

func (w *cutWriter) node(path []byte, r *znode.Record) {
	var err error
	w.buf, err = putNode(w.b, path, r, w.buf)
	w.note(err)
}

func (w *cutWriter) sessions(cut *znode.Cut) {
	for _, c := range cut.Sessions {
		key := appendSessionKey(w.buf[:0], c.ID)
		if c.Closed {
			w.note(w.b.Delete(key, nil))
			continue
		}
		v := sessionEntry{c.ID, c.TimeoutMs, c.Cxid}.appendValue(key)[len(key):]
		w.note(w.b.Set(key, v, nil))
	}
}

// addMarker says where the copy stands, and at which of the log's records, which
// is durable there.
func (s *Store) addMarker(w *cutWriter, cut *znode.Cut) {
	m := marker{zxid: cut.Zxid, digest: cut.Digest}
	w.note(w.b.Set([]byte{markerKey}, m.append(nil), nil))
	if print, ok := s.txns.Fingerprint(cut.Zxid); ok {
		w.note(putRecordPrint(w.b, cut.Zxid, print))
	}
}
