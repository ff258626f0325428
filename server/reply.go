package server

import (
	"encoding/binary"

	"go.uber.org/zap"

	"zooid/wire"
	"zooid/znode"
)

// frameHead is the room for a reply's length and header, which are filled in
// when its body is known.
var frameHead [4 + wire.ReplyHeaderSize]byte

// putHead fills in the length and the header of the reply that is all of b.
func putHead(b []byte, xid int32, zxid wire.Zxid, code wire.ErrCode) {
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	binary.BigEndian.PutUint32(b[4:], uint32(xid))
	binary.BigEndian.PutUint64(b[8:], uint64(zxid))
	binary.BigEndian.PutUint32(b[16:], uint32(code))
}

// replyXid is the xid of the reply: a ping's is always -2, whatever was sent.
func replyXid(xid int32, op wire.OpCode) int32 {
	if op == wire.OpPing {
		return wire.XidPing
	}
	return xid
}

// answerRead appends the reply to a read. The caller holds the tree's lock, to
// read or to write, and c.mu: nothing may come between the look at the tree and
// the place of the reply among the events. A part of a request that goes on has
// events only.
func (c *conn) answerRead(xid int32, op wire.OpCode, body []byte, partial bool) {
	o := c.buffer()
	start := len(o.b)
	zxid := c.tree.LastZxid()
	b, err := c.tree.Read(op, &c.mu.reader, body, append(o.b, frameHead[:]...))
	code := wire.OK
	if err != nil {
		if code = wire.CodeOf(err); code == wire.ErrSystem {
			c.srv.log.Error("read failed", zap.Stringer("operation", op), zap.Error(err))
		}
	}
	if partial {
		o.b = b[:start]
		c.insertCatchup(o, start)
		return
	}
	o.b = b
	putHead(b[start:], replyXid(xid, op), zxid, code)
	c.mu.stats.replied(zxid, int64(len(b)-start))
	c.mu.replySize = max(len(b)-start, c.mu.replySize-c.mu.replySize/8)
	if len(c.mu.reader.Catchup) > 0 {
		c.insertCatchup(o, start)
	}
}

// insertCatchup puts the events that a setWatches caught up with before its
// reply, which begins at start.
func (c *conn) insertCatchup(o *outBuffer, start int) {
	reply := append([]byte(nil), o.b[start:]...)
	o.b = o.b[:start]
	for i := range c.mu.reader.Catchup {
		o.b = appendEvent(o.b, &c.mu.reader.Catchup[i])
		c.mu.stats.packetOut()
	}
	c.mu.reader.Catchup = nil
	o.b = append(o.b, reply...)
}

// answerCode appends a reply that is an error code. An unknown opcode's has
// zxid -1, as in ZooKeeper. The caller holds the tree's lock and c.mu.
func (c *conn) answerCode(xid int32, op wire.OpCode, code wire.ErrCode) {
	zxid := c.tree.LastZxid()
	if code == wire.ErrUnimplemented {
		zxid = -1
	}
	c.appendReply(replyXid(xid, op), zxid, code)
}

// appendReply appends a reply without a body. The caller holds c.mu.
func (c *conn) appendReply(xid int32, zxid wire.Zxid, code wire.ErrCode) {
	o := c.buffer()
	start := len(o.b)
	o.b = append(o.b, frameHead[:]...)
	putHead(o.b[start:], xid, zxid, code)
	c.mu.stats.replied(zxid, int64(len(frameHead)))
}

// replySASL answers a sasl packet with success and no token. The caller holds
// c.mu.
func (c *conn) replySASL(xid int32) {
	o := c.buffer()
	start := len(o.b)
	o.b = (&wire.SASLPacket{}).Append(append(o.b, frameHead[:]...))
	putHead(o.b[start:], xid, 0, wire.OK)
	c.mu.stats.replied(0, int64(len(o.b)-start))
}

// appendOutcome appends the reply to a request that the member carried out.
func appendOutcome(b []byte, a *znode.Applied) []byte {
	start := len(b)
	b = append(b, frameHead[:]...)
	if a.Err == wire.OK {
		b = znode.AppendReply(b, a)
	}
	putHead(b[start:], a.Cxid, a.Zxid, a.Err)
	return b
}

// appendEvent appends the notification of an event.
func appendEvent(b []byte, e *znode.Event) []byte {
	start := len(b)
	b = append(b, frameHead[:]...)
	n := wire.WatcherEvent{Type: e.Type, State: wire.StateSyncConnected, Path: e.Path}
	b = n.Append(b)
	putHead(b[start:], wire.XidNotification, e.Zxid, wire.OK)
	return b
}

// answerDue answers the requests at the head of the queue that need not wait
// any more, and says how many. It stops at one that the member still has, or
// when so much is unwritten, or so much time spent, that the reads that are left
// become a backlog.
//
// A read that has a later request of its connection at the member must not see
// what that request does, so it cannot be left as backlog. If there is no time
// for it, the connection owes it: it is to be answered before another
// transaction is applied. The caller holds the tree's lock and c.mu.
func (c *conn) answerDue(now int64, time *allowance) (answered int64, owes bool) {
	defer time.stop()
	q := &c.mu.queue
	for q.len() > 0 {
		it := q.head()
		switch it.state {
		case stateAwaited:
			return answered, false
		case stateRead:
			switch {
			case q.awaited == 0 && (time.spent() || c.outBytes() > outChunk):
				c.mu.backlog = true
				return answered, false
			case time.spent():
				return answered, true
			}
			time.begin(c.srv)
			c.answerRead(it.xid, it.op, it.body, it.partial)
			c.noteCost(time.spend(c.srv))
			c.srv.stats.reads(micros(now - it.at))
		case stateCode:
			c.answerCode(it.xid, it.op, it.code)
		case stateReply:
			c.append(it.body)
			c.mu.stats.replied(0, int64(len(it.body)))
		}
		c.mu.stats.took(now-it.at, 1, now)
		q.pop()
		answered++
	}
	c.releaseLarge()
	return answered, false
}

// releaseLarge gives back the room of large requests when none is unanswered.
// The caller holds c.mu.
func (c *conn) releaseLarge() {
	if c.mu.large > 0 {
		c.srv.large.Add(-c.mu.large)
		c.mu.large = 0
	}
}

// answerBacklog answers reads that were left until their replies found room. It
// is called by whoever writes.
func (c *conn) answerBacklog() {
	c.tree.RLock()
	c.mu.Lock()
	c.mu.backlog = false
	n := int64(0)
	if !c.mu.closed {
		n, _ = c.answerDue(c.srv.now(), &allowance{left: holdTime})
	}
	c.mu.Unlock()
	c.tree.RUnlock()
	c.srv.outstanding.Add(-n)
	c.srv.wakeStalled()
}
