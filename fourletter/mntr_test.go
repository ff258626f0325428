package fourletter

import (
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"zooid/wire"
)

// ours tells whether a key is one that we add to ZooKeeper's.
func ours(key string) bool { return strings.HasPrefix(key, "zk_zooid_") || key == "zk_followers" }

// TestMntrRecorded reads what ZooKeeper's mntr showed back into a Status and
// demands the same lines. Averages are computed anew from sums and counts.
// ZooKeeper leaves the order open, but for the first lines.
func TestMntrRecorded(t *testing.T) {
	for name, mode := range map[string]Mode{"standalone": ModeStandalone, "leader": ModeLeader, "follower": ModeFollower,
		"observer": ModeObserver, "readonly-localsessions": ModeReadOnly} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", name, "mntr-default-provider.txt"))
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
			status := statusOf(t, mode, want)
			got := strings.Split(strings.TrimSuffix(string(Answer("mntr", nil, status)), "\n"), "\n")
			for i, line := range want {
				if key, _, _ := strings.Cut(line, "\t"); key == "zk_ephemerals_count" {
					break // the head ends
				}
				if got[i] != line {
					t.Errorf("line %d: %q, want %q", i, got[i], line)
				}
			}
			got = slices.DeleteFunc(got, func(line string) bool {
				key, _, _ := strings.Cut(line, "\t")
				// A follower without observers leaves this out; in ZooKeeper's Prometheus page it is 0.
				return ours(key) || mode == ModeFollower && line == "zk_synced_observers\t0"
			})
			slices.Sort(want)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-recorded +ours)\n%s", diff)
			}
		})
	}
}

// statusOf reads mntr lines back. It knows the gauges of a server by hand and
// takes the rest from the table of metrics, each line being used once.
func statusOf(t *testing.T, mode Mode, lines []string) *Status {
	t.Helper()
	values := make(map[string]string)
	for _, line := range lines {
		key, value, ok := strings.Cut(line, "\t")
		if !ok {
			t.Fatalf("line %q", line)
		}
		values[strings.TrimPrefix(key, "zk_")] = value
	}
	number := func(key string) int64 {
		v, ok := values[key]
		delete(values, key)
		if !ok {
			return 0
		}
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		return n
	}
	ms := func(key string) time.Duration { return time.Duration(number(key)) * time.Millisecond }
	s := &Status{
		Version: values["version"], Mode: mode, PeerState: values["peer_state"], ObserverMaster: wire.SID(number("observer_master_id")),
		NodeCount: number("znode_count"), EphemeralCount: number("ephemerals_count"), DataSize: number("approximate_data_size"),
		WatchCount: number("watch_count"), GlobalSessions: number("global_sessions"), LocalSessions: number("local_sessions"),
		Latency:  Latency{Min: ms("min_latency"), Max: ms("max_latency")},
		Received: number("packets_received"), Sent: number("packets_sent"), Connections: number("num_alive_connections"),
		ResponseSize: Sizes{number("last_client_response_size"), number("min_client_response_size"), number("max_client_response_size")},
		Outstanding:  number("outstanding_requests"), Uptime: ms("uptime"), AuthFailed: number("auth_failed_count"),
		OpenFiles: number("open_file_descriptor_count"), MaxFiles: number("max_file_descriptor_count"),
		NonTLSLocal: number("non_mtls_local_conn_count"), NonTLSRemote: number("non_mtls_remote_conn_count"),
		TLSHandshakes: number("outstanding_tls_handshake"), QuorumSize: number("quorum_size"), SyncedObservers: number("synced_observers"),
		Leading: Leading{Learners: number("learners"), SyncedFollowers: number("synced_followers"),
			SyncedNonVotingFollowers: number("synced_non_voting_followers"), PendingSyncs: number("pending_syncs"),
			Uptime: ms("leader_uptime"), ProposalSize: Sizes{number("last_proposal_size"), number("min_proposal_size"), number("max_proposal_size")}},
	}
	s.Latency.Count = 10000
	s.Latency.Sum = tenThousandTimes(t, values["avg_latency"])
	for _, key := range []string{"version", "server_state", "peer_state", "avg_latency", "connection_drop_probability"} {
		delete(values, key)
	}
	if _, ok := values["q1_quota_count_limit_per_namespace"]; ok {
		s.Quotas = []Quota{{"q1", number("q1_quota_count_limit_per_namespace"), number("q1_quota_count_usage_per_namespace"),
			number("q1_quota_bytes_limit_per_namespace"), number("q1_quota_bytes_usage_per_namespace")}}
	}
	for i := range Metrics {
		if m := &Metrics[i]; m.Kind != Gauge {
			s.Instruments = append(s.Instruments, samplesOf(values, m, number)...)
		}
	}
	if len(values) > 0 {
		t.Errorf("keys that no metric of ours stands for: %v", values)
	}
	return s
}

// samplesOf takes a counter's or summary's lines out of values.
func samplesOf(values map[string]string, m *Metric, number func(key string) int64) []Sample {
	float := func(key string) float64 { return float64(number(key)) }
	if m.Kind == Counter {
		if m.Set {
			return nil // the one counter set is empty in all recordings
		}
		return []Sample{{Metric: m, Value: float(m.Name)}}
	}
	names := map[string]string{"": m.Name} // by key
	if m.Set {
		delete(names, "")
		for name := range values {
			if key, ok := strings.CutPrefix(name, "cnt_"); ok {
				if key, ok = strings.CutSuffix(key, "_"+m.Name); ok {
					names[key] = key + "_" + m.Name
				}
			}
		}
	}
	var list []Sample
	for key, name := range names {
		delete(values, "avg_"+name)
		s := Sample{Metric: m, Key: key, Count: number("cnt_" + name), Sum: float("sum_" + name),
			Min: float("min_" + name), Max: float("max_" + name)}
		if m.Kind == Advanced {
			s.Quantiles = [...]float64{float("p50_" + name), math.NaN(), float("p95_" + name), float("p99_" + name), float("p999_" + name)}
		}
		list = append(list, s)
	}
	return list
}

// tenThousandTimes turns an average of at most four places into a sum.
func tenThousandTimes(t *testing.T, average string) time.Duration {
	t.Helper()
	v, err := strconv.ParseFloat(average, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(math.Round(v*10000)) * time.Millisecond
}

func TestFollowersKey(t *testing.T) {
	s := Status{Mode: ModeLeader, SyncedObservers: 1, Leading: Leading{Learners: 3}}
	if text := string(Answer("mntr", nil, &s)); !strings.Contains(text, "zk_followers\t2\n") {
		t.Error("a leader with two followers and an observer does not show zk_followers 2")
	}
	for _, mode := range []Mode{ModeStandalone, ModeFollower, ModeObserver} {
		s.Mode = mode
		if strings.Contains(string(Answer("mntr", nil, &s)), "zk_followers") {
			t.Errorf("%v shows zk_followers", mode)
		}
	}
}

// TestEnsembleKeys has what we tell of an ensemble beyond ZooKeeper's keys, as
// it stands in mntr.
func TestEnsembleKeys(t *testing.T) {
	changes, _ := LookupMetric("zooid_leader_changes")
	s := Status{Leader: 3, Epoch: 7, QuorumSize: 3, SyncedObservers: 1,
		Leading: Leading{Learners: 3, Proposed: 0x700000005, Followers: []Follower{
			{SID: 1, Synced: true, Acked: 0x700000005},
			{SID: 2, Synced: true, Acked: 0x700000003, Lag: 1500 * time.Millisecond},
			{SID: 4, Acked: 0x6ffffff00, Lag: time.Minute},
			{SID: 5, Synced: true, Acked: 0x700000009},
		}},
		Instruments: []Sample{{Metric: changes, Key: "quorum_lost", Value: 2}},
	}
	member := []string{"zk_zooid_serving\t1", "zk_zooid_epoch\t7", "zk_zooid_leader_sid\t3", "zk_zooid_leader_changes_quorum_lost\t2"}
	leader := []string{
		"zk_zooid_follower_synced_1\t1", "zk_zooid_follower_synced_2\t1", "zk_zooid_follower_synced_4\t0", "zk_zooid_follower_synced_5\t1",
		"zk_zooid_follower_lag_txns_1\t0", "zk_zooid_follower_lag_txns_2\t2", "zk_zooid_follower_lag_txns_4\t5", "zk_zooid_follower_lag_txns_5\t0",
		"zk_zooid_follower_lag_ms_1\t0", "zk_zooid_follower_lag_ms_2\t1500", "zk_zooid_follower_lag_ms_4\t60000", "zk_zooid_follower_lag_ms_5\t0",
	}
	alone := []string{member[0], member[3]}
	for mode, want := range map[Mode][]string{ModeLeader: append(member, leader...), ModeFollower: member, ModeObserver: member,
		ModeStandalone: alone, ModeReadOnly: alone} {
		s.Mode = mode
		var got []string
		for line := range strings.Lines(string(Answer("mntr", nil, &s))) {
			if strings.HasPrefix(line, "zk_zooid_") && !strings.HasPrefix(line, "zk_zooid_disk_full") && !strings.HasPrefix(line, "zk_zooid_tree_suspect") {
				got = append(got, strings.TrimSuffix(line, "\n"))
			}
		}
		want = slices.Sorted(slices.Values(want))
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v (-want +got)\n%s", mode, diff)
		}
	}
}

func TestReason(t *testing.T) {
	for text, want := range map[string]string{
		"": "unknown", ": x": "unknown", "12": "unknown",
		"counter":                           "counter",
		"the leader 3 is gone: EOF":         "the_leader_is_gone",
		"No word from a quorum, for 4000ms": "no_word_from_a_quorum_for",
		"it  re-elects / 2":                 "it_re_elects",
		"é":                                 "unknown",
		strings.Repeat("word ", 20):         "word_word_word_word_word_word_word_word_word",
		strings.Repeat("x", 60):             "unknown",
	} {
		if got := Reason(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestFractions: samples in fractions of a millisecond are shown as whole
// numbers, averages as fractions, and the quantiles of nothing as 0.
func TestFractions(t *testing.T) {
	m, _ := LookupMetric("readlatency")
	s := Sample{Metric: m, Count: 3, Sum: 4.5, Min: 0.25, Max: 3.99, Quantiles: [...]float64{0.5, 1, 1.5, math.NaN(), 3.9}}
	want := "zk_avg_readlatency\t1.5\nzk_min_readlatency\t0\nzk_max_readlatency\t3\nzk_cnt_readlatency\t3\nzk_sum_readlatency\t4\n" +
		"zk_p50_readlatency\t0\nzk_p95_readlatency\t1\nzk_p99_readlatency\t0\nzk_p999_readlatency\t3\n"
	if got := string(appendSample(nil, &s)); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestMetricsTable: every gauge has a value in some mode, and names are unique.
func TestMetricsTable(t *testing.T) {
	if len(metricByName) != len(Metrics) {
		t.Errorf("%d metrics have %d names", len(Metrics), len(metricByName))
	}
	given := make(map[string]bool)
	for _, mode := range []Mode{ModeLeader, ModeFollower, ModeObserver, ModeStandalone, ModeReadOnly} {
		s := Status{Mode: mode, Quotas: []Quota{{Namespace: "q"}}, Leading: Leading{Followers: []Follower{{SID: 2}}}}
		for _, sample := range s.Samples() {
			if sample.Metric == nil || sample.Metric.Kind != Gauge || sample.Metric.Set != (sample.Key != "") {
				t.Fatalf("%v gives %+v", mode, sample)
			}
			if strings.HasPrefix(sample.Metric.Name, "zooid_follower") && mode != ModeLeader {
				t.Errorf("%v gives %s", mode, sample.Metric.Name)
			}
			given[sample.Metric.Name] = true
		}
	}
	for _, m := range Metrics {
		if (m.Kind == Gauge) != given[m.Name] {
			t.Errorf("%s is a gauge: %v, a Status gives it: %v", m.Name, m.Kind == Gauge, given[m.Name])
		}
	}
	idle := Status{Instruments: []Sample{{Metric: &Metrics[0]}}}
	list := idle.Samples()
	if len(list) != 2 || list[0].Metric.Name != "zooid_serving" || list[0].Value != 0 {
		t.Errorf("a server that is not serving gives %v, want that it is not, and the instruments", list)
	}
}

func TestDouble(t *testing.T) {
	for _, test := range []struct {
		v    float64
		want string
	}{
		{0, "0.0"}, {1, "1.0"}, {-2, "-2.0"}, {1.4467, "1.4467"}, {31.16, "31.16"},
		{0.001, "0.001"}, {0.00099, "9.9E-4"}, {1e-5, "1.0E-5"},
		{9999999, "9999999.0"}, {1e7, "1.0E7"}, {1.795357677532e9, "1.795357677532E9"}, {-12345678, "-1.2345678E7"},
		{math.NaN(), "NaN"}, {math.Inf(1), "Infinity"}, {math.Inf(-1), "-Infinity"}, {math.Copysign(0, -1), "-0.0"},
	} {
		if got := string(appendDouble(nil, test.v)); got != test.want {
			t.Errorf("%g: %s, want %s", test.v, got, test.want)
		}
	}
}

func TestAverage(t *testing.T) {
	for _, test := range []struct {
		sum   float64
		count int64
		want  float64
	}{
		{0, 0, 0}, {20, 191, 0.1047}, {2, 3, 0.6667}, {1, 32, 0.0313}, {3, 32, 0.0938}, {-1, 32, -0.0313}, {7416, 62, 119.6129},
	} {
		if got := average(test.sum, test.count); got != test.want {
			t.Errorf("%g/%d: %g, want %g", test.sum, test.count, got, test.want)
		}
	}
}

func TestAddr(t *testing.T) {
	for in, want := range map[string]string{
		"10.1.2.3:4":           "/10.1.2.3:4",
		"[::ffff:10.1.2.3]:4":  "/10.1.2.3:4",
		"[::1]:65535":          "/[0:0:0:0:0:0:0:1]:65535",
		"[2001:db8::a0:0:1]:9": "/[2001:db8:0:0:0:a0:0:1]:9",
	} {
		if got := string(appendAddr(nil, netip.MustParseAddrPort(in))); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestVersion(t *testing.T) {
	built := time.Date(2026, 11, 2, 7, 5, 0, 0, time.FixedZone("", 3600))
	if got, want := Version("0.1.0+dirty", built), "3.9.5-zooid-0.1.0-dirty, built on 11/02/2026 06:05 UTC"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
