package quorum

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"zooid/store"
	"zooid/wire"
	"zooid/znode"
)

// tooMany are identities that no leader takes with a request.
func tooMany() map[string][]wire.ID {
	many := make([]wire.ID, 1030)
	for i := range many {
		many[i] = wire.ID{Scheme: "digest", ID: fmt.Sprint("user", i)}
	}
	var long []wire.ID
	for i := range 3 {
		long = append(long, wire.ID{Scheme: "x", ID: strings.Repeat(fmt.Sprint(i), 900_000)})
	}
	return map[string][]wire.ID{"1,030 identities": many, "identities of 2.7 MB": long}
}

// What a leader cannot take costs the client that asks for it an error, and
// nobody a connection: neither if its own member sees that, nor if that is one
// that sends it on.
func TestRequestsThatALeaderCannotTakeDeposeNobody(t *testing.T) {
	for _, looks := range []bool{true, false} {
		t.Run(fmt.Sprintf("looks=%v", looks), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 3, 0)
			c.change = func(_ *node, _ *store.Options, o *Options) {
				if !looks {
					o.Peer.PacketMax = 1 << 30
				}
			}
			c.start()
			leader, f := c.leader(), c.follower()
			epoch := leader.status().Epoch
			f.connect(1)
			f.connect(2)
			z := f.create(2, "/n", 1)
			for name, ids := range tooMany() {
				var outcomes []func() (wire.ErrCode, wire.Zxid)
				for range 3 {
					outcomes = append(outcomes, f.submitAs(1, ids, wire.OpSetData, &wire.SetDataRequest{Path: "/n", Version: -1}))
				}
				for _, outcome := range outcomes {
					if err, _ := outcome(); err != wire.ErrBadArguments {
						t.Errorf("%s: a write is answered with %v", name, err)
					}
				}
				if err, _ := f.submitAs(1, ids, wire.OpSync, &wire.PathRequest{Path: "/n"})(); err != wire.OK {
					t.Errorf("%s: a sync, which needs none of them, is answered with %v", name, err)
				}
				z = f.create(2, "/"+name, 1) // the others are served
			}
			if err, last := f.submitAs(1, tooMany()["1,030 identities"], wire.OpCloseSession, nil)(); err != wire.OK {
				t.Errorf("the end of the session is answered with %v", err)
			} else {
				z = last
			}
			c.awaitSame(z)
			if c.leader() != leader || leader.status().Epoch != epoch || f.logged("looking for a leader") != 0 {
				t.Errorf("server %d leads epoch %d instead of server %d and %d", c.leader().sid, c.leader().status().Epoch, leader.sid, epoch)
			}
			if refused := leader.logged("refusing a request that a learner has forwarded"); looks != (refused == 0) {
				t.Errorf("the leader has logged %d refused requests", refused)
			}
		})
	}
}

// manyEphemerals has a client make so many ephemerals that their paths together
// are more than any packet may hold.
func (n *node) manyEphemerals(conn znode.ConnID) (z wire.Zxid) {
	n.c.t.Helper()
	const count, parts = 18_000, 1000
	var outcomes []func() (wire.ErrCode, wire.Zxid)
	for i := 0; i < count; i += parts {
		m := new(wire.MultiRequest)
		for k := range parts {
			m.Ops = append(m.Ops, wire.MultiOp{Op: wire.OpCreate,
				Body: &wire.CreateRequest{Path: fmt.Sprintf("/%0112d", i+k), ACL: wire.OpenACL, Flags: wire.FlagEphemeral}})
		}
		outcomes = append(outcomes, n.submit(conn, wire.OpMulti, m))
	}
	for _, outcome := range outcomes {
		var err wire.ErrCode
		if err, z = outcome(); err != wire.OK {
			n.c.t.Fatal(err)
		}
	}
	return z
}

// The end of a session with so many ephemerals that no packet holds their paths
// reaches every member, now and when they start again.
func TestSessionWithVeryManyEphemeralsEnds(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 1)
	c.start()
	leader, f := c.leader(), c.follower()
	f.connect(1)
	f.connect(2)
	f.create(2, "/stays", 1)
	c.awaitSame(f.manyEphemerals(1))
	_, z := f.submit(1, wire.OpCloseSession, nil)()
	c.awaitSame(z)
	if st := leader.status(); !st.Serves || st.State != wire.Leading {
		t.Errorf("the leader is %v", st.State)
	}
	for _, n := range c.all() {
		n.crash()
	}
	c.start()
	n := c.leader()
	n.connect(1)
	c.awaitSame(n.create(1, "/after", 1))
	for _, n := range c.all() {
		if !n.exists("/stays") || n.exists(fmt.Sprintf("/%0112d", 5)) || n.member.Tree().NodeCount() > 10 {
			t.Errorf("server %d has %d znodes", n.sid, n.member.Tree().NodeCount())
		}
	}
}

// An earlier version has logged transactions that are too large, and no other
// member took them. The ensemble goes on all the same: the end of a session is
// handed on without its paths, and anything else as it is, to members that can
// read it from whom they follow.
func TestEnsembleGoesOnFromOversizedRecords(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 0)
	c.txnMax = 64 << 20 // as earlier versions
	c.start()
	leader := c.leader()
	others := slices.DeleteFunc(c.all(), func(n *node) bool { return n == leader })
	leader.connect(1)
	leader.connect(2)
	leader.create(2, "/n", 1)
	c.awaitSame(leader.manyEphemerals(1))
	for _, n := range others {
		n.log.close()
	}
	leader.submit(1, wire.OpCloseSession, nil)
	leader.submit(2, wire.OpSetData, &wire.SetDataRequest{Path: "/n", Data: make([]byte, 3<<20), Version: -1})
	c.await("the leader has logged it", func() bool {
		st := leader.status()
		return st.Last == st.Proposed && st.Committed+2 == st.Last
	})
	for _, n := range others {
		n.crash()
	}
	leader.stop()

	c.txnMax = 0
	c.start(leader.sid, others[0].sid)
	n := c.leader()
	if n != leader {
		t.Fatalf("server %d leads instead of %d, whose log is longer", n.sid, leader.sid)
	}
	c.start(others[1].sid)
	n.connect(1)
	z := n.create(1, "/after", 1)
	c.awaitSame(z)
	for _, n := range c.all() {
		if tree := n.member.Tree(); tree.NodeCount() > 10 || !n.exists("/after") {
			t.Errorf("server %d has %d znodes", n.sid, tree.NodeCount())
		}
	}
	if leader.logged("the log holds a transaction that Apache ZooKeeper with default settings cannot read") != 2 {
		t.Error("nothing is said of what is too large")
	}
}
