package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"

	"zooid/znode"
)

// loadChunk is how many bytes of keys and values go from the reader of the
// store to the builder of the tree at once.
const loadChunk = 256 << 10

// loadTree builds a tree from what db holds. Reading and building take about
// the same time, so they go side by side: the start of a large tree is what a
// restart waits for.
func loadTree(db *pebble.DB, m marker) (*znode.Tree, error) {
	tree := znode.New()
	err := eachSession(db, func(e sessionEntry) error {
		tree.LoadSession(e.id, e.timeoutMs, e.cxid)
		return nil
	})
	if err != nil {
		return nil, err
	}
	r := startReading(db)
	defer r.end()
	var dec recordDecoder
	for chunk := range r.full {
		if err := chunk.load(tree, &dec); err != nil {
			return nil, err
		}
		r.free <- chunk
	}
	if err := <-r.result; err != nil {
		return nil, err
	}
	tree.Loaded(m.zxid)
	if d := tree.Digest(); d != m.digest {
		return nil, fmt.Errorf("its znodes have the digest %#x, its marker at %v says %#x: %w", d, m.zxid, m.digest, pebble.ErrCorruption)
	}
	return tree, nil
}

// chunk is a run of znodes: length of key and value (4 bytes each), key, value.
type chunk []byte

func (c chunk) add(key, v []byte) chunk {
	c = binary.NativeEndian.AppendUint32(c, uint32(len(key)))
	c = binary.NativeEndian.AppendUint32(c, uint32(len(v)))
	return append(append(c, key...), v...)
}

func (c chunk) load(tree *znode.Tree, dec *recordDecoder) error {
	var r znode.Record
	for len(c) > 0 {
		k, n := int(binary.NativeEndian.Uint32(c)), int(binary.NativeEndian.Uint32(c[4:]))
		key, v := c[8:8+k], c[8+k:8+k+n]
		c = c[8+k+n:]
		// The tree clones what it keeps of the path.
		path := unsafe.String(unsafe.SliceData(key[1:]), k-1)
		err := dec.decode(v, &r)
		if err == nil {
			err = tree.Load(path, &r)
		}
		if err != nil {
			return fmt.Errorf("znode %q: %w: %w", path, err, pebble.ErrCorruption)
		}
	}
	return nil
}

// reading is a goroutine that fills chunks from the store.
type reading struct {
	full   chan chunk
	free   chan chunk // emptied ones, to be filled again
	stop   chan struct{}
	result chan error // one, after full is closed
}

func startReading(db *pebble.DB) *reading {
	r := &reading{
		full:   make(chan chunk, 4),
		free:   make(chan chunk, 8),
		stop:   make(chan struct{}),
		result: make(chan error, 1),
	}
	go func() {
		err := r.read(db)
		r.result <- err
		close(r.full)
	}()
	return r
}

// end stops the goroutine if it still runs, and waits for it.
func (r *reading) end() {
	close(r.stop)
	for range r.full {
	}
}

var errStopped = errors.New("stopped")

func (r *reading) read(db *pebble.DB) error {
	c := make(chunk, 0, loadChunk)
	send := func() error {
		select {
		case r.full <- c:
		case <-r.stop:
			return errStopped
		}
		select {
		case c = <-r.free:
			c = c[:0]
		default:
			c = make(chunk, 0, loadChunk)
		}
		return nil
	}
	err := eachKey(db, nodePrefix, func(key, v []byte) error {
		if len(c) > 0 && len(c)+8+len(key)+len(v) > cap(c) {
			if err := send(); err != nil {
				return err
			}
		}
		c = c.add(key, v)
		return nil
	})
	if err == nil && len(c) > 0 {
		err = send()
	}
	return err
}
