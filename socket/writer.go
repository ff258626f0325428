package socket

import (
	"os"
	"syscall"
)

// Writer writes to one socket. One goroutine at a time may use it; it must not
// be copied after Init. The zero Writer has no socket and takes nothing.
type Writer struct {
	raw   syscall.RawConn
	ready func(fd uintptr) bool

	// Of the write under way.
	b   []byte
	n   int
	err error
}

// Init gives the Writer its socket.
func (w *Writer) Init(raw syscall.RawConn) {
	w.raw = raw
	w.ready = w.once // made here: each method value costs an allocation
}

// Write writes what the socket takes without blocking, which may be nothing, and
// tells how many bytes that is. It does not keep b.
func (w *Writer) Write(b []byte) (int, error) {
	if w.raw == nil {
		return 0, nil
	}
	w.b, w.n, w.err = b, 0, nil
	err := w.raw.Write(w.ready)
	w.b = nil
	if err == nil {
		err = w.err
	}
	return w.n, err
}

// once writes once; it never asks to be called again.
func (w *Writer) once(fd uintptr) bool {
	for {
		n, err := syscall.Write(int(fd), w.b)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
		case err != nil:
			w.err = os.NewSyscallError("write", err)
		default:
			w.n = n
		}
		return true
	}
}
