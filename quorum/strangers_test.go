package quorum

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"zooid/wire"
	"zooid/zab"
)

// A thousand connections that say nothing keep no learner out: who speaks is let
// in, and who does not makes way, the oldest first.
func TestSilentConnectionsToTheQuorumPort(t *testing.T) {
	s := startChannels(t, func(o *channelOptions) {
		o.MaxAccepted = silentMax
		o.Member = func(netip.Addr) bool { return true }
	})
	for range 3 * silentMax {
		dialChannel(t, s)
	}
	p := dialChannel(t, s)
	p.write(packet(wire.PacketFollowerInfo, 7, "").Append(nil))
	for {
		e := <-s.events
		if e.kind == "packets" {
			break
		}
	}
	if n := s.logs.Len(); n > 2*thinLines {
		t.Errorf("%d lines are logged", n)
	}
}

// dialChannel connects, and waits for nothing.
func dialChannel(t *testing.T, s *testChannels) *rawPeer {
	t.Helper()
	nc, err := tcpDialer(false)(context.Background(), s.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return &rawPeer{t, nc}
}

// Who says nothing for long is closed; who has spoken may be silent.
func TestSilenceEndsAConnection(t *testing.T) {
	s := startChannels(t, func(o *channelOptions) { o.SilentMax = 50 * time.Millisecond })
	speaks, id := connectRaw(t, s)
	speaks.write(packet(wire.PacketFollowerInfo, 7, "").Append(nil))
	s.expect(t, "packets")
	silent, _ := connectRaw(t, s)
	silent.expectEnd()
	if e := s.expect(t, "closed"); !strings.Contains(e.reason, "nothing came") {
		t.Errorf("closed because %q", e.reason)
	}
	if s.find(id) == nil {
		t.Error("the one that has spoken is closed too")
	}
}

// A packet may be large only once its sender is a learner.
func TestStrangersBringSmallPackets(t *testing.T) {
	s := startChannels(t, func(o *channelOptions) { o.MaxGreeting = greetingMax })
	large := packet(wire.PacketRequest, 1, strings.Repeat("x", 1<<20)).Append(nil)
	p, _ := connectRaw(t, s)
	p.Write(large[:64<<10])
	p.expectEnd()
	s.expect(t, "closed")
	if s.partial.Used() != 0 {
		t.Errorf("%d bytes are held", s.partial.Used())
	}
	q, id := connectRaw(t, s)
	s.Trust(id)
	q.write(large)
	s.expectPackets(t, 1)
}

// What has arrived of packets that are not whole is bounded for all connections
// together.
func TestPartialPacketsAreBoundedTogether(t *testing.T) {
	s := startChannels(t, nil)
	s.onPackets = func(zab.ConnID, []wire.QuorumPacket) {}
	part := packet(wire.PacketRequest, 1, strings.Repeat("x", 1900<<10)).Append(nil)
	part = part[:len(part)-1]
	var most int64
	closed := 0
	for range 60 {
		p := dialChannel(t, s)
		p.SetWriteDeadline(time.Now().Add(patienceMax))
		p.Write(part)
		most = max(most, s.partial.Used())
	}
	for deadline := time.After(patienceMax); closed == 0; {
		select {
		case e := <-s.events:
			if e.kind == "closed" {
				closed++
			}
		case <-deadline:
			t.Fatalf("nobody was closed with %d bytes held", s.partial.Used())
		}
	}
	if most > 2*partialMax {
		t.Errorf("%d bytes were held, about %d may be", most, partialMax)
	}
}

func TestThinnedLog(t *testing.T) {
	core, logs := observer.New(zapcore.InfoLevel)
	now := time.Unix(1, 0)
	log := thinned(zap.New(core, zap.WithClock(logClock{&now}))).With(zap.String("at", "port"))
	for i := range 1000 {
		log.Warn(fmt.Sprintf("refused %d", i), zap.Error(errors.New("no")))
		log.Warn("refused", zap.Error(fmt.Errorf("epoch %d", i)))
	}
	if n := logs.Len(); n != 2*thinLines {
		t.Errorf("%d lines", n)
	}
	logs.TakeAll()
	now = now.Add(thinEvery)
	log.Warn("refused 5", zap.Error(errors.New("no")))
	all := logs.TakeAll()
	if len(all) != 1 || all[0].ContextMap()["suppressed"] != int64(1000-thinLines) || all[0].ContextMap()["at"] != "port" {
		t.Errorf("logged %v", all)
	}
	for i := range 10 * thinKinds {
		log.Info(strings.Repeat("x", i+1))
	}
	if n := logs.Len(); n > thinKinds+thinLines {
		t.Errorf("%d lines of as many kinds", n)
	}
}

// logClock is a clock for log lines.
type logClock struct{ now *time.Time }

// Now implements zapcore.Clock.
func (c logClock) Now() time.Time { return *c.now }

// NewTicker implements zapcore.Clock.
func (c logClock) NewTicker(d time.Duration) *time.Ticker { return time.NewTicker(d) }

// TestMemberAddresses looks up the names of members, again when an address is met
// that nobody has, and keeps what it knew of a name that does not resolve.
func TestMemberAddresses(t *testing.T) {
	a := newMemberAddrs(map[wire.SID]Addresses{
		1: {Quorum: []string{"one:2888"}, Election: []string{"one:3888"}},
		2: {Quorum: []string{"10.0.0.2:2888"}, Election: []string{"[::ffff:10.0.0.2]:3888"}},
		3: {Quorum: []string{"one:2889"}},
	})
	at := netip.MustParseAddr("10.0.0.1")
	a.lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
		if host != "one" || !at.IsValid() {
			return nil, errors.New("no such host")
		}
		return []netip.Addr{at}, nil
	}
	if got := a.of(netip.MustParseAddr("::ffff:10.0.0.2")); !slices.Contains(got, 2) {
		t.Errorf("before any look-up: %v", got)
	}
	found := map[string][]netip.Addr{}
	a.resolve(t.Context(), found)
	if got := a.of(at); !slices.Equal(got, []wire.SID{1, 3}) {
		t.Errorf("%v has %v", got, at)
	}
	select {
	case <-a.asked:
		t.Error("a known address has names looked up")
	default:
	}
	if a.has(netip.MustParseAddr("10.0.0.9")) || len(a.asked) != 1 {
		t.Error("an unknown address does not have names looked up")
	}
	moved := at
	at = netip.Addr{}
	a.resolve(t.Context(), found)
	if !a.has(moved) {
		t.Error("what was known is forgotten when a name does not resolve")
	}
}

// A server that is no member is called back where it is, and has us dial nobody
// else.
func TestWhereAnUnlistedServerIsCalledBack(t *testing.T) {
	for _, c := range []struct{ from, announced, want string }{
		{"10.0.0.5:999", "10.0.0.5:3888", "10.0.0.5:3888"},
		{"10.0.0.5:999", "10.0.0.6:3888", "10.0.0.5:3888 10.0.0.6:3888"},
		{"10.0.0.5:999", "10.9.0.6:22", "10.0.0.5:22"},
		{"10.0.0.5:999", "bank.example:443", "10.0.0.5:443"},
		{"127.0.0.1:999", "127.3.4.5:3888", "127.0.0.1:3888 127.3.4.5:3888"},
		{"[::ffff:10.0.0.5]:999", "10.0.0.7:3888", "10.0.0.5:3888 10.0.0.7:3888"},
		{"[2001:db8::1]:999", "[2001:db8::2]:3888", "[2001:db8::1]:3888 [2001:db8::2]:3888"},
		{"[2001:db8::1]:999", "10.0.0.1:3888", "[2001:db8::1]:3888"},
		{"10.0.0.5:999", "nonsense", ""},
	} {
		nc := fromConn{addr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.from))}
		if got := strings.Join(whereItIs(nc, []string{c.announced}), " "); got != c.want {
			t.Errorf("from %s, announced %s: %q, want %q", c.from, c.announced, got, c.want)
		}
	}
}

// fromConn is a connection of which only the other end's address matters.
type fromConn struct {
	net.Conn
	addr net.Addr
}

// RemoteAddr implements net.Conn.
func (c fromConn) RemoteAddr() net.Addr { return c.addr }
