package server

import (
	"sync"

	"zooid/wire"
)

// queueBytesHigh is how many bytes of frames in its queue stop a connection
// from being read. One frame may exceed it.
const queueBytesHigh = 4 << 20

// state is what has become of a request in a queue.
type state uint8

const (
	stateAwaited state = iota // the member has it
	stateRead                 // a read that waits for the requests before it
	stateCode                 // will be answered by an error code alone
	stateReply                // the reply is in body, made before those ahead of it
)

// item is a request that is not answered yet.
type item struct {
	xid   int32
	op    wire.OpCode
	state state
	code  wire.ErrCode
	at    int64 // when it came, see Server.now
	size  int   // bytes of its frame
	// body is the request's body (stateRead) or the whole reply with the
	// frame's length (stateReply).
	body []byte
	// partial says that the request goes on in the next item, which has the reply.
	partial bool
}

// queue holds the unanswered requests of a connection in their order. Its
// memory is borrowed while there are any.
type queue struct {
	list    *itemList
	awaited int // items in stateAwaited
	reads   int // items in stateRead
	bytes   int // sum of their sizes
}

type itemList struct {
	items []item
	head  int
}

var itemLists = sync.Pool{New: func() any { return &itemList{items: make([]item, 0, 32)} }}

const itemListKeep = 1024 // items in a list that is kept for reuse

func (q *queue) len() int {
	if q.list == nil {
		return 0
	}
	return len(q.list.items) - q.list.head
}

func (q *queue) push(it item) {
	if q.list == nil {
		q.list = itemLists.Get().(*itemList)
	}
	l := q.list
	if len(l.items) == cap(l.items) && l.head > len(l.items)/2 {
		n := copy(l.items, l.items[l.head:])
		clear(l.items[n:])
		l.items, l.head = l.items[:n], 0
	}
	l.items = append(l.items, it)
	q.bytes += it.size
	switch it.state {
	case stateAwaited:
		q.awaited++
	case stateRead:
		q.reads++
	}
}

// head is the oldest item; the queue must not be empty.
func (q *queue) head() *item { return &q.list.items[q.list.head] }

// find is the oldest awaited item with this xid and op, or nil. It is the head
// unless the member answers out of order.
func (q *queue) find(xid int32, op wire.OpCode) *item {
	if q.list == nil {
		return nil
	}
	for i := q.list.head; i < len(q.list.items); i++ {
		if it := &q.list.items[i]; it.state == stateAwaited && it.xid == xid && it.op == op {
			return it
		}
	}
	return nil
}

// pop drops the head, which must not be awaited any more.
func (q *queue) pop() {
	l := q.list
	q.bytes -= l.items[l.head].size
	if l.items[l.head].state == stateRead {
		q.reads--
	}
	l.items[l.head] = item{}
	if l.head++; l.head == len(l.items) {
		q.giveBack()
	}
}

func (q *queue) clear() {
	if q.list != nil {
		clear(q.list.items)
		q.giveBack()
	}
	q.awaited, q.reads, q.bytes = 0, 0, 0
}

func (q *queue) giveBack() {
	l := q.list
	q.list = nil
	if cap(l.items) <= itemListKeep {
		l.items, l.head = l.items[:0], 0
		itemLists.Put(l)
	}
}
