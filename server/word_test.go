package server

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"zooid/auth"
	"zooid/fourletter"
	"zooid/wire"
)

// word asks a word, as `echo word | nc` does, and gives all that comes.
func (f *fixture) word(w string) string {
	f.t.Helper()
	c := f.dial()
	c.send([]byte(w))
	c.nc.SetReadDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(c.nc)
	if err != nil {
		f.t.Fatalf("%s: %v", w, err)
	}
	return string(b)
}

func TestWords(t *testing.T) {
	f := start(t)
	c := f.connect()
	c.must(1, wire.OpCreate, &wire.CreateRequest{Path: "/e", ACL: wire.OpenACL, Flags: wire.FlagEphemeral}, wire.OK)
	c.must(2, wire.OpGetData, watchOf("/e"), wire.OK)
	sid := c.id.String()
	addr := "/" + c.nc.LocalAddr().String()
	for _, w := range []struct{ word, want string }{
		{"ruok", "imok"},
		{"ruok\n", "imok"},
		{"isro", "rw"},
		{"gtmk", "306"},
		{"stmk\x00\x00\x00\x00\x00\x00\x00\x2a", "42"},
		{"gtmk", "42"},
		{"wchs", "1 connections watching 1 paths\nTotal watches:1\n"},
		{"wchc", sid + "\n\t/e\n\n"},
		{"wchp", "/e\n\t" + sid + "\n\n"},
		{"\xff\xf4\xff\xfd", ""},
	} {
		if got := f.word(w.word); got != w.want {
			t.Errorf("%q: got %q, want %q", w.word, got, w.want)
		}
	}
	for _, w := range []struct {
		word string
		want []string
	}{
		{"cons", []string{" " + addr + "[1](queued=0,recved=3,sent=3,sid=" + sid + ",lop=GETD,", ",to=10000,lcxid=0x2,lzxid=0x2,", "[0](queued=0,recved=1,sent=0)\n"}},
		{"stat", []string{"Clients:\n " + addr + "[1](queued=0,recved=3,sent=3)\n", "Connections: 2\n", "Zxid: 0x2\n", "Node count: 6\n"}},
		{"srvr", []string{"Mode: standalone\n", "Outstanding: 0\n", "Latency min/avg/max: 0/"}},
		{"dump", []string{"Sessions with Ephemerals (1):\n" + sid + ":\n\t/e\n", "Connections Sets (", "\tip: " + addr + " sessionId: " + sid + "\n"}},
		{"crst", []string{"Connection stats reset.\n"}},
		{"cons", []string{"(queued=0,recved=0,sent=0,sid=" + sid + ",lop=NA,"}},
		{"srst", []string{"Server stats reset.\n"}},
		{"srvr", []string{"Received: 1\n"}},
	} {
		got := f.word(w.word)
		for _, want := range w.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q is not in\n%s", w.word, want, got)
			}
		}
	}
	if f.host.resets != 1 {
		t.Errorf("the host's figures were reset %d times", f.host.resets)
	}
	// Words are words only at the beginning.
	c.send([]byte("ruok"))
	c.eof()
}

// TestWordsWaitForNoLock has somebody hold the tree's lock: the words that do not
// list something of the tree answer all the same.
func TestWordsWaitForNoLock(t *testing.T) {
	f := start(t)
	f.connect().must(1, wire.OpCreate, createOf("/a", ""), wire.OK)
	f.member.tree.Lock()
	defer f.member.tree.Unlock()
	for word, want := range map[string]string{
		"ruok": "imok", "isro": "rw", "srvr": "Zxid: 0x2\n", "stat": "Node count: 6\n", "mntr": "zk_znode_count\t6\n",
		"cons": "queued=0", "wchs": "Total watches:0\n", "conf": "clientPort=", "dirs": "datadir_size", "envi": "Environment:",
		"gtmk": "306", "hash": "", "crst": "reset", "srst": "reset",
	} {
		if got := f.word(word); !strings.Contains(got, want) {
			t.Errorf("%s: %q is not in\n%s", word, want, got)
		}
	}
}

// TestLongListsEnd has more ephemerals and watches than words list: the answer
// ends in good time, and says that it is not whole.
func TestLongListsEnd(t *testing.T) {
	f := start(t)
	c := f.connect()
	for i := range int32(wordEphemeralsMax + 1) {
		c.send(request(i, wire.OpCreate, &wire.CreateRequest{Path: fmt.Sprintf("/e%d", i), ACL: wire.OpenACL, Flags: wire.FlagEphemeral}))
		if h, _ := c.reply(); h.Err != wire.OK {
			t.Fatal(h.Err)
		}
	}
	path := "/" + strings.Repeat("x", 400_000)
	for i := range int32(wordListMax/400_000 + 1) {
		c.must(i, wire.OpExists, watchOf(fmt.Sprint(path, i)), wire.ErrNoNode)
	}
	for _, word := range []string{"dump", "wchc", "wchp"} {
		got := f.word(word)
		if !strings.HasSuffix(got, "(the lists above are not whole: they would be too long)\n") || len(got) > wordListMax+wordListMax/8 {
			t.Errorf("%s answers %d bytes that end in %q", word, len(got), got[max(0, len(got)-80):])
		}
	}
	if got := f.word("cons"); strings.Contains(got, "not whole") {
		t.Errorf("cons says that it is not whole: %s", got)
	}
}

// TestWordsByRole: the role is the Host's to tell; the tree and the door add
// their part.
func TestWordsByRole(t *testing.T) {
	f := start(t)
	c := f.connect()
	c.must(1, wire.OpCreate, &wire.CreateRequest{Path: "/e", ACL: wire.OpenACL, Flags: wire.FlagEphemeral}, wire.OK)
	for _, role := range []struct {
		status   fourletter.Status
		isro     string
		sessions string // what dump says of c's
		mntr     string
	}{
		{fourletter.Status{Mode: fourletter.ModeLeader, PeerState: "leading - broadcast",
			Leading: fourletter.Leading{ProposalSize: fourletter.Sizes{Last: 48, Min: 36, Max: 172}}}, "rw",
			"Session Sets (0)/(0):\n", "zk_server_state\tleader\nzk_peer_state\tleading - broadcast\n"},
		{fourletter.Status{Mode: fourletter.ModeFollower, PeerState: "following - broadcast"}, "rw",
			"Global Sessions(1):\n" + c.id.String() + "\t10000ms\n", "zk_server_state\tfollower\nzk_peer_state\tfollowing - broadcast\n"},
		{fourletter.Status{Mode: fourletter.ModeObserver, PeerState: "observing - broadcast", ObserverMaster: 3}, "rw",
			"Global Sessions(1):\n" + c.id.String() + "\t10000ms\n", "zk_peer_state\tobserving - broadcast\nzk_observer_master_id\t3\n"},
		{fourletter.Status{NotServing: "looking for a leader"}, "null", "", ""},
	} {
		name := role.status.Mode.String()
		f.host.status.Store(&role.status)
		if got := f.word("isro"); got != role.isro {
			t.Errorf("%s: isro %q", name, got)
		}
		if role.status.Mode == fourletter.ModeNotServing {
			for _, word := range []string{"srvr", "stat", "mntr", "cons", "conf", "dump", "dirs", "wchs", "srst", "crst"} {
				if got := f.word(word); got != notServingText {
					t.Errorf("%s: %s %q", name, word, got)
				}
			}
			c.must(3, wire.OpExists, pathOf("/e"), wire.OK) // clients are held all the same
			continue
		}
		for word, part := range map[string]string{"srvr": "\nMode: " + name + "\n", "mntr": role.mntr,
			"dump": "SessionTracker dump:\n" + role.sessions + "ephemeral nodes dump:\nSessions with Ephemerals (1):\n"} {
			if got := f.word(word); !strings.Contains(got, part) {
				t.Errorf("%s: %q is not in %s\n%s", name, part, word, got)
			}
		}
		if sizes := strings.HasSuffix(f.word("srvr"), "Proposal sizes last/min/max: 48/36/172\n"); sizes != (role.status.Mode == fourletter.ModeLeader) {
			t.Errorf("%s shows sizes of proposals: %v", name, sizes)
		}
	}
}

func TestWordsNotAllowed(t *testing.T) {
	f := start(t, func(o *Options) { o.Whitelist, _ = fourletter.ParseWhitelist("ruok", false) })
	for word, want := range map[string]string{
		"ruok":             "imok",
		"stat":             "stat is not executed because it is not in the whitelist.\n",
		"srst":             "srst is not executed because it is not in the whitelist.\n",
		"\xff\xf4\xff\xfd": "telnet close is not executed because it is not in the whitelist.\n",
		"icfg":             "", // not a word but the length of a frame beyond all bounds
	} {
		if got := f.word(word); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
	if f.host.resets != 0 {
		t.Error("a word that is not allowed had its effect")
	}
}

// The figures of srvr and mntr count every packet once.
func TestFigures(t *testing.T) {
	f := start(t)
	c := f.connect()
	for i := range int32(10) {
		c.must(i, wire.OpExists, pathOf("/"), wire.OK)
	}
	c.must(10, wire.OpSetData, &wire.SetDataRequest{Path: "/", Version: -1}, wire.OK)
	c.must(11, wire.OpExists, watchOf("/"), wire.OK)
	c.send(request(12, wire.OpSetData, &wire.SetDataRequest{Path: "/", Version: -1}))
	c.reply()
	c.reply()
	eventually(t, func() bool {
		st := f.srv.Status(0)
		return st.Received == 14 && st.Sent == 15 && st.Latency.Count == 13
	})
	st := f.srv.Status(0)
	if st.ResponseSize.Min != 20+68 || st.ResponseSize.Max != 20+68 || st.Connections != 1 || st.NonTLSLocal != 1 || st.Zxid != 3 {
		t.Errorf("got %+v", st)
	}
}

// nameCheck is a Metrics that knows which names and kinds ZooKeeper has.
type nameCheck struct{ t *testing.T }

func (n nameCheck) expect(name string, kind ...fourletter.Kind) {
	m, ok := fourletter.LookupMetric(name)
	if !ok || m.Set || !slices.Contains(kind, m.Kind) {
		n.t.Errorf("no such metric: %s", name)
	}
}

func (n nameCheck) Counter(name string) func(int64) {
	n.expect(name, fourletter.Counter)
	return func(int64) {}
}

func (n nameCheck) Summary(name string) func(int64) {
	n.expect(name, fourletter.Summary, fourletter.Advanced)
	return func(int64) {}
}

func (n nameCheck) Timer(name string) func(time.Duration) {
	n.expect(name, fourletter.Summary, fourletter.Advanced)
	return func(time.Duration) {}
}

func TestMetricNames(t *testing.T) {
	reg, _ := auth.New(auth.Options{})
	o := testOptions(reg)
	o.Metrics = nameCheck{t}
	New(o)
}
