package txnlog

import (
	"errors"
	"fmt"
	"sync"

	"zooid/wire"
)

// ErrTooOld says that the log does not reach back to where it was to be read
// from, or not without a hole.
var ErrTooOld = errors.New("the transaction log does not reach back that far")

// errChanged says that records were taken away while they were being read.
var errChanged = errors.New("the transaction log was truncated meanwhile")

// Part is some of the log, read beside the writer.
type Part struct {
	// Prev is the newest record at or before the zxid that was asked for, or
	// the log's base if there is none behind that.
	Prev wire.Zxid
	// Entries follow it, without a hole. Their payloads are the caller's.
	Entries []Entry
	// Behind is about how many bytes of log follow them.
	Behind int64
}

// Read gives the durable records behind after: as many as have up to maxBytes of
// payload together, but at least one if there is any. It is an error, ErrTooOld,
// if the log does not hold all of them. Any goroutine may call it; who goes
// on where the last call ended has each byte read once.
func (l *Log) Read(after wire.Zxid, maxBytes int) (Part, error) {
	l.mu.Lock()
	r := reader{l: l, files: append([]FileInfo(nil), l.mu.files...), after: after, durable: l.mu.durable, max: maxBytes}
	base, known, era := l.mu.base, l.mu.hasBase, l.mu.era
	l.mu.Unlock()
	if !known || after < base {
		return Part{}, fmt.Errorf("%w: %v was asked for, it begins at %v", ErrTooOld, after, base)
	}
	r.base, r.prev = base, base
	err := r.read()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.era != era {
		return Part{}, errChanged // what was read may be gone, and so may be why it could not
	}
	if err != nil {
		return Part{}, fmt.Errorf("read the transaction log behind %v: %w", after, err)
	}
	l.cursors.put(r.prev, r.at)
	return r.part, nil
}

// reader reads one Part.
type reader struct {
	l       *Log
	files   []FileInfo
	after   wire.Zxid
	base    wire.Zxid // nothing before it counts
	durable wire.Zxid // nothing behind it is looked at
	max     int

	prev wire.Zxid // the newest record seen, or the base
	at   place     // behind it
	part Part
	buf  []byte // payloads; never moved
}

var errEnough = errors.New("enough")

func (r *reader) read() error {
	i := 0
	for i+1 < len(r.files) && r.files[i+1].First <= r.after {
		i++
	}
	at, found := r.l.cursors.get(r.after)
	if found = found && i < len(r.files) && r.files[i].First == at.file; found {
		r.prev, r.at = r.after, at
	}
	r.part.Prev = r.prev
	for ; i < len(r.files) && r.prev < r.durable; i++ {
		off := int64(wire.FileHeaderSize)
		if found {
			off, found = at.offset, false
		}
		if err := r.file(i, off); err != nil && err != errEnough {
			return err
		} else if err != nil {
			break
		}
	}
	for ; i < len(r.files) && r.prev < r.durable; i++ {
		if r.part.Behind += r.files[i].Size; r.files[i].First == r.at.file {
			r.part.Behind -= min(r.at.offset, r.files[i].Size)
		}
	}
	return nil
}

// file reads the records of one file from off on.
func (r *reader) file(i int, off int64) error {
	file := r.files[i]
	path := r.l.fs.PathJoin(r.l.o.Dir, file.Name)
	s, err := openScanner(r.l.fs, path)
	if err != nil {
		return err
	}
	defer s.close()
	if s.off = off; off > wire.FileHeaderSize {
		s.prev = r.prev
	}
	for r.prev < r.durable {
		rec, ok, err := s.next()
		switch {
		case err != nil:
			return err
		case ok:
			if err := r.record(path, rec); err != nil {
				return err
			}
			r.at = place{file: file.First, offset: rec.End()}
			continue
		}
		tail, err := s.tail()
		switch {
		case err != nil:
			return err
		case tail.Reason != "" && (i+1 == len(r.files) || !tail.endsBefore(r.prev, r.files[i+1].First)):
			return tail.damage(path)
		}
		return nil
	}
	return errEnough
}

// record takes one record.
func (r *reader) record(path string, rec Record) error {
	switch {
	case rec.Zxid <= r.base || repeats(rec, r.prev):
		return nil
	case rec.Zxid <= r.prev:
		return disorder(path, rec, r.prev)
	case rec.Zxid <= r.after:
		r.prev, r.part.Prev = rec.Zxid, rec.Zxid
		return nil
	}
	if !follows(r.prev, rec.Zxid) {
		return missing(path, rec, r.prev)
	}
	n := len(rec.Payload)
	if r.max -= n; r.max < 0 && len(r.part.Entries) > 0 {
		return errEnough
	}
	if n > cap(r.buf)-len(r.buf) {
		r.buf = make([]byte, 0, max(n, min(r.max, readBlock)))
	}
	start := len(r.buf)
	r.buf = append(r.buf, rec.Payload...)
	r.part.Entries = append(r.part.Entries, Entry{Zxid: rec.Zxid, Payload: r.buf[start:len(r.buf):len(r.buf)]})
	r.prev = rec.Zxid
	return nil
}

// readBlock is how much memory for payloads is taken at once, in bytes.
const readBlock = 64 << 10

// place is behind a record.
type place struct {
	file   wire.Zxid // the first record of its file
	offset int64
}

// cursors remembers where the latest reads have ended, as that is where the
// next ones go on. Records do not move: a place is good as long as its file is
// there and nothing was cut.
type cursors struct {
	sync.Mutex
	places map[wire.Zxid]place // behind the record with this zxid
	order  []wire.Zxid         // as they came
}

// cursorsMax is how many readers may take turns.
const cursorsMax = 64

func (c *cursors) get(z wire.Zxid) (place, bool) {
	c.Lock()
	defer c.Unlock()
	at, ok := c.places[z]
	return at, ok
}

func (c *cursors) put(z wire.Zxid, at place) {
	c.Lock()
	defer c.Unlock()
	if _, ok := c.places[z]; ok || at.offset == 0 {
		return
	}
	if c.places == nil {
		c.places = make(map[wire.Zxid]place)
	}
	if len(c.order) == cursorsMax {
		delete(c.places, c.order[0])
		c.order = c.order[1:]
	}
	c.places[z] = at
	c.order = append(c.order, z)
}

func (c *cursors) drop() {
	c.Lock()
	defer c.Unlock()
	c.places, c.order = nil, nil
}
