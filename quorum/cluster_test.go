package quorum

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"zooid/peer"
	"zooid/session"
	"zooid/store"
	"zooid/wire"
	"zooid/zab"
	"zooid/znode"
)

// cluster is an ensemble in this process: real members, stores and sockets, and
// clients that only the test knows.
type cluster struct {
	t        *testing.T
	ensemble *zab.Ensemble
	addrs    map[wire.SID]Addresses
	nodes    map[wire.SID]*node
	// txnMax, if not 0, is the largest transaction that a node started from now on
	// prepares as a leader.
	txnMax int
	// change, if not nil, may change a node's options before each start.
	change func(n *node, so *store.Options, o *Options)

	mu   sync.Mutex
	news chan struct{} // closed, and replaced, when anything has happened
}

// newCluster makes an ensemble of voters 1, 2, … and of observers behind them.
func newCluster(t *testing.T, voters, observers int) *cluster {
	t.Helper()
	c := &cluster{t: t, ensemble: &zab.Ensemble{}, addrs: map[wire.SID]Addresses{}, nodes: map[wire.SID]*node{}, news: make(chan struct{})}
	ports := freePorts(t, 2*(voters+observers))
	var text strings.Builder
	for i := range voters + observers {
		sid, role := wire.SID(i+1), "participant"
		if i >= voters {
			role = "observer"
		}
		a := Addresses{Quorum: []string{ports[2*i]}, Election: []string{ports[2*i+1]}}
		c.addrs[sid] = a
		c.ensemble.Members = append(c.ensemble.Members, zab.Member{SID: sid, Observer: i >= voters})
		_, port, _ := net.SplitHostPort(a.Election[0])
		fmt.Fprintf(&text, "server.%d=%s:%s:%s\n", sid, a.Quorum[0], port, role)
		c.nodes[sid] = &node{c: c, sid: sid, observer: i >= voters, fs: vfs.NewMem()}
	}
	c.ensemble.Text = []byte(text.String() + "version=0")
	t.Cleanup(func() {
		for _, n := range c.all() {
			n.stop()
		}
	})
	return c
}

// freePorts finds ports on which nobody listens, below those that the system
// gives to outgoing connections, so that a member that comes back finds its own
// free.
func freePorts(t *testing.T, n int) (addrs []string) {
	t.Helper()
	for tries := 0; len(addrs) < n && tries < 1000; tries++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000)))
		if err != nil {
			continue
		}
		defer l.Close() // all at the end, so that no port comes twice
		addrs = append(addrs, l.Addr().String())
	}
	if len(addrs) < n {
		t.Fatal("no free ports between 20000 and 32000")
	}
	return addrs
}

func (c *cluster) all() (list []*node) {
	for i := range c.ensemble.Members {
		list = append(list, c.nodes[c.ensemble.Members[i].SID])
	}
	return list
}

// happened has await look again.
func (c *cluster) happened() {
	c.mu.Lock()
	close(c.news)
	c.news = make(chan struct{})
	c.mu.Unlock()
}

// newsToCome is closed when anything happens from now on.
func (c *cluster) newsToCome() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.news
}

// await waits until something is so. It looks when anything has happened, and
// now and then for what nobody tells.
func (c *cluster) await(what string, so func() bool) {
	c.t.Helper()
	late := time.After(3 * patienceMax)
	for {
		news := c.newsToCome()
		if so() {
			return
		}
		select {
		case <-news:
		case <-time.After(20 * time.Millisecond):
		case <-late:
			c.tell()
			c.t.Fatalf("in vain: %s", what)
		}
	}
}

// tell shows what the members say, for a test that has failed.
func (c *cluster) tell() {
	for _, n := range c.all() {
		if n.logs == nil {
			continue
		}
		for _, e := range n.logs.All() {
			c.t.Logf("%d: %s %s %v", n.sid, e.Time.Format("05.000"), e.Message, e.ContextMap())
		}
		if n.member != nil {
			c.t.Logf("%d: %+v", n.sid, n.status())
		}
	}
}

// start starts members, all that do not run if none is named, and waits until
// they serve.
func (c *cluster) start(sids ...wire.SID) {
	c.t.Helper()
	var fresh []*node
	for _, n := range c.all() {
		if n.member == nil && (len(sids) == 0 || slices.Contains(sids, n.sid)) {
			n.open()
			fresh = append(fresh, n)
		}
	}
	for _, n := range fresh {
		n.begin()
	}
	c.awaitServing(sids...)
}

func (c *cluster) awaitServing(sids ...wire.SID) {
	c.t.Helper()
	for _, n := range c.all() {
		if len(sids) == 0 || slices.Contains(sids, n.sid) {
			c.await(fmt.Sprintf("server %d serves", n.sid), func() bool { return n.status().Serves })
		}
	}
}

// leader is the member that leads all that run.
func (c *cluster) leader() *node {
	c.t.Helper()
	var leader *node
	c.await("one leader", func() bool {
		leader = nil
		for _, n := range c.all() {
			if n.member == nil {
				continue
			}
			st := n.status()
			if !st.Serves || leader != nil && st.Leader != leader.sid {
				return false
			}
			leader = c.nodes[st.Leader]
		}
		return leader != nil && leader.member != nil && leader.status().State == wire.Leading
	})
	return leader
}

// follower is a voter that follows.
func (c *cluster) follower() *node {
	c.t.Helper()
	leader := c.leader()
	return c.all()[slices.IndexFunc(c.all(), func(n *node) bool { return n != leader })]
}

// awaitSame waits until all that run have the same tree, at z at least.
func (c *cluster) awaitSame(z wire.Zxid) {
	c.t.Helper()
	c.await(fmt.Sprintf("all have the same tree at %v", z), func() bool {
		var first *node
		for _, n := range c.all() {
			if n.member == nil {
				continue
			}
			if first == nil {
				first = n
			}
			at, digest := n.tree()
			firstAt, firstDigest := first.tree()
			if at < z || at != firstAt || digest != firstDigest {
				return false
			}
		}
		return true
	})
}

// node is a member of a cluster and what is around it.
type node struct {
	c        *cluster
	sid      wire.SID
	observer bool
	fs       vfs.FS

	store   *store.Store
	member  *Member // nil while it does not run
	disk    *hookedDisk
	log     *gatedLog
	crowd   *crowd
	logs    *observer.ObservedLogs
	tallies *tallies
	lastAsk int32
}

// open makes the member out of what its disk holds.
func (n *node) open() {
	n.c.t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	logger := zap.New(zapcore.RegisterHooks(core, func(zapcore.Entry) error { n.c.happened(); return nil }))
	n.logs = logs
	so := store.Options{DataDir: "/data", FS: n.fs, PreallocBytes: -1, DeferTail: true, Log: logger,
		Durable: func(z wire.Zxid, err error) { n.member.Durable(z, err) }}
	o := Options{
		Peer: peer.Config{HoldMs: 60_000, Zab: zab.Config{SID: n.sid, Ensemble: n.c.ensemble, Observer: n.observer,
			TickMs: 100, InitLimit: 30, SyncLimit: 50, MinNotifyMs: 50, MaxNotifyMs: 500, FinalizeMs: 50, MaxEpochWaitMs: -1,
			DialTries: 5, DiffBytes: 1 << 30, RecentBytes: 1 << 20}},
		Ensemble: &Ensemble{Members: n.c.addrs, ListenElection: n.c.addrs[n.sid].Election, ListenQuorum: n.c.addrs[n.sid].Quorum},
		Logger:   logger,
	}
	n.disk, n.log, n.crowd, n.tallies = &hookedDisk{}, &gatedLog{}, newCrowd(n), newTallies(n.c)
	o.Count = n.tallies.instruments()
	if n.c.change != nil {
		n.c.change(n, &so, &o)
	}
	var err error
	if n.store, err = store.Open(so); err != nil {
		n.c.t.Fatalf("server %d: %v", n.sid, err)
	}
	n.disk.Store, n.log.Log = n.store, n.store.Log()
	tree := n.store.Tree()
	tree.SetRules(znode.Rules{ExtendedTypes: true, TxnMax: n.c.txnMax})
	o.Disk = zab.Disk{Last: max(tree.LastZxid(), n.store.Log().Last()), Committed: tree.LastZxid()}
	if o.Disk.Epochs.Accepted, o.Disk.Epochs.Current, err = n.store.Epochs(); err == nil {
		o.Disk.Recent, err = n.store.Tail()
	}
	if err != nil {
		n.c.t.Fatalf("server %d: %v", n.sid, err)
	}
	o.Peer.Keys = session.NewKeys(n.store.SessionSecret())
	o.Peer.Zab.Secret = string(n.store.SessionSecret())
	o.Tree, o.Log, o.Store, o.Clients, o.Ensemble.Disk = tree, n.log, n.store, n.crowd, n.disk
	n.member = NewMember(o)
	n.store.Log().Start()
}

func (n *node) start() {
	n.c.t.Helper()
	n.open()
	n.begin()
}

func (n *node) begin() {
	n.c.t.Helper()
	if err := n.member.Start(); err != nil {
		n.c.t.Fatalf("server %d: %v", n.sid, err)
	}
}

// stop ends a member in good order, as SIGTERM does.
func (n *node) stop() {
	n.c.t.Helper()
	if n.member == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patienceMax)
	defer cancel()
	if err := n.member.Stop(ctx); err != nil {
		n.c.t.Errorf("stop server %d: %v", n.sid, err)
	}
	n.closeStore()
}

func (n *node) closeStore() {
	n.c.t.Helper()
	if err := n.store.Close(); err != nil {
		n.c.t.Errorf("close the store of server %d: %v", n.sid, err)
	}
	n.member = nil
	n.c.happened()
}

var errCrash = errors.New("the test ends this server")

// crash ends a member at once.
func (n *node) crash() {
	n.c.t.Helper()
	n.member.Durable(0, errCrash)
	if err := n.failure(); !errors.Is(err, errCrash) {
		n.c.t.Errorf("server %d failed with %v", n.sid, err)
	}
	n.stop()
}

// failure waits for the error that ends a member.
func (n *node) failure() error {
	n.c.t.Helper()
	select {
	case err := <-n.member.Failed():
		return err
	case <-time.After(patienceMax):
		n.c.t.Fatalf("server %d does not fail", n.sid)
	}
	return nil
}

func (n *node) status() Status {
	st, err := n.member.Status()
	if err != nil && !errors.Is(err, ErrStopped) {
		n.c.t.Errorf("status of server %d: %v", n.sid, err)
	}
	return st
}

func (n *node) tree() (wire.Zxid, uint64) {
	tree := n.member.Tree()
	tree.RLock()
	defer tree.RUnlock()
	return tree.LastZxid(), tree.Digest()
}

// logged counts log lines with a text in them.
func (n *node) logged(text string) (lines int) {
	for _, e := range n.logs.All() {
		if strings.Contains(e.Message, text) {
			lines++
		}
	}
	return lines
}

// connect has a client begin a session.
func (n *node) connect(conn znode.ConnID) wire.SessionID {
	n.c.t.Helper()
	n.member.Attach(conn, 0, nil, 30_000)
	n.c.await(fmt.Sprintf("server %d gives connection %d a session", n.sid, conn), func() bool { return n.crowd.session(conn) != 0 })
	return n.crowd.session(conn)
}

// submit has a client ask for something, and gives what waits for the outcome.
func (n *node) submit(conn znode.ConnID, op wire.OpCode, body wire.Record) (outcome func() (wire.ErrCode, wire.Zxid)) {
	return n.submitAs(conn, nil, op, body)
}

// submitAs is submit for a client with these identities.
func (n *node) submitAs(conn znode.ConnID, ids []wire.ID, op wire.OpCode, body wire.Record) (outcome func() (wire.ErrCode, wire.Zxid)) {
	n.lastAsk++
	key := ask{conn, n.lastAsk}
	n.member.Submit([]*znode.Request{{Conn: conn, Session: n.crowd.session(conn), Cxid: key.cxid, Op: op, Body: body, IDs: ids}})
	return func() (wire.ErrCode, wire.Zxid) {
		n.c.t.Helper()
		var a answer
		n.c.await(fmt.Sprintf("server %d answers %v of connection %d", n.sid, op, conn), func() (ok bool) {
			a, ok = n.crowd.answer(key)
			return ok
		})
		return a.err, a.zxid
	}
}

// create makes a znode and gives its zxid.
func (n *node) create(conn znode.ConnID, path string, size int) wire.Zxid {
	n.c.t.Helper()
	err, z := n.submit(conn, wire.OpCreate, createBody(path, size))()
	if err != wire.OK {
		n.c.t.Fatalf("create %s by server %d: %v", path, n.sid, err)
	}
	return z
}

func createBody(path string, size int) *wire.CreateRequest {
	return &wire.CreateRequest{Path: path, Data: make([]byte, size), ACL: wire.OpenACL}
}

// fill makes many znodes of a KiB and gives the zxid of the last one.
func (n *node) fill(conn znode.ConnID, prefix string, many int) (z wire.Zxid) {
	n.c.t.Helper()
	var outcomes []func() (wire.ErrCode, wire.Zxid)
	for i := range many {
		outcomes = append(outcomes, n.submit(conn, wire.OpCreate, createBody(fmt.Sprintf("/%s-%d", prefix, i), 1024)))
	}
	for _, outcome := range outcomes {
		var err wire.ErrCode
		if err, z = outcome(); err != wire.OK {
			n.c.t.Fatalf("create %s by server %d: %v", prefix, n.sid, err)
		}
	}
	return z
}

func (n *node) exists(path string) bool {
	tree := n.member.Tree()
	tree.RLock()
	defer tree.RUnlock()
	body := (&wire.WatchRequest{Path: path}).Append(nil)
	_, err := tree.Read(wire.OpExists, &znode.Reader{}, body, nil)
	return err == nil
}
