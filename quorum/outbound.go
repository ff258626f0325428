package quorum

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"zooid/wire"
)

const (
	// outChunk is the size from which on a buffer is not added to.
	outChunk = 256 << 10
	// outKeep is the largest buffer that is kept for reuse.
	outKeep = 2 * outChunk
	// streamBuffer is the size of the buffers through which snapshots go.
	streamBuffer = 64 << 10
)

// outItem is a piece of what waits to be written: bytes or a stream.
type outItem struct {
	buf    *outBuffer
	stream *outStream
}

// outBuffer is bytes on their way out.
type outBuffer struct{ b []byte }

var outBuffers = sync.Pool{New: func() any { return &outBuffer{b: make([]byte, 0, 4096)} }}

func (o *outBuffer) release() {
	if cap(o.b) <= outKeep {
		o.b = o.b[:0]
		outBuffers.Put(o)
	}
}

// outStream is what is written while it is made.
type outStream struct {
	write func(ctx context.Context, w io.Writer) error
	done  func(error)
}

// queue puts a packet behind the others. It is true if the connection has to be
// flushed, and is not in the list of those yet.
func (c *channel) queue(p *wire.QuorumPacket) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.ended != nil || c.mu.finishing {
		return false
	}
	o := c.tail()
	before := len(o.b)
	o.b = p.Append(o.b)
	c.mu.bytes += len(o.b) - before
	if c.mu.bytes > c.s.o.MaxQueued {
		err := fmt.Errorf("the other end does not read: %d bytes wait for it, at most %d may", c.mu.bytes, c.s.o.MaxQueued)
		c.s.refusals.Warn("closing a connection between servers", zap.Stringer("with", c.nc.RemoteAddr()), zap.Error(err))
		c.endLocked(err)
		return false
	}
	fresh := !c.mu.touched
	c.mu.touched = true
	return fresh
}

// tail is the buffer that the next packet goes to. The caller holds c.mu.
func (c *channel) tail() *outBuffer {
	if n := len(c.mu.queue); n > 0 {
		if o := c.mu.queue[n-1].buf; o != nil && len(o.b) < outChunk {
			return o
		}
	}
	o := outBuffers.Get().(*outBuffer)
	c.mu.queue = append(c.mu.queue, outItem{buf: o})
	return o
}

// queueStream puts a stream behind the packets.
func (c *channel) queueStream(s *outStream) {
	c.mu.Lock()
	gone := c.mu.ended != nil || c.mu.finishing
	if !gone {
		c.mu.queue = append(c.mu.queue, outItem{stream: s})
	}
	c.mu.Unlock()
	if gone {
		s.done(errGone)
	}
}

// flush writes what is queued, without ever blocking. If somebody writes
// already, that one will write this too.
func (c *channel) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.touched = false
	if c.mu.writing {
		return
	}
	c.mu.writing = true
	for {
		item, ok := c.next()
		if !ok {
			return
		}
		if item.stream != nil {
			c.startWriter(item, 0)
			return
		}
		c.mu.Unlock()
		n, err := c.out.Write(item.buf.b)
		c.mu.Lock()
		if err != nil {
			c.endLocked(fmt.Errorf("write: %w", err))
		}
		if err == nil && n < len(item.buf.b) {
			c.startWriter(item, n)
			return
		}
		c.wrote(item)
	}
}

// next takes what is to be written next. It is false, and the writing ends,
// when there is nothing left. The caller holds c.mu and the writing.
func (c *channel) next() (outItem, bool) {
	switch {
	case c.mu.ended != nil:
		c.mu.writing = false
		return outItem{}, false
	case len(c.mu.queue) == 0:
		c.mu.writing = false
		c.written()
		return outItem{}, false
	}
	item := c.mu.queue[0]
	c.mu.queue = slices.Delete(c.mu.queue, 0, 1)
	return item, true
}

// wrote says that the bytes of item are done with. The caller holds c.mu.
func (c *channel) wrote(item outItem) {
	c.mu.bytes -= len(item.buf.b)
	item.buf.release()
}

// startWriter leaves the rest of the writing, item from byte n on and what
// comes, to a goroutine. The caller holds c.mu and the writing, which passes
// over. The reader is still there, as the connection has not ended, so that
// running cannot have been waited for.
func (c *channel) startWriter(item outItem, n int) {
	c.s.running.Go(func() { c.write(item, n) })
}

// write is the goroutine of a connection that takes less than there is: it
// writes, waiting for the other end, until nothing is left.
func (c *channel) write(item outItem, n int) {
	for ok := true; ok; n = 0 {
		var err error
		if item.stream != nil {
			err = c.writeStream(item.stream)
		} else {
			_, err = patientWriter{c}.Write(item.buf.b[n:])
		}
		c.mu.Lock()
		if err != nil {
			c.endLocked(fmt.Errorf("write: %w", err))
		}
		if item.buf != nil {
			c.wrote(item)
		}
		if item, ok = c.next(); !ok && !c.mu.finishing {
			c.nc.SetWriteDeadline(time.Time{}) // patientWriter's
		}
		c.mu.Unlock()
	}
}

func (c *channel) writeStream(s *outStream) error {
	w := bufio.NewWriterSize(patientWriter{c}, streamBuffer)
	err := s.write(c.ctx, w)
	if err == nil {
		err = w.Flush()
	}
	s.done(err)
	return err
}

// patientWriter writes to a connection as long as the other end takes something
// now and then. The machine at the other end may be gone without a word.
type patientWriter struct{ c *channel }

// Write implements io.Writer.
func (w patientWriter) Write(p []byte) (n int, err error) {
	for n < len(p) {
		limit := w.c.patient()
		k, err := w.c.nc.Write(p[n:min(n+streamBuffer, len(p))])
		n += k
		switch {
		case err != nil && limit > 0 && isTimeout(err):
			return n, fmt.Errorf("the other end has hardly taken anything for %v", limit)
		case err != nil:
			return n, err
		}
	}
	return n, nil
}

// patient gives the next write its time, 0 if the connection is finishing, which
// has a limit of its own.
func (c *channel) patient() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.finishing {
		return 0
	}
	c.nc.SetWriteDeadline(time.Now().Add(c.s.o.StallMax))
	return c.s.o.StallMax
}
