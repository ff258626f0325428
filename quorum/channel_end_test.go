package quorum

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"zooid/wire"
	"zooid/zab"
)

// Streams that break, in either direction, close the connection, and whoever
// waits for one hears of it once.
func TestStreamsThatBreak(t *testing.T) {
	broken := errors.New("broken")
	outcome := func() (func(error), chan error) {
		c := make(chan error, 10)
		return func(err error) { c <- err }, c
	}
	writing := func(context.Context, io.Writer) error { return broken }
	reading := func(io.Reader) error { return broken }
	expect := func(t *testing.T, c chan error, want error) {
		t.Helper()
		select {
		case err := <-c:
			if want == nil && err == nil || want != nil && !errors.Is(err, want) {
				t.Errorf("outcome %v", err)
			}
		case <-time.After(patienceMax):
			t.Fatal("no outcome")
		}
		if len(c) > 0 {
			t.Errorf("another outcome: %v", <-c)
		}
	}
	t.Run("the snapshot fails", func(t *testing.T) {
		j := join(t, nil)
		done, c := outcome()
		j.leader.SendSnapshot(j.toLearner, writing, done)
		expect(t, c, broken)
		j.leader.expect(t, "closed")
		j.learner.expect(t, "closed")
	})
	t.Run("the learner goes meanwhile", func(t *testing.T) {
		j := join(t, nil)
		done, c := outcome()
		first, firstC := outcome()
		began := make(chan bool)
		j.leader.SendSnapshot(j.toLearner, func(ctx context.Context, _ io.Writer) error {
			close(began)
			<-ctx.Done()
			return broken
		}, first)
		j.leader.SendSnapshot(j.toLearner, writing, done)
		<-began
		j.learner.Shutdown()
		j.leader.expect(t, "closed")
		expect(t, firstC, broken)
		expect(t, c, errClosedByOther)
	})
	t.Run("there is no learner", func(t *testing.T) {
		j := join(t, nil)
		done, c := outcome()
		j.leader.SendSnapshot(77, writing, done)
		expect(t, c, errGone)
		j.leader.Receive(77, reading, done)
		expect(t, c, errGone)
		j.leader.Close(j.toLearner)
		j.leader.SendSnapshot(j.toLearner, writing, done)
		expect(t, c, errGone)
		j.leader.Receive(j.toLearner, reading, done)
		expect(t, c, errGone)
	})
	t.Run("the receiver fails", func(t *testing.T) {
		j := join(t, nil)
		done, c := outcome()
		j.leader.Queue(j.toLearner, packet(wire.PacketSnap, 1, ""))
		j.leader.Flush()
		j.learner.expectPackets(t, 1)
		j.learner.Receive(j.toLeader, reading, done)
		expect(t, c, broken)
		if e := j.learner.expect(t, "closed"); e.reason != "broken" {
			t.Error(e.reason)
		}
	})
	t.Run("the leader goes meanwhile", func(t *testing.T) {
		j := join(t, nil)
		done, c := outcome()
		j.leader.Queue(j.toLearner, packet(wire.PacketSnap, 1, ""))
		j.leader.Flush()
		j.learner.expectPackets(t, 1)
		j.learner.Receive(j.toLeader, func(r io.Reader) error {
			_, err := io.ReadAll(r)
			return err
		}, done)
		j.leader.Shutdown()
		expect(t, c, errClosedByOther)
		j.learner.expect(t, "closed")
	})
	t.Run("nobody wants the snapshot", func(t *testing.T) {
		j := join(t, nil)
		j.leader.Queue(j.toLearner, packet(wire.PacketSnap, 1, ""))
		j.leader.Flush()
		j.learner.expectPackets(t, 1)
		j.learner.Close(j.toLeader)
		j.learner.expect(t, "closed")
		j.leader.expect(t, "closed")
	})
}

// Close lets go what is queued, but takes nothing more, in either direction.
func TestCloseWritesWhatIsQueued(t *testing.T) {
	s := startChannels(t, nil)
	p, conn := connectRaw(t, s)
	data := strings.Repeat("x", 1<<20)
	want := []byte{}
	for i := range wire.Zxid(20) {
		s.Queue(conn, packet(wire.PacketProposal, i, data))
		want = packet(wire.PacketProposal, i, data).Append(want)
	}
	s.Close(conn)
	s.Queue(conn, packet(wire.PacketPing, 1, ""))
	s.Flush()
	p.write(packet(wire.PacketAck, 1, "").Append(nil))
	p.read(want)
	p.expectEnd()
	p.Close()
	if e := s.expect(t, "closed"); e.reason != "closed by this server" {
		t.Error(e.reason)
	}
	s.quiet(t)
}

// Who does not read is not waited for when his connection is closed.
func TestCloseDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		s := startChannels(t, func(o *channelOptions) {
			o.dial = func(context.Context, string) (net.Conn, error) { return ours, nil }
		})
		conn := s.Dial(1, []string{"a:1"}, time.Second)
		s.expect(t, "dialled")
		s.Queue(conn, packet(wire.PacketPing, 1, ""))
		began := time.Now()
		s.Close(conn)
		s.expect(t, "closed")
		if took := time.Since(began); took != lingerTime {
			t.Errorf("it took %v", took)
		}
	})
}

// A read takes as long as it may from its beginning or from SetTimeout,
// whichever is later.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		s := startChannels(t, func(o *channelOptions) {
			o.dial = func(context.Context, string) (net.Conn, error) { return ours, nil }
		})
		conn := s.Dial(1, []string{"a:1"}, time.Second)
		s.expect(t, "dialled")
		time.Sleep(time.Hour) // no timeout yet
		ping := packet(wire.PacketPing, 1, "").Append(nil)
		s.SetTimeout(conn, 10*time.Second)
		for range 5 {
			time.Sleep(9 * time.Second)
			theirs.Write(ping)
			s.expectPackets(t, 1)
		}
		s.SetTimeout(conn, 0)
		time.Sleep(time.Hour)
		s.SetTimeout(conn, time.Minute)
		time.Sleep(30 * time.Second)
		s.SetTimeout(conn, 5*time.Second)
		theirs.Write(ping)
		s.expectPackets(t, 1)
		began := time.Now()
		if e := s.expect(t, "closed"); e.reason != "nothing came for 5s" || time.Since(began) != 5*time.Second {
			t.Errorf("closed after %v: %s", time.Since(began), e.reason)
		}
	})
}

// A stream ends with its connection when the other end takes nothing any more,
// however slow it was before.
func TestOtherEndThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		s := startChannels(t, func(o *channelOptions) {
			o.StallMax = 10 * time.Second
			o.dial = func(context.Context, string) (net.Conn, error) { return ours, nil }
		})
		conn := s.Dial(1, []string{"a:1"}, time.Second)
		s.expect(t, "dialled")
		done := make(chan error, 1)
		s.SendSnapshot(conn, func(_ context.Context, w io.Writer) error {
			_, err := w.Write(make([]byte, 10*streamBuffer))
			return err
		}, func(err error) { done <- err })
		for range 5 {
			time.Sleep(9 * time.Second)
			if _, err := io.ReadFull(theirs, make([]byte, streamBuffer)); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		if err := <-done; err == nil || time.Since(began) != 10*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if e := s.expect(t, "closed"); e.reason != "write: the other end has hardly taken anything for 10s" {
			t.Error(e.reason)
		}
	})
}

// The time that a write was given is over with it.
func TestStallLeavesNoDeadline(t *testing.T) {
	const stall = 500 * time.Millisecond
	s := startChannels(t, func(o *channelOptions) { o.StallMax = stall })
	p, conn := connectRaw(t, s)
	large := packet(wire.PacketProposal, 1, strings.Repeat("x", 8<<20)) // more than a socket takes at once
	want := string(large.Append(nil))
	s.Queue(conn, large)
	s.Flush()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(p, got); err != nil || string(got) != want {
		t.Fatal(err)
	}
	time.Sleep(stall * 6 / 5) // the clock that counts here is the system's
	s.Queue(conn, packet(wire.PacketPing, 1, ""))
	s.Flush()
	p.read(packet(wire.PacketPing, 1, "").Append(nil))
	s.quiet(t)
}

// What cannot be a packet costs the connection and a line in the log, and
// nothing else.
func TestPacketsThatAreRefused(t *testing.T) {
	j := join(t, func(o *channelOptions) { o.MaxPacket = 1000 })
	head := func(typ int32, size int32) []byte {
		return wire.AppendInt32(wire.AppendInt64(wire.AppendInt32(nil, typ), 1), size)
	}
	for _, c := range []struct {
		name, reason string
		b            []byte
	}{
		{"plain words", "packet type 1920298859", []byte("ruok and some more of it")},
		{"another type", "packet type 20", head(20, -1)},
		{"too much data", "PROPOSAL: data of 1001 bytes, at most 1000", head(2, 1001)},
		{"endless data", "PROPOSAL: data of 2147483647 bytes, at most 1000", head(2, 1<<31-1)},
		{"data below nothing", "PROPOSAL: data of -2 bytes", head(2, -2)},
		{"too many identities", "REQUEST: 1000000 identities", wire.AppendInt32(head(1, -1), 1000000)},
		{"a packet cut short", "closed by the other end", head(2, 10)},
		{"nothing", "closed by the other end", nil},
	} {
		p, conn := connectRaw(t, j.leader)
		p.write(packet(wire.PacketPing, 1, "").Append(nil))
		p.write(c.b)
		p.CloseWrite()
		j.leader.expectPackets(t, 1)
		e := j.leader.expect(t, "closed")
		if e.conn != conn || !strings.Contains(e.reason, c.reason) {
			t.Errorf("%s: %s", c.name, e.reason)
		}
		if n := len(j.leader.logs.TakeAll()); (n == 1) == strings.HasPrefix(c.reason, "closed") {
			t.Errorf("%s: %d lines in the log", c.name, n)
		}
		p.expectEnd()
	}
	j.learner.Queue(j.toLeader, packet(wire.PacketPing, 9, ""))
	j.learner.Flush()
	j.leader.expectPackets(t, 1)
	j.leader.quiet(t)
}

// TestChannelsTakeRubbish sends random bytes while a learner works on another
// connection.
func TestChannelsTakeRubbish(t *testing.T) {
	const seed = 3
	r := rand.New(rand.NewPCG(seed, 0))
	j := join(t, nil)
	for i := range wire.Zxid(100) {
		p, conn := connectRaw(t, j.leader)
		b := packet(wire.PacketPing, 1, "ping").Append(nil)
		for range r.IntN(60) {
			b[r.IntN(len(b))] = byte(r.IntN(256)) * byte(r.IntN(2))
			b = append(b, byte(r.IntN(256))*byte(r.IntN(2)))
		}
		p.Write(b)
		p.CloseWrite()
		for {
			e := <-j.leader.events
			if e.conn != conn {
				t.Fatalf("got %+v", e)
			}
			if e.kind == "closed" {
				break
			}
			if n := len(e.packets); e.packets[n-1].Type == wire.PacketSnap {
				j.leader.Close(conn)
			}
		}
		p.Close()
		j.learner.Queue(j.toLeader, packet(wire.PacketAck, i, ""))
		j.learner.Flush()
		if got := j.leader.expectPackets(t, 1); got[0].Zxid != i {
			t.Fatal(got)
		}
	}
}

func TestTooManyLearners(t *testing.T) {
	s := startChannels(t, func(o *channelOptions) { o.MaxAccepted = 2 })
	speak := func(p *rawPeer) {
		p.write(packet(wire.PacketFollowerInfo, 0, "").Append(nil))
		s.expect(t, "packets")
	}
	first, _ := connectRaw(t, s)
	speak(first)
	second, _ := connectRaw(t, s)
	speak(second)
	third, err := net.Dial("tcp", s.addr())
	if err != nil {
		t.Fatal(err)
	}
	(&rawPeer{t, third}).expectEnd()
	third.Close()
	s.quiet(t)
	if s.logs.Len() != 1 {
		t.Errorf("logged %v", s.logs.All())
	}
	first.Close()
	s.expect(t, "closed")
	connectRaw(t, s)
}

func TestDialThatIsRefused(t *testing.T) {
	s := startChannels(t, nil)
	began := time.Now()
	s.Dial(3, []string{refusedAddr(t), refusedAddr(t)}, time.Minute)
	if e := s.expect(t, "failed"); e.conn != 3 || !errors.Is(e.err, syscall.ECONNREFUSED) || time.Since(began) > patienceMax {
		t.Errorf("after %v: %+v", time.Since(began), e)
	}
	s.Dial(4, nil, time.Minute)
	if e := s.expect(t, "failed"); !errors.Is(e.err, errNoAddress) {
		t.Errorf("%+v", e)
	}
	second := listenRaw(t, "127.0.0.1:0")
	s.Dial(5, []string{refusedAddr(t), second.Addr().String()}, time.Minute)
	s.expect(t, "dialled")
}

// A new dial ends the one under way, which is not answered.
func TestDialTakesThePlaceOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startChannels(t, func(o *channelOptions) { o.dial = (&fakeDial{took: time.Hour, err: refusedErr}).dial })
		first := s.Dial(1, []string{"a:1"}, time.Minute)
		time.Sleep(time.Second)
		second := s.Dial(2, []string{"a:1"}, 5*time.Second)
		began := time.Now()
		if e := s.expect(t, "failed"); e.conn != 2 || time.Since(began) != 5*time.Second || first == second {
			t.Errorf("after %v: %+v", time.Since(began), e)
		}
		s.quiet(t)
		s.Dial(3, []string{"a:1"}, time.Minute)
		time.Sleep(time.Second)
		s.Shutdown()
		s.quiet(t)
	})
}

// TestChannelsShutDown ends channels with everything under way: idle, busy,
// streaming and dialling connections. Each that began is told to have ended.
func TestChannelsShutDown(t *testing.T) {
	s := startChannels(t, nil)
	other := startChannels(t, nil)
	var conns []zab.ConnID
	for range 20 {
		_, conn := connectRaw(t, s)
		conns = append(conns, conn)
	}
	outcomes := make(chan error, len(conns))
	for i, conn := range conns {
		for range 50 {
			s.Queue(conn, packet(wire.PacketProposal, 1, strings.Repeat("x", 100<<10)))
		}
		if i%2 == 0 {
			s.Flush()
		}
		s.SendSnapshot(conn, func(ctx context.Context, _ io.Writer) error {
			<-ctx.Done()
			return ctx.Err()
		}, func(err error) { outcomes <- err })
	}
	s.Dial(1, []string{other.addr()}, time.Minute)
	s.Shutdown()
	ended := make(map[zab.ConnID]bool)
	for len(s.events) > 0 {
		if e := <-s.events; e.kind == "closed" {
			if ended[e.conn] {
				t.Errorf("connection %d has ended twice", e.conn)
			}
			ended[e.conn] = true
		}
	}
	for _, conn := range conns {
		if !ended[conn] {
			t.Errorf("connection %d has not ended", conn)
		}
		if err := <-outcomes; err == nil {
			t.Error("a snapshot was sent")
		}
	}
	s.Queue(conns[0], packet(wire.PacketPing, 1, ""))
	s.Flush()
	s.Dial(1, []string{other.addr()}, time.Minute)
}
