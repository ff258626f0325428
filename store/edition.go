package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"zooid/wire"
)

// edition is the durable copy of one tree. When the tree is given other content
// (Received.Install) another edition begins, which the keeper writes as a whole
// beside the old one before it takes its place.
//
//	begun ─► whole: in Pebble, kept up to date ─► over: the tree has other content
type edition struct {
	whole chan struct{} // closed once there is a store and it is this tree's
	over  chan struct{} // closed when the tree has been given other content
	db    *pebble.DB    // set before whole is closed

	committed atomic.Int64 // zxid of the newest marker, -1 if there is none
	flushed   atomic.Int64 // zxid of the newest marker that is known to be on disk, or -1
	wanted    atomic.Int64 // zxid that somebody waits for, see Stream

	// use is read-locked by whoever reads db, and locked by who closes it.
	use sync.RWMutex

	mu    sync.Mutex
	moved chan struct{} // closed, and replaced, when committed has changed
}

var (
	errReplaced = errors.New("the tree was replaced by a leader's meanwhile")
	errUnkept   = errors.New("the store takes no more changes until the next start")
)

func newEdition() *edition {
	e := &edition{whole: make(chan struct{}), over: make(chan struct{}), moved: make(chan struct{})}
	e.committed.Store(-1)
	e.flushed.Store(-1)
	return e
}

// complete says that db holds the tree at z, durably.
func (e *edition) complete(db *pebble.DB, z wire.Zxid) {
	e.db = db
	e.flushed.Store(int64(z))
	close(e.whole)
	e.advance(z)
}

// advance says that the marker is at z.
func (e *edition) advance(z wire.Zxid) {
	e.mu.Lock()
	e.committed.Store(int64(z))
	close(e.moved)
	e.moved = make(chan struct{})
	e.mu.Unlock()
}

// changed is closed when the marker moves on.
func (e *edition) changed() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.moved
}

// flushedZxid is the zxid up to which the store would survive a crash without
// the log.
func (e *edition) flushedZxid() wire.Zxid { return max(0, wire.Zxid(e.flushed.Load())) }

// isClosed tells whether one of the channels is.
func isClosed(channels ...<-chan struct{}) bool {
	for _, c := range channels {
		select {
		case <-c:
			return true
		default:
		}
	}
	return false
}

// flush makes what was committed before it durable.
func (e *edition) flush() error {
	z := e.committed.Load()
	if z == e.flushed.Load() {
		return nil
	}
	if err := e.db.Flush(); err != nil {
		return fmt.Errorf("flush the store: %w", err)
	}
	// The keeper and Snapshot both flush; the one that began earlier may end later.
	for old := e.flushed.Load(); old < z; old = e.flushed.Load() {
		if e.flushed.CompareAndSwap(old, z) {
			break
		}
	}
	return nil
}

// readable waits until the newest edition is whole and at least at z, and keeps
// its db open until the caller has unlocked use, as it must.
func (s *Store) readable(ctx context.Context, z wire.Zxid) (*edition, error) {
	for {
		e := s.edition.Load()
		moved := e.changed()
		if at := e.committed.Load(); at >= 0 && at >= int64(z) {
			if e.use.RLock(); !isClosed(e.over, s.stop) {
				return e, nil
			}
			e.use.RUnlock()
		}
		for old := e.wanted.Load(); old < int64(z) && !e.wanted.CompareAndSwap(old, int64(z)); {
			old = e.wanted.Load()
		}
		select {
		case <-e.over:
			continue
		default:
		}
		select {
		case <-moved:
		case <-e.over:
		case <-s.keeper.broken:
			return nil, fmt.Errorf("store %s: %w", s.dir, errUnkept)
		case <-s.stop:
			return nil, errClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
