package znode

import (
	"errors"
	"fmt"
	"testing"

	"zooid/wire"
)

// readParts is the body of a multiRead.
func readParts(op wire.OpCode, path string, n int) []byte {
	var b []byte
	h := wire.MultiHeader{Op: op}
	q := wire.WatchRequest{Path: path}
	for range n {
		b = q.Append(h.Append(b))
	}
	return wire.MultiEnd.Append(b)
}

// A multiRead of 64 kB on a znode of 1 MB, or with a million letters of children's
// names, made a reply of 4 GB. It is refused when it exceeds the bound of a reply,
// before that is made.
func TestMultiReadIsBounded(t *testing.T) {
	tree := New()
	load := func(path string, size int) {
		t.Helper()
		if err := tree.Load(path, &Record{Data: make([]byte, size)}); err != nil {
			t.Fatal(err)
		}
	}
	const size = 1 << 20
	load("/large", size)
	load("/wide", 0)
	for i := range size / 1000 {
		load(fmt.Sprintf("/wide/%0996d", i), 0) // 1000 bytes in a list
	}
	tree.Loaded(1)
	const part = 9 // bytes of the header of a result
	fits := func(one int) int { return (ReplyBytesMax - part) / one }
	for _, tc := range []struct {
		name  string
		op    wire.OpCode
		path  string
		parts int
		ok    bool
	}{
		{"data", wire.OpGetData, "/large", fits(part + 4 + size + wire.StatSize), true},
		{"more data", wire.OpGetData, "/large", fits(part+4+size+wire.StatSize) + 1, false},
		{"data, 64 kB of parts", wire.OpGetData, "/large", 3000, false},
		{"children", wire.OpGetChildren, "/wide", fits(part + 4 + size/1000*1000), true},
		{"more children", wire.OpGetChildren, "/wide", fits(part+4+size/1000*1000) + 1, false},
		{"few children", wire.OpGetChildren, "/zookeeper", 100_000, true},
		{"few children, but many parts", wire.OpGetChildren, "/zookeeper", 150_000, false},
		{"nothing at all", wire.OpGetData, "/none", 300_000, true},
		{"nothing at all, but many parts", wire.OpGetData, "/none", 400_000, false},
	} {
		b, err := tree.Read(wire.OpMultiRead, &Reader{}, readParts(tc.op, tc.path, tc.parts), []byte("before"))
		switch {
		case tc.ok:
			if err != nil || len(b) > ReplyBytesMax+len("before")+part {
				t.Errorf("%s: %d bytes, %v", tc.name, len(b), err)
			}
		case !errors.Is(err, wire.ErrBadArguments) || string(b) != "before":
			t.Errorf("%s: %d bytes, %v", tc.name, len(b), err)
		}
		if cap(b) > 3*ReplyBytesMax {
			t.Errorf("%s: room for %d bytes was made", tc.name, cap(b))
		}
	}
}
