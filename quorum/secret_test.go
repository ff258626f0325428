package quorum

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"zooid/session"
	"zooid/store"
	"zooid/wire"
	"zooid/znode"
)

// attachAs has a connection ask for a session with a password, and gives the
// session that it is told, 0 if it is refused.
func (n *node) attachAs(conn znode.ConnID, id wire.SessionID, passwd [16]byte) wire.SessionID {
	n.c.t.Helper()
	n.member.Attach(conn, id, passwd[:], 30_000)
	var told wire.SessionID
	n.c.await("the attachment is answered", func() (ok bool) {
		n.crowd.mu.Lock()
		defer n.crowd.mu.Unlock()
		s, ok := n.crowd.sessions[conn]
		told = s.id
		return ok
	})
	return told
}

// Members of ours share one secret, also after the leader that it came from is
// gone, and the passwords of sessions are made from it: who knows a session's id,
// as everybody does who reads the owner of an ephemeral, cannot take it over.
func TestPasswordsCannotBeComputedFromSessionIDs(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 1)
	c.change = func(n *node, so *store.Options, o *Options) {
		o.Peer.Zab.RecentBytes, so.SnapRetain = 1, 1 // so that a snapshot is sent
	}
	c.start()
	first := c.leader()
	secret := first.member.peer.Secret()
	created := map[wire.SessionID][16]byte{}
	make := func(n *node, conn znode.ConnID) {
		id := n.connect(conn)
		n.crowd.mu.Lock()
		created[id] = n.crowd.sessions[conn].passwd
		n.crowd.mu.Unlock()
		if created[id] == session.JavaPassword(id) {
			t.Errorf("server %d: the password of a new session is the one that everybody can compute", n.sid)
		}
	}
	for i, n := range c.all() {
		if got := n.member.peer.Secret(); got != secret || len(got) != wire.SecretSize {
			t.Errorf("server %d has another secret than its leader", n.sid)
		}
		make(n, znode.ConnID(i+1))
	}
	check := func(base znode.ConnID) {
		for _, n := range c.all() {
			if n.member == nil {
				continue
			}
			for id, passwd := range created {
				base += 2
				if got := n.attachAs(base, id, session.JavaPassword(id)); got != 0 {
					t.Errorf("server %d gives a session to who has computed a password", n.sid)
				}
				if got := n.attachAs(base+1, id, passwd); got != id {
					t.Errorf("server %d refuses the right password", n.sid)
				}
			}
		}
	}
	check(100)

	first.stop()
	second := c.leader()
	if got := second.member.peer.Secret(); got != secret {
		t.Errorf("the next leader has another secret")
	}
	make(second, 50) // the one that is stopped was ours
	check(1000)

	// Who comes with an empty disk gets a snapshot, which tells how each password
	// is made, and the secret, which stays on its disk.
	first.fs = vfs.NewMem()
	second.connect(60)
	second.purge(60)
	c.start(first.sid)
	if first.tallies.get("installed") != 1 {
		t.Error("it was brought up to date without a snapshot")
	}
	check(2000)
	first.stop()
	first.open()
	if got := first.store.SessionSecret(); !bytes.Equal(got, []byte(secret)) {
		t.Errorf("the secret is not on the disk of a learner")
	}
	first.begin()
	c.awaitServing(first.sid)
	check(3000)
}
