package quorum

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
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
	// SaveSecret makes the secret that members share durable. It blocks.
	SaveSecret(secret []byte) error
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
	// untoldMax bounds the batches of packets that wait for the loop; beyond it
	// the connections are not read from.
	untoldMax = 256
	// patienceMin is the least of network.patience: a disk may be slow.
	patienceMin = 10 * time.Second
	// greetingMax is how many bytes of data a packet of a learner may have that has
	// not been told NEWLEADER: FOLLOWERINFO, ACKEPOCH.
	greetingMax = 1 << 10
)

// network carries out what the peer wants of the other members, and of the disk
// because of them. Its methods are called in the loop, by who has the turn;
// work that blocks has goroutines of its own, which post their results.
type network struct {
	m        *Member
	e        *Ensemble
	log      *zap.Logger
	quiet    *zap.Logger // thinned, for what strangers can make happen
	addrs    *memberAddrs
	links    *links
	channels *channels
	ctx      context.Context // ends with the network
	cancel   context.CancelFunc
	work     sync.WaitGroup
	room     chan struct{} // has an element for each batch of packets on its way to the loop
	dialling zab.ConnID    // of the last Dial; the loop's

	streaming atomic.Int32 // snapshots for learners that are being sent
	// received is the leader's snapshot on its way from the connection to the loop.
	received atomic.Pointer[store.Received]
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
	n := &network{m: m, e: e, log: m.log, quiet: thinned(m.log), addrs: newMemberAddrs(e.Members), room: make(chan struct{}, untoldMax)}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	self := m.o.Peer.Zab.SID
	n.links = newLinks(linkOptions{
		SID: self, Addrs: e.Members[self].Election, Listen: e.ListenElection, Peers: n.electionAddrs,
		CnxTimeout: e.CnxTimeout, GreetTimeout: e.GreetTimeout, BindTries: e.BindTries, KeepAlive: e.KeepAlive,
		From: n.addrs.of,
		Log:  m.log, Events: (*linkNews)(n),
	})
	n.channels = newChannels(channelOptions{
		Listen: e.ListenQuorum, MaxPacket: e.MaxPacket, BindTries: e.BindTries, KeepAlive: e.KeepAlive,
		StallMax: n.patience(), MaxGreeting: greetingMax, SilentMax: e.GreetTimeout, Member: n.addrs.has,
		Log: m.log, Events: (*channelNews)(n),
	})
	n.work.Go(func() { n.addrs.run(n.ctx) })
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

// patience is how long the other end may neither send nor take anything of a
// snapshot or of the history, which the protocol does not time: as long as a
// learner has to synchronize.
func (n *network) patience() time.Duration {
	z := &n.m.o.Peer.Zab
	return max(time.Duration(z.InitLimit*z.TickMs)*time.Millisecond, patienceMin)
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

// close ends the network and waits for what works for it. The loop has ended,
// or has not begun: nobody hands out more work than what is under way.
func (n *network) close() {
	n.cancel()
	n.links.Close()
	n.channels.Shutdown()
	n.work.Wait()
	if r := n.received.Swap(nil); r != nil {
		r.Discard()
	}
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

// Notified tells of a newer configuration too. That alone stops nobody: anybody
// can say it; the leader that is followed will say it if it is true.
func (l *linkNews) Notified(from wire.SID, n wire.Notification) {
	if v, ok := zab.ConfigVersion(n.Config); ok && v > l.m.o.Peer.Zab.Ensemble.Version {
		l.quiet.Warn("a server knows a newer configuration than this one: if the members were changed by reconfig, give this server the new list and start it again",
			zap.Int64("server", int64(from)), zap.Stringer("version", v))
	}
	l.m.post(func() { l.m.peer.Notified(from, &n) })
}

func (l *linkNews) Linked(sid wire.SID)   { l.m.post(func() { l.m.peer.Linked(sid) }) }
func (l *linkNews) Unlinked(sid wire.SID) { l.m.post(func() { l.m.peer.Unlinked(sid) }) }

func (c *channelNews) Accepted(conn zab.ConnID, remote string) {
	c.log.Debug("a learner connects", zap.String("from", remote))
	var from []wire.SID
	if ap, err := netip.ParseAddrPort(remote); err == nil {
		from = c.addrs.of(ap.Addr())
	}
	c.m.post(func() { c.m.peer.Accepted(conn, from...) })
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

// Packets has the reader wait while the loop has too much to do: then the
// connection fills up, and the other end waits as well.
func (c *channelNews) Packets(conn zab.ConnID, list []wire.QuorumPacket) {
	select {
	case c.room <- struct{}{}:
	case <-c.ctx.Done():
		return
	}
	c.m.post(func() {
		<-c.room
		c.m.countPackets(conn, list)
		for i := range list {
			c.m.peer.Packet(conn, list[i])
		}
	})
}

func (c *channelNews) Closed(conn zab.ConnID, reason string) {
	c.log.Debug("a connection between members has ended", zap.Int64("connection", int64(conn)), zap.String("why", reason))
	if reason == errClosedByOther.Error() {
		reason = "" // the peer's own word for it is clearer
	} else {
		reason = "the connection to the leader broke: " + reason // a learner's end matters to nobody
	}
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
	if rd.SaveSecret != "" {
		n.saveSecret(rd.SaveSecret)
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
		s := &rd.Sends[i]
		n.channels.Queue(s.Conn, &s.Packet)
		switch s.Packet.Type {
		case wire.PacketNewLeader:
			n.channels.Trust(s.Conn)
		case wire.PacketDiff:
			n.opened(s.Conn, "DIFF", s.Packet.Zxid, n.m.o.Count.DiffsSent)
		case wire.PacketTrunc:
			n.opened(s.Conn, "TRUNC", s.Packet.Zxid, n.m.o.Count.TruncsSent)
		}
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
		n.quiet.Warn("refused a learner: "+r.Reason, zap.Int64("server", int64(r.SID)))
	}
	if rd.Failed != "" {
		n.quiet.Info("no leader found yet: " + rd.Failed)
		n.m.look()
	}
	return busy || len(rd.Notices)+len(rd.Sends)+len(rd.Snapshots)+len(rd.Reads)+len(rd.Close) > 0 || rd.ConnectAll || rd.Dial != nil
}

// opened notes by which way a learner is brought up to date.
func (n *network) opened(conn zab.ConnID, way string, z wire.Zxid, count func(int64)) {
	count(1)
	n.log.Info("synchronizing a learner by "+way, zap.Int64("server", int64(n.sidOf(conn))), zap.Stringer("zxid", z))
}

// sidOf is the learner behind a connection, 0 if it is gone.
func (n *network) sidOf(conn zab.ConnID) wire.SID {
	for _, l := range n.m.peer.Machine.Status().Learners {
		if l.Conn == conn {
			return l.SID
		}
	}
	return 0
}

// flush writes the packets that were queued.
func (n *network) flush() { n.channels.Flush() }
