package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"zooid/cmd/zooid/bench"
	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/wire"
)

// short are the flags of a run that is over soon.
func short(s *served, more ...string) []string {
	return append([]string{"--server", s.addr, "--duration", "200ms", "--warmup", "50ms", "-c4", "-d4", "-k50", "--size", "100",
		"--children", "50", "--watchers", "20", "--rounds", "3", "--pid", fmt.Sprint(os.Getpid()), "--json"}, more...)
}

// benchmark runs a workload and gives its report.
func benchmark(t *testing.T, args ...string) *bench.Report {
	t.Helper()
	code, stdout, stderr := zooid(append([]string{"bench"}, args...)...)
	wantCode(t, 0, code, stderr)
	r := new(bench.Report)
	if err := json.Unmarshal([]byte(stdout), r); err != nil {
		t.Fatalf("%v\n%s", err, stdout)
	}
	return r
}

func TestBenchEveryWorkload(t *testing.T) {
	s := serve(t, baseKeys(t))
	c := s.open()
	for _, w := range bench.Workloads() {
		name := w[0]
		if name == "restart" {
			continue // has a test of its own
		}
		t.Run(name, func(t *testing.T) {
			r := benchmark(t, append([]string{name}, short(s)...)...)
			if r.Workload != name || r.Ops <= 0 || r.Errors != 0 || r.OpsPerSec <= 0 || r.Seconds <= 0 || r.Seconds > 10 {
				t.Errorf("%+v", r)
			}
			l := r.Latency
			if name != "fill" && (l.P50 < 1 || l.P50 > l.P90 || l.P90 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max) {
				t.Errorf("latencies %+v", l)
			}
			if r.Server == nil || r.Server.RSSBytes <= 0 {
				t.Errorf("nothing of the server: %+v", r.Server)
			}
			if r.GapMaxMs < 0 || r.GapMaxMs > 1000*r.Seconds {
				t.Errorf("a gap of %v ms in %v s", r.GapMaxMs, r.Seconds)
			}
			kids, err := c.Children("/", false)
			if left := strings.Contains(strings.Join(kids, " "), "zooid-bench"); err != nil || left != (name == "fill") {
				t.Errorf("left behind: %v, %v", kids, err)
			}
			if name == "fill" {
				benchClean(t, s, c)
			}
		})
	}
	t.Run("on a schedule", func(t *testing.T) {
		r := benchmark(t, append([]string{"set"}, short(s, "--rate", "500", "--duration", "1s")...)...)
		// A busy machine does fewer; without a schedule there are many thousand.
		if r.Rate != 500 || r.Ops <= 0 || r.Ops > 600 {
			t.Errorf("%d ops within a second, 500 are on the schedule", r.Ops)
		}
	})
	t.Run("as a table", func(t *testing.T) {
		code, table, stderr := zooid(append([]string{"bench", "get"}, short(s, "--json=false")...)...)
		wantCode(t, 0, code, table+stderr, "workload", "get on "+s.addr, "4 connections x 4 in flight", "throughput", "p99.9", "server", "█")
	})
}

// benchClean removes what "fill" keeps.
func benchClean(t *testing.T, s *served, c *rawclient.Conn) {
	t.Helper()
	kids, err := c.Children("/zooid-bench/fill/d00000", false)
	if err != nil || len(kids) != 50 {
		t.Errorf("filled with %d znodes: %v", len(kids), err)
	}
	for _, k := range kids {
		if err := c.Delete("/zooid-bench/fill/d00000/" + k); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"/zooid-bench/fill/d00000", "/zooid-bench/fill", "/zooid-bench"} {
		if err := c.Delete(path); err != nil {
			t.Fatal(err)
		}
	}
}

// What an earlier run has left is no part of the next, and what others have
// below the root stays.
func TestBenchAfterARunThatWasCutShort(t *testing.T) {
	s := serve(t, baseKeys(t))
	c := s.open()
	for _, path := range []string{"/zooid-bench", "/zooid-bench/mine"} {
		if _, _, err := c.Create(path, nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"get", "set", "create", "sequential", "children", "watch", "lock", "multi"} {
		t.Run(name, func(t *testing.T) {
			benchmark(t, append([]string{name}, short(s, "--keep", "--size", "7", "-k", "60")...)...)
			if _, err := c.Exists("/zooid-bench/"+name, false); err != nil {
				t.Fatalf("nothing was kept: %v", err)
			}
			if r := benchmark(t, append([]string{name}, short(s)...)...); r.Errors != 0 || r.Ops == 0 {
				t.Errorf("%d of %d refused", r.Errors, r.Ops)
			}
		})
	}
	kids, err := c.Children("/zooid-bench", false)
	if err != nil || fmt.Sprint(kids) != "[mine]" {
		t.Errorf("left: %v, %v", kids, err)
	}
}

func TestBenchRestart(t *testing.T) {
	keys := baseKeys(t)
	exec := testenv.ZooidCommand(t).Path + " serve "
	addr := net.JoinHostPort("127.0.0.1", keys["clientPort"])
	r := benchmark(t, "restart", "--server", addr, "--rounds", "2", "--json", "--exec", exec+zooCfg(t, keys))
	if r.Ops != 2 || r.Latency.P50 <= 0 {
		t.Errorf("%+v", r)
	}
	code, _, stderr := zooid("bench", "restart", "--server", addr, "--rounds", "2", "--exec", exec+"no-such.cfg")
	wantCode(t, exitUnexpected, code, stderr, "ended before it answered", "no-such.cfg")
	code, _, stderr = zooid("bench", "restart", "--exec", filepath.Join(t.TempDir(), "nobody"))
	wantCode(t, exitUnexpected, code, stderr, "nobody")
}

func TestBenchExitCodes(t *testing.T) {
	s := serve(t, baseKeys(t))
	closed := net.JoinHostPort("127.0.0.1", fmt.Sprint(testenv.FreePort(t)))
	web := serveNonsense(t)
	for _, c := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"nobody listens", []string{"get", "--server", closed}, exitConnection, []string{closed, "refused"}},
		{"nobody listens, of many", []string{"connect", "--server", closed}, exitConnection, []string{closed}},
		{"not a ZooKeeper server", []string{"get", "--server", web}, exitConnection, []string{web, "bytes"}},
		{"no such parent", []string{"get", "--server", s.addr, "--root", "/a/b"}, exitNoNode, []string{"/a/b", "no node"}},
		{"bad options", []string{"get", "--server", "x"}, exitUsage, []string{"host:port"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := zooid(append([]string{"bench"}, c.args...)...)
			wantCode(t, c.code, code, stderr, c.says...)
			if stdout != "" {
				t.Errorf("a report all the same: %s", stdout)
			}
		})
	}
}

// A znode that may not be read or written is a matter of permission.
func TestBenchWithoutPermission(t *testing.T) {
	s := serve(t, baseKeys(t))
	c := s.open()
	readOnly := []wire.ACL{{Perms: wire.PermRead, ID: wire.ID{Scheme: "world", ID: "anyone"}}}
	if _, err := c.Call(wire.OpCreate, &wire.CreateRequest{Path: "/locked", ACL: readOnly}, nil); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := zooid("bench", "get", "--server", s.addr, "--root", "/locked")
	wantCode(t, exitPermission, code, stderr, "/locked")
}

// serveNonsense answers everything as a web server would.
func serveNonsense(t *testing.T) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(nc, "HTTP/1.1 400 Bad Request\r\n\r\n")
			nc.Close()
		}
	}()
	return l.Addr().String()
}

// A server that is away for a while shows as a gap and as lost connections, and
// what the run has made is removed all the same.
func TestBenchOutage(t *testing.T) {
	keys := baseKeys(t)
	s := serve(t, keys)
	type outcome struct {
		code           int
		stdout, stderr string
	}
	result := make(chan outcome, 1)
	go func() {
		code, stdout, stderr := zooid("bench", "outage", "--server", s.addr, "-c2", "--rate", "200", "--duration", "4s", "--warmup", "0s", "--json")
		result <- outcome{code, stdout, stderr}
	}()
	testenv.Await(t, 10*time.Second, "it writes", func() bool {
		n, _ := strconv.Atoi(testenv.Monitor(t, s.addr)["proposal_count"])
		return n > 10
	})
	began := time.Now()
	if code := s.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	s = serve(t, keys)
	away := time.Since(began)
	out := <-result
	wantCode(t, 0, out.code, out.stderr)
	var r bench.Report
	if err := json.Unmarshal([]byte(out.stdout), &r); err != nil {
		t.Fatalf("%v\n%s", err, out.stdout)
	}
	if r.Errors != 2 || r.Rate != 200 || r.Ops < 20 {
		t.Errorf("%d connections lost, %d writes: %+v", r.Errors, r.Ops, r)
	}
	if gap := time.Duration(r.GapMaxMs * float64(time.Millisecond)); gap < away/4 || gap > away+time.Second {
		t.Errorf("a gap of %v where the server was away for %v", gap, away)
	}
	if kids, err := s.open().Children("/", false); err != nil || fmt.Sprint(kids) != "[zookeeper]" {
		t.Errorf("left behind: %v, %v", kids, err)
	}
}
