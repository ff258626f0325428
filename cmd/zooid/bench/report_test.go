package bench

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

// golden compares text with a file of testdata.
func golden(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, text, want)
	}
}

func sampleReport() *Report {
	o := &Options{Workload: "set", Servers: []string{"a:2181", "b:2181"}, Connections: 64, Depth: 32, Size: 100, Rate: 5000}
	r := result{ops: 20_000, errs: 3, took: 4 * time.Second, gapMax: 12500 * time.Microsecond, hist: newHistogram(),
		before: processSample{cpu: time.Second, rss: 1, valid: true},
		after:  processSample{cpu: 1500 * time.Millisecond, rss: 40_000_000, valid: true}}
	for _, c := range []struct {
		n  int
		at time.Duration
	}{{1, 0}, {9000, 90 * time.Microsecond}, {500, 200 * time.Microsecond}, {300, 3 * time.Millisecond}, {10, 70 * time.Millisecond}, {1, 2 * time.Second}, {1, time.Hour}} {
		for range c.n {
			record(r.hist, c.at)
		}
	}
	return newReport(o, r)
}

func TestTable(t *testing.T) {
	var b strings.Builder
	if err := sampleReport().WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "table.txt", b.String())
}

func TestJSON(t *testing.T) {
	var b strings.Builder
	if err := sampleReport().WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.json", b.String())
	if strings.Count(b.String(), "\n") != 1 {
		t.Error("more than one line")
	}
	back := new(Report)
	if err := json.Unmarshal([]byte(b.String()), back); err != nil || back.Ops != 20_000 || back.Server.RSSBytes != 40_000_000 {
		t.Errorf("%+v, %v", back, err)
	}
}

// Where nothing was measured nothing is claimed.
func TestEmptyReport(t *testing.T) {
	o := &Options{Workload: "fill", Servers: []string{"a:2181"}, Connections: 1, Depth: 500, Size: 100}
	r := newReport(o, result{ops: 1000, took: time.Second, hist: newHistogram()})
	var table, line strings.Builder
	if err := errors.Join(r.WriteTable(&table), r.WriteJSON(&line)); err != nil {
		t.Fatal(err)
	}
	golden(t, "empty.txt", table.String())
	if strings.Contains(line.String(), "NaN") || strings.Contains(line.String(), `"server"`) {
		t.Error(line.String())
	}
}

func TestDuration(t *testing.T) {
	for us, want := range map[float64]string{0: "0µs", 1: "1µs", 999: "999µs", 1000: "1.00ms", 12_345: "12.35ms", 999_000: "999.00ms", 1_500_000: "1.50s"} {
		if got := duration(us); got != want {
			t.Errorf("%v µs: %s, want %s", us, got, want)
		}
	}
}

// The buckets double, leave out what is empty, and lose nothing.
func TestDoubling(t *testing.T) {
	h := newHistogram()
	counts := map[int64]int64{}
	for us := int64(1); us < 100_000; us += us/10 + 1 {
		if us >= 128 && us < 512 {
			continue
		}
		record(h, time.Duration(us)*time.Microsecond)
		from := int64(1)
		for from*2 <= us {
			from *= 2
		}
		counts[from]++
	}
	last := int64(0)
	for _, b := range doubling(h) {
		if b.from <= last || b.count != counts[b.from] {
			t.Errorf("%d latencies from %d µs on, want %d", b.count, b.from, counts[b.from])
		}
		last = b.from
		delete(counts, b.from)
	}
	if len(counts) > 0 {
		t.Errorf("left out: %v", counts)
	}
}

func TestProcessSample(t *testing.T) {
	const stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 12345 1000000 %s 18446744073709551615 1 1"
	var s processSample
	if !s.add([]byte(strings.Replace(stat, "%s", "1000", 1))) {
		t.Fatal("refused")
	}
	if s.cpu != 3*time.Second || s.rss != int64(1000*os.Getpagesize()) {
		t.Errorf("%+v", s)
	}
	for name, bad := range map[string]string{"empty": "", "cut off": "42 (x) S 1 42", "no number": strings.Replace(stat, "%s", "x", 1)} {
		t.Run(name, func(t *testing.T) {
			if new(processSample).add([]byte(bad)) {
				t.Error("taken for a sample")
			}
		})
	}
	if self := sampleProcesses([]int{os.Getpid()}); !self.valid || self.rss == 0 {
		t.Errorf("of ourselves: %+v", self)
	}
	for name, pids := range map[string][]int{"nobody": nil, "a process that is not there": {os.Getpid(), 1 << 30}} {
		if s := sampleProcesses(pids); s.valid {
			t.Errorf("%s has a sample: %+v", name, s)
		}
	}
}

func TestProgress(t *testing.T) {
	var b strings.Builder
	p := newProgress(&b, time.Minute)
	p.phase("setting up")
	p.update(500)
	p.end()
	if s := b.String(); !strings.Contains(s, "setting up") || !strings.Contains(s, "500 done") || !strings.HasSuffix(s, "\r\x1b[K") {
		t.Errorf("%q", s)
	}
}
