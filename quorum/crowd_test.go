package quorum

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"zooid/store"
	"zooid/wire"
	"zooid/znode"
)

// crowd is the clients of a member.
type crowd struct {
	refusing atomic.Bool // writes
	n        *node
	mu       sync.Mutex
	// door is what the member said of who may come in, in order.
	door     []string
	sessions map[znode.ConnID]attachedTo
	answers  map[ask]answer
	dropped  map[znode.ConnID]string
	// onApplied, if set, is called as Applied is; the tree is locked.
	onApplied func(a *znode.Applied)
}

type attachedTo struct {
	id        wire.SessionID
	timeoutMs int32
	passwd    [16]byte
}

type ask struct {
	conn znode.ConnID
	cxid int32
}

type answer struct {
	err  wire.ErrCode
	zxid wire.Zxid
}

func newCrowd(n *node) *crowd {
	return &crowd{n: n, sessions: map[znode.ConnID]attachedTo{}, answers: map[ask]answer{}, dropped: map[znode.ConnID]string{}}
}

func (c *crowd) locked(do func()) {
	c.mu.Lock()
	do()
	c.mu.Unlock()
	c.n.c.happened()
}

func (c *crowd) Attached(conn znode.ConnID, id wire.SessionID, timeoutMs int32, passwd [16]byte) {
	c.locked(func() { c.sessions[conn] = attachedTo{id, timeoutMs, passwd} })
}

func (c *crowd) AnswerOwed() {}

func (c *crowd) Applied(a *znode.Applied) bool {
	c.mu.Lock()
	hook := c.onApplied
	c.mu.Unlock()
	if hook != nil {
		hook(a)
	}
	if a.Conn != 0 {
		c.locked(func() { c.answers[ask{a.Conn, a.Cxid}] = answer{a.Err, a.Zxid} })
	}
	return false
}

func (c *crowd) Flush() { c.n.c.happened() }

func (c *crowd) SessionClosed(id wire.SessionID) {
	c.locked(func() {
		for conn, s := range c.sessions {
			if s.id == id {
				delete(c.sessions, conn)
			}
		}
	})
}

// Touched hears from every client all the time.
func (c *crowd) Touched(visit func(id wire.SessionID, at int64)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sessions {
		visit(s.id, c.n.member.SessionNow())
	}
}

func (c *crowd) Sessions(visit func(conn znode.ConnID, id wire.SessionID, timeoutMs int32)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn, s := range c.sessions {
		visit(conn, s.id, s.timeoutMs)
	}
}

func (c *crowd) Open(readOnly bool) {
	c.locked(func() { c.door = append(c.door, fmt.Sprintf("open readOnly=%t", readOnly)) })
}

func (c *crowd) RefuseWrites(refuse bool) { c.refusing.Store(refuse) }

func (c *crowd) Drop(reason string) {
	c.locked(func() {
		c.door = append(c.door, "drop: "+reason)
		clear(c.sessions)
	})
}

func (c *crowd) DropConn(conn znode.ConnID, reason string) {
	c.locked(func() {
		c.dropped[conn] = reason
		delete(c.sessions, conn)
	})
}

func (c *crowd) session(conn znode.ConnID) wire.SessionID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions[conn].id
}

func (c *crowd) answer(key ask) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.answers[key]
	return a, ok
}

// heard is what the door was told so far.
func (c *crowd) heard() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.door)
}

// awaitDoor waits until the door was told exactly that.
func (c *crowd) awaitDoor(want ...string) {
	c.n.c.t.Helper()
	c.n.c.await(fmt.Sprintf("the door of server %d is told %q", c.n.sid, want), func() bool {
		heard := c.heard()
		if len(heard) > len(want) {
			c.n.c.t.Fatalf("the door of server %d was told\n%q, want\n%q", c.n.sid, heard, want)
		}
		return slices.Equal(heard, want)
	})
}

// awaitDoorEnd waits until the last things that the door was told are these.
func (c *crowd) awaitDoorEnd(want ...string) {
	c.n.c.t.Helper()
	c.n.c.await(fmt.Sprintf("the door of server %d is told %q", c.n.sid, want), func() bool {
		heard := c.heard()
		return len(heard) >= len(want) && slices.Equal(heard[len(heard)-len(want):], want)
	})
}

// hookedDisk is a store with which things go wrong when a test wants it.
type hookedDisk struct {
	*store.Store
	// beforeSave, if not nil, may fail SaveEpochs; afterReceive and afterStream
	// are called when the store is done with that.
	beforeSave   func(accepted, current int64) error
	afterReceive func()
	afterStream  func()
	reads        atomic.Int32 // calls of ReadLog
}

func (d *hookedDisk) SaveEpochs(accepted, current int64) error {
	if d.beforeSave != nil {
		if err := d.beforeSave(accepted, current); err != nil {
			return err
		}
	}
	return d.Store.SaveEpochs(accepted, current)
}

func (d *hookedDisk) ReadLog(after wire.Zxid, maxBytes int) (store.LogPart, error) {
	d.reads.Add(1)
	return d.Store.ReadLog(after, maxBytes)
}

func (d *hookedDisk) Receive(r io.Reader, label wire.Zxid, epoch int64) (*store.Received, error) {
	received, err := d.Store.Receive(r, label, epoch)
	if d.afterReceive != nil {
		d.afterReceive()
	}
	return received, err
}

func (d *hookedDisk) Stream(ctx context.Context, atLeast wire.Zxid) (*store.Stream, error) {
	stream, err := d.Store.Stream(ctx, atLeast)
	if d.afterStream != nil {
		d.afterStream()
	}
	return stream, err
}

// gatedLog keeps what is appended to itself while it is shut.
type gatedLog struct {
	Log
	mu      sync.Mutex
	shut    bool
	waiting []wire.Entry
}

func (l *gatedLog) Append(batch []wire.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shut {
		l.waiting = append(l.waiting, batch...)
		return
	}
	l.Log.Append(batch)
}

func (l *gatedLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shut = true
}

func (l *gatedLog) open() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Log.Append(l.waiting)
	l.shut, l.waiting = false, nil
}

// held is how many records wait.
func (l *gatedLog) held() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting)
}

// tallies are a member's instruments.
type tallies struct {
	c  *cluster
	mu sync.Mutex
	n  map[string]int64
}

func newTallies(c *cluster) *tallies { return &tallies{c: c, n: map[string]int64{}} }

func (t *tallies) get(name string) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n[name]
}

func (t *tallies) counter(name string) func(int64) {
	return func(n int64) {
		t.mu.Lock()
		t.n[name] += n
		t.mu.Unlock()
		t.c.happened()
	}
}

// timer counts how often something is measured; no time may be negative.
func (t *tallies) timer(name string) func(time.Duration) {
	count := t.counter(name)
	return func(took time.Duration) {
		if took < 0 {
			t.c.t.Errorf("%s took %v", name, took)
		}
		count(1)
	}
}

func (t *tallies) instruments() Instruments {
	return Instruments{
		Logged: t.counter("logged"), Applied: t.counter("applied"), Looked: t.counter("looked"),
		Elected: t.timer("elected"), Found: t.timer("found"),
		RoleEnded: func(string) { t.counter("ended")(1) },
		Proposed:  t.counter("proposed"), Committed: t.counter("committed"), Expired: t.counter("expired"),
		FoundLeading: t.timer("found leading"), DiffsSent: t.counter("diffs"), TruncsSent: t.counter("truncs"),
		SnapshotsSent: t.counter("snaps"), SnapshotsOut: func(n int64) { t.counter("snaps out")(1) },
		Revalidated: t.counter("revalidated"), QuorumAcked: t.timer("quorum acked"),
		Acked:  func(by wire.SID, took time.Duration) { t.timer(fmt.Sprintf("acked by %d", by))(took) },
		Synced: t.timer("synced"), ProposalsReceived: t.counter("proposals"), CommitsReceived: t.counter("commits"),
		ProposalTravelled: func(time.Duration) { t.counter("travelled")(1) },
		AppliedIn:         t.timer("applied in"), Travelled: func(time.Duration) { t.counter("txn travelled")(1) },
		Batched: func(int64) { t.counter("batches")(1) }, Prepared: t.timer("prepared"), Disloyal: t.counter("disloyal"),
		Installed: t.counter("installed"), Truncated: t.counter("truncated"),
	}
}
