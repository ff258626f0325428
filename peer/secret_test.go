package peer

import (
	"testing"

	"zooid/session"
	"zooid/wire"
	"zooid/zab"
)

// A learner that lags does not know how the password of a session is made, so it
// tells its leader which way the client has shown, and the leader decides.
func TestLeaderRefusesAComputedPasswordThatALearnerTook(t *testing.T) {
	cfg := Config{}
	w := newWorld(t, cfg, 3, 3)
	w.run(3000)
	leader, f := w.members[3], w.members[1]
	id := w.begin(f, 11)
	if _, cxid, _ := leader.tree.Session(id); cxid != session.CxidKeyed {
		t.Fatalf("the session %v was made with cxid %d", id, cxid)
	}
	var conn zab.ConnID
	for _, l := range leader.peer.Machine.Status().Learners {
		if l.SID == 2 {
			conn = l.Conn
		}
	}
	for shown, want := range map[int32]bool{session.CxidJava: false, session.CxidKeyed: true} {
		to := wire.Touch{Session: id, TimeoutMs: 4000}
		leader.peer.forwarded(&zab.Forwarded{Conn: conn, SID: 2,
			Packet: wire.QuorumPacket{Type: wire.PacketRevalidate, Zxid: noZxid, Data: append(to.Append(nil), byte(shown))}})
		var got []bool
		rd := leader.peer.Ready()
		for _, s := range rd.Sends {
			if s.Conn == conn && s.Packet.Type == wire.PacketRevalidate {
				var v wire.Revalidated
				if err := wire.Unmarshal(s.Packet.Data, &v); err != nil {
					t.Fatal(err)
				}
				got = append(got, v.Valid)
			}
		}
		if len(got) != 1 || got[0] != want {
			t.Errorf("password shown as of cxid %d: answered %v, want %t", shown, got, want)
		}
	}
}
