package compare

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"zooid/cmd/zooid/bench"
	"zooid/integration/testenv"
)

// ensembleKeys are a zoo.cfg as the documentation has it for production.
var ensembleKeys = map[string]string{
	"tickTime": "2000", "initLimit": "10", "syncLimit": "5", "preAllocSize": "65536", "snapCount": "100000",
	"4lw.commands.whitelist": "*", "maxClientCnxns": "0", "admin.enableServer": "false",
}

// startThree starts an ensemble of three of a kind.
func startThree(b *testing.B, kind string) *testenv.Ensemble {
	return testenv.StartEnsemble(b, testenv.EnsembleConfig{
		Kinds: []string{kind, kind, kind}, Keys: ensembleKeys, JVM: []string{"-Xmx1000m"},
	})
}

func addrsOf(e *testenv.Ensemble) string {
	var addrs []string
	for _, m := range e.Members {
		addrs = append(addrs, m.Addr)
	}
	return strings.Join(addrs, ",")
}

func pidsOf(e *testenv.Ensemble) string {
	var pids []int
	for _, m := range e.Members {
		if m.Running() {
			pids = append(pids, m.PID())
		}
	}
	return joinInts(pids)
}

func residentMB(e *testenv.Ensemble) (mb float64) {
	for _, m := range e.Members {
		mb += float64(m.ResidentBytes()) / 1e6
	}
	return mb
}

// loadAll runs zooid bench over all members of an ensemble.
func loadAll(b *testing.B, e *testenv.Ensemble, args ...string) *bench.Report {
	b.Helper()
	return loadOn(b, addrsOf(e), pidsOf(e), args...)
}

// ensembleFigures are measured on Java, on Zooid and, where it has something
// like it, on etcd.
var ensembleFigures = []struct {
	figure
	etcd []string
}{
	{figure{"setData 1x1, ops/s", []string{"set", "-c1", "-d1"}, "ops", ">= 2"}, []string{"-c=1", "-d=1", "put"}},
	{figure{"setData 16x1, ops/s", []string{"set", "-c16", "-d1"}, "ops", ">= 4"}, []string{"-c=16", "-d=1", "put"}},
	{figure{"setData 16x16, ops/s", []string{"set", "-c16", "-d16"}, "ops", ">= 5"}, []string{"-c=16", "-d=16", "put"}},
	{figure{"setData 64x32, ops/s", []string{"set", "-c64", "-d32"}, "ops", ">= 6"}, []string{"-c=64", "-d=32", "put"}},
	{figure{"setData 64x32, servers' CPU µs/op", []string{"set", "-c64", "-d32"}, "cpu", "<= 0.167"}, []string{"-c=64", "-d=32", "put"}},
	{figure{"getData 64x1, ops/s", []string{"get", "-c64", "-d1"}, "ops", ">= 3"}, nil},
	{figure{"getData 64x32, ops/s", []string{"get", "-c64", "-d32"}, "ops", ">= 10"}, nil},
	{figure{"mixed 90/10 16x16, ops/s", []string{"mixed", "-c16", "-d16"}, "ops", ">= 6"}, nil},
	{figure{"lock recipe, 16 contenders, locks/s", []string{"lock", "-c16"}, "ops", ">= 3.5"}, nil},
	{figure{"1000 watchers, all events, p50 µs", []string{"watch", "--watchers=1000"}, "p50", "<= 0.35"}, nil},
}

const ensembleHead = "| figure | Java | Zooid | etcd | Zooid/Java | pairs | asked |\n|---|---|---|---|---|---|---|"

// ensembleRow is row with etcd's figure in it.
func ensembleRow(name string, java, zooid, other []float64, floor string) string {
	line := row(name, java, zooid, floor)
	third := "–"
	if len(other) > 0 {
		third = short(median(other))
	}
	f := strings.SplitN(line, " | ", 4)
	return f[0] + " | " + f[1] + " | " + f[2] + " | " + third + " | " + f[3]
}

// BenchmarkEnsemble measures three members of each kind, side by side.
func BenchmarkEnsemble(b *testing.B) {
	only := regexp.MustCompile(*rowsFlag)
	java, zooid := startThree(b, testenv.KindJava), startThree(b, testenv.KindZooid)
	other := startEtcd(b, 3)
	table := []string{ensembleHead,
		ensembleRow("three empty members, resident MB", []float64{residentMB(java)}, []float64{residentMB(zooid)},
			[]float64{residentOf(other.pids())}, "<= 120 MB")}
	fmt.Fprintln(os.Stderr, table[1])
	warm(b, func(args ...string) { loadAll(b, java, args...) })
	for _, f := range ensembleFigures {
		if !only.MatchString(f.name) {
			continue
		}
		var j, z, o []float64
		for range *runsFlag {
			j = append(j, value(loadAll(b, java, f.args...), f.of))
			z = append(z, value(loadAll(b, zooid, f.args...), f.of))
			if f.etcd != nil {
				o = append(o, value(other.run(b, f.etcd...), f.of))
			}
		}
		table = append(table, ensembleRow(f.name, j, z, o, f.floor))
		fmt.Fprintln(os.Stderr, table[len(table)-1])
	}
	fmt.Println(strings.Join(table, "\n"))
}

func residentOf(pids []int) (mb float64) {
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			continue
		}
		pages, _ := strconv.ParseFloat(strings.Fields(string(b))[1], 64)
		mb += pages * float64(os.Getpagesize()) / 1e6
	}
	return mb
}

// outages is how often a leader is killed for one figure.
const outages = 10

// outage is the load while a leader goes: a write a millisecond by clients on
// all members. Its gap is in which no write succeeded.
var outage = []string{"outage", "-c6", "--rate", "1000", "--warmup", "500ms", "--duration", "5s"}

// outageAt is when the leader goes, after the load has begun.
const outageAt = 2 * time.Second

// gapsOf measures the longest gap for each of several ends of a leader.
func gapsOf(b *testing.B, e *testenv.Ensemble, end func(m *testenv.Member)) (gaps []float64) {
	for range outages {
		leader, err := e.AwaitServing(time.Minute)
		if err != nil {
			b.Fatal(err)
		}
		gone := time.AfterFunc(outageAt, func() { end(leader) })
		r := loadAll(b, e, outage...)
		gone.Stop()
		gaps = append(gaps, r.GapMaxMs)
		fmt.Fprintf(os.Stderr, "%s: gap %.0f ms, %d connections lost\n", leader.Kind, r.GapMaxMs, r.Errors)
		if err := leader.Restart(); err != nil {
			b.Fatal(err)
		}
	}
	return gaps
}

// BenchmarkLeaderGone measures how long no write succeeds when the leader is
// killed, and when it is asked to stop.
func BenchmarkLeaderGone(b *testing.B) {
	java, zooid := startThree(b, testenv.KindJava), startThree(b, testenv.KindZooid)
	other := startEtcd(b, 3)
	warm(b, func(args ...string) { loadAll(b, java, args...) })
	kill := func(m *testenv.Member) { m.Kill() }
	term := func(m *testenv.Member) { _, _ = m.Stop() }
	var etcdGaps []float64
	for range outages {
		leader := other.awaitLeader(b)
		gone := time.AfterFunc(outageAt, func() { _ = other.cmds[leader].Process.Kill(); _ = other.cmds[leader].Wait() })
		r := other.run(b, "-c=6", "-d=1", "-rate=1000", "-duration=5s", "outage")
		gone.Stop()
		etcdGaps = append(etcdGaps, r.GapMaxMs)
		fmt.Fprintf(os.Stderr, "etcd: gap %.0f ms\n", r.GapMaxMs)
		other.launch(b, leader)
		other.awaitMember(b, leader)
	}
	table := []string{ensembleHead,
		ensembleRow("leader killed, longest gap ms", gapsOf(b, java, kill), gapsOf(b, zooid, kill), etcdGaps, "<= 150 ms"),
		ensembleRow("leader stopped, longest gap ms", gapsOf(b, java, term), gapsOf(b, zooid, term), nil, "<= 50 ms")}
	fmt.Println(strings.Join(table, "\n"))
}

// BenchmarkFollowerRestart measures how long a follower with a million znodes
// needs until it serves again.
func BenchmarkFollowerRestart(b *testing.B) {
	var took [2][]float64
	for i, kind := range []string{testenv.KindJava, testenv.KindZooid} {
		e := startThree(b, kind)
		loadAll(b, e, "fill", "--keys", strconv.Itoa(millionNodes), "--root", "/large")
		for range *runsFlag {
			leader, err := e.AwaitServing(time.Minute)
			if err != nil {
				b.Fatal(err)
			}
			m := e.Others(leader)[0]
			if _, err := m.Stop(); err != nil {
				b.Fatal(err)
			}
			loadAll(b, without(e, m), "set", "-c16", "-d16", "--duration", "1s") // something to catch up with
			begin := time.Now()
			if err := m.Launch(); err != nil {
				b.Fatal(err)
			}
			if err := m.AwaitMode(5*time.Minute, testenv.ModeFollower); err != nil {
				b.Fatal(err)
			}
			took[i] = append(took[i], float64(time.Since(begin).Milliseconds()))
		}
		for _, m := range e.Members {
			m.Kill()
		}
	}
	fmt.Println(tableHead)
	fmt.Println(row("follower with a million znodes restarts, ms", took[0], took[1], "<= 0.15"))
}

// without is the ensemble without one member, for load.
func without(e *testenv.Ensemble, but *testenv.Member) *testenv.Ensemble {
	return &testenv.Ensemble{Members: e.Others(but)}
}

// BenchmarkGrowth measures the cost of a write as the tree and the number of
// sessions grow.
func BenchmarkGrowth(b *testing.B) {
	e := startThree(b, testenv.KindZooid)
	fmt.Println("| znodes | sessions | setData 16x16, ops/s | servers' CPU µs/op | p99 ms |\n|---|---|---|---|---|")
	line := func(nodes, sessions int) {
		r := loadAll(b, e, "set", "-c16", "-d16")
		fmt.Printf("| %d | %d | %s | %.1f | %.2f |\n", nodes, sessions, short(r.OpsPerSec), r.Server.CPUPerOpUs, r.Latency.P99/1000)
	}
	for _, nodes := range []int{1000, 100_000, 1_000_000} {
		loadAll(b, e, "fill", "--keys", strconv.Itoa(nodes), "--root", fmt.Sprintf("/n%d", nodes))
		line(nodes, 16)
	}
	for _, sessions := range []int{10, 1000, 10_000} {
		idle := testenv.ZooidCommand(b, "bench", "idle", "--server", addrsOf(e), "-c", strconv.Itoa(sessions), "--duration", (*timeFlag + 20*time.Second).String())
		if err := idle.Start(); err != nil {
			b.Fatal(err)
		}
		testenv.Await(b, time.Minute, "all sessions are there", func() bool { return connections(e) >= sessions })
		line(1_000_000, sessions)
		_ = idle.Process.Kill()
		_ = idle.Wait()
	}
}

// connections counts the clients of all members.
func connections(e *testenv.Ensemble) (n int) {
	for _, m := range e.Members {
		values, err := m.Monitor()
		if err != nil {
			return 0
		}
		alive, _ := strconv.Atoi(values["num_alive_connections"])
		n += alive
	}
	return n
}
