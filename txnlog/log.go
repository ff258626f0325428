package txnlog

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"zooid/wire"
)

// DefaultPrealloc is ZooKeeper's preAllocSize in bytes.
const DefaultPrealloc = 64 << 20

// Options says where the log lies and how it is written.
type Options struct {
	// Dir holds the log.* files (…/version-2). It is created if need be.
	Dir string
	// FS is the file system, nil for the operating system's.
	FS vfs.FS
	// PreallocBytes is the step in which files grow, filled with zeros: 0 means
	// DefaultPrealloc, less than 0 no preallocation.
	PreallocBytes int64
	// RollBytes is the length from which on the next record opens a new file.
	// 0 means never.
	RollBytes int64
	// NoSync leaves out fdatasync: what was reported durable then survives a
	// crash of the process but not of the machine.
	NoSync bool
	// Durable is told, from the writer goroutine and in order, the zxid up to
	// which every appended record is on disk. With an error it is the last call:
	// zxid is then the last durable one (0 if none since Open), and nothing
	// appended after it will ever be written. It must not call Close.
	Durable func(z wire.Zxid, err error)
	// Observe, if not nil, is told of every sync, from the writer goroutine.
	Observe func(Sync)
}

// Sync describes one write that was made durable.
type Sync struct {
	Records int
	Bytes   int           // bytes written, without padding
	Took    time.Duration // the fdatasync alone; 0 with NoSync
}

// Entry is one transaction to be logged. Payload is its encoding, that of
// wire.Txn; it is the log's, unchanged by anybody, until it is durable.
type Entry = wire.Entry

// FileInfo describes one log file.
type FileInfo struct {
	Name  string    // without the directory
	First wire.Zxid // of its first record, which its name tells
	// Size is the length of its records in bytes if they have been read or
	// written since Open, else what it takes on disk.
	Size int64
}

// Log is an open transaction log.
type Log struct {
	o  Options
	fs vfs.FS
	// repairs is what Open did.
	repairs []Repair

	mu struct {
		sync.Mutex
		// pending holds what the writer has not taken yet. An entry without a
		// payload is the mark that Roll left.
		pending  []Entry
		errands  []*errand // to be run when pending is empty
		last     wire.Zxid // found by Open, or left by Truncate
		appended wire.Zxid // the last one appended, or last
		durable  wire.Zxid // of what was appended, the last one on disk, or last
		waiting  int64     // bytes of what was appended and is not on disk
		files    []FileInfo
		base     wire.Zxid // see Base
		hasBase  bool
		era      int64 // counts the times that something was taken away from the end
		started  bool
		closed   bool // no more Append
		stopped  bool // the writer has given up: Append is in vain
		err      error
	}
	progress sync.Cond // on mu: durable or stopped has changed
	cursors  cursors
	prints   prints
	noSpace  atomic.Bool
	wake     chan struct{} // holds a token when pending, errands or closed has changed
	closing  chan struct{} // closed by Close
	done     chan struct{} // closed when the writer has ended

	w writer
}

// Open looks at the log files of o.Dir, repairs what an interrupted write has
// left at their end, and makes the log ready for Replay and Start. Damage that
// no interrupted write explains is a *DamageError; nothing is changed then.
func Open(o Options) (*Log, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.PreallocBytes == 0 {
		o.PreallocBytes = DefaultPrealloc
	}
	if err := makeDir(o.FS, o.Dir); err != nil {
		return nil, err
	}
	finished, err := finishCut(o.FS, o.Dir)
	if err != nil {
		return nil, err
	}
	found, err := Inspect(o.FS, o.Dir)
	if err != nil {
		return nil, err
	}
	if err := repair(o.FS, o.Dir, found.Repairs); err != nil {
		return nil, err
	}
	if err := secureNewest(&o, found); err != nil {
		return nil, err
	}
	l := &Log{
		o: o, fs: o.FS, repairs: found.Repairs,
		wake:    make(chan struct{}, 1),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
	}
	if finished != nil {
		l.repairs = append(l.repairs, *finished)
	}
	l.progress.L = &l.mu
	l.mu.files = found.Files
	l.mu.last, l.mu.appended, l.mu.durable = found.Last, found.Last, found.Last
	l.mu.base, l.mu.hasBase, err = readBase(o.FS, o.Dir)
	return l, err
}

// Last is the zxid of the last record at Open, or of the last one that Truncate
// has left since; 0 for a log that was empty then.
func (l *Log) Last() wire.Zxid {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.last
}

// Durable is the zxid of the last record that is on disk.
func (l *Log) Durable() wire.Zxid {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.durable
}

// Await waits until everything that has been appended up to z is durable. An
// error says that it will never be.
func (l *Log) Await(z wire.Zxid) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	z = min(z, l.mu.appended)
	for l.mu.durable < z && !l.mu.stopped {
		l.progress.Wait()
	}
	switch {
	case l.mu.durable >= z:
		return nil
	case l.mu.err != nil:
		return l.mu.err
	}
	return ErrClosed
}

// First is the zxid of the oldest record that is kept, 0 for an empty log.
func (l *Log) First() wire.Zxid {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.mu.files) == 0 {
		return 0
	}
	return l.mu.files[0].First
}

// Repairs tells what Open has changed on disk, newest file first.
func (l *Log) Repairs() []Repair { return slices.Clone(l.repairs) }

// Start lets the writer goroutine begin. Close ends it.
func (l *Log) Start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.startLocked()
}

func (l *Log) startLocked() {
	if l.mu.started {
		panic("txnlog: Start called twice or after Close")
	}
	l.mu.started = true
	go l.run()
}

// Append hands over a batch, in zxid order, and returns at once; Durable tells
// when it is on disk. The batch itself stays the caller's, the payloads go to
// the log. After a failure or Close the batch is dropped.
func (l *Log) Append(batch []Entry) {
	if len(batch) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed || l.mu.stopped {
		return
	}
	for _, e := range batch {
		if e.Zxid <= l.mu.appended || len(e.Payload) < wire.TxnHeaderSize {
			panic(fmt.Sprintf("txnlog: append of %v (%d bytes) after %v", e.Zxid, len(e.Payload), l.mu.appended))
		}
		l.mu.appended = e.Zxid
		l.mu.waiting += int64(len(e.Payload))
	}
	l.mu.pending = append(l.mu.pending, batch...)
	l.signal()
}

// Roll lets the next record that is appended open a new file.
func (l *Log) Roll() {
	l.mu.Lock()
	if !l.mu.closed && !l.mu.stopped {
		l.mu.pending = append(l.mu.pending, Entry{})
	}
	l.mu.Unlock()
	l.signal()
}

func (l *Log) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Waiting is how many bytes of records have been appended and are not on disk yet.
func (l *Log) Waiting() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.waiting
}

// NoSpace tells whether the writer waits for room on the disk.
func (l *Log) NoSpace() bool { return l.noSpace.Load() }

// Files lists the log's files, oldest first.
func (l *Log) Files() []FileInfo {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.mu.files)
}

// Size is the sum of the sizes that Files tells, in bytes.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var n int64
	for _, f := range l.mu.files {
		n += f.Size
	}
	return n
}

// Purge removes, oldest first, the files that hold no record with a zxid of
// before or later, and names them. The newest file stays in any case.
func (l *Log) Purge(before wire.Zxid) (removed []string, err error) {
	if err := l.moveBase(before); err != nil {
		return nil, err
	}
	for {
		l.mu.Lock()
		var victim string
		// A file ends where the next one begins.
		if len(l.mu.files) > 1 && l.mu.files[1].First <= before {
			victim = l.mu.files[0].Name
			l.mu.files = slices.Delete(l.mu.files, 0, 1)
		}
		l.mu.Unlock()
		if victim == "" {
			break
		}
		if err := l.fs.Remove(l.fs.PathJoin(l.o.Dir, victim)); err != nil {
			return removed, fmt.Errorf("purge log: %w", err)
		}
		removed = append(removed, victim)
	}
	if len(removed) > 0 {
		err = syncDir(l.fs, l.o.Dir)
	}
	return removed, err
}

// moveBase sets the base to where the log will begin when all before it is
// purged.
func (l *Log) moveBase(before wire.Zxid) error {
	files := l.Files()
	i := 0
	for i+1 < len(files) && files[i+1].First <= before {
		i++
	}
	if have, ok := l.Base(); i == 0 || !ok || have >= files[i].First-1 {
		return nil
	}
	err := l.SetBase(files[i].First - 1)
	if IsFull(err) { // purging must make room: rather let the next start know no base
		return l.forgetBase()
	}
	return err
}

// Close writes and syncs what was appended, ends the writer and closes the
// file, which keeps its padding. The error is the one that ended the writing, if
// one did: a failed write or sync, or a disk that is still full. Another Close
// waits for the first and says the same.
func (l *Log) Close() error {
	l.mu.Lock()
	if !l.mu.closed {
		l.mu.closed = true
		close(l.closing)
		if !l.mu.started {
			l.startLocked()
		}
	}
	l.mu.Unlock()
	l.signal()
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.err
}
