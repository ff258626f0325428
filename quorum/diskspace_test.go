package quorum

import (
	"testing"

	"zooid/wire"
)

// TestLeaderWithAFullDiskMakesWay for another member, where there is one that is
// in step: writes go on, and its own clients keep their connections.
func TestLeaderWithAFullDiskMakesWay(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 0)
	c.start()
	c.awaitServing()
	first := c.leader()
	first.connect(1)
	first.create(1, "/before", 1)
	first.member.SetDiskSpace(DiskShort)
	c.await("another member leads", func() bool { st := first.status(); return st.Serves && st.State == wire.Following })
	c.awaitServing()
	first.create(1, "/after", 1)
	if first.crowd.refusing.Load() || first.logged("its disk is nearly full") == 0 {
		t.Errorf("refusing: %v; it says it %d times", first.crowd.refusing.Load(), first.logged("its disk is nearly full"))
	}
}

// TestAllDisksAreFull: where nobody has room one of the members leads all the
// same, and refuses what clients write, also those of other members. What is kept
// free is for sessions: they begin and end. Writes go on when there is room.
func TestAllDisksAreFull(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 0)
	c.start()
	c.awaitServing()
	for _, n := range c.all() {
		n.connect(theConn)
		n.create(theConn, "/before-"+string('0'+byte(n.sid)), 1)
	}
	for _, n := range c.all() {
		n.member.SetDiskSpace(DiskShort)
	}
	refusing := func() *node {
		for _, n := range c.all() {
			if st := n.status(); n.crowd.refusing.Load() && st.Serves && st.State == wire.Leading {
				return n
			}
		}
		return nil
	}
	c.await("a leader refuses writes", func() bool { return refusing() != nil })
	c.awaitServing()
	leader := c.leader()
	for _, n := range c.all() {
		if n == leader {
			continue
		}
		if n.crowd.refusing.Load() {
			t.Errorf("server %d refuses although it does not lead", n.sid)
		}
		// One from before may have been dropped: not all have ended the same terms.
		n.connect(theConn + 1)
		if err, _ := n.submit(theConn+1, wire.OpCreate, createBody("/refused", 1))(); err != wire.ErrNotReadOnly {
			t.Errorf("a write by server %d: %v", n.sid, err)
		}
		if err, _ := n.submit(theConn+1, wire.OpCloseSession, nil)(); err != wire.OK {
			t.Errorf("the end of a session: %v", err)
		}
	}
	for _, n := range c.all() {
		n.member.SetDiskSpace(DiskEnough)
	}
	c.await("nobody refuses", func() bool { return refusing() == nil })
	for _, n := range c.all() {
		n.connect(theConn + 2)
		n.create(theConn+2, "/after-"+string('0'+byte(n.sid)), 1)
	}
}

// theConn is the number of a connection; each member has one of that number.
const theConn = 1

// TestFollowerStepsDown as one whose log has had no room for long: it leaves the
// others, which go on, and takes part again once its log has everything.
func TestFollowerStepsDown(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 0)
	c.start()
	c.awaitServing()
	leader, n := c.leader(), c.follower()
	leader.connect(theConn)
	n.log.close()
	leader.create(theConn, "/waits", 1)
	n.member.StepDown("its disk is full")
	c.await("it serves nobody", func() bool { return !n.status().Serves })
	leader.create(theConn, "/without-it", 1)
	if n.status().Serves {
		t.Error("it takes part although its log lacks something")
	}
	n.log.open()
	c.awaitServing()
	c.awaitSame(leader.create(theConn, "/with-it", 1))
}
