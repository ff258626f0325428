package zab

import (
	"testing"

	"zooid/wire"
)

// leaderRound is one write on a leader of three: proposal, own log, an ACK of
// each follower.
func leaderRound(h *hand, body []byte) {
	z, _ := h.NextZxid()
	h.Propose(body)
	h.Ready()
	h.Logged(z)
	h.Packet(1, wire.QuorumPacket{Type: wire.PacketAck, Zxid: z})
	h.Packet(2, wire.QuorumPacket{Type: wire.PacketAck, Zxid: z})
	h.Ready()
}

func leaderOfThree(t testing.TB) *hand {
	cfg := handConfig(3, 3, 0)
	cfg.RecentBytes = 4 << 10
	h := newHand(t, cfg, Disk{})
	h.lead()
	h.greet(2, 2, wire.PacketFollowerInfo, 0, wire.ProtocolVersionZooid)
	h.ackEpoch(2, 0, 0)
	h.got(2, wire.PacketAck, epochZxid(1))
	return h
}

// followerRound is one write on a follower. z must follow the one before.
func followerRound(h *hand, z wire.Zxid, body []byte) {
	p := wire.AppendInt64(body[:payloadZxid], int64(z))
	body = p[:len(body)]
	h.Packet(1, wire.QuorumPacket{Type: wire.PacketProposal, Zxid: z, Data: body})
	h.Ready()
	h.Logged(z)
	h.Ready()
	h.Packet(1, wire.QuorumPacket{Type: wire.PacketCommit, Zxid: z})
	h.Ready()
}

func followerOfThree(t testing.TB) *hand {
	cfg := handConfig(1, 3, 0)
	cfg.RecentBytes = 4 << 10
	h := newHand(t, cfg, Disk{})
	h.serve(1)
	return h
}

func TestBroadcastDoesNotAllocate(t *testing.T) {
	body := payload(0, "body")
	l := leaderOfThree(t)
	for range 2000 {
		leaderRound(l, body)
	}
	if n := testing.AllocsPerRun(5000, func() { leaderRound(l, body) }); n != 0 {
		t.Errorf("leader: %v allocations for a write", n)
	}
	if got := l.log.committed; got != zx(1, 2000+5001) {
		t.Errorf("leader: committed is %v", got)
	}

	f, z := followerOfThree(t), zx(1, 0)
	round := func() { z++; followerRound(f, z, body) }
	for range 2000 {
		round()
	}
	if n := testing.AllocsPerRun(5000, round); n != 0 {
		t.Errorf("follower: %v allocations for a write", n)
	}
	if f.log.committed != z {
		t.Errorf("follower: committed is %v, want %v", f.log.committed, z)
	}
}

func BenchmarkBroadcast(b *testing.B) {
	body := payload(0, "body")
	b.Run("leader of 3", func(b *testing.B) {
		l := leaderOfThree(b)
		b.ReportAllocs()
		for b.Loop() {
			leaderRound(l, body)
		}
	})
	b.Run("follower", func(b *testing.B) {
		f, z := followerOfThree(b), zx(1, 0)
		b.ReportAllocs()
		for b.Loop() {
			z++
			followerRound(f, z, body)
		}
	})
	b.Run("alone", func(b *testing.B) {
		m := New(Config{SID: 1, TickMs: 100}, Disk{})
		m.Start(0)
		m.Ready()
		b.ReportAllocs()
		for b.Loop() {
			z, _ := m.NextZxid()
			m.Propose(body)
			m.Ready()
			m.Logged(z)
			m.Ready()
		}
	})
}
