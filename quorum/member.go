package quorum

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"zooid/peer"
	"zooid/session"
	"zooid/wire"
	"zooid/zab"
	"zooid/znode"
)

// Clients is the clients' network as the loop sees it. The loop makes every
// call; none may block.
type Clients interface {
	// Attached answers an attachment. id 0 says that there is no such session.
	Attached(conn znode.ConnID, id wire.SessionID, timeoutMs int32, passwd [16]byte)
	// Applied tells the outcome of one transaction, under the tree's write
	// lock, one after the other. a is valid during the call. If it is true the
	// lock is released and AnswerOwed called before the next one is applied.
	Applied(a *znode.Applied) (owes bool)
	// AnswerOwed answers reads that would have kept the lock for too long.
	AnswerOwed()
	// Flush comes after the lock is released: what was queued may be written.
	Flush()
	// SessionClosed says that a session has ended.
	SessionClosed(id wire.SessionID)
	// Touched visits every session that has a connection here with the time,
	// in ms of the session clock, at which it was last heard.
	Touched(visit func(id wire.SessionID, at int64))
	// Sessions visits every session that has a connection here.
	Sessions(visit func(conn znode.ConnID, id wire.SessionID, timeoutMs int32))

	// RefuseWrites says whether what clients write is refused, because the disk has
	// too little room for it.
	RefuseWrites(refuse bool)
	// Open lets clients in; readOnly only those that want no more than to read.
	Open(readOnly bool)
	// Drop closes every connection and lets nobody in until Open.
	Drop(reason string)
	// DropConn closes one connection.
	DropConn(conn znode.ConnID, reason string)
}

// Log is the transaction log as the loop sees it. Append must not block, and
// its completion comes to Member.Durable.
type Log interface{ Append(batch []wire.Entry) }

// Store is the durable copy of the tree as the loop sees it.
type Store interface {
	// Keep hands the changes of the tree since the last call to the durable
	// copy. It must not block; the loop calls it now and then.
	Keep(force bool)
	// Wanted tells whether somebody waits for what Keep would hand over. It must
	// not block.
	Wanted() bool
	// Broken tells whether the durable copy takes no more changes.
	Broken() bool
}

// Options are what a Member is made of.
type Options struct {
	Peer    peer.Config
	Tree    *znode.Tree // as recovered
	Disk    zab.Disk    // what else was recovered
	Log     Log
	Store   Store
	Clients Clients
	// Ensemble is where the other members are, nil for a member alone.
	Ensemble *Ensemble
	Logger   *zap.Logger      // nil: none
	Now      func() time.Time // nil: time.Now
	Count    Instruments
	// Mismatch, if not nil, is told of a digest that shows that the tree here is
	// wrong. It must not block.
	Mismatch func(znode.DigestMismatch)
	// TrueDigest, if not nil, makes the tree at a zxid once more from what is on
	// disk, and gives its digest. It blocks.
	TrueDigest func(z wire.Zxid) (uint64, error)
}

// Member is a running peer.
type Member struct {
	o      Options
	log    *zap.Logger
	tree   *znode.Tree
	peer   *peer.Peer
	net    *network      // nil for a member alone
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
		clock  clock
		unkept int64 // transactions applied since the last keep
		dirty  bool  // the clients' network has something to flush

		digests  digests
		place    place
		office   office
		disk     diskSpace
		started  bool      // the peer is; nobody runs a round before
		stopping time.Time // when the end was asked for
		ended    bool      // nobody runs a round any more
	}
	inbox struct {
		sync.Mutex
		batch
		started bool // there is a loop, or will be as soon as it listens
		closed  bool // nobody takes what clients want any more
		ended   bool // nobody takes anything any more
	}
	stopping   atomic.Bool            // only the loop's own goroutine runs rounds
	sessionNow atomic.Int64           // upper bound of the session clock until the next tick
	status     atomic.Pointer[Status] // as the loop told it last; nil before it has
	frozen     atomic.Bool            // the session clock stands still
	deadline   atomic.Int64           // what the loop's own goroutine sleeps to at most, in ms of the protocol's clock
	made       time.Time
	suspect    atomic.Pointer[string] // see Suspect
}

// batch is what has arrived since the loop last looked.
type batch struct {
	requests []*znode.Request
	attaches []attach
	calls    []func()
	durable  wire.Zxid // 0: no news
	err      error     // from the disk
}

type attach struct {
	conn      znode.ConnID
	session   wire.SessionID
	passwd    []byte
	timeoutMs int32
}

// NewMember makes a member from what was recovered. Start begins its loop.
func NewMember(o Options) *Member {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	o.Count.fill()
	m := &Member{
		o: o, log: o.Logger, tree: o.Tree,
		wake: make(chan struct{}, 1), failed: make(chan error, 1), made: o.Now(),
		stop: make(chan struct{}), quit: make(chan struct{}), done: make(chan struct{}),
	}
	m.turn.clock.last = m.made
	m.turn.place.since = m.made
	m.peer = peer.New(o.Peer, o.Tree, o.Disk, m.made.UnixMilli())
	m.countReplayed()
	m.sessionNow.Store(m.peer.SessionNow() + tickEvery.Milliseconds())
	return m
}

// Start begins the loop: the term of a member alone, or the search for a
// leader. The error is that an address towards the other members cannot be
// listened on; nothing runs then.
func (m *Member) Start() error {
	// The others may be heard as soon as it listens. What they say waits in the
	// inbox for the end of this turn.
	m.turn.Lock()
	defer m.turn.Unlock()
	if m.o.Ensemble != nil {
		net, err := newNetwork(m)
		if err != nil {
			return err
		}
		m.net = net
	}
	m.inbox.Lock()
	m.inbox.started = true
	m.inbox.Unlock()
	m.turn.started = true
	m.turn.place.since = m.o.Now()
	if m.net != nil {
		m.look()
	}
	m.peer.Advance(0, tickEvery.Milliseconds()) // so that a term that begins at once gives sessions their whole timeouts
	m.peer.Start(m.turn.clock.lapse(m.o.Now()))
	m.settle()
	m.knock() // for what has come meanwhile
	go m.run()
	return nil
}

// Freeze stops the session clock for good. It comes before clients are turned
// away at the end: a session must not expire because nobody lets it in. Clients
// that are held at that time, or are served read-only, are let go, for nobody
// will answer them.
func (m *Member) Freeze() {
	if m.frozen.Swap(true) || m.o.Ensemble == nil {
		return
	}
	m.post(func() {
		if m.turn.place.state == wire.Looking {
			m.dropAll("this server stops")
		}
	})
}

// Stop ends the loop once everything that was handed over before is applied
// and answered, and waits for that; the log must still be running. A leader
// then hands over: the others learn at once that they need another one. When ctx
// is done first, which is how it ends on a full disk, what is not final yet is
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
func (m *Member) Started() time.Time { return m.made }

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
		m.inbox.err = fmt.Errorf("transaction log: %w; what it holds is uncertain, so the server stops", err)
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

// post has call run in the loop's next round, by whoever has the turn. It is
// how news from the other members and from the disk arrives.
func (m *Member) post(call func()) {
	m.inbox.Lock()
	if m.inbox.ended {
		m.inbox.Unlock()
		return
	}
	m.inbox.calls = append(m.inbox.calls, call)
	m.inbox.Unlock()
	if m.stopping.Load() {
		m.knock()
		return
	}
	m.serve()
}

// ErrStopped says that the member's loop has ended.
var ErrStopped = errors.New("the member has stopped")

// ask runs question in the loop and waits for that.
func (m *Member) ask(question func()) error {
	ready := make(chan struct{})
	err := m.leave(func() {
		question()
		close(ready)
	})
	if err != nil {
		return err
	}
	select {
	case <-ready:
		return nil
	case <-m.done:
		return ErrStopped
	}
}

// leave has the loop run call when it comes to it.
func (m *Member) leave(call func()) error {
	m.inbox.Lock()
	if m.inbox.ended {
		m.inbox.Unlock()
		return ErrStopped
	}
	m.inbox.calls = append(m.inbox.calls, call)
	m.inbox.Unlock()
	m.knock()
	return nil
}

// SessionBuckets are the sessions by the time at which they expire, as the
// word dump shows them, and the session clock in ms.
func (m *Member) SessionBuckets() (buckets []session.Bucket, nowMs int64, err error) {
	err = m.ask(func() { buckets, nowMs = m.peer.SessionBuckets(), m.peer.SessionNow() })
	return buckets, nowMs, err
}

// Status is a member at one moment.
type Status struct {
	peer.Status
	// Serves tells that there is a role in which clients are served; ReadOnly that
	// only those are who want no more than to read.
	Serves, ReadOnly bool
	// Reason says why the last role ended; empty before there was one.
	Reason string
	// Since is when the present role, or the search for one, began.
	Since time.Time
	// Lags tells for every connected voter how long it has lacked a proposal
	// without a break, 0 if it lacks none. Leader only, as ProposalSize.
	Lags         map[wire.SID]time.Duration
	ProposalSize Sizes
}

// statusWait is how long Status waits for the loop, which may have much to do,
// before it gives what the loop said last.
const statusWait = 50 * time.Millisecond

// Status tells it. It waits for the loop only for a moment, once there is an
// earlier answer.
func (m *Member) Status() (Status, error) {
	ready := make(chan struct{})
	err := m.leave(func() {
		st := m.describe()
		m.status.Store(&st)
		close(ready)
	})
	if err != nil {
		return Status{}, err
	}
	var late <-chan time.Time
	if m.status.Load() != nil {
		timer := time.NewTimer(statusWait)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-ready:
	case <-late:
	case <-m.done:
		return Status{}, ErrStopped
	}
	return *m.status.Load(), nil
}

// describe is the member as it is. The caller has the turn.
func (m *Member) describe() Status {
	p, o := &m.turn.place, &m.turn.office
	if m.net != nil && p.state == wire.Leading {
		m.survey(m.o.Now())
	}
	return Status{Status: m.peer.Status(), Serves: p.state != wire.Looking, ReadOnly: p.reading,
		Reason: p.reason, Since: p.since, Lags: o.lags(m.o.Now()), ProposalSize: o.sizes}
}

// ResetStats forgets the sizes of proposals, as the word srst does.
func (m *Member) ResetStats() {
	m.post(func() { m.turn.office.sizes = noSizes })
}

func (m *Member) knock() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}
