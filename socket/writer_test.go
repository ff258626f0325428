package socket

import (
	"io"
	"net"
	"syscall"
	"testing"
)

// A write takes what there is room for and comes back; what it took arrives.
func TestWriterNeverBlocks(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	raw, err := out.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var w Writer
	if n, err := w.Write([]byte("x")); n != 0 || err != nil {
		t.Errorf("without a socket: %d, %v", n, err)
	}
	w.Init(raw)
	taken := 0
	for chunk := make([]byte, 1<<20); ; {
		n, err := w.Write(chunk)
		if err != nil {
			t.Fatal(err)
		}
		if taken += n; n == 0 {
			break // full, and nobody reads
		}
	}
	out.Close()
	if got, err := io.Copy(io.Discard, in); err != nil || int(got) != taken {
		t.Errorf("%d bytes of %d arrived, %v", got, taken, err)
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("a closed socket takes more")
	}
}
