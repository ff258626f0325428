package store

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/golang/snappy"

	"zooid/wire"
	"zooid/znode"
)

// snapshotVisitor takes what a snapshot holds in the order of the file: all
// sessions, then all znodes, every parent before its children.
type snapshotVisitor interface {
	session(id wire.SessionID, timeoutMs int32) error
	// node gets a path ("" is the root) and a record that alias a buffer:
	// valid during the call. knownACL is false if the file's ACL table lacks
	// the znode's entry.
	node(path string, r *znode.Record, knownACL bool) error
}

// snapshotTrailer is what stands behind the znodes. A file of an older
// ZooKeeper, or of one with the digest off, lacks it.
type snapshotTrailer struct {
	hasDigest     bool
	digestZxid    wire.Zxid
	digestVersion int32
	digest        uint64 // of the tree after digestZxid
	hasLastZxid   bool
	lastZxid      wire.Zxid
}

// openACLKey is the ACL key of znodes with the open ACL, which needs no entry
// in the table.
const openACLKey int64 = -1

// maxSnapshotField bounds one length in a snapshot file; jute.maxbuffer, which
// bounds a znode's data, is far below in any sane configuration.
const maxSnapshotField = 256 << 20

// readSnapshotFile reads f from dir to its end. What the visitor got is worth
// something only if the error is nil.
func readSnapshotFile(fs vfs.FS, dir string, f snapshotFile, v snapshotVisitor) (snapshotTrailer, error) {
	r, err := fs.Open(fs.PathJoin(dir, f.name), vfs.SequentialReadsOption)
	if err != nil {
		return snapshotTrailer{}, err
	}
	defer r.Close()
	var plain io.Reader = r
	switch f.compression {
	case "gz":
		z, err := gzip.NewReader(bufio.NewReaderSize(r, 1<<16))
		if err != nil {
			return snapshotTrailer{}, err
		}
		plain = z
	case "snappy":
		if plain, err = newSnappyReader(bufio.NewReaderSize(r, 1<<16)); err != nil {
			return snapshotTrailer{}, err
		}
	}
	return readSnapshot(plain, v)
}

// readSnapshot reads an uncompressed snapshot and checks its seals.
func readSnapshot(r io.Reader, v snapshotVisitor) (snapshotTrailer, error) {
	s := newSealedReader(r)
	t, err := s.snapshot(v)
	if err != nil {
		return t, fmt.Errorf("at byte %d: %w", s.offset(), err)
	}
	return t, nil
}

// sealedReader decodes a snapshot from a sliding window over the file, and
// keeps the checksum of what was consumed.
type sealedReader struct {
	r        io.Reader
	buf      []byte
	pos, end int   // what is read and not consumed is buf[pos:end]
	hashed   int   // buf[:hashed] is in sum
	base     int64 // file offset of buf[0]
	sum      sum32
	exact    bool // never reads further than asked for: others want the rest of r
	acls     map[int64][]wire.ACL
}

var errCutShort = errors.New("the file is cut short")

func newSealedReader(r io.Reader) *sealedReader {
	return &sealedReader{r: r, buf: make([]byte, 1<<18), sum: adler32.New()}
}

func (s *sealedReader) offset() int64 { return s.base + int64(s.pos) }

// peek makes the next n bytes available without consuming them. The window
// grows only as fast as the file really has bytes, so a wrong length costs no
// more memory than the file is long.
func (s *sealedReader) peek(n int) ([]byte, error) {
	for s.end-s.pos < n {
		s.hash()
		if s.pos > 0 && (s.end == len(s.buf) || s.pos == s.end) {
			copy(s.buf, s.buf[s.pos:s.end])
			s.base += int64(s.pos)
			s.end -= s.pos
			s.pos, s.hashed = 0, 0
		}
		if s.end == len(s.buf) {
			s.buf = append(s.buf, make([]byte, len(s.buf))...)
		}
		room := s.buf[s.end:]
		if s.exact {
			room = room[:min(len(room), s.pos+n-s.end)]
		}
		m, err := s.r.Read(room)
		s.end += m
		if m == 0 && err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil, errCutShort
			}
			return nil, err
		}
	}
	return s.buf[s.pos : s.pos+n], nil
}

// hash brings the checksum up to what is consumed.
func (s *sealedReader) hash() {
	_, _ = s.sum.Write(s.buf[s.hashed:s.pos]) // never fails
	s.hashed = s.pos
}

// next consumes n bytes; they stay valid until the next peek.
func (s *sealedReader) next(n int) ([]byte, error) {
	b, err := s.peek(n)
	if err == nil {
		s.pos += n
	}
	return b, err
}

func (s *sealedReader) int32() (int32, error) {
	b, err := s.next(4)
	if err != nil {
		return 0, err
	}
	return int32(binary.BigEndian.Uint32(b)), nil
}

func (s *sealedReader) int64() (int64, error) {
	b, err := s.next(8)
	if err != nil {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

func (s *sealedReader) count(what string) (int, error) {
	n, err := s.int32()
	if err != nil {
		return 0, err
	}
	if n < 0 {
		return 0, fmt.Errorf("%d %s", n, what)
	}
	return int(n), nil
}

// string reads a ustring into memory of its own.
func (s *sealedReader) string() (string, error) {
	size, err := s.sizeAt(0)
	if err != nil {
		return "", err
	}
	b, err := s.next(4 + max(size, 0))
	if err != nil {
		return "", err
	}
	d := wire.NewDecoder(bytes.Clone(b))
	return d.String(), d.Err()
}

// sizeAt peeks at a length that stands off bytes ahead; -1 is null.
func (s *sealedReader) sizeAt(off int) (int, error) {
	b, err := s.peek(off + 4)
	if err != nil {
		return 0, err
	}
	n := int32(binary.BigEndian.Uint32(b[off:]))
	if n < -1 || n > maxSnapshotField {
		return 0, fmt.Errorf("unreasonable length %d", n)
	}
	return int(n), nil
}

func (s *sealedReader) snapshot(v snapshotVisitor) (t snapshotTrailer, err error) {
	head, err := s.next(wire.FileHeaderSize)
	if err != nil {
		return t, err
	}
	var h wire.FileHeader
	if err := wire.Unmarshal(head, &h); err != nil {
		return t, err
	}
	if h.Magic != wire.SnapshotMagic || h.Version != wire.FileVersion {
		return t, fmt.Errorf("not a snapshot: magic %#x version %d instead of %#x version %d",
			uint32(h.Magic), h.Version, uint32(wire.SnapshotMagic), wire.FileVersion)
	}
	if err := s.body(v); err != nil {
		return t, err
	}
	if err := s.seal(); err != nil {
		return t, err
	}
	if err := s.trailer(&t); err != nil {
		return t, fmt.Errorf("trailer: %w", err)
	}
	return t, nil
}

// body reads the state itself, as it stands in a file and follows a SNAP.
func (s *sealedReader) body(v snapshotVisitor) error {
	if err := s.sessions(v); err != nil {
		return fmt.Errorf("sessions: %w", err)
	}
	if err := s.aclTable(); err != nil {
		return fmt.Errorf("acl table: %w", err)
	}
	return s.nodes(v)
}

func (s *sealedReader) sessions(v snapshotVisitor) error {
	n, err := s.count("sessions")
	for i := 0; i < n && err == nil; i++ {
		var b []byte
		if b, err = s.next(12); err == nil {
			err = v.session(wire.SessionID(binary.BigEndian.Uint64(b)), int32(binary.BigEndian.Uint32(b[8:])))
		}
	}
	return err
}

func (s *sealedReader) aclTable() error {
	n, err := s.count("entries")
	if err != nil {
		return err
	}
	s.acls = make(map[int64][]wire.ACL)
	for range n {
		key, err := s.int64()
		if err != nil {
			return err
		}
		if s.acls[key], err = s.acl(); err != nil {
			return err
		}
	}
	return nil
}

func (s *sealedReader) acl() ([]wire.ACL, error) {
	n, err := s.int32()
	if err != nil {
		return nil, err
	}
	acl := []wire.ACL{} // an empty or null vector permits all, as the open ACL does, but is not it
	for range max(n, 0) {
		var a wire.ACL
		if a.Perms, err = s.int32(); err != nil {
			return nil, err
		}
		if a.ID.Scheme, err = s.string(); err != nil {
			return nil, err
		}
		if a.ID.ID, err = s.string(); err != nil {
			return nil, err
		}
		acl = append(acl, a)
	}
	return acl, nil
}

// nodes reads up to the end marker, the path "/".
func (s *sealedReader) nodes(v snapshotVisitor) error {
	var r znode.Record
	for {
		pathLen, err := s.sizeAt(0)
		if err != nil {
			return err
		}
		if pathLen == 1 {
			return s.endMarker("znodes")
		}
		pathEnd := 4 + max(pathLen, 0)
		dataLen, err := s.sizeAt(pathEnd)
		if err != nil {
			return err
		}
		b, err := s.next(pathEnd + 4 + max(dataLen, 0) + 8 + wire.StatPersistedSize)
		if err != nil {
			return err
		}
		d := wire.NewDecoder(b)
		path := d.String()
		r.Data = d.Buffer()
		key := d.Int64()
		r.Stat.Decode(&d)
		if d.Err() != nil {
			return d.Err()
		}
		known := true
		if r.ACL = nil; key != openACLKey {
			r.ACL, known = s.acls[key]
		}
		if err := v.node(path, &r, known); err != nil {
			return fmt.Errorf("znode %q: %w", path, err)
		}
	}
}

func (s *sealedReader) endMarker(of string) error {
	b, err := s.next(5)
	if err != nil {
		return err
	}
	if string(b) != "\x00\x00\x00\x01/" {
		return fmt.Errorf("end of %s is % x instead of \"/\"", of, b)
	}
	return nil
}

// seal compares the checksum of everything before it.
func (s *sealedReader) seal() error {
	s.hash()
	have := s.sum.Sum32()
	want, err := s.int64()
	if err != nil {
		return err
	}
	if want != int64(have) {
		return fmt.Errorf("checksum is %#x, the file says %#x", have, want)
	}
	return s.endMarker("checksum")
}

const (
	sealSize   = 13
	digestPart = 20 + sealSize
	lastPart   = 8 + sealSize
)

// trailer reads what is left. Which parts a file has depends on what the
// writer had switched on, and only the number of bytes tells.
func (s *sealedReader) trailer(t *snapshotTrailer) error {
	rest, err := s.rest()
	if err != nil {
		return err
	}
	if rest > lastPart {
		if err := s.digest(t); err != nil {
			return err
		}
		if rest, err = s.rest(); err != nil {
			return err
		}
	}
	if rest == 0 {
		return nil
	}
	z, err := s.int64()
	if err != nil {
		return err
	}
	t.hasLastZxid, t.lastZxid = true, wire.Zxid(z)
	if err := s.seal(); err != nil {
		return err
	}
	if rest, err = s.rest(); rest > 0 {
		return errors.New("bytes behind the end")
	}
	return err
}

// rest is the number of bytes that are left, as far as that matters: more than
// both parts of the trailer take are reported as that and one. Reading on to
// the end also makes a gzip stream check its own sum.
func (s *sealedReader) rest() (int, error) {
	_, err := s.peek(digestPart + lastPart + 1)
	if err != nil && !errors.Is(err, errCutShort) {
		return 0, err
	}
	return min(s.end-s.pos, digestPart+lastPart+1), nil
}

func (s *sealedReader) digest(t *snapshotTrailer) error {
	z, err := s.int64()
	if err != nil {
		return err
	}
	t.hasDigest, t.digestZxid = true, wire.Zxid(z)
	if t.digestVersion, err = s.int32(); err != nil {
		return err
	}
	if t.digestVersion >= wire.DigestVersion {
		d, err := s.int64()
		if err != nil {
			return err
		}
		t.digest = uint64(d)
	} else if _, err := s.string(); err != nil { // an older algorithm's, in hex
		return err
	}
	return s.seal()
}

// snappyMagic begins the stream that Java's SnappyOutputStream writes.
const snappyMagic = "\x82SNAPPY\x00"

// maxSnappyBlock bounds a block; Java writes blocks of 32 KiB.
const maxSnappyBlock = 16 << 20

// snappyReader unpacks blocks of an int length and a raw snappy block each.
type snappyReader struct {
	r     io.Reader
	in    []byte
	out   []byte // unpacked, not yet read
	space []byte
}

func newSnappyReader(r io.Reader) (*snappyReader, error) {
	head := make([]byte, len(snappyMagic)+8) // version and oldest compatible version follow
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, errCutShort
	}
	if string(head[:len(snappyMagic)]) != snappyMagic {
		return nil, errors.New("not a snappy stream")
	}
	if compatible := binary.BigEndian.Uint32(head[len(head)-4:]); compatible != 1 {
		return nil, fmt.Errorf("snappy stream of version %d, 1 is known", compatible)
	}
	return &snappyReader{r: r}, nil
}

// Read gives unpacked bytes.
func (s *snappyReader) Read(p []byte) (int, error) {
	for len(s.out) == 0 {
		if err := s.block(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.out)
	s.out = s.out[n:]
	return n, nil
}

func (s *snappyReader) block() error {
	var size [4]byte
	if _, err := io.ReadFull(s.r, size[:]); err != nil {
		return err // io.EOF between blocks is the end
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxSnappyBlock {
		return fmt.Errorf("snappy block of %d bytes", n)
	}
	if int(n) > cap(s.in) {
		s.in = make([]byte, n)
	}
	s.in = s.in[:n]
	if _, err := io.ReadFull(s.r, s.in); err != nil {
		return io.ErrUnexpectedEOF
	}
	if plain, err := snappy.DecodedLen(s.in); err != nil || plain > maxSnappyBlock {
		return fmt.Errorf("snappy block unpacks to %d bytes: %w", plain, snappy.ErrCorrupt)
	}
	out, err := snappy.Decode(s.space[:cap(s.space)], s.in)
	if err != nil {
		return err
	}
	s.space, s.out = out, out
	return nil
}
