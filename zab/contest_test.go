package zab

import (
	"slices"
	"strings"
	"testing"

	"zooid/wire"
)

// serving tells whether the follower of h.lead is still in step.
func (h *hand) serving(conn ConnID) bool {
	k := h.link(conn)
	return h.leader != nil && k != nil && k.stage == linkServing
}

// refused is why a connection was closed with the last call, "" if it was not.
func (h *hand) refused(conn ConnID) string {
	for _, r := range h.rd.Refused {
		if r.Conn == conn {
			return r.Reason
		}
	}
	return ""
}

// TestStrangersDoNotThrowOutALearner has connections that say a live follower's
// number and go as far as each can without being it.
func TestStrangersDoNotThrowOutALearner(t *testing.T) {
	for name, do := range map[string]func(h *hand, conn ConnID){
		"FOLLOWERINFO": func(h *hand, conn ConnID) {
			h.greet(conn, 1, wire.PacketFollowerInfo, 1, wire.ProtocolVersion)
		},
		"OBSERVERINFO": func(h *hand, conn ConnID) {
			h.greet(conn, 1, wire.PacketObserverInfo, 1, wire.ProtocolVersion)
		},
		"FOLLOWERINFO of a later epoch": func(h *hand, conn ConnID) {
			h.greet(conn, 1, wire.PacketFollowerInfo, 500, wire.ProtocolVersion)
		},
		"ACKEPOCH, and the follower answers the PING": func(h *hand, conn ConnID) {
			h.greet(conn, 1, wire.PacketFollowerInfo, 1, wire.ProtocolVersion)
			h.ackEpoch(conn, 0, -1)
			if !h.serving(1) {
				h.t.Fatal("the follower is gone before it was asked")
			}
			h.got(1, wire.PacketPing, 0)
			if why := h.refused(conn); !strings.Contains(why, "is connected, and answers") {
				h.t.Fatalf("the stranger is refused with %q", why)
			}
		},
		"garbage after FOLLOWERINFO": func(h *hand, conn ConnID) {
			h.greet(conn, 1, wire.PacketFollowerInfo, 1, wire.ProtocolVersion)
			h.got(conn, wire.PacketRequest, 0, 1, 2, 3)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHand(t, handConfig(3, 3, 0), Disk{})
			h.lead()
			for conn := ConnID(2); conn < 200; conn++ {
				do(h, conn)
				if !h.serving(1) {
					t.Fatalf("the follower is gone after %d strangers", conn-1)
				}
			}
			if n := len(h.links); n > 1+candidatesMax {
				t.Errorf("%d connections are kept", n)
			}
			z := h.propose("still here")
			h.Logged(z)
			if rd := h.got(1, wire.PacketAck, z); len(rd.Committed) != 1 {
				t.Error("nothing is committed any more")
			}
			if h.epochs.Accepted != 1 {
				t.Errorf("epoch %d is promised", h.epochs.Accepted)
			}
		})
	}
}

// TestRestartedLearnerTakesItsPlace is a follower whose old connection looks alive
// because its machine has lost power: the new one waits for a tick, and no longer.
func TestRestartedLearnerTakesItsPlace(t *testing.T) {
	back := func(t *testing.T) *hand {
		h := newHand(t, handConfig(3, 3, 0), Disk{})
		h.lead()
		h.greet(2, 1, wire.PacketFollowerInfo, 1, wire.ProtocolVersionZooid)
		h.ackEpoch(2, 0, 1)
		if h.link(2).stage != linkPromised || !h.serving(1) {
			t.Fatal("the old connection is not asked first")
		}
		return h
	}
	in := func(t *testing.T, h *hand) {
		t.Helper()
		h.got(2, wire.PacketAck, zx(1, 0))
		if !h.serving(2) || h.link(1) != nil {
			t.Error("the restarted follower is not let in")
		}
	}
	t.Run("the old connection is silent", func(t *testing.T) {
		h := back(t)
		var gone []ConnID
		for now := int64(50); now <= 150 && !slices.Contains(gone, 1); now += 50 {
			h.Tick(now)
			gone = append(gone, h.do().Close...)
		}
		if !slices.Contains(gone, 1) {
			t.Fatal("the old connection is kept for more than a tick")
		}
		in(t, h)
	})
	t.Run("its end comes late", func(t *testing.T) {
		h := back(t)
		h.Closed(1, "reset")
		h.do()
		in(t, h)
	})
	t.Run("behind strangers that are candidates", func(t *testing.T) {
		h := newHand(t, handConfig(3, 3, 0), Disk{})
		h.lead()
		for conn := ConnID(10); conn < 10+2*candidatesMax; conn++ {
			h.greet(conn, 1, wire.PacketFollowerInfo, 1, wire.ProtocolVersion)
		}
		h.greet(2, 1, wire.PacketFollowerInfo, 1, wire.ProtocolVersionZooid)
		h.ackEpoch(2, 0, 1)
		h.Closed(1, "reset")
		h.do()
		in(t, h)
	})
	t.Run("who comes from its address is believed sooner", func(t *testing.T) {
		h := back(t)
		h.Accepted(3, 1)
		info := wire.LearnerInfo{SID: 1, ProtocolVersion: wire.ProtocolVersionZooid}
		h.got(3, wire.PacketFollowerInfo, epochZxid(1), info.Append(nil)...)
		h.ackEpoch(3, 0, 1)
		if h.link(2) != nil || h.link(3) == nil || !h.link(3).contends {
			t.Error("a stranger keeps the place of who comes from the member's address")
		}
	})
}

// TestSilentConnectionsMakeWay fills the port with connections that say nothing.
func TestSilentConnectionsMakeWay(t *testing.T) {
	h := newHand(t, handConfig(3, 3, 0), Disk{})
	h.elect.settle(wire.Leading)
	h.begin(3)
	h.Accepted(1, 1)
	for conn := ConnID(2); conn < linksMax+100; conn++ {
		h.Accepted(conn)
	}
	h.do()
	if n := len(h.links); n != linksMax || h.link(1) == nil {
		t.Fatalf("%d connections are kept, the member's one: %v", n, h.link(1) != nil)
	}
	if h.link(2) != nil || h.link(linksMax+99) == nil {
		t.Error("it is not the oldest that goes")
	}
}

// TestUnlistedServersAreBounded has servers in no list connect in numbers.
func TestUnlistedServersAreBounded(t *testing.T) {
	h := newHand(t, handConfig(3, 3, 0), Disk{})
	h.lead()
	for i := range 3 * unlistedMax {
		h.greet(ConnID(100+i), wire.SID(100+i), wire.PacketObserverInfo, 1, wire.ProtocolVersion)
	}
	if n := len(h.links); n != 1+unlistedMax || !h.serving(1) {
		t.Errorf("%d connections are kept", n)
	}
}

// TestUnlistedServersFollowWithoutAVote is a server that is in its own list only:
// it is answered in the election and synchronized as a follower or an observer, and
// counts nowhere.
func TestUnlistedServersFollowWithoutAVote(t *testing.T) {
	for name, typ := range map[string]wire.PacketType{"follower": wire.PacketFollowerInfo, "observer": wire.PacketObserverInfo} {
		t.Run(name, func(t *testing.T) {
			h := newHand(t, handConfig(3, 3, 0), Disk{})
			h.lead()
			h.Linked(7)
			h.Notified(7, &wire.Notification{State: wire.Looking, Vote: wire.Vote{Leader: 7}, Round: 1, Version: wire.NotificationVersion})
			rd := h.do()
			if n := rd.Notices; len(n) != 1 || n[0].To != 7 || n[0].N.State != wire.Leading || n[0].N.Leader != 3 {
				t.Fatalf("answered with %+v", n)
			}
			h.greet(7, 7, typ, 900, wire.ProtocolVersion)
			if h.link(7) != nil {
				t.Error("who has promised a later epoch is taken")
			}
			h.greet(8, 7, typ, 0, wire.ProtocolVersion)
			h.ackEpoch(8, 0, 0)
			h.got(8, wire.PacketAck, zx(1, 0))
			if !h.serving(8) {
				t.Fatal("is not synchronized")
			}
			z := h.propose("a")
			h.Logged(z)
			h.do()
			if typ == wire.PacketFollowerInfo {
				h.got(8, wire.PacketAck, z)
			}
			if h.log.committed == z {
				t.Fatal("its ACK counts")
			}
			if rd := h.got(1, wire.PacketAck, z); len(rd.Committed) != 1 {
				t.Error("not committed by those that count")
			}
			h.Closed(1, "")
			for now := int64(50); now <= 200; now += 50 {
				h.Tick(now)
				h.do()
			}
			if h.leader != nil {
				t.Error("it counts as one of the quorum")
			}
		})
	}
}

// TestEpochsOfStrangers has a leader hear of epochs that nobody has promised.
func TestEpochsOfStrangers(t *testing.T) {
	const far = 100_000
	lead := func(t *testing.T) *hand {
		h := newHand(t, handConfig(3, 3, 1), Disk{})
		h.elect.settle(wire.Leading)
		h.begin(3)
		h.do()
		return h
	}
	member := func(h *hand, conn ConnID, sid wire.SID, accepted int64) {
		h.greet(conn, sid, wire.PacketFollowerInfo, accepted, wire.ProtocolVersion)
	}
	t.Run("nobody's", func(t *testing.T) {
		h := lead(t)
		member(h, 9, 9, 5)
		h.greet(8, 4, wire.PacketObserverInfo, far, wire.ProtocolVersion)
		member(h, 1, 1, 0)
		if h.leader.epoch != 1 {
			t.Errorf("epoch %d", h.leader.epoch)
		}
	})
	t.Run("a voter's that has no election connection", func(t *testing.T) {
		h := lead(t)
		h.notLinked = true
		member(h, 1, 1, 0)
		if h.leader.phase != leaderDiscovery {
			t.Fatal("an epoch is promised to who has only said a voter's number")
		}
		h.Linked(1)
		h.do()
		if h.epochs.Accepted != 1 {
			t.Errorf("epoch %d once the voter is there", h.epochs.Accepted)
		}
	})
	t.Run("a voter's, and there is a quorum without it", func(t *testing.T) {
		h := lead(t)
		member(h, 2, 2, far)
		if h.leader.phase != leaderDiscovery {
			t.Fatal("is believed at once")
		}
		member(h, 1, 1, 0)
		if h.leader.epoch != 1 {
			t.Errorf("epoch %d", h.leader.epoch)
		}
	})
	t.Run("a voter's, and nobody else comes", func(t *testing.T) {
		h := lead(t)
		member(h, 2, 2, far)
		h.Tick(50)
		h.do()
		h.Tick(100)
		h.do()
		if e := h.epochs.Accepted; e != epochLeap+1 {
			t.Errorf("epoch %d, want a step of %d", e, epochLeap)
		}
	})
	t.Run("a voter's that is a little ahead", func(t *testing.T) {
		h := lead(t)
		member(h, 1, 1, epochNear)
		if h.leader.epoch != epochNear+1 {
			t.Errorf("epoch %d", h.leader.epoch)
		}
	})
	t.Run("a voter's for whom the last term was given up", func(t *testing.T) {
		h := lead(t)
		h.raise = 900
		member(h, 1, 1, 0)
		if h.leader.epoch != 901 {
			t.Errorf("epoch %d: who has promised 900 is left outside again", h.leader.epoch)
		}
	})
	t.Run("a fake leader's", func(t *testing.T) {
		h := follower(t, Disk{Epochs: Epochs{5, 5}})
		h.elect.settle(wire.Following)
		h.begin(3)
		h.Dialled(1)
		h.do()
		h.got(1, wire.PacketLeaderInfo, epochZxid(5+epochJump+1), wire.AppendInt32(nil, wire.ProtocolVersion)...)
		if h.learner != nil || h.epochs.Accepted != 5 {
			t.Errorf("epoch %d is promised", h.epochs.Accepted)
		}
	})
}
