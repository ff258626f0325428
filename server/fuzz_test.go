package server

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"zooid/wire"
)

// FuzzConnection sends arbitrary bytes behind a handshake, and instead of one.
// The server must neither panic nor stop serving others, and must let go of
// the connection.
func FuzzConnection(f *testing.F) {
	connect := frameOf(&wire.ConnectRequest{TimeoutMs: 10000, Passwd: make([]byte, 16), HasReadOnly: true})
	f.Add([]byte("stat"))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add(connect)
	for _, op := range []wire.OpCode{wire.OpCreate, wire.OpGetData, wire.OpMulti, wire.OpMultiRead, wire.OpSetWatches2, wire.OpAuth,
		wire.OpSASL, wire.OpReconfig, wire.OpCloseSession, wire.OpSync, 20, -10} {
		f.Add(slices.Concat(connect, request(1, op, createOf("/a", "data")), request(2, wire.OpPing, nil)))
		f.Add(slices.Concat(connect, request(1, op, nil)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fx := start(t, func(o *Options) { o.MaxFrame = 1 << 16 })
		for _, b := range [][]byte{data, slices.Concat(connect, data)} {
			c := fx.dial()
			c.nc.Write(b)
			c.nc.Close()
		}
		c := fx.dial()
		c.handshake(&wire.ConnectRequest{TimeoutMs: 10000})
		c.must(1, wire.OpPing, nil, wire.OK)
		c.nc.Close()
		for end := time.Now().Add(patience); len(fx.srv.connections()) > 0; time.Sleep(100 * time.Microsecond) {
			if time.Now().After(end) {
				t.Fatal("connections are left behind")
			}
		}
	})
}

// FuzzSplit feeds the same bytes to two connections, to one at once and to the
// other in pieces. Both must answer the same: where the network cuts a stream
// has no meaning.
func FuzzSplit(f *testing.F) {
	var reads []byte
	for _, r := range smallReads {
		reads = append(reads, request(1, r.op, r.body)...)
	}
	f.Add(reads, byte(1))
	f.Add(slices.Concat(reads, request(2, wire.OpAuth, &wire.AuthPacket{Scheme: "digest", Auth: []byte("a:b")}), reads), byte(3))
	f.Add(slices.Concat(request(3, wire.OpCreate, nil), reads, request(4, wire.OpCreate, createOf("/x", "")), reads), byte(7))
	f.Add(slices.Concat(reads, request(5, 99, nil), reads), byte(200))
	f.Add(slices.Concat(request(6, wire.OpSetWatches, &wire.SetWatchesRequest{Data: []string{"/gone"}, Exist: []string{"/dir"},
		Child: []string{strings.Repeat("x", 100_000)}}), reads), byte(255))
	f.Add([]byte{0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0}, byte(2))
	f.Fuzz(func(t *testing.T, data []byte, piece byte) {
		answer := func(size int) (out []byte) {
			d := newDetached(t)
			d.load(t, "/dir", "/dir/node=data")
			for c := range slices.Chunk(data, max(size, 1)) {
				if d.mu.finishing || d.mu.closed {
					break
				}
				out = append(out, d.feed(c)...)
			}
			return out
		}
		if whole, pieces := answer(len(data)), answer(int(piece)); !bytes.Equal(whole, pieces) {
			t.Errorf("at once      %x\nin pieces of %d %x", whole, piece, pieces)
		}
	})
}
