package compare

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"zooid/cmd/zooid/bench"
	"zooid/integration/testenv"
)

var (
	runsFlag = flag.Int("runs", 3, "runs of each figure on each server")
	rowsFlag = flag.String("rows", ".", "regular expression of the figures to measure")
	warmFlag = flag.Duration("warm", 50*time.Second, "load on Java before anything is measured")
	timeFlag = flag.Duration("measure", 8*time.Second, "length of a run")
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// A figure is one number of one workload.
type figure struct {
	name  string
	args  []string
	of    string // which field of the report: see value
	floor string // what the ratio is asked to be
}

// figures of a small tree. Ratios above 1 are better where more is better
// (throughput), below 1 where less is.
var figures = []figure{
	{"getData 64x1, ops/s", []string{"get", "-c64", "-d1"}, "ops", ">= 3"},
	{"getData 64x32, ops/s", []string{"get", "-c64", "-d32"}, "ops", ">= 10"},
	{"getData 1x1, p50 µs", []string{"get", "-c1", "-d1"}, "p50", "<= 0.25"},
	{"getData 16x1, p99 µs", []string{"get", "-c16", "-d1"}, "p99", "<= 0.25"},
	{"getChildren of 1000 16x1, ops/s", []string{"children", "-c16", "-d1"}, "ops", ">= 4"},
	{"setData 1x1, ops/s", []string{"set", "-c1", "-d1"}, "ops", ">= 2"},
	{"setData 16x1, ops/s", []string{"set", "-c16", "-d1"}, "ops", ">= 4"},
	{"setData 64x32, ops/s", []string{"set", "-c64", "-d32"}, "ops", ">= 5"},
	{"setData 64x32, server CPU µs/op", []string{"set", "-c64", "-d32"}, "cpu", "<= 0.2"},
	{"create and delete 16x16, ops/s", []string{"create", "-c16", "-d16"}, "ops", ">= 4"},
	{"sequential ephemerals 16x16, ops/s", []string{"sequential", "-c16", "-d16"}, "ops", ">= 4"},
	{"multi of 10 16x16, ops/s", []string{"multi", "-c16", "-d16"}, "ops", ">= 4"},
	{"mixed 90/10 16x16, ops/s", []string{"mixed", "-c16", "-d16"}, "ops", ""},
	{"lock recipe, 16 contenders, locks/s", []string{"lock", "-c16"}, "ops", ""},
	{"session churn 16, sessions/s", []string{"churn", "-c16"}, "ops", ">= 8"},
	{"5000 connects at once, p99 µs", []string{"connect", "-c5000"}, "p99", "<= 0.1"},
	{"1000 watchers, all events, p50 µs", []string{"watch", "--watchers=1000"}, "p50", "<= 0.35"},
	{"5000 idle sessions, resident MB", []string{"idle", "-c5000"}, "rss", ""},
}

// value takes the figure out of a report.
func value(r *bench.Report, of string) float64 {
	switch of {
	case "ops":
		return r.OpsPerSec
	case "p50":
		return r.Latency.P50
	case "p99":
		return r.Latency.P99
	case "p999":
		return r.Latency.P999
	case "gap":
		return r.GapMaxMs
	case "cpu":
		return r.Server.CPUPerOpUs
	case "rss":
		return float64(r.Server.RSSBytes) / 1e6
	}
	panic("no figure " + of)
}

// load runs zooid bench on a server.
func load(b *testing.B, s *testenv.Server, args ...string) *bench.Report {
	b.Helper()
	return loadOn(b, s.Addr, strconv.Itoa(s.PID()), args...)
}

// loadOn runs zooid bench as a process of its own, on servers and their
// processes, which are joined by commas.
func loadOn(b *testing.B, addrs, pids string, args ...string) *bench.Report {
	b.Helper()
	args = slices.Concat([]string{"bench", "--server", addrs, "--json", "--pid", pids, "--duration", timeFlag.String()}, args)
	cmd := testenv.ZooidCommand(b, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("zooid %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	r := new(bench.Report)
	if err := json.Unmarshal(out, r); err != nil {
		b.Fatalf("%s: %v", out, err)
	}
	return r
}

func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

// row is a line of the table.
func row(name string, java, zooid []float64, floor string) string {
	ratios := make([]float64, len(java))
	for i := range java {
		ratios[i] = zooid[i] / java[i]
	}
	return fmt.Sprintf("| %s | %s | %s | **%.2f** | %.2f … %.2f | %s |", name, short(median(java)), short(median(zooid)),
		median(zooid)/median(java), slices.Min(ratios), slices.Max(ratios), floor)
}

func short(v float64) string {
	switch {
	case v >= 1000:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

const tableHead = "| figure | Java | Zooid | ratio | pairs | asked |\n|---|---|---|---|---|---|"

// servers starts both, with what a zoo.cfg of the distribution has: defaults.
func servers(b *testing.B) (java, zooid *testenv.Server) {
	keys := map[string]string{"preAllocSize": "65536", "snapCount": "100000", "4lw.commands.whitelist": "*", "clientPortListenBacklog": "-1"}
	java = testenv.Start(b, testenv.KindJava, testenv.Config{Keys: keys, JVM: []string{"-Xmx1000m"}})
	zooid = testenv.Start(b, testenv.KindZooid, testenv.Config{Keys: keys})
	return java, zooid
}

// BenchmarkBesideJava measures the figures of a small tree.
func BenchmarkBesideJava(b *testing.B) {
	only := regexp.MustCompile(*rowsFlag)
	java, zooid := servers(b)
	empty := [2]float64{float64(java.ResidentBytes()) / 1e6, float64(zooid.ResidentBytes()) / 1e6}
	warm(b, func(args ...string) { load(b, java, args...) })
	table := []string{tableHead}
	if only.MatchString("empty") {
		table = append(table, row("empty, resident MB", empty[:1], empty[1:], "<= 40 MB"))
	}
	for _, f := range figures {
		if !only.MatchString(f.name) {
			continue
		}
		var j, z []float64
		for range *runsFlag {
			j = append(j, value(load(b, java, f.args...), f.of))
			z = append(z, value(load(b, zooid, f.args...), f.of))
		}
		table = append(table, row(f.name, j, z, f.floor))
		fmt.Fprintln(os.Stderr, table[len(table)-1])
	}
	fmt.Println(strings.Join(table, "\n"))
}

// warm puts a mixture of load on a JVM.
func warm(b *testing.B, load func(args ...string)) {
	for _, w := range []string{"mixed", "create", "get", "set", "children"} {
		load(w, "-c16", "-d16", "--warmup", "0s", "--duration", (*warmFlag / 5).String())
	}
}

// millionNodes is the size of the large tree.
const millionNodes = 1_000_000

// BenchmarkLargeTree measures memory, start and stalls with a million znodes.
func BenchmarkLargeTree(b *testing.B) {
	java, zooid := servers(b)
	warm(b, func(args ...string) { load(b, java, args...) })
	table := []string{tableHead}
	var rss, gap, p999 [2]float64
	var first [2][]float64
	for i, s := range []*testenv.Server{java, zooid} {
		load(b, s, "fill", "--keys", strconv.Itoa(millionNodes), "--root", "/large")
		rss[i] = float64(s.ResidentBytes()) / 1e6
		fmt.Fprintf(os.Stderr, "%s: filled, %.0f MB resident\n", s.Kind, rss[i])
		r := load(b, s, "set", "--rate", "2000", "-c16", "-d8", "--duration", "60s")
		p999[i], gap[i] = r.Latency.P999/1000, r.GapMaxMs
		if _, err := s.Stop(); err != nil {
			b.Fatal(err)
		}
		for range *runsFlag {
			took, err := startToRead(s)
			if err != nil {
				b.Fatal(err)
			}
			first[i] = append(first[i], float64(took.Milliseconds()))
			if _, err := s.Stop(); err != nil {
				b.Fatal(err)
			}
		}
	}
	table = append(table,
		row("a million znodes of 100 B, resident MB", rss[:1], rss[1:], "<= 0.35"),
		row("start with them to first read, ms", first[0], first[1], "<= 0.15"),
		row("2,000 writes/s for 60 s on them, p99.9 ms", p999[:1], p999[1:], ""),
		row("same, longest gap ms", gap[:1], gap[1:], "<= 20 ms"))
	fmt.Println(strings.Join(table, "\n"))
}

// startToRead starts a server and waits for its first answer to a read.
func startToRead(s *testenv.Server) (time.Duration, error) {
	begin := time.Now()
	if err := s.Launch(); err != nil {
		return 0, err
	}
	_, err := bench.AwaitRead(s.Addr, begin, 5*time.Minute)
	return time.Since(begin), err
}

// BenchmarkSnapshots holds 2,000 writes a second on a million znodes while
// Zooid writes snapshots and purges, against the same without any.
func BenchmarkSnapshots(b *testing.B) {
	s := testenv.Start(b, testenv.KindZooid, testenv.Config{Keys: map[string]string{"preAllocSize": "65536"}})
	load(b, s, "fill", "--keys", strconv.Itoa(millionNodes), "--root", "/large")
	writes := []string{"set", "--rate", "2000", "-c16", "-d8", "--duration", "60s"}
	without := load(b, s, writes...)
	if _, err := s.Stop(); err != nil {
		b.Fatal(err)
	}
	// A snapshot for every 4 MB of log, about every 12 seconds.
	s.SetKey("autopurge.purgeInterval", "1")
	s.SetKey("snapSizeLimitInKb", "4096")
	if err := s.Start(); err != nil {
		b.Fatal(err)
	}
	with := load(b, s, writes...)
	if n := strings.Count(s.Log(), "snapshot written"); n < 3 {
		b.Fatalf("only %d snapshots were written", n)
	}
	fmt.Println("| 2,000 writes/s on a million znodes | without | with snapshots | ratio | asked |\n|---|---|---|---|---|")
	fmt.Printf("| p99.9 ms | %.2f | %.2f | **%.2f** | <= 1.5 |\n", without.Latency.P999/1e3, with.Latency.P999/1e3, with.Latency.P999/without.Latency.P999)
	fmt.Printf("| longest gap ms | %.1f | %.1f | | <= 20 ms |\n", without.GapMaxMs, with.GapMaxMs)
}
