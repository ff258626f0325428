package quorum

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"zooid/peer"
	"zooid/session"
	"zooid/wire"
	"zooid/zab"
	"zooid/znode"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journal is what happened, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

// news gives what has been noted since the last time.
func (j *journal) news() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines = nil
	return lines
}

// count is how many lines begin with prefix.
func (j *journal) count(prefix string) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, l := range j.lines {
		if strings.HasPrefix(l, prefix) {
			n++
		}
	}
	return n
}

// fakeLog syncs at once, unless it is held.
type fakeLog struct {
	journal *journal
	durable func(z wire.Zxid, err error)

	syncing sync.Mutex
	mu      sync.Mutex
	held    bool
	pending []wire.Entry
}

func (l *fakeLog) Append(batch []wire.Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range batch {
		txn, err := wire.DecodeTxn(e.Payload)
		if err != nil {
			panic(err)
		}
		l.journal.note("append %v %v", e.Zxid, txn.Op)
	}
	l.pending = append(l.pending, batch...)
	if !l.held {
		go l.sync()
	}
}

// sync makes durable what was appended. As with a real log, one at a time does.
func (l *fakeLog) sync() {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.mu.Lock()
	if len(l.pending) == 0 {
		l.mu.Unlock()
		return
	}
	last := l.pending[len(l.pending)-1].Zxid
	l.pending = nil
	l.mu.Unlock()
	l.durable(last, nil)
}

// hold keeps everything from becoming durable until release.
func (l *fakeLog) hold() {
	l.mu.Lock()
	l.held = true
	l.mu.Unlock()
}

func (l *fakeLog) release() {
	l.mu.Lock()
	l.held = false
	l.mu.Unlock()
	l.sync()
}

type fakeStore struct{ journal *journal }

func (s *fakeStore) Keep(force bool) {
	if force {
		s.journal.note("keep")
	}
}

func (s *fakeStore) Wanted() bool { return false }
func (s *fakeStore) Broken() bool { return false }

// fakeClients notes what it is told.
type fakeClients struct {
	journal *journal
	// onApplied, if set, is called as Applied is.
	onApplied func(a *znode.Applied)
	owes      bool // what Applied says

	mu      sync.Mutex
	heard   map[wire.SessionID]int64
	asked   int // calls of Touched
	passwds map[wire.SessionID][16]byte
	made    []wire.SessionID
}

func (c *fakeClients) Attached(conn znode.ConnID, id wire.SessionID, timeoutMs int32, passwd [16]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id == 0 {
		c.journal.note("attached conn=%d refused", conn)
		return
	}
	if _, known := c.passwds[id]; !known {
		c.made = append(c.made, id)
	}
	c.passwds[id] = passwd
	c.journal.note("attached conn=%d session=#%d timeout=%d", conn, 1+slices.Index(c.made, id), timeoutMs)
}

func (c *fakeClients) Applied(a *znode.Applied) bool {
	if c.onApplied != nil {
		c.onApplied(a)
	}
	text := fmt.Sprintf("applied %v conn=%d %v", a.Zxid, a.Conn, a.Op)
	if a.Err != wire.OK {
		text += ": " + a.Err.Error()
	}
	c.journal.note("%s", text)
	return c.owes
}

func (c *fakeClients) AnswerOwed() { c.journal.note("answer owed") }

func (c *fakeClients) Sessions(func(znode.ConnID, wire.SessionID, int32)) {}
func (c *fakeClients) Open(readOnly bool)                                 { c.journal.note("open readOnly=%t", readOnly) }
func (c *fakeClients) RefuseWrites(refuse bool)                           { c.journal.note("refuse writes: %v", refuse) }
func (c *fakeClients) Drop(reason string)                                 { c.journal.note("drop: %s", reason) }
func (c *fakeClients) DropConn(conn znode.ConnID, reason string) {
	c.journal.note("drop conn=%d: %s", conn, reason)
}

func (c *fakeClients) Flush() { c.journal.note("flush") }

func (c *fakeClients) SessionClosed(id wire.SessionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.journal.note("closed session=#%d", 1+slices.Index(c.made, id))
}

func (c *fakeClients) Touched(visit func(id wire.SessionID, at int64)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	for id, at := range c.heard {
		visit(id, at)
	}
}

// hear stamps a session as heard now.
func (c *fakeClients) hear(id wire.SessionID, now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard[id] = now
}

func (c *fakeClients) touchedCalls() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

// session is the n-th session that was made, from 1.
func (c *fakeClients) session(n int) (id wire.SessionID, passwd []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.passwds[c.made[n-1]]
	return c.made[n-1], p[:]
}

// rig is a member between fakes.
type rig struct {
	*Member
	*journal
	log     *fakeLog
	clients *fakeClients
}

// testTick is the width of the buckets in which sessions expire.
const testTick = time.Second

// newRig makes a member that is not started. change, if not nil, may change
// its options.
func newRig(change func(o *Options)) *rig {
	j := new(journal)
	b := &rig{journal: j, log: &fakeLog{journal: j},
		clients: &fakeClients{journal: j, heard: map[wire.SessionID]int64{}, passwds: map[wire.SessionID][16]byte{}}}
	tree := znode.New()
	tree.SetRules(znode.Rules{ExtendedTypes: true})
	tree.LoadSession(writer, 1<<30, session.CxidKeyed)
	tree.Loaded(0)
	o := Options{
		Peer: peer.Config{Zab: zab.Config{SID: 1, TickMs: testTick.Milliseconds()}, Keys: session.NewKeys([]byte("secret"))},
		Tree: tree, Log: b.log, Store: &fakeStore{j}, Clients: b.clients,
	}
	if change != nil {
		change(&o)
	}
	b.Member = NewMember(o)
	b.log.durable = b.Member.Durable
	return b
}

// writer is a session that is there from the start and does not expire: who
// makes the requests of create.
const writer wire.SessionID = 0x77

// start makes a member that runs and ends with the test, inside its bubble.
func start(t *testing.T, change func(o *Options)) *rig {
	b := newRig(change)
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	b.expect(t, "open readOnly=false")
	t.Cleanup(func() {
		b.log.release()
		if err := b.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return b
}

// create is a request of a connection to create a persistent znode.
func create(conn znode.ConnID, path string) *znode.Request {
	return &znode.Request{Conn: conn, Session: writer, Op: wire.OpCreate, Body: &wire.CreateRequest{Path: path, ACL: wire.OpenACL}}
}

func (b *rig) submit(reqs ...*znode.Request) { b.Submit(reqs) }

// expect compares what has happened since the last time.
func (b *rig) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := b.news(); !slices.Equal(got, want) {
		t.Fatalf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}
