package quorum

import (
	"time"

	"go.uber.org/zap"

	"zooid/peer"
	"zooid/wire"
	"zooid/znode"
)

const (
	// tickEvery is how often the loop looks at the clock.
	tickEvery = 50 * time.Millisecond
	// keepEvery is how often the tree's changes go to the durable copy, and
	// keepTxns after how many transactions they go before their time: what waits
	// takes memory, and is written as one batch.
	keepEvery = time.Second
	keepTxns  = 16384
	// roundsMax bounds the rounds of the loop that a goroutine runs for others
	// before it leaves them to the loop's own.
	roundsMax = 4
	// applyMax bounds the transactions applied in one hold of the tree's lock,
	// so that readers get in between.
	applyMax = 256
	// applyTime is how long one hold of the tree's lock goes on; the transaction
	// during which it ends is the last.
	applyTime = 2 * time.Millisecond
	// stallMin is the pause from which on the loop stood still: the process was
	// stopped or starved. What the others sent meanwhile is still to be read, so
	// of such a pause only tickEvery counts.
	stallMin = 4 * tickEvery
	// handOver is how long a member that is asked to stop goes on with what is
	// under way before it lets the others find a new leader.
	handOver = 100 * time.Millisecond
)

// clock is the protocol's clock: the time in which the member could have heard
// the others.
type clock struct {
	last time.Time
	now  time.Duration
}

// lapse moves the clock and tells its time in ms.
func (c *clock) lapse(now time.Time) int64 {
	gap := max(now.Sub(c.last), 0)
	c.last = now
	if gap >= stallMin {
		gap = tickEvery
	}
	c.now += gap
	return c.now.Milliseconds()
}

// release lets the memory go that a batch holds, which is done with.
func (b *batch) release() {
	clear(b.requests)
	clear(b.attaches)
	clear(b.calls)
}

// idle tells whether nothing has arrived.
func (m *Member) idle() bool {
	m.inbox.Lock()
	defer m.inbox.Unlock()
	b := &m.inbox.batch
	return len(b.requests) == 0 && len(b.attaches) == 0 && len(b.calls) == 0 && b.durable == 0 && b.err == nil
}

// serve runs rounds of the loop in the calling goroutine until nothing is left
// to do. If another goroutine has the turn that one will see to it.
func (m *Member) serve() {
	for range roundsMax {
		if !m.turn.TryLock() {
			return
		}
		m.round()
		early := m.earlier()
		m.turn.Unlock()
		if early {
			m.knock() // the loop's own goroutine would sleep too long
		}
		// Who found the turn taken has left its part in the inbox before.
		if m.idle() {
			return
		}
	}
	m.knock()
}

// earlier tells whether the peer wants the time sooner than the loop's own
// goroutine will wake up. The caller has the turn.
func (m *Member) earlier() bool {
	return m.net != nil && !m.turn.ended && m.peer.Deadline() < m.deadline.Load()
}

// round is the loop's one round: take, step, carry out. The caller has the
// turn.
func (m *Member) round() {
	t := &m.turn
	if t.ended || !t.started {
		return
	}
	b := &t.b
	b.requests, b.attaches, b.calls = b.requests[:0], b.attaches[:0], b.calls[:0]
	b.durable, b.err = 0, nil
	m.inbox.Lock()
	m.inbox.batch, *b = *b, m.inbox.batch
	m.inbox.Unlock()
	if b.err != nil {
		m.fail(b.err)
		return
	}
	m.step(b)
	m.settle()
	b.release()
	if t.ended {
		return
	}
	if m.net != nil {
		m.watch()
	}
	if t.unkept >= keepTxns || m.o.Store.Wanted() {
		m.keep()
	}
}

// run is the loop's own goroutine: it keeps the time, and takes the turn when
// somebody knocks.
func (m *Member) run() {
	defer close(m.done)
	timer := time.NewTimer(tickEvery)
	defer timer.Stop()
	lastTick := m.o.Now()
	lastKeep := lastTick
	stop := m.stop
	for {
		select {
		case <-m.wake:
		case <-timer.C:
		case <-stop:
			stop = nil
			m.stopping.Store(true)
			m.turn.Lock()
			m.turn.stopping = m.o.Now()
			m.turn.Unlock()
		case <-m.quit:
			m.turn.Lock()
			m.end()
			m.turn.Unlock()
			m.closeNetwork()
			return
		}
		m.turn.Lock()
		now := m.o.Now()
		if gap := now.Sub(lastTick); (gap >= tickEvery || gap < 0) && !m.turn.ended {
			m.tick(gap, now)
			lastTick = now
			if now.Sub(lastKeep) >= keepEvery {
				m.keep()
				lastKeep = now
			}
		}
		m.round()
		if m.stopping.Load() && !m.turn.ended && m.finished() {
			m.end()
		}
		over := m.turn.ended
		next := m.untilNext(lastTick)
		m.turn.Unlock()
		if over {
			m.closeNetwork()
			return
		}
		timer.Reset(next)
		if !m.idle() {
			m.knock()
		}
	}
}

// untilNext is how long the loop's own goroutine may sleep: to the next tick, or
// to what the peer waits for. The caller has the turn.
func (m *Member) untilNext(lastTick time.Time) time.Duration {
	c, now := &m.turn.clock, m.o.Now()
	wait := min(max(lastTick.Add(tickEvery).Sub(now), 0), tickEvery)
	if m.net == nil || m.turn.ended {
		return wait
	}
	// The peer's time is that of the last round, in whole ms, rounded down.
	passed := max(now.Sub(c.last), 0)
	wakes := (c.now + passed + wait).Milliseconds()
	if at := m.peer.Deadline(); at < wakes {
		wakes = at
		wait = max(time.Duration(at)*time.Millisecond-c.now-passed, 0)
	}
	m.deadline.Store(wakes)
	return wait
}

// finished tells whether everything that was handed over is final and answered.
//
// A leader that hands over does not wait for long: the other members' clients
// always have something under way.
func (m *Member) finished() bool {
	return m.peer.Outstanding() == 0 || m.net != nil && m.o.Now().Sub(m.turn.stopping) >= handOver
}

// end is the orderly end of the loop. The caller has the turn.
func (m *Member) end() {
	if m.turn.ended {
		return
	}
	if m.net != nil {
		m.peer.Resign("the member stops")
		m.settle()
	}
	m.o.Store.Keep(true)
	m.over()
}

// over lets nobody run a round any more. The caller has the turn.
func (m *Member) over() {
	m.turn.ended = true
	m.inbox.Lock()
	m.inbox.closed, m.inbox.ended = true, true
	m.inbox.batch = batch{} // nobody comes for it
	m.inbox.Unlock()
}

// keep hands what has changed to the durable copy. The caller has the turn.
func (m *Member) keep() {
	m.turn.unkept = 0
	m.o.Store.Keep(false)
}

// tick tells the peer of time. Sessions are looked at only when a bucket of
// theirs has ended; then the connections say whom they have heard.
func (m *Member) tick(gap time.Duration, now time.Time) {
	m.readOnly(now)
	m.checkCopy()
	if m.net != nil && m.turn.place.state == wire.Leading {
		m.survey(now)
	}
	if m.frozen.Load() {
		return
	}
	if m.peer.Advance(gap.Milliseconds(), tickEvery.Milliseconds()) {
		m.o.Clients.Touched(m.peer.Touch)
		m.o.Count.Expired(int64(m.peer.Expire(now.UnixMilli())))
	}
	m.sessionNow.Store(m.peer.SessionNow() + tickEvery.Milliseconds())
	m.peer.Sweep(now.UnixMilli())
}

// step feeds one batch to the peer.
func (m *Member) step(b *batch) {
	now := m.o.Now()
	m.peer.Tick(m.turn.clock.lapse(now))
	if b.durable != 0 {
		m.peer.Logged(b.durable)
		m.acked(0, b.durable)
	}
	for _, call := range b.calls {
		call()
	}
	if len(b.attaches) > 0 || len(b.requests) > 0 {
		timeMs := now.UnixMilli()
		for _, a := range b.attaches {
			m.peer.Attach(a.conn, a.session, a.passwd, a.timeoutMs, timeMs)
		}
		for _, r := range b.requests {
			m.peer.Submit(r, timeMs)
		}
		if n := len(b.requests); n > 0 && m.prepares() {
			m.o.Count.Batched(int64(n))
			m.o.Count.Prepared(m.o.Now().Sub(now) / time.Duration(n))
		}
	}
}

// prepares tells whether requests become transactions here. The caller has the
// turn.
func (m *Member) prepares() bool { return m.net == nil || m.turn.place.state == wire.Leading }

// settle carries out what the peer wants done until it wants no more: log and
// packets first, for they are what takes time, then apply and answer.
func (m *Member) settle() {
	for !m.turn.ended {
		rd := m.peer.Ready()
		busy := m.carryOut(&rd)
		for m.peer.Pending() {
			m.applySome(&m.turn.out)
			busy, m.turn.dirty = true, true
		}
		m.checkDigests()
		if !busy {
			break
		}
	}
	if m.turn.dirty {
		m.turn.dirty = false
		m.o.Clients.Flush()
	}
}

// carryOut does what the peer wants done, and tells whether it wanted anything.
func (m *Member) carryOut(rd *peer.Ready) (busy bool) {
	if rd.Broken != nil {
		m.fail(rd.Broken)
		return false
	}
	if m.net != nil {
		busy = m.net.carryOut(&rd.Ready)
	}
	if len(rd.Entries) > 0 {
		m.o.Log.Append(rd.Entries)
		m.o.Count.Logged(int64(len(rd.Entries)))
		if m.turn.place.state == wire.Leading {
			m.proposed(rd.Entries)
		}
		busy = true
	}
	if m.net != nil {
		m.net.flush()
	}
	for _, a := range rd.Attached {
		m.o.Clients.Attached(a.Conn, a.Session, a.TimeoutMs, a.Passwd)
		busy, m.turn.dirty = true, true
	}
	for _, d := range rd.Dropped {
		m.o.Clients.DropConn(d.Conn, d.Reason)
		busy = true
	}
	if rd.Serving != nil {
		m.serving(rd.Serving)
		busy = true
	}
	if rd.WantAttached {
		m.resume()
		busy = true
	}
	if rd.WantTouched {
		m.o.Clients.Touched(m.peer.Touch)
		m.peer.Touched()
		busy = true
	}
	return busy
}

// resume tells the peer who is connected here, under a new leader.
func (m *Member) resume() {
	var list []peer.Attachment
	m.o.Clients.Sessions(func(conn znode.ConnID, id wire.SessionID, timeoutMs int32) {
		list = append(list, peer.Attachment{Conn: conn, Session: id, TimeoutMs: timeoutMs})
	})
	m.peer.Resume(list)
}

// applySome applies at most applyMax transactions in one hold of the lock, fewer
// if they take long or if clients' reads have to come between them.
func (m *Member) applySome(out *znode.Applied) {
	if m.applyLocked(out) {
		m.o.Clients.AnswerOwed()
	}
}

// applyLocked is applySome under the lock. It tells whether reads are owed.
func (m *Member) applyLocked(out *znode.Applied) (owes bool) {
	m.tree.Lock()
	defer m.tree.Unlock()
	began := m.o.Now()
	n, last := int64(0), m.tree.LastZxid()
	defer func() {
		m.turn.unkept += n
		m.o.Count.Applied(n)
		if now := m.o.Now(); n > 0 {
			m.o.Count.AppliedIn(now.Sub(began))
			if made := m.peer.AppliedTime(); made > 0 {
				m.o.Count.Travelled(now.Sub(time.UnixMilli(made)))
			}
		}
		if m.turn.place.state == wire.Leading {
			m.o.Count.Committed(n)
			m.applied(last)
		}
	}()
	for range applyMax {
		if !m.peer.Apply(out) {
			return false
		}
		if out.Zxid > last { // a sync's outcome, say, has no transaction of its own
			n, last = n+1, out.Zxid
		}
		if out.Created != 0 && out.Conn != 0 {
			m.o.Clients.Attached(out.Conn, out.Created, out.TimeoutMs, m.peer.Password(out.Created, out.Cxid))
			out.Conn = 0
		}
		owes = m.o.Clients.Applied(out)
		if out.Closed != 0 {
			m.o.Clients.SessionClosed(out.Closed)
		}
		if owes || m.o.Now().Sub(began) >= applyTime {
			return owes
		}
	}
	return false
}

// fail ends the member: nobody knows what is on disk after a failed sync, and
// nobody may go on from a state that contradicts the ensemble's. The caller has
// the turn.
func (m *Member) fail(err error) {
	m.over()
	select {
	case m.failed <- err:
	default:
	}
	m.knock()
	m.log.Debug("the member's loop ends", zap.Error(err))
}
