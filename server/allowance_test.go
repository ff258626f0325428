package server

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"zooid/auth"
	"zooid/wire"
	"zooid/znode"
)

// dearACL makes reads of znodes with an ACL of their own cost time.
type dearACL struct {
	*auth.Registry
	cost atomic.Int64 // ns of one check
}

func (d *dearACL) Permits(acl []wire.ACL, perm int32, ids []wire.ID) bool {
	time.Sleep(time.Duration(d.cost.Load()))
	return d.Registry.Permits(acl, perm, ids)
}

// startDear is a server with a znode /dear whose reads each take a while.
func startDear(t *testing.T) (f *fixture, c *client, dear *dearACL) {
	f = start(t)
	reg, err := auth.New(auth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dear = &dearACL{Registry: reg}
	f.member.tree.SetRules(znode.Rules{Auth: dear, ExtendedTypes: true})
	c = f.connect()
	acl := []wire.ACL{{Perms: wire.PermAll, ID: wire.ID{Scheme: "ip", ID: "127.0.0.1"}}}
	c.must(1, wire.OpCreate, &wire.CreateRequest{Path: "/dear", Data: []byte("0"), ACL: acl}, wire.OK)
	return f, c, dear
}

// longestWait takes the tree's lock again and again, until the function that it
// gives is called, which tells the longest that it had to wait.
func longestWait(lock, unlock func()) (stop func() time.Duration) {
	end, result := make(chan struct{}), make(chan time.Duration)
	go func() {
		longest := time.Duration(0)
		for {
			select {
			case <-end:
				result <- longest
				return
			case <-time.After(time.Millisecond):
			}
			began := time.Now()
			lock()
			longest = max(longest, time.Since(began))
			unlock()
		}
	}()
	return func() time.Duration { close(end); return <-result }
}

const (
	dearCost = 10 * time.Millisecond
	// dearWait is what others may wait for, on a machine that does much else. A
	// hold that counts reads instead of time takes 400 ms and more here.
	dearWait = 200 * time.Millisecond
)

// TestReadsReleaseTheLockByTime has a client send many reads at once that each
// take long: whoever wants to write gets in between two of them.
func TestReadsReleaseTheLockByTime(t *testing.T) {
	f, c, dear := startDear(t)
	dear.cost.Store(int64(dearCost))
	stop := longestWait(f.member.tree.Lock, f.member.tree.Unlock)
	var frames []byte
	const reads = 60
	for i := range int32(reads) {
		frames = append(frames, request(i, wire.OpGetData, pathOf("/dear"))...)
	}
	c.send(frames)
	for i := range int32(reads) {
		if h, _ := c.reply(); h.Xid != i || h.Err != wire.OK {
			t.Fatalf("got %+v", h)
		}
	}
	if longest := stop(); longest > dearWait {
		t.Errorf("a writer waited %v for the tree's lock", longest)
	}
}

// TestReadsBehindWritesReleaseTheLock has reads that each take long stand
// between writes, which the member gets done all at once. Whoever wants to read
// gets in, every read shows the write before it and not the one after, and the
// replies come in their order.
func TestReadsBehindWritesReleaseTheLock(t *testing.T) {
	f, c, dear := startDear(t)
	f.member.hold(true)
	var frames []byte
	const writes, reads = 3, 40
	xid := int32(0)
	next := func(op wire.OpCode, body wire.Appender) {
		frames = append(frames, request(xid, op, body)...)
		xid++
	}
	for w := range writes {
		next(wire.OpSetData, &wire.SetDataRequest{Path: "/dear", Data: fmt.Append(nil, w), Version: -1})
		for range reads {
			next(wire.OpGetData, pathOf("/dear"))
		}
	}
	c.send(frames)
	f.member.waitWork(t, 1)
	dear.cost.Store(int64(dearCost))
	stop := longestWait(f.member.tree.RLock, f.member.tree.RUnlock)
	f.member.hold(false)
	for i := range xid {
		h, body := c.reply()
		if h.Xid != i || h.Err != wire.OK {
			t.Fatalf("got %+v, want xid %d", h, i)
		}
		if i%(reads+1) == 0 {
			continue
		}
		if want := fmt.Append(nil, i/(reads+1)); string(dataOf(body)) != string(want) {
			t.Fatalf("read %d shows %q, want %q", i, dataOf(body), want)
		}
	}
	if longest := stop(); longest > dearWait {
		t.Errorf("a reader waited %v for the tree's lock", longest)
	}
	if n := f.srv.outstanding.Load(); n != 0 {
		t.Errorf("%d requests outstanding at the end", n)
	}
}

// dataOf is the data at the beginning of a getData's reply.
func dataOf(body []byte) []byte { return body[4 : 4+binary.BigEndian.Uint32(body)] }

// TestOwedReadsKeepTheirWatches has the loop run out of time for the reads
// between two writes: a watch that such a read sets fires for the second write,
// and its event comes before that one's reply.
func TestOwedReadsKeepTheirWatches(t *testing.T) {
	f, c, dear := startDear(t)
	f.member.hold(true)
	set := &wire.SetDataRequest{Path: "/dear", Data: []byte("1"), Version: -1}
	frames := request(1, wire.OpSetData, set)
	for i := range int32(4) {
		frames = append(frames, request(2+i, wire.OpGetData, pathOf("/dear"))...)
	}
	frames = append(frames, request(6, wire.OpGetData, watchOf("/dear"))...)
	c.send(append(frames, request(7, wire.OpSetData, set)...))
	f.member.waitWork(t, 2) // both writes are at the member, the reads between them
	dear.cost.Store(int64(5 * time.Millisecond))
	f.member.hold(false)
	for _, want := range []int32{1, 2, 3, 4, 5, 6, wire.XidNotification, 7} {
		if h, _ := c.reply(); h.Xid != want || h.Err != wire.OK {
			t.Fatalf("got %+v, want xid %d", h, want)
		}
	}
}

// TestDearReadsHoldLaterWrites has a connection whose reads are known to be dear
// send more of them behind a write, and another write: that one waits at the
// connection, so that the member's loop need not do those reads.
func TestDearReadsHoldLaterWrites(t *testing.T) {
	f, c, dear := startDear(t)
	dear.cost.Store(int64(dearCost))
	c.must(2, wire.OpGetData, pathOf("/dear"), wire.OK)
	f.member.hold(true)
	set := &wire.SetDataRequest{Path: "/dear", Data: []byte("1"), Version: -1}
	c.send(request(3, wire.OpSetData, set), request(4, wire.OpGetData, pathOf("/dear")), request(5, wire.OpSetData, set))
	f.member.waitWork(t, 1)
	eventually(t, func() bool { return f.srv.connections()[0].describe().Outstanding == 2 })
	f.member.mu.Lock()
	if n := len(f.member.mu.work); n != 1 {
		t.Errorf("the member has %d requests, want the first write alone", n)
	}
	f.member.mu.Unlock()
	f.member.hold(false)
	for want := int32(3); want <= 5; want++ {
		if h, _ := c.reply(); h.Xid != want || h.Err != wire.OK {
			t.Fatalf("got %+v, want xid %d", h, want)
		}
	}
}

// TestOrderUnderBackPressure is the order of one connection's requests while
// everything that can hold it back does: more writes and reads than its queue
// and its output may have, a member that stops until the queue is full, and a
// client that reads late. Every read shows the number of writes before it.
func TestOrderUnderBackPressure(t *testing.T) {
	f := start(t, func(o *Options) { o.QueueRequests = 20 })
	c := f.connect()
	c.must(0, wire.OpCreate, createOf("/n", ""), wire.OK)
	const all = 3000
	isWrite := func(i int32) bool { return i%7 == 1 || i%11 == 3 }
	data := bytes.Repeat([]byte("x"), 30_000)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := int32(1); i <= all; i++ {
			op, body := wire.OpGetData, wire.Appender(pathOf("/n"))
			if isWrite(i) {
				op, body = wire.OpSetData, &wire.SetDataRequest{Path: "/n", Data: data[:int(i)*97%len(data)], Version: -1}
			}
			if _, err := c.nc.Write(request(i, op, body)); err != nil {
				return // the reader reports it
			}
		}
	}()
	conn := f.srv.connections()[0]
	stopped := func() bool { // by what is unwritten or unanswered
		conn.mu.Lock()
		defer conn.mu.Unlock()
		return conn.full()
	}
	writes := int32(0)
	for i := int32(1); i <= all; i++ {
		switch {
		case i%600 == 100 && i < 1600: // the client is late until its replies pile up
			eventually(t, stopped)
		case i%600 == 400 && i < 1600: // the member is late until nothing more fits
			f.member.hold(true)
			eventually(t, stopped)
			f.member.hold(false)
		}
		h, body := c.reply()
		if h.Xid != i || h.Err != wire.OK {
			t.Fatalf("got %+v, want xid %d", h, i)
		}
		if isWrite(i) {
			writes++
			continue
		}
		var stat wire.Stat
		if err := wire.Unmarshal(body[4+len(dataOf(body)):], &stat); err != nil {
			t.Fatal(err)
		}
		if stat.Version != writes {
			t.Fatalf("read %d shows version %d, after %d writes", i, stat.Version, writes)
		}
	}
	<-sent
}
