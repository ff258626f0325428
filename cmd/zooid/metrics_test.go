package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"zooid/admin"
	"zooid/auth"
	"zooid/config"
	"zooid/fourletter"
	"zooid/integration/testenv"
	"zooid/wire"
)

// wired are the instruments of a server that is made, but not started.
func wired(t *testing.T, cfg *config.Config) []string {
	t.Helper()
	p := &process{cfg: cfg, logger: zap.NewNop(), metrics: admin.NewMetrics()}
	p.instrumentProcess()
	registry, err := auth.New(auth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.openStore(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.store.Close() })
	p.makeServer(registry)
	p.rules(registry)
	p.instruments()
	return p.metrics.Wired()
}

// A metric whose help text says what is counted has something that counts it, on a
// follower or on an observer at least; and what nobody counts has no help text.
func TestMetricsWithHelpAreFed(t *testing.T) {
	var fed []string
	for _, role := range []string{"", ":observer"} {
		cfg := configured(t, strings.ReplaceAll(three, "/data", t.TempDir())+"server.4=zoo4:2888:3888"+role+"\n", "4")
		fed = append(fed, wired(t, cfg)...)
	}
	for i := range fourletter.Metrics {
		m := &fourletter.Metrics[i]
		if m.Kind == fourletter.Gauge {
			continue // Status.Samples has them or not
		}
		switch counted := slices.Contains(fed, m.Name); {
		case counted && m.Help == "":
			t.Errorf("%s is counted, and no help text says what it is", m.Name)
		case !counted && m.Help != "":
			t.Errorf("%s says that it counts %q, and nobody counts it", m.Name, m.Help)
		}
	}
}

// What the instruments of a server measure is there after a few requests.
func TestMetricsOfAServer(t *testing.T) {
	keys := baseKeys(t)
	keys["snapCount"] = "10"
	s := serve(t, keys)
	c := s.open()
	const sequential = 2
	for range 30 {
		if _, _, err := c.Create("/n", nil, sequential); err != nil {
			t.Fatal(err)
		}
	}
	for name, least := range map[string]string{
		"cnt_dbinittime": "1", "cnt_startup_txns_loaded": "1", "prep_processor_request_queued": "30", "cnt_prep_process_time": "1",
		"cnt_prep_processor_queue_size": "1", "cnt_commit_process_time": "1", "cnt_propagation_latency": "1",
		"proposal_count": "31", "commit_count": "31", "request_commit_queued": "31", "cnt_updatelatency": "30", "cnt_fsynctime": "1",
		"connection_request_count": "1", "response_bytes": "1", "bytes_received_count": "1", "cnt_snapshottime": "1",
	} {
		testenv.Await(t, 10*time.Second, name+" is at least "+least, func() bool {
			got := testenv.Monitor(t, s.addr)[name]
			return len(got) > len(least) || len(got) == len(least) && got >= least
		})
	}
	for _, name := range []string{"unrecoverable_error_count", "snapshot_error_count", "quit_leading_due_to_disloyal_voter", "digest_mismatches_count"} {
		if got := testenv.Monitor(t, s.addr)[name]; got != "0" {
			t.Errorf("%s is %q on a server that is well", name, got)
		}
	}
}

// A write that a hard quota refuses is counted under the first part of its path.
func TestRefusalsByQuotaAreCounted(t *testing.T) {
	keys := baseKeys(t)
	keys["enforceQuota"] = "true"
	s := serve(t, keys)
	c := s.open()
	for _, path := range []string{"/team", "/other", "/zookeeper/quota/team"} {
		if _, _, err := c.Create(path, nil, 0); err != nil {
			t.Fatal(path, err)
		}
	}
	for path, data := range map[string]string{"limits": "count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=2", "stats": "count=1,bytes=0"} {
		if _, _, err := c.Create("/zookeeper/quota/team/zookeeper_"+path, []byte(data), 0); err != nil {
			t.Fatal(path, err)
		}
	}
	for _, path := range []string{"/team/a", "/other/a"} {
		if _, _, err := c.Create(path, nil, 0); err != nil {
			t.Fatal(path, err)
		}
	}
	for range 3 {
		if _, _, err := c.Create("/team/b", nil, 0); wire.CodeOf(err) != wire.ErrQuotaExceeded {
			t.Fatal(err)
		}
	}
	const name = "team_quota_exceeded_error_per_namespace"
	if got := testenv.Monitor(t, s.addr)[name]; got != "3" {
		t.Errorf("%s is %q, want 3", name, got)
	}
}
