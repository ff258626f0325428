package server

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
)

// readSize is how much one read takes at most; a frame that is longer gets
// memory of its own, as its bytes arrive.
const readSize = 64 << 10

// readBuffer is what one read fills. A connection holds one only while there
// are bytes to work on.
type readBuffer struct {
	b [readSize]byte
	n int // bytes in it
}

var readBuffers = sync.Pool{New: func() any { return new(readBuffer) }}

// input is what a connection has received and not worked on yet. The bytes
// stand in exactly one of buf, rest and big.
type input struct {
	buf *readBuffer
	// rest holds the bytes while the connection waits and has no buf: the
	// beginning of a frame, or frames that have to wait.
	rest []byte
	// big is a frame that no buf can hold, as far as it has arrived; its length
	// with the four bytes in front is bigSize.
	big     []byte
	bigSize int

	at    int64 // when the last bytes came, see Server.now
	told  int   // bytes of rest and big that conn.tellInput noted last
	sized bool  // the length of the frame that is to come next has been judged
	large int64 // bytes reserved for that frame, if it is a large one
	// waited is how long, in µs, the request throttle has kept these bytes waiting.
	waited int64

	ready func(fd uintptr) bool // conn.readReady, made once
	err   error                 // of the last readReady
}

// receive waits for bytes and appends them to the input.
func (c *conn) receive() error {
	if c.raw == nil {
		space := c.in.space()
		c.tellInput()
		n, err := c.nc.Read(space)
		c.in.grow(n)
		if n > 0 {
			return nil
		}
		return err
	}
	c.in.err = nil
	if err := c.raw.Read(c.in.ready); err != nil {
		return err
	}
	return c.in.err
}

// readReady reads once without blocking; false means that nothing is there and
// that it is to be called again when something is.
func (c *conn) readReady(fd uintptr) bool {
	for {
		space := c.in.space()
		if c.in.big != nil {
			c.tellInput()
		}
		n, err := syscall.Read(int(fd), space)
		switch {
		case n > 0:
			c.in.grow(n)
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			c.in.park()
			c.tellInput()
			return false
		case err != nil:
			c.in.err = os.NewSyscallError("read", err)
		default:
			c.in.err = io.EOF
		}
		return true
	}
}

// space is where the next bytes go; it is never empty.
func (in *input) space() []byte {
	if in.big != nil {
		if len(in.big) == cap(in.big) {
			grown := make([]byte, len(in.big), min(2*cap(in.big), in.bigSize))
			copy(grown, in.big)
			in.big = grown
		}
		return in.big[len(in.big):cap(in.big)]
	}
	in.unpark()
	return in.buf.b[in.buf.n:]
}

func (in *input) unpark() {
	if in.buf != nil {
		return
	}
	in.buf = readBuffers.Get().(*readBuffer)
	in.buf.n = copy(in.buf.b[:], in.rest)
	in.rest = nil
}

// grow says that n bytes were put in space.
func (in *input) grow(n int) {
	if in.big != nil {
		in.big = in.big[:len(in.big)+n]
	} else if in.buf != nil {
		in.buf.n += n
	}
}

// park gives the buffer back for a while.
func (in *input) park() {
	if in.buf == nil {
		return
	}
	if in.buf.n > 0 {
		in.rest = append([]byte(nil), in.buf.b[:in.buf.n]...)
	}
	in.drop()
}

// drop gives the buffer back for good.
func (in *input) drop() {
	if in.buf != nil {
		in.buf.n = 0
		readBuffers.Put(in.buf)
		in.buf = nil
	}
}

// data is what there is to work on.
func (in *input) data() []byte {
	switch {
	case in.big != nil:
		return in.big
	case in.buf != nil:
		return in.buf.b[:in.buf.n]
	}
	return in.rest
}

// consume says that the first n bytes of data are done with. What is left
// stays where space continues it; need is the length of the frame that it
// begins, 0 if that is not known yet.
func (in *input) consume(n, need int) {
	switch {
	case in.big != nil:
		if n > 0 {
			in.big, in.bigSize = nil, 0
		}
		return
	case in.buf != nil:
		if n > 0 {
			in.buf.n = copy(in.buf.b[:], in.buf.b[n:in.buf.n])
		}
	case n == len(in.rest):
		in.rest = nil
	default:
		in.rest = in.rest[n:]
	}
	if need > readSize {
		in.startBig(need)
	}
}

// startBig moves the beginning of a frame of size bytes out of the buffer.
func (in *input) startBig(size int) {
	have := in.data()
	big := make([]byte, len(have), min(size, max(2*len(have), readSize)))
	copy(big, have)
	in.drop()
	in.rest, in.big, in.bigSize = nil, big, size
}

// frameLength reads the length of a frame, which may be nonsense.
func frameLength(data []byte) (n int, ok bool) {
	if len(data) < 4 {
		return 0, false
	}
	return int(int32(binary.BigEndian.Uint32(data))), true
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
