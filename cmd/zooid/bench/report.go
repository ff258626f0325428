package bench

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Report is what a run measured. Latencies are in µs, and 0 where none was
// measured.
type Report struct {
	Workload    string   `json:"workload"`
	Servers     []string `json:"servers"`
	Connections int      `json:"connections"`
	Depth       int      `json:"depth"`
	Rate        float64  `json:"rate,omitempty"`
	Size        int      `json:"size"`
	Seconds     float64  `json:"seconds"`
	Ops         int64    `json:"ops"`
	Errors      int64    `json:"errors"` // requests refused; for outage connections lost
	OpsPerSec   float64  `json:"ops_per_second"`
	Latency     struct {
		Mean float64 `json:"mean_us"`
		P50  float64 `json:"p50_us"`
		P90  float64 `json:"p90_us"`
		P99  float64 `json:"p99_us"`
		P999 float64 `json:"p999_us"`
		Max  float64 `json:"max_us"`
	} `json:"latency"`
	GapMaxMs float64  `json:"gap_max_ms"` // longest time in which no connection got an answer
	Server   *Process `json:"server,omitempty"`

	hist *hdrhistogram.Histogram
}

// Process is what the server's processes used while the load ran.
type Process struct {
	CPUSeconds float64 `json:"cpu_seconds"`
	CPUPerOpUs float64 `json:"cpu_per_op_us"`
	RSSBytes   int64   `json:"rss_bytes"`
}

func newReport(o *Options, r result) *Report {
	rep := &Report{Workload: o.Workload, Servers: o.Servers, Connections: o.Connections, Depth: o.Depth,
		Rate: o.Rate, Size: o.Size, Seconds: r.took.Seconds(), Ops: r.ops, Errors: r.errs,
		GapMaxMs: float64(r.gapMax) / float64(time.Millisecond), hist: r.hist}
	if r.took > 0 {
		rep.OpsPerSec = float64(r.ops) / r.took.Seconds()
	}
	if r.hist.TotalCount() > 0 {
		quantile := func(q float64) float64 { return float64(r.hist.ValueAtQuantile(q)) }
		l := &rep.Latency
		l.Mean, l.Max = r.hist.Mean(), float64(r.hist.Max())
		l.P50, l.P90, l.P99, l.P999 = quantile(50), quantile(90), quantile(99), quantile(99.9)
	}
	if r.before.valid && r.after.valid {
		cpu := r.after.cpu - r.before.cpu
		rep.Server = &Process{CPUSeconds: cpu.Seconds(), RSSBytes: r.after.rss}
		if r.ops > 0 {
			rep.Server.CPUPerOpUs = float64(cpu.Nanoseconds()) / 1e3 / float64(r.ops)
		}
	}
	return rep
}

// WriteJSON writes the report as one line of JSON.
func (r *Report) WriteJSON(w io.Writer) error { return json.NewEncoder(w).Encode(r) }

// WriteTable writes the report for a person, with a histogram.
func (r *Report) WriteTable(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "workload\t%s on %s\n", r.Workload, strings.Join(r.Servers, ","))
	plural := "s"
	if r.Connections == 1 {
		plural = ""
	}
	fmt.Fprintf(tw, "load\t%d connection%s x %d in flight, %d bytes", r.Connections, plural, r.Depth, r.Size)
	if r.Rate > 0 {
		fmt.Fprintf(tw, ", %.0f/s", r.Rate)
	}
	fmt.Fprintf(tw, "\noperations\t%d in %.1f s", r.Ops, r.Seconds)
	switch {
	case r.Errors > 0 && r.Workload == "outage":
		fmt.Fprintf(tw, ", connections lost %d times", r.Errors)
	case r.Errors > 0:
		fmt.Fprintf(tw, ", %d refused", r.Errors)
	}
	fmt.Fprintf(tw, "\nthroughput\t%.0f/s\n", r.OpsPerSec)
	if l := r.Latency; r.hist.TotalCount() > 0 {
		fmt.Fprintf(tw, "latency\tp50 %s  p90 %s  p99 %s  p99.9 %s  max %s\n",
			duration(l.P50), duration(l.P90), duration(l.P99), duration(l.P999), duration(l.Max))
	}
	if r.GapMaxMs > 0 {
		fmt.Fprintf(tw, "longest gap\t%.1f ms\n", r.GapMaxMs)
	}
	if r.Server != nil {
		fmt.Fprintf(tw, "server\t%.2f s of CPU, %.1f µs an operation, %.1f MB resident\n",
			r.Server.CPUSeconds, r.Server.CPUPerOpUs, float64(r.Server.RSSBytes)/1e6)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	return r.writeHistogram(w)
}

// duration writes a time of us µs with three digits or so.
func duration(us float64) string {
	switch {
	case us < 1000:
		return fmt.Sprintf("%.0fµs", us)
	case us < 1e6:
		return fmt.Sprintf("%.2fms", us/1e3)
	}
	return fmt.Sprintf("%.2fs", us/1e6)
}

// Of a histogram, the width of its longest bar, and how many latencies it
// takes to draw one.
const (
	barWidth     = 40
	drawnFromOps = 10
)

// bucket is the latencies from … 2·from µs.
type bucket struct {
	from  int64
	count int64
}

// doubling sorts the latencies into buckets each twice as wide as the one
// before; empty ones are left out.
func doubling(h *hdrhistogram.Histogram) []bucket {
	var buckets []bucket
	for _, bar := range h.Distribution() {
		if bar.Count == 0 {
			continue
		}
		from := int64(1) << (bits.Len64(uint64(bar.From)) - 1)
		if n := len(buckets); n > 0 && buckets[n-1].from == from {
			buckets[n-1].count += bar.Count
		} else {
			buckets = append(buckets, bucket{from, bar.Count})
		}
	}
	return buckets
}

// writeHistogram draws the latencies.
func (r *Report) writeHistogram(w io.Writer) error {
	total := r.hist.TotalCount()
	if total < drawnFromOps {
		return nil
	}
	buckets := doubling(r.hist)
	most := slices.MaxFunc(buckets, func(a, b bucket) int { return cmp.Compare(a.count, b.count) }).count
	for _, b := range buckets {
		bar := strings.Repeat("█", int(b.count*barWidth/most))
		if bar == "" {
			bar = "▏"
		}
		if _, err := fmt.Fprintf(w, "%9s … %-9s %6.2f%%  %s\n", duration(float64(b.from)), duration(float64(b.from*2)),
			100*float64(b.count)/float64(total), bar); err != nil {
			return err
		}
	}
	return nil
}
