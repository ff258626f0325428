package quorum

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"zooid/store"
	"zooid/wire"
	"zooid/znode"
)

// Four members find their roles, and what one client writes is everywhere.
func TestEnsembleServes(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 1)
	c.start()
	leader := c.leader()
	follower, observer := c.follower(), c.nodes[4]
	for i, n := range []*node{leader, follower, observer} {
		n.connect(7)
		n.create(7, fmt.Sprintf("/by-%d", i), 10)
	}
	z := follower.fill(7, "n", 50)
	c.awaitSame(z)
	for _, path := range []string{"/by-0", "/by-1", "/by-2", "/n-49"} {
		if !observer.exists(path) {
			t.Errorf("the observer has no %s", path)
		}
	}
	if got := []wire.PeerState{leader.status().State, follower.status().State, observer.status().State}; !slices.Equal(got, []wire.PeerState{wire.Leading, wire.Following, wire.Observing}) {
		t.Errorf("states %v", got)
	}

	st := leader.status()
	var learners []wire.SID
	for _, l := range st.Learners {
		learners = append(learners, l.SID)
		if l.Observer != (l.SID == 4) || l.Voter == l.Observer || !l.Synced {
			t.Errorf("learner %+v", l)
		}
	}
	slices.Sort(learners)
	if len(learners) != 3 || slices.Contains(learners, leader.sid) || st.Epoch != 1 || st.Leader != leader.sid || st.Since.IsZero() {
		t.Errorf("learners %v, status %+v", learners, st)
	}
	if s := st.ProposalSize; s.Last < 1024 || s.Min < 36 || s.Min > 200 || s.Max < s.Last {
		t.Errorf("sizes of proposals: %+v", s)
	}
	leader.member.ResetStats()
	if s := leader.status().ProposalSize; s != noSizes {
		t.Errorf("sizes after a reset: %+v", s)
	}

	c.await("all voters have acknowledged everything", func() bool {
		lags := leader.status().Lags
		for _, lag := range lags {
			if lag != 0 {
				return false
			}
		}
		return len(lags) == 2
	})
	proposals := int64(z.Counter())
	leader.expectCounts(map[string]int64{
		"found": 1, "found leading": 1, "ended": 0, "logged": proposals, "applied": proposals,
		"proposed": proposals, "committed": proposals, "diffs": 3, "snaps": 0, "truncs": 0, "proposals": 0, "commits": 0, "synced": 0,
	})
	follower.expectCounts(map[string]int64{
		"found": 1, "found leading": 0, "ended": 0, "logged": proposals, "applied": proposals,
		"proposed": 0, "committed": 0, "diffs": 0, "proposals": proposals, "commits": proposals, "synced": 1, "quorum acked": 0,
	})
	observer.expectCounts(map[string]int64{"proposals": 0, "commits": proposals, "elected": 0, "synced": 1})
	for _, n := range []*node{leader, follower} {
		if looked, elected := n.tallies.get("looked"), n.tallies.get("elected"); looked < 1 || elected != looked {
			t.Errorf("server %d has looked for a leader %d times and found one %d times", n.sid, looked, elected)
		}
	}
	for _, name := range []string{"quorum acked", "acked by 1", "acked by 2", "acked by 3"} {
		for i := 0; leader.tallies.get(name) == 0; i++ { // the voters are known from a tick of the loop on
			leader.create(7, fmt.Sprintf("/%s-%d", name, i), 1)
		}
	}
}

// expectCounts compares what has been counted.
func (n *node) expectCounts(want map[string]int64) {
	n.c.t.Helper()
	for name, want := range want {
		if got := n.tallies.get(name); got != want {
			n.c.t.Errorf("server %d counts %d %s, want %d", n.sid, got, name, want)
		}
	}
}

// A member whose ensemble has nobody else votes for itself, in a new epoch each
// time, as a member of any ensemble.
func TestEnsembleOfOne(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0)
	n := c.nodes[1]
	for epoch := range int64(3) {
		c.start()
		n.connect(1)
		n.create(1, fmt.Sprintf("/in-%d", epoch), 1)
		if st := n.status(); st.State != wire.Leading || st.Epoch != epoch+1 || st.Epochs.Current != epoch+1 {
			t.Fatalf("start %d: %+v", epoch, st)
		}
		n.stop()
	}
	c.start()
	if !n.exists("/in-0") || !n.exists("/in-2") {
		t.Error("what was written is gone")
	}
}

// A leader that is asked to stop hands over. The clients of the others are
// held meanwhile: they stay, with their sessions, and what they ask in between is
// done by the next leader.
func TestLeaderHandsOver(t *testing.T) { lostLeader(t, (*node).stop) }

// The same with a leader that ends without a word.
func TestLeaderFails(t *testing.T) { lostLeader(t, (*node).crash) }

func lostLeader(t *testing.T, end func(*node)) {
	t.Parallel()
	c := newCluster(t, 3, 0)
	c.start()
	leader := c.leader()
	var others []*node
	for _, n := range c.all() {
		if n != leader {
			others = append(others, n)
			n.connect(1)
			n.create(1, fmt.Sprintf("/before-%d", n.sid), 1)
		}
	}
	epoch := leader.status().Epoch
	var sessions []wire.SessionID
	for _, n := range others {
		sessions = append(sessions, n.crowd.session(1))
	}
	end(leader)
	var outcomes []func() (wire.ErrCode, wire.Zxid)
	for _, n := range others { // perhaps it knows already, perhaps not
		outcomes = append(outcomes, n.submit(1, wire.OpCreate, createBody(fmt.Sprintf("/meanwhile-%d", n.sid), 1)))
	}
	for i, n := range others {
		if err, z := outcomes[i](); err != wire.OK || int64(z.Epoch()) <= epoch {
			t.Errorf("server %d: %v at %v", n.sid, err, z)
		}
		n.crowd.awaitDoor("open readOnly=false", "open readOnly=false")
		if n.crowd.session(1) != sessions[i] {
			t.Errorf("server %d has let its client go: %q", n.sid, n.crowd.dropped[1])
		}
		if ended, looked := n.tallies.get("ended"), n.tallies.get("looked"); ended != 1 || looked < 2 {
			t.Errorf("server %d counts %d ends of a role and %d searches", n.sid, ended, looked)
		}
	}
	c.awaitSame(0)
	c.start(leader.sid)
	c.awaitSame(0)
	if st := leader.status(); st.State != wire.Following || st.Reason != "" {
		t.Errorf("the former leader: %v %q", st.State, st.Reason)
	}
}

// Clients are not held for ever, and who only wants to read is served after a
// while.
func TestDoorWithoutALeader(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 0)
	c.change = func(n *node, _ *store.Options, o *Options) {
		o.Peer.HoldMs, o.Ensemble.ReadOnlyAfter = 100, 100*time.Millisecond
	}
	c.start()
	last := c.nodes[1]
	last.connect(1)
	c.nodes[2].stop()
	c.nodes[3].crash()
	last.crowd.awaitDoorEnd("drop: this server has no leader", "open readOnly=true")
	st := last.status()
	if st.Serves || !st.ReadOnly || st.Reason == "" || last.crowd.session(1) != 0 {
		t.Errorf("%+v", st)
	}
	c.start(2)
	last.crowd.awaitDoorEnd("drop: there is a leader again, and this server serves writes", "open readOnly=false")
	c.awaitServing(1, 2)
	last.connect(2)
	last.create(2, "/again", 1)
}

// Clients that nobody will answer any more are let go at the end.
func TestFreezeLetsHeldClientsGo(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, 0)
	c.start()
	c.nodes[2].crash()
	last := c.nodes[1]
	c.await("the leader is lost", func() bool { return !last.status().Serves })
	last.crowd.awaitDoor("open readOnly=false")
	last.member.Freeze()
	last.crowd.awaitDoor("open readOnly=false", "drop: this server stops")
}

// Who ends before the start has nothing to finish, and nothing is asked of what
// has not begun.
func TestFreezeBeforeStart(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0)
	n := c.nodes[1]
	n.open()
	n.member.Freeze()
	n.member.ResetStats()
	n.stop()
	n.open()
	n.member.Freeze()
	n.begin()
	c.awaitServing()
	n.crowd.awaitDoor("drop: this server stops") // and nobody comes in any more
}

// Who cannot keep its promises must not go on.
func TestFailedEpochFileEndsTheMember(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 0)
	c.change = func(n *node, _ *store.Options, o *Options) {
		if n.sid == 1 {
			n.disk.beforeSave = func(int64, int64) error { return syscall.EIO }
		}
	}
	c.start(2, 3)
	c.nodes[1].start()
	err := c.nodes[1].failure()
	if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "epoch files") || !strings.Contains(err.Error(), "promised") {
		t.Errorf("it failed with %v", err)
	}
	c.nodes[1].stop()
	c.nodes[2].connect(1)
	c.nodes[2].create(1, "/without-it", 1)
}

// A full disk is no reason to end: the member joins when there is room.
func TestFullDiskDelaysThePromise(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, 0)
	full := make(chan struct{})
	c.change = func(n *node, _ *store.Options, o *Options) {
		if n.sid == 1 {
			n.disk.beforeSave = func(int64, int64) error {
				select {
				case <-full:
					return nil
				default:
					return fmt.Errorf("epoch file: %w", syscall.ENOSPC)
				}
			}
		}
	}
	n := c.nodes[1]
	n.start()
	c.nodes[2].start()
	c.await("it says that the disk is full", func() bool { return n.logged("the disk is full") == 1 })
	if n.status().Serves {
		t.Error("it serves without having promised")
	}
	close(full)
	c.awaitServing()
	if n.logged("the disk is full") != 1 {
		t.Error("it said so more than once")
	}
}

// A sync on one member shows what was written by another before it.
func TestSyncOnAFollower(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 0)
	c.start()
	leader := c.leader()
	leader.connect(1)
	for i, n := range c.all() {
		n.connect(2)
		path := fmt.Sprintf("/s-%d", i)
		z := leader.create(1, path, 1)
		if err, at := n.submit(2, wire.OpSync, &wire.PathRequest{Path: path})(); err != wire.OK || at < z || !n.exists(path) {
			t.Errorf("server %d: sync gives %v at %v, written was %v", n.sid, err, at, z)
		}
	}
}

// Learners are sent a commit before the leader answers its own client: a client
// that has its answer, and reads elsewhere, should find what it wrote. So the
// leader's answer can wait here until every learner has applied the write.
func TestLearnersHearOfACommitBeforeTheLeadersClient(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 1)
	c.start()
	leader := c.leader()
	leader.connect(1)
	const limit = 3 * time.Second // less than the learners wait for a leader that says nothing
	var late atomic.Bool
	leader.crowd.locked(func() {
		leader.crowd.onApplied = func(a *znode.Applied) {
			end := time.After(limit)
			for {
				news := c.newsToCome()
				if !slices.ContainsFunc(c.all(), func(n *node) bool {
					if n == leader {
						return false
					}
					at, _ := n.tree()
					return at < a.Zxid
				}) {
					return
				}
				select {
				case <-news:
				case <-end:
					late.Store(true)
					return
				}
			}
		}
	})
	leader.create(1, "/first", 1)
	leader.crowd.locked(func() { leader.crowd.onApplied = nil })
	if late.Load() {
		t.Error("a learner does not hear of a commit while the leader's client waits for its answer")
	}
}

// A leader tells which of its voters is behind, and since when.
func TestLagsOfASlowDisk(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 0)
	c.start()
	leader := c.leader()
	leader.connect(1)
	c.awaitSame(leader.create(1, "/a", 1))
	slow := c.follower()
	slow.log.close()
	leader.create(1, "/b", 1)
	var lag time.Duration
	c.await("the slow one is seen to be behind, and nobody else", func() bool {
		lags := leader.status().Lags
		lag = lags[slow.sid]
		return lag > 150*time.Millisecond && len(lags) == 2 && lags[6-leader.sid-slow.sid] == 0
	})
	c.await("its lag grows", func() bool { return leader.status().Lags[slow.sid] > lag })
	slow.log.open()
	c.await("it is not behind any more", func() bool { return leader.status().Lags[slow.sid] == 0 })
	c.awaitSame(0)
}

// Nobody listens on a port that another has.
func TestPortIsTaken(t *testing.T) {
	t.Parallel()
	for _, which := range []string{"election", "quorum"} {
		c := newCluster(t, 2, 0)
		c.change = func(n *node, _ *store.Options, o *Options) {
			o.Ensemble.BindTries = 1
			switch {
			case n.sid == 1:
			case which == "election":
				o.Ensemble.ListenElection = c.addrs[1].Election
			default:
				o.Ensemble.ListenQuorum = c.addrs[1].Quorum
			}
		}
		c.nodes[1].start()
		c.nodes[2].open()
		if err := c.nodes[2].member.Start(); !errors.Is(err, syscall.EADDRINUSE) || !strings.HasPrefix(err.Error(), which+" port: ") {
			t.Errorf("%s: %v", which, err)
		}
	}
}
