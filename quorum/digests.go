package quorum

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"zooid/znode"
)

// resyncEvery is the least time between two inquiries into a digest that did not
// match, and thus between two times that a member takes over its leader's state
// for that. If that does not help it is the digests that are wrong, as those of a
// leader that is ZooKeeper may be, and to go on would only take the member away
// from its clients: until then further mismatches are counted and nothing else.
const resyncEvery = 10 * time.Minute

// digests is what the loop knows of transactions whose digest was not the tree's.
type digests struct {
	seen     int64     // of the tree's count
	inquired time.Time // when the last one was looked into
}

// checkDigests looks whether the last transactions have led to the tree that they
// should. If not, either the tree here is wrong or that of the member that made the
// transaction, and snapshot and log on disk tell which. The caller has the turn,
// and thus nobody changes the tree.
func (m *Member) checkDigests() {
	d, n := &m.turn.digests, m.tree.DigestMismatches()
	if n == d.seen {
		return
	}
	m.o.Count.Mismatched(n - d.seen)
	d.seen = n
	last, now := m.tree.LastMismatch(), m.o.Now()
	if !last.Sure || !d.inquired.IsZero() && now.Sub(d.inquired) < resyncEvery {
		return
	}
	d.inquired = now
	switch {
	case m.net == nil:
		m.foundWrong(&last, "this server goes on; restart it soon, then the tree is made again from snapshot and log")
	case m.o.TrueDigest == nil:
		m.giveUpState(&last)
	default:
		m.net.work.Go(func() {
			digest, err := m.o.TrueDigest(last.Zxid)
			m.post(func() { m.inquired(&last, digest, err) })
		})
	}
}

// countReplayed counts what did not match when the log was replayed at the start.
// The tree comes from snapshot and log already, so nothing more can be done here.
func (m *Member) countReplayed() {
	n := m.tree.DigestMismatches()
	if m.turn.digests.seen = n; n == 0 {
		return
	}
	m.o.Count.Mismatched(n)
	reason := fmt.Sprintf("the digests of %d transactions in the log are not those of the tree that they lead to", n)
	m.suspect.Store(&reason)
}

// inquired takes what snapshot and log say of a mismatch. A member that cannot
// tell takes the leader's word.
func (m *Member) inquired(last *znode.DigestMismatch, digest uint64, err error) {
	if err == nil && digest == last.Have {
		m.suspectTree(last, "snapshot and log lead to the tree that is here, so it is the server which made the transaction that has another one: "+
			"compare the digests of all servers (the word hash), and start the one that differs anew without its zooid directory")
		return
	}
	if err != nil {
		m.log.Warn("it cannot be told from the disk whose tree is wrong", zap.Error(err))
	}
	m.giveUpState(last)
}

// giveUpState leaves the role and asks for the leader's state.
func (m *Member) giveUpState(last *znode.DigestMismatch) {
	m.foundWrong(last, "this server leaves its role and takes over the leader's state")
	m.peer.Distrust(m.Suspect())
}

// foundWrong notes that the tree here is wrong.
func (m *Member) foundWrong(last *znode.DigestMismatch, follows string) {
	m.suspectTree(last, follows)
	if m.o.Mismatch != nil {
		m.o.Mismatch(*last)
	}
}

// suspectTree tells of a mismatch, in the log and to whoever asks.
func (m *Member) suspectTree(last *znode.DigestMismatch, follows string) {
	reason := fmt.Sprintf("the tree's digest after %v was not the one that the transaction brought", last.Zxid)
	m.suspect.Store(&reason)
	m.log.Error("the digest of a transaction is not that of the tree: "+follows,
		zap.Stringer("zxid", last.Zxid), zap.String("want", fmt.Sprintf("%#x", last.Want)), zap.String("have", fmt.Sprintf("%#x", last.Have)),
		zap.Stringer("role", m.turn.place.state), zap.Int64("mismatches", m.turn.digests.seen))
}

// checkCopy has a leader whose durable copy takes no more changes resign: it could
// bring no learner up to date by a snapshot.
func (m *Member) checkCopy() {
	if m.net == nil || !m.o.Store.Broken() {
		return
	}
	m.peer.Unfit("the durable copy of the tree takes no more changes until the next start")
}

// Suspect says why the tree may be another one than the ensemble's; empty if
// nothing says so.
func (m *Member) Suspect() string {
	if s := m.suspect.Load(); s != nil {
		return *s
	}
	return ""
}
