package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"zooid/wire"
	"zooid/znode"
)

// The keys in Pebble, told apart by their first byte:
//
//	m               marker: format u8, zxid, tree digest (8 bytes each)
//	r               fingerprint of the log record at the marker, see recordKey
//	n‹path›         a znode, see appendRecord; the root's path is empty
//	s‹session id›   a session: timeout in ms, cxid of its createSession (4 bytes each)
//
// Keys sort by bytes, so a znode's parent always comes before it. All numbers
// are big-endian.
const (
	markerKey     = 'm'
	nodePrefix    = 'n'
	sessionPrefix = 's'
)

// storeFormat is the version of this layout.
const storeFormat = 1

// pebbleFormat is pinned, so that a newer Pebble library leaves stores that an
// older Zooid can open. Raise it deliberately.
const pebbleFormat = pebble.FormatTableFormatV6

// The store is read only to load the whole tree and to write snapshots, front
// to back, so it gets next to no cache; what was changed between two flushes
// usually fits the memtable.
const (
	pebbleCacheBytes    = 8 << 20
	pebbleMemtableBytes = 16 << 20
	pebbleBlockBytes    = 32 << 10
)

// marker says what the store holds: exactly the state at zxid. Every batch
// carries it, so what is found after a crash is always whole.
type marker struct {
	zxid   wire.Zxid
	digest uint64
}

const markerSize = 17

func (m marker) append(b []byte) []byte {
	b = append(b, storeFormat)
	b = binary.BigEndian.AppendUint64(b, uint64(m.zxid))
	return binary.BigEndian.AppendUint64(b, m.digest)
}

func openPebble(fs vfs.FS, dir string, log *zap.Logger) (*pebble.DB, error) {
	cache := pebble.NewCache(pebbleCacheBytes)
	defer cache.Unref() // the DB holds a reference of its own
	o := &pebble.Options{
		FS:                          fs,
		Cache:                       cache,
		DisableWAL:                  true, // the txn log is the WAL
		FormatMajorVersion:          pebbleFormat,
		MemTableSize:                pebbleMemtableBytes,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		MaxOpenFiles:                256,
		CompactionConcurrencyRange:  func() (lower, upper int) { return 1, 1 },
		DisableTableStats:           true, // nobody asks for them, and collecting them reads every table after a start
		Logger:                      pebbleLogger{log.Sugar()},
		// By default Pebble ends the process. But the tree is in memory and in the
		// log; only the next start needs the store, and says what to do.
		EventListener: &pebble.EventListener{DataCorruption: func(info pebble.DataCorruptionInfo) {
			log.Error("the store is damaged", zap.String("dir", dir), zap.String("file", info.Path), zap.Error(info.Details))
		}},
	}
	if room, ok := fs.(*roomFS); ok {
		o.EventListener.BackgroundError = func(err error) { room.fail(dir, err) }
		o.EventListener.FlushEnd = func(info pebble.FlushInfo) {
			if info.Err == nil {
				room.wrote(dir)
			}
		}
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize = pebbleBlockBytes
	}
	return pebble.Open(dir, o)
}

// readMarker is the marker of db, without which it is no store.
func readMarker(db pebble.Reader) (marker, error) {
	v, closer, err := db.Get([]byte{markerKey})
	if errors.Is(err, pebble.ErrNotFound) {
		return marker{}, fmt.Errorf("no marker: %w", pebble.ErrCorruption)
	}
	if err != nil {
		return marker{}, err
	}
	defer closer.Close()
	switch {
	case len(v) > 0 && v[0] > storeFormat:
		return marker{}, fmt.Errorf("format %d, this program reads up to %d: %w", v[0], storeFormat, errNewerFormat)
	case len(v) != markerSize || v[0] == 0:
		return marker{}, fmt.Errorf("marker of %d bytes instead of %d: %w", len(v), markerSize, pebble.ErrCorruption)
	}
	return marker{
		zxid:   wire.Zxid(binary.BigEndian.Uint64(v[1:])),
		digest: binary.BigEndian.Uint64(v[9:]),
	}, nil
}

var errNewerFormat = errors.New("written by a newer version")

// appendNodeKey appends the key of a path; "/" is the root as "" is.
func appendNodeKey(b []byte, path []byte) []byte {
	b = append(b, nodePrefix)
	if len(path) == 1 {
		return b
	}
	return append(b, path...)
}

func appendSessionKey(b []byte, id wire.SessionID) []byte {
	return binary.BigEndian.AppendUint64(append(b, sessionPrefix), uint64(id))
}

// sessionEntry is a session as Pebble and snapshot files keep it.
type sessionEntry struct {
	id        wire.SessionID
	timeoutMs int32
	cxid      int32 // of its createSession txn; -1 = unknown, see znode's Session
}

func (e sessionEntry) appendValue(b []byte) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, uint32(e.timeoutMs)), uint32(e.cxid))
}

func decodeSession(key, v []byte) (sessionEntry, error) {
	if len(key) != 9 || len(v) != 8 {
		return sessionEntry{}, fmt.Errorf("session entry of %d+%d bytes: %w", len(key), len(v), pebble.ErrCorruption)
	}
	return sessionEntry{
		id:        wire.SessionID(binary.BigEndian.Uint64(key[1:])),
		timeoutMs: int32(binary.BigEndian.Uint32(v)),
		cxid:      int32(binary.BigEndian.Uint32(v[4:])),
	}, nil
}

// eachSession visits the sessions in db in order of their ids.
func eachSession(db pebble.Reader, visit func(e sessionEntry) error) error {
	return eachKey(db, sessionPrefix, func(key, v []byte) error {
		e, err := decodeSession(key, v)
		if err != nil {
			return err
		}
		return visit(e)
	})
}

// eachKey visits what stands under prefix in order of keys. key and v are valid
// during the visit only.
func eachKey(db pebble.Reader, prefix byte, visit func(key, v []byte) error) error {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{prefix}, UpperBound: []byte{prefix + 1}})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err == nil {
			err = visit(it.Key(), v)
		}
		if err != nil {
			return errors.Join(err, it.Close())
		}
	}
	return it.Close()
}

// putNode adds the setting of a znode to b. buf is scratch that is returned
// for the next call.
func putNode(b *pebble.Batch, path []byte, r *znode.Record, buf []byte) ([]byte, error) {
	buf = appendNodeKey(buf[:0], path)
	n := len(buf)
	buf = appendRecord(buf, r)
	return buf, b.Set(buf[:n], buf[n:], nil)
}

// pebbleLogger gives Pebble's chatter to zap: at debug what it tells, as errors
// what went wrong.
type pebbleLogger struct{ log *zap.SugaredLogger }

// Infof logs at debug.
func (l pebbleLogger) Infof(format string, args ...any) { l.log.Debugf("pebble: "+format, args...) }

// Errorf logs an error.
func (l pebbleLogger) Errorf(format string, args ...any) { l.log.Errorf("pebble: "+format, args...) }

// Fatalf ends the process: Pebble expects that it does not return, and asks for
// it when its state in memory and on disk would part (a manifest that cannot be
// written). Nothing is lost, the txn log has it all.
func (l pebbleLogger) Fatalf(format string, args ...any) { l.log.Fatalf("pebble: "+format, args...) }
