package peer

import (
	"testing"

	"zooid/wire"
	"zooid/znode"
)

// A request that ends whoever is asked must not end one leader after the other:
// it is asked of a second one, and then costs its client the connection. Other
// clients go on.
func TestARequestThatEndsLeadersIsAskedTwiceAtMost(t *testing.T) {
	w := newWorld(t, Config{HoldMs: 60_000, HoldMax: 100}, 5, 5)
	w.run(3000)
	m := w.members[1]
	for conn := range znode.ConnID(2) {
		conn += 11
		w.on(m, 0, func() {
			m.clients[conn] = &client{conn: conn}
			m.peer.Attach(conn, 0, nil, 300_000, startMs+w.now)
		})
	}
	w.run(100)
	var ended []wire.SID
	w.intercept = func(from *member, p *wire.QuorumPacket) bool {
		var r wire.ForwardedRequest
		d := wire.NewDecoder(p.Data)
		if p.Type != wire.PacketRequest {
			return false
		}
		if r.Decode(&d); r.Cxid != 666 {
			return false
		}
		leader := from.told.Leader
		ended = append(ended, leader)
		w.at(0, func() { w.stop(leader) })
		return true
	}
	deadly := &znode.Request{Conn: 11, Cxid: 666, Op: wire.OpCreate, Body: &wire.CreateRequest{Path: "/deadly", ACL: wire.OpenACL}}
	w.submit(m, deadly)
	for range 3 {
		w.run(10_000)
		for _, sid := range ended {
			if !w.members[sid].up {
				w.start(sid)
			}
		}
	}
	if len(ended) != 2 {
		t.Errorf("it has ended the leaders %v", ended)
	}
	if m.clients[11] != nil {
		t.Error("its client still has its connection")
	}
	done := false
	w.replied = func(_ *member, c *client, a *znode.Applied) { done = done || c.conn == 12 && a.Err == wire.OK }
	w.submit(m, &znode.Request{Conn: 12, Cxid: 1, Op: wire.OpCreate, Body: &wire.CreateRequest{Path: "/other", ACL: wire.OpenACL}})
	w.run(5000)
	if !done {
		t.Errorf("another client is not served:\n%s", w.out.String())
	}
}
