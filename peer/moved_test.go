package peer

import (
	"slices"
	"strings"
	"testing"

	"zooid/wire"
	"zooid/znode"
)

func clientsWorld(t *testing.T, voters, observers int, hold int64) *world {
	cfg := Config{HoldMs: hold, HoldMax: 100}
	cfg.Zab.DiffBytes, cfg.Zab.RecentBytes = 1<<20, 1<<20
	w := newWorld(t, cfg, voters, voters+observers)
	w.run(3000)
	return w
}

func (w *world) attachTo(m *member, conn znode.ConnID, id wire.SessionID) {
	w.attachFor(m, conn, id, 4000)
}

func (w *world) attachFor(m *member, conn znode.ConnID, id wire.SessionID, timeoutMs int32) {
	passwd := w.passwd(id)
	w.on(m, 0, func() {
		m.clients[conn] = &client{conn: conn}
		m.peer.Attach(conn, id, passwd[:], timeoutMs, startMs+w.now)
	})
}

// begin gives a connection a new session.
func (w *world) begin(m *member, conn znode.ConnID) wire.SessionID {
	w.attachTo(m, conn, 0)
	w.run(50)
	return m.clients[conn].session
}

// do submits a request and gives it time.
func (w *world) do(m *member, r *znode.Request) {
	w.submit(m, r)
	w.run(50)
}

// read decodes what a member answers to a read of a path.
func (w *world) read(m *member, op wire.OpCode, path string) wire.Decoder {
	w.t.Helper()
	got, err := m.tree.Read(op, new(znode.Reader), (&wire.WatchRequest{Path: path}).Append(nil), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return wire.NewDecoder(got)
}

func (w *world) children(m *member, path string) []string {
	w.t.Helper()
	d := w.read(m, wire.OpGetChildren, path)
	return d.Strings()
}

func reqOf(conn znode.ConnID, cxid int32, op wire.OpCode, body wire.Record) *znode.Request {
	return &znode.Request{Conn: conn, Cxid: cxid, Op: op, Body: body}
}

func create(path string) *wire.CreateRequest {
	return &wire.CreateRequest{Path: path, ACL: wire.OpenACL, Data: []byte("0")}
}

// A client whose library counts its requests anew with each connection (as
// kazoo's does) moves from follower 1 to an observer while a write is in flight.
// The observer hears of proposals only when they are committed.
func TestObserverTellsItsOwnRequestsApart(t *testing.T) {
	w := clientsWorld(t, 3, 1, 1000)
	f, o := w.members[1], w.members[4]
	id := w.begin(f, 11)
	w.do(f, reqOf(11, 1, wire.OpCreate, create("/x")))
	w.out.Reset()
	var told []znode.Applied
	w.replied = func(m *member, c *client, a *znode.Applied) {
		if m == o && a.Op != wire.OpCreateSession {
			told = append(told, *a)
		}
	}
	// W1, cxid 2, by the old connection.
	w.submit(f, reqOf(11, 2, wire.OpSetData, &wire.SetDataRequest{Path: "/x", Data: []byte("1"), Version: -1}))
	w.run(0)
	// The connection breaks at once; the client turns to the observer.
	w.disconnect(f, 11)
	w.attachTo(o, 41, id)
	for range 200 { // as soon as it is welcome it sends W2, also cxid 2
		w.run(1)
		if c := o.clients[41]; c != nil && c.session == id {
			break
		}
	}
	// W2 must fail: /no/parent does not exist.
	w.submit(o, reqOf(41, 2, wire.OpCreate, create("/no/parent")))
	w.run(200)
	for _, a := range told {
		t.Logf("observer's client was told: cxid %d %v err=%v zxid=%v path=%q", a.Cxid, a.Op, a.Err, a.Zxid, a.Path)
		if a.Op == wire.OpCreate && a.Err == wire.OK {
			t.Errorf("create /no/parent was answered OK with the outcome of another request")
		}
	}
}

// The same with two requests that nothing but their order tells apart: both set the
// same znode. The leader says with the session what was under way then.
func TestObserverTellsEqualRequestsApart(t *testing.T) {
	w := clientsWorld(t, 3, 1, 1000)
	f, o := w.members[1], w.members[4]
	id := w.begin(f, 11)
	w.do(f, reqOf(11, 1, wire.OpCreate, create("/x")))
	var told []znode.Applied
	w.replied = func(m *member, c *client, a *znode.Applied) {
		if m == o && a.Op == wire.OpSetData {
			told = append(told, *a)
		}
	}
	set := func(data string) *wire.SetDataRequest {
		return &wire.SetDataRequest{Path: "/x", Data: []byte(data), Version: -1}
	}
	w.submit(f, reqOf(11, 2, wire.OpSetData, set("old connection")))
	w.run(0)
	w.disconnect(f, 11)
	w.attachTo(o, 41, id)
	for range 200 {
		w.run(1)
		if c := o.clients[41]; c != nil && c.session == id {
			break
		}
	}
	w.submit(o, reqOf(41, 2, wire.OpSetData, set("new connection")))
	w.run(200)
	if len(told) != 1 || told[0].Stat.Version != 2 {
		t.Errorf("the second change of /x was answered with %+v", told)
	}
}

// A client leaves member 1, of which that never hears (its FIN is lost), while a
// write waits there; does a later write elsewhere; then the leader dies.
func TestHeldRequestIsNotDoneAfterALaterOne(t *testing.T) {
	w := clientsWorld(t, 3, 0, 5000)
	a, b := w.members[1], w.members[2]
	id := w.begin(a, 11)
	w.do(a, reqOf(11, 1, wire.OpCreate, create("/x")))
	w.out.Reset()
	w.separate(1, 3) // the leader is 3
	w.run(20)
	// W1 waits at 1, which holds its clients.
	w.submit(a, reqOf(11, 2, wire.OpSetData, &wire.SetDataRequest{Path: "/x", Data: []byte("W1"), Version: -1}))
	w.run(20)
	// The client gives up, moves to 2 and goes on; 1 does not hear of that.
	w.attachTo(b, 21, id)
	w.run(20)
	w.do(b, reqOf(21, 3, wire.OpSetData, &wire.SetDataRequest{Path: "/x", Data: []byte("W2"), Version: -1}))
	w.do(b, reqOf(21, 4, wire.OpSync, &wire.PathRequest{Path: "/x"}))
	// Now the leader dies, and 1 and 2 find another.
	w.stop(3)
	w.run(3000)
	d := w.read(b, wire.OpGetData, "/x")
	if data := string(d.Buffer()); data != "W2" {
		t.Errorf("/x is %q: the write that the session sent before its acknowledged W2 was done behind it", data)
	}
}

// The usual recipe for an unknown outcome: reconnect, sync, look, and ask again if
// it is not there. One change of leader is enough here.
func TestHeldRequestIsNotDoneTwice(t *testing.T) {
	w := clientsWorld(t, 3, 0, 5000)
	a, b := w.members[1], w.members[2]
	id := w.begin(a, 11)
	w.do(a, reqOf(11, 1, wire.OpCreate, create("/q")))
	w.out.Reset()
	w.separate(1, 3) // the leader is 3
	w.run(20)
	seq := &wire.CreateRequest{Path: "/q/guid-", ACL: wire.OpenACL, Flags: wire.FlagPersistentSequential}
	w.submit(a, reqOf(11, 2, wire.OpCreate, seq)) // W1 waits at 1
	w.run(20)
	w.attachTo(b, 21, id) // the client moves; 1 does not hear of it
	w.run(20)
	w.do(b, reqOf(21, 3, wire.OpSync, &wire.PathRequest{Path: "/q"}))
	if n := len(w.children(b, "/q")); n != 0 {
		t.Fatalf("%d children", n)
	}
	w.stop(3) // the leader dies before the client asks again
	w.run(300)
	w.submit(b, reqOf(21, 4, wire.OpCreate, seq))
	w.run(300)
	if b.clients[21] == nil { // told that its session has moved: it comes back and asks again
		w.attachTo(b, 22, id)
		w.run(50)
		w.submit(b, reqOf(22, 5, wire.OpCreate, seq))
		w.run(300)
	}
	if list := w.children(b, "/q"); len(list) != 1 {
		t.Errorf("/q has %v: a request that the client had found not done, behind a sync and with its session elsewhere, was done later", list)
	}
}

// A client has moved on, and its old connection hangs at member 1, of which that
// does not hear. What that connection still brings, after the leader has died, is
// not done: member 2 has the session since a later time.
func TestSessionGoesToWhoHasItSinceLater(t *testing.T) {
	w := clientsWorld(t, 3, 0, 5000)
	a, b := w.members[1], w.members[2]
	id := w.begin(a, 11)
	w.attachTo(b, 21, id)
	w.run(50)
	w.out.Reset()
	w.stop(3)
	w.run(2)
	w.submit(a, reqOf(11, 2, wire.OpCreate, create("/late")))
	w.submit(b, reqOf(21, 3, wire.OpCreate, create("/current")))
	w.run(1000)
	if !strings.Contains(w.out.String(), "1: conn 11 dropped: its client has been elsewhere") {
		t.Errorf("the old connection is not dropped:\n%s", w.out.String())
	}
	if list := w.children(b, "/"); slices.Contains(list, "late") || !slices.Contains(list, "current") {
		t.Errorf("the root has %v", list)
	}
}

// A member that is down need not be asked: what waited is done, and its client keeps
// its connection.
func TestHeldRequestWithAMemberDown(t *testing.T) {
	w := clientsWorld(t, 5, 0, 5000)
	a := w.members[1]
	w.stop(4)
	w.attachTo(a, 11, 0)
	w.run(50)
	w.out.Reset()
	w.stop(5)
	w.run(2)
	w.submit(a, reqOf(11, 2, wire.OpCreate, create("/waited")))
	w.run(2000)
	if !strings.Contains(w.out.String(), "1: conn 11 cxid 2 create /waited (0x") {
		t.Errorf("not done:\n%s", w.out.String())
	}
}

// A client has gone to the leader, and looked there behind a sync, right before that
// died. Its going is in every later leader's history.
func TestMoveToTheLeaderThatDies(t *testing.T) {
	w := clientsWorld(t, 3, 0, 5000)
	a, b, l := w.members[1], w.members[2], w.members[3]
	id := w.begin(a, 11)
	w.do(a, reqOf(11, 1, wire.OpCreate, create("/q")))
	w.separate(1, 3)
	w.run(5)
	seq := &wire.CreateRequest{Path: "/q/guid-", ACL: wire.OpenACL, Flags: wire.FlagPersistentSequential}
	w.submit(a, reqOf(11, 2, wire.OpCreate, seq)) // waits at 1, which has no leader
	w.attachTo(l, 31, id)
	w.submit(l, reqOf(31, 3, wire.OpSync, &wire.PathRequest{Path: "/q"}))
	w.run(10)
	if !strings.Contains(w.out.String(), "3: conn 31 cxid 3 sync") {
		t.Fatalf("the sync is not answered:\n%s", w.out.String())
	}
	w.stop(3)
	w.run(300)
	w.attachTo(b, 21, id)
	w.run(50)
	w.submit(b, reqOf(21, 4, wire.OpCreate, seq))
	w.run(300)
	if list := w.children(b, "/q"); len(list) != 1 {
		t.Errorf("/q has %v", list)
	}
}

// An old connection that hangs does not shorten the timeout that its session has
// elsewhere when there is another leader.
func TestStaleConnectionDoesNotShortenATimeout(t *testing.T) {
	w := clientsWorld(t, 3, 0, 5000)
	a, b := w.members[1], w.members[2]
	id := w.begin(a, 11)
	w.attachFor(b, 21, id, 20_000)
	w.run(50)
	w.stop(3)
	w.run(3000)
	for _, m := range []*member{a, b} {
		if m.peer.leads() {
			if got := m.peer.leader.tracker.Timeout(id); got != 20_000 {
				t.Errorf("leader %d gives the session %d ms", m.sid, got)
			}
		}
	}
}

// A client has moved on to a member that is down when the leader dies. What its old
// connection brings later is not done. Other connections stay.
func TestLateRequestWithAMemberDown(t *testing.T) {
	w := clientsWorld(t, 5, 0, 5000)
	a, b := w.members[1], w.members[2]
	w.attachTo(a, 11, 0)
	w.attachTo(a, 12, 0)
	w.run(50)
	id := a.clients[11].session
	w.attachTo(b, 21, id)
	w.run(50)
	w.do(b, reqOf(21, 3, wire.OpCreate, create("/later")))
	w.stop(2)
	w.run(50)
	w.stop(5) // the leader
	w.run(10)
	w.submit(a, reqOf(11, 2, wire.OpCreate, create("/before")))
	w.run(3000)
	if !strings.Contains(w.out.String(), "1: conn 11 dropped: its client has been elsewhere") || a.clients[12] == nil {
		t.Errorf("the old connection is not dropped, or the other one is:\n%s", w.out.String())
	}
	if got, err := a.tree.Read(wire.OpExists, new(znode.Reader), (&wire.WatchRequest{Path: "/before"}).Append(nil), nil); err == nil {
		t.Errorf("what was asked before /later is done behind it: %x", got)
	}
}

// A session whose upgrade came in a snapshot is no local one any more, and is not
// entered in the table a second time.
func TestUpgradeThatCameInASnapshot(t *testing.T) {
	w := clientsWorld(t, 3, 0, 5000)
	a := w.members[1]
	id := w.begin(a, 11)
	a.peer.cfg.LocalSessions = true
	a.peer.local.sessions[id] = &localSession{timeoutMs: 4000} // the transaction was never applied here
	w.stop(3)
	w.run(3000)
	if a.peer.local.sessions[id] != nil {
		t.Error("the session is local and global")
	}
}
