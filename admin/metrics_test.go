package admin

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"zooid/fourletter"
)

// find gives the one sample of a metric and key.
func find(t *testing.T, list []fourletter.Sample, name, key string) fourletter.Sample {
	t.Helper()
	i := slices.IndexFunc(list, func(s fourletter.Sample) bool { return s.Metric.Name == name && s.Key == key })
	if i < 0 {
		t.Fatalf("no sample of %s %q", name, key)
	}
	return list[i]
}

func TestBuckets(t *testing.T) {
	last := -1
	for _, v := range interesting() {
		b := bucketOf(v)
		if b < last || b >= buckets {
			t.Fatalf("value %d is in bucket %d, a smaller one in %d of %d", v, b, last, buckets)
		}
		last = b
		if v >= 1<<valueBits {
			continue
		}
		if off := math.Abs(float64(bucketMiddle(b) - v)); off > float64(v)/32 {
			t.Errorf("value %d is taken for %d, off by more than a thirty-second", v, bucketMiddle(b))
		}
	}
	if last != buckets-1 {
		t.Errorf("the greatest value is in bucket %d of %d", last, buckets)
	}
	for b := range buckets {
		if got := bucketOf(bucketMiddle(b)); got != b {
			t.Errorf("the middle of bucket %d is in bucket %d", b, got)
		}
	}
}

// interesting gives ascending values around every power of two.
func interesting() []int64 {
	var list []int64
	for v := range int64(200) {
		list = append(list, v)
	}
	for shift := 8; shift < 63; shift++ {
		for _, d := range []int64{-1, 0, 1, 1 << (shift - 2)} {
			list = append(list, 1<<shift+d)
		}
	}
	slices.Sort(list)
	return list
}

// TestQuantiles compares with the exact quantiles of the same values, for
// several shapes of distribution. Seeded.
func TestQuantiles(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 0))
	for name, draw := range map[string]func() int64{
		"constant":    func() int64 { return 12345 },
		"uniform":     func() int64 { return r.Int64N(1_000_000) },
		"exponential": func() int64 { return int64(r.ExpFloat64() * 250_000) },
		"small":       func() int64 { return r.Int64N(5) },
	} {
		h := newHistogram()
		values := make([]int64, 10_000)
		for i := range values {
			values[i] = draw()
			h.observe(values[i])
		}
		slices.Sort(values)
		var s fourletter.Sample
		h.read(time.Unix(0, 0), 1, &s)
		for i, q := range fourletter.Quantiles {
			exact := float64(values[int(math.Ceil(q*float64(len(values))))-1])
			if math.Abs(s.Quantiles[i]-exact) > exact/32 {
				t.Errorf("%s: quantile %g is %g, want about %g", name, q, s.Quantiles[i], exact)
			}
		}
		var sum int64
		for _, v := range values {
			sum += v
		}
		if s.Count != 10_000 || s.Sum != float64(sum) || s.Min != float64(values[0]) || s.Max != float64(values[len(values)-1]) {
			t.Errorf("%s: count %d sum %g min %g max %g", name, s.Count, s.Sum, s.Min, s.Max)
		}
	}
}

// TestWindow: counts are since the start, quantiles of the last ten to twelve
// minutes, and of nothing if nothing was counted in them.
func TestWindow(t *testing.T) {
	m := NewMetrics()
	now := time.Unix(1_000_000, 0)
	m.now = func() time.Time { return now }
	observe := m.Timer("readlatency")
	read := func() fourletter.Sample { return find(t, m.Snapshot(), "readlatency", "") }
	expect := func(when string, count int64, median float64) {
		t.Helper()
		s := read()
		off := math.Abs(s.Quantiles[0] - median)
		if s.Count != count || !(off <= median/32) && !(math.IsNaN(median) && math.IsNaN(s.Quantiles[0])) {
			t.Errorf("%s: count %d, median %g, want %d and %g", when, s.Count, s.Quantiles[0], count, median)
		}
	}
	expect("before the first", 0, math.NaN())
	for range 100 {
		observe(80 * time.Millisecond)
	}
	for minute := range 10 {
		expect(fmt.Sprintf("after %d minutes", minute), 100, 80)
		now = now.Add(time.Minute)
	}
	for range 10 {
		observe(time.Millisecond)
	}
	for range 5 {
		now = now.Add(time.Minute)
		read()
	}
	expect("after the first hundred left the window", 110, 1)
	now = now.Add(20 * time.Minute)
	expect("after a long time unread, when the window reaches back to the last look", 110, math.NaN())
	observe(3 * time.Millisecond)
	expect("after one more", 111, 3)
	if s := read(); s.Min != 1 || s.Max != 80 {
		t.Errorf("min %g max %g are not of all values", s.Min, s.Max)
	}
	for range 1000 {
		now = now.Add(time.Second)
		read()
	}
	if n := len(m.mu.summaries["readlatency"].recent.marks); n < 5 || n > 7 {
		t.Errorf("%d marks are kept", n)
	}
	m.Reset()
	expect("after a reset", 0, math.NaN())
	observe(2 * time.Millisecond)
	expect("after the first one since", 1, 2)
}

// TestSnapshotHasAll: every counter and summary has a sample from the start,
// in the order of the table, sets only with their keys.
func TestSnapshotHasAll(t *testing.T) {
	m := NewMetrics()
	m.CounterSet("quota_exceeded_error_per_namespace")("kafka", 2)
	m.SummarySet("read_per_namespace")("b", 20)
	m.SummarySet("read_per_namespace")("a", 10)
	m.TimerSet("ack_latency")("1", 1500*time.Microsecond)
	m.Counter("bytes_received_count")(5)
	m.Counter("bytes_received_count")(6)
	m.Summary("sync_processor_batch_size")(-3)
	list := m.Snapshot()
	var got, want []string
	for i := range fourletter.Metrics {
		d := &fourletter.Metrics[i]
		switch {
		case d.Kind == fourletter.Gauge:
		case !d.Set, d.Name == "quota_exceeded_error_per_namespace", d.Name == "ack_latency":
			want = append(want, d.Name)
		case d.Name == "read_per_namespace":
			want = append(want, d.Name, d.Name)
		}
	}
	for _, s := range list {
		got = append(got, s.Metric.Name)
		if s.Metric.Kind != fourletter.Counter && s.Count == 0 && !math.IsNaN(s.Quantiles[0]) {
			t.Errorf("%s: quantile %g of nothing", s.Metric.Name, s.Quantiles[0])
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("samples of %q\nwant %q", got, want)
	}
	if v := find(t, list, "bytes_received_count", "").Value; v != 11 {
		t.Errorf("bytes_received_count %g", v)
	}
	if v := find(t, list, "quota_exceeded_error_per_namespace", "kafka").Value; v != 2 {
		t.Errorf("quota_exceeded_error_per_namespace %g", v)
	}
	if s := find(t, list, "ack_latency", "1"); s.Sum != 1.5 || s.Count != 1 {
		t.Errorf("ack_latency %+v", s)
	}
	if s := find(t, list, "sync_processor_batch_size", ""); s.Count != 1 || s.Sum != 0 {
		t.Errorf("a negative value: %+v", s)
	}
	m.Reset()
	for _, s := range m.Snapshot() {
		if s.Value != 0 || s.Count != 0 || s.Sum != 0 {
			t.Errorf("after a reset: %+v", s)
		}
	}
}

// TestKeysAreBounded: a client can make up paths, and paths make keys.
func TestKeysAreBounded(t *testing.T) {
	m := NewMetrics()
	observe := m.SummarySet("read_per_namespace")
	buffer := []byte("xxxx")
	for i := range 3 * keysMax {
		copy(buffer, fmt.Sprintf("%04d", i))
		observe(string(buffer), 1)
	}
	observe("\xff", 1)
	var count int64
	keys := make(map[string]bool)
	for _, s := range m.Snapshot() {
		if s.Metric.Name == "read_per_namespace" {
			keys[s.Key] = true
			count += s.Count
		}
	}
	// What is beyond the bound must not make its clients wait for each other.
	full := m.mu.summarySets["read_per_namespace"]
	full.mu.Lock()
	defer full.mu.Unlock()
	counted := make(chan bool)
	go func() {
		observe("new", 1)
		close(counted)
	}()
	select {
	case <-counted:
	case <-time.After(10 * time.Second):
		t.Fatal("a key too many waits for the lock")
	}
	if len(keys) != keysMax+1 || !keys["0000"] || !keys[otherKey] || keys["\xff"] || count != 3*keysMax+1 {
		t.Errorf("%d keys, %d values", len(keys), count)
	}
}

// TestMisuse: asking for an instrument under a wrong name or of a wrong kind is
// a mistake of the program.
func TestMisuse(t *testing.T) {
	m := NewMetrics()
	for name, ask := range map[string]func(){
		`no metric is called "commits"`:                          func() { m.Counter("commits") },
		`"readlatency" is not a counter`:                         func() { m.Counter("readlatency") },
		`"znode_count" is not a counter`:                         func() { m.Counter("znode_count") },
		`"readlatency" is not a summary of numbers`:              func() { m.Summary("readlatency") },
		`"startup_txns_loaded" is not a summary of dur`:          func() { m.Timer("startup_txns_loaded") },
		`"read_per_namespace" is not a summary of num`:           func() { m.Summary("read_per_namespace") },
		`"ack_latency" is not a summary set of numbers`:          func() { m.SummarySet("ack_latency") },
		`"write_per_namespace" is not a summary set of d`:        func() { m.TimerSet("write_per_namespace") },
		`"quota_exceeded_error_per_namespace" is not a counter"`: func() { m.Counter("quota_exceeded_error_per_namespace") },
		`"commit_count" is not a counter set`:                    func() { m.CounterSet("commit_count") },
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, strings.TrimSuffix(name, `"`)) {
					t.Errorf("panic %q, want %q", got, name)
				}
			}()
			ask()
		}()
	}
}

// TestConcurrent counts, reads and resets from many goroutines at once, then
// counts a known number and wants exactly that.
func TestConcurrent(t *testing.T) {
	m := NewMetrics()
	const workers, each = 8, 2000
	run := func(meanwhile func()) {
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				add, observe, keyed := m.Counter("proposal_count"), m.Timer("updatelatency"), m.SummarySet("write_per_namespace")
				for i := range each {
					add(1)
					observe(time.Duration(i+1) * time.Microsecond)
					keyed(fmt.Sprint(w%3), int64(i))
				}
			})
		}
		meanwhile()
		wg.Wait()
	}
	run(func() {
		for range 20 {
			m.Snapshot()
			m.Reset()
		}
	})
	m.Reset()
	run(func() { m.Snapshot() })
	list := m.Snapshot()
	if v := find(t, list, "proposal_count", "").Value; v != workers*each {
		t.Errorf("counted %g, want %d", v, workers*each)
	}
	s := find(t, list, "updatelatency", "")
	if sum := float64(workers*each*(each+1)/2) / 1000; s.Count != workers*each || math.Abs(s.Sum-sum) > 1e-6 || s.Min != 0.001 || s.Max != 2 {
		t.Errorf("updatelatency %+v, want sum %g", s, sum)
	}
	if n := find(t, list, "write_per_namespace", "2").Count; n != 2*each {
		t.Errorf("key 2 has %d values", n)
	}
}

func TestStripeCount(t *testing.T) {
	for procs, want := range map[int]int{1: 1, 2: 2, 3: 4, 8: 8, 9: 16, 16: 16, 96: 16} {
		if got := stripeCount(procs); got != want {
			t.Errorf("%d processors: %d stripes, want %d", procs, got, want)
		}
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	m := NewMetrics()
	add, observe, number := m.Counter("commit_count"), m.Timer("readlatency"), m.Summary("sync_processor_batch_size")
	keyed, keyedAdd := m.SummarySet("read_per_namespace"), m.CounterSet("quota_exceeded_error_per_namespace")
	var i int64
	step := func() {
		i++
		add(1)
		observe(time.Duration(i % 1000))
		number(i % 1000)
		keyed("kafka", i%1000)
		keyedAdd("kafka", 1)
	}
	for range 200_000 { // until every stripe has its blocks
		step()
	}
	if n := testing.AllocsPerRun(1000, step); n != 0 {
		t.Errorf("%g allocations", n)
	}
}

func BenchmarkInstruments(b *testing.B) {
	m := NewMetrics()
	add, observe, keyed := m.Counter("commit_count"), m.Timer("readlatency"), m.SummarySet("read_per_namespace")
	for _, bench := range []struct {
		name string
		do   func(i int)
	}{
		{"Counter", func(int) { add(1) }},
		{"Timer", func(i int) { observe(time.Duration(i & 0xfffff)) }},
		{"SummarySet", func(i int) { keyed("kafka", int64(i&0xfff)) }},
	} {
		b.Run(bench.name+"/one", func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				bench.do(i)
			}
		})
		b.Run(bench.name+"/all", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					bench.do(i)
				}
			})
		})
	}
	b.Run("Snapshot", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.Snapshot()
		}
	})
}
