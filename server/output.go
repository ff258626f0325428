package server

import (
	"errors"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
)

const (
	// outHigh is how many unwritten bytes stop a connection's own goroutine
	// from producing more.
	outHigh = 1 << 20
	// outChunk is how many bytes are gathered before they are written although
	// more is to come.
	outChunk = 256 << 10
	// readAhead is how many bytes of replies to reads may have to be made at
	// once, by a guess: more reads than that are not let stand in a queue with a
	// write behind them, for they could not be put off then.
	readAhead = 8 << 20
	// replySizeGuess is what a connection's replies are held to be at first.
	replySizeGuess = 64 << 10
	// outFirst is the size of a buffer at first.
	outFirst = 4 << 10
	// outKeep is the largest buffer that is kept for reuse.
	outKeep = 512 << 10
	// lingerTime is how long a client may take to read what was queued before
	// its connection's end.
	lingerTime = 5 * time.Second
)

// outBuffer is bytes on their way out.
type outBuffer struct{ b []byte }

var outBuffers = sync.Pool{New: func() any { return &outBuffer{b: make([]byte, 0, outFirst)} }}

func (o *outBuffer) release() {
	if cap(o.b) <= outKeep {
		o.b = o.b[:0]
		outBuffers.Put(o)
	}
}

// buffer is the buffer to append to; the caller holds c.mu and puts the
// result back in its b.
func (c *conn) buffer() *outBuffer {
	if c.mu.buf == nil {
		c.mu.buf = outBuffers.Get().(*outBuffer)
	}
	return c.mu.buf
}

// append queues bytes for the client. The caller holds c.mu.
func (c *conn) append(b []byte) {
	o := c.buffer()
	o.b = append(o.b, b...)
}

// outBytes is how much waits for the client. The caller holds c.mu.
func (c *conn) outBytes() int {
	n := c.mu.unsent
	if c.mu.buf != nil {
		n += len(c.mu.buf.b)
	}
	return n
}

// checkOut cuts the connection off if too much waits for its client, and tells
// the budget of all connections. The caller holds c.mu.
func (c *conn) checkOut() {
	c.tellMemory()
	if limit := c.srv.o.QueueBytes; c.outBytes() > limit {
		c.cutOffLocked("client does not read its events and replies", zap.Int("bytes", limit))
	}
}

// flush writes what is queued, without ever blocking. If somebody writes
// already, that one will write this too.
func (c *conn) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.touched = false
	c.mu.stats.publish(&c.srv.stats, c.shard)
	if c.mu.closed {
		return
	}
	if c.mu.writing {
		c.tellMemory()
		c.linger()
		return
	}
	c.mu.writing = true
	for c.mu.buf != nil {
		b := c.takeBuffer()
		c.mu.Unlock()
		n, err := c.out.Write(b.b)
		c.mu.Lock()
		if err != nil {
			c.closeLocked(err.Error())
		}
		if c.mu.closed {
			b.release()
			c.mu.writing = false
			return
		}
		if n < len(b.b) {
			c.tellMemory()
			c.startWriter(b, n)
			return
		}
		c.mu.unsent = 0
		b.release()
	}
	c.tellMemory()
	if c.mu.backlog {
		// Its reads need the tree's lock, which comes before c.mu.
		c.srv.running.Go(func() {
			if b := c.next(nil); b != nil {
				c.write(b, 0)
			}
		})
		return
	}
	c.written()
}

// takeBuffer takes what is to be written. The caller holds c.mu and the write.
func (c *conn) takeBuffer() *outBuffer {
	b := c.mu.buf
	c.mu.buf = nil
	c.mu.unsent = len(b.b)
	c.srv.stats.bytesOut(int64(len(b.b)))
	return b
}

// written ends a write after which nothing is left. The caller holds c.mu.
func (c *conn) written() {
	c.mu.writing = false
	if c.mu.finishing && c.mu.queue.len() == 0 {
		c.closeLocked("finished")
	}
}

// startWriter leaves the rest of the writing, b from n on and what comes, to a
// goroutine. The caller holds c.mu and the write, which passes over.
func (c *conn) startWriter(b *outBuffer, n int) {
	c.linger()
	c.srv.running.Go(func() { c.write(b, n) })
}

// linger limits the time for writing what is left, if the connection is about
// to end. The caller holds c.mu.
func (c *conn) linger() {
	if c.mu.finishing && !c.mu.lingering {
		c.mu.lingering = true
		c.nc.SetWriteDeadline(time.Now().Add(lingerTime))
	}
}

// write is the goroutine of a congested connection: it writes, waiting for the
// client, until nothing is left.
func (c *conn) write(b *outBuffer, n int) {
	for b != nil {
		err := c.writeAll(b.b[n:])
		b.release()
		b, n = c.next(err), 0
	}
}

// next is what the writer is to write after it has written with err; nil ends
// its work.
func (c *conn) next(err error) *outBuffer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.unsent = 0
	if err != nil {
		c.closeLocked(err.Error())
	}
	for c.mu.backlog && c.mu.buf == nil && !c.mu.closed {
		c.mu.Unlock()
		c.answerBacklog()
		c.mu.Lock()
	}
	c.mu.changed.Broadcast()
	switch {
	case c.mu.closed:
		c.mu.writing = false
		return nil
	case c.mu.buf == nil:
		c.tellMemory()
		c.written()
		return nil
	}
	c.linger()
	b := c.takeBuffer()
	c.tellMemory()
	return b
}

// writeAll writes b in pieces. A client that takes them is there, even if its
// pings have to wait because nothing is read meanwhile.
func (c *conn) writeAll(b []byte) error {
	const piece = 64 << 10
	for len(b) > 0 {
		n, err := c.nc.Write(b[:min(len(b), piece)])
		if err != nil {
			return err
		}
		b = b[n:]
		if c.member != nil {
			c.heard.Store(c.member.SessionNow())
		}
	}
	return nil
}

// discardInput throws away what has arrived and will not be read any more:
// closing a socket with unread bytes resets the connection, and some systems
// then withhold the last replies from their program.
func (c *conn) discardInput() {
	if c.raw == nil {
		return
	}
	c.raw.Control(func(fd uintptr) {
		b := readBuffers.Get().(*readBuffer)
		defer readBuffers.Put(b)
		for range 16 {
			if n, err := syscall.Read(int(fd), b.b[:]); n <= 0 && !errors.Is(err, syscall.EINTR) {
				return
			}
		}
	})
}
