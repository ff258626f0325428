package zab

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"zooid/wire"
)

func TestAlone(t *testing.T) {
	disk := Disk{Last: zx(0, 0xfffffffe), Committed: zx(0, 0xfffffffd), Recent: entries(zx(0, 0xfffffffe))}
	m := New(Config{SID: 7, TickMs: 100}, disk)
	m.Start(5)
	rd := m.Ready()
	if r := rd.Role; r == nil || r.State != wire.Leading || r.Leader != 7 || r.Base != disk.Last || len(rd.Committed) != 1 {
		t.Fatalf("begins with role %+v, committed %v", rd.Role, rd.Committed)
	}
	if rd.SaveEpochs != nil || len(rd.Notices) > 0 || m.Deadline() != never {
		t.Errorf("wants more than its log: %+v", rd)
	}
	for _, want := range []wire.Zxid{zx(0, 0xffffffff), zx(1, 0)} { // the counter runs on into the epoch
		z, ok := m.NextZxid()
		if !ok || z != want {
			t.Fatalf("NextZxid() = %v %v, want %v", z, ok, want)
		}
		m.Propose(payload(z, ""))
	}
	if rd = m.Ready(); len(rd.Entries) != 2 || len(rd.Committed) != 0 {
		t.Fatalf("proposed: %v, committed %v", rd.Entries, rd.Committed)
	}
	m.Logged(zx(0, 0xffffffff))
	if rd = m.Ready(); len(rd.Committed) != 1 || rd.Committed[0].Zxid != zx(0, 0xffffffff) {
		t.Fatalf("committed %v", rd.Committed)
	}
	n := m.Confirm()
	if rd = m.Ready(); rd.Confirmed != n {
		t.Errorf("confirmed %d, want %d", rd.Confirmed, n)
	}
	m.Accepted(1)
	if rd = m.Ready(); !slices.Equal(rd.Close, []ConnID{1}) {
		t.Errorf("closes %v", rd.Close)
	}
	m.Resign("stop")
	if _, ok := m.NextZxid(); ok {
		t.Error("leads on after Resign")
	}
	m.Logged(zx(1, 0))
	if rd = m.Ready(); rd.Role == nil || rd.Role.State != wire.Looking || rd.Role.Reason != "stop" || len(rd.Committed) != 0 {
		t.Errorf("role %+v, committed %v", rd.Role, rd.Committed)
	}
}

// What learners can send wrong ends their connection, with the reason.
func TestLeaderRefusesLearners(t *testing.T) {
	info := func(sid wire.SID, version int32, config wire.Zxid) []byte {
		i := wire.LearnerInfo{SID: sid, ProtocolVersion: version, ConfigVersion: config}
		return i.Append(nil)
	}
	v := wire.ProtocolVersion
	greet := func(z wire.Zxid, data []byte) func(h *hand) {
		return func(h *hand) { h.Accepted(2); h.got(2, wire.PacketFollowerInfo, z, data...) }
	}
	join := func(h *hand, typ wire.PacketType, sid wire.SID) {
		h.greet(2, sid, typ, 1, v)
		h.ackEpoch(2, h.log.committed, -1)
		h.got(2, wire.PacketAck, zx(2, 0))
	}
	for _, c := range []struct {
		name string
		do   func(h *hand)
		why  string
	}{
		{"no greeting", func(h *hand) { h.Accepted(2); h.got(2, wire.PacketAck, 1) }, "begins with ACK"},
		{"no info", greet(0, nil), "cannot be understood"},
		{"our own number", greet(0, info(3, v, 0)), "claims to be server 3"},
		{"a negative number", greet(0, info(-1, v, 0)), "claims to be server -1"},
		{"an old protocol", greet(0, info(2, 0xffff, 0)), "protocol version"},
		{"half an info", greet(0, info(2, v, 0)[:10]), "cannot be understood"},
		{"a newer configuration", greet(0, info(2, v, 1)), "knows configuration"},
		{"a negative epoch", greet(-1, info(2, v, 0)), "claims to have promised"},
		{"an impossible epoch", greet(epochZxid(epochMax), info(2, v, 0)), "claims to have promised"},
		{"an epoch far beyond", greet(epochZxid(epochLeap+9), info(2, v, 0)), "has promised epoch 1009"},
		{"an impostor", greet(epochZxid(3), info(1, v, 0)), "has promised epoch 3"},
		{"an observer that has promised more", func(h *hand) { h.greet(2, 4, wire.PacketObserverInfo, 3, v) }, "has promised epoch 3"},
		{"ACK at once", func(h *hand) { h.greet(2, 2, wire.PacketFollowerInfo, 1, v); h.got(2, wire.PacketAck, zx(2, 0)) }, "ACK out of turn"},
		{"short ACKEPOCH", func(h *hand) { h.greet(2, 2, wire.PacketFollowerInfo, 1, v); h.got(2, wire.PacketAckEpoch, 0, 1) }, "ACKEPOCH with zxid"},
		{"REQUEST before NEWLEADER", func(h *hand) {
			h.greet(2, 2, wire.PacketFollowerInfo, 1, v)
			h.ackEpoch(2, 0, -1)
			h.got(2, wire.PacketRequest, -1)
		}, "REQUEST out of turn"},
		{"ACK of another NEWLEADER", func(h *hand) {
			h.greet(2, 2, wire.PacketFollowerInfo, 1, v)
			h.ackEpoch(2, h.log.committed, -1)
			h.got(2, wire.PacketAck, zx(1, 0))
		}, "was expected"},
		{"ACK of what is not proposed", func(h *hand) { join(h, wire.PacketFollowerInfo, 2); h.got(2, wire.PacketAck, zx(2, 1)) }, "proposed is"},
		{"an observer's ACK", func(h *hand) {
			join(h, wire.PacketObserverInfo, 4)
			h.propose("")
			h.got(2, wire.PacketAck, zx(2, 1))
		}, "proposed is"},
		{"a leader's packet", func(h *hand) { join(h, wire.PacketFollowerInfo, 2); h.got(2, wire.PacketProposal, zx(2, 1)) }, "PROPOSAL out of turn"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHand(t, handConfig(3, 3, 1), Disk{Epochs: Epochs{1, 1}, Last: zx(1, 1), Committed: zx(1, 1)})
			h.lead()
			c.do(h)
			if r := h.rd.Refused; len(r) != 1 || r[0].Conn != 2 || !strings.Contains(r[0].Reason, c.why) || !slices.Equal(h.rd.Close, []ConnID{2}) {
				t.Errorf("refused %+v, closes %v", r, h.rd.Close)
			}
			if h.leader == nil || h.link(1) == nil {
				t.Error("the others suffer")
			}
		})
	}
}

// What a leader can send wrong ends the role, with the reason.
func TestLearnerLeavesLeaders(t *testing.T) {
	for _, c := range []struct {
		name string
		at   learnerPhase
		typ  wire.PacketType
		z    wire.Zxid
		data []byte
		why  string
	}{
		{"NEWLEADER first", learnerInformed, wire.PacketNewLeader, zx(3, 0), nil, "NEWLEADER instead of LEADERINFO"},
		{"short LEADERINFO", learnerInformed, wire.PacketLeaderInfo, zx(3, 0), nil, "cannot be understood"},
		{"an epoch that is past", learnerInformed, wire.PacketLeaderInfo, zx(1, 0), wire.AppendInt32(nil, 0x10000), "is in epoch 1"},
		{"a negative epoch", learnerInformed, wire.PacketLeaderInfo, -1 << 32, wire.AppendInt32(nil, 0x10000), "is in epoch -1"},
		{"no opening", learnerPromised, wire.PacketNewLeader, zx(3, 0), nil, "instead of DIFF"},
		{"TRUNC ahead", learnerPromised, wire.PacketTrunc, zx(2, 3), nil, "TRUNC to"},
		{"negative TRUNC", learnerPromised, wire.PacketTrunc, -1, nil, "TRUNC to"},
		{"SNAP of the future", learnerPromised, wire.PacketSnap, zx(4, 0), nil, "SNAP of"},
		{"SNAP of the past", learnerPromised, wire.PacketSnap, zx(2, 1), nil, "SNAP of"},
		{"UPTODATE early", learnerReceiving, wire.PacketUpToDate, -1, nil, "UPTODATE out of turn"},
		{"another NEWLEADER", learnerReceiving, wire.PacketNewLeader, zx(2, 0), nil, "NEWLEADER"},
		{"SYNC early", learnerReceiving, wire.PacketSync, 0, nil, "SYNC before UPTODATE"},
		{"NEWLEADER twice", learnerReady, wire.PacketNewLeader, zx(3, 0), nil, "NEWLEADER"},
		{"UPTODATE twice", learnerServing, wire.PacketUpToDate, -1, nil, "UPTODATE out of turn"},
		{"half a REVALIDATE", learnerServing, wire.PacketRevalidate, -1, []byte{1}, "cannot be understood"},
		{"INFORMANDACTIVATE of nothing", learnerServing, wire.PacketInformAndActivate, zx(3, 1), []byte{1, 2}, "changed by reconfig"},
		{"a learner's packet", learnerServing, wire.PacketAckEpoch, 0, nil, "out of turn"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHand(t, handConfig(1, 3, 0), Disk{Epochs: Epochs{2, 2}, Last: zx(2, 3), Committed: zx(2, 2), Recent: entries(zx(2, 3))})
			h.elect.settle(wire.Following)
			h.begin(3)
			h.Dialled(1)
			h.do()
			steps := []wire.QuorumPacket{
				{Type: wire.PacketLeaderInfo, Zxid: zx(3, 0), Data: wire.AppendInt32(nil, 0x10000)},
				{Type: wire.PacketDiff, Zxid: zx(2, 3)}, {Type: wire.PacketNewLeader, Zxid: zx(3, 0)}, {Type: wire.PacketUpToDate, Zxid: -1},
			}
			for _, p := range steps {
				if h.learner.phase == c.at {
					break
				}
				h.Packet(1, p)
				h.do()
			}
			rd := h.got(1, c.typ, c.z, c.data...)
			why := rd.Failed
			if rd.Role != nil {
				why = rd.Role.Reason
			}
			if h.learner != nil || !strings.Contains(why, c.why) || !slices.Equal(rd.Close, []ConnID{1}) {
				t.Errorf("left %v: %q; closes %v", h.learner == nil, why, rd.Close)
			}
		})
	}
}

// A leader that would take away what was committed has the disk of another
// ensemble, or has lost its own: nobody who has seen it committed follows.
func TestNobodyGivesUpWhatWasCommitted(t *testing.T) {
	for _, opening := range []wire.PacketType{wire.PacketTrunc, wire.PacketSnap} {
		t.Run(opening.String(), func(t *testing.T) {
			h := newHand(t, handConfig(1, 3, 0), Disk{Epochs: Epochs{2, 2}, Last: zx(2, 3), Committed: zx(2, 2), Recent: entries(zx(2, 3))})
			h.serve(3)
			h.Closed(1, "gone")
			h.do()
			h.elect.settle(wire.Following)
			h.begin(2)
			h.Dialled(2)
			h.do()
			h.got(2, wire.PacketLeaderInfo, zx(9, 0), wire.AppendInt32(nil, 0x10000)...)
			if rd := h.got(2, opening, zx(2, 2)); rd.Truncate != nil || rd.Install != nil || !strings.Contains(rd.Failed, "leads without 0x200000003, which was committed") {
				t.Errorf("truncate %v, install %v, failed %q", rd.Truncate, rd.Install, rd.Failed)
			}
		})
	}
}

func TestSilenceEndsConnections(t *testing.T) {
	t.Run("of the leader", func(t *testing.T) {
		h := follower(t, Disk{})
		h.serve(1)
		h.Tick(499)
		if h.do(); h.learner == nil {
			t.Fatal("left too early")
		}
		h.Tick(500)
		if rd := h.do(); rd.Role == nil || rd.Role.Reason != "no packet from the leader for 500 ms" {
			t.Errorf("role %+v", rd.Role)
		}
	})
	t.Run("of a follower", func(t *testing.T) {
		h := leaderOfThree(t)
		var refused []string
		var role *RoleChange
		for now := int64(50); now <= 1000 && role == nil; now += 50 {
			h.Tick(now)
			rd := h.do()
			for _, r := range rd.Refused {
				refused = append(refused, fmt.Sprintf("%d: %s", r.SID, r.Reason))
			}
			if role = rd.Role; role == nil && now < 800 {
				h.got(1, wire.PacketPing, 0) // server 2 says nothing, and 1 goes later
			}
		}
		if len(refused) == 0 || refused[0] != "2: no packet for 500 ms" {
			t.Errorf("refused %q", refused)
		}
		if role != nil {
			t.Errorf("with one follower: %+v", role)
		}
		for now := int64(1050); now <= 2000 && role == nil; now += 50 {
			h.Tick(now)
			role = h.do().Role
		}
		if role == nil || role.Reason != "lost the quorum" {
			t.Errorf("without followers: %+v", role)
		}
	})
	t.Run("a proposal without ACK", func(t *testing.T) {
		h := leaderOfThree(t)
		h.propose("")
		var why string
		for now := int64(50); now <= 1000 && why == ""; now += 50 {
			h.Tick(now)
			if rd := h.do(); len(rd.Refused) > 0 {
				why = rd.Refused[0].Reason
			}
			h.got(1, wire.PacketPing, 0)
			h.got(2, wire.PacketPing, 0)
		}
		if why != "no ACK of 0x100000001 for 500 ms" {
			t.Errorf("refused: %q", why)
		}
	})
	t.Run("of who does not greet", func(t *testing.T) {
		h := leaderOfThree(t)
		h.Accepted(9)
		for now := int64(50); now <= 1000; now += 50 {
			h.Tick(now)
			h.got(1, wire.PacketPing, 0)
			h.got(2, wire.PacketPing, 0)
		}
		if h.link(9) != nil {
			t.Error("is waited for for ever")
		}
	})
	t.Run("a quorum that does not come", func(t *testing.T) {
		h := newHand(t, handConfig(3, 3, 0), Disk{})
		h.elect.settle(wire.Leading)
		h.begin(3)
		for now := int64(50); now < 200; now += 50 {
			h.Tick(now)
		}
		if h.leader == nil {
			t.Fatal("gave up too early")
		}
		h.Tick(200)
		if rd := h.do(); rd.Failed != "no quorum has connected for 200 ms" {
			t.Errorf("failed: %q", rd.Failed)
		}
	})
}

// Who was not running cannot say that the others were silent.
func TestStalls(t *testing.T) {
	h := follower(t, Disk{})
	h.serve(1)
	h.Tick(60_000)
	if h.do(); h.learner == nil {
		t.Fatal("blames the leader")
	}
	h.Tick(60_400)
	h.got(1, wire.PacketPing, 0)
	if d := h.Deadline(); d != 60_900 {
		t.Errorf("the next deadline is %d", d)
	}
	h.Tick(h.Deadline())
	if h.do(); h.learner != nil {
		t.Error("waits for ever")
	}
}

func TestDialling(t *testing.T) {
	start := func() *hand {
		h := follower(t, Disk{})
		h.elect.settle(wire.Following)
		h.begin(3)
		return h
	}
	h := start()
	var at []int64
	for now := int64(0); h.learner != nil; now++ {
		h.Tick(now)
		if d := h.do().Dial; d != nil {
			at = append(at, now)
			h.DialFailed(3)
		}
	}
	if want := []int64{0, 5, 15, 35, 75, 155, 255, 355, 455, 555}; !slices.Equal(at, want) {
		t.Errorf("dials at %v, want %v", at, want)
	}

	h = start()
	h.do()
	h.DialFailed(3)
	h.Unlinked(3)
	if h.learner != nil {
		t.Error("dials a leader that is gone")
	}
	h.Dialled(1)
	if rd := h.do(); !slices.Equal(rd.Close, []ConnID{1}) {
		t.Errorf("a late connection: closes %v", rd.Close)
	}
}

// Learners that come before this member knows that it leads wait; who does not
// lead sends them away.
func TestLearnersWaitForTheElection(t *testing.T) {
	for _, leads := range []bool{true, false} {
		h := newHand(t, handConfig(3, 3, 0), Disk{})
		h.greet(1, 1, wire.PacketFollowerInfo, 4, wire.ProtocolVersionZooid)
		h.Accepted(2)
		h.expect(1)
		state, leader := wire.Leading, wire.SID(3)
		if !leads {
			state, leader = wire.Following, 2
		}
		h.elect.settle(state)
		h.begin(leader)
		rd := h.do()
		if leads {
			h.expect(1, "LEADERINFO 5:0")
		} else if !slices.Equal(rd.Close, []ConnID{1, 2}) {
			t.Errorf("closes %v", rd.Close)
		}
		h.Accepted(7)
		if rd = h.do(); slices.Contains(rd.Close, 7) == leads {
			t.Errorf("leads %v: closes %v", leads, rd.Close)
		}
	}
}

// A voter that has promised this epoch before must not count, and must not be
// waited for either.
func TestPromiseCountsOnce(t *testing.T) {
	h := newHand(t, handConfig(3, 3, 0), Disk{})
	h.elect.settle(wire.Leading)
	h.begin(3)
	h.greet(1, 1, wire.PacketFollowerInfo, 0, wire.ProtocolVersionZooid)
	h.Closed(1, "")
	h.greet(2, 1, wire.PacketFollowerInfo, 1, wire.ProtocolVersionZooid) // it had LEADERINFO
	h.ackEpoch(2, 0, -1)
	if h.leader.phase != leaderPromises {
		t.Fatal("the promise counts")
	}
	for now := int64(50); now <= 100; now += 50 {
		h.Tick(now)
	}
	if rd := h.do(); !strings.Contains(rd.Failed, "promised") {
		t.Errorf("failed: %q", rd.Failed)
	}
}

// A voter that has promised a later epoch is not shut out: there will be one, once
// this term has lasted for a while, for anybody can claim to be that voter. But
// one that would win that election has the history of another ensemble, and
// does not depose anybody.
func TestLaterPromiseEndsTheTerm(t *testing.T) {
	for _, c := range []struct {
		name string
		vote *wire.Vote // what the voter has told of itself
		age  int64      // of the term
		ends bool
	}{
		{"it has missed an election", &wire.Vote{Leader: 2, PeerEpoch: 0}, 5000, true},
		{"the term has just begun", &wire.Vote{Leader: 2, PeerEpoch: 0}, 4999, false},
		{"it has another history", &wire.Vote{Leader: 2, PeerEpoch: 2, Zxid: wire.MakeZxid(2, 1)}, 5000, false},
		{"it has told nothing", nil, 5000, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHand(t, handConfig(3, 3, 0), Disk{})
			h.lead()
			if c.vote != nil {
				h.Notified(2, &wire.Notification{Vote: *c.vote, Round: 7, Version: wire.NotificationVersion})
			}
			h.leader.since -= c.age
			defer func() {
				if c.ends && h.raise != 3 {
					t.Errorf("the next term begins beyond %d: it cannot follow then either", h.raise)
				}
			}()
			rd := h.greet(2, 2, wire.PacketFollowerInfo, 3, wire.ProtocolVersionZooid)
			switch {
			case c.ends && (rd.Role == nil || rd.Role.Reason != "server 2 has promised epoch 3, this is epoch 1"):
				t.Errorf("role %+v", rd.Role)
			case !c.ends && (rd.Role != nil || len(rd.Refused) != 1):
				t.Errorf("role %+v, refused %+v", rd.Role, rd.Refused)
			}
		})
	}
}

// A voter that knows more than the leader does not count, and is not cut while
// a quorum may yet say otherwise.
func TestLeaderThatKnowsLess(t *testing.T) {
	for _, c := range []struct {
		last    wire.Zxid
		current int32
		counts  bool
	}{{zx(1, 2), 1, true}, {zx(1, 3), 1, false}, {0, 2, false}, {zx(7, 7), 0, true}} {
		h := newHand(t, handConfig(3, 3, 0), Disk{Epochs: Epochs{2, 1}, Last: zx(1, 2), Committed: zx(1, 2)})
		h.elect.settle(wire.Leading)
		h.begin(3)
		h.greet(1, 1, wire.PacketFollowerInfo, 2, wire.ProtocolVersionZooid)
		h.ackEpoch(1, c.last, c.current)
		if counts := h.leader.phase == leaderSync; counts != c.counts || counts == (h.link(1) == nil) {
			t.Errorf("%v in epoch %d: counts %v", c.last, c.current, counts)
		}
	}
}

// An ACK is forgotten with its connection: the follower may have had to drop
// what it acknowledged, and get it anew.
func TestAcksGoWithTheirConnection(t *testing.T) {
	h := newHand(t, handConfig(3, 3, 0), Disk{})
	h.lead()
	z := h.propose("")
	h.got(1, wire.PacketAck, z) // our own log is slow
	h.greet(2, 1, wire.PacketFollowerInfo, 1, wire.ProtocolVersionZooid)
	h.ackEpoch(2, z, -1)
	h.expect(2, "LEADERINFO 1:0")
	h.Closed(1, "") // the end of the old one comes late
	h.do()
	h.expect(2, "TRUNC 0", "PROPOSAL 1:1", "NEWLEADER 1:0")
	h.Logged(z)
	if rd := h.do(); len(rd.Committed) != 0 {
		t.Fatal("committed with an ACK that no longer holds")
	}
	h.got(2, wire.PacketAck, zx(1, 0))
	if rd := h.got(2, wire.PacketAck, z); len(rd.Committed) != 1 {
		t.Error("not committed")
	}
}

func TestStatus(t *testing.T) {
	h := leaderOfThree(t)
	h.Logged(h.propose(""))
	h.got(2, wire.PacketAck, zx(1, 1))
	s := h.Status()
	if s.State != wire.Leading || s.Phase != "broadcast" || s.Epoch != 1 || s.Leader != 3 || s.Committed != zx(1, 1) || len(s.Learners) != 2 ||
		s.Learners[1] != (LearnerStatus{Conn: 2, SID: 2, Voter: true, Synced: true, Acked: zx(1, 1)}) {
		t.Errorf("leader: %+v", s)
	}
	f := followerOfThree(t)
	if s = f.Status(); s.State != wire.Following || s.Phase != "broadcast" || s.Leader != 3 || s.Epochs != (Epochs{1, 1}) {
		t.Errorf("follower: %+v", s)
	}
	f.Closed(1, "")
	if s = f.Status(); s.State != wire.Looking || s.Phase != "election" || s.Leader != wire.NoSID {
		t.Errorf("looking: %+v", s)
	}
}

// No packet, however strange, makes a machine panic or commit.
func TestStrangePackets(t *testing.T) {
	for seed := uint64(1); seed <= 3000; seed++ {
		rng := rand.New(rand.NewPCG(seed, 0))
		h := newHand(t, handConfig(3, 3, 1), Disk{Epochs: Epochs{1, 1}, Last: zx(1, 2), Committed: zx(1, 1), Recent: entries(zx(1, 2))})
		leads := seed%2 == 0
		if leads {
			h.lead()
		} else {
			h.elect.settle(wire.Following)
			h.begin(2)
			h.Dialled(1)
		}
		for range 40 {
			conn := ConnID(1 + rng.IntN(3))
			if leads && h.link(conn) == nil {
				h.Accepted(conn)
			}
			h.Packet(conn, strangePacket(rng))
			if rd := h.do(); rd.Truncate != nil {
				h.Truncated(0, false)
			} else if rd.Install != nil {
				h.Installed(rd.Install.Zxid, rng.IntN(2) == 0)
			} else if len(rd.Entries) > 0 {
				h.Logged(h.log.last())
			}
		}
	}
}

func strangePacket(rng *rand.Rand) wire.QuorumPacket {
	zs := []wire.Zxid{-1, 0, zx(1, 0), zx(1, 2), zx(1, 3), zx(2, 0), zx(2, 1), zx(3, 0), zx(0x7fffffff, 1), -1 << 63}
	p := wire.QuorumPacket{Type: wire.PacketType(1 + rng.IntN(19)), Zxid: zs[rng.IntN(len(zs))]}
	info := wire.LearnerInfo{SID: wire.SID(rng.IntN(6)), ProtocolVersion: wire.ProtocolVersionZooid}
	switch rng.IntN(5) {
	case 0:
		p.Data = info.Append(nil)
	case 1:
		p.Data = wire.AppendInt32(nil, int32(0x10000*rng.IntN(2)-rng.IntN(2)))
	case 2:
		p.Data = payload(p.Zxid, "")
	case 3:
		p.Data = make([]byte, rng.IntN(40))
	}
	return p
}
