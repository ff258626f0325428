package txnlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"zooid/wire"
)

const (
	// groupBytes ends a gathering: the record that reaches it is the last of its
	// write. So a record lies less than groupBytes behind the first record that
	// was written and synced together with it, which is what recovery relies on
	// when it tells an unfinished write from damage.
	groupBytes = 1 << 20
	// recordOverhead is what a record takes beside its payload: checksum,
	// length and end byte.
	recordOverhead = 8 + 4 + 1
	// spareMax is the length up to which a slice of entries is used again.
	spareMax = 1 << 16
	// spaceRetry is the pause between two tries on a full disk.
	spaceRetry = time.Second
)

// writer is the state of the writer goroutine; nobody else looks at it.
type writer struct {
	spare   []Entry // the slice that pending will use next
	buf     []byte  // the encoded gathering, and its mark
	durable wire.Zxid

	file vfs.File // nil until the first record after Open or a roll
	pos  int64    // where the next record goes
	// size is the length of the file as ZooKeeper's padding rule counts it;
	// extent is its real length, and blocks is where on disk written blocks end.
	// pos <= blocks <= extent.
	size, extent, blocks int64
}

// run is the writer goroutine.
func (l *Log) run() {
	defer close(l.done)
	for {
		batch, job := l.take()
		if job != nil {
			if err := l.runErrand(job); err != nil {
				l.stop(err)
				return
			}
			continue
		}
		if len(batch) == 0 {
			l.stop(l.closeFile(true))
			return
		}
		for rest := batch; len(rest) > 0; {
			n, err := l.writeGroup(rest)
			if err != nil {
				l.stop(err)
				l.closeFile(false)
				return
			}
			rest = rest[n:]
		}
		clear(batch) // let go of the payloads
		if l.w.spare = batch[:0]; cap(batch) > spareMax {
			l.w.spare = nil
		}
	}
}

// take waits for something to write, or to do when nothing is to be written. If
// it gives neither the log was closed and all is written.
func (l *Log) take() ([]Entry, *errand) {
	for {
		l.mu.Lock()
		batch, closed := l.mu.pending, l.mu.closed
		var job *errand
		switch {
		case len(batch) > 0:
			l.mu.pending = l.w.spare
		case len(l.mu.errands) > 0:
			job, l.mu.errands = l.mu.errands[0], l.mu.errands[1:]
		}
		l.mu.Unlock()
		if len(batch) > 0 || job != nil || closed {
			return batch, job
		}
		<-l.wake
	}
}

// runErrand does what it is about, again if the disk was full.
func (l *Log) runErrand(job *errand) error {
	err := l.closeFile(false)
	if err == nil {
		err = l.untilRoom(job.do)
	}
	job.done <- err
	return err
}

// stop ends the log's writing and, if that is not for Close, says so.
func (l *Log) stop(err error) {
	l.mu.Lock()
	l.mu.stopped = true
	l.mu.err = err
	l.mu.pending = nil
	for _, job := range l.mu.errands {
		job.done <- errors.Join(ErrClosed, err)
	}
	l.mu.errands = nil
	l.progress.Broadcast()
	l.mu.Unlock()
	if err != nil && l.o.Durable != nil {
		l.o.Durable(l.w.durable, err)
	}
}

// writeGroup makes the first n of the entries durable.
func (l *Log) writeGroup(entries []Entry) (n int, err error) {
	w := &l.w
	if entries[0].Payload == nil { // Roll was here
		return 1, l.closeFile(false)
	}
	if l.o.RollBytes > 0 && w.pos >= l.o.RollBytes {
		if err := l.closeFile(false); err != nil {
			return 0, err
		}
	}
	if w.file == nil {
		if err := l.untilRoom(func() error { return l.createFile(entries[0].Zxid) }); err != nil {
			return 0, err
		}
	}
	size := w.size
	w.buf = w.buf[:0]
	for n < len(entries) && entries[n].Payload != nil && len(w.buf) < groupBytes {
		size = paddedSize(w.pos+int64(len(w.buf)), size, l.o.PreallocBytes)
		w.buf = appendRecord(w.buf, entries[n].Payload)
		l.prints.add(entries[n].Zxid, entries[n].Payload)
		n++
	}
	written := len(w.buf)
	if !l.o.NoSync { // without syncs nobody knows which group is durable
		w.buf = groupMark{w.pos, w.pos + int64(written)}.append(w.buf)
	}
	if err := l.untilRoom(func() error { return w.write(size) }); err != nil {
		return 0, fmt.Errorf("write log file: %w", err)
	}
	took, err := l.sync()
	if err != nil {
		return 0, fmt.Errorf("sync log file: %w", err)
	}
	w.pos += int64(written)
	w.durable = entries[n-1].Zxid
	l.mu.Lock()
	l.mu.files[len(l.mu.files)-1].Size = w.pos
	l.mu.durable = w.durable
	for _, e := range entries[:n] {
		l.mu.waiting -= int64(len(e.Payload))
	}
	l.progress.Broadcast()
	l.mu.Unlock()
	if l.o.Observe != nil {
		l.o.Observe(Sync{Records: n, Bytes: written, Took: took})
	}
	if l.o.Durable != nil {
		l.o.Durable(w.durable, nil)
	}
	if cap(w.buf) > 2*groupBytes { // one giant need not stay in memory
		w.buf = nil
	}
	return n, nil
}

// appendRecord encodes one log record. The checksum covers the payload alone.
func appendRecord(b, payload []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(adler32.Checksum(payload)))
	b = wire.AppendBuffer(b, payload)
	return append(b, wire.LogRecordEnd)
}

func (l *Log) sync() (time.Duration, error) {
	if l.o.NoSync {
		return 0, nil
	}
	start := time.Now()
	err := l.w.file.SyncData()
	return time.Since(start), err
}

// untilRoom does op again and again while the disk is full. op must be such
// that doing it again from the start does no harm. Closing the log ends it.
func (l *Log) untilRoom(op func() error) error {
	for {
		err := op()
		if !IsFull(err) {
			l.noSpace.Store(false)
			return err
		}
		l.noSpace.Store(true)
		select {
		case <-l.closing:
			return err
		case <-time.After(spaceRetry):
		}
	}
}
