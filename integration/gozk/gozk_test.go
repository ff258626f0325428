package gozk

import (
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"zooid/integration/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// suite is a server and a client with a node of its own to work below.
type suite struct {
	*zk.Conn
	server *testenv.Server
	root   string
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

// connect opens a client, by way of addr, and waits until it has its session.
func connect(t *testing.T, addr string, timeout time.Duration) (*zk.Conn, <-chan zk.Event) {
	t.Helper()
	c, events, err := zk.Connect([]string{addr}, timeout, zk.WithLogger(quiet{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	awaitState(t, events, zk.StateHasSession)
	return c, events
}

func awaitState(t *testing.T, events <-chan zk.Event, want zk.State) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case e := <-events:
			if e.State == want {
				return
			}
		case <-limit:
			t.Fatalf("the client did not come to state %v", want)
		}
	}
}

func TestSuite(t *testing.T) {
	testenv.EachTarget(t, testenv.Config{}, func(t *testing.T, s *testenv.Server) {
		tests := []struct {
			name string
			run  func(t *testing.T, s *suite)
		}{
			{"create modes", testCreateModes},
			{"reads and writes", testReadsAndWrites},
			{"versions and errors", testErrors},
			{"watches", testWatches},
			{"multi", testMulti},
			{"ACL and auth", testACL},
			{"lock", testLock},
			{"ephemerals end with the session", testEphemerals},
			{"reattach", testReattach},
			{"expired session", testExpiredSession},
			{"reconfig refused", testReconfig},
			{"words", testWords},
			{"large data", testLargeData},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				c, _ := connect(t, s.Addr, 10*time.Second)
				root := testenv.Root("gozk")
				must(c.Create(root, nil, zk.FlagPersistent, open))(t)
				tt.run(t, &suite{Conn: c, server: s, root: root})
			})
		}
	})
}

var open = zk.WorldACL(zk.PermAll)

// must lets a call stand in one line: must(f())(t) is f's value or the end of
// the test.
func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: error %v, want %v", what, got, want)
	}
}

func testCreateModes(t *testing.T, s *suite) {
	if p := must(s.Create(s.root+"/p", []byte("x"), zk.FlagPersistent, open))(t); p != s.root+"/p" {
		t.Errorf("persistent: %s", p)
	}
	for i := range 3 {
		want := fmt.Sprintf("%s/s-%010d", s.root, i+1)
		if p := must(s.Create(s.root+"/s-", nil, zk.FlagSequence, open))(t); p != want {
			t.Errorf("sequential: %s, want %s", p, want)
		}
	}
	eph := must(s.Create(s.root+"/e-", nil, zk.FlagEphemeralSequential, open))(t)
	if _, st, err := s.Exists(eph); err != nil || st.EphemeralOwner != s.SessionID() {
		t.Errorf("ephemeral owner %x of session %x: %v", st.EphemeralOwner, s.SessionID(), err)
	}
	must(s.CreateContainer(s.root+"/c", nil, zk.FlagContainer, open))(t)
	must(s.CreateTTL(s.root+"/t", nil, zk.FlagTTL, open, time.Hour))(t)
	seq := must(s.CreateTTL(s.root+"/ts-", nil, zk.FlagPersistentSequentialWithTTL, open, time.Hour))(t)
	if !strings.HasPrefix(seq, s.root+"/ts-00000000") {
		t.Errorf("sequential with TTL: %s", seq)
	}
	for _, p := range []string{"/c", "/t"} {
		if _, st, err := s.Exists(s.root + p); err != nil || st.EphemeralOwner != 0 {
			t.Errorf("%s shows ephemeral owner %x: %v", p, st.EphemeralOwner, err)
		}
	}
	guarded := must(s.CreateProtectedEphemeralSequential(s.root+"/g-", nil, open))(t)
	if !strings.Contains(guarded, "/_c_") {
		t.Errorf("protected: %s", guarded)
	}
}

func testReadsAndWrites(t *testing.T, s *suite) {
	p := s.root + "/n"
	for _, data := range [][]byte{[]byte("one"), {}, {0, 0xff, 0x7f}} {
		must(s.Create(p, data, 0, open))(t)
		got, st, err := s.Get(p)
		if err != nil || string(got) != string(data) || int(st.DataLength) != len(data) || st.Version != 0 {
			t.Errorf("get after create: %q %+v %v", got, st, err)
		}
		st2 := must(s.Set(p, []byte("two"), 0))(t)
		if st2.Version != 1 || st2.Mzxid <= st.Mzxid || st2.Czxid != st.Czxid || st2.DataLength != 3 {
			t.Errorf("set: %+v after %+v", st2, st)
		}
		if err := s.Delete(p, 1); err != nil {
			t.Error(err)
		}
	}
	for _, n := range []string{"a", "b", "c"} {
		must(s.Create(s.root+"/"+n, nil, 0, open))(t)
	}
	names, st, err := s.Children(s.root)
	sort.Strings(names)
	if err != nil || strings.Join(names, "") != "abc" || st.NumChildren != 3 || st.Cversion != 9 {
		t.Errorf("children %v, %+v, %v", names, st, err)
	}
	if p := must(s.Sync(s.root))(t); p != s.root {
		t.Errorf("sync answers %s", p)
	}
}

func testErrors(t *testing.T, s *suite) {
	none := s.root + "/none"
	_, _, err := s.Get(none)
	wantErr(t, "get of a missing node", err, zk.ErrNoNode)
	_, _, err = s.Children(none)
	wantErr(t, "children of a missing node", err, zk.ErrNoNode)
	_, err = s.Set(none, nil, -1)
	wantErr(t, "set of a missing node", err, zk.ErrNoNode)
	wantErr(t, "delete of a missing node", s.Delete(none, -1), zk.ErrNoNode)
	_, err = s.Create(none+"/child", nil, 0, open)
	wantErr(t, "create below a missing node", err, zk.ErrNoNode)
	if ok, _, err := s.Exists(none); ok || err != nil {
		t.Errorf("exists of a missing node: %v, %v", ok, err)
	}
	p := must(s.Create(s.root+"/n", nil, 0, open))(t)
	_, err = s.Create(p, nil, 0, open)
	wantErr(t, "create of what exists", err, zk.ErrNodeExists)
	_, err = s.Set(p, nil, 7)
	wantErr(t, "set with a wrong version", err, zk.ErrBadVersion)
	wantErr(t, "delete with a wrong version", s.Delete(p, 7), zk.ErrBadVersion)
	wantErr(t, "delete with children", s.Delete(s.root, -1), zk.ErrNotEmpty)
	e := must(s.Create(s.root+"/e", nil, zk.FlagEphemeral, open))(t)
	_, err = s.Create(e+"/child", nil, 0, open)
	wantErr(t, "create below an ephemeral", err, zk.ErrNoChildrenForEphemerals)
	_, err = s.Create(s.root+"/acl", nil, 0, nil)
	wantErr(t, "create without an ACL", err, zk.ErrInvalidACL)
}

// awaitEvent reads one event from a watch.
func awaitEvent(t *testing.T, ch <-chan zk.Event, want zk.EventType, path string) {
	t.Helper()
	select {
	case e := <-ch:
		if e.Type != want || e.Path != path || e.Err != nil {
			t.Errorf("event %v %s (%v), want %v %s", e.Type, e.Path, e.Err, want, path)
		}
	case <-time.After(10 * time.Second):
		t.Errorf("no event %v %s", want, path)
	}
}

func testWatches(t *testing.T, s *suite) {
	other, _ := connect(t, s.server.Addr, 10*time.Second)
	p := s.root + "/w"
	_, _, created, err := s.ExistsW(p)
	must(0, err)(t)
	_, _, children, err := s.ChildrenW(s.root)
	must(0, err)(t)
	must(other.Create(p, nil, 0, open))(t)
	awaitEvent(t, created, zk.EventNodeCreated, p)
	awaitEvent(t, children, zk.EventNodeChildrenChanged, s.root)

	_, _, changed, err := s.GetW(p)
	must(0, err)(t)
	must(other.Set(p, []byte("1"), -1))(t)
	awaitEvent(t, changed, zk.EventNodeDataChanged, p)

	_, _, deleted, err := s.GetW(p)
	must(0, err)(t)
	_, _, below, err := s.ChildrenW(p)
	must(0, err)(t)
	must(0, other.Delete(p, -1))(t)
	awaitEvent(t, deleted, zk.EventNodeDeleted, p)
	awaitEvent(t, below, zk.EventNodeDeleted, p)
}

func testMulti(t *testing.T, s *suite) {
	p := s.root + "/m"
	res, err := s.Multi(
		&zk.CreateRequest{Path: p, Data: []byte("1"), Acl: open},
		&zk.CreateRequest{Path: p + "/s-", Acl: open, Flags: zk.FlagSequence},
		&zk.SetDataRequest{Path: p, Data: []byte("22"), Version: 0},
		&zk.CheckVersionRequest{Path: p, Version: 1},
		&zk.DeleteRequest{Path: p + "/s-0000000000", Version: -1},
	)
	if err != nil || len(res) != 5 || res[1].String != p+"/s-0000000000" || res[2].Stat.Version != 1 {
		t.Errorf("multi: %+v, %v", res, err)
	}
	res, err = s.Multi(
		&zk.SetDataRequest{Path: p, Data: []byte("333"), Version: -1},
		&zk.CheckVersionRequest{Path: p, Version: 77},
		&zk.DeleteRequest{Path: p, Version: -1},
	)
	wantErr(t, "failing multi", err, zk.ErrBadVersion)
	if len(res) != 3 || res[0].Error != nil || res[1].Error != zk.ErrBadVersion {
		t.Errorf("failing multi: %+v", res)
	}
	if data, _, err := s.Get(p); string(data) != "22" {
		t.Errorf("a failed multi left %q, %v", data, err)
	}
}

func testACL(t *testing.T, s *suite) {
	owner, _ := connect(t, s.server.Addr, 10*time.Second)
	must(0, owner.AddAuth("digest", []byte("bob:pw")))(t)
	p := must(owner.Create(s.root+"/mine", []byte("d"), 0, zk.AuthACL(zk.PermAll)))(t)
	want := zk.DigestACL(zk.PermAll, "bob", "pw")[0]
	acl, _, err := owner.GetACL(p)
	if err != nil || len(acl) != 1 || acl[0] != want {
		t.Errorf("getACL: %v, %v; want %v", acl, err, want)
	}
	_, _, err = s.Get(p)
	wantErr(t, "a stranger's get", err, zk.ErrNoAuth)
	_, err = s.Set(p, nil, -1)
	wantErr(t, "a stranger's set", err, zk.ErrNoAuth)
	_, err = s.SetACL(p, open, -1)
	wantErr(t, "a stranger's setACL", err, zk.ErrNoAuth)
	if st := must(owner.SetACL(p, append(zk.WorldACL(zk.PermRead), want), 0))(t); st.Aversion != 1 {
		t.Errorf("aversion %d after a setACL", st.Aversion)
	}
	if data, _, err := s.Get(p); string(data) != "d" {
		t.Errorf("get after READ was granted: %q, %v", data, err)
	}
	_, err = owner.SetACL(p, open, 0)
	wantErr(t, "setACL with an old aversion", err, zk.ErrBadVersion)
	_, err = s.Create(s.root+"/bad", nil, 0, []zk.ACL{{Perms: zk.PermAll, Scheme: "nobody", ID: "x"}})
	wantErr(t, "an ACL of an unknown scheme", err, zk.ErrInvalidACL)
	super, _ := connect(t, s.server.Addr, 10*time.Second)
	must(0, super.AddAuth("digest", []byte(testenv.SuperAuth)))(t)
	must(super.SetACL(p, zk.DigestACL(zk.PermRead, "carol", "pw"), -1))(t)
	must(super.Set(p, []byte("by super"), -1))(t)
}

func testLock(t *testing.T, s *suite) {
	const clients, rounds = 4, 5
	inside := make(chan struct{}, 1)
	done := make(chan error, clients)
	for range clients {
		c, _ := connect(t, s.server.Addr, 10*time.Second)
		go func() {
			done <- func() error {
				for range rounds {
					l := zk.NewLock(c, s.root+"/lock", open)
					if err := l.Lock(); err != nil {
						return err
					}
					select {
					case inside <- struct{}{}:
					default:
						return errors.New("two clients hold the lock")
					}
					<-inside
					if err := l.Unlock(); err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}
	for range clients {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func testEphemerals(t *testing.T, s *suite) {
	other, _ := connect(t, s.server.Addr, 10*time.Second)
	p := must(other.Create(s.root+"/e", nil, zk.FlagEphemeral, open))(t)
	ok, _, gone, err := s.ExistsW(p)
	if !ok || err != nil {
		t.Fatalf("the ephemeral is not there: %v", err)
	}
	other.Close()
	awaitEvent(t, gone, zk.EventNodeDeleted, p)
}

// testReattach cuts the connection: the library comes back to its session, says
// who it is, and sets its watches again, of which one has missed its change.
func testReattach(t *testing.T, s *suite) {
	proxy := testenv.StartProxy(t, s.server.Addr)
	c, events := connect(t, proxy.Addr, 15*time.Second)
	id := c.SessionID()
	must(0, c.AddAuth("digest", []byte("bob:pw")))(t)
	eph := must(c.Create(s.root+"/e", nil, zk.FlagEphemeral, open))(t)
	mine := must(c.Create(s.root+"/mine", nil, 0, zk.AuthACL(zk.PermAll)))(t)
	still := must(c.Create(s.root+"/still", nil, 0, open))(t)
	moved := must(c.Create(s.root+"/moved", nil, 0, open))(t)
	_, _, stillCh, err := c.GetW(still)
	must(0, err)(t)
	_, _, movedCh, err := c.GetW(moved)
	must(0, err)(t)
	_, _, createdCh, err := c.ExistsW(s.root + "/new")
	must(0, err)(t)
	_, _, childCh, err := c.ChildrenW(s.root)
	must(0, err)(t)

	proxy.Cut()
	awaitState(t, events, zk.StateDisconnected)
	must(s.Set(moved, []byte("x"), -1))(t)
	must(s.Create(s.root+"/new", nil, 0, open))(t)
	proxy.Heal()
	awaitState(t, events, zk.StateHasSession)
	if c.SessionID() != id {
		t.Errorf("session %x after the cut, %x before", c.SessionID(), id)
	}
	awaitEvent(t, movedCh, zk.EventNodeDataChanged, moved)
	awaitEvent(t, createdCh, zk.EventNodeCreated, s.root+"/new")
	awaitEvent(t, childCh, zk.EventNodeChildrenChanged, s.root)
	must(s.Set(still, []byte("x"), -1))(t)
	awaitEvent(t, stillCh, zk.EventNodeDataChanged, still)
	if _, st, err := c.Exists(eph); err != nil || st.EphemeralOwner != id {
		t.Errorf("the ephemeral after the cut: %+v, %v", st, err)
	}
	must(c.Set(mine, []byte("auth was sent again"), -1))(t)
}

// testExpiredSession stays away for longer than the session's timeout.
func testExpiredSession(t *testing.T, s *suite) {
	proxy := testenv.StartProxy(t, s.server.Addr)
	c, events := connect(t, proxy.Addr, 4*time.Second)
	id := c.SessionID()
	p := must(c.Create(s.root+"/e", nil, zk.FlagEphemeral, open))(t)
	_, _, gone, err := s.ExistsW(p)
	must(0, err)(t)
	proxy.Cut()
	awaitEvent(t, gone, zk.EventNodeDeleted, p)
	proxy.Heal()
	awaitState(t, events, zk.StateExpired)
	awaitState(t, events, zk.StateHasSession)
	if c.SessionID() == id {
		t.Error("the expired session came back")
	}
}

func testReconfig(t *testing.T, s *suite) {
	_, err := s.IncrementalReconfig([]string{"server.5=h:1:2;3"}, nil, -1)
	wantErr(t, "reconfig", err, zk.ErrReconfigDisabled)
	data, st, err := s.Get("/zookeeper/config")
	if err != nil || len(data) != 0 || st.Aversion != -1 {
		t.Errorf("/zookeeper/config: %q %+v %v", data, st, err)
	}
}

func testWords(t *testing.T, s *suite) {
	addrs := []string{s.server.Addr}
	if ok := zk.FLWRuok(addrs, 10*time.Second); !ok[0] {
		t.Error("ruok")
	}
	if s.server.Kind == testenv.KindJava {
		t.Log("FLWSrvr cannot read the build date of Java 3.9")
		return
	}
	stats, ok := zk.FLWSrvr(addrs, 10*time.Second)
	if !ok || stats[0].Mode != zk.ModeStandalone || stats[0].NodeCount < 5 || stats[0].Connections < 1 {
		t.Errorf("srvr: %+v", stats[0])
	}
}

func testLargeData(t *testing.T, s *suite) {
	big := strings.Repeat("zooid", 200_000) // 1,000,000 bytes
	p := must(s.Create(s.root+"/big", []byte("small"), 0, open))(t)
	must(s.Set(p, []byte(big), 0))(t)
	if got, _, err := s.Get(p); err != nil || string(got) != big {
		t.Errorf("got %d bytes back: %v", len(got), err)
	}
}
