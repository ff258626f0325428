package store

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"zooid/wire"
)

// Stream is a state on its way to a learner. It must be closed.
type Stream struct {
	// Zxid is the state's.
	Zxid wire.Zxid

	s    *Store
	e    *edition
	view *pebble.Snapshot
	once sync.Once
	err  error // of closing
}

// Stream opens a point-in-time view of the durable copy as soon as that is at
// atLeast: at once if it is so already, else when the loop has called Keep.
// It must be Closed, or the store cannot be. Any goroutine may call it.
func (s *Store) Stream(ctx context.Context, atLeast wire.Zxid) (*Stream, error) {
	e, err := s.readable(ctx, atLeast)
	if err != nil {
		return nil, fmt.Errorf("snapshot of %v or later: %w", atLeast, err)
	}
	st := &Stream{s: s, e: e, view: e.db.NewSnapshot()}
	m, err := readMarker(st.view)
	if err != nil {
		_ = st.Close()
		return nil, s.storeError(err)
	}
	st.Zxid = m.zxid
	return st, nil
}

// WriteTo writes the state as it follows a leader's SNAP: the body of a snapshot
// file, and the signature. It fails when the store is closed, or the tree
// replaced, meanwhile.
func (st *Stream) WriteTo(w io.Writer) (int64, error) {
	counted := &countingWriter{w: w}
	sw := &snapshotWriter{src: st.view, w: counted, pace: newPacer(1, st.s.stop, st.e.over)}
	err := sw.body()
	if err == nil {
		sw.buf = wire.AppendString(sw.buf, signature)
		err = sw.flush()
	}
	if err != nil {
		return counted.n, fmt.Errorf("send snapshot of %v: %w", st.Zxid, err)
	}
	return counted.n, nil
}

// Close lets the view go. It must not come while WriteTo runs.
func (st *Stream) Close() error {
	st.once.Do(func() {
		st.err = st.view.Close()
		st.e.use.RUnlock()
	})
	return st.err
}

type countingWriter struct {
	w io.Writer
	n int64
}

// Write counts what w takes.
func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
