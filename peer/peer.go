package peer

import (
	"fmt"

	"zooid/session"
	"zooid/wire"
	"zooid/zab"
	"zooid/znode"
)

// Config is what a peer is told about its place and its rules.
type Config struct {
	SID    wire.SID     // top byte of the session ids that it makes
	TickMs int64        // width of the buckets in which sessions expire
	Keys   session.Keys // passwords of sessions

	// SweepMs is the pause between two searches for empty containers and for
	// TTL nodes past their time; SweepMax the most deletions a minute;
	// NeverUsedMs, if positive, the age at which a container that never had a
	// child goes too.
	SweepMs     int64
	SweepMax    int
	NeverUsedMs int64
}

// Entry is a transaction for the log: its zxid and its encoding.
type Entry = wire.Entry

// proposal is a transaction between its proposal and its application, with
// what its reply needs.
type proposal struct {
	txn  *wire.Txn
	conn znode.ConnID
	op   wire.OpCode // what was asked; the txn of a refused request says OpError
}

// waitingSync is a sync and the last proposal before it. Its outcome comes when
// that is applied: a client that has just seen the outcome of a write must not
// be told an older zxid by the sync that it sent behind it.
type waitingSync struct {
	r     *znode.Request
	after wire.Zxid
}

// Peer is the machine. Its zero value is not usable; see New.
type Peer struct {
	cfg  Config
	tree *znode.Tree
	view *znode.View
	zab  *zab.Solo

	// inFlight holds the proposals that are not applied, oldest first; the
	// first committed of them are final.
	inFlight  []proposal
	committed int

	ready Ready
	chunk []byte // holds encodings, see encode
	// syncs wait for the proposals that were made before them, oldest first.
	syncs []waitingSync

	clock   session.Clock
	tracker *session.Tracker
	ids     *session.IDs
	sweep   sweep
}

// Ready is what the peer wants done outside of it. It is valid until the next
// call that changes the peer.
type Ready struct {
	// Entries are to be appended to the log, in this order. Their payloads
	// belong to the receiver.
	Entries []Entry
	// Attached are the answers to re-attachments that need no transaction.
	Attached []Attached
}

// Attached answers an Attach. A Session of 0 says that there is no such
// session, or that the password is wrong.
type Attached struct {
	Conn      znode.ConnID
	Session   wire.SessionID
	TimeoutMs int32
	Passwd    [16]byte
}

// New makes the peer of a member alone. The tree has everything that the log
// has, up to tree.LastZxid(). unixMs is the wall clock in ms since 1970, from
// which session ids are made. Every session of the tree gets a full timeout.
func New(cfg Config, tree *znode.Tree, unixMs int64) *Peer {
	p := &Peer{
		cfg:     cfg,
		tree:    tree,
		view:    znode.NewView(tree),
		zab:     zab.NewSolo(tree.LastZxid()),
		tracker: session.NewTracker(cfg.TickMs),
		ids:     session.NewIDs(cfg.SID, unixMs),
	}
	p.sweep.nextMs = unixMs + cfg.SweepMs // as ZooKeeper: the first one an interval after the start
	tree.Sessions(func(id wire.SessionID, timeoutMs, _ int32) {
		p.tracker.Add(id, timeoutMs, p.clock.Now())
		p.ids.Avoid(id)
	})
	return p
}

// Submit takes a client's request. timeMs is the wall clock in ms since 1970,
// which becomes the time of the transaction. The request's memory must stay
// unchanged until its outcome.
func (p *Peer) Submit(r *znode.Request, timeMs int64) {
	if r.Op == wire.OpSync {
		p.syncs = append(p.syncs, waitingSync{r, p.zab.Proposed()})
		return
	}
	p.propose(r, timeMs)
}

// propose makes r's transaction and hands it to the log. A request that is
// refused takes a zxid as well, as in ZooKeeper.
func (p *Peer) propose(r *znode.Request, timeMs int64) {
	txn := p.view.Prepare(r, p.zab.Propose(), timeMs)
	p.inFlight = append(p.inFlight, proposal{txn: txn, conn: r.Conn, op: r.Op})
	p.ready.Entries = append(p.ready.Entries, Entry{Zxid: txn.Zxid, Payload: p.encode(txn)})
}

// chunkBytes is how much memory is taken at once for the encodings of
// transactions, and chunkSpare how much of it must be left for one more.
const (
	chunkBytes = 64 << 10
	chunkSpare = 1 << 10
)

// encode encodes a transaction in memory that it shares with its neighbours:
// an allocation of its own for each would be the dearest part of a small write.
func (p *Peer) encode(txn *wire.Txn) []byte {
	if cap(p.chunk)-len(p.chunk) < chunkSpare {
		p.chunk = make([]byte, 0, chunkBytes)
	}
	start := len(p.chunk)
	p.chunk = txn.Append(p.chunk)
	return p.chunk[start:len(p.chunk):len(p.chunk)]
}

// Durable says that the log has every entry up to z on disk.
func (p *Peer) Durable(z wire.Zxid) {
	p.zab.Durable(z)
	after, upTo := p.zab.Commit()
	p.committed += int(upTo - after)
}

// Ready gives what is to be done and forgets it.
func (p *Peer) Ready() Ready {
	r := p.ready
	p.ready = Ready{Entries: r.Entries[len(r.Entries):], Attached: r.Attached[len(r.Attached):]}
	return r
}

// Pending reports whether Apply has something to do.
func (p *Peer) Pending() bool { return p.committed > 0 || p.syncDue() }

// syncDue tells whether the oldest sync need not wait any more.
func (p *Peer) syncDue() bool {
	return len(p.syncs) > 0 && p.syncs[0].after <= p.tree.LastZxid()
}

// Outstanding is the number of proposals that are not applied yet.
func (p *Peer) Outstanding() int { return len(p.inFlight) }

// Apply applies the next committed transaction and fills out with its result,
// its events and whom the reply belongs to; the slices in out are reused. A
// sync has its outcome in its place among them. It reports false, and leaves
// out alone, if there is nothing more. The caller holds the tree's write lock.
func (p *Peer) Apply(out *znode.Applied) bool {
	switch {
	case p.syncDue():
		r := p.syncs[0].r
		p.syncs[0] = waitingSync{} // let its memory go
		p.syncs = p.syncs[1:]
		*out = znode.Applied{Conn: r.Conn, Session: r.Session, Cxid: r.Cxid, Op: r.Op, Zxid: p.tree.LastZxid(),
			Multi: out.Multi[:0], Events: out.Events[:0]}
		if body, ok := r.Body.(*wire.PathRequest); ok {
			out.Path = body.Path
		}
	case p.committed > 0:
		p.applyNext(out)
	default:
		return false
	}
	return true
}

func (p *Peer) applyNext(out *znode.Applied) {
	next := p.inFlight[0]
	p.inFlight[0] = proposal{} // let its memory go
	p.inFlight = p.inFlight[1:]
	p.committed--
	if next.txn.Zxid <= p.tree.LastZxid() {
		panic(fmt.Sprintf("peer: applying %v after %v", next.txn.Zxid, p.tree.LastZxid()))
	}
	p.tree.Apply(next.txn, out)
	p.view.Applied(next.txn.Zxid)
	out.Conn, out.Op = next.conn, next.op
	out.Session, out.Cxid, out.Zxid = next.txn.Session, next.txn.Cxid, next.txn.Zxid
	if out.Created != 0 {
		p.tracker.Add(out.Created, out.TimeoutMs, p.clock.Now())
	}
	if out.Closed != 0 {
		p.tracker.Remove(out.Closed)
	}
}
