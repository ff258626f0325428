package zab

import (
	"slices"
	"strings"
	"testing"

	"zooid/wire"
)

// The tests of this file have the numbers of quorum.md §22: each shows that a
// known weakness of ZooKeeper, past or present, is not here.

// expect compares what was sent.
func (h *hand) expect(conn ConnID, want ...string) {
	h.t.Helper()
	if got := h.packets(conn); !slices.Equal(got, want) {
		h.t.Errorf("sent to %d: %q, want %q", conn, got, want)
	}
}

// follower is server 1 of three with this on its disk.
func follower(t *testing.T, d Disk) *hand { return newHand(t, handConfig(1, 3, 0), d) }

// prop delivers a PROPOSAL by connection 1.
func (h *hand) prop(zs ...wire.Zxid) {
	for _, z := range zs {
		h.got(1, wire.PacketProposal, z, payload(z, "")...)
	}
}

// comm delivers a COMMIT by connection 1.
func (h *hand) comm(zs ...wire.Zxid) {
	for _, z := range zs {
		h.got(1, wire.PacketCommit, z)
	}
}

func (h *hand) newLeader(epoch int64) { h.got(1, wire.PacketNewLeader, epochZxid(epoch)) }

func TestZab22_01DiffHistoryIsDurableBeforeAck(t *testing.T) {
	for name, observer := range map[string]bool{"follower": false, "observer": true} {
		t.Run(name, func(t *testing.T) {
			cfg := handConfig(1, 3, 0)
			if observer {
				cfg = handConfig(4, 3, 1)
			}
			h := newHand(t, cfg, Disk{Epochs: Epochs{1, 1}})
			h.follow(2)
			h.got(1, wire.PacketDiff, zx(1, 2))
			for _, z := range []wire.Zxid{zx(1, 1), zx(1, 2)} {
				h.prop(z)
				h.comm(z)
			}
			h.newLeader(2)
			h.expect(1)
			h.Logged(zx(1, 1))
			h.do()
			h.expect(1)
			if h.epochs.Current != 1 {
				t.Error("the current epoch is saved before the history is")
			}
			h.Logged(zx(1, 2))
			h.do()
			h.expect(1, "ACK 2:0")
			if h.epochs.Current != 2 || h.log.durable != zx(1, 2) {
				t.Errorf("acknowledged with epoch %d, %v on disk", h.epochs.Current, h.log.durable)
			}
		})
	}
}

func TestZab22_02CurrentEpochBetweenHistoryAndItsOwnTransactions(t *testing.T) {
	h := follower(t, Disk{Epochs: Epochs{1, 1}})
	h.follow(3)
	h.slowEpochs = true
	h.got(1, wire.PacketDiff, zx(3, 1))
	h.prop(zx(1, 1))
	if e := h.rd.Entries; len(e) != 1 {
		t.Fatalf("history of an epoch that is current does not go to the log: %v", e)
	}
	h.prop(zx(2, 1), zx(3, 1)) // a late learner gets both, and the third is in flight
	h.newLeader(3)
	if h.rd.SaveEpochs != nil || h.log.last() != zx(1, 1) {
		t.Fatalf("epoch %v goes to disk while the history before it does, or the log has %v", h.rd.SaveEpochs, h.log.last())
	}
	for _, epoch := range []int64{2, 3} {
		h.Logged(h.log.last())
		e := h.do().SaveEpochs
		if e == nil || e.Current != epoch || len(h.rd.Entries) != 0 {
			t.Fatalf("after %v is on disk: %v is saved, %v appended, want epoch %d", h.log.durable, e, h.rd.Entries, epoch)
		}
		h.EpochsSaved(*e)
		if d := h.do().Entries; len(d) != 1 || int64(d[0].Zxid.Epoch()) != epoch {
			t.Fatalf("after epoch %d is current: %v appended", epoch, d)
		}
		h.expect(1)
	}
	h.Logged(zx(3, 1))
	h.do()
	h.expect(1, "ACK 3:0")
}

func TestZab22_03CommitBetweenNewLeaderAndUpToDate(t *testing.T) {
	h := follower(t, Disk{Epochs: Epochs{1, 1}})
	h.follow(1) // comes back within the epoch
	h.got(1, wire.PacketDiff, 0)
	h.prop(zx(1, 1), zx(1, 2))
	h.newLeader(1)
	h.comm(zx(1, 1)) // of a proposal before NEWLEADER
	h.Logged(zx(1, 2))
	h.do()
	h.expect(1, "ACK 1:0")
	h.prop(zx(1, 3))
	h.comm(zx(1, 2), zx(1, 3))
	if h.log.committed != 0 {
		t.Errorf("%v is delivered before UPTODATE", h.log.committed)
	}
	rd := h.got(1, wire.PacketUpToDate, -1)
	if len(rd.Committed) != 3 || rd.Role == nil || rd.Role.Base != zx(1, 3) {
		t.Errorf("with UPTODATE: %v delivered, role %+v", rd.Committed, rd.Role)
	}
	// Not committed at NEWLEADER: each has an ACK of its own.
	h.expect(1, "ACK 1:0", "ACK 1:1", "ACK 1:2")
	h.Logged(zx(1, 3))
	h.do()
	h.expect(1, "ACK 1:3")
}

func TestZab22_04NoHoles(t *testing.T) {
	at := func(h *hand) {
		h.got(1, wire.PacketDiff, 0)
		h.prop(zx(1, 1))
	}
	cases := []struct {
		name  string
		stays bool
		do    func(h *hand)
	}{
		{"a hole in the history", false, func(h *hand) { at(h); h.prop(zx(1, 3)) }},
		{"a hole in the broadcast", false, func(h *hand) { h.serve(1); h.prop(zx(1, 1), zx(1, 3)) }},
		{"twice in the broadcast", false, func(h *hand) { h.serve(1); h.prop(zx(1, 1), zx(1, 1)) }},
		{"twice at the joint", true, func(h *hand) { at(h); h.prop(zx(1, 1)); h.comm(zx(1, 1), zx(1, 1)); h.prop(zx(1, 2)) }},
		{"never seen before", false, func(h *hand) { at(h); h.prop(zx(1, 2)); h.prop(zx(0, 7)) }},
		{"a hole at the start of an epoch", false, func(h *hand) { h.got(1, wire.PacketDiff, 0); h.prop(zx(1, 2)) }},
		{"of a later epoch", false, func(h *hand) { at(h); h.prop(zx(2, 1)) }},
		{"history behind NEWLEADER", false, func(h *hand) { h.got(1, wire.PacketDiff, 0); h.newLeader(1); h.prop(zx(0, 1)) }},
		{"COMMIT out of order", false, func(h *hand) { at(h); h.prop(zx(1, 2)); h.comm(zx(1, 2)) }},
		{"COMMIT of nothing", false, func(h *hand) { h.serve(1); h.comm(zx(1, 1)) }},
		{"COMMIT twice in the broadcast", false, func(h *hand) { h.serve(1); h.prop(zx(1, 1)); h.comm(zx(1, 1), zx(1, 1)) }},
		{"holds another transaction", false, func(h *hand) { h.serve(1); h.got(1, wire.PacketProposal, zx(1, 1), payload(zx(1, 2), "")...) }},
		{"holds nothing", false, func(h *hand) { h.serve(1); h.got(1, wire.PacketProposal, zx(1, 1)) }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := follower(t, Disk{Epochs: Epochs{1, 1}})
			if !strings.Contains(c.name, "broadcast") && !strings.HasPrefix(c.name, "holds") && c.name != "COMMIT of nothing" {
				h.follow(1)
			}
			c.do(h)
			if left := h.learner == nil; left == c.stays {
				t.Errorf("left the leader: %v", left)
			}
		})
	}
}

func TestZab22_05NewLeaderIsBehindAllThatIsQueued(t *testing.T) {
	h := newHand(t, handConfig(3, 3, 0), Disk{})
	h.lead()
	write := func(text string) {
		z := h.propose(text)
		h.Logged(z)
		h.got(1, wire.PacketAck, z)
	}
	write("a")
	h.greet(2, 2, wire.PacketFollowerInfo, 0, wire.ProtocolVersion)
	h.ackEpoch(2, 0, 0)
	if s := h.rd.Snapshots; len(s) != 1 || s[0].AtLeast != zx(1, 1) || s[0].Label != zx(1, 0) {
		t.Fatalf("snapshots %+v", s)
	}
	write("while the snapshot is streamed")
	h.propose("in flight")
	h.sent = nil
	h.SnapshotSent(2, zx(1, 1), true)
	h.do()
	h.expect(2, "PROPOSAL 1:2", "COMMIT 1:2", "PROPOSAL 1:3", "NEWLEADER 1:0")
	h.propose("behind")
	h.expect(2, "PROPOSAL 1:4")
}

func TestZab22_06WhatIsReportedIsDurable(t *testing.T) {
	t.Run("a snapshot that broke off", func(t *testing.T) {
		h := follower(t, Disk{Epochs: Epochs{1, 1}, Last: zx(1, 1), Recent: entries(zx(1, 1))})
		h.follow(2)
		rd := h.got(1, wire.PacketSnap, zx(1, 9))
		if rd.Install == nil {
			t.Fatal("no snapshot is installed")
		}
		h.Closed(1, "")
		h.do()
		if h.elect.open {
			t.Error("looks for a leader while the disk may be changing")
		}
		h.Installed(zx(1, 9), false)
		h.do()
		if v := h.elect.first; v.Zxid != zx(1, 1) || v.PeerEpoch != 1 {
			t.Errorf("votes with %+v", v)
		}
	})
	t.Run("proposals in memory", func(t *testing.T) {
		h := follower(t, Disk{Epochs: Epochs{1, 1}})
		h.follow(2)
		h.got(1, wire.PacketTrunc, zx(1, 1)) // of what is not here
		if h.learner != nil {
			t.Error("TRUNC to what is not here was accepted")
		}
	})
	t.Run("after TRUNC the history is logged", func(t *testing.T) {
		h := follower(t, Disk{Epochs: Epochs{1, 1}, Last: zx(1, 2), Recent: entries(zx(1, 1), zx(1, 2))})
		h.follow(2)
		rd := h.got(1, wire.PacketTrunc, zx(1, 1))
		if rd.Truncate == nil || *rd.Truncate != zx(1, 1) {
			t.Fatalf("truncate %v", rd.Truncate)
		}
		h.prop(zx(2, 1)) // comes while the disk cuts
		h.comm(zx(2, 1))
		h.newLeader(2)
		h.expect(1)
		h.Truncated(zx(1, 1), true)
		h.do()
		if h.log.last() != zx(2, 1) {
			t.Errorf("the log ends at %v", h.log.last())
		}
		h.expect(1)
		h.Logged(zx(2, 1))
		h.do()
		h.expect(1, "ACK 2:0")
	})
}

func TestZab22_07DirtyState(t *testing.T) {
	// The state is at 1:5, and the leader knows nothing behind 1:3: the log cannot
	// give back what the state has. The same leader is asked for everything.
	h := follower(t, Disk{Epochs: Epochs{1, 1}, Last: zx(1, 6), Committed: zx(1, 5), Recent: entries(zx(1, 6))})
	h.follow(2)
	h.got(1, wire.PacketTrunc, zx(1, 3))
	h.Truncated(0, false)
	if rd := h.do(); rd.Dial == nil || rd.Dial.Leader != 3 || !slices.Equal(rd.Close, []ConnID{1}) {
		t.Fatalf("dial %+v, close %v", rd.Dial, rd.Close)
	}
	h.Dialled(2)
	h.do()
	h.got(2, wire.PacketLeaderInfo, zx(2, 0), wire.AppendInt32(nil, wire.ProtocolVersion)...)
	h.expect(2, "FOLLOWERINFO 2:0", "ACKEPOCH 0")
	if rd := h.got(2, wire.PacketSnap, zx(1, 3)); rd.Install == nil {
		t.Fatal("the state is not taken")
	}
	h.Installed(zx(1, 3), true)
	h.do()
	if h.log.committed != zx(1, 3) || h.zeroEpoch != 0 {
		t.Errorf("the state is at %v", h.log.committed)
	}

	// A snapshot older than the state is not taken from a leader that was not
	// asked for it.
	h = follower(t, Disk{Epochs: Epochs{1, 1}, Last: zx(1, 5), Committed: zx(1, 5)})
	h.follow(2)
	h.got(1, wire.PacketSnap, zx(1, 3))
	if h.learner != nil {
		t.Error("the state goes back")
	}
}

func TestZab22_07TailIsDeliveredOnlyWithAQuorum(t *testing.T) {
	h := newHand(t, handConfig(3, 3, 0), Disk{Epochs: Epochs{1, 1}, Last: zx(1, 2), Recent: entries(zx(1, 1), zx(1, 2))})
	h.elect.settle(wire.Leading)
	h.begin(3)
	h.do()
	h.greet(1, 1, wire.PacketFollowerInfo, 1, wire.ProtocolVersionZooid)
	h.ackEpoch(1, zx(1, 1), 1)
	h.expect(1, "LEADERINFO 2:0", "DIFF 1:2", "PROPOSAL 1:2", "COMMIT 1:2", "NEWLEADER 2:0")
	if h.log.committed != 0 {
		t.Fatalf("%v is delivered without a quorum", h.log.committed)
	}
	rd := h.got(1, wire.PacketAck, zx(2, 0))
	if len(rd.Committed) != 2 || rd.Role == nil || rd.Role.Base != zx(1, 2) {
		t.Errorf("delivered %v, role %+v", rd.Committed, rd.Role)
	}
}

func TestZab22_08TruncationIsForOursOnly(t *testing.T) {
	disk := Disk{Epochs: Epochs{1, 1}, Last: zx(1, 2), Committed: zx(1, 2), Recent: entries(zx(1, 1), zx(1, 2))}
	for name, c := range map[string]struct {
		version int32
		last    wire.Zxid
		want    []string
		label   wire.Zxid
	}{
		"Java, diverged":         {wire.ProtocolVersion, zx(1, 7), []string{"LEADERINFO 2:0"}, zx(2, 0)},
		"ours, diverged":         {wire.ProtocolVersionZooid, zx(1, 7), []string{"LEADERINFO 2:0", "TRUNC 1:2", "NEWLEADER 2:0"}, -1},
		"ours, diverged earlier": {wire.ProtocolVersionZooid, zx(0, 7), []string{"LEADERINFO 2:0"}, -2},
		"Java, behind":           {wire.ProtocolVersion, zx(1, 1), []string{"LEADERINFO 2:0", "DIFF 1:2", "PROPOSAL 1:2", "COMMIT 1:2", "NEWLEADER 2:0"}, -1},
		"ours, empty":            {wire.ProtocolVersionZooid, 0, []string{"LEADERINFO 2:0"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHand(t, handConfig(3, 3, 0), disk)
			h.lead()
			h.greet(2, 2, wire.PacketFollowerInfo, 1, c.version)
			rd := h.ackEpoch(2, c.last, 1)
			h.expect(2, c.want...)
			switch {
			case c.label == -2:
				if len(rd.Reads) != 1 || rd.Reads[0].After != c.last {
					t.Errorf("reads %+v", rd.Reads)
				}
			case c.label == -1:
				if len(rd.Snapshots) != 0 {
					t.Errorf("snapshots %+v", rd.Snapshots)
				}
			case len(rd.Snapshots) != 1 || rd.Snapshots[0].Label != c.label:
				t.Errorf("snapshots %+v, want label %v", rd.Snapshots, c.label)
			}
		})
	}

	// Ours keeps exactly what it is told to; if its log has no such record, the
	// leader chooses once more.
	h := follower(t, Disk{Epochs: Epochs{2, 2}, Last: zx(2, 1), Recent: entries(zx(1, 1), zx(2, 1))})
	h.follow(3)
	h.got(1, wire.PacketTrunc, zx(1, 3))
	h.Truncated(zx(1, 1), true)
	if rd := h.do(); rd.Dial == nil {
		t.Fatal("does not ask the leader again")
	}
	h.Dialled(2)
	h.do()
	h.got(2, wire.PacketLeaderInfo, zx(3, 0), wire.AppendInt32(nil, wire.ProtocolVersion)...)
	h.expect(2, "FOLLOWERINFO 3:0", "ACKEPOCH 1:1")
}

func TestZab22_09DiffFromTheLog(t *testing.T) {
	// Memory holds 1:5 only. C is 1:5, and 2:1 is in flight in the log already.
	led := func(t *testing.T, last wire.Zxid, version int32) *hand {
		h := newHand(t, handConfig(3, 3, 0), Disk{Epochs: Epochs{1, 1}, Last: zx(1, 5), Committed: zx(1, 5), Recent: entries(zx(1, 4), zx(1, 5))})
		h.lead()
		h.Logged(h.propose("in flight"))
		h.greet(2, 2, wire.PacketFollowerInfo, 1, version)
		h.ackEpoch(2, last, 1)
		if r := h.rd.Reads; len(r) != 1 || r[0].After != last {
			t.Fatalf("reads %+v", r)
		}
		h.sent = nil
		return h
	}
	ours, java := wire.ProtocolVersionZooid, wire.ProtocolVersion
	full := LogChunk{After: zx(1, 2), Prev: zx(1, 2), Entries: entries(zx(1, 3), zx(1, 4), zx(1, 5), zx(2, 1))}
	t.Run("contiguous", func(t *testing.T) {
		h := led(t, zx(1, 2), java)
		h.LogRead(2, full)
		h.do()
		h.expect(2, "DIFF 1:5", "PROPOSAL 1:3", "COMMIT 1:3", "PROPOSAL 1:4", "COMMIT 1:4", "PROPOSAL 1:5", "COMMIT 1:5", "PROPOSAL 2:1", "NEWLEADER 2:0")
	})
	t.Run("in parts", func(t *testing.T) {
		h := led(t, zx(1, 1), java)
		h.LogRead(2, LogChunk{After: zx(1, 1), Prev: zx(1, 1), Entries: entries(zx(1, 2)), Behind: 99})
		rd := h.do()
		h.expect(2, "DIFF 1:5", "PROPOSAL 1:2", "COMMIT 1:2")
		if len(rd.Reads) != 1 || rd.Reads[0].After != zx(1, 2) {
			t.Fatalf("reads %+v", rd.Reads)
		}
		h.LogRead(2, full)
		h.do()
		h.expect(2, "PROPOSAL 1:3", "COMMIT 1:3", "PROPOSAL 1:4", "COMMIT 1:4", "PROPOSAL 1:5", "COMMIT 1:5", "PROPOSAL 2:1", "NEWLEADER 2:0")
	})
	t.Run("the log does not reach back", func(t *testing.T) {
		h := led(t, zx(1, 2), java)
		h.LogRead(2, LogChunk{After: zx(1, 2), Prev: zx(1, 3), Err: wire.ErrSystem})
		if rd := h.do(); len(rd.Snapshots) != 1 {
			t.Fatalf("snapshots %+v", rd.Snapshots)
		}
		h.expect(2)
	})
	t.Run("too much", func(t *testing.T) {
		h := led(t, zx(1, 2), java)
		c := full
		c.Behind = 2 << 20
		h.LogRead(2, c)
		if rd := h.do(); len(rd.Snapshots) != 1 {
			t.Fatalf("snapshots %+v", rd.Snapshots)
		}
	})
	t.Run("diverged, ours", func(t *testing.T) {
		h := led(t, zx(1, 2), ours)
		c := full
		c.Prev = zx(0, 9)
		h.LogRead(2, c)
		h.do()
		if got := h.packets(2); len(got) == 0 || got[0] != "TRUNC 0:9" {
			t.Errorf("sent %q", got)
		}
	})
	t.Run("diverged, Java", func(t *testing.T) {
		h := led(t, zx(1, 2), java)
		c := full
		c.Prev = zx(0, 9)
		h.LogRead(2, c)
		if rd := h.do(); len(rd.Snapshots) != 1 || rd.Snapshots[0].Label != zx(2, 0) {
			t.Fatalf("snapshots %+v", rd.Snapshots)
		}
	})
	t.Run("the beginning of an epoch", func(t *testing.T) {
		h := led(t, zx(1, 0), java)
		h.LogRead(2, LogChunk{After: zx(1, 0), Prev: zx(0, 7), Entries: append(entries(zx(1, 1), zx(1, 2)), full.Entries...)})
		h.do()
		if got := h.packets(2); len(got) < 2 || got[0] != "DIFF 1:5" || got[1] != "PROPOSAL 1:1" {
			t.Errorf("sent %q", got)
		}
	})
}

func TestZab22_10ElectionWaitsForTheLog(t *testing.T) {
	h := follower(t, Disk{Epochs: Epochs{1, 1}})
	h.serve(1)
	h.prop(zx(1, 1))
	h.Closed(1, "")
	h.do()
	if h.elect.open || len(h.rd.Notices) > 0 {
		t.Fatal("votes before the log has everything")
	}
	h.Logged(zx(1, 1))
	h.do()
	if !h.elect.open || h.elect.first.Zxid != zx(1, 1) {
		t.Errorf("votes with %+v", h.elect.first)
	}
}

func TestZab22_11VotesAgree(t *testing.T) {
	// Whatever they had voted, all tell newcomers the epoch that they are in.
	f := follower(t, Disk{Epochs: Epochs{4, 4}})
	f.serve(5)
	l := newHand(t, handConfig(3, 3, 0), Disk{Epochs: Epochs{4, 3}})
	l.lead()
	if f.elect.vote.PeerEpoch != 5 || l.elect.vote.PeerEpoch != 5 {
		t.Errorf("the follower tells epoch %d, the leader %d", f.elect.vote.PeerEpoch, l.elect.vote.PeerEpoch)
	}
}

func TestZab22_12DisloyalVoters(t *testing.T) {
	for name, wait := range map[string]int64{"off": -1, "on": 50} {
		t.Run(name, func(t *testing.T) {
			cfg := handConfig(3, 3, 0)
			cfg.MaxEpochWaitMs = wait
			h := newHand(t, cfg, Disk{})
			h.elect.settle(wire.Leading)
			h.begin(3)
			looking := &wire.Notification{State: wire.Looking, Vote: wire.Vote{Leader: 1}, Round: 9}
			h.Notified(1, looking)
			if h.leader == nil {
				t.Fatal("gives up at once")
			}
			h.Tick(60)
			h.Notified(1, looking)
			if stays := h.leader != nil; stays != (wait < 0) {
				t.Errorf("still leads: %v", stays)
			}
			if n := h.Status().Disloyal; (n == 1) != (wait >= 0) {
				t.Errorf("counted %d times", n)
			}
		})
	}
}

func TestZab22_13SyncIsConfirmedByAQuorum(t *testing.T) {
	h := newHand(t, handConfig(5, 5, 0), Disk{})
	h.elect.settle(wire.Leading)
	h.begin(5)
	for c := ConnID(1); c <= 4; c++ {
		h.greet(c, wire.SID(c), wire.PacketFollowerInfo, 0, wire.ProtocolVersionZooid)
	}
	for c := ConnID(1); c <= 4; c++ {
		h.ackEpoch(c, 0, 0)
	}
	for c := ConnID(1); c <= 4; c++ {
		h.got(c, wire.PacketAck, zx(1, 0))
	}
	h.Tick(50) // a PING that is sent before proves nothing
	h.do()
	first := h.Confirm()
	second := h.Confirm()
	h.do()
	var pings int
	for _, s := range h.rd.Sends {
		if s.Packet.Type == wire.PacketPing {
			pings++
		}
	}
	if pings != 4 {
		t.Errorf("%d PINGs for two questions in one round, want one for each of 4", pings)
	}
	pong := func(c ConnID) int64 { return h.got(c, wire.PacketPing, 0).Confirmed }
	for _, c := range []ConnID{1, 2, 3} {
		if n := pong(c); n != 0 {
			t.Fatalf("an old answer of %d confirms %d", c, n)
		}
	}
	if n := pong(1); n != 0 {
		t.Fatalf("two of five confirm %d", n)
	}
	if n := pong(2); n != second || first >= second {
		t.Errorf("confirmed %d, want %d", n, second)
	}
	h.Confirm()
	h.do()
	h.Resign("told to")
	h.do()
	if n := pong(1); n != 0 {
		t.Errorf("confirmed %d after the end", n)
	}
}

func TestZab22_16CounterOverflow(t *testing.T) {
	cfg := handConfig(3, 3, 0)
	cfg.FirstCounter = 0xfffffffe
	h := newHand(t, cfg, Disk{})
	h.lead()
	z := h.propose("last")
	if z != zx(1, 0xfffffffe) {
		t.Fatalf("proposed %v", z)
	}
	if _, ok := h.NextZxid(); ok {
		t.Fatal("there is one more zxid")
	}
	if h.leader == nil {
		t.Fatal("the term ends with a proposal in flight")
	}
	h.Logged(z)
	rd := h.got(1, wire.PacketAck, z)
	if len(rd.Committed) != 1 || rd.Role == nil || rd.Role.State != wire.Looking || rd.Role.Reason != "the epoch's counter is used up" {
		t.Errorf("committed %v, role %+v", rd.Committed, rd.Role)
	}
	if !h.elect.open {
		t.Error("does not take part in the next election")
	}

	// Epochs end as well: one that would make zxids negative is not followed, and
	// nobody can talk a leader into it.
	f := follower(t, Disk{})
	f.elect.settle(wire.Following)
	f.begin(3)
	f.Dialled(1)
	f.got(1, wire.PacketLeaderInfo, epochZxid(epochMax+1), wire.AppendInt32(nil, wire.ProtocolVersion)...)
	if f.learner != nil {
		t.Error("follows into the last epoch")
	}
	l := newHand(t, handConfig(3, 3, 0), Disk{})
	l.elect.settle(wire.Leading)
	l.begin(3)
	l.greet(1, 1, wire.PacketFollowerInfo, epochMax, wire.ProtocolVersionZooid)
	if l.link(1) != nil || l.leader.phase != leaderDiscovery {
		t.Error("an impostor's epoch is believed")
	}
}

func TestZab22_18OwnCurrentEpochBeforeNewLeader(t *testing.T) {
	h := newHand(t, handConfig(3, 3, 0), Disk{})
	h.slowEpochs = true
	h.elect.settle(wire.Leading)
	h.begin(3)
	h.greet(1, 1, wire.PacketFollowerInfo, 0, wire.ProtocolVersionZooid)
	h.expect(1)
	accepted := Epochs{Accepted: 1}
	if e := h.rd.SaveEpochs; e == nil || *e != accepted {
		t.Fatalf("saves %v", e)
	}
	h.EpochsSaved(accepted)
	h.do()
	h.expect(1, "LEADERINFO 1:0")
	h.ackEpoch(1, 0, 0)
	h.expect(1)
	current := Epochs{Accepted: 1, Current: 1}
	if e := h.rd.SaveEpochs; e == nil || *e != current {
		t.Fatalf("saves %v", e)
	}
	h.EpochsSaved(current)
	h.do()
	h.expect(1, "DIFF 0", "NEWLEADER 1:0")
}

func TestZab22_19NothingIsServedBeforeUpToDate(t *testing.T) {
	h := newHand(t, handConfig(4, 3, 1), Disk{Epochs: Epochs{1, 1}})
	h.follow(2)
	h.got(1, wire.PacketDiff, zx(1, 1))
	h.prop(zx(1, 1))
	h.comm(zx(1, 1))
	h.newLeader(2)
	h.Logged(zx(1, 1))
	h.do()
	h.expect(1, "ACK 2:0")
	if h.log.committed != 0 || h.rd.Role != nil {
		t.Fatalf("%v is delivered, role %+v", h.log.committed, h.rd.Role)
	}
	// The leader fails without a quorum, and another one does not know 1:1.
	h.Closed(1, "")
	h.do()
	h.elect.settle(wire.Observing)
	h.begin(2)
	h.Dialled(2)
	h.got(2, wire.PacketLeaderInfo, zx(3, 0), wire.AppendInt32(nil, wire.ProtocolVersion)...)
	if rd := h.got(2, wire.PacketTrunc, 0); rd.Truncate == nil {
		t.Fatal("1:1 cannot go")
	}
	h.Truncated(0, true)
	h.got(2, wire.PacketNewLeader, zx(3, 0))
	if rd := h.got(2, wire.PacketUpToDate, -1); rd.Role == nil || rd.Role.Base != 0 || len(rd.Committed) != 0 {
		t.Errorf("role %+v, delivered %v", rd.Role, rd.Committed)
	}
}

// A leader (of ZooKeeper 3.9.3, ZOOKEEPER-4925) whose DIFF leaves out the first
// transactions of an epoch is left before anything of it is logged.
func TestZab22_04NoHoleAtTheStartOfAnEpoch(t *testing.T) {
	for name, c := range map[string]struct {
		last, next wire.Zxid
		taken      bool
	}{
		"the first is there":           {zx(5, 9), zx(6, 1), true},
		"an epoch without any between": {zx(5, 9), zx(7, 1), true},
		"three are missing":            {zx(5, 9), zx(6, 4), false},
		"one is missing":               {zx(5, 9), zx(6, 2), false},
		"a counter that is no txn's":   {zx(5, 9), zx(6, 0), false},
		"a standalone server's log":    {zx(5, 0xffffffff), zx(6, 0), true},
		"after a snapshot's label":     {zx(6, 0), zx(6, 1), true},
		"a hole after that":            {zx(6, 0), zx(6, 2), false},
	} {
		t.Run(name, func(t *testing.T) {
			h := follower(t, Disk{Epochs: Epochs{7, 7}, Last: c.last, Committed: c.last})
			h.follow(8)
			h.got(1, wire.PacketDiff, c.next)
			h.prop(c.next)
			if taken := h.learner != nil && h.log.last() == c.next; taken != c.taken {
				t.Errorf("%v after %v was taken: %v", c.next, c.last, taken)
			}
		})
	}
}

// A Java learner keeps the label of its snapshot as its last zxid until it gets
// the epoch's first transaction. It has the leader's initial history and wants no
// second snapshot.
func TestZab22_08JavaComesBackAtItsSnapshotsLabel(t *testing.T) {
	for name, proposals := range map[string]int{"nothing proposed": 0, "something proposed": 1} {
		t.Run(name, func(t *testing.T) {
			h := newHand(t, handConfig(3, 3, 0), Disk{Epochs: Epochs{1, 1}, Last: zx(1, 2), Committed: zx(1, 2), Recent: entries(zx(1, 1), zx(1, 2))})
			h.lead()
			want := []string{"LEADERINFO 2:0", "DIFF 1:2", "NEWLEADER 2:0"}
			if proposals > 0 {
				z := h.propose("a")
				h.Logged(z)
				h.got(1, wire.PacketAck, z)
				want = []string{"LEADERINFO 2:0", "DIFF 2:1", "PROPOSAL 2:1", "COMMIT 2:1", "NEWLEADER 2:0"}
			}
			h.greet(2, 2, wire.PacketFollowerInfo, 2, wire.ProtocolVersion)
			if rd := h.ackEpoch(2, zx(2, 0), -1); len(rd.Snapshots) > 0 {
				t.Errorf("gets another snapshot: %+v", rd.Snapshots)
			}
			h.expect(2, want...)
		})
	}
}

// A learner follows no leader of an epoch below what it has promised, and does not
// let its promise go back.
func TestNoLeaderBelowTheAcceptedEpoch(t *testing.T) {
	h := follower(t, Disk{Epochs: Epochs{Accepted: 5, Current: 3}})
	h.elect.settle(wire.Following)
	h.begin(3)
	h.Dialled(1)
	h.do()
	h.sent = nil
	h.got(1, wire.PacketLeaderInfo, epochZxid(4), wire.AppendInt32(nil, wire.ProtocolVersion)...)
	h.expect(1)
	if h.learner != nil || h.epochs.Accepted != 5 {
		t.Errorf("follows into epoch 4, promised is %d", h.epochs.Accepted)
	}
}

// A member whose state turned out to be wrong leaves its role and asks for a
// leader's state, though its history is as long as the leader's; and it does not
// lead while another one can.
func TestDistrustedState(t *testing.T) {
	disk := Disk{Epochs: Epochs{1, 1}, Last: zx(1, 5), Committed: zx(1, 5)}
	h := follower(t, disk)
	h.serve(2)
	h.Distrust("wrong")
	if rd := h.do(); rd.Role == nil || rd.Role.State != wire.Looking || rd.Role.Reason != "wrong" || !slices.Equal(rd.Close, []ConnID{1}) {
		t.Fatalf("role %+v, close %v", rd.Role, rd.Close)
	}
	h.elect.settle(wire.Following)
	h.begin(3)
	h.do()
	h.Dialled(2)
	h.do()
	h.got(2, wire.PacketLeaderInfo, zx(3, 0), wire.AppendInt32(nil, wire.ProtocolVersion)...)
	h.expect(2, "FOLLOWERINFO 2:0", "ACKEPOCH 0")
	if rd := h.got(2, wire.PacketSnap, zx(1, 5)); rd.Install == nil {
		t.Fatal("the state is not taken")
	}
	h.Installed(zx(1, 5), true)
	h.do()
	if h.distrusted {
		t.Error("the state that was taken over is not trusted")
	}
}

// A leader of ZooKeeper's may send all that ever was instead of its state. What is
// here is as good then, and the member goes on with it.
func TestDistrustedStateAndDiff(t *testing.T) {
	h := follower(t, Disk{Epochs: Epochs{1, 1}, Last: zx(1, 5), Committed: zx(1, 5)})
	h.Distrust("wrong")
	h.follow(2)
	if rd := h.got(1, wire.PacketDiff, zx(1, 5)); rd.Dial == nil || h.distrusted {
		t.Fatalf("dial %+v", rd.Dial)
	}
	h.Dialled(2)
	h.do()
	h.got(2, wire.PacketLeaderInfo, zx(2, 0), wire.AppendInt32(nil, wire.ProtocolVersion)...)
	h.expect(2, "FOLLOWERINFO 2:0", "ACKEPOCH 1:5")
}

// A member that had better not lead declines a few times, turns those away that
// come to follow it meanwhile, and leads if nobody else does.
func TestUnfitLeaderDeclines(t *testing.T) {
	h := newHand(t, handConfig(3, 3, 0), Disk{Epochs: Epochs{1, 1}, Last: zx(1, 5), Committed: zx(1, 5)})
	h.lead()
	h.Unfit("its copy is broken")
	if rd := h.do(); rd.Role == nil || rd.Role.State != wire.Looking || h.leader != nil {
		t.Fatalf("role %+v", rd.Role)
	}
	for i := range declinesMax {
		h.elect.settle(wire.Leading)
		h.begin(3)
		if h.do(); h.leader != nil {
			t.Fatalf("it leads at the election %d", i+1)
		}
		h.Accepted(ConnID(10 + i))
		if rd := h.do(); !slices.Equal(rd.Close, []ConnID{ConnID(10 + i)}) {
			t.Errorf("who comes to follow is not turned away: close %v", rd.Close)
		}
		h.Tick(h.nowMs + declineTicks*h.cfg.TickMs)
		h.do()
		if h.resting || h.declining {
			t.Error("it does not look again")
		}
	}
	h.elect.settle(wire.Leading)
	h.begin(3)
	if h.do(); h.leader == nil {
		t.Error("nobody leads")
	}
}
