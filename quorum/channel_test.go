package quorum

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"zooid/wire"
	"zooid/zab"
)

// channelLog gets what channels tell.
type channelLog struct {
	events chan channelEvent
	// onPackets, if set, is called instead.
	onPackets func(conn zab.ConnID, packets []wire.QuorumPacket)
}

type channelEvent struct {
	kind    string // accepted, dialled, failed, packets or closed
	conn    zab.ConnID
	packets []wire.QuorumPacket
	reason  string
	err     error
}

func (c *channelLog) Accepted(conn zab.ConnID, _ string) {
	c.events <- channelEvent{kind: "accepted", conn: conn}
}
func (c *channelLog) Dialled(conn zab.ConnID) { c.events <- channelEvent{kind: "dialled", conn: conn} }
func (c *channelLog) DialFailed(sid wire.SID, err error) {
	c.events <- channelEvent{kind: "failed", conn: zab.ConnID(sid), err: err}
}
func (c *channelLog) Packets(conn zab.ConnID, packets []wire.QuorumPacket) {
	if c.onPackets != nil {
		c.onPackets(conn, packets)
		return
	}
	c.events <- channelEvent{kind: "packets", conn: conn, packets: packets}
}
func (c *channelLog) Closed(conn zab.ConnID, reason string) {
	c.events <- channelEvent{kind: "closed", conn: conn, reason: reason}
}

// expect wants an event of this kind next.
func (c *channelLog) expect(t *testing.T, kind string) channelEvent {
	t.Helper()
	select {
	case e := <-c.events:
		if e.kind != kind {
			t.Fatalf("got %+v, want %s", e, kind)
		}
		return e
	case <-time.After(patienceMax):
		t.Fatalf("no event, want %s", kind)
	}
	panic("not reached")
}

// expectPackets wants n packets next, in any number of batches.
func (c *channelLog) expectPackets(t *testing.T, n int) (packets []wire.QuorumPacket) {
	t.Helper()
	for len(packets) < n {
		packets = append(packets, c.expect(t, "packets").packets...)
	}
	if len(packets) > n {
		t.Fatalf("%d packets, want %d", len(packets), n)
	}
	return packets
}

func (c *channelLog) quiet(t *testing.T) {
	t.Helper()
	select {
	case e := <-c.events:
		t.Fatalf("got %+v, want nothing", e)
	default:
	}
}

type testChannels struct {
	*channels
	*channelLog
	logs *observer.ObservedLogs
}

func startChannels(t *testing.T, change func(*channelOptions)) *testChannels {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	s := &testChannels{channelLog: &channelLog{events: make(chan channelEvent, 4096)}, logs: logs}
	o := channelOptions{Listen: []string{"127.0.0.1:0"}, Log: zap.New(core), Events: s.channelLog}
	if change != nil {
		change(&o)
	}
	s.channels = newChannels(o)
	t.Cleanup(s.Shutdown)
	if o.dial == nil {
		if err := s.Listen(); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *testChannels) addr() string { return s.ListenAddrs()[0].String() }

// joined are a leader and a learner that has dialled it.
type joined struct {
	leader, learner *testChannels
	toLeader        zab.ConnID // the learner's number of the connection
	toLearner       zab.ConnID // the leader's
}

func join(t *testing.T, change func(*channelOptions)) *joined {
	t.Helper()
	j := &joined{leader: startChannels(t, change), learner: startChannels(t, change)}
	id := j.learner.Dial(1, []string{j.leader.addr()}, time.Second)
	if j.toLeader = j.learner.expect(t, "dialled").conn; j.toLeader != id {
		t.Errorf("dialled %d, Dial gave %d", j.toLeader, id)
	}
	j.toLearner = j.leader.expect(t, "accepted").conn
	return j
}

// connectRaw is a learner without manners.
func connectRaw(t *testing.T, s *testChannels) (*rawPeer, zab.ConnID) {
	t.Helper()
	nc, err := net.Dial("tcp", s.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return &rawPeer{t, nc}, s.expect(t, "accepted").conn
}

func packet(typ wire.PacketType, z wire.Zxid, data string) *wire.QuorumPacket {
	p := &wire.QuorumPacket{Type: typ, Zxid: z}
	if data != "" {
		p.Data = []byte(data)
	}
	return p
}

// samePackets wants these packets, byte for byte.
func samePackets(t *testing.T, got, want []wire.QuorumPacket) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d packets, want %d", len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i].Append(nil), want[i].Append(nil)) {
			t.Fatalf("packet %d: %v %v of %d bytes, want %v %v of %d", i, got[i].Type, got[i].Zxid, len(got[i].Data), want[i].Type, want[i].Zxid, len(want[i].Data))
		}
	}
}

// Packets of all sizes pass in both directions at once and stay as they are
// while later ones arrive.
func TestPacketsPassBothWays(t *testing.T) {
	j := join(t, nil)
	var wg sync.WaitGroup
	for i, dir := range []struct {
		from, to *testChannels
		conn     zab.ConnID
	}{{j.leader, j.learner, j.toLearner}, {j.learner, j.leader, j.toLeader}} {
		r := rand.New(rand.NewPCG(uint64(i), 0))
		packets, _ := randomPackets(r, 3000, 30<<10)
		wg.Go(func() {
			for k := range packets {
				dir.from.Queue(dir.conn, &packets[k])
				if r.IntN(10) == 0 {
					dir.from.Flush()
				}
			}
			dir.from.Flush()
		})
		wg.Go(func() { samePackets(t, dir.to.expectPackets(t, len(packets)), packets) })
	}
	wg.Wait()
	j.leader.Close(j.toLearner)
	if e := j.learner.expect(t, "closed"); e.reason != "closed by the other end" {
		t.Error(e.reason)
	}
	if e := j.leader.expect(t, "closed"); e.reason != "closed by this server" {
		t.Error(e.reason)
	}
	j.leader.quiet(t)
	j.learner.quiet(t)
}

// TestRecordedChannels replays each recorded connection of a learner with its
// leader: one of them is our channels, the other a socket that sends the
// recorded bytes, snapshots among them. What ours write is what was recorded.
func TestRecordedChannels(t *testing.T) {
	snapshots := 0
	for _, name := range []string{"01-election-and-first-sync", "02-broadcast-forwarding-sessions-inform", "03-join-diff", "04-join-snap",
		"05-leader-failure-epoch-2", "06-join-trunc", "07-reconfig", "08-join-diff-from-disk-log", "11-join-diff-under-load", "12-join-snap-under-load",
		"13-counter-rollover", "14-local-session-upgrade", "15-hierarchical"} {
		for _, c := range recordedConns(t, name, "quorum") {
			if c.From == 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s, connection %d", name[:2], c.Conn), func(t *testing.T) {
				ours := startChannels(t, nil)
				p, conn := connectRaw(t, ours)
				snapshots += replayPackets(t, ours, conn, p, c, c.From, c.To)

				l := listenRaw(t, "127.0.0.1:0")
				conn = ours.Dial(c.To, []string{l.Addr().String()}, time.Second)
				p = acceptRaw(t, l, nil)
				ours.expect(t, "dialled")
				snapshots += replayPackets(t, ours, conn, p, c, c.To, c.From)
			})
		}
	}
	if snapshots < 2*4 {
		t.Errorf("%d snapshots passed", snapshots)
	}
}

// replayPackets has the socket say what was recorded of theirs, and ours what
// was of us.
func replayPackets(t *testing.T, ours *testChannels, conn zab.ConnID, p *rawPeer, c *recordedConn, theirs, us wire.SID) (snapshots int) {
	go p.Write(c.bytes(theirs))
	var waiting []wire.QuorumPacket // delivered, and not yet compared
	for _, s := range c.said {
		if s.by != theirs {
			continue
		}
		if s.snapshot {
			snapshots++
			received := make(chan error, 1)
			ours.Receive(conn, func(r io.Reader) error {
				b := make([]byte, len(s.b))
				if _, err := io.ReadFull(r, b); err != nil || !bytes.Equal(b, s.b) {
					return fmt.Errorf("another snapshot than was sent, %v", err)
				}
				return nil
			}, func(err error) { received <- err })
			if err := <-received; err != nil {
				t.Fatal(err)
			}
			continue
		}
		if len(waiting) == 0 {
			waiting = ours.expect(t, "packets").packets
		}
		if got := waiting[0].Append(nil); !bytes.Equal(got, s.b) {
			t.Fatalf("got %x, recorded %x", got, s.b)
		}
		waiting = waiting[1:]
	}
	for _, s := range c.said {
		if s.by != us {
			continue
		}
		if s.snapshot {
			snapshots++
			ours.SendSnapshot(conn, func(_ context.Context, w io.Writer) error {
				_, err := w.Write(s.b)
				return err
			}, func(error) {})
			continue
		}
		q, n, err := wire.DecodeQuorumPacket(s.b, defaultMaxPacket)
		if n != len(s.b) || err != nil {
			t.Fatal(n, err)
		}
		ours.Queue(conn, &q)
	}
	ours.Flush()
	p.read(c.bytes(us))
	p.Close()
	ours.expect(t, "closed")
	return snapshots
}

// A connection whose other end does not read neither blocks the others nor is
// waited for; when it reads again it gets everything in order.
func TestOtherEndThatDoesNotRead(t *testing.T) {
	s := startChannels(t, nil)
	slow, slowConn := connectRaw(t, s)
	quick, quickConn := connectRaw(t, s)
	data := strings.Repeat("x", 100<<10)
	const all = 300
	for i := range all {
		s.Queue(slowConn, packet(wire.PacketProposal, wire.Zxid(i), data))
		s.Queue(quickConn, packet(wire.PacketCommit, wire.Zxid(i), ""))
		s.Flush()
		quick.read(packet(wire.PacketCommit, wire.Zxid(i), "").Append(nil))
	}
	c := s.find(slowConn)
	c.mu.Lock()
	if !c.mu.writing || c.mu.bytes == 0 {
		t.Errorf("%d bytes wait, writing %v", c.mu.bytes, c.mu.writing)
	}
	c.mu.Unlock()
	for i := range all {
		slow.read(packet(wire.PacketProposal, wire.Zxid(i), data).Append(nil))
	}
	s.Queue(slowConn, packet(wire.PacketPing, 1, ""))
	s.Flush()
	slow.read(packet(wire.PacketPing, 1, "").Append(nil))
	c.mu.Lock()
	if len(c.mu.queue) != 0 || c.mu.bytes != 0 && !c.mu.writing {
		t.Errorf("%d items and %d bytes are left", len(c.mu.queue), c.mu.bytes)
	}
	c.mu.Unlock()
	s.quiet(t)
}

// What waits for an end that does not read is bounded.
func TestOtherEndThatNeverReads(t *testing.T) {
	s := startChannels(t, func(o *channelOptions) { o.MaxQueued = 8 << 20 })
	_, conn := connectRaw(t, s)
	big := packet(wire.PacketProposal, 1, strings.Repeat("x", 1<<20))
	for range 100 {
		s.Queue(conn, big)
		s.Flush()
	}
	if e := s.expect(t, "closed"); !strings.Contains(e.reason, "does not read") {
		t.Error(e.reason)
	}
	if s.logs.Len() != 1 {
		t.Errorf("logged %v", s.logs.All())
	}
	s.Queue(conn, big) // to nobody
	s.Flush()
	s.Close(conn)
	s.quiet(t)
}

// A snapshot stands on the stream exactly where it was asked for.
func TestSnapshotKeepsItsPlace(t *testing.T) {
	j := join(t, nil)
	snapshot := bytes.Repeat([]byte("snapshot"), 1<<17)
	began, release, sent := make(chan bool), make(chan bool), make(chan error, 1)
	j.leader.Queue(j.toLearner, packet(wire.PacketDiff, 1, ""))
	j.leader.Queue(j.toLearner, packet(wire.PacketSnap, 7, ""))
	j.leader.SendSnapshot(j.toLearner, func(_ context.Context, w io.Writer) error {
		w.Write(snapshot[:100])
		close(began)
		<-release
		_, err := w.Write(snapshot[100:])
		return err
	}, func(err error) { sent <- err })
	<-began
	for i := range wire.Zxid(100) {
		j.leader.Queue(j.toLearner, packet(wire.PacketProposal, i, "behind"))
		j.leader.Flush()
	}
	got := j.learner.expectPackets(t, 2)
	if got[1].Type != wire.PacketSnap || got[1].Zxid != 7 {
		t.Fatal(got)
	}
	received := make(chan error, 1)
	var stream bytes.Buffer
	j.learner.Receive(j.toLeader, func(r io.Reader) error {
		_, err := io.CopyN(&stream, r, int64(len(snapshot)))
		return err
	}, func(err error) { received <- err })
	close(release)
	if err := errors.Join(<-sent, <-received); err != nil || !bytes.Equal(stream.Bytes(), snapshot) {
		t.Fatalf("%d bytes of %d, %v", stream.Len(), len(snapshot), err)
	}
	for i, p := range j.learner.expectPackets(t, 100) {
		if p.Zxid != wire.Zxid(i) || string(p.Data) != "behind" {
			t.Fatalf("packet %d: %v %q", i, p.Zxid, p.Data)
		}
	}
}

// A reader that wraps its Reader in a bufio.Reader of its own, as long as that
// is no larger, takes nothing away from the packets.
func TestReceiveThroughBufio(t *testing.T) {
	s := startChannels(t, nil)
	p, conn := connectRaw(t, s)
	b := packet(wire.PacketSnap, 1, "").Append(nil)
	b = append(b, "stream\n"...)
	p.write(packet(wire.PacketNewLeader, 2, "x").Append(b))
	s.expectPackets(t, 1)
	s.Receive(conn, func(r io.Reader) error {
		line, err := bufio.NewReader(r).ReadString('\n')
		if line != "stream\n" {
			t.Errorf("read %q", line)
		}
		return err
	}, func(error) {})
	if got := s.expectPackets(t, 1); got[0].Type != wire.PacketNewLeader {
		t.Error(got)
	}
}

// Methods may be called from within events, even about the same connection.
func TestCallsFromWithinEvents(t *testing.T) {
	s := startChannels(t, nil)
	s.onPackets = func(conn zab.ConnID, packets []wire.QuorumPacket) {
		for i := range packets {
			s.Queue(conn, &packets[i])
		}
		s.SetTimeout(conn, time.Minute)
		s.Flush()
		if packets[len(packets)-1].Type == wire.PacketUpToDate {
			s.Close(conn)
		}
	}
	p, _ := connectRaw(t, s)
	for _, typ := range []wire.PacketType{wire.PacketPing, wire.PacketUpToDate} {
		b := packet(typ, 1, "echo").Append(nil)
		p.write(b)
		p.read(b)
	}
	p.expectEnd()
	p.Close()
	s.expect(t, "closed")
}

// BenchmarkChannel is a leader's stream of proposals to one learner, with the
// acknowledgements coming back.
func BenchmarkChannel(b *testing.B) {
	for _, size := range []int{100, 1 << 10} {
		b.Run(fmt.Sprintf("proposal-%dB", size), func(b *testing.B) {
			const inFlight = 1000
			window := make(chan struct{}, inFlight)
			leaderLog := &channelLog{events: make(chan channelEvent, 10), onPackets: func(_ zab.ConnID, packets []wire.QuorumPacket) {
				for range packets {
					<-window
				}
			}}
			leader := newChannels(channelOptions{Listen: []string{"127.0.0.1:0"}, Events: leaderLog})
			defer leader.Shutdown()
			if err := leader.Listen(); err != nil {
				b.Fatal(err)
			}
			var learner *channels
			learnerLog := &channelLog{events: make(chan channelEvent, 10), onPackets: func(conn zab.ConnID, packets []wire.QuorumPacket) {
				for i := range packets {
					learner.Queue(conn, &wire.QuorumPacket{Type: wire.PacketAck, Zxid: packets[i].Zxid})
				}
				learner.Flush()
			}}
			learner = newChannels(channelOptions{Events: learnerLog})
			defer learner.Shutdown()
			learner.Dial(1, []string{leader.ListenAddrs()[0].String()}, time.Second)
			conn := (<-leaderLog.events).conn
			p := packet(wire.PacketProposal, 1, strings.Repeat("x", size))
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if i%16 == 0 || len(window) == inFlight {
					leader.Flush()
				}
				window <- struct{}{}
				leader.Queue(conn, p)
			}
			leader.Flush()
			for range inFlight {
				window <- struct{}{}
			}
		})
	}
}
