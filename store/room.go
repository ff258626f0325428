package store

import (
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"
)

// roomFS is the file system under Pebble. It keeps Pebble from ever seeing a
// full disk: it makes the write wait until there is room and then tries it
// again. Pebble by itself would retry a flush without a pause, and end the process if it cannot write its manifest.
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
	r.mu.waiting = make(chan struct{})
	r.FS = vfs.OnDiskFull(fs, r.wait)
	return r
}

// Unwrap is the file system below.
func (r *roomFS) Unwrap() vfs.FS { return r.FS }

// Create also makes the name of a new manifest durable at once. Pebble leaves
// that to the sync that follows when it has switched to the manifest, but after
// a crash the switch may be there without what it points to.
func (r *roomFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := r.FS.Create(name, category)
	if err != nil || !strings.HasPrefix(r.PathBase(name), "MANIFEST-") {
		return f, err
	}
	if err := syncDir(r.FS, r.PathDir(name)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
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
