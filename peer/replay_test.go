package peer

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"zooid/auth"
	"zooid/integration/recorded"
	"zooid/session"
	"zooid/wire"
	"zooid/zab"
	"zooid/znode"
)

// record is one packet between servers of Apache ZooKeeper 3.9.5.
type record struct {
	from, to wire.SID
	conn     zab.ConnID
	packet   wire.QuorumPacket
}

func readRecords(t *testing.T, name string) (records []record) {
	t.Helper()
	for _, l := range recorded.Read(t, name) {
		if !l.IsPacket() {
			continue
		}
		r := record{conn: zab.ConnID(l.Conn), from: wire.SID(l.By), to: wire.SID(l.For)}
		var n int
		var err error
		if r.packet, n, err = wire.DecodeQuorumPacket(l.Bytes, 1<<20); err != nil || n != len(l.Bytes) {
			t.Fatalf("%v: %d of %d bytes: %v", l.Decoded["type"], n, len(l.Bytes), err)
		}
		records = append(records, r)
	}
	return records
}

// stage is one peer whose network is the test: its disk is at once, and what it
// sends is kept.
type stage struct {
	t        *testing.T
	peer     *Peer
	tree     *znode.Tree
	now      int64
	sent     map[zab.ConnID][]wire.QuorumPacket
	dialled  *zab.Dial
	round    int64 // of the election
	outcomes []znode.Applied
	attached []Attached
}

func newStage(t *testing.T, sid wire.SID, cfg Config, voters, observers []wire.SID) *stage {
	t.Helper()
	authority, err := auth.New(auth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, tree: znode.New(), sent: map[zab.ConnID][]wire.QuorumPacket{}}
	s.tree.SetRules(znode.Rules{Auth: authority, ExtendedTypes: true})
	e := &zab.Ensemble{}
	for _, v := range voters {
		e.Members = append(e.Members, zab.Member{SID: v})
	}
	for _, o := range observers {
		e.Members = append(e.Members, zab.Member{SID: o, Observer: true})
	}
	cfg.Zab = zab.Config{SID: sid, Ensemble: e, TickMs: 500, InitLimit: 20, SyncLimit: 10, MinNotifyMs: 200, MaxNotifyMs: 60_000,
		FinalizeMs: 200, MaxEpochWaitMs: -1, DialTries: 5, DiffBytes: 1 << 20, RecentBytes: 1 << 20}
	s.peer = New(cfg, s.tree, zab.Disk{}, startMs)
	s.peer.Start(0)
	s.settle()
	return s
}

// settle carries out everything. PINGs are answered at once.
func (s *stage) settle() {
	for {
		rd := s.peer.Ready()
		if rd.Empty() && !s.peer.Pending() {
			return
		}
		for _, n := range rd.Notices {
			s.round = n.N.Round
		}
		if rd.Dial != nil {
			s.dialled = rd.Dial
		}
		for _, p := range rd.Sends {
			s.sent[p.Conn] = append(s.sent[p.Conn], p.Packet)
		}
		for _, p := range rd.Sends {
			if p.Packet.Type == wire.PacketPing && s.peer.leads() {
				s.peer.Packet(p.Conn, wire.QuorumPacket{Type: wire.PacketPing, Zxid: p.Packet.Zxid, Data: []byte{}})
			}
		}
		if rd.SaveEpochs != nil {
			s.peer.EpochsSaved(*rd.SaveEpochs)
		}
		if n := len(rd.Entries); n > 0 {
			s.peer.Logged(rd.Entries[n-1].Zxid)
		}
		s.attached = append(s.attached, rd.Attached...)
		if rd.WantTouched {
			s.peer.Touched()
		}
		var out znode.Applied
		for s.peer.Apply(&out) {
			if out.Conn != 0 {
				s.outcomes = append(s.outcomes, out)
			}
		}
	}
}

// elect makes everybody vote for one member.
func (s *stage) elect(leader wire.SID, voters []wire.SID) {
	for _, v := range voters {
		if v != s.peer.self() {
			s.peer.Linked(v)
			s.peer.Notified(v, &wire.Notification{State: wire.Looking, Vote: wire.Vote{Leader: leader}, Round: s.round, Version: 2})
		}
	}
	s.settle()
	for range 10 {
		s.now += 100
		s.peer.Tick(s.now)
		s.settle()
	}
}

const epoch1 wire.Zxid = 1 << 32

// join brings learners with nothing to a leader of epoch 1.
func (s *stage) join(learners map[zab.ConnID]wire.SID, observer wire.SID) {
	for conn, sid := range learners {
		info := wire.LearnerInfo{SID: sid, ProtocolVersion: wire.ProtocolVersion}
		p := wire.QuorumPacket{Type: wire.PacketFollowerInfo, Data: info.Append(nil)}
		if sid == observer {
			p.Type = wire.PacketObserverInfo
		}
		s.peer.Accepted(conn)
		s.peer.Packet(conn, p)
		s.settle()
	}
	for conn := range learners {
		s.peer.Packet(conn, wire.QuorumPacket{Type: wire.PacketAckEpoch, Data: wire.AppendInt32(nil, 0)})
		s.settle()
	}
	for conn := range learners {
		s.peer.Packet(conn, wire.QuorumPacket{Type: wire.PacketAck, Zxid: epoch1})
		s.settle()
	}
	if !s.peer.leads() {
		s.t.Fatalf("does not lead: %+v", s.peer.Status())
	}
}

// replayLeader plays the leader of a recording: what the learners asked goes in,
// and what each of them is sent must be what Java's leader sent it, byte for
// byte. The clients of the leader itself are known from its proposals.
func replayLeader(t *testing.T, records []record, cfg Config, leader wire.SID, learners map[zab.ConnID]wire.SID, observer wire.SID) {
	s := newStage(t, leader, cfg, []wire.SID{1, 2, 3}, []wire.SID{4})
	s.elect(leader, []wire.SID{1, 2, 3})
	s.join(learners, observer)
	var proposals []*wire.Txn
	for _, r := range records {
		if r.from == leader && r.packet.Type == wire.PacketProposal && r.packet.Zxid == epoch1+wire.Zxid(len(proposals))+1 {
			txn, err := wire.DecodeTxn(r.packet.Data)
			if err != nil {
				t.Fatal(err)
			}
			proposals = append(proposals, txn)
		}
	}
	compared := 0
	for _, r := range records {
		next := max(s.peer.proposed, epoch1) + 1
		var txn *wire.Txn
		if n := int(next - epoch1); n <= len(proposals) {
			txn = proposals[n-1]
			s.peer.timeMs = txn.TimeMs
		}
		switch {
		case r.to == leader && isSaid(&r.packet):
			s.peer.Packet(r.conn, r.packet)
		case r.from == leader && r.packet.Type == wire.PacketProposal && r.packet.Zxid == next:
			s.peer.route(ownRequest(t, txn)) // nobody has forwarded it
		}
		s.settle()
	}
	for conn := range learners {
		var want, got []wire.QuorumPacket
		for _, r := range records {
			if r.conn == conn && r.from == leader && isAnswer(&r.packet) {
				want = append(want, r.packet)
			}
		}
		for _, p := range s.sent[conn] {
			if isAnswer(&p) {
				got = append(got, p)
			}
		}
		compared += comparePackets(t, fmt.Sprintf("to learner %d", learners[conn]), got, want)
	}
	if compared < len(proposals) {
		t.Errorf("only %d packets compared", compared)
	}
}

// isSaid tells what of a learner's packets is replayed: not the handshake, and
// not the PINGs, which the stage answers itself.
func isSaid(p *wire.QuorumPacket) bool {
	return p.Type == wire.PacketRequest || p.Type == wire.PacketRevalidate || p.Type == wire.PacketAck && p.Zxid&0xffffffff != 0
}

// isAnswer tells what of a leader's packets is compared.
func isAnswer(p *wire.QuorumPacket) bool {
	switch p.Type {
	case wire.PacketProposal, wire.PacketInform, wire.PacketSync, wire.PacketRevalidate:
		return true
	}
	return false
}

func comparePackets(t *testing.T, what string, got, want []wire.QuorumPacket) int {
	t.Helper()
	t.Logf("%s: %d packets", what, len(want))
	if len(got) != len(want) {
		t.Errorf("%s: %d packets, want %d", what, len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if g, w := got[i].Append(nil), want[i].Append(nil); !bytes.Equal(g, w) {
			t.Fatalf("%s: packet %d is %v\n%swant %v\n%s", what, i, got[i].Type, hex.Dump(g), want[i].Type, hex.Dump(w))
		}
	}
	return len(got)
}

// ownRequest is what a client of the leader asked, told by what became of it.
func ownRequest(t *testing.T, txn *wire.Txn) *znode.Request {
	r := &znode.Request{Session: txn.Session, Cxid: txn.Cxid, Op: txn.Op, IDs: []wire.ID{{Scheme: "ip", ID: "127.0.0.1"}}}
	switch body := txn.Body.(type) {
	case *wire.CreateSessionTxn:
		r.TimeoutMs = body.TimeoutMs
	case *wire.CreateTxn:
		c := &wire.CreateRequest{Path: body.Path, Data: body.Data, ACL: body.ACL}
		if body.Ephemeral {
			c.Flags = wire.FlagEphemeral
		}
		r.Body = c
	case *wire.CloseSessionTxn:
	default:
		t.Fatalf("no request known for %v", txn.Op)
	}
	return r
}

func TestReplayRecordedLeader(t *testing.T) {
	t.Run("every request", func(t *testing.T) {
		replayLeader(t, readRecords(t, "02-broadcast-forwarding-sessions-inform"), Config{}, 3,
			map[zab.ConnID]wire.SID{16: 1, 18: 2, 31: 4}, 4)
	})
	t.Run("local sessions", func(t *testing.T) {
		replayLeader(t, readRecords(t, "14-local-session-upgrade"), Config{LocalSessions: true}, 2,
			map[zab.ConnID]wire.SID{22: 1, 26: 3}, 0)
	})
}

// replayFollower plays follower 1 of a recording: what the leader sent goes in,
// its clients ask what they asked, and what it says to the leader must be what
// Java's follower said. local is a session that begins as a local one.
func replayFollower(t *testing.T, records []record, cfg Config, leader wire.SID, conn zab.ConnID, local wire.SessionID) *stage {
	s := newStage(t, 1, cfg, []wire.SID{1, 2, 3}, []wire.SID{4})
	s.elect(leader, []wire.SID{1, 2, 3})
	if s.dialled == nil || s.dialled.Leader != leader {
		t.Fatalf("dials %+v", s.dialled)
	}
	s.peer.Dialled(conn)
	for _, p := range []wire.QuorumPacket{
		{Type: wire.PacketLeaderInfo, Zxid: epoch1, Data: wire.AppendInt32(nil, wire.ProtocolVersion)},
		{Type: wire.PacketDiff}, {Type: wire.PacketNewLeader, Zxid: epoch1}, {Type: wire.PacketUpToDate, Zxid: noZxid},
	} {
		s.settle()
		s.peer.Packet(conn, p)
	}
	s.settle()
	if local != 0 {
		s.peer.local.sessions[local] = &localSession{timeoutMs: 8000}
	}
	var want, got []wire.QuorumPacket
	for _, r := range records {
		switch {
		case r.conn != conn:
		case r.from == 1 && isSaid(&r.packet):
			want = append(want, r.packet)
			s.ask(&r.packet)
		case r.from == leader && (isAnswer(&r.packet) || r.packet.Type == wire.PacketCommit):
			s.peer.Packet(conn, r.packet)
		}
		s.settle()
	}
	for _, p := range s.sent[conn] {
		if isSaid(&p) {
			got = append(got, p)
		}
	}
	comparePackets(t, "to the leader", got, want)
	return s
}

// ask has a client ask what became this packet.
func (s *stage) ask(p *wire.QuorumPacket) {
	d := wire.NewDecoder(p.Data)
	switch p.Type {
	case wire.PacketRevalidate:
		var r wire.Touch
		r.Decode(&d)
		passwd := session.JavaPassword(r.Session)
		s.peer.Attach(2, r.Session, passwd[:], r.TimeoutMs, startMs)
	case wire.PacketRequest:
		var f wire.ForwardedRequest
		f.Decode(&d)
		r := &znode.Request{Conn: 1, Session: f.Session, Cxid: f.Cxid, Op: f.Op, Raw: f.Body, IDs: p.AuthInfo}
		if f.Op == wire.OpCreateSession {
			if s.peer.local.sessions[f.Session] == nil { // else it comes by itself
				r.TimeoutMs, r.Raw = 8000, nil
				s.peer.forward(r)
			}
			return
		}
		r.Body, _ = znode.DecodeRequest(f.Op, f.Body)
		s.peer.Submit(r, startMs)
	}
}

func TestReplayRecordedFollower(t *testing.T) {
	outcomes := func(s *stage) string {
		var b strings.Builder
		for _, a := range s.outcomes {
			fmt.Fprintf(&b, "%d %v %d\n", a.Cxid, a.Op, a.Err)
		}
		return b.String()
	}
	t.Run("every request", func(t *testing.T) {
		s := replayFollower(t, readRecords(t, "02-broadcast-forwarding-sessions-inform"), Config{}, 3, 16, 0)
		want := "0 createSession 0\n1 create 0\n2 setData 0\n3 create 0\n4 create 0\n5 create 0\n6 createContainer 0\n7 createTTL 0\n" +
			"8 setACL 0\n9 multi 0\n10 multi 0\n11 create -110\n12 setData -103\n13 sync 0\n14 delete 0\n15 create 0\n"
		if got := outcomes(s); got != want {
			t.Errorf("outcomes\n%swant\n%s", got, want)
		}
		if len(s.attached) != 1 || s.attached[0].Session != 0 {
			t.Errorf("a session that has ended was attached: %+v", s.attached)
		}
	})
	t.Run("local sessions", func(t *testing.T) {
		records := readRecords(t, "14-local-session-upgrade")
		s := replayFollower(t, records, Config{LocalSessions: true, LocalUpgrade: true}, 2, 22, 0x100003960d70000)
		if got, want := outcomes(s), "1 create 0\n2 create 0\n3 closeSession 0\n"; got != want {
			t.Errorf("outcomes\n%swant\n%s", got, want)
		}
	})
}
