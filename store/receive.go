package store

import (
	"errors"
	"fmt"
	"hash/adler32"
	"io"
	"strconv"

	"go.uber.org/zap"

	"zooid/wire"
	"zooid/znode"
)

// receivedPrefix begins the names of snapshots that come from a leader until
// they are installed. ZooKeeper would take snapshot.‹zxid›.tmp for a snapshot.
const receivedPrefix = "new-snapshot."

// signature ends the stream behind a SNAP.
const signature = "BenWasHere"

// Received is a snapshot from a leader: complete, durable beside the others,
// and built into a tree, but not in use.
type Received struct {
	// Zxid is the label with which it came: the state is at least that new.
	Zxid wire.Zxid

	s     *Store
	epoch int64
	file  string // in version-2; "" once it is installed or discarded
	tree  *znode.Tree
	reach wire.Zxid // see base
}

// Receive reads a snapshot from a leader's stream, up to its signature and not a
// byte further, in small pieces; r should be buffered. Nothing that the store
// holds is changed. epoch is the leader's. It belongs off the loop.
//
// The stream is the body of a snapshot file, so it is kept as it comes, between
// a file's header and a seal. What follows in a file of ZooKeeper's is left out:
// the stream may be fuzzy, and nobody knows the digest of a state in between.
func (s *Store) Receive(r io.Reader, label wire.Zxid, epoch int64) (*Received, error) {
	if label < 0 || int64(label.Epoch()) > epoch {
		return nil, fmt.Errorf("receive snapshot: a state at %v from a leader of epoch %d", label, epoch)
	}
	in := &Received{Zxid: label, s: s, epoch: epoch, tree: freshTree()}
	in.file = receivedPrefix + strconv.FormatUint(uint64(label), 16) + "-" + strconv.FormatInt(s.received.Add(1), 10)
	path := s.fs.PathJoin(s.snapDir, in.file)
	to := importer{tree: in.tree}
	err := writeAside(s.fs, path, false, func(w io.Writer) error { return s.receive(r, w, &to) })
	if err == nil {
		if err = syncDir(s.fs, s.snapDir); err != nil {
			err = errors.Join(err, removeIfThere(s.fs, path))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("receive snapshot of %v: %w", label, err)
	}
	in.tree.Loaded(label)
	in.reach = max(label, to.newest)
	in.tree.CompareDigestsAfter(in.reach)
	if n := len(to.unknownACL); n > 0 {
		s.log.Info("the leader's snapshot does not tell the ACLs of some znodes; until a transaction does they permit nothing", zap.Int("znodes", n))
	}
	return in, nil
}

// receive reads the stream from r into to, and writes it as a file.
func (s *Store) receive(r io.Reader, w io.Writer, to *importer) error {
	file := &sealedWriter{w: unhurried(w), sum: adler32.New(), stop: s.stop}
	h := wire.FileHeader{Magic: wire.SnapshotMagic, Version: wire.FileVersion, DBID: -1}
	if _, err := file.Write(h.Append(nil)); err != nil {
		return err
	}
	stream := newSealedReader(r)
	stream.exact, stream.sum = true, file
	if err := stream.body(receiver{to, file}); err != nil {
		return fmt.Errorf("at byte %d: %w", stream.offset(), err)
	}
	stream.hash()
	seal := wire.AppendString(wire.AppendInt64(nil, int64(file.Sum32())), "/")
	if _, err := file.Write(seal); err != nil {
		return err
	}
	if err := file.flush(); err != nil {
		return err
	}
	stream.sum = adler32.New() // what follows is not the file's
	switch end, err := stream.string(); {
	case err != nil:
		return fmt.Errorf("signature: %w", err)
	case end != signature:
		return fmt.Errorf("the stream ends with %q instead of %q", end, signature)
	}
	return nil
}

// receiver imports what is read, as long as it can also be written.
type receiver struct {
	*importer
	file *sealedWriter
}

func (r receiver) node(path string, record *znode.Record, knownACL bool) error {
	if r.file.err != nil {
		return r.file.err
	}
	return r.importer.node(path, record, knownACL)
}

// sealedWriter writes a file and keeps its checksum. As a checksum's, its Write
// never fails: the error stays, and everything else says it.
type sealedWriter struct {
	w    io.Writer
	buf  []byte
	sum  sum32
	stop <-chan struct{} // closed when it is not wanted any more
	err  error
}

// Write takes more bytes.
func (f *sealedWriter) Write(p []byte) (int, error) {
	if f.err == nil {
		_, _ = f.sum.Write(p) // never fails
		if f.buf = append(f.buf, p...); len(f.buf) >= snapshotChunk {
			f.err = f.flush()
		}
	}
	return len(p), f.err
}

// Sum32 is the checksum of all that was written.
func (f *sealedWriter) Sum32() uint32 { return f.sum.Sum32() }

func (f *sealedWriter) flush() error {
	if f.err == nil && isClosed(f.stop) {
		f.err = errClosed
	}
	if f.err == nil {
		_, f.err = f.w.Write(f.buf)
	}
	if f.buf = f.buf[:0]; cap(f.buf) > 4*snapshotChunk {
		f.buf = nil // one giant need not stay in memory
	}
	return f.err
}

// Discard removes a snapshot that is not wanted any more. After Install it does
// nothing.
func (r *Received) Discard() {
	s := r.s
	s.files.Lock()
	defer s.files.Unlock()
	if r.file == "" {
		return
	}
	// What stays is removed by the next Open.
	_ = s.fs.Remove(s.fs.PathJoin(s.snapDir, r.file))
	r.file, r.tree = "", nil
}
