package zab

import (
	"testing"

	"zooid/wire"
)

// A member that has heard from very many sessions reports all of them, in
// packets that any leader accepts. They answer one PING together.
func TestVeryManySessionsAreReportedInPieces(t *testing.T) {
	const sessions = 200_000
	f := newHand(t, handConfig(1, 3, 0), Disk{})
	f.serve(1)
	f.got(1, wire.PacketPing, zx(1, 7))
	touched := make([]wire.Touch, sessions)
	for i := range touched {
		touched[i] = wire.Touch{Session: wire.SessionID(i), TimeoutMs: 4000}
	}
	f.Pong(touched)
	f.do()
	var packets []wire.QuorumPacket
	for _, s := range f.sent {
		packets = append(packets, s.Packet)
	}

	l := newHand(t, handConfig(3, 3, 0), Disk{})
	l.lead()
	n := l.Confirm()
	l.do()
	told := wire.SessionID(0)
	for i, p := range packets {
		if len(p.Data) > 1<<17 || p.Type != wire.PacketPing {
			t.Fatalf("%v with %d bytes", p.Type, len(p.Data))
		}
		l.Packet(1, p)
		l.do()
		for _, fwd := range l.rd.Forwarded {
			for d := wire.NewDecoder(fwd.Packet.Data); d.Remaining() > 0; told++ {
				var touch wire.Touch
				if touch.Decode(&d); touch.Session != told {
					t.Fatalf("%v is told, %v is due", touch.Session, told)
				}
			}
		}
		if last := i == len(packets)-1; last != (l.rd.Confirmed == n) {
			t.Errorf("packet %d of %d: confirmed %d", i+1, len(packets), l.rd.Confirmed)
		}
	}
	if told != sessions {
		t.Errorf("%d sessions are told", told)
	}
}

// A leader of ZooKeeper's proposes the end of a session with all its paths,
// however many they are. What is logged here of it can be read back.
func TestLongClosingIsLoggedShort(t *testing.T) {
	f := newHand(t, handConfig(1, 3, 0), Disk{})
	f.serve(1)
	txn := wire.Txn{TxnHeader: wire.TxnHeader{Session: 5, Zxid: zx(1, 1), Op: wire.OpCloseSession}, Body: &wire.CloseSessionTxn{
		Paths: []string{"/" + string(make([]byte, wire.TxnBytesMax))}}}
	f.got(1, wire.PacketProposal, txn.Zxid, txn.Append(nil)...)
	if len(f.rd.Entries) != 1 {
		t.Fatalf("%d records are logged", len(f.rd.Entries))
	}
	got, err := wire.DecodeTxn(f.rd.Entries[0].Payload)
	if err != nil || got.Zxid != txn.Zxid || got.Session != 5 || got.Body != nil {
		t.Errorf("%+v, %v", got, err)
	}
}
