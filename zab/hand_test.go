package zab

import (
	"slices"
	"testing"

	"zooid/wire"
)

// hand drives one machine by hand: what it wants is collected, and nothing
// happens by itself but the saving of epochs.
type hand struct {
	*Machine
	t    testing.TB
	rd   Ready // the last one
	sent []Send
	// slowEpochs leaves the answer to SaveEpochs to the test.
	slowEpochs bool
	// notLinked leaves it to the test that members have election connections.
	notLinked bool
}

func newHand(t testing.TB, cfg Config, disk Disk) *hand {
	h := &hand{Machine: New(cfg, disk), t: t}
	h.Start(0)
	h.do()
	return h
}

// handConfig is the configuration of a member of an ensemble of so many voters
// and observers.
func handConfig(sid wire.SID, voters, observers int) Config {
	ens := majority(voters, observers)
	return Config{SID: sid, Ensemble: ens, Observer: ens.Member(sid).Observer, TickMs: 100, InitLimit: 10, SyncLimit: 5,
		MinNotifyMs: 20, MaxNotifyMs: 400, FinalizeMs: 20, MaxEpochWaitMs: -1, DialTries: 5, DiffBytes: 1 << 20, RecentBytes: 1 << 20}
}

// do takes what the machine wants.
func (h *hand) do() Ready {
	h.rd = h.Ready()
	h.sent = append(h.sent, h.rd.Sends...)
	if e := h.rd.SaveEpochs; e != nil && !h.slowEpochs {
		h.EpochsSaved(*e)
		more := h.Ready()
		h.sent = append(h.sent, more.Sends...)
		h.rd.Sends = append(slices.Clone(h.rd.Sends), more.Sends...)
		h.rd.Snapshots = append(slices.Clone(h.rd.Snapshots), more.Snapshots...)
		h.rd.Reads = append(slices.Clone(h.rd.Reads), more.Reads...)
		h.rd.Entries = append(slices.Clone(h.rd.Entries), more.Entries...)
		h.rd.Committed = append(slices.Clone(h.rd.Committed), more.Committed...)
		if more.Role != nil {
			h.rd.Role = more.Role
		}
	}
	return h.rd
}

// got delivers a packet.
func (h *hand) got(conn ConnID, t wire.PacketType, z wire.Zxid, data ...byte) Ready {
	if len(data) == 0 {
		data = nil
	}
	h.Packet(conn, wire.QuorumPacket{Type: t, Zxid: z, Data: data})
	return h.do()
}

// greet introduces a learner on a connection, whose promised epoch is accepted.
func (h *hand) greet(conn ConnID, sid wire.SID, t wire.PacketType, accepted int64, version int32) Ready {
	if h.cfg.Ensemble.votes(sid) && sid != h.cfg.SID && !h.elect.connected(sid) && !h.notLinked {
		h.elect.links[sid] = 1 // without the notification that a new one brings
	}
	h.Accepted(conn)
	info := wire.LearnerInfo{SID: sid, ProtocolVersion: version}
	return h.got(conn, t, epochZxid(accepted), info.Append(nil)...)
}

// ackEpoch promises.
func (h *hand) ackEpoch(conn ConnID, last wire.Zxid, current int32) Ready {
	return h.got(conn, wire.PacketAckEpoch, last, wire.AppendInt32(nil, current)...)
}

// lead makes the member the leader of an epoch with follower 1 as its quorum, by
// connection 1, which has the same history.
func (h *hand) lead() {
	h.elect.settle(wire.Leading)
	h.begin(h.cfg.SID)
	h.do()
	h.greet(1, 1, wire.PacketFollowerInfo, h.epochs.Accepted, wire.ProtocolVersionZooid)
	h.ackEpoch(1, h.log.last(), int32(h.leader.ownEpoch))
	h.got(1, wire.PacketAck, epochZxid(h.leader.epoch))
	if h.leader.phase != leaderBroadcast {
		h.t.Fatalf("the leader is at %d", h.leader.phase)
	}
	h.sent = nil
}

// follow makes the member follow server 3, by connection 1, up to the opening
// packet, which is still to come.
func (h *hand) follow(epoch int64) {
	h.elect.settle(wire.Following)
	h.begin(3)
	h.do()
	h.Dialled(1)
	h.do()
	h.got(1, wire.PacketLeaderInfo, epochZxid(epoch), wire.AppendInt32(nil, wire.ProtocolVersion)...)
	if h.learner == nil {
		h.t.Fatalf("the learner has left: %s", h.rd.Failed)
	}
	h.sent = nil
}

// serve brings a follower that has a history equal to the leader's to serving.
func (h *hand) serve(epoch int64) {
	h.follow(epoch)
	h.got(1, wire.PacketDiff, h.log.last())
	h.got(1, wire.PacketNewLeader, epochZxid(epoch))
	h.got(1, wire.PacketUpToDate, -1)
	if h.learner == nil || h.learner.phase != learnerServing {
		h.t.Fatalf("the learner does not serve")
	}
	h.sent = nil
}

// packets lists the packets that were sent by a connection since the last call.
func (h *hand) packets(conn ConnID) []string {
	var list []string
	for _, s := range h.sent {
		if s.Conn == conn {
			list = append(list, s.Packet.Type.String()+" "+brief(s.Packet.Zxid))
		}
	}
	h.sent = slices.DeleteFunc(h.sent, func(s Send) bool { return s.Conn == conn })
	return list
}

// propose makes one proposal.
func (h *hand) propose(text string) wire.Zxid {
	z, ok := h.NextZxid()
	if !ok {
		h.t.Fatalf("no zxid for %q", text)
	}
	h.Propose(payload(z, text))
	h.do()
	return z
}

// entries are records with these zxids.
func entries(zs ...wire.Zxid) []wire.Entry {
	var list []wire.Entry
	for _, z := range zs {
		list = append(list, wire.Entry{Zxid: z, Payload: payload(z, "")})
	}
	return list
}

// zx is a zxid.
func zx(epoch, counter uint32) wire.Zxid { return wire.MakeZxid(epoch, counter) }
