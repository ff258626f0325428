package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"zooid/wire"
	"zooid/znode"
)

// TestStreamIsZooKeepers streams the state that ZooKeeper streamed: after the
// same txns, the same sessions, ACLs and znodes, whatever their order.
func TestStreamIsZooKeepers(t *testing.T) {
	for _, name := range []string{"01-election-and-first-sync", "04-join-snap"} {
		snap := readSnap(t, name)
		l := startLoop(t, memOptions())
		l.install(snap.stream, snap.label)
		l.s.settle()
		ours := streamOf(t, l.s, snap.label)
		want, have := parseStream(t, snap.stream), parseStream(t, ours)
		compare(t, want, have)
	}
}

func parseStream(t *testing.T, stream []byte) *content {
	t.Helper()
	r := newSealedReader(bytes.NewReader(stream))
	c := newCollector()
	must(t, r.body(c))
	for path, node := range c.Nodes { // ours is written without an entry in the table
		if slices.Equal(node.ACL, wire.OpenACL) {
			node.ACL = nil
			c.Nodes[path] = node
		}
	}
	if end, err := r.string(); end != signature || err != nil {
		t.Errorf("signature %q, %v", end, err)
	}
	if n, err := r.rest(); n != 0 || err != nil {
		t.Errorf("%d bytes follow, %v", n, err)
	}
	return &c.content
}

// TestStreamIsAPointInTime streams while txns go on. Each stream is exactly the
// state at its zxid, and at least what was asked for.
func TestStreamIsAPointInTime(t *testing.T) {
	o := memOptions()
	o.FlushTxns = 50
	l := startLoop(t, o)
	rng := rand.New(rand.NewPCG(5, 2))
	l.some(rng, 300)
	l.apply()
	type result struct {
		atLeast, z wire.Zxid
		stream     []byte
	}
	results := make(chan result, 100)
	asked := make(chan wire.Zxid)
	go func() {
		defer close(results)
		for atLeast := range asked {
			st, err := l.s.Stream(context.Background(), atLeast)
			if err != nil {
				t.Error(err)
				return
			}
			var b bytes.Buffer
			if _, err := st.WriteTo(&b); err != nil {
				t.Error(err)
			}
			must(t, st.Close())
			results <- result{atLeast, st.Zxid, b.Bytes()}
		}
	}()
	for range 20 {
		for sent := false; !sent; {
			l.some(rng, 20)
			l.apply()
			select {
			case asked <- l.s.tree.LastZxid():
				sent = true
			default:
			}
			l.s.Keep(false) // somebody waits, so it need not be forced
		}
	}
	close(asked)
	n := 0
	for open := true; open; {
		var r result
		select {
		case r, open = <-results:
		default:
			l.s.Keep(false)
			continue
		}
		if !open {
			break
		}
		n++
		if r.z < r.atLeast {
			t.Errorf("at %v, %v was asked for", r.z, r.atLeast)
		}
		have := parseStream(t, r.stream)
		want := model(t, l.txns, r.z)
		have.Zxid, have.Digest = want.Zxid, want.Digest
		compare(t, want, have)
	}
	if n != 20 {
		t.Errorf("%d streams", n)
	}
}

// TestStreamWaits until the copy is far enough, the context is done or the store
// is closed.
func TestStreamWaits(t *testing.T) {
	l := startLoop(t, memOptions())
	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan error, 2)
	wait := func(ctx context.Context) {
		_, err := l.s.Stream(ctx, 1000)
		failed <- err
	}
	go wait(ctx)
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	go wait(context.Background())
	l.create("/x", "", 0)
	l.apply()
	l.s.settle()
	mustClose(t, l.s)
	if err := <-failed; !errors.Is(err, errClosed) {
		t.Errorf("error %v", err)
	}
	go wait(context.Background())
	if err := <-failed; !errors.Is(err, errClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestCloseEndsStreams: Close waits for a stream that is under way, which ends
// early.
func TestCloseEndsStreams(t *testing.T) {
	l := startLoop(t, memOptions())
	l.propose(1, wire.OpCreateSession, nil)
	for range 40 {
		l.create("/x", string(make([]byte, 100<<10)), 2)
	}
	l.apply()
	l.s.settle()
	st, err := l.s.Stream(context.Background(), 0)
	must(t, err)
	slow := &slowWriter{begun: make(chan struct{}), goOn: make(chan struct{})}
	streamed := make(chan error)
	go func() {
		_, err := st.WriteTo(slow)
		must(t, st.Close())
		streamed <- err
	}()
	<-slow.begun
	closed := make(chan error)
	go func() { closed <- l.s.Close() }()
	<-l.s.stop
	select {
	case err := <-closed:
		t.Errorf("closed with a stream open: %v", err)
	default:
	}
	close(slow.goOn)
	if err := <-streamed; !errors.Is(err, errClosed) {
		t.Errorf("the stream ended with %v", err)
	}
	must(t, <-closed)
}

// slowWriter blocks in its first write.
type slowWriter struct {
	begun, goOn chan struct{}
	writes      int
}

func (w *slowWriter) Write(p []byte) (int, error) {
	if w.writes++; w.writes == 1 {
		close(w.begun)
		<-w.goOn
	}
	return len(p), nil
}

// TestInstallEndsStreams: a stream of the state before ends early, and one that
// waits gets the new state.
func TestInstallEndsStreams(t *testing.T) {
	l := startLoop(t, memOptions())
	l.propose(1, wire.OpCreateSession, nil)
	for range 40 {
		l.create("/x", string(make([]byte, 100<<10)), 2)
	}
	l.apply()
	l.s.settle()
	st, err := l.s.Stream(context.Background(), 0)
	must(t, err)
	label := wire.MakeZxid(2, 0)
	waiting := make(chan *Stream)
	go func() {
		st, err := l.s.Stream(context.Background(), label)
		if err != nil {
			t.Error(err)
		}
		waiting <- st
	}()
	want, stream := donor(t, 1, label)
	l.install(stream, label)
	l.s.Keep(true) // the new store cannot take the old one's place yet
	if _, err := st.WriteTo(io.Discard); !errors.Is(err, errReplaced) {
		t.Errorf("error %v", err)
	}
	must(t, st.Close())
	l.s.settle()
	st = <-waiting
	if st.Zxid != label {
		t.Errorf("at %v", st.Zxid)
	}
	must(t, st.Close())
	compare(t, want, contentOf(t, l.s))
	l.view = znode.NewView(l.s.tree)
	l.create("/goes-on", "", 0)
	l.apply()
	l.s.settle()
}
