package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"io"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"zooid/wire"
	"zooid/znode"
)

// writeSnapshotFile writes the state that src holds as a ZooKeeper snapshot
// into dir: exact, plain, with both trailers, and durable, but still beside its
// name. src must not change meanwhile.
func writeSnapshotFile(fs vfs.FS, dir, name string, src pebble.Reader, m marker, pace *pacer) error {
	return writeAside(fs, fs.PathJoin(dir, name+tmpSuffix), false, func(w io.Writer) error {
		sw := &snapshotWriter{src: src, w: unhurried(w), sum: adler32.New(), pace: pace}
		return sw.write(m)
	})
}

// unhurried lets what is written to a file go to the disk bit by bit: hundreds
// of megabytes at once would make the log's syncs wait. Durability comes from
// the sync at the end.
func unhurried(w io.Writer) io.Writer {
	f, ok := w.(vfs.File)
	if !ok {
		return w
	}
	return vfs.NewSyncingFile(f, vfs.SyncingFileOptions{NoSyncOnClose: true, BytesPerSync: 1 << 20})
}

// snapshotWriter encodes a snapshot file. The ACL table stands before the
// znodes that refer to it, so it goes over the znodes twice.
type snapshotWriter struct {
	src  pebble.Reader
	w    io.Writer
	buf  []byte // encoded, not yet written
	sum  sum32  // nil: nobody wants seals
	pace *pacer
	acls map[string]int64 // by their encoding
}

type sum32 interface {
	io.Writer
	Sum32() uint32
}

// snapshotChunk is how much is written at once.
const snapshotChunk = 256 << 10

func (s *snapshotWriter) write(m marker) error {
	h := wire.FileHeader{Magic: wire.SnapshotMagic, Version: wire.FileVersion, DBID: -1}
	s.buf = h.Append(make([]byte, 0, snapshotChunk+4096))
	if err := s.body(); err != nil {
		return err
	}
	if err := s.seal(); err != nil {
		return err
	}
	// Before the first txn there is no digest yet, and ZooKeeper writes zeros.
	digest := m.digest
	if m.zxid == 0 {
		digest = 0
	}
	s.buf = wire.AppendInt64(s.buf, int64(m.zxid))
	s.buf = wire.AppendInt32(s.buf, wire.DigestVersion)
	s.buf = wire.AppendInt64(s.buf, int64(digest))
	if err := s.seal(); err != nil {
		return err
	}
	s.buf = wire.AppendInt64(s.buf, int64(m.zxid))
	return s.seal()
}

// body writes the state itself, as it stands in a file and follows a SNAP.
func (s *snapshotWriter) body() error {
	for _, part := range []func() error{s.sessions, s.aclTable, s.nodes} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// flush writes what is encoded.
func (s *snapshotWriter) flush() error {
	if s.sum != nil {
		_, _ = s.sum.Write(s.buf) // never fails
	}
	_, err := s.w.Write(s.buf)
	s.buf = s.buf[:0]
	return err
}

// seal writes the checksum of everything so far, and "/".
func (s *snapshotWriter) seal() error {
	if err := s.flush(); err != nil {
		return err
	}
	s.buf = wire.AppendInt64(s.buf, int64(s.sum.Sum32()))
	s.buf = wire.AppendString(s.buf, "/")
	return s.flush()
}

// sessions writes the session table. ZooKeeper's format has no place for how a
// session's password is made. So a session whose password is derived from the
// secret stands there twice, which ZooKeeper, that reads a map, takes for once.
func (s *snapshotWriter) sessions() error {
	n := 0
	if err := eachSession(s.src, func(e sessionEntry) error { n += e.times(); return nil }); err != nil {
		return err
	}
	s.buf = wire.AppendInt32(s.buf, int32(n))
	return eachSession(s.src, func(e sessionEntry) error {
		for range e.times() {
			s.buf = wire.AppendInt32(wire.AppendInt64(s.buf, int64(e.id)), e.timeoutMs)
		}
		return s.spill()
	})
}

// cxidKeyed is the cxid of a session whose password is derived from the secret:
// package session's CxidKeyed.
const cxidKeyed = 1

// times is how often a session stands in a snapshot.
func (e sessionEntry) times() int {
	if e.cxid == cxidKeyed {
		return 2
	}
	return 1
}

// spill flushes when a chunk is full and keeps to the pace.
func (s *snapshotWriter) spill() error {
	if len(s.buf) < snapshotChunk {
		return nil
	}
	return errors.Join(s.flush(), s.pace.rest())
}

// aclTable numbers the ACLs in use from 1 on, in the order of the znodes.
func (s *snapshotWriter) aclTable() error {
	s.acls = make(map[string]int64)
	var table []byte
	seen := 0
	err := eachKey(s.src, nodePrefix, func(_, v []byte) error {
		if seen++; seen%4096 == 0 {
			if err := s.pace.rest(); err != nil {
				return err
			}
		}
		acl, err := aclBytes(v)
		if err != nil || acl == nil {
			return err
		}
		if _, ok := s.acls[string(acl)]; !ok {
			key := int64(len(s.acls) + 1)
			s.acls[string(acl)] = key
			table = append(wire.AppendInt64(table, key), acl...)
		}
		return nil
	})
	s.buf = append(wire.AppendInt32(s.buf, int32(len(s.acls))), table...)
	return err
}

func (s *snapshotWriter) nodes() error {
	var dec recordDecoder
	var r znode.Record
	err := eachKey(s.src, nodePrefix, func(key, v []byte) error {
		if err := dec.decode(v, &r); err != nil {
			return fmt.Errorf("znode %q: %w", key[1:], err)
		}
		acl := openACLKey
		if b, err := aclBytes(v); err != nil {
			return err
		} else if b != nil {
			acl = s.acls[string(b)]
		}
		s.buf = appendPath(s.buf, key[1:])
		s.buf = wire.AppendBuffer(s.buf, r.Data)
		s.buf = wire.AppendInt64(s.buf, acl)
		s.buf = r.Stat.Append(s.buf)
		return s.spill()
	})
	s.buf = wire.AppendString(s.buf, "/")
	return err
}

// appendPath encodes a path as a ustring.
func appendPath(b, path []byte) []byte {
	if bytes.IndexFunc(path, func(r rune) bool { return r > 0xffff }) >= 0 {
		return wire.AppendString(b, string(path))
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(path)))
	return append(b, path...)
}

// pacer lets a long piece of background work pause between its parts, so that
// on a machine with few cores the server's own work always finds one. nil
// never pauses.
type pacer struct {
	share float64 // of the time that the work may take, in (0, 1]
	began time.Time
	stop  <-chan struct{} // closed when no work is wanted any more
	over  <-chan struct{} // closed when this piece of work is of no use any more
}

func newPacer(share float64, stop, over <-chan struct{}) *pacer {
	return &pacer{share: share, began: time.Now(), stop: stop, over: over}
}

// rest pauses in proportion to the time since the last pause. It fails when the
// work is no longer wanted.
func (p *pacer) rest() error {
	if p == nil {
		return nil
	}
	busy := time.Since(p.began)
	pause := time.NewTimer(time.Duration(float64(busy) * (1/p.share - 1)))
	defer pause.Stop()
	select {
	case <-p.stop:
		return errClosed
	case <-p.over:
		return errReplaced
	case <-pause.C:
	}
	p.began = time.Now()
	return nil
}
