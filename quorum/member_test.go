package quorum

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"zooid/wire"
	"zooid/znode"
)

func TestWriteIsLoggedThenAppliedThenFlushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		b.submit(create(7, "/a"), create(7, "/a"))
		synctest.Wait()
		b.expect(t,
			"append 0x1 create", "append 0x2 error",
			"applied 0x1 conn=7 create", "applied 0x2 conn=7 create: node exists",
			"flush")
		if z := b.Tree().LastZxid(); z != 2 {
			t.Errorf("the tree is at %v, want 0x2", z)
		}
	})
}

// What comes while the log syncs is handed to the log at once and applied in
// one go when it is durable.
func TestBatchGathersWhileTheLogSyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var batches []int64
		b := start(t, func(o *Options) {
			o.Count.Applied = func(n int64) { batches = append(batches, n) }
		})
		b.log.hold()
		for conn := range znode.ConnID(3) {
			b.submit(create(conn, fmt.Sprintf("/c%d", conn)))
			synctest.Wait()
		}
		b.expect(t, "append 0x1 create", "append 0x2 create", "append 0x3 create")
		b.log.release()
		synctest.Wait()
		b.expect(t, "applied 0x1 conn=0 create", "applied 0x2 conn=1 create", "applied 0x3 conn=2 create", "flush")
		if fmt.Sprint(batches) != "[3]" {
			t.Errorf("applied in batches of %v, want [3]", batches)
		}
	})
}

// A long batch lets readers in between.
func TestApplyLetsGoOfTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var holds []int64
		b := start(t, func(o *Options) {
			o.Count.Applied = func(n int64) { holds = append(holds, n) }
		})
		b.log.hold()
		for i := range applyMax + 10 {
			b.submit(create(1, fmt.Sprintf("/n%d", i)))
		}
		synctest.Wait()
		b.log.release()
		synctest.Wait()
		if want := []int64{applyMax, 10}; fmt.Sprint(holds) != fmt.Sprint(want) {
			t.Errorf("%v transactions for each hold of the lock, want %v", holds, want)
		}
		if n := b.count("flush"); n != 1 {
			t.Errorf("%d flushes, want one for all", n)
		}
	})
}

// Transactions that take long are applied in many holds of the lock, and reads
// that clients are owed come between them.
func TestApplyLetsGoOfTheLockByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var holds []int64
		b := start(t, func(o *Options) {
			o.Count.Applied = func(n int64) { holds = append(holds, n) }
		})
		b.clients.onApplied = func(*znode.Applied) { time.Sleep(applyTime/2 + 1) }
		b.log.hold()
		for i := range 5 {
			b.submit(create(1, fmt.Sprintf("/n%d", i)))
		}
		synctest.Wait()
		b.log.release()
		time.Sleep(time.Second)
		if fmt.Sprint(holds) != "[2 2 1]" {
			t.Errorf("%v transactions for each hold of the lock, want two in each", holds)
		}
		b.clients.onApplied, b.clients.owes = nil, true
		b.journal.news()
		b.log.hold()
		b.submit(create(1, "/o1"))
		b.submit(create(1, "/o2"))
		synctest.Wait()
		b.log.release()
		synctest.Wait()
		b.expect(t, "append 0x6 create", "append 0x7 create",
			"applied 0x6 conn=1 create", "answer owed", "applied 0x7 conn=1 create", "answer owed", "flush")
	})
}

// Status does not wait for a loop that is busy: it tells what it told last.
func TestStatusOfABusyLoop(t *testing.T) {
	// Outside of simulated time: who waits for the loop's mutex does not let it pass.
	b := newRig(nil)
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	first, err := b.Status()
	if err != nil {
		t.Fatal(err)
	}
	busy, release := make(chan struct{}), make(chan struct{})
	b.clients.onApplied = func(*znode.Applied) {
		close(busy)
		<-release
	}
	go b.submit(create(1, "/a"))
	<-busy
	got, err := b.Status()
	close(release)
	if err != nil || got.Serves != first.Serves || !got.Since.Equal(first.Since) {
		t.Errorf("got %+v, %v, want %+v", got, err, first)
	}
}

// A reader that asks during the first of three outcomes sees all three: they
// happen in one hold of the tree's lock.
func TestAppliedUnderTheTreesLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		seen := make(chan wire.Zxid, 1)
		b.clients.onApplied = func(a *znode.Applied) {
			if a.Zxid != 1 {
				return
			}
			asking := make(chan struct{})
			go func() {
				close(asking)
				b.Tree().RLock()
				defer b.Tree().RUnlock()
				seen <- b.Tree().LastZxid()
			}()
			<-asking
		}
		b.submit(create(1, "/a"), create(1, "/b"), create(1, "/c"))
		if z := <-seen; z != 3 {
			t.Errorf("a reader got in at %v, in the middle of the batch", z)
		}
	})
}

func TestAttach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		b.Attach(1, 0, nil, 4000)
		synctest.Wait()
		b.expect(t, "append 0x1 createSession", "attached conn=1 session=#1 timeout=4000", "applied 0x1 conn=0 createSession", "flush")

		id, passwd := b.clients.session(1)
		b.Attach(2, id, passwd, 6000)
		synctest.Wait()
		b.expect(t, "attached conn=2 session=#1 timeout=6000", "flush")

		b.Attach(3, id, []byte("something else!!"), 6000)
		b.Attach(4, id+1, passwd, 6000)
		synctest.Wait()
		b.expect(t, "attached conn=3 refused", "flush", "attached conn=4 refused", "flush")
	})
}

// A sync has its outcome behind the writes that were submitted before it, and
// at once if there are none in flight.
func TestSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		request := &znode.Request{Conn: 2, Session: writer, Op: wire.OpSync, Body: &wire.PathRequest{Path: "/a"}}
		b.submit(request)
		synctest.Wait()
		b.expect(t, "applied 0x0 conn=2 sync", "flush")

		b.log.hold()
		b.submit(create(1, "/a"), request, create(1, "/b"))
		synctest.Wait()
		b.expect(t, "append 0x1 create", "append 0x2 create")
		b.log.release()
		synctest.Wait()
		b.expect(t, "applied 0x1 conn=1 create", "applied 0x1 conn=2 sync", "applied 0x2 conn=1 create", "flush")
	})
}

func TestSessionExpiresAfterItsTimeoutAndNotBefore(t *testing.T) {
	const timeout = 4 * time.Second
	synctest.Test(t, func(t *testing.T) {
		var expired int64
		b := start(t, func(o *Options) { o.Count.Expired = func(n int64) { expired += n } })
		b.Attach(1, 0, nil, int32(timeout.Milliseconds()))
		synctest.Wait()
		id, _ := b.clients.session(1)
		ephemeral := &znode.Request{Conn: 1, Session: id, Op: wire.OpCreate,
			Body: &wire.CreateRequest{Path: "/e", ACL: wire.OpenACL, Flags: wire.FlagEphemeral}}
		b.submit(ephemeral)

		// While it is heard from it lives on, far beyond its timeout.
		for range 30 {
			b.clients.hear(id, b.SessionNow())
			time.Sleep(timeout / 5)
		}
		if n := b.count("closed"); n > 0 {
			t.Fatal("a session that was heard from has ended")
		}
		last := time.Now()
		b.clients.hear(id, b.SessionNow())
		time.Sleep(timeout - time.Millisecond)
		synctest.Wait()
		if b.count("closed") > 0 {
			t.Fatalf("the session ended %v after it was heard, its timeout is %v", time.Since(last), timeout)
		}
		time.Sleep(2*testTick + 2*tickEvery)
		synctest.Wait()
		if b.count("closed session=#1") != 1 || expired != 1 {
			t.Fatalf("the session has not ended %v after it was heard (%d expired)", time.Since(last), expired)
		}
		if got := b.Tree().Ephemerals(id); len(got) > 0 {
			t.Errorf("the session has left %v", got)
		}
	})
}

// A gap in the clock is time in which nobody could have been heard.
func TestStallExpiresNobody(t *testing.T) {
	const timeout = 4 * time.Second
	synctest.Test(t, func(t *testing.T) {
		var jump atomic.Int64
		b := start(t, func(o *Options) {
			o.Now = func() time.Time { return time.Now().Add(time.Duration(jump.Load())) }
		})
		b.Attach(1, 0, nil, int32(timeout.Milliseconds()))
		time.Sleep(timeout / 2)
		synctest.Wait()
		jump.Store(int64(time.Hour))
		time.Sleep(timeout / 4)
		synctest.Wait()
		jump.Store(-int64(time.Hour))
		time.Sleep(timeout / 8)
		synctest.Wait()
		if b.count("closed") > 0 {
			t.Fatal("a jump of the clock has expired a session")
		}
		time.Sleep(timeout)
		synctest.Wait()
		if b.count("closed") != 1 {
			t.Fatal("the session clock has not gone on after the jump")
		}
	})
}

// The stamp that a connection puts on what it hears lies never behind the
// session clock, so that nobody expires early.
func TestSessionNowIsACeiling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		for range 100 {
			time.Sleep(7 * time.Millisecond)
			synctest.Wait()
			stamp := b.SessionNow()
			if _, now, err := b.SessionBuckets(); err != nil || stamp < now {
				t.Fatalf("stamp %d, clock %d, %v", stamp, now, err)
			}
		}
	})
}

func TestConnectionsAreAskedOnceABucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		const buckets = 20
		time.Sleep(buckets*testTick + tickEvery)
		synctest.Wait()
		if n := b.clients.touchedCalls(); n < buckets-1 || n > buckets+1 {
			t.Errorf("asked %d times in %d buckets", n, buckets)
		}
	})
}

// From Freeze on nobody expires: clients are turned away, not silent.
func TestFreezeExpiresNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		b.Attach(1, 0, nil, 4000)
		synctest.Wait()
		b.Freeze()
		time.Sleep(time.Minute)
		synctest.Wait()
		if b.count("closed") > 0 {
			t.Error("a session has expired while nobody could be heard")
		}
		b.submit(create(1, "/a"))
		synctest.Wait()
		if b.count("applied 0x2 conn=1 create") != 1 {
			t.Error("writes are not served any more")
		}
	})
}

func TestStopFinishesWhatIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(nil)
		b.Start()
		b.log.hold()
		b.submit(create(1, "/a"), create(2, "/b"))
		stopped := make(chan error, 1)
		go func() { stopped <- b.Stop(context.Background()) }()
		time.Sleep(time.Minute) // sessions would expire meanwhile
		select {
		case err := <-stopped:
			t.Fatalf("stopped (%v) with writes in flight", err)
		default:
		}
		b.news()
		b.submit(create(3, "/late"))
		b.log.release()
		if err := <-stopped; err != nil {
			t.Fatal(err)
		}
		b.expect(t, "applied 0x1 conn=1 create", "applied 0x2 conn=2 create", "flush", "keep")
		if err := b.Stop(context.Background()); err != nil {
			t.Errorf("second stop: %v", err)
		}
	})
}

// What a full disk does not take must not keep the member from ending.
func TestStopGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(nil)
		b.Start()
		b.log.hold()
		b.submit(create(1, "/a"))
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		begin := time.Now()
		err := b.Stop(ctx)
		if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took != 2*time.Second {
			t.Errorf("stopped after %v with %v", took, err)
		}
		b.expect(t, "open readOnly=false", "append 0x1 create", "keep")
		if z := b.Tree().LastZxid(); z != 0 {
			t.Errorf("the tree has %v, which the log has not", z)
		}
		b.log.release() // news for nobody
	})
}

func TestStopOfAMemberThatNeverRan(t *testing.T) {
	if err := newRig(nil).Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestFailedLogEndsTheMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(nil)
		b.Start()
		b.log.hold()
		b.submit(create(1, "/a"))
		synctest.Wait()
		b.news()
		b.Durable(0, syscall.EIO)
		if err := <-b.Failed(); !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "transaction log") {
			t.Errorf("failed with %v", err)
		}
		synctest.Wait()
		b.submit(create(1, "/b"))
		b.Attach(1, 0, nil, 4000)
		if _, _, err := b.SessionBuckets(); !errors.Is(err, ErrStopped) {
			t.Errorf("SessionBuckets: %v, want %v", err, ErrStopped)
		}
		if err := b.Stop(context.Background()); err != nil {
			t.Errorf("stop after the failure: %v", err)
		}
		b.expect(t) // nothing was applied or answered
		b.inbox.Lock()
		defer b.inbox.Unlock()
		if n := len(b.inbox.requests) + len(b.inbox.attaches) + len(b.inbox.calls); n > 0 {
			t.Errorf("%d things wait for a loop that has ended", n)
		}
	})
}

// Whoever waits for the loop when it ends is let go.
func TestSessionBucketsOfALoopThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRig(nil) // not started: nobody takes the call
		asked := make(chan error, 1)
		go func() {
			_, _, err := b.SessionBuckets()
			asked <- err
		}()
		synctest.Wait()
		b.Durable(0, syscall.EIO)
		b.Start()
		if err := <-asked; !errors.Is(err, ErrStopped) {
			t.Errorf("%v, want %v", err, ErrStopped)
		}
		<-b.Failed()
	})
}

func TestSessionBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		b.Attach(1, 0, nil, 4000)
		b.Attach(2, 0, nil, 9000)
		synctest.Wait()
		buckets, now, err := b.SessionBuckets()
		if err != nil || len(buckets) != 3 || buckets[2].Sessions[0] != writer {
			t.Fatalf("%v, %v", buckets, err)
		}
		for i, timeout := range []int64{4000, 9000} {
			id, _ := b.clients.session(i + 1)
			left := buckets[i].ExpiresAt - now
			if fmt.Sprint(buckets[i].Sessions) != fmt.Sprint([]wire.SessionID{id}) || left < timeout || left > timeout+testTick.Milliseconds() {
				t.Errorf("bucket %d ends in %d ms with %v", i, left, buckets[i].Sessions)
			}
		}
	})
}

// Many bring work at once, and whoever has the turn does it for the others:
// nothing is left lying until the next tick, nothing is done twice, and each
// keeps its order.
func TestManySubmitters(t *testing.T) {
	const conns, each = 8, 200
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		began := time.Now()
		var mu sync.Mutex
		var zxids []wire.Zxid
		next := map[znode.ConnID]int32{}
		b.clients.onApplied = func(a *znode.Applied) {
			mu.Lock()
			defer mu.Unlock()
			zxids = append(zxids, a.Zxid)
			if a.Cxid != next[a.Conn] {
				t.Errorf("connection %d gets %d, waits for %d", a.Conn, a.Cxid, next[a.Conn])
			}
			next[a.Conn]++
		}
		var wg sync.WaitGroup
		for c := range znode.ConnID(conns) {
			wg.Go(func() {
				for i := range int32(each) {
					r := create(c, fmt.Sprintf("/c%d-%d", c, i))
					r.Cxid = i
					b.submit(r)
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(zxids) != conns*each {
			t.Fatalf("%d of %d have an outcome when everybody waits", len(zxids), conns*each)
		}
		for i, z := range zxids {
			if z != wire.Zxid(i+1) {
				t.Fatalf("outcome %d is of %v", i+1, z)
			}
		}
		if passed := time.Since(began); passed != 0 {
			t.Errorf("something waited for the clock: %v have passed", passed)
		}
	})
}

// What comes while somebody has the turn is done by him, at once.
func TestWhoFindsTheTurnTakenIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		began := time.Now()
		inside, goOn := make(chan struct{}), make(chan struct{})
		b.clients.onApplied = func(a *znode.Applied) {
			if a.Zxid == 1 {
				close(inside)
				<-goOn
			}
		}
		b.submit(create(1, "/a"))
		<-inside
		b.submit(create(2, "/b"))
		close(goOn)
		synctest.Wait()
		if b.count("applied 0x2 conn=2 create") != 1 || time.Since(began) != 0 {
			t.Errorf("after %v: %q", time.Since(began), b.news())
		}
	})
}

// What is durable is applied although the log has more to do.
func TestPartIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		began := time.Now()
		b.log.hold()
		b.submit(create(1, "/a"), create(1, "/b"))
		synctest.Wait()
		b.news()
		b.Durable(1, nil)
		synctest.Wait()
		b.expect(t, "applied 0x1 conn=1 create", "flush")
		if passed := time.Since(began); passed != 0 {
			t.Errorf("it waited for the clock: %v have passed", passed)
		}
	})
}

// The store hears of the tree now and then, without being forced.
func TestKeepNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(countingStore)
		start(t, func(o *Options) { o.Store = store })
		time.Sleep(10*keepEvery + tickEvery)
		synctest.Wait()
		if n := store.calls; n < 9 || n > 10 {
			t.Errorf("Keep was called %d times in %v", n, 10*keepEvery)
		}
	})
}

// TestKeepWhenWanted hands the changes over as soon as somebody waits for them.
func TestKeepWhenWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(countingStore)
		m := start(t, func(o *Options) { o.Store = store })
		store.wanted.Store(true)
		m.ResetStats() // any round
		synctest.Wait()
		if n := store.calls; n != 1 {
			t.Errorf("Keep was called %d times", n)
		}
	})
}

type countingStore struct {
	calls  int
	wanted atomic.Bool
}

func (s *countingStore) Wanted() bool { return s.wanted.Load() }

func (s *countingStore) Broken() bool { return false }

func (s *countingStore) Keep(force bool) {
	if !force {
		s.calls++
	}
}
