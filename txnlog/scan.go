package txnlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"

	"zooid/wire"
)

const (
	windowBytes = 256 << 10
	noEndMark   = "the end mark of a record is missing"
)

// Record is one record of a log file.
type Record struct {
	Offset  int64 // of its checksum, in bytes
	Zxid    wire.Zxid
	Payload []byte // valid until the next record is read
}

// End is the offset behind the record.
func (r *Record) End() int64 { return r.Offset + int64(len(r.Payload)) + recordOverhead }

// Tail is what stands behind the last good record of a file.
type Tail struct {
	Offset int64  // where it begins
	End    int64  // behind its last byte that is not zero; Offset if all are zeros
	Reason string // why there is no record at Offset; "" for a clean end
	// Later counts the good records that stand in the tail, First and Last are
	// their zxids.
	Later       int
	First, Last wire.Zxid
	// Torn tells whether the tail may be the trace of an interrupted write.
	Torn bool
	// Synced tells that the file's mark knows of what was at Offset: it was durable.
	Synced bool
}

// Scan reads one log file from its beginning and calls fn for each record up to
// the first that is not good. It repairs nothing and knows nothing of other
// files. The error is fn's, or one of reading, or a *DamageError for a header or
// an order of records that cannot stand.
func Scan(fsys vfs.FS, path string, fn func(Record) error) (Tail, error) {
	s, err := openScanner(fsys, path)
	if err != nil {
		return Tail{}, err
	}
	defer s.close()
	for {
		rec, ok, err := s.next()
		if err != nil {
			return Tail{}, err
		}
		if !ok {
			return s.tail()
		}
		if err := fn(rec); err != nil {
			return Tail{}, err
		}
	}
}

// scanner reads the records of one file.
type scanner struct {
	window
	path string
	off  int64     // where the next record begins
	prev wire.Zxid // of the record before it, 0 at the beginning
	why  string    // why next found no record
}

// openScanner opens a file and checks its header. A file without a header, as an
// interrupted creation leaves it, gives errNoHeader.
func openScanner(fsys vfs.FS, path string) (*scanner, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open log file: %w", err)
	}
	s := &scanner{window: window{f: f}, path: path, off: wire.FileHeaderSize}
	if err := s.header(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

func (s *scanner) close() { s.f.Close() }

// errNoHeader says that a file is shorter than a header, or all zeros.
var errNoHeader = errors.New("log file has no header")

func (s *scanner) header() error {
	info, err := s.f.Stat()
	if err != nil {
		return s.readError(err)
	}
	s.size = info.Size()
	b, err := s.at(0, wire.FileHeaderSize)
	if err != nil {
		return s.readError(err)
	}
	if b == nil {
		return fmt.Errorf("%s: %w", s.path, errNoHeader)
	}
	var h wire.FileHeader
	d := wire.NewDecoder(b)
	h.Decode(&d)
	switch {
	case h.Magic == wire.LogMagic && h.Version == wire.FileVersion:
		return nil
	case h == wire.FileHeader{}:
		end, err := s.lastNonzero(0)
		if err != nil {
			return s.readError(err)
		}
		if end == 0 {
			return fmt.Errorf("%s: %w", s.path, errNoHeader)
		}
		return s.damage(0, "its header is all zeros, but data follow", adviceRestore+".")
	case h.Magic == wire.LogMagic:
		return s.damage(4, fmt.Sprintf("its format version is %d, not %d", h.Version, wire.FileVersion), adviceRestore+".")
	}
	return s.damage(0, fmt.Sprintf("it begins with %#08x, not with the mark of a log file, %#08x", uint32(h.Magic), uint32(wire.LogMagic)), adviceRestore+".")
}

func (s *scanner) damage(off int64, reason, advice string) error {
	return &DamageError{File: s.path, Offset: off, Reason: reason, Advice: advice}
}

func (s *scanner) readError(err error) error {
	return fmt.Errorf("read log file %s: %w", s.path, err)
}

// next reads a record. It is false at the first place where none stands, and
// s.why tells why. A record that is whole but out of order is an error.
func (s *scanner) next() (rec Record, ok bool, err error) {
	for {
		payload, why, err := s.record(s.off)
		if err != nil {
			return rec, false, s.readError(err)
		}
		if why != "" {
			s.why = why
			return rec, false, nil
		}
		rec = Record{Offset: s.off, Payload: payload}
		if len(payload) < wire.TxnHeaderSize {
			return rec, false, s.damage(s.off, fmt.Sprintf("a record of %d bytes is too short for a transaction", len(payload)), adviceCut(s.path, s.off))
		}
		rec.Zxid = payloadZxid(payload)
		repeated := repeats(rec, s.prev)
		if rec.Zxid <= s.prev && !repeated {
			return rec, false, s.damage(s.off, fmt.Sprintf("transaction %v follows %v", rec.Zxid, s.prev), adviceCut(s.path, s.off))
		}
		s.prev, s.off = rec.Zxid, rec.End()
		if !repeated {
			return rec, true, nil
		}
	}
}

// repeats tells whether rec is what ZooKeeper's standalone server logs for a
// write that it could not decode: an error transaction with the zxid of the one
// before it once more. It changes nothing and is passed over.
func repeats(rec Record, prev wire.Zxid) bool {
	return rec.Zxid == prev && payloadOp(rec.Payload) == wire.OpError
}

// payloadOp reads the operation of a payload that has at least a header's length.
func payloadOp(p []byte) wire.OpCode { return wire.OpCode(binary.BigEndian.Uint32(p[28:])) }

// payloadZxid reads the zxid of a payload that has at least a header's length.
func payloadZxid(p []byte) wire.Zxid { return wire.Zxid(binary.BigEndian.Uint64(p[12:])) }

// tail judges what stands where next found no record.
func (s *scanner) tail() (Tail, error) {
	t := Tail{Offset: s.off, End: s.off}
	end, err := s.lastNonzero(s.off)
	if err != nil || end == s.off {
		return t, s.orNil(err)
	}
	_, own, err := s.markAfter(s.off)
	if err != nil || own && end <= markOffset(s.off)+int64(markSize) {
		return t, s.orNil(err)
	}
	t.Reason, t.End = s.why, end
	mark, marked, err := s.lastMark(s.off, end)
	if err != nil {
		return t, s.orNil(err)
	}
	var firstOff, lastOff int64
	// Only records that continue the order count: a client's data may hold old ones.
	err = s.search(s.off+1, end, s.prev, func(off int64, z wire.Zxid) {
		if t.Later == 0 {
			firstOff, t.First = off, z
		}
		lastOff, t.Last = off, z
		t.Later++
	})
	if err != nil {
		return t, s.orNil(err)
	}
	switch {
	case marked && s.off < mark.start:
		t.Synced = true
	case own || t.Later == 0: // own: nothing of what was to follow is durable
		t.Torn = true
	case lastOff < s.off+groupBytes:
		t.Torn, err = s.hole(s.off, firstOff)
	}
	return t, s.orNil(err)
}

func (s *scanner) orNil(err error) error {
	if err == nil {
		return nil
	}
	return s.readError(err)
}

// hole tells whether one of the disk's sectors between from and to holds only
// zeros, from its beginning or from where the records end on. That is how a
// sector looks that a write was to fill and did not reach: the records of one
// write reach the disk in no particular order, so that good ones may stand
// behind such a hole, none of which was durable yet; or the sector still has the
// mark that the write was to cover. A record that was damaged after it was
// durable may hold such a sector as well, if its data do; where the file has a
// mark, nobody asks for those.
func (s *scanner) hole(from, to int64) (bool, error) {
	for at := from - from%sectorSize; at+sectorSize <= to+4; at += sectorSize { // a record begins with 4 zeros
		start := max(at, from)
		b, err := s.at(start, int(at+sectorSize-start))
		if err != nil {
			return false, err
		}
		if _, ok := parseMark(b, start); ok {
			b = b[markSize:]
		}
		if isZero(b) {
			return true, nil
		}
	}
	return false, nil
}

// window reads a file through a buffer that grows only for records that are
// longer than it.
type window struct {
	f    vfs.File
	size int64
	buf  []byte // the file's bytes from base on
	base int64
}

// at gives the n bytes at off, or nil if the file ends before. They are valid
// until the next call.
func (w *window) at(off int64, n int) ([]byte, error) {
	if off+int64(n) > w.size {
		return nil, nil
	}
	if off < w.base || off+int64(n) > w.base+int64(len(w.buf)) {
		want := int(min(int64(max(n, windowBytes)), w.size-off))
		if cap(w.buf) < want {
			w.buf = make([]byte, want)
		}
		w.buf = w.buf[:want]
		w.base = off
		got, err := w.f.ReadAt(w.buf, off)
		if got < want {
			w.buf = w.buf[:0]
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF // it was longer a moment ago
			}
			return nil, err
		}
	}
	return w.buf[off-w.base:][:n:n], nil
}

// record gives the payload of the record at off, or why there is none. A length
// is believed, and memory taken for it, only if an end byte stands behind it.
func (w *window) record(off int64) (payload []byte, why string, err error) {
	head, err := w.at(off, 12)
	if err != nil || head == nil {
		return nil, "the file ends inside a record", err
	}
	sum, n := binary.BigEndian.Uint64(head), int32(binary.BigEndian.Uint32(head[8:]))
	switch {
	case n == 0:
		return nil, "a record of length 0", nil
	case n < 0:
		return nil, fmt.Sprintf("a record of length %d", n), nil
	case off+int64(n)+recordOverhead > w.size:
		return nil, fmt.Sprintf("the file ends inside a record of length %d", n), nil
	}
	if n > windowBytes {
		var end [1]byte
		if _, err := w.f.ReadAt(end[:], off+12+int64(n)); err != nil {
			return nil, "", err
		}
		if end[0] != wire.LogRecordEnd {
			return nil, noEndMark, nil
		}
	}
	body, err := w.at(off+12, int(n)+1)
	if err != nil {
		return nil, "", err
	}
	payload = body[:n:n]
	if body[n] != wire.LogRecordEnd {
		return nil, noEndMark, nil
	}
	if uint64(adler32.Checksum(payload)) != sum {
		return nil, "the checksum of a record is wrong", nil
	}
	return payload, "", nil
}

// lastNonzero is the offset behind the last byte from off on that is not zero,
// off if there is none.
func (w *window) lastNonzero(off int64) (int64, error) {
	last := off
	for off < w.size {
		n := int(min(windowBytes, w.size-off))
		b, err := w.at(off, n)
		if err != nil {
			return 0, err
		}
		if !isZero(b) {
			last = off + int64(len(bytes.TrimRight(b, "\x00")))
		}
		off += int64(n)
	}
	return last, nil
}

// search calls found for every good record between from and to whose zxid is
// greater than that of the one found before, or than after at first. Records
// may stand at any byte.
func (w *window) search(from, to int64, after wire.Zxid, found func(off int64, z wire.Zxid)) error {
	// Candidates are read through a window of their own, so that this one goes on
	// in one direction.
	look := window{f: w.f, size: w.size}
	for off := from; off < to; {
		b, err := w.at(off, leastRecord)
		if err != nil || b == nil {
			return err
		}
		b = w.buf[off-w.base:]
		i := 0
		for i+leastRecord <= len(b) && !maybeRecord(b[i:], after) {
			i++
		}
		off += int64(i)
		if i+leastRecord > len(b) {
			continue
		}
		payload, why, err := look.record(off)
		if err != nil {
			return err
		}
		if why != "" {
			off++
			continue
		}
		after = payloadZxid(payload)
		found(off, after)
		off += int64(len(payload)) + recordOverhead
	}
	return nil
}

// leastRecord is the length of the shortest record without its end mark.
const leastRecord = 12 + wire.TxnHeaderSize

// maybeRecord tells whether b may be the beginning of a record with a zxid
// greater than after. b has at least leastRecord bytes.
func maybeRecord(b []byte, after wire.Zxid) bool {
	return binary.BigEndian.Uint32(b) == 0 && binary.BigEndian.Uint32(b[4:]) != 0 &&
		int32(binary.BigEndian.Uint32(b[8:])) >= wire.TxnHeaderSize && payloadZxid(b[12:]) > after
}

// isZero tells whether all of b are zeros.
func isZero(b []byte) bool {
	for len(b) > len(zeros) {
		if !bytes.Equal(b[:len(zeros)], zeros[:]) {
			return false
		}
		b = b[len(zeros):]
	}
	return bytes.Equal(b, zeros[:len(b)])
}
