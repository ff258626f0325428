package peer

import (
	"errors"
	"testing"

	"zooid/wire"
	"zooid/zab"
	"zooid/znode"
)

// A committed transaction that cannot be decoded, or is another than it says,
// stops the member: it must not go on with a state of its own.
func TestCorruptTxn(t *testing.T) {
	good := wire.Txn{TxnHeader: wire.TxnHeader{Zxid: epoch1 + 1, Op: wire.OpError}, Body: &wire.ErrorTxn{}}
	payload := good.Append(nil)
	for name, e := range map[string]wire.Entry{
		"cut off":      {Zxid: epoch1 + 1, Payload: payload[:20]},
		"another zxid": {Zxid: epoch1 + 2, Payload: payload},
		"unknown type": {Zxid: epoch1 + 1, Payload: append(payload[:28:28], 0, 0, 0, 99)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Config{}, 1, 1)
			p := w.members[1].peer
			p.commit(e)
			p.commit(wire.Entry{Zxid: e.Zxid + 1, Payload: payload}) // is not looked at any more
			rd := p.Ready()
			var corrupt *CorruptTxn
			if !errors.As(rd.Broken, &corrupt) || corrupt.Zxid != e.Zxid || !errors.Is(rd.Broken, wire.ErrMarshalling) {
				t.Errorf("broken: %v", rd.Broken)
			}
			if rd.Empty() || p.Pending() {
				t.Error("the shell is not told, or there is more to apply")
			}
		})
	}
}

// What a leader is asked when its term has ended, and it does not know yet, is
// not lost: it waits with what clients ask elsewhere.
func TestAskedAtTheEndOfATerm(t *testing.T) {
	w := newWorld(t, Config{HoldMs: 2000}, 3, 3)
	w.run(3000)
	m := w.members[3]
	if m.told.State != wire.Leading {
		t.Fatalf("3 is %v", m.told.State)
	}
	p := m.peer
	p.Machine.Resign("test")
	p.Submit(&znode.Request{Conn: 1, Op: wire.OpCreate, Body: &wire.CreateRequest{Path: "/a", ACL: wire.OpenACL}}, startMs)
	p.Submit(&znode.Request{Conn: 2, Op: wire.OpSync, Body: &wire.PathRequest{Path: "/"}}, startMs)
	p.Attach(3, 0, nil, 4000, startMs)
	p.Expire(startMs)
	rd := p.Ready()
	if rd.Serving == nil || !rd.Serving.Held || len(rd.Dropped) != 0 {
		t.Fatalf("serving %+v, dropped %v", rd.Serving, rd.Dropped)
	}
	if s := p.Status(); s.Held != 3 || s.Outstanding != 0 || s.PendingSyncs != 0 {
		t.Errorf("%+v", s)
	}
}

// Garbage from a learner is not answered, and does no harm.
func TestForwardedGarbage(t *testing.T) {
	w := newWorld(t, Config{}, 3, 3)
	w.run(3000)
	p := w.members[3].peer
	before := p.Outstanding()
	for _, packet := range []wire.QuorumPacket{
		{Type: wire.PacketRequest}, {Type: wire.PacketRequest, Data: []byte{1, 2, 3}},
		{Type: wire.PacketRevalidate}, {Type: wire.PacketRevalidate, Data: []byte{1}},
		{Type: wire.PacketPing, Data: []byte{1, 2, 3}}, {Type: wire.PacketPing, Data: make([]byte, 25)},
		{Type: wire.PacketSync},
	} {
		p.forwarded(&zab.Forwarded{Conn: 99, SID: 1, Packet: packet})
	}
	if p.Outstanding() != before {
		t.Errorf("%d outstanding, before %d", p.Outstanding(), before)
	}
	// A session cannot be created without a timeout, but the learner must hear so.
	f := wire.ForwardedRequest{Session: 0x0100000000000001, Op: wire.OpCreateSession}
	p.forwarded(&zab.Forwarded{Conn: 99, SID: 1, Packet: wire.QuorumPacket{Type: wire.PacketRequest, Data: f.Append(nil)}})
	if last := p.queue[len(p.queue)-1].txn; last.Op != wire.OpError || last.Body.(*wire.ErrorTxn).Err != wire.ErrMarshalling {
		t.Errorf("became %+v", last)
	}
}
