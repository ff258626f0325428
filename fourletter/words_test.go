package fourletter

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"zooid/wire"
)

const javaVersion = "3.9.5-293c895a8d966a3ecb92872be4a1daf87d725da2, built on 2026-02-11 20:18 UTC"

var (
	addr1 = netip.MustParseAddrPort("127.0.0.1:50001")
	addr2 = netip.MustParseAddrPort("127.0.0.1:50002")
)

// recorded is a server whose answers were recorded (testdata/<name>), with a
// Status from which the same answers must come.
type recorded struct {
	name   string
	status Status
	// byWord changes the Status to what it was when the word was asked.
	byWord map[string]func(s *Status)
}

// clientsAtStat is what stat lists of the two connections of every recording:
// their figures had just been reset.
func clientsAtStat(s *Status) {
	s.Received, s.Sent = s.Received+1, s.Sent+1
	s.Clients = []Client{{Remote: addr1, Reading: s.Mode != ModeReadOnly}, {Remote: addr2, Received: 1}}
}

func recordings() []recorded {
	clock := func(hms string) time.Time {
		at, err := time.Parse("2006-01-02 15:04:05 MST", "2026-11-22 "+hms+" UTC")
		if err != nil {
			panic(err)
		}
		return at
	}
	// serving is what most recordings share: one session with an ephemeral and
	// two data watches, on the first connection, and the probe on the second.
	serving := func(mode Mode, id wire.SessionID, zxid wire.Zxid, nodes int64) Status {
		timeouts := []SessionTimeout{{id, 20000}}
		return Status{
			Version: javaVersion, Mode: mode, Zxid: zxid, NodeCount: nodes,
			Received: 1, Sent: 1, Connections: 2, TraceMask: DefaultTraceMask,
			Leading:    Leading{ProposalSize: Sizes{-1, -1, -1}},
			Ephemerals: []SessionPaths{{id, []string{"/v4-" + mode.String() + "/eph"}}},
			Sessions:   Sessions{Global: []SessionExpiry{{clock("14:35:10"), []wire.SessionID{id}}}, Timeouts: timeouts},
			Idle: []ClientExpiry{
				{clock("14:35:06"), []ClientName{{addr1, 0}}},
				{clock("14:35:16"), []ClientName{{addr2, id}}},
			},
			Watches:     []SessionPaths{{id, []string{"/v4-missing", "/zookeeper"}}},
			WatchTotals: WatchTotals{1, 2, 2},
		}
	}
	client := func(id wire.SessionID, estMs int64, zxid wire.Zxid, lrespMs, llatMs, avgMs, maxMs int64) []Client {
		ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
		return []Client{
			{Remote: addr1, Reading: true, Received: 9, Sent: 9, Session: id, LastOp: "GETD", Established: time.UnixMilli(estMs),
				TimeoutMs: 20000, LastCxid: 8, LastZxid: zxid, LastReply: ms(lrespMs), LastLatency: ms(llatMs),
				Latency: Latency{Max: ms(maxMs), Sum: ms(avgMs * 9), Count: 9}},
			{Remote: addr2, Received: 1},
		}
	}
	config := func(port int, id wire.SID, member *MemberConfig) Config {
		return Config{ClientPort: port, SecureClientPort: -1, DataDir: "/zk/data/version-2", LogDir: "/zk/log/version-2",
			TickTimeMs: 2000, MaxClientCnxns: 60, MinSessionTimeoutMs: 4000, MaxSessionTimeoutMs: 40000,
			ClientPortListenBacklog: -1, ServerID: id, Member: member}
	}
	member := func(n int, observer bool) *MemberConfig {
		return &MemberConfig{InitLimit: 10, SyncLimit: 5, ElectionPorts: []int{32900 + n}, QuorumPorts: []int{32800 + n},
			Observer: observer, Membership: "server.1=127.0.0.1:32801:32901:participant;127.0.0.1:32191\n" +
				"server.2=127.0.0.1:32802:32902:participant;127.0.0.1:32192\n" +
				"server.3=127.0.0.1:32803:32903:participant;127.0.0.1:32193\n" +
				"server.4=127.0.0.1:32804:32904:observer;127.0.0.1:32194\nversion=100000000"}
	}
	stat := map[string]func(*Status){"stat": clientsAtStat}

	standalone := serving(ModeStandalone, 0x100000cd9d80009, 0xee, 7)
	standalone.Clients = client(0x100000cd9d80009, 1795358088850, 0xee, 1252163, 0, 0, 2)
	standalone.Config = config(32181, 0, nil)
	standalone.DataDirSize, standalone.LogDirSize = 478, 67108880
	standalone.Digests = []Digest{{0x80, 10365551532}}

	leader := serving(ModeLeader, 0x300000e0b640000, 0x100000006, 7)
	leader.Clients = client(0x300000e0b640000, 1795358089207, 0x100000006, 1252582, 1, 4, 13)
	leader.Config = config(32193, 3, member(3, false))
	leader.DataDirSize, leader.LogDirSize = 722, 67108880

	follower := serving(ModeFollower, 0x100000e0b970000, 0x10000000d, 8)
	follower.Clients = client(0x100000e0b970000, 1795358089676, 0x10000000d, 1253044, 2, 5, 8)
	follower.Config = config(32191, 1, member(1, false))
	follower.DataDirSize, follower.LogDirSize = 1442, 67108880

	observer := serving(ModeObserver, 0x400000e0b910000, 0x100000014, 9)
	observer.Clients = client(0x400000e0b910000, 1795358090124, 0x100000014, 1253498, 1, 5, 14)
	observer.Config = config(32194, 4, member(4, true))
	observer.DataDirSize, observer.LogDirSize = 722, 67108880

	readonly := serving(ModeReadOnly, 0x100001513b90000, 0x100000229, 12)
	readonly.Outstanding = 1
	readonly.Clients = []Client{{Remote: addr1, Received: 1}, {Remote: addr2, Received: 1, Sent: 1, Session: 0x100001513b90000,
		LastOp: "null", Established: time.UnixMilli(1795358260817), TimeoutMs: 20000}}
	readonly.Config = config(32191, 1, member(1, false))
	readonly.DataDirSize, readonly.LogDirSize = 1442, 67108880
	readonly.Sessions, readonly.Ephemerals, readonly.Watches, readonly.WatchTotals = Sessions{}, nil, nil, WatchTotals{}
	readonly.Idle[0].At, readonly.Idle[1].At = clock("14:37:56"), clock("14:38:06")
	for i, d := range []uint64{54007317022, 51253868692, 41342631476, 76118092001} {
		readonly.Digests = append(readonly.Digests, Digest{wire.Zxid(0x100000080 + i*0x80), d})
	}

	local := serving(ModeReadOnly, 0x1000020bac90001, 0x400000006, 28)
	local.Received, local.Sent, local.Outstanding = 30, 30, 8
	local.Latency = Latency{Max: 3 * time.Millisecond, Sum: 13 * time.Millisecond, Count: 12}
	local.Clients = []Client{{Remote: addr1, Received: 1}, {Remote: addr2, Reading: true, Received: 2, Sent: 2,
		Session: 0x1000020bac90001, LastOp: "EXIS", Established: time.UnixMilli(1795358992692), TimeoutMs: 20000,
		LastCxid: 1, LastZxid: 0x400000006, LastReply: 2155996 * time.Millisecond}}
	local.Config = config(32191, 1, member(1, false))
	local.DataDirSize, local.LogDirSize = 1442, 268435520
	local.Sessions = Sessions{LocalEnabled: true, Local: []SessionExpiry{{clock("14:50:12"), []wire.SessionID{0x1000020bac90001}}},
		Timeouts: []SessionTimeout{{0x100002085920001, 20000}}}
	local.Ephemerals = []SessionPaths{{0x100002085920001, []string{"/ls/e"}}}
	local.Idle = []ClientExpiry{{At: clock("14:49:56")},
		{clock("14:50:06"), []ClientName{{addr1, 0}}}, {clock("14:50:16"), []ClientName{{addr2, 0x1000020bac90001}}}}
	local.Watches = []SessionPaths{{0x1000020bac90001, []string{"/nope"}}}
	local.WatchTotals = WatchTotals{1, 1, 1}
	localStat := map[string]func(*Status){"stat": func(s *Status) { s.Received, s.Sent = 31, 31 }}

	return []recorded{
		{"standalone", standalone, stat}, {"leader", leader, stat}, {"follower", follower, stat}, {"observer", observer, stat},
		{"readonly", readonly, stat}, {"readonly-localsessions", local, localStat},
		{"notserving", Status{Version: javaVersion, TraceMask: DefaultTraceMask}, nil},
	}
}

// TestRecorded compares every word's text with what a ZooKeeper server in the
// same state answered, byte for byte. mntr, whose order ZooKeeper leaves open,
// has a test of its own.
func TestRecorded(t *testing.T) {
	for _, server := range recordings() {
		files, err := filepath.Glob(filepath.Join("testdata", server.name, "*.txt"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no recordings of %s: %v", server.name, err)
		}
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".txt")
			if name == "mntr-default-provider" {
				continue
			}
			t.Run(server.name+"/"+name, func(t *testing.T) {
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				status := server.status
				if change := server.byWord[name]; change != nil {
					change(&status)
				}
				word, arg := name, []byte("\n")
				switch name {
				case "envi":
					status.Environment = environmentOf(t, string(want))
				case "stmk":
					arg = []byte{0, 0, 0, 0, 0, 0, 1, 0xa4}
				case "telnet-close":
					word = telnetClose
				}
				got := Answer(word, arg, &status)
				if diff := cmp.Diff(string(want), string(got)); diff != "" {
					t.Errorf("(-recorded +ours)\n%s", diff)
				}
			})
		}
	}
}

// environmentOf reads the values of a recorded envi, to be put in order again.
func environmentOf(t *testing.T, text string) map[string]string {
	t.Helper()
	env := make(map[string]string)
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok && key != "zookeeper.version" {
			env[key] = value
		}
	}
	if len(env) != len(EnvironmentKeys()) {
		t.Fatalf("the recording has %d keys, we have %d", len(env), len(EnvironmentKeys()))
	}
	return env
}

// TestNeeds fills in only what Needs asks for and demands the same text as with
// everything filled in.
func TestNeeds(t *testing.T) {
	clear := map[Part]func(s *Status){
		PartConfig:      func(s *Status) { s.Config = Config{} },
		PartDirs:        func(s *Status) { s.DataDirSize, s.LogDirSize = 0, 0 },
		PartClients:     func(s *Status) { s.Clients = nil },
		PartSessions:    func(s *Status) { s.Sessions = Sessions{} },
		PartEphemerals:  func(s *Status) { s.Ephemerals = nil },
		PartIdle:        func(s *Status) { s.Idle = nil },
		PartWatches:     func(s *Status) { s.Watches = nil },
		PartWatchTotals: func(s *Status) { s.WatchTotals = WatchTotals{} },
		PartDigests:     func(s *Status) { s.Digests = nil },
		PartEnvironment: func(s *Status) { s.Environment = nil },
		PartMetrics:     func(s *Status) { s.Quotas, s.Instruments = nil, nil },
	}
	full := recordings()[0].status
	full.Environment = map[string]string{"host.name": "here"}
	full.Quotas = []Quota{{Namespace: "q"}}
	for _, word := range Words() {
		want := string(Answer(word, nil, &full))
		needs := Needs(word)
		for part, drop := range clear {
			s := full
			drop(&s)
			same := string(Answer(word, nil, &s)) == want
			if needed := needs&part != 0; needed == same {
				t.Errorf("%s: Needs has part %b: %v, but without it the text is the same: %v", word, part, needed, same)
			}
		}
	}
}

func TestKnown(t *testing.T) {
	want := []string{"conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro", "mntr", "ruok", "srst", "srvr", "stat", "stmk", "wchc", "wchp", "wchs"}
	if diff := cmp.Diff(want, Words()); diff != "" {
		t.Error(diff)
	}
	for _, word := range append(want, telnetClose) {
		if !Known(word) {
			t.Errorf("%q is not known", word)
		}
	}
	// Commands of the AdminServer, and what a frame begins with.
	for _, word := range []string{"icfg", "lsnp", "orst", "obsr", "sysp", "lead", "RUOK", "ruo", "", "\x00\x00\x00\x2d"} {
		if Known(word) || Answer(word, nil, &Status{}) != nil || Needs(word) != 0 {
			t.Errorf("%q is known", word)
		}
	}
}

func TestTraceMask(t *testing.T) {
	if got := Answer("stmk", []byte{1, 2, 3}, &Status{TraceMask: 306}); len(got) != 0 {
		t.Errorf("stmk without a mask: %q", got)
	}
	if mask, ok := TraceMask([]byte("\xff\xff\xff\xff\xff\xff\xff\xfe\n")); !ok || mask != -2 {
		t.Errorf("mask %d %v", mask, ok)
	}
	if got := string(Answer("gtmk", nil, &Status{TraceMask: -2})); got != "-2" {
		t.Errorf("gtmk: %q", got)
	}
}

func TestDiskFull(t *testing.T) {
	s := Status{Mode: ModeStandalone, DiskFull: true}
	if got := string(Answer("ruok", nil, &s)); got != "imok" {
		t.Errorf("ruok on a full disk: %q", got)
	}
	if got := string(Answer("mntr", nil, &s)); !strings.Contains(got, "zk_zooid_disk_full\t1\n") {
		t.Error("mntr does not tell of a full disk")
	}
}

// TestConsAfterReset checks the fields that only differ from 0 after crst, as
// ZooKeeper 3.9's ServerCnxn has them: no lcxid, and a zxid of -1.
func TestConsAfterReset(t *testing.T) {
	s := Status{Mode: ModeStandalone, Clients: []Client{{
		Remote: netip.MustParseAddrPort("[fe80::1%eth0]:7"), Reading: true, Session: -1, LastOp: "NA",
		Established: time.UnixMilli(5), TimeoutMs: 4000, LastCxid: -1, LastZxid: -1,
	}}}
	want := " /[fe80:0:0:0:0:0:0:1%eth0]:7[1](queued=0,recved=0,sent=0,sid=0xffffffffffffffff,lop=NA,est=5,to=4000," +
		"lzxid=0xffffffffffffffff,lresp=0,llat=0,minlat=0,avglat=0,maxlat=0)\n\n"
	if got := string(Answer("cons", nil, &s)); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestLocalSessionsOnLeader has the one form of dump that is not recorded.
func TestLocalSessionsOnLeader(t *testing.T) {
	s := Status{Mode: ModeLeader, Sessions: Sessions{LocalEnabled: true}}
	want := "SessionTracker dump:\nLocal Session Sets (0)/(0):\nGlobal Session Sets (0)/(0):\n" +
		"ephemeral nodes dump:\nSessions with Ephemerals (0):\nConnections dump:\nConnections Sets (0)/(0):\n"
	if got := string(Answer("dump", nil, &s)); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestWhitelist(t *testing.T) {
	tests := []struct {
		list     string
		readOnly bool
		allowed  string // of the words below
		unknown  []string
	}{
		{"", false, "srvr", nil},
		{"", true, "isro srvr", nil},
		{"ruok, mntr", false, "mntr ruok srvr", nil},
		{" ruok ,,ruok", false, "ruok srvr", nil},
		{"*", false, "isro mntr ruok srvr telnet close", nil},
		{"ruok,*", false, "isro mntr ruok srvr telnet close", nil},
		{"telnet close", false, "srvr telnet close", nil},
		{"RUOK,icfg,ruok", false, "ruok srvr", []string{"RUOK", "icfg"}},
	}
	for _, test := range tests {
		w, unknown := ParseWhitelist(test.list, test.readOnly)
		var allowed []string
		for _, word := range []string{"isro", "mntr", "ruok", "srvr", telnetClose, "icfg"} {
			if w.Allows(word) {
				allowed = append(allowed, displayName(word))
			}
		}
		if got := strings.Join(allowed, " "); got != test.allowed {
			t.Errorf("%q %v: allowed %q, want %q", test.list, test.readOnly, got, test.allowed)
		}
		if diff := cmp.Diff(test.unknown, unknown); diff != "" {
			t.Errorf("%q: unknown %s", test.list, diff)
		}
	}
	if got := string(Refusal("ruok")); got != "ruok is not executed because it is not in the whitelist.\n" {
		t.Errorf("%q", got)
	}
	if got := string(Refusal(telnetClose)); got != "telnet close is not executed because it is not in the whitelist.\n" {
		t.Errorf("%q", got)
	}
}
