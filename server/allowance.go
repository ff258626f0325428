package server

import (
	"time"

	"zooid/wire"
)

// A read costs what the tree and the ACLs make of it, so that a number of reads
// says little of the time that they take. Bounds on what is done in one go are
// therefore bounds on time that has passed.
const (
	// holdTime is how long reads go on in one hold of the tree's read lock; the
	// read during which it ends is the last. Then whoever wants to write gets in.
	holdTime = time.Millisecond
	// loopReadTime is what the member's loop spends, in one batch of
	// transactions, on reads that waited behind writes. More are left to the
	// connections, or done without the lock when a write of the same connection
	// comes next.
	loopReadTime = 2 * time.Millisecond
	// readAheadTime and readAheadMost bound the reads that may stand in a queue
	// with a write behind them: by the time that they will take, by a guess, and
	// by number, lest the guess be led astray. The member's loop has to do those
	// before it does the write. At the bound the write waits for them.
	readAheadTime = 5 * time.Millisecond
	readAheadMost = 64
	// clockEvery is how many cheap reads go on between two looks at the clock, which
	// cost as much as a tenth of such a read; cheapRead is what one takes at most.
	clockEvery = 8
	cheapRead  = 20 * time.Microsecond
	// readCostGuess is what a connection's reads are held to cost at first.
	readCostGuess = 50 * time.Microsecond
)

// allowance is the time that may yet be spent on reads in one go.
type allowance struct {
	left    time.Duration
	last    time.Duration // on the clock of Server.elapsed; when the last read ended
	started bool
}

// elapsed is the time since the server was made, on a monotonic clock.
func (s *Server) elapsed() time.Duration { return time.Since(s.began) }

// begin starts the clock, before the first of some reads.
func (a *allowance) begin(s *Server) {
	if !a.started {
		a.started, a.last = true, s.elapsed()
	}
}

// stop stops the clock: what comes until begin costs nothing.
func (a *allowance) stop() { a.started = false }

// spend takes what has passed since begin or the last spend, and says how much.
func (a *allowance) spend(s *Server) time.Duration {
	now := s.elapsed()
	took := now - a.last
	a.last = now
	a.left -= took
	return took
}

// spent tells whether nothing is left.
func (a *allowance) spent() bool { return a.left <= 0 }

// noteCost remembers what a read took: the guess at the next one is the dearest
// of the last ones, which is forgotten slowly. The caller holds c.mu.
func (c *conn) noteCost(took time.Duration) {
	c.mu.readCost = max(took, c.mu.readCost-c.mu.readCost/8)
}

// cheap tells whether a read is of one znode, where the last ones took next to
// nothing: not even clockEvery of the dearest such reads take a noticeable time.
// The caller holds c.mu.
func (c *conn) cheap(op wire.OpCode) bool {
	return (op == wire.OpGetData || op == wire.OpExists) && c.mu.readCost < cheapRead
}

// aheadFull tells whether so many reads wait in the queue that no write may be
// put behind them. The caller holds c.mu.
func (c *conn) aheadFull() bool {
	n := c.mu.queue.reads
	return n*c.mu.replySize > readAhead || n >= readAheadMost || time.Duration(n)*c.mu.readCost > readAheadTime
}
