package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"

	"zooid/fourletter"
)

func get(h http.Handler, method, path string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	maps.Copy(r.Header, header)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// handlerOf shows a server that has just started in the mode.
func handlerOf(mode fourletter.Mode, m *Metrics) http.Handler {
	return NewHandler(Options{Version: "0.1.0", Status: func(parts fourletter.Part) *fourletter.Status {
		s := &fourletter.Status{Mode: mode}
		if parts&fourletter.PartMetrics != 0 {
			s.Instruments = m.Snapshot()
			s.Quotas = []fourletter.Quota{{Namespace: "q1", CountLimit: 3, CountUsage: 1, BytesLimit: 100, BytesUsage: 5}}
		}
		return s
	}})
}

func parse(t *testing.T, text []byte) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// types reads the TYPE lines, which stand even where there is no sample.
func types(text []byte) map[string]string {
	all := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 4 && f[1] == "TYPE" {
			all[f[2]] = f[3]
		}
	}
	return all
}

// mapped are the jvm_ names that have a counterpart here, for the heap.
var mapped = []string{"jvm_memory_bytes_used", "jvm_memory_bytes_committed", "jvm_memory_bytes_max", "jvm_pause_time_ms"}

// ours tells whether a name is one that we show besides ZooKeeper's.
func ours(name string) bool {
	return strings.HasPrefix(name, "zooid_") || slices.Contains([]string{"process_virtual_memory_max_bytes",
		"process_network_receive_bytes_total", "process_network_transmit_bytes_total"}, name)
}

// TestMetricsPageRecorded compares with the page of a ZooKeeper server in the
// same role: every name is there with its type and its quantiles, and nothing
// else but what is listed here.
func TestMetricsPageRecorded(t *testing.T) {
	for name, mode := range map[string]fourletter.Mode{"standalone": fourletter.ModeStandalone, "leader": fourletter.ModeLeader,
		"follower": fourletter.ModeFollower, "observer": fourletter.ModeObserver, "readonly": fourletter.ModeReadOnly} {
		t.Run(name, func(t *testing.T) {
			recorded, err := os.ReadFile("testdata/" + name + ".prom")
			if err != nil {
				t.Fatal(err)
			}
			m := NewMetrics()
			page := get(handlerOf(mode, m), "GET", "/metrics", nil).Body.Bytes()
			want, got := types(recorded), types(page)
			maps.DeleteFunc(want, func(name, _ string) bool {
				return strings.HasPrefix(name, "jvm_") && !slices.Contains(mapped, name)
			})
			maps.DeleteFunc(got, func(name, _ string) bool { return ours(name) })
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-recorded +ours)\n%s", diff)
			}
			families := parse(t, page)
			for name, family := range parse(t, recorded) {
				if family.GetType() != dto.MetricType_SUMMARY || families[name] == nil {
					continue
				}
				if a, b := quantiles(family), quantiles(families[name]); !slices.Equal(a, b) {
					t.Errorf("%s: quantiles %v, recorded %v", name, b, a)
				}
			}
		})
	}
}

func quantiles(f *dto.MetricFamily) (list []float64) {
	for _, q := range f.Metric[0].GetSummary().GetQuantile() {
		list = append(list, q.GetQuantile())
	}
	return list
}

func TestMetricsPageValues(t *testing.T) {
	m := NewMetrics()
	m.Counter("proposal_count")(7)
	m.CounterSet("quota_exceeded_error_per_namespace")("q1", 2)
	m.Timer("updatelatency")(1500 * time.Microsecond)
	m.SummarySet("read_per_namespace")("kafka", 10)
	// A scraper that prefers other formats gets the one there is.
	header := http.Header{"Accept": {"application/openmetrics-text;version=1.0.0,application/vnd.google.protobuf;q=0.9"}}
	w := get(handlerOf(fourletter.ModeStandalone, m), "GET", "/metrics", header)
	if got := w.Header().Get("Content-Type"); got != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("content type %q", got)
	}
	for _, line := range []string{
		"# TYPE proposal_count counter", "proposal_count 7", "znode_count 0", "avg_latency 0",
		`quota_exceeded_error_per_namespace{key="q1"} 2`, `quota_bytes_limit_per_namespace{key="q1"} 100`,
		`updatelatency{quantile="0.99"} 1.5`, "updatelatency_sum 1.5", "updatelatency_count 1",
		`readlatency{quantile="0.5"} NaN`, "readlatency_count 0",
		`read_per_namespace{key="kafka",quantile="0.5"} 10`, `read_per_namespace_count{key="kafka"} 1`,
		"# TYPE ack_latency summary", `zooid_info{version="0.1.0"} 1`, "# HELP stale_replies replies for a connection that had gone",
		"# HELP dead_watchers_queued dead_watchers_queued",
	} {
		if !strings.Contains(w.Body.String(), "\n"+line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
	heap := parse(t, w.Body.Bytes())["jvm_memory_bytes_used"].Metric[0]
	if heap.Label[0].GetValue() != "heap" || heap.GetGauge().GetValue() < 100_000 {
		t.Errorf("heap %v", heap)
	}
	for _, limit := range []int64{math.MaxInt64, 64 << 30} {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(limit))
		want := float64(limit)
		if limit == math.MaxInt64 {
			want = -1
		}
		page := parse(t, get(handlerOf(fourletter.ModeStandalone, m), "GET", "/metrics", nil).Body.Bytes())
		if got := page["jvm_memory_bytes_max"].Metric[0].GetGauge().GetValue(); got != want {
			t.Errorf("with a memory limit of %d the heap may have %g, want %g", limit, got, want)
		}
	}
	idle := get(handlerOf(fourletter.ModeNotServing, m), "GET", "/metrics", nil).Body.String()
	if strings.Contains(idle, "znode_count") || !strings.Contains(idle, "\nproposal_count 7\n") || !strings.Contains(idle, "\nzooid_serving 0\n") {
		t.Error("a server that is not serving must show its instruments, and no gauges but zooid_serving")
	}
}

// TestEnsembleMetrics: what a leader knows of its voters, and why leaders
// changed, by labels that say what they are.
func TestEnsembleMetrics(t *testing.T) {
	m := NewMetrics()
	m.CounterSet("zooid_leader_changes")(fourletter.Reason("the leader 3 is gone: EOF"), 1)
	m.CounterSet("zooid_leader_changes")(fourletter.Reason("the leader 2 is gone: reset"), 1)
	m.TimerSet("ack_latency")("2", 3*time.Millisecond)
	for _, name := range []string{"looking_count", "snap_count", "diff_count", "zooid_trunc_count", "zooid_log_truncated_count",
		"zooid_snapshot_installed_count", "learner_proposal_received_count", "learner_commit_received_count"} {
		m.Counter(name)(4)
	}
	for _, name := range []string{"election_time", "leader_unavailable_time", "unavailable_time", "follower_sync_time", "observer_sync_time",
		"proposal_latency", "quorum_ack_latency", "commit_propagation_latency"} {
		m.Timer(name)(5 * time.Millisecond)
	}
	h := NewHandler(Options{Status: func(fourletter.Part) *fourletter.Status {
		return &fourletter.Status{Mode: fourletter.ModeLeader, Instruments: m.Snapshot(), Leader: 3, Epoch: 9, QuorumSize: 3,
			Leading: fourletter.Leading{Learners: 2, SyncedFollowers: 1, Proposed: 0x900000008, Followers: []fourletter.Follower{
				{SID: 1, Acked: 0x900000001, Lag: 250 * time.Millisecond}, {SID: 2, Synced: true, Acked: 0x900000008}}}}
	}})
	page := get(h, "GET", "/metrics", nil).Body.String()
	for _, line := range []string{
		`zooid_leader_changes{reason="the_leader_is_gone"} 2`, "# TYPE zooid_leader_changes counter",
		`zooid_follower_synced{sid="1"} 0`, `zooid_follower_synced{sid="2"} 1`,
		`zooid_follower_lag_txns{sid="1"} 7`, `zooid_follower_lag_txns{sid="2"} 0`,
		`zooid_follower_lag_ms{sid="1"} 250`, `zooid_follower_lag_ms{sid="2"} 0`,
		"zooid_leader_sid 3", "zooid_epoch 9", "zooid_serving 1", "quorum_size 3", "learners 2", "synced_followers 1",
		`ack_latency_sum{key="2"} 3`, "looking_count 4", "snap_count 4", "diff_count 4", "zooid_trunc_count 4",
		"zooid_log_truncated_count 4", "zooid_snapshot_installed_count 4", "election_time_sum 5", "unavailable_time_count 1",
	} {
		if !strings.Contains(page, "\n"+line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
}

// TestMetricsPageKeys: a key may hold anything that a path may.
func TestMetricsPageKeys(t *testing.T) {
	m := NewMetrics()
	m.SummarySet("write_per_namespace")("a\"b\\c é", 1)
	h := NewHandler(Options{Status: func(fourletter.Part) *fourletter.Status {
		return &fourletter.Status{Mode: fourletter.ModeStandalone, Instruments: m.Snapshot(), Quotas: []fourletter.Quota{{Namespace: "\xff"}}}
	}})
	families := parse(t, get(h, "GET", "/metrics", nil).Body.Bytes())
	if got := families["write_per_namespace"].Metric[0].Label[0].GetValue(); got != "a\"b\\c é" {
		t.Errorf("key %q", got)
	}
	if got := families["quota_count_usage_per_namespace"].Metric[0].Label[0].GetValue(); got != "\uFFFD" {
		t.Errorf("key %q", got)
	}
}

// TestScrapesAreBounded holds as many scrapes as are allowed and asks for one more.
func TestScrapesAreBounded(t *testing.T) {
	entered, leave := make(chan bool), make(chan bool)
	h := NewHandler(Options{Status: func(fourletter.Part) *fourletter.Status {
		entered <- true
		<-leave
		return &fourletter.Status{}
	}})
	codes := make(chan int)
	for range scrapesMax {
		go func() { codes <- get(h, "GET", "/metrics", nil).Code }()
		<-entered
	}
	if code := get(h, "GET", "/metrics", nil).Code; code != http.StatusServiceUnavailable {
		t.Errorf("one scrape too many: %d", code)
	}
	close(leave)
	for range scrapesMax {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("a scrape within the bound: %d", code)
		}
	}
}

func TestProbes(t *testing.T) {
	status := &fourletter.Status{}
	var live error
	h := NewHandler(Options{
		Status: func(fourletter.Part) *fourletter.Status { return status },
		Live:   func() error { return live },
	})
	for _, test := range []struct {
		name   string
		status fourletter.Status
		live   error
		path   string
		code   int
		body   string
	}{
		{"starting", fourletter.Status{NotServing: "replaying the log"}, nil, "/readyz", 503,
			`{"status":"not ready","reason":"replaying the log"}`},
		{"not serving", fourletter.Status{}, nil, "/readyz", 503,
			`{"status":"not ready","reason":"the server is not serving requests"}`},
		{"not serving is alive", fourletter.Status{}, nil, "/livez", 200, `{"status":"ok"}`},
		{"serving", fourletter.Status{Mode: fourletter.ModeStandalone, Zxid: 0xee}, nil, "/readyz", 200,
			`{"status":"ok","mode":"standalone","zxid":"0xee"}`},
		{"leading", fourletter.Status{Mode: fourletter.ModeLeader, Leader: 2, Epoch: 5, Zxid: 0x500000001}, nil, "/readyz", 200,
			`{"status":"ok","mode":"leader","zxid":"0x500000001","leader":2,"epoch":5}`},
		{"looking for a leader", fourletter.Status{NotServing: "looking for a leader: the leader 3 is gone", Zxid: 7}, nil, "/readyz", 503,
			`{"status":"not ready","reason":"looking for a leader: the leader 3 is gone"}`},
		{"read-only", fourletter.Status{Mode: fourletter.ModeReadOnly}, nil, "/readyz", 503,
			`{"status":"not ready","reason":"no quorum: only read-only clients are served","mode":"read-only","zxid":"0x0"}`},
		{"disk full", fourletter.Status{Mode: fourletter.ModeLeader, DiskFull: true}, nil, "/readyz", 503,
			`{"status":"not ready","reason":"the disk is nearly full, reads are served","mode":"leader","zxid":"0x0"}`},
		{"disk short", fourletter.Status{Mode: fourletter.ModeStandalone, DiskShort: "/data has 1 MiB free"}, nil, "/readyz", 503,
			`{"status":"not ready","reason":"the disk is nearly full, reads are served: /data has 1 MiB free","mode":"standalone","zxid":"0x0"}`},
		{"disk short, alive", fourletter.Status{Mode: fourletter.ModeStandalone, DiskShort: "/data has 1 MiB free"}, nil, "/livez", 200,
			`{"status":"ok"}`},
		{"dead", fourletter.Status{Mode: fourletter.ModeStandalone}, errors.New("the log cannot be synced"), "/livez", 503,
			`{"status":"not alive","reason":"the log cannot be synced"}`},
	} {
		*status, live = test.status, test.live
		w := get(h, "GET", test.path, nil)
		if w.Code != test.code || w.Body.String() != test.body+"\n" || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %q %s", test.name, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
	}
}

func TestOtherPaths(t *testing.T) {
	h := handlerOf(fourletter.ModeStandalone, NewMetrics())
	for _, test := range []struct {
		method, path string
		code         int
		command      string
	}{
		{"GET", "/commands/stat", 404, "stat"}, {"GET", "/commands", 404, ""}, {"GET", "/commandsx", 404, ""},
		{"GET", "/", 404, ""}, {"POST", "/metrics", 405, ""}, {"TRACE", "/metrics", 405, ""},
	} {
		w := get(h, test.method, test.path, nil)
		var body failure
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Errorf("%s %s: %v in %q", test.method, test.path, err, w.Body)
		}
		if w.Code != test.code || body.Command != test.command || body.Error == "" {
			t.Errorf("%s %s: %d %s", test.method, test.path, w.Code, w.Body)
		}
	}
	elsewhere := NewHandler(Options{CommandURL: "/admin", Status: func(fourletter.Part) *fourletter.Status { return nil }})
	if body := get(elsewhere, "GET", "/admin/ruok", nil).Body.String(); !strings.Contains(body, `"command":"ruok"`) {
		t.Errorf("commands under another path: %s", body)
	}
}

// TestListen serves on a real port, refuses one that is taken, and closes.
func TestListen(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := handlerOf(fourletter.ModeStandalone, NewMetrics())
	s, err := Listen("127.0.0.1:0", h, time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	var client http.Client
	reply, err := client.Get("http://" + s.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(reply.Body)
	reply.Body.Close()
	if err != nil || reply.Header.Get("Content-Type") != contentType || len(parse(t, text)) < 150 {
		t.Errorf("%v, %q, %d bytes", err, reply.Header.Get("Content-Type"), len(text))
	}
	if second, err := Listen(s.Addr().String(), h, time.Minute, nil); err == nil || !strings.Contains(err.Error(), s.Addr().String()) {
		t.Errorf("a port that is taken: %v %v", second, err)
	}
	client.CloseIdleConnections()
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", s.Addr().String()); err == nil {
		t.Error("the port is still open")
	}
}

// TestCloseCutsOff: an answer that takes too long does not hold up the end.
func TestCloseCutsOff(t *testing.T) {
	defer goleak.VerifyNone(t)
	entered := make(chan bool)
	s, err := Listen("127.0.0.1:0", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	}), time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() {
		_, err := http.Get("http://" + s.Addr().String())
		failed <- err
	}()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("closing under an answer that does not end: %v", err)
	}
	if err := <-failed; err == nil {
		t.Error("the answer was not cut off")
	}
}

func BenchmarkMetricsPage(b *testing.B) {
	m := NewMetrics()
	for i := range 10_000 {
		m.Timer("readlatency")(time.Duration(i) * time.Microsecond)
	}
	h := handlerOf(fourletter.ModeStandalone, m)
	b.ReportAllocs()
	for b.Loop() {
		get(h, "GET", "/metrics", nil)
	}
}
