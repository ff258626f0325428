package server

import (
	"encoding/binary"
	"net"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"zooid/wire"
)

// limited is a server with little memory for all connections together, whose
// log is kept.
func limited(t *testing.T, memory int64) (*fixture, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.WarnLevel)
	return start(t, func(o *Options) { o.Memory, o.Logger = memory, zap.New(core) }), logs
}

const memoryLine = "the connections' queues and unfinished frames together"

// cutForMemory counts the connections of which the log says that they were cut
// off for the memory of all.
func cutForMemory(logs *observer.ObservedLogs) int {
	n := 0
	for _, e := range logs.All() {
		if strings.Contains(e.Message, memoryLine) {
			n++
		}
	}
	return n
}

// TestDeafWatchersShareOneBound has many clients that do not read their events,
// each far from its own bound: those that hold the most are cut off when all
// hold too much together, and whoever reads goes on.
func TestDeafWatchersShareOneBound(t *testing.T) {
	const deafClients, memory = 20, 2 << 20
	f, logs := limited(t, memory)
	path := "/" + strings.Repeat("long", 4000)
	writer := f.connect()
	writer.must(1, wire.OpCreate, createOf(path, ""), wire.OK)
	for range deafClients {
		c := f.connect()
		c.nc.(*net.TCPConn).SetReadBuffer(4096)
		c.must(1, wire.OpAddWatch, &wire.AddWatchRequest{Path: path, Mode: wire.AddWatchPersistent}, wire.OK)
	}
	most := int64(0)
	for i := int32(2); cutForMemory(logs) < deafClients/2; i++ {
		if i > 20_000 {
			t.Fatalf("%d connections were cut off, the others hold %d bytes", cutForMemory(logs), f.srv.memory.Used())
		}
		writer.must(i, wire.OpSetData, &wire.SetDataRequest{Path: path, Version: -1}, wire.OK)
		most = max(most, f.srv.memory.Used())
	}
	if most > 2*memory {
		t.Errorf("%d bytes were held, the bound is %d", most, memory)
	}
	eventually(t, func() bool { return f.srv.memory.Used() <= memory })
	writer.must(1, wire.OpExists, pathOf("/"), wire.OK)
}

// TestUnfinishedFramesShareOneBound has many connections send half of a frame
// that each of them may send.
func TestUnfinishedFramesShareOneBound(t *testing.T) {
	const memory = 4 << 20
	f, logs := limited(t, memory)
	good := f.connect()
	for range 20 {
		c := f.connect()
		// The server may close while this is on its way.
		_, _ = c.nc.Write(append(binary.BigEndian.AppendUint32(nil, 1_000_000), make([]byte, 600_000)...))
	}
	eventually(t, func() bool { return cutForMemory(logs) > 0 && f.srv.memory.Used() <= memory })
	eventually(t, func() bool { return len(f.srv.connections()) == 21-cutForMemory(logs) })
	good.must(1, wire.OpExists, pathOf("/"), wire.OK)
	f.stop()
	if n := f.srv.memory.Used(); n != 0 {
		t.Errorf("%d bytes are held when all have gone", n)
	}
}

// TestHeldRequestsShareOneBound has connections send large writes that the
// member does not get done.
func TestHeldRequestsShareOneBound(t *testing.T) {
	const memory = 4 << 20
	f, logs := limited(t, memory)
	good := f.connect()
	var held []*client
	for range 10 {
		held = append(held, f.connect())
	}
	f.member.hold(true)
	for _, c := range held {
		_, _ = c.nc.Write(request(1, wire.OpSetData, &wire.SetDataRequest{Path: "/", Data: make([]byte, 900_000), Version: -1}))
	}
	eventually(t, func() bool { return cutForMemory(logs) > 0 && f.srv.memory.Used() <= memory })
	f.member.hold(false)
	good.must(1, wire.OpExists, pathOf("/"), wire.OK)
}

// TestLongHandshake has a connection announce a frame that is a request's at
// most, before it has a session.
func TestLongHandshake(t *testing.T) {
	f, _ := limited(t, 1<<20)
	c := f.dial()
	c.send(binary.BigEndian.AppendUint32(nil, handshakeMax+1))
	c.eof()
}
