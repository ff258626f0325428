package quorum

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"zooid/peer"
	"zooid/session"
	"zooid/wire"
	"zooid/znode"
)

// Clients is the clients' network as the loop sees it. The loop makes every
// call; none may block.
type Clients interface {
	// Attached answers an attachment. id 0 says that there is no such session.
	Attached(conn znode.ConnID, id wire.SessionID, timeoutMs int32, passwd [16]byte)
	// Applied tells the outcome of one transaction, under the tree's write
	// lock, one after the other. a is valid during the call.
	Applied(a *znode.Applied)
	// Flush comes after the lock is released: what was queued may be written.
	Flush()
	// SessionClosed says that a session has ended.
	SessionClosed(id wire.SessionID)
	// Touched visits every session that has a connection here with the time,
	// in ms of the session clock, at which it was last heard.
	Touched(visit func(id wire.SessionID, at int64))
}

// Log is the transaction log as the loop sees it. Append must not block, and
// its completion comes to Member.Durable.
type Log interface{ Append(batch []wire.Entry) }

// Store is the durable copy of the tree as the loop sees it.
type Store interface {
	// Keep hands the changes of the tree since the last call to the durable
	// copy. It must not block; the loop calls it now and then.
	Keep(force bool)
}

// Options are what a Member is made of.
type Options struct {
	Peer    peer.Config
	Tree    *znode.Tree // as recovered
	Log     Log
	Store   Store
	Clients Clients
	Now     func() time.Time // nil: time.Now

	// Counters; nil counts nothing. Proposed counts transactions handed to the
	// log, Applied those that were committed, Expired sessions that ended
	// because nobody was heard.
	Proposed, Applied, Expired func(n int64)
}

// Member is a running peer.
type Member struct {
	o      Options
	tree   *znode.Tree
	peer   *peer.Peer
	wake   chan struct{} // has one element when the loop's own goroutine is to look at the inbox
	stop   chan struct{} // closed when the loop is to end in good order
	quit   chan struct{} // closed when it is to end at once
	done   chan struct{} // closed when it has ended
	failed chan error

	// turn is held by whoever runs a round of the loop. It guards the peer, and
	// with it every change of the tree, and what follows.
	turn struct {
		sync.Mutex
		b      batch
		out    znode.Applied
		unkept int64 // transactions applied since the last keep
		ended  bool  // nobody runs a round any more
	}

	inbox struct {
		sync.Mutex
		batch
		started bool
		closed  bool // nobody takes what clients want any more
	}

	stopping   atomic.Bool
	sessionNow atomic.Int64 // upper bound of the session clock until the next tick
	frozen     atomic.Bool  // the session clock stands still
	started    time.Time
}

// batch is what has arrived since the loop last looked.
type batch struct {
	requests []*znode.Request
	attaches []attach
	calls    []func()
	durable  wire.Zxid // 0: no news
	err      error     // from the log
}

type attach struct {
	conn      znode.ConnID
	session   wire.SessionID
	passwd    []byte
	timeoutMs int32
}

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
)

// NewMember makes a member from what was recovered. Start begins its loop.
func NewMember(o Options) *Member {
	if o.Now == nil {
		o.Now = time.Now
	}
	for _, count := range []*func(int64){&o.Proposed, &o.Applied, &o.Expired} {
		if *count == nil {
			*count = func(int64) {}
		}
	}
	m := &Member{
		o: o, tree: o.Tree,
		wake: make(chan struct{}, 1), failed: make(chan error, 1), started: o.Now(),
		stop: make(chan struct{}), quit: make(chan struct{}), done: make(chan struct{}),
	}
	m.peer = peer.New(o.Peer, o.Tree, m.started.UnixMilli())
	m.sessionNow.Store(m.peer.SessionNow() + tickEvery.Milliseconds())
	return m
}

// Start begins the loop.
func (m *Member) Start() {
	m.inbox.Lock()
	m.inbox.started = true
	m.inbox.Unlock()
	go m.run()
}

// Freeze stops the session clock for good. It comes before clients are turned
// away at the end: a session must not expire because nobody lets it in.
func (m *Member) Freeze() { m.frozen.Store(true) }

// Stop ends the loop once everything that was handed over before is applied
// and answered, and waits for that; the log must still be running. When ctx is
// done first, which is how it ends on a full disk, what is not durable yet is
// given up and ctx's error is returned. A member that has failed, or was never
// started, has nothing to finish. Only the first call does anything but wait.
func (m *Member) Stop(ctx context.Context) error {
	m.inbox.Lock()
	started, closed := m.inbox.started, m.inbox.closed
	m.inbox.closed = true
	m.inbox.Unlock()
	m.Freeze()
	switch {
	case !started:
		return nil
	case !closed:
		close(m.stop)
	}
	select {
	case <-m.done:
		return nil
	case <-ctx.Done():
	}
	if !closed {
		close(m.quit)
	}
	<-m.done
	return ctx.Err()
}

// Failed gives the error that ended the member, if one did.
func (m *Member) Failed() <-chan error { return m.failed }

// Tree is the member's tree.
func (m *Member) Tree() *znode.Tree { return m.tree }

// Started is when the member was made.
func (m *Member) Started() time.Time { return m.started }

// SessionNow is the time, in ms of the session clock, with which a session
// that is heard from now is to be stamped. It is rounded up, so that nobody
// expires early.
func (m *Member) SessionNow() int64 { return m.sessionNow.Load() }

// Submit hands requests to the loop; it does not block. The outcome of each
// comes by Clients.Applied. After Stop, or a failure, requests are dropped.
func (m *Member) Submit(reqs []*znode.Request) {
	m.inbox.Lock()
	if m.inbox.closed {
		m.inbox.Unlock()
		return
	}
	m.inbox.requests = append(m.inbox.requests, reqs...)
	m.inbox.Unlock()
	m.serve()
}

// Attach asks for a session for a connection; the answer comes by
// Clients.Attached. passwd must stay unchanged until then. After Stop nobody
// answers: the connection's end is the business of whoever has it.
func (m *Member) Attach(conn znode.ConnID, id wire.SessionID, passwd []byte, timeoutMs int32) {
	m.inbox.Lock()
	if m.inbox.closed {
		m.inbox.Unlock()
		return
	}
	m.inbox.attaches = append(m.inbox.attaches, attach{conn, id, passwd, timeoutMs})
	m.inbox.Unlock()
	m.serve()
}

// Durable is the log's completion: everything up to z is on disk, or err says
// that the log has failed for good. The log's goroutine applies and answers by
// itself. That delays its next sync by as much, and makes the group that waits
// for it larger: a sync costs more than the replies of a group.
func (m *Member) Durable(z wire.Zxid, err error) {
	m.inbox.Lock()
	if err != nil {
		m.inbox.err = err
	} else {
		m.inbox.durable = z
	}
	m.inbox.Unlock()
	if err != nil || m.stopping.Load() {
		m.knock() // the loop's goroutine is to end with it
		return
	}
	m.serve()
}

// ErrStopped says that the member's loop has ended.
var ErrStopped = errors.New("the member has stopped")

// SessionBuckets are the sessions by the time at which they expire, as the
// word dump shows them, and the session clock in ms.
func (m *Member) SessionBuckets() (buckets []session.Bucket, nowMs int64, err error) {
	ready := make(chan struct{})
	m.inbox.Lock()
	if m.inbox.closed {
		m.inbox.Unlock()
		return nil, 0, ErrStopped
	}
	m.inbox.calls = append(m.inbox.calls, func() {
		buckets, nowMs = m.peer.SessionBuckets(), m.peer.SessionNow()
		close(ready)
	})
	m.inbox.Unlock()
	m.knock()
	select {
	case <-ready:
		return buckets, nowMs, nil
	case <-m.done:
		return nil, 0, ErrStopped
	}
}

func (m *Member) knock() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
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
		m.turn.Unlock()
		// Who found the turn taken has left its part in the inbox before.
		if m.idle() {
			return
		}
	}
	m.knock()
}

// round is the loop's one round: take, step, carry out. The caller has the
// turn.
func (m *Member) round() {
	t := &m.turn
	if t.ended {
		return
	}
	b := &t.b
	b.requests, b.attaches, b.calls = b.requests[:0], b.attaches[:0], b.calls[:0]
	b.durable, b.err = 0, nil
	m.inbox.Lock()
	m.inbox.batch, *b = *b, m.inbox.batch
	m.inbox.Unlock()
	if b.err != nil {
		t.ended = true
		m.fail(b.err)
		return
	}
	m.step(b)
	m.carryOut(&t.out)
	b.release()
	if t.unkept >= keepTxns {
		m.keep()
	}
}

// run is the loop's own goroutine: it keeps the time, and takes the turn when
// somebody knocks.
func (m *Member) run() {
	defer close(m.done)
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	lastTick := m.o.Now()
	lastKeep := lastTick
	stop := m.stop
	for {
		tick := false
		select {
		case <-m.wake:
		case <-ticker.C:
			tick = true
		case <-stop:
			stop = nil
			m.stopping.Store(true)
		case <-m.quit:
			m.turn.Lock()
			m.o.Store.Keep(true)
			m.turn.ended = true
			m.turn.Unlock()
			return
		}
		m.turn.Lock()
		if tick {
			now := m.o.Now()
			m.tick(now.Sub(lastTick), now)
			lastTick = now
			if now.Sub(lastKeep) >= keepEvery {
				m.keep()
				lastKeep = now
			}
		}
		m.round()
		if m.stopping.Load() && m.peer.Outstanding() == 0 && !m.turn.ended {
			m.o.Store.Keep(true)
			m.turn.ended = true
		}
		over := m.turn.ended
		m.turn.Unlock()
		if over {
			return
		}
		if !m.idle() {
			m.knock()
		}
	}
}

// keep hands what has changed to the durable copy. The caller has the turn.
func (m *Member) keep() {
	m.turn.unkept = 0
	m.o.Store.Keep(false)
}

// tick tells the peer of time. Sessions are looked at only when a bucket of
// theirs has ended; then the connections say whom they have heard.
func (m *Member) tick(gap time.Duration, now time.Time) {
	if m.frozen.Load() {
		return
	}
	if m.peer.Advance(gap.Milliseconds(), tickEvery.Milliseconds()) {
		m.o.Clients.Touched(m.peer.Touch)
		before := m.peer.Outstanding()
		m.peer.Expire(now.UnixMilli())
		m.o.Expired(int64(m.peer.Outstanding() - before))
	}
	m.sessionNow.Store(m.peer.SessionNow() + tickEvery.Milliseconds())
	m.peer.Sweep(now.UnixMilli())
}

// step feeds one batch to the peer.
func (m *Member) step(b *batch) {
	if b.durable != 0 {
		m.peer.Durable(b.durable)
	}
	if len(b.attaches) > 0 || len(b.requests) > 0 {
		timeMs := m.o.Now().UnixMilli()
		for _, a := range b.attaches {
			m.peer.Attach(a.conn, a.session, a.passwd, a.timeoutMs, timeMs)
		}
		for _, r := range b.requests {
			m.peer.Submit(r, timeMs)
		}
	}
	for _, call := range b.calls {
		call()
	}
}

// carryOut does what the peer wants done: log first, for that is what takes
// time, then apply and answer.
func (m *Member) carryOut(out *znode.Applied) {
	rd := m.peer.Ready()
	if len(rd.Entries) > 0 {
		m.o.Proposed(int64(len(rd.Entries)))
		m.o.Log.Append(rd.Entries)
	}
	for _, a := range rd.Attached {
		m.o.Clients.Attached(a.Conn, a.Session, a.TimeoutMs, a.Passwd)
	}
	busy := len(rd.Attached) > 0
	for m.peer.Pending() {
		m.applySome(out)
		busy = true
	}
	if busy {
		m.o.Clients.Flush()
	}
}

// applySome applies at most applyMax transactions in one hold of the lock.
func (m *Member) applySome(out *znode.Applied) {
	m.tree.Lock()
	defer m.tree.Unlock()
	n := int64(0)
	defer func() {
		m.turn.unkept += n
		m.o.Applied(n)
	}()
	for range applyMax {
		if !m.peer.Apply(out) {
			return
		}
		n++
		if out.Created != 0 && out.Conn != 0 {
			m.o.Clients.Attached(out.Conn, out.Created, out.TimeoutMs, m.peer.Password(out.Created))
			out.Conn = 0
		}
		m.o.Clients.Applied(out)
		if out.Closed != 0 {
			m.o.Clients.SessionClosed(out.Closed)
		}
	}
}

// fail ends the member: nobody knows what is on disk after a failed sync.
func (m *Member) fail(err error) {
	m.inbox.Lock()
	m.inbox.closed = true
	m.inbox.batch = batch{} // nobody comes for it
	m.inbox.Unlock()
	m.failed <- fmt.Errorf("transaction log: %w; what it holds is uncertain, so the server stops", err)
}
