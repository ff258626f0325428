package quorum

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"go.uber.org/zap"

	"zooid/store"
	"zooid/wire"
	"zooid/zab"
)

// Ensemble says where the other members are, and what of the disk their
// protocol needs.
type Ensemble struct {
	Disk Disk
	// Members has the addresses of every member, this one included. Names are
	// resolved at every dial.
	Members map[wire.SID]Addresses
	// ListenElection and ListenQuorum are where this member listens, host:port.
	ListenElection, ListenQuorum []string
	CnxTimeout                   time.Duration // of a dial for the election; default 5 s
	ConnectTimeout               time.Duration // of a dial to a leader; default 5 s
	GreetTimeout                 time.Duration // of what must be said first on an election connection; default 5 s
	BindTries                    int           // of listening, a second apart; default 3
	KeepAlive                    bool          // TCP keepalive on connections between members
	MaxPacket                    int           // bytes of data in one packet, jute.maxbuffer and its extra; default 2 MiB
	// ReadOnlyAfter is how long clients that only want to read wait for a leader
	// before they are served without one; 0 means for ever.
	ReadOnlyAfter time.Duration
}

// Addresses are a member's towards the others, host:port.
type Addresses struct{ Quorum, Election []string }

// Disk is what a member of an ensemble needs of its disk beyond Log and Store.
// A *store.Store is one.
type Disk interface {
	// SaveEpochs makes the two promises durable. It blocks.
	SaveEpochs(accepted, current int64) error
	// Truncate cuts the log behind z, durably. It blocks.
	Truncate(z wire.Zxid) (last wire.Zxid, ok bool, err error)
	// ReadLog gives records for a learner.
	ReadLog(after wire.Zxid, maxBytes int) (store.LogPart, error)
	// Receive reads a leader's snapshot and makes it ready to be installed.
	Receive(r io.Reader, label wire.Zxid, epoch int64) (*store.Received, error)
	// Stream gives a snapshot for a learner.
	Stream(ctx context.Context, atLeast wire.Zxid) (*store.Stream, error)
}

const (
	defaultDialTimeout = 5 * time.Second
	defaultMaxPacket   = 2 * 0xfffff
	// fullDiskPause is how long what has to be on disk waits for room on it.
	fullDiskPause = time.Second
)

// network carries out what the peer wants of the other members, and of the disk
// because of them. Its methods are called in the loop, by who has the turn;
// work that blocks has goroutines of its own, which post their results.
type network struct {
	m        *Member
	e        *Ensemble
	log      *zap.Logger
	links    *links
	channels *channels
	ctx      context.Context // ends with the network
	cancel   context.CancelFunc
	work     sync.WaitGroup
	dialling zab.ConnID // of the last Dial
}

// newNetwork listens for the other members.
func newNetwork(m *Member) (*network, error) {
	e := m.o.Ensemble
	for _, d := range []*time.Duration{&e.CnxTimeout, &e.ConnectTimeout, &e.GreetTimeout} {
		if *d <= 0 {
			*d = defaultDialTimeout
		}
	}
	if e.MaxPacket <= 0 {
		e.MaxPacket = defaultMaxPacket
	}
	n := &network{m: m, e: e, log: m.log}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	self := m.o.Peer.Zab.SID
	n.links = newLinks(linkOptions{
		SID: self, Addrs: e.Members[self].Election, Listen: e.ListenElection, Peers: n.electionAddrs,
		CnxTimeout: e.CnxTimeout, GreetTimeout: e.GreetTimeout, BindTries: e.BindTries, KeepAlive: e.KeepAlive,
		Log: m.log, Events: (*linkNews)(n),
	})
	n.channels = newChannels(channelOptions{
		Listen: e.ListenQuorum, MaxPacket: e.MaxPacket, BindTries: e.BindTries, KeepAlive: e.KeepAlive,
		Log: m.log, Events: (*channelNews)(n),
	})
	if err := n.links.Listen(); err != nil {
		n.close()
		return nil, fmt.Errorf("election port: %w", err)
	}
	if err := n.channels.Listen(); err != nil {
		n.close()
		return nil, fmt.Errorf("quorum port: %w", err)
	}
	return n, nil
}

// electionAddrs are the addresses at which the other members take part in
// elections.
func (n *network) electionAddrs() map[wire.SID][]string {
	addrs := make(map[wire.SID][]string, len(n.e.Members))
	for sid, a := range n.e.Members {
		addrs[sid] = a.Election
	}
	return addrs
}

// close ends the network and waits for what works for it.
func (n *network) close() {
	n.cancel()
	n.links.Close()
	n.channels.Shutdown()
	n.work.Wait()
}

func (m *Member) closeNetwork() {
	if m.net != nil {
		m.net.close()
	}
}

// linkNews and channelNews bring what the other members say to the loop.
type (
	linkNews    network
	channelNews network
)

func (l *linkNews) Notified(from wire.SID, n wire.Notification) {
	l.m.post(func() { l.m.peer.Notified(from, &n) })
}

func (l *linkNews) Linked(sid wire.SID)   { l.m.post(func() { l.m.peer.Linked(sid) }) }
func (l *linkNews) Unlinked(sid wire.SID) { l.m.post(func() { l.m.peer.Unlinked(sid) }) }

func (c *channelNews) Accepted(conn zab.ConnID, remote string) {
	c.log.Debug("a learner connects", zap.String("from", remote))
	c.m.post(func() { c.m.peer.Accepted(conn) })
}

func (c *channelNews) Dialled(conn zab.ConnID) {
	c.m.post(func() {
		if conn != c.dialling {
			c.channels.Close(conn) // the leader has changed meanwhile
			return
		}
		c.m.peer.Dialled(conn)
	})
}

func (c *channelNews) DialFailed(sid wire.SID, err error) {
	c.log.Debug("the leader cannot be reached", zap.Int64("server", int64(sid)), zap.Error(err))
	c.m.post(func() { c.m.peer.DialFailed(sid) })
}

func (c *channelNews) Packets(conn zab.ConnID, list []wire.QuorumPacket) {
	c.m.post(func() {
		for i := range list {
			c.m.peer.Packet(conn, list[i])
		}
	})
}

func (c *channelNews) Closed(conn zab.ConnID, reason string) {
	c.log.Debug("a connection between members has ended", zap.Int64("connection", int64(conn)), zap.String("why", reason))
	c.m.post(func() { c.m.peer.Closed(conn, reason) })
}

// carryOut does what the peer wants of the others, and tells whether it wanted
// anything. flush follows.
func (n *network) carryOut(rd *zab.Ready) (busy bool) {
	if rd.Truncate != nil {
		n.truncate(*rd.Truncate)
		busy = true
	}
	if rd.SaveEpochs != nil {
		n.saveEpochs(*rd.SaveEpochs)
		busy = true
	}
	if rd.Install != nil {
		n.install(*rd.Install)
		busy = true
	}
	for i := range rd.Notices {
		n.links.Send(rd.Notices[i].To, &rd.Notices[i].N)
	}
	if rd.ConnectAll {
		n.links.ConnectAll()
	}
	if d := rd.Dial; d != nil {
		n.dialling = n.channels.Dial(d.Leader, n.e.Members[d.Leader].Quorum, n.e.ConnectTimeout)
	}
	for i := range rd.Sends {
		n.channels.Queue(rd.Sends[i].Conn, &rd.Sends[i].Packet)
	}
	for _, s := range rd.Snapshots {
		n.sendSnapshot(s)
	}
	for _, r := range rd.Reads {
		n.readLog(r)
	}
	for _, conn := range rd.Close {
		n.channels.Close(conn)
	}
	for i := range rd.Refused {
		r := &rd.Refused[i]
		n.log.Warn("refused a learner: "+r.Reason, zap.Int64("server", int64(r.SID)))
	}
	if rd.Failed != "" {
		n.log.Info("no leader found yet: " + rd.Failed)
	}
	return busy || len(rd.Notices)+len(rd.Sends)+len(rd.Snapshots)+len(rd.Reads)+len(rd.Close) > 0 || rd.ConnectAll || rd.Dial != nil
}

// flush writes the packets that were queued.
func (n *network) flush() { n.channels.Flush() }

// saveEpochs keeps the promises. Where the disk is full they wait for room, and
// with them what was to be promised.
func (n *network) saveEpochs(e zab.Epochs) {
	n.work.Go(func() {
		for told := false; ; told = true {
			err := n.e.Disk.SaveEpochs(e.Accepted, e.Current)
			if err == nil {
				break
			}
			if !isDiskFull(err) {
				n.lost(fmt.Errorf("epoch files: %w; what this server promised the others is uncertain, so it stops", err))
				return
			}
			if !told {
				n.log.Warn("the disk is full: this server can join no quorum until there is room for its epoch files", zap.Error(err))
			}
			if !n.pause(fullDiskPause) {
				return
			}
		}
		n.m.post(func() { n.m.peer.EpochsSaved(e) })
	})
}

// pause waits, and tells whether the network still stands then.
func (n *network) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-n.ctx.Done():
		return false
	}
}

// lost ends the member because of its disk.
func (n *network) lost(err error) {
	n.m.inbox.Lock()
	n.m.inbox.err = err
	n.m.inbox.Unlock()
	n.m.knock()
}

func (n *network) truncate(z wire.Zxid) {
	n.work.Go(func() {
		last, ok, err := n.e.Disk.Truncate(z)
		if err != nil {
			n.lost(fmt.Errorf("cut the transaction log behind %v, as the leader asks: %w", z, err))
			return
		}
		n.log.Info("the log was cut: what lay behind was never committed", zap.Stringer("behind", z), zap.Stringer("last", last), zap.Bool("done", ok))
		n.m.o.Count.Truncated(1)
		n.m.post(func() { n.m.peer.Truncated(last, ok) })
	})
}

// install reads the snapshot that the leader sends, in the goroutine that reads
// the connection, and puts it in the place of what this member had.
func (n *network) install(in zab.Install) {
	began := n.m.o.Now()
	var received *store.Received
	read := func(r io.Reader) (err error) {
		received, err = n.e.Disk.Receive(r, in.Zxid, in.Epoch)
		return err
	}
	n.channels.Receive(in.Conn, read, func(err error) {
		n.m.post(func() {
			if err == nil {
				n.m.o.Clients.Drop("this server takes over its leader's snapshot")
				err = received.Install()
			}
			switch {
			case err == nil:
				n.log.Info("installed the leader's snapshot", zap.Stringer("zxid", in.Zxid),
					zap.Int("znodes", n.m.tree.NodeCount()), zap.Duration("took", n.m.o.Now().Sub(began)))
				n.m.o.Count.Installed(1)
				n.m.peer.Installed(in.Zxid, true)
			case received != nil:
				// The switch has begun, and nobody knows how far it got.
				n.m.fail(fmt.Errorf("install the leader's snapshot: %w", err))
			default:
				n.log.Warn("the leader's snapshot was not received", zap.Error(err))
				n.m.peer.Installed(in.Zxid, false)
			}
		})
	})
}

// sendSnapshot streams the state to a learner, from the durable copy.
func (n *network) sendSnapshot(s zab.SendSnapshot) {
	n.m.o.Store.Keep(true)
	began := n.m.o.Now()
	n.work.Go(func() {
		stream, err := n.e.Disk.Stream(n.ctx, s.AtLeast)
		if err != nil {
			n.log.Warn("no snapshot for a learner", zap.Stringer("zxid", s.AtLeast), zap.Error(err))
			n.m.post(func() { n.m.peer.SnapshotSent(s.Conn, 0, false) })
			return
		}
		n.m.post(func() { n.stream(s, stream, began) })
	})
}

// stream sends a snapshot that is ready. Nothing else goes to the learner until
// the peer knows that it is sent.
func (n *network) stream(s zab.SendSnapshot, stream *store.Stream, began time.Time) {
	z := stream.Zxid
	n.channels.Queue(s.Conn, &wire.QuorumPacket{Type: wire.PacketSnap, Zxid: max(z, s.Label)})
	write := func(_ context.Context, w io.Writer) error {
		_, err := stream.WriteTo(w)
		return err
	}
	n.channels.SendSnapshot(s.Conn, write, func(err error) {
		err = errors.Join(err, stream.Close())
		if err != nil {
			n.log.Warn("a learner did not take its snapshot", zap.Stringer("zxid", z), zap.Error(err))
		} else {
			n.log.Info("sent a snapshot to a learner", zap.Stringer("zxid", z), zap.Duration("took", n.m.o.Now().Sub(began)))
			n.m.o.Count.SnapshotsSent(1)
		}
		n.m.post(func() { n.m.peer.SnapshotSent(s.Conn, z, err == nil) })
	})
}

// readLog reads records for a learner once it has taken what was queued for it
// before: a learner that is far behind costs one part of the log in memory.
func (n *network) readLog(r zab.ReadLog) {
	nothing := func(context.Context, io.Writer) error { return nil }
	n.channels.SendSnapshot(r.Conn, nothing, func(err error) {
		if err != nil {
			return // its end is told elsewhere
		}
		n.work.Go(func() { n.readPart(r) })
	})
}

func (n *network) readPart(r zab.ReadLog) {
	part, err := n.e.Disk.ReadLog(r.After, r.MaxBytes)
	if err != nil {
		n.log.Info("the log does not serve a learner, it will get a snapshot", zap.Stringer("after", r.After), zap.Error(err))
	}
	chunk := zab.LogChunk{After: r.After, Prev: part.Prev, Entries: part.Entries, Behind: part.Behind, Err: err}
	n.m.post(func() { n.m.peer.LogRead(r.Conn, chunk) })
}
