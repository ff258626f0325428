package zab

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"zooid/integration/recorded"
	"zooid/wire"
)

// step is one packet of a record of Apache ZooKeeper 3.9, of the connection
// between a learner and its leader; or the stream of a snapshot.
type step struct {
	conn     ConnID
	from, to wire.SID
	stream   bool
	p        wire.QuorumPacket
}

// readQuorum gives the packets and snapshots of a recording, in order.
func readQuorum(t *testing.T, name string) (list []step) {
	t.Helper()
	for _, l := range recorded.Read(t, name) {
		s := step{conn: ConnID(l.Conn), from: wire.SID(l.By), to: wire.SID(l.For), stream: l.IsSnapshot()}
		if !s.stream && !l.IsPacket() {
			continue
		}
		if !s.stream {
			p, n, err := wire.DecodeQuorumPacket(l.Bytes, 1<<20)
			if err != nil || n != len(l.Bytes) {
				t.Fatalf("%x: %d of %d bytes: %v", l.Bytes, n, len(l.Bytes), err)
			}
			s.p = p
		}
		list = append(list, s)
	}
	return list
}

// traffic is what was sent in one direction: the packets of each type, in order.
type traffic map[wire.PacketType][]string

func (s traffic) put(p *wire.QuorumPacket) {
	s[p.Type] = append(s[p.Type], hex.EncodeToString(p.Append(nil)))
}

// compare compares packets of these types.
func (s traffic) compare(t *testing.T, java traffic, skip ...wire.PacketType) {
	t.Helper()
	for typ := wire.PacketRequest; typ <= wire.PacketInformAndActivate; typ++ {
		if slices.Contains(skip, typ) || slices.Equal(s[typ], java[typ]) {
			continue
		}
		t.Errorf("%v: we send %d and ZooKeeper %d of them", typ, len(s[typ]), len(java[typ]))
		for i := range max(len(s[typ]), len(java[typ])) {
			at := func(l []string) string {
				if i < len(l) {
					return l[i]
				}
				return "nothing"
			}
			if a, b := at(s[typ]), at(java[typ]); a != b {
				t.Errorf("number %d: we send\n%.400s\nand ZooKeeper sends\n%.400s", i+1, a, b)
				break
			}
		}
	}
}

// Our learner gets what a real leader has sent, and must send what the real
// learner has sent, byte for byte: but for the protocol version in
// FOLLOWERINFO, which tells that it is ours.
func TestRecordedLeaders(t *testing.T) {
	const at1f = wire.Zxid(0x10000001f)
	cases := []struct {
		file     string
		conn     ConnID
		epochs   Epochs
		last     wire.Zxid
		serving  bool // the record begins within the broadcast
		observer bool
	}{
		{file: "01-election-and-first-sync", conn: 16},
		{file: "01-election-and-first-sync", conn: 18},
		{file: "01-election-and-first-sync", conn: 31, observer: true},
		{file: "02-broadcast-forwarding-sessions-inform", conn: 16, epochs: Epochs{1, 1}, last: 0x100000000, serving: true},
		{file: "02-broadcast-forwarding-sessions-inform", conn: 31, epochs: Epochs{1, 1}, last: 0x100000000, serving: true, observer: true},
		{file: "03-join-diff", conn: 50, epochs: Epochs{1, 1}, last: 0x100000018},
		{file: "05-leader-failure-epoch-2", conn: 75, epochs: Epochs{1, 1}, last: at1f},
		{file: "05-leader-failure-epoch-2", conn: 85, epochs: Epochs{1, 1}, last: at1f, observer: true},
		{file: "05-leader-failure-epoch-2", conn: 93, epochs: Epochs{1, 1}, last: at1f},
		{file: "06-join-trunc", conn: 127},
		{file: "11-join-diff-under-load", conn: 14},
		{file: "12-join-snap-under-load", conn: 14},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s/%d", c.file, c.conn), func(t *testing.T) {
			steps := slices.DeleteFunc(readQuorum(t, c.file), func(s step) bool { return s.conn != c.conn })
			java := traffic{}
			sid, leader := wire.SID(0), wire.SID(0)
			for _, s := range steps {
				switch {
				case s.p.Type == wire.PacketFollowerInfo || s.p.Type == wire.PacketObserverInfo:
					// What the learner had on disk.
					c.epochs.Accepted = int64(s.p.Zxid) >> 32
					copy(s.p.Data[8:], wire.AppendInt32(nil, wire.ProtocolVersionZooid))
				case s.p.Type == wire.PacketAckEpoch:
					if e := int32(binary.BigEndian.Uint32(s.p.Data)); e >= 0 {
						c.epochs.Current = int64(e)
					} else if c.last == 0 {
						c.epochs.Current = min(c.epochs.Accepted, int64(s.p.Zxid)>>32)
					}
					c.last = s.p.Zxid
				}
				switch s.p.Type {
				case wire.PacketAck, wire.PacketAckEpoch, wire.PacketRequest, wire.PacketFollowerInfo, wire.PacketObserverInfo:
					sid, leader = s.from, s.to
				}
				if s.p.Type == wire.PacketPing && s.p.Data != nil {
					sid, leader = s.from, s.to
				}
			}
			cfg := handConfig(1, 3, 1)
			cfg.SID, cfg.Observer = sid, c.observer
			disk := Disk{Epochs: c.epochs, Last: c.last, Committed: c.last}
			if c.file == "06-join-trunc" { // it has two proposals too many
				disk.Committed -= 2
				disk.Recent = entries(c.last-1, c.last)
			}
			h := newHand(t, cfg, disk)
			h.elect.settle(wire.Following)
			h.begin(leader)
			h.do()
			h.Dialled(c.conn)
			if c.serving {
				h.got(c.conn, wire.PacketLeaderInfo, epochZxid(1), wire.AppendInt32(nil, wire.ProtocolVersion)...)
				h.got(c.conn, wire.PacketDiff, 0)
				h.got(c.conn, wire.PacketNewLeader, epochZxid(1))
				h.got(c.conn, wire.PacketUpToDate, -1)
				h.sent = nil
			}
			h.do()
			for _, s := range steps {
				switch {
				case s.stream:
					h.Installed(h.rd.Install.Zxid, true)
				case s.from == sid:
					java.put(&s.p)
					switch s.p.Type {
					case wire.PacketRequest, wire.PacketRevalidate:
						h.Forward(s.p)
					case wire.PacketPing:
						h.Pong(touches(t, s.p.Data))
					}
					h.do()
					continue
				default:
					h.Packet(c.conn, s.p)
				}
				h.finish()
			}
			ours := traffic{}
			for i := range h.sent {
				ours.put(&h.sent[i].Packet)
			}
			ours.compare(t, java)
			if h.learner == nil || h.learner.phase != learnerServing {
				t.Error("does not serve at the end")
			}
		})
	}
}

// finish does at once all that the disk is asked for, without ending in an
// answer to Install.
func (h *hand) finish() {
	for {
		install := h.rd.Install
		rd := h.do()
		if rd.Install == nil && install != nil {
			h.rd.Install = install
		}
		switch {
		case rd.Truncate != nil:
			h.Truncated(*rd.Truncate, true)
		case len(rd.Entries) > 0:
			h.Logged(rd.Entries[len(rd.Entries)-1].Zxid)
		case rd.SaveEpochs != nil || len(rd.Sends) > 0:
		default:
			return
		}
	}
}

func touches(t *testing.T, data []byte) []wire.Touch {
	d := wire.NewDecoder(data)
	var list []wire.Touch
	for d.Remaining() > 0 {
		var touch wire.Touch
		touch.Decode(&d)
		list = append(list, touch)
	}
	if d.Err() != nil {
		t.Fatal(d.Err())
	}
	return list
}

// Our leader gets what real learners have sent, and must send what the real
// leader has sent. Its epoch is 1 or 2 as in the record; server 9, which no
// record has, stands for who else acknowledged.
func TestRecordedLearners(t *testing.T) {
	cases := []struct {
		file  string
		conns []ConnID
		sid   wire.SID
		disk  Disk
		first wire.Zxid // of the epoch; what comes before NEWLEADER of the learner that joins is older
		// serving: the record begins within the broadcast.
		serving []wire.SID
		skip    []wire.PacketType
	}{
		{file: "01-election-and-first-sync", conns: []ConnID{16, 18}, sid: 3},
		{file: "02-broadcast-forwarding-sessions-inform", conns: []ConnID{16, 18, 31}, sid: 3, first: 1, serving: []wire.SID{1, 2, 4}},
		{file: "03-join-diff", conns: []ConnID{50}, sid: 3, first: 0x18},
		{file: "05-leader-failure-epoch-2", conns: []ConnID{75, 85, 93}, sid: 2,
			disk: Disk{Epochs: Epochs{1, 1}, Last: 0x10000001f, Committed: 0x10000001f}},
		// DIFF tells where the leader was when it chose; that is not in the record.
		{file: "11-join-diff-under-load", conns: []ConnID{14}, sid: 3, first: 0xffff, skip: []wire.PacketType{wire.PacketDiff}},
		{file: "12-join-snap-under-load", conns: []ConnID{14}, sid: 3, first: 0xffff, skip: []wire.PacketType{wire.PacketSnap}},
	}
	for _, c := range cases {
		t.Run(c.file, func(t *testing.T) {
			steps := slices.DeleteFunc(readQuorum(t, c.file), func(s step) bool { return !slices.Contains(c.conns, s.conn) })
			cfg := handConfig(3, 3, 1)
			cfg.SID = c.sid
			for _, s := range steps {
				if s.p.Type == wire.PacketNewLeader {
					cfg.Ensemble.Text = s.p.Data
				}
			}
			if c.first == 0xffff { // one before the first that is sent
				for _, s := range slices.Backward(steps) {
					if s.p.Type == wire.PacketProposal {
						c.first = s.p.Zxid & 0xffffffff
					}
				}
				c.first--
			}
			cfg.FirstCounter = uint32(c.first)
			r := leaderReplay{hand: newHand(t, cfg, c.disk), java: map[ConnID]traffic{}, last: map[wire.SID]wire.Zxid{}}
			r.prepare(c.serving, c.conns, c.first, steps)
			for i := range steps {
				r.step(&steps[i], c.sid)
			}
			for _, conn := range c.conns {
				ours := traffic{}
				for i := range r.sent {
					if r.sent[i].Conn == conn {
						ours.put(&r.sent[i].Packet)
					}
				}
				ours.compare(t, r.java[conn], append(c.skip, wire.PacketPing)...)
			}
			for _, k := range r.links {
				if k.stage != linkServing {
					t.Errorf("server %d is at %d", k.sid, k.stage)
				}
			}
		})
	}
}

// leaderReplay drives our leader by a record.
type leaderReplay struct {
	*hand
	java map[ConnID]traffic
	last map[wire.SID]wire.Zxid
}

// helper is the connection of a voter that the record does not show.
const helper ConnID = 1 << 20

// prepare brings the leader to where the record begins.
func (r *leaderReplay) prepare(serving []wire.SID, conns []ConnID, first wire.Zxid, steps []step) {
	r.elect.settle(wire.Leading)
	r.begin(r.cfg.SID)
	r.do()
	if first == 0 {
		return
	}
	join := func(conn ConnID, sid wire.SID, t wire.PacketType) {
		r.greet(conn, sid, t, 0, wire.ProtocolVersion)
		r.ackEpoch(conn, 0, 0)
		r.got(conn, wire.PacketAck, epochZxid(1))
	}
	if serving == nil {
		join(helper, 2, wire.PacketFollowerInfo)
		r.commitPayload(payload(zx(1, uint32(first)), ""))
		for _, s := range steps { // the history
			if s.p.Type == wire.PacketNewLeader || s.stream {
				break
			}
			if s.p.Type == wire.PacketProposal {
				r.commitPayload(s.p.Data)
			}
		}
	}
	for i, sid := range serving {
		t := wire.PacketFollowerInfo
		if sid == 4 {
			t = wire.PacketObserverInfo
		}
		join(conns[i], sid, t)
	}
	r.sent = nil
}

// commitPayload proposes a txn that the helper acknowledges.
func (r *leaderReplay) commitPayload(data []byte) {
	z, _ := r.NextZxid()
	r.Propose(data)
	r.do()
	r.Logged(z)
	r.got(helper, wire.PacketAck, z)
}

func (r *leaderReplay) step(s *step, leader wire.SID) {
	if s.stream {
		return
	}
	if s.from != leader {
		switch s.p.Type {
		case wire.PacketFollowerInfo, wire.PacketObserverInfo:
			for _, m := range r.cfg.Ensemble.Members {
				r.elect.links[m.SID] = 1 // the recording is of the other port only
			}
			r.Accepted(s.conn)
		}
		r.Packet(s.conn, s.p)
		r.do()
		return
	}
	if r.java[s.conn] == nil {
		r.java[s.conn] = traffic{}
	}
	r.java[s.conn].put(&s.p)
	switch s.p.Type {
	case wire.PacketProposal, wire.PacketInform:
		if r.leader.phase == leaderBroadcast && s.p.Zxid > r.leader.proposed {
			r.Propose(s.p.Data)
			r.do()
			r.Logged(s.p.Zxid)
		}
	case wire.PacketCommit:
		if r.link(helper) != nil && s.p.Zxid <= r.leader.proposed {
			r.got(helper, wire.PacketAck, s.p.Zxid)
		}
	case wire.PacketSnap:
		r.SnapshotSent(s.conn, s.p.Zxid, true)
	case wire.PacketSync, wire.PacketRevalidate:
		r.Reply(s.conn, s.p)
	}
	r.do()
}
