package store

import (
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"zooid/txnlog"
)

// roomFS is the file system under Pebble. It keeps Pebble from ever seeing a
// full disk: it makes the write wait until there is room and then tries it
// again. Pebble by itself would retry a flush without a pause, and end the process if it cannot write its manifest.
// Of any other error Pebble is told, and tries again as well: so that it cannot
// spin, each further try waits first.
// Only Pebble's own goroutines and the keeper wait; the log, which decides
// whether writes are taken, has a way of its own.
type roomFS struct {
	vfs.FS
	inner vfs.FS
	dir   string
	log   *zap.Logger
	retry time.Duration // between two looks at the disk

	mu struct {
		sync.Mutex
		waiting chan struct{} // closed while somebody waits for room, else open
		// failing is closed while what Pebble writes in failedDir fails otherwise, else
		// open. failedAt is when it last did, and said when that was last told.
		failing        chan struct{}
		failedDir      string
		failedAt, said time.Time
	}
}

const (
	roomRetry = time.Second
	// roomWanted is the free space in bytes at which waiting ends: enough that
	// the next flush does not at once run into the same wall. On a volume of less
	// than roomShare times that it is this share of the volume, for so much may
	// never be free there.
	roomWanted = 32 << 20
	roomShare  = 32
)

// enough tells whether a volume has room again.
func enough(free, total int64) bool { return free >= min(roomWanted, total/roomShare) }

func newRoomFS(fs vfs.FS, dir string, log *zap.Logger) *roomFS {
	r := &roomFS{inner: fs, dir: dir, log: log, retry: roomRetry}
	r.mu.waiting, r.mu.failing = make(chan struct{}), make(chan struct{})
	r.FS = vfs.OnDiskFull(fs, r.wait)
	return r
}

// Unwrap is the file system below.
func (r *roomFS) Unwrap() vfs.FS { return r.FS }

// Create also makes the name of a new manifest durable at once. Pebble leaves
// that to the sync that follows when it has switched to the manifest, but after
// a crash the switch may be there without what it points to.
func (r *roomFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	time.Sleep(r.pause(r.PathDir(name)))
	f, err := r.FS.Create(name, category)
	if err != nil || !strings.HasPrefix(r.PathBase(name), "MANIFEST-") {
		return f, err
	}
	if err := syncDir(r.FS, r.PathDir(name)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// failEvery is how often it is told that the copy cannot be written.
const failEvery = time.Minute

// fail notes that Pebble could not write something of the copy in dir in the
// background, unless the disk was full once more after there was room: that waits
// again. It does not block: Pebble's lock may be held.
func (r *roomFS) fail(dir string, err error) {
	if txnlog.IsFull(err) {
		return
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.failedDir, r.mu.failedAt = dir, now
	select {
	case <-r.mu.failing:
	default:
		close(r.mu.failing)
	}
	if now.Sub(r.mu.said) >= failEvery {
		r.mu.said = now
		r.log.Error("the copy of the tree cannot be written, and is tried again and again; the log still holds every change: look at the disk, "+
			"and restart the server when it is well", zap.String("dir", dir), zap.Error(err))
	}
}

// wrote notes that Pebble has written something of the copy in dir, or that the
// copy there is used no more.
func (r *roomFS) wrote(dir string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.failedDir != dir {
		return
	}
	r.mu.failedDir, r.mu.failing = "", make(chan struct{})
}

// pause is how long the next try in a directory waits after a failed one.
func (r *roomFS) pause(dir string) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.failedDir != dir {
		return 0
	}
	return r.retry - time.Since(r.mu.failedAt)
}

// failed is closed as long as Pebble cannot write.
func (r *roomFS) failed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.failing
}

// full is closed as long as Pebble waits for room.
func (r *roomFS) full() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.waiting
}

func (r *roomFS) wait() {
	r.mu.Lock()
	close(r.mu.waiting)
	r.mu.Unlock()
	r.log.Error("disk full: the store waits for room, the log still holds every change", zap.String("dir", r.dir))
	for {
		time.Sleep(r.retry)
		if free, total, ok := volume(r.inner, r.PathDir(r.dir)); !ok || enough(free, total) {
			break
		}
	}
	r.mu.Lock()
	r.mu.waiting = make(chan struct{})
	r.mu.Unlock()
	r.log.Info("the store tries to write again", zap.String("dir", r.dir))
}
