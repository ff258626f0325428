package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"
)

const (
	// rollPause is the least time between two log files that are begun by count: a
	// new file costs some syncs. A count that is reached earlier waits for it.
	rollPause = 20 * time.Millisecond
	// shortSnapshot is how long a snapshot may take without a pause behind it, and
	// restFactor how many times as long as it took the pause behind a longer one is.
	// So a large tree is not written back to back however small snapCount is: its
	// snapshots take a tenth of the time at most.
	shortSnapshot = 50 * time.Millisecond
	restFactor    = 9
)

// restAfter is the pause behind a snapshot that took so long.
func restAfter(took time.Duration) time.Duration {
	if took <= shortSnapshot {
		return 0
	}
	return restFactor * took
}

// snapshotRule tells when a new log file and a snapshot are due, as ZooKeeper
// means snapCount and snapSizeLimitInKb: after so many transactions, or so much
// log, from half of the number up to it. Each time another number is drawn, so
// that the members of an ensemble do not all write at once.
//
// It belongs to the log's writer.
type snapshotRule struct {
	count, bytes int64 // 0 = without that limit

	txns, logged         int64 // since the last time
	nextTxns, nextLogged int64 // when it is due; 0 = not drawn yet
	rolled               time.Time
}

// drawn is a random number from half of n up to n.
func drawn(n int64) int64 {
	if n < 2 {
		return max(n, 0)
	}
	return n - rand.Int64N(n-n/2+1)
}

// wrote counts what was logged, and tells whether it is due.
func (r *snapshotRule) wrote(txns, bytes int, now time.Time) bool {
	if r.nextTxns == 0 {
		r.nextTxns, r.nextLogged = drawn(r.count), drawn(r.bytes)
	}
	r.txns += int64(txns)
	r.logged += int64(bytes)
	due := r.count > 0 && r.txns >= r.nextTxns || r.bytes > 0 && r.logged >= r.nextLogged
	if !due || now.Sub(r.rolled) < rollPause {
		return false
	}
	*r = snapshotRule{count: r.count, bytes: r.bytes, rolled: now}
	return true
}

// logWritten is told of what the log has made durable, by the log's writer. It
// begins a new file, and has a snapshot written, when that is due.
func (s *Store) logWritten(records, bytes int) {
	s.logged.Add(int64(bytes))
	s.space.wrote(bytes)
	if !s.rule.wrote(records, bytes, time.Now()) {
		return
	}
	s.txns.Roll()
	select {
	case s.due <- struct{}{}:
	default: // one is due already
	}
}

// snapshotAsDue writes the snapshots that are due, one after the other, until
// the store is closed.
func (s *Store) snapshotAsDue() {
	for {
		select {
		case <-s.due:
		case <-s.stop:
			return
		}
		began := time.Now()
		if err := s.snapshotDue(); err != nil && !errors.Is(err, errClosed) && !errors.Is(err, errReplaced) {
			s.log.Warn("no snapshot was written; the log goes on without", zap.Error(err))
		}
		if s.o.SnapshotWritten != nil {
			s.o.SnapshotWritten()
		}
		rest := time.NewTimer(restAfter(time.Since(began)))
		select {
		case <-rest.C:
		case <-s.stop:
			rest.Stop()
			return
		}
	}
}

// snapshotDue writes a snapshot as soon as the durable copy has what the log has
// now. Where the snapshots that are there take their share of the volume
// already, which happens only if nobody purges, it waits until the log has used up
// its budget.
func (s *Store) snapshotDue() error {
	e, err := s.readable(context.Background(), s.txns.Durable())
	if err != nil {
		return err
	}
	e.use.RUnlock()
	s.snapshotting.Lock()
	defer s.snapshotting.Unlock()
	snaps, err := s.goodSnapshots()
	if err != nil {
		return err
	}
	if total := s.space.total(s.snapDir); total > 0 && len(snaps) > 0 &&
		sizeOf(snaps)+s.snapshotEstimate() > total/snapshotsPart && s.logBytesSince(snaps[0].zxid) < s.o.LogBudget {
		return nil
	}
	_, _, err = s.writeSnapshot(false)
	return err
}

// sizeOf is what the files take together, in bytes.
func sizeOf(files []snapshotFile) (n int64) {
	for _, f := range files {
		n += f.size
	}
	return n
}
