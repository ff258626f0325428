package server

import (
	"runtime"
	"testing"
	"time"

	"zooid/wire"
)

// idleLimit is what an idle session may take in bytes, with its share of the
// session table here and the client's end of the connection, which is in the
// same process. The budget of 10 KB of resident memory has to hold the
// member's share too.
const idleLimit = 8 << 10

// An idle session costs a parked goroutine and some hundred bytes: no buffers.
// Each has written, read and been told of an event before.
func TestIdleSessionsAreSmall(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's own memory counts")
	}
	const sessions = 500
	f := start(t, func(o *Options) { o.MaxClientCnxns = 0 })
	first := f.connect()
	first.must(1, wire.OpCreate, createOf("/a", "data"), wire.OK)
	before := inUse()
	var clients []*client
	for range sessions {
		c := f.dial()
		c.r.Reset(nil)
		c.r = nil // its buffer is no part of what is measured
		c.nc.Write(frameOf(&wire.ConnectRequest{TimeoutMs: 10000}))
		c.discard(4 + 36)
		for xid := int32(1); xid <= 3; xid++ {
			c.nc.Write(request(xid, wire.OpGetData, watchOf("/a")))
			c.discard(4 + wire.ReplyHeaderSize + 4 + 4 + wire.StatSize)
		}
		clients = append(clients, c)
	}
	first.must(2, wire.OpSetData, &wire.SetDataRequest{Path: "/a", Data: []byte("data"), Version: -1}, wire.OK)
	for _, c := range clients {
		c.discard(4 + wire.ReplyHeaderSize + 4 + 4 + 4 + 2)
	}
	per := (inUse() - before) / sessions
	t.Logf("%d bytes for each of %d idle sessions", per, sessions)
	if per > idleLimit {
		t.Errorf("an idle session takes %d bytes, the limit is %d", per, idleLimit)
	}
	runtime.KeepAlive(clients)
}

// discard reads and forgets n bytes.
func (c *client) discard(n int) {
	c.t.Helper()
	var b [256]byte
	c.nc.SetReadDeadline(time.Now().Add(patience))
	for n > 0 {
		m, err := c.nc.Read(b[:min(n, len(b))])
		if err != nil {
			c.t.Fatal(err)
		}
		n -= m
	}
}

// inUse is the memory of heap and stacks after collections, which also shrink
// stacks and empty pools.
func inUse() int64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
