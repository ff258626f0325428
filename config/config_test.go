package config

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files; read the difference before accepting it")

// base is the shortest zoo.cfg that is complete.
const base = "dataDir=/data\nclientPort=2181\n"

func parse(t *testing.T, extra string) *Config {
	t.Helper()
	c, err := Parse([]byte(base+extra), "zoo.cfg", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// golden compares with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	name = "testdata/" + name
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test ./config -update rewrites it). Got:\n%s", name, got)
	}
}

func TestDefault(t *testing.T) {
	c := Default()
	if err := c.Identify(nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Complete(); err != nil {
		t.Error(err)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("warnings for what nobody asked: %q", c.Warnings)
	}
	c.settings = nil
	want := &Config{
		Source: "built-in defaults",
		Storage: Storage{DataDir: "./zooid-data", LogDir: "./zooid-data", AutoCreate: true, PreallocBytes: 64 << 20,
			SnapTxns: 100000, SnapBytes: 4 << 30, FsyncWarn: time.Second, PurgeInterval: time.Hour, SnapRetain: 3, LogBudgetBytes: 1 << 30},
		Clients:  Clients{Addr: Addr{"", 2181}, Backlog: -1, MaxPerIP: 60, MaxFrameBytes: 1048575, SessionlessTimeout: 10 * time.Second},
		Sessions: Sessions{Tick: 2 * time.Second, TimeoutMin: 4 * time.Second, TimeoutMax: 40 * time.Second},
		Throttle: Throttle{OutstandingMax: 1000, LargeBytesMax: 100 << 20, LargeThreshold: -1, ConnFillTime: time.Millisecond, ConnFillCount: 1},
		Admin:    Admin{Enabled: true, Addr: Addr{"0.0.0.0", 8080}, CommandURL: "/commands", IdleTimeout: 30 * time.Second},
		Metrics:  Metrics{Addr: Addr{"0.0.0.0", 7000}},
		Auth:     Auth{DigestAlgorithm: "SHA1"},
		Tree:     Tree{ExtendedTypes: true, ReapInterval: time.Minute, ReapPerMinute: 10000},
		Ensemble: Ensemble{SID: UnsetSID, StandaloneEnabled: true, Members: &Membership{},
			NotifyMin: 200 * time.Millisecond, NotifyMax: time.Minute, EpochWait: -time.Millisecond,
			ElectionDial: 5 * time.Second, ElectionGreet: -time.Millisecond, BindTries: 3},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

// keyEffects sets every key that has a field, and looks at the field.
var keyEffects = []struct {
	line string
	got  func(*Config) any
	want any
}{
	{"dataDir=/elsewhere", func(c *Config) any { return c.Storage.DataDir + " " + c.Storage.LogDir }, "/elsewhere /elsewhere"},
	{"dataLogDir=/log", func(c *Config) any { return c.Storage.DataDir + " " + c.Storage.LogDir }, "/data /log"},
	{"clientPort=1", func(c *Config) any { return c.Clients.Addr.Listen() }, ":1"},
	{"clientPortAddress=10.0.0.1", func(c *Config) any { return c.Clients.Addr.Listen() }, "10.0.0.1:2181"},
	{"clientPortAddress=0.0.0.0", func(c *Config) any { return c.Clients.Addr.Listen() }, ":2181"},
	{"clientPortAddress=::", func(c *Config) any { return c.Clients.Addr.Listen() }, ":2181"},
	{"clientPortAddress=[::1]", func(c *Config) any { return c.Clients.Addr.Listen() }, "[0:0:0:0:0:0:0:1]:2181"},
	{"clientPortAddress=a.example", func(c *Config) any { return c.Clients.Addr.Listen() }, "a.example:2181"},
	{"clientPortListenBacklog=50", func(c *Config) any { return c.Clients.Backlog }, 50},
	{"maxClientCnxns=0", func(c *Config) any { return c.Clients.MaxPerIP }, 0},
	{"maxCnxns=5", func(c *Config) any { return c.Clients.MaxTotal }, 5},
	{"jute.maxbuffer=4194304", func(c *Config) any { return c.Clients.MaxFrameBytes }, 4 << 20},
	{"jute.maxbuffer=0x400000", func(c *Config) any { return c.Clients.MaxFrameBytes }, 4 << 20},
	{"clientTcpKeepAlive=true", func(c *Config) any { return c.Clients.KeepAlive }, true},
	{"nio.sessionlessCnxnTimeout=500", func(c *Config) any { return c.Clients.SessionlessTimeout }, 500 * time.Millisecond},
	{"4lw.commands.whitelist=stat, ruok", func(c *Config) any { return c.Clients.FourLetterWhitelist }, "stat, ruok"},
	{"snapshot.trust.empty=true", func(c *Config) any { return c.Storage.TrustEmpty }, true},
	{"readonlymode.enabled=true", func(c *Config) any { return c.Clients.ReadOnlyMode }, true},
	{"tickTime=500", func(c *Config) any { return c.Sessions }, Sessions{500 * time.Millisecond, time.Second, 10 * time.Second}},
	{"minSessionTimeout=7000", func(c *Config) any { return c.Sessions.TimeoutMin }, 7 * time.Second},
	{"minSessionTimeout=0", func(c *Config) any { return c.Sessions.TimeoutMin }, time.Duration(0)},
	{"maxSessionTimeout=70000", func(c *Config) any { return c.Sessions.TimeoutMax }, 70 * time.Second},
	{"admin.enableServer=FALSE", func(c *Config) any { return c.Admin.Enabled }, false},
	{"admin.enableServer=no", func(c *Config) any { return c.Admin.Enabled }, true},
	{"admin.serverAddress=127.0.0.1", func(c *Config) any { return c.Admin.Addr.Listen() }, "127.0.0.1:8080"},
	{"admin.serverPort=9090", func(c *Config) any { return c.Admin.Addr.Listen() }, ":9090"},
	{"admin.commandURL=/zk", func(c *Config) any { return c.Admin.CommandURL }, "/zk"},
	{"admin.idleTimeout=1", func(c *Config) any { return c.Admin.IdleTimeout }, time.Millisecond},
	{"metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider", func(c *Config) any { return c.Metrics.Prometheus }, true},
	{"metricsProvider.className=org.apache.zookeeper.metrics.impl.NullMetricsProvider", func(c *Config) any { return c.Metrics.Prometheus }, false},
	{"metricsProvider.httpHost=127.0.0.1\nmetricsProvider.httpPort=7001", func(c *Config) any { return c.Metrics.Addr.Listen() }, "127.0.0.1:7001"},
	{"autopurge.purgeInterval=0", func(c *Config) any { return fmt.Sprint(c.Storage.PurgeInterval, c.Storage.LogBudgetBytes) }, "0s 0"},
	{"autopurge.purgeInterval=-1", func(c *Config) any { return c.Storage.PurgeInterval }, time.Duration(0)},
	{"autopurge.purgeInterval=24", func(c *Config) any { return fmt.Sprint(c.Storage.PurgeInterval, c.Storage.LogBudgetBytes) }, "24h0m0s 1073741824"},
	{"autopurge.snapRetainCount=7", func(c *Config) any { return c.Storage.SnapRetain }, 7},
	{"snapCount=10", func(c *Config) any { return c.Storage.SnapTxns }, int64(10)},
	{"snapCount=1", func(c *Config) any { return c.Storage.SnapTxns }, int64(2)},
	{"snapSizeLimitInKb=-1", func(c *Config) any { return c.Storage.SnapBytes }, int64(0)},
	{"txnLogSizeLimitInKb=100", func(c *Config) any { return c.Storage.RollBytes }, int64(102400)},
	{"preAllocSize=64", func(c *Config) any { return c.Storage.PreallocBytes }, int64(65536)},
	{"forceSync=no", func(c *Config) any { return c.Storage.NoSync }, true},
	{"forceSync=yes", func(c *Config) any { return c.Storage.NoSync }, false},
	{"fsync.warningthresholdms=20", func(c *Config) any { return c.Storage.FsyncWarn }, 20 * time.Millisecond},
	{"datadir.autocreate=false", func(c *Config) any { return c.Storage.AutoCreate }, false},
	{"globalOutstandingLimit=1", func(c *Config) any { return c.Throttle.OutstandingMax }, 1},
	{"request_throttle_max_requests=2", func(c *Config) any { return c.Throttle.RequestsMax }, 2},
	{"throttled_op_wait_time=3", func(c *Config) any { return c.Throttle.OpWait }, 3 * time.Millisecond},
	{"largeRequestMaxBytes=4", func(c *Config) any { return c.Throttle.LargeBytesMax }, int64(4)},
	{"largeRequestThreshold=5", func(c *Config) any { return c.Throttle.LargeThreshold }, 5},
	{"connection_throttle_tokens=6", func(c *Config) any { return c.Throttle.ConnTokens }, 6},
	{"connection_throttle_fill_time=7", func(c *Config) any { return c.Throttle.ConnFillTime }, 7 * time.Millisecond},
	{"connection_throttle_fill_count=8", func(c *Config) any { return c.Throttle.ConnFillCount }, 8},
	{"emulate353TTLNodes=true", func(c *Config) any { return c.Tree.Emulate353 }, true},
	{"clientPortAddress=", func(c *Config) any { return fmt.Sprintf("%s %s", c.Clients.Addr.Listen(), c.Warnings) },
		":2181 [zoo.cfg:3: clientPortAddress: it is empty, so it means all addresses of this machine]"},
	{"extendedTypesEnabled=false", func(c *Config) any { return c.Tree.ExtendedTypes }, false},
	{"enforceQuota=true", func(c *Config) any { return c.Tree.EnforceQuota }, true},
	{"skipACL=yes", func(c *Config) any { return c.Tree.SkipACL }, true},
	{"skipACL=true", func(c *Config) any { return c.Tree.SkipACL }, false},
	{"reconfigEnabled=True", func(c *Config) any { return c.Tree.ReconfigEnabled }, true},
	{"digest.enabled=false", func(c *Config) any { return c.Tree.NoDigest }, true},
	{"znode.container.checkIntervalMs=1000", func(c *Config) any { return c.Tree.ReapInterval }, time.Second},
	{"znode.container.maxPerMinute=9", func(c *Config) any { return c.Tree.ReapPerMinute }, 9},
	{"znode.container.maxNeverUsedIntervalMs=10", func(c *Config) any { return c.Tree.ReapNeverUsedAfter }, 10 * time.Millisecond},
	{"DigestAuthenticationProvider.superDigest=super:x=", func(c *Config) any { return c.Auth.SuperDigest }, "super:x="},
	{"DigestAuthenticationProvider.enabled=false", func(c *Config) any { return c.Auth.DigestDisabled }, true},
	{"DigestAuthenticationProvider.digestAlg=sha3-256", func(c *Config) any { return c.Auth.DigestAlgorithm }, "SHA3-256"},
	{"enforce.auth.enabled=true\nenforce.auth.schemes=digest, ip", func(c *Config) any { return fmt.Sprint(c.Auth.Enforce, c.Auth.EnforceSchemes) }, "true [digest ip]"},
	{"authProvider.1=org.apache.zookeeper.server.auth.DigestAuthenticationProvider", func(c *Config) any { return len(c.Warnings) }, 0},
	{"initLimit=1\nsyncLimit=2\nconnectToLearnerMasterLimit=3", func(c *Config) any {
		return []int{c.Ensemble.InitLimitTicks, c.Ensemble.SyncLimitTicks, c.Ensemble.ConnectLimitTicks}
	}, []int{1, 2, 3}},
	{"peerType=Observer", func(c *Config) any { return c.Ensemble.Observer }, true},
	{"quorumListenOnAllIPs=true", func(c *Config) any { return c.Ensemble.ListenOnAllIPs }, true},
	{"tcpKeepAlive=true", func(c *Config) any { return c.Ensemble.KeepAlive }, true},
	{"cnxTimeout=700", func(c *Config) any { return c.Ensemble.ElectionDial }, 700 * time.Millisecond},
	{"quorumCnxnTimeoutMs=800", func(c *Config) any { return c.Ensemble.ElectionGreet }, 800 * time.Millisecond},
	{"electionPortBindRetry=0", func(c *Config) any { return c.Ensemble.BindTries }, 0},
	{"electionPortBindRetry=9", func(c *Config) any { return c.Ensemble.BindTries }, 9},
	{"fastleader.minNotificationInterval=50\nfastleader.maxNotificationInterval=900", func(c *Config) any {
		return []time.Duration{c.Ensemble.NotifyMin, c.Ensemble.NotifyMax}
	}, []time.Duration{50 * time.Millisecond, 900 * time.Millisecond}},
	{"fastleader.maxNotificationInterval=100", func(c *Config) any {
		return fmt.Sprint(c.Ensemble.NotifyMin, c.Ensemble.NotifyMax, len(c.Warnings))
	}, "200ms 200ms 1"},
	{"leader.maxTimeToWaitForEpoch=0", func(c *Config) any { return c.Ensemble.EpochWait }, time.Duration(0)},
	{"leader.maxTimeToWaitForEpoch=-5", func(c *Config) any { return c.Ensemble.EpochWait < 0 }, true},
	{"jute.maxbuffer.extrasize=4096", func(c *Config) any { return c.Ensemble.ExtraBytes }, 4096},
	{"jute.maxbuffer.extrasize=-1", func(c *Config) any { return c.Ensemble.ExtraBytes }, 1024},
	{"localSessionsEnabled=true\nlocalSessionsUpgradingEnabled=true", func(c *Config) any {
		return []bool{c.Ensemble.LocalSessions, c.Ensemble.LocalSessionsUpgrading}
	}, []bool{true, true}},
}

func TestKeysTakeEffect(t *testing.T) {
	tried := map[string]bool{}
	for _, test := range keyEffects {
		t.Run(test.line, func(t *testing.T) {
			if got := test.got(parse(t, test.line)); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
		for line := range strings.SplitSeq(test.line, "\n") {
			name, _, _ := strings.Cut(line, "=")
			tried[lookup(name).name] = true
		}
	}
	for _, name := range []string{"standaloneEnabled", "dynamicConfigFile", "multiAddress.enabled"} {
		tried[name] = true // in membership_test.go
	}
	for i := range keys {
		if k := &keys[i]; (k.effect == served || k.effect == ensemble) && !tried[k.name] {
			t.Errorf("%s takes effect, and no case here shows it", k.name)
		}
	}
}

// TestKeysRefused gives every refused key its switched-on value.
func TestKeysRefused(t *testing.T) {
	for i := range keys {
		k := &keys[i]
		if k.effect != refused {
			continue
		}
		name := k.name
		if strings.HasSuffix(name, ".") {
			name += "x"
		}
		value := "true"
		if k.def == "" || k.def == "0" {
			value = "1234"
		}
		_, err := Parse([]byte(base+name+"="+value), "zoo.cfg", nil, nil)
		if want := "zoo.cfg:3: " + name + ": " + k.why; err == nil || err.Error() != want {
			t.Errorf("%s=%s: %v, want %q", name, value, err, want)
		}
		if k.def == "" {
			continue
		}
		if c := parse(t, name+"="+strings.ToUpper(k.def)); len(c.Warnings) > 0 {
			t.Errorf("%s=%s is what happens anyway, and still %q", name, k.def, c.Warnings)
		}
	}
}

// TestKeysWithoutEffect wants one warning for each, and none for the value that
// it has anyway.
func TestKeysWithoutEffect(t *testing.T) {
	for i := range keys {
		k := &keys[i]
		if k.effect != inert {
			continue
		}
		name := k.name
		if strings.HasSuffix(name, ".") {
			name += "x"
		}
		value := "77"
		if sameValue(k.def, "false") || sameValue(k.def, "true") {
			value = map[string]string{"false": "true", "true": "false"}[k.def]
		}
		c := parse(t, name+"="+value)
		if want := []string{"zoo.cfg:3: " + name + ": no effect: " + k.why}; !slices.Equal(c.Warnings, want) {
			t.Errorf("%s=%s: warnings %q, want %q", name, value, c.Warnings, want)
		}
		if k.def != "" {
			if c := parse(t, name+"="+k.def); len(c.Warnings) > 0 {
				t.Errorf("%s=%s: %q", name, k.def, c.Warnings)
			}
		}
	}
}

// TestTable holds the table of keys to a list of all keys of ZooKeeper 3.9, and
// shows it whole, so that a change of what happens to a key is seen as such.
func TestTable(t *testing.T) {
	var b strings.Builder
	names := map[string]bool{}
	for i := range keys {
		k := &keys[i]
		if names[k.name] {
			t.Errorf("%s has two rows", k.name)
		}
		names[k.name] = true
		if (k.why != "") != (k.effect == inert || k.effect == refused) {
			t.Errorf("%s: a reason stands beside each key that is inert or refused, and beside no other", k.name)
		}
		if (k.effect == served || k.effect == ensemble) && k.set == nil {
			t.Errorf("%s: nothing takes its value", k.name)
		}
		where := map[place]string{inFile: "zoo.cfg", inProperty: "zoo.cfg, -Dzookeeper.", inBare: "-D, zoo.cfg"}[k.place]
		fmt.Fprintf(&b, "%s | %s | %s | %s | %s\n", k.name, where, k.def, k.effect, k.why)
	}
	golden(t, "keys.golden", b.String())

	forEachLine(t, "testdata/zookeeper-3.9-keys.txt", func(line []byte) {
		if name := strings.TrimSpace(string(line)); lookup(name) == nil && !isMembershipKey(name) {
			t.Errorf("%s is a key of ZooKeeper 3.9 and has no row", name)
		}
	})
}

// TestWarnings shows the texts that an operator reads.
func TestWarnings(t *testing.T) {
	c, err := Parse([]byte(`dataDir=/data
forceSync=no
skipACL=yes
autopurge.snapRetainCount=1
enforceQuota=yes
datadir=/typo
zookeeper.snapCount=5
fooBar=secret
=nothing
flushDelay=5
authProvider.1=com.example.Provider
authProvider.ensemble=org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider
preAllocSize=64M
ssl.keyStore.password=hunter2
DigestAuthenticationProvider.superDigest=hunter2
peerType=observer
`), "zoo.cfg", map[string]string{
		"zookeeper.tickTime": "5", "zookeeper.leaderServes": "no", "zookeeper.server.1": "h:1:2", "zookeeper.barFoo": "1", "com.sun.management.jmxremote": "", "jute.maxbuffer": "5",
	}, map[string]string{"JVMFLAGS": "-Xmx1g -javaagent:x=hunter2 -Dzookeeper.flushDelay=9 -Dzookeeper.cnxTimeout=1 -Dmy.password=hunter2"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Identify(nil); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(c.Warnings, "\n") + "\n"
	golden(t, "warnings.golden", text)
	if strings.Contains(text, "hunter2") {
		t.Error("a secret stands in the warnings")
	}
	for _, s := range c.Settings() {
		if strings.Contains(s.Value, "hunter2") {
			t.Errorf("a secret stands in the settings: %+v", s)
		}
	}
}

// TestErrors wants all errors at once, each with its place.
func TestErrors(t *testing.T) {
	_, err := Parse([]byte(`clientPort=70000
clientPortAddress=a b
tickTime=x
maxClientCnxns=99999999999
minSessionTimeout=-2
standaloneEnabled=1
4lw.commands.whitelist=*
jute.maxbuffer=0x
metricsProvider.className=no.such.Class
metricsProvider.httpPort=0
authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider
authProvider.2=no.such.Class
DigestAuthenticationProvider.digestAlg=MD5
enforce.auth.enabled=true
admin.commandURL=commands
server.x=h:1:2
server.1=h:1
group.1=2
`), "zoo.cfg", nil, nil)
	if err == nil {
		t.Fatal("accepted")
	}
	golden(t, "errors.golden", err.Error()+"\n")
	if _, err := Parse([]byte("a=1\nb=\\u00"), "zoo.cfg", nil, nil); err == nil || err.Error() != `zoo.cfg: line 2: \u is not followed by four hexadecimal digits` {
		t.Errorf("got %v", err)
	}
	if _, err := Parse([]byte(base+"tickTime=200000000"), "zoo.cfg", nil, nil); err == nil || !strings.Contains(err.Error(), "does not fit in 32 bits") {
		t.Errorf("got %v", err)
	}
}

// TestPrecedence has one key of each kind in every place where it may stand.
func TestPrecedence(t *testing.T) {
	tests := []struct {
		name       string
		text       string
		props, env map[string]string
		want       string // snapCount, jute.maxbuffer and where they come from
	}{
		{"defaults", "", nil, nil, "100000 default, 1048575 default"},
		{"file", "snapCount=5\njute.maxbuffer=6", nil, nil, "5 zoo.cfg:3, 6 zoo.cfg:4"},
		{"file twice", "snapCount=5\nsnapCount=7", nil, nil, "7 zoo.cfg:4, 1048575 default"},
		{"-D", "", map[string]string{"zookeeper.snapCount": "5", "jute.maxbuffer": "6"}, nil, "5 -Dzookeeper.snapCount, 6 -Djute.maxbuffer"},
		{"file over -Dzookeeper., -D over file", "snapCount=8\njute.maxbuffer=9", map[string]string{"zookeeper.snapCount": "5", "jute.maxbuffer": "6"}, nil, "8 zoo.cfg:3, 6 -Djute.maxbuffer"},
		{"SERVER_JVMFLAGS", "", nil, map[string]string{"SERVER_JVMFLAGS": "-Dzookeeper.snapCount=5 -Djute.maxbuffer=6"}, "5 SERVER_JVMFLAGS, 6 SERVER_JVMFLAGS"},
		{"JVMFLAGS wins", "", nil, map[string]string{"SERVER_JVMFLAGS": "-Dzookeeper.snapCount=5", "JVMFLAGS": " -Dzookeeper.snapCount=3\t-Dzookeeper.snapCount=4\n"}, "4 JVMFLAGS, 1048575 default"},
		{"-D over JVMFLAGS", "", map[string]string{"zookeeper.snapCount": "5"}, map[string]string{"JVMFLAGS": "-Dzookeeper.snapCount=3"}, "5 -Dzookeeper.snapCount, 1048575 default"},
		{"bare keys are no keys without prefix", "", map[string]string{"snapCount": "5"}, nil, "100000 default, 1048575 default"},
		{"bare keys with prefix", "", map[string]string{"zookeeper.jute.maxbuffer": "5"}, nil, "100000 default, 5 -Dzookeeper.jute.maxbuffer"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := Parse([]byte(base+test.text), "zoo.cfg", test.props, test.env)
			if err != nil {
				t.Fatal(err)
			}
			where := map[string]string{}
			for _, s := range c.Settings() {
				if _, twice := where[s.Key]; twice {
					t.Errorf("%s is listed twice", s.Key)
				}
				where[s.Key] = s.Where
			}
			got := fmt.Sprintf("%d %s, %d %s", c.Storage.SnapTxns, where["snapCount"], c.Clients.MaxFrameBytes, where["jute.maxbuffer"])
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	c, err := Parse([]byte(base), "zoo.cfg", nil, map[string]string{"ZOO_DATADIR_AUTOCREATE_DISABLE": "1"})
	if err != nil || c.Storage.AutoCreate {
		t.Errorf("ZOO_DATADIR_AUTOCREATE_DISABLE: %v", err)
	}
}

func TestIdentify(t *testing.T) {
	const one = "server.1=localhost:2888:3888;2182\n"
	tests := []struct {
		name, text string
		myid       string // "-" = no file
		wantErr    string
		want       string // sid, client address, TTL nodes
	}{
		{"no file", base, "-", "", "-1 :2181 true"},
		{"a number", base, "7\n", "", "7 :2181 true"},
		{"only the first line", base, " 7 \nrest", "", "7 :2181 true"},
		{"empty", base, "", `myid: "" is not a number`, ""},
		{"too large", base, "9223372036854775808", `myid: "9223372036854775808" is not a number`, ""},
		{"255 and TTL nodes", base, "255", "", "255 :2181 false"},
		{"255 and TTL nodes asked for", base + "extendedTypesEnabled=true", "255", "zoo.cfg:3: with extendedTypesEnabled=true the server's id must be at most 254, and myid says 255", ""},
		{"own line", "dataDir=/data\n" + one, "1", "", "1 0.0.0.0:2182 true"},
		{"alone without myid", "dataDir=/data\n" + one, "-", "", "-1 0.0.0.0:2182 true"},
		{"another's line", "dataDir=/data\n" + one, "2", "", "2 :0 true"},
		{"line without a port", base + "server.1=localhost:2888:3888", "1", "", "1 :2181 true"},
		{"contradiction", base + one, "1", "zoo.cfg:3: the client port is :2181 by clientPort and 0.0.0.0:2182 by the line server.1", ""},
		{"other address", base + "clientPortAddress=10.0.0.1\nserver.1=localhost:2888:3888;10.0.0.2:2181", "1",
			"zoo.cfg:4: the client port is 10.0.0.1:2181 by clientPort and 10.0.0.2:2181 by the line server.1", ""},
		{"same address", base + "clientPortAddress=10.0.0.1\nserver.1=localhost:2888:3888;10.0.0.1:2181", "1", "", "1 10.0.0.1:2181 true"},
		{"the line is narrower", base + "server.1=localhost:2888:3888;10.0.0.1:2181", "1", "", "1 10.0.0.1:2181 true"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := Parse([]byte(test.text), "zoo.cfg", nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			myid := []byte(test.myid)
			if test.myid == "-" {
				myid = nil
			}
			err = c.Identify(myid)
			if test.wantErr != "" {
				if err == nil || err.Error() != test.wantErr {
					t.Errorf("got %v, want %s", err, test.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(c.Ensemble.SID, c.Clients.Addr, c.Tree.ExtendedTypes); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestDocker(t *testing.T) {
	text, myid := Docker(map[string]string{})
	golden(t, "docker-default.golden", text)
	if myid != "1\n" {
		t.Errorf("myid %q", myid)
	}
	c, err := Parse([]byte(text), "zoo.cfg", nil, nil)
	if err == nil {
		err = c.Identify([]byte(myid))
	}
	if err == nil {
		err = c.Complete()
	}
	if err != nil || len(c.Warnings) > 0 {
		t.Errorf("the image's own defaults: %v, %q", err, c.Warnings)
	}
	if c.Clients.Addr.Listen() != ":2181" || c.Storage.PurgeInterval != time.Hour {
		t.Errorf("got %+v", c)
	}

	text, myid = Docker(map[string]string{
		"ZOO_MY_ID": "2", "ZOO_SERVERS": "server.1=a:2888:3888;2181  server.2=b:2888:3888;2181\nserver.3=c:2888:3888;2181",
		"ZOO_DATA_DIR": "/d", "ZOO_DATA_LOG_DIR": "/l", "ZOO_TICK_TIME": "1000", "ZOO_INIT_LIMIT": "7", "ZOO_SYNC_LIMIT": "3",
		"ZOO_AUTOPURGE_SNAPRETAINCOUNT": "4", "ZOO_AUTOPURGE_PURGEINTERVAL": "0", "ZOO_MAX_CLIENT_CNXNS": "5",
		"ZOO_STANDALONE_ENABLED": "false", "ZOO_ADMINSERVER_ENABLED": "false",
		"ZOO_4LW_COMMANDS_WHITELIST": "srvr, mntr", "ZOO_CFG_EXTRA": "snapCount=9  jute.maxbuffer=10",
	})
	golden(t, "docker-all.golden", text)
	c, err = Parse([]byte(text), "zoo.cfg", nil, nil)
	if err == nil {
		err = c.Identify([]byte(myid))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Complete(); err != nil || !c.Distributed() {
		t.Errorf("got %v, distributed: %v", err, c.Distributed())
	}
	if c.Ensemble.SID != 2 || c.Storage.PurgeInterval != 0 || c.Storage.SnapTxns != 9 || c.Clients.MaxFrameBytes != 10 || c.Admin.Enabled {
		t.Errorf("got %+v", c)
	}
}

// A role that nobody contradicts is no cause for a warning.
func TestRole(t *testing.T) {
	const lines = "initLimit=5\nsyncLimit=2\nserver.1=a:1:2\nserver.2=b:1:2:observer\nserver.3=c:1:2\nserver.4=d:1:2\n"
	for _, test := range []struct {
		peerType, myid string
		observer       bool
		warns          bool
	}{
		{"", "1", false, false},
		{"", "2", true, false},
		{"peerType=participant\n", "1", false, false},
		{"peerType=observer\n", "2", true, false},
		{"peerType=observer\n", "1", false, true},
		{"peerType=participant\n", "2", true, true},
	} {
		c := parse(t, test.peerType+lines)
		if err := c.Identify([]byte(test.myid)); err != nil {
			t.Fatal(err)
		}
		warnings := strings.Join(c.Warnings, "\n")
		if warned := strings.Contains(warnings, "peerType contradicts the server line, which counts"); c.Ensemble.Observer != test.observer || warned != test.warns {
			t.Errorf("%q, server %s: observer %v, warnings %q", test.peerType, test.myid, c.Ensemble.Observer, warnings)
		}
	}
}

// FuzzParse wants that no text makes Parse panic, and that what it accepts
// means the same when the listing of it is read again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(base))
	f.Add([]byte(base + "server.1=h1:2888:3888|[::1]:2889:3889:observer;2181\nmultiAddress.enabled=true\nserver.2=h:1:2\n"))
	f.Add([]byte("dataDir=a\nserver.2=\xc4\\\\:1:2"))
	f.Add([]byte("dataDir: /d\\\r\n  x\nclientPort 1\n! c\n\\u0061=b\n=x"))
	f.Add([]byte(base + "group.1=1:2\nweight.1=2\nserver.1=a:1:2\nserver.2=b:1:2\nversion=ff\ninitLimit=1\nsyncLimit=1"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse(text, "zoo.cfg", nil, nil)
		if err != nil {
			return
		}
		again, err := ParseMembership([]byte(c.Ensemble.Members.String()), c.Ensemble.MultiAddress)
		if err != nil || again.String() != c.Ensemble.Members.String() {
			t.Errorf("%q read again: %v, %v", c.Ensemble.Members, again, err)
		}
		for _, myid := range [][]byte{nil, []byte("1")} {
			if c.Identify(myid) == nil {
				_ = c.Complete()
			}
		}
		for _, w := range c.Warnings {
			if strings.ContainsAny(w, "\n\r") {
				t.Errorf("a warning of several lines: %q", w)
			}
		}
		for _, s := range c.Settings() {
			if secret(s.Key) && s.Value != redacted {
				t.Errorf("%s is shown", s.Key)
			}
		}
	})
}

// FuzzServerLine wants that the normal form of a server line is stable.
func FuzzServerLine(f *testing.F) {
	f.Add("host:2888:3888:participant;2181", false)
	f.Add("h1:2888:3888|h2:2889:3889:observer;[::]:2181", true)
	f.Fuzz(func(t *testing.T, line string, multi bool) {
		m, err := ParseMember(1, line, multi)
		if err != nil {
			return
		}
		again, err := ParseMember(1, m.String(), multi)
		if err != nil || again.String() != m.String() {
			t.Errorf("%q gives %q, and that %q, %v", line, m, again, err)
		}
	})
}
