package quorum

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"zooid/store"
	"zooid/wire"
	"zooid/znode"
)

// A follower that was away for long gets what it lacks out of the log, part by
// part.
func TestFollowerCatchesUpFromTheLog(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 0)
	c.change = func(n *node, _ *store.Options, o *Options) { o.Peer.Zab.RecentBytes = 1 }
	c.start()
	leader := c.leader()
	away := c.follower()
	leader.connect(1)
	c.awaitSame(leader.create(1, "/seen", 1))
	away.stop()
	z := leader.fill(1, "n", 1500) // more than is read at once
	c.start(away.sid)
	c.awaitSame(z)
	if reads := leader.disk.reads.Load(); reads < 2 {
		t.Errorf("the log was read %d times", reads)
	}
	if away.tallies.get("installed") != 0 {
		t.Error("it got a snapshot")
	}
}

// One that lacks more than the logs hold gets a snapshot. Its clients go, and
// it serves as the others then; also after a restart.
func TestFollowerGetsASnapshot(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 0)
	c.change = func(n *node, so *store.Options, o *Options) {
		o.Peer.Zab.RecentBytes, so.SnapRetain = 1, 1
	}
	c.start()
	leader := c.leader()
	away := c.follower()
	leader.connect(1)
	c.awaitSame(leader.create(1, "/seen", 1))
	away.stop()
	leader.fill(1, "n", 200)
	leader.purge(1)
	c.start(away.sid)
	z := leader.create(1, "/behind", 1)
	c.awaitSame(z)
	if got := []int64{leader.tallies.get("snaps"), leader.tallies.get("snaps out"), away.tallies.get("installed")}; !slices.Equal(got, []int64{1, 2, 1}) {
		t.Errorf("sent, on their way, installed: %d", got)
	}
	away.crowd.awaitDoor("drop: this server takes over its leader's snapshot", "open readOnly=false")
	away.connect(1)
	z = away.create(1, "/by-itself", 1)
	away.stop()
	c.start(away.sid)
	c.awaitSame(z)
	if away.tallies.get("installed") != 0 {
		t.Error("it got a snapshot again")
	}
}

// purge makes the log begin behind a client's next writes.
func (n *node) purge(conn znode.ConnID) {
	n.c.t.Helper()
	for i := range 100 {
		z, _ := n.tree()
		n.c.await("the durable copy is up to date", func() bool {
			_ = n.member.ask(func() { n.store.Keep(true) })
			file, at, err := n.store.Snapshot()
			if err != nil {
				n.c.t.Fatalf("snapshot %s: %v", file, err)
			}
			return at >= z
		})
		n.create(conn, fmt.Sprintf("/purge-%d", i), 1) // into a log file of its own
		if _, err := n.store.Purge(); err != nil {
			n.c.t.Fatal(err)
		}
		if _, err := n.store.ReadLog(1<<32|2, 1000); err != nil {
			return
		}
	}
	n.c.t.Fatal("the log still has everything")
}

// A transaction that only the former leader has logged is cut from its log when
// it comes back: nobody was told that it is done, and it never happens.
func TestDivergentTailIsCut(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 0)
	c.start()
	leader := c.leader()
	others := slices.DeleteFunc(c.all(), func(n *node) bool { return n == leader })
	leader.connect(1)
	c.awaitSame(leader.create(1, "/agreed", 1))
	for _, n := range others {
		n.log.close()
	}
	leader.submit(1, wire.OpCreate, createBody("/lost", 1))
	leader.submit(1, wire.OpCreate, createBody("/lost-too", 1))
	var lost wire.Zxid
	c.await("the leader has logged it, and the others have it", func() bool {
		st := leader.status()
		lost = st.Last
		return st.Last == st.Proposed && st.Committed+2 == st.Last && others[0].log.held() == 2 && others[1].log.held() == 2
	})
	others[0].crash()
	others[1].crash()
	c.await("the leader has lost its quorum", func() bool { return !leader.status().Serves })
	leader.stop()

	c.start(others[0].sid, others[1].sid)
	next := c.leader()
	next.connect(1)
	next.create(1, "/instead", 1)
	c.start(leader.sid)
	z := next.create(1, "/with-all", 1)
	c.awaitSame(z)
	if z.Epoch() <= lost.Epoch() || leader.exists("/lost") || leader.exists("/lost-too") || !leader.exists("/agreed") || !leader.exists("/instead") {
		t.Errorf("after %v and %v the former leader has another tree", lost, z)
	}
	if sent, cut := next.tallies.get("truncs"), leader.tallies.get("truncated"); sent != 1 || cut != 1 {
		t.Errorf("%d TRUNC were sent and %d carried out", sent, cut)
	}
}

// A learner that ends while a snapshot comes in leaves nothing of that behind,
// and starts again with what it had.
func TestLearnerEndsWhileReceiving(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 0)
	c.start()
	leader, away := c.leader(), c.follower()
	leader.connect(1)
	leader.create(1, "/a", 1)
	away.stop()
	away.fs = vfs.NewMem() // as new, and so in need of everything
	ended := make(chan struct{})
	c.change = func(n *node, _ *store.Options, o *Options) {
		n.disk.afterReceive = func() { // it is complete, but the loop will not hear of it
			n.member.Durable(0, errCrash)
			<-n.member.Failed()
			close(ended)
		}
	}
	away.start()
	<-ended
	if err := away.member.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	names, err := away.fs.List("/data/version-2")
	if err != nil || slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, "new-") }) {
		t.Errorf("left: %q, %v", names, err)
	}
	away.closeStore()
	c.change = nil
	c.start(away.sid)
	c.awaitSame(0)
}

// A leader that ends while a snapshot goes out lets go of its store.
func TestLeaderEndsWhileStreaming(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 0)
	var once sync.Once
	ended := make(chan struct{})
	c.change = func(n *node, _ *store.Options, o *Options) {
		n.disk.afterStream = func() {
			once.Do(func() { // it is open, but the loop has ended
				n.member.Durable(0, errCrash)
				<-n.member.Failed()
				close(ended)
			})
		}
	}
	c.start()
	leader, away := c.leader(), c.follower()
	leader.connect(1)
	leader.create(1, "/a", 1)
	away.stop()
	away.fs = vfs.NewMem()
	away.start()
	<-ended
	leader.stop()
	for _, n := range c.all() {
		if n != leader {
			c.awaitServing(n.sid)
		}
	}
	c.awaitSame(0)
}
