package txnlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/cockroachdb/pebble/v2/vfs"

	"zooid/wire"
)

// groupMark says which bytes of a log file a crash of the machine can have torn.
// It stands in the padding that follows the last record, and goes to the disk in
// the same write as the records before it, so it costs no sync:
//
//	…record │ record record │ zeros │ mark │ zeros…
//	        start           end
//
// A group is what one write brings and one sync makes durable. The next group
// is written only after that, over the mark. So all that stands before start is
// durable, and damage there is damage; only what stands between start and end
// can be the trace of an interrupted write. A mark whose start is its end says
// that nothing can: the file was closed, or synced at a start.
//
// Whoever reads the log as ZooKeeper does stops at the zeros between the last
// record and the mark: they are a record of length 0. Files without a mark, of
// ZooKeeper or of an older Zooid, are judged by their records alone.
type groupMark struct{ start, end int64 }

const (
	markMagic = "ZooidGrp"
	// markSize is the length of a mark: magic, start, end, and their CRC-32C.
	markSize = len(markMagic) + 8 + 8 + 4
	// markGap is the least number of zeros before a mark: checksum and length of
	// no record.
	markGap = 12
	// sectorSize is what a disk writes whole or not at all. A mark lies within one
	// sector, so that it is never torn itself.
	sectorSize = 512
)

var markTable = crc32.MakeTable(crc32.Castagnoli)

// markOffset is where the mark stands behind records that end at end.
func markOffset(end int64) int64 {
	at := end + markGap
	if rest := at % sectorSize; rest+int64(markSize) > sectorSize {
		at += sectorSize - rest
	}
	return at
}

// append adds what follows the records of a group: zeros, and the mark.
func (m groupMark) append(b []byte) []byte {
	b = append(b, zeros[:markOffset(m.end)-m.end]...)
	from := len(b)
	b = append(b, markMagic...)
	b = binary.BigEndian.AppendUint64(b, uint64(m.start))
	b = binary.BigEndian.AppendUint64(b, uint64(m.end))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[from:], markTable))
}

// parseMark reads the mark at the beginning of b, which stands at offset at. It
// is false unless the mark belongs exactly there: a client's data may hold
// something that looks like one.
func parseMark(b []byte, at int64) (m groupMark, ok bool) {
	if len(b) < markSize || string(b[:len(markMagic)]) != markMagic ||
		crc32.Checksum(b[:markSize-4], markTable) != binary.BigEndian.Uint32(b[markSize-4:]) {
		return m, false
	}
	m.start = int64(binary.BigEndian.Uint64(b[len(markMagic):]))
	m.end = int64(binary.BigEndian.Uint64(b[len(markMagic)+8:]))
	return m, m.start >= wire.FileHeaderSize && m.start <= m.end && m.end < at && markOffset(m.end) == at
}

// markAfter is the mark after the records that end at end.
func (w *window) markAfter(end int64) (m groupMark, ok bool, err error) {
	at := markOffset(end)
	b, err := w.at(at, markSize)
	if err != nil || b == nil {
		return m, false, err
	}
	m, ok = parseMark(b, at)
	return m, ok, nil
}

// lastMark is the last mark that begins between from and to.
func (w *window) lastMark(from, to int64) (last groupMark, ok bool, err error) {
	for from < to {
		// The parts overlap by less than a mark, which may lie across their border.
		n := int(min(windowBytes, w.size-from))
		if n < markSize {
			break
		}
		b, err := w.at(from, n)
		if err != nil {
			return last, false, err
		}
		for i := 0; ; i++ {
			next := bytes.Index(b[i:], []byte(markMagic))
			if next < 0 {
				break
			}
			i += next
			if m, found := parseMark(b[i:], from+int64(i)); found && from+int64(i) < to {
				last, ok = m, true
			}
		}
		from += int64(n - markSize + 1)
	}
	return last, ok, nil
}

// endFile makes a log file end at end, durably: the n bytes from there on become
// zeros, and the mark says that nothing of it can be torn any more. A disk
// without room for the mark leaves the file without one.
func endFile(fsys vfs.FS, path string, end, n int64) error {
	f, err := fsys.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	for off := end; n > 0 && err == nil; {
		step := min(n, int64(len(zeros)))
		_, err = f.WriteAt(zeros[:step], off)
		off, n = off+step, n-step
	}
	if err == nil {
		err = writeMark(f, groupMark{end, end})
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// closeMark lets the mark behind records that end at end say that none of them
// can be torn any more. A file without one is left as it is.
func closeMark(f vfs.File, end int64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	w := window{f: f, size: info.Size()}
	m, ok, err := w.markAfter(end)
	if err != nil || !ok || m.start == end {
		return err
	}
	return writeMark(f, groupMark{end, end})
}

// writeMark writes a mark into the padding of a file.
func writeMark(f vfs.File, m groupMark) error {
	if _, err := f.WriteAt(m.append(nil), m.end); !IsFull(err) {
		return err
	}
	return nil
}
