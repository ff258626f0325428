package server

import "go.uber.org/zap"

// memoryStep is the step in bytes in which a connection's memory is told to the
// budget of all. What a client with small requests and replies holds is told
// never, so that processors do not wait for each other because of it.
const memoryStep = 4 << 10

// tellMemory tells the budget what the connection holds: what is unwritten, what
// is unanswered, and what has arrived and is not worked on. The caller holds
// c.mu.
func (c *conn) tellMemory() {
	n := c.mu.unsent + c.mu.queue.bytes + c.mu.input
	if o := c.mu.buf; o != nil {
		// The buffer that grew has more than is in it.
		if n += len(o.b); cap(o.b) > outFirst {
			n += cap(o.b) - len(o.b)
		}
	}
	c.memory.Hold(int64(n &^ (memoryStep - 1)))
}

// tellInput notes what the input holds; the connection's goroutine calls it
// when that has changed.
func (c *conn) tellInput() {
	n := len(c.in.rest) + cap(c.in.big)
	if n == c.in.told {
		return
	}
	c.in.told = n
	c.mu.Lock()
	c.mu.input = n
	c.tellMemory()
	c.mu.Unlock()
}

// exceedsMemory cuts the connection off: all of them hold too much together, and
// this one the most. The budget calls it.
func (c *conn) exceedsMemory(held, limit int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutOffLocked("the connections' queues and unfinished frames together need too much memory, and this one's the most",
		zap.Int64("bytes_of_this", held), zap.Int64("bytes_allowed_for_all", limit))
}
