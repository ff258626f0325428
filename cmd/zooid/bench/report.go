package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what a run measured. Latencies are in µs, times in seconds unless
// their names say otherwise; NaN is left out of the JSON.
type Report struct {
	Workload    string   `json:"workload"`
	Servers     []string `json:"servers"`
	Connections int      `json:"connections"`
	Depth       int      `json:"depth"`
	Rate        float64  `json:"rate,omitempty"`
	Size        int      `json:"size"`
	Seconds     float64  `json:"seconds"`
	Ops         int64    `json:"ops"`
	Errors      int64    `json:"errors"`
	OpsPerSec   float64  `json:"ops_per_second"`
	Latency     struct {
		Mean float64 `json:"mean_us"`
		P50  float64 `json:"p50_us"`
		P90  float64 `json:"p90_us"`
		P99  float64 `json:"p99_us"`
		P999 float64 `json:"p999_us"`
		Max  float64 `json:"max_us"`
	} `json:"latency"`
	GapMaxMs float64  `json:"gap_max_ms"` // longest time without any answer
	Server   *Process `json:"server,omitempty"`
	hist     result
}

// Process is what the server's processes used while the load ran.
type Process struct {
	CPUSeconds float64 `json:"cpu_seconds"`
	CPUPerOpUs float64 `json:"cpu_per_op_us"`
	RSSBytes   int64   `json:"rss_bytes"`
}

func newReport(o *Options, r result, before, after processSample) *Report {
	rep := &Report{Workload: o.Workload, Servers: o.Servers, Connections: o.Connections, Depth: o.Depth,
		Rate: o.Rate, Size: o.Size, Seconds: r.took.Seconds(), Ops: r.ops, Errors: r.errs,
		GapMaxMs: float64(r.gapMax) / float64(time.Millisecond), hist: r}
	if r.took > 0 {
		rep.OpsPerSec = float64(r.ops) / r.took.Seconds()
	}
	if r.hist.TotalCount() > 0 {
		l := &rep.Latency
		l.Mean, l.Max = r.hist.Mean(), float64(r.hist.Max())
		l.P50, l.P90, l.P99, l.P999 = micros(r.hist, 50), micros(r.hist, 90), micros(r.hist, 99), micros(r.hist, 99.9)
	}
	if o.idleSample.valid {
		after = o.idleSample
	}
	if before.valid && after.valid {
		cpu := after.cpu - before.cpu
		rep.Server = &Process{CPUSeconds: cpu.Seconds(), RSSBytes: after.rss}
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
	fmt.Fprintf(tw, "load\t%d connections x %d in flight, %d bytes", r.Connections, r.Depth, r.Size)
	if r.Rate > 0 {
		fmt.Fprintf(tw, ", %.0f/s", r.Rate)
	}
	fmt.Fprintf(tw, "\noperations\t%d in %.1f s", r.Ops, r.Seconds)
	if r.Errors > 0 {
		fmt.Fprintf(tw, ", %d refused", r.Errors)
	}
	fmt.Fprintf(tw, "\nthroughput\t%.0f/s\n", r.OpsPerSec)
	l := r.Latency
	fmt.Fprintf(tw, "latency\tp50 %s  p90 %s  p99 %s  p99.9 %s  max %s\n",
		duration(l.P50), duration(l.P90), duration(l.P99), duration(l.P999), duration(l.Max))
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

func duration(us float64) string {
	switch {
	case math.IsNaN(us):
		return "-"
	case us < 1000:
		return fmt.Sprintf("%.0fµs", us)
	case us < 1e6:
		return fmt.Sprintf("%.2fms", us/1e3)
	}
	return fmt.Sprintf("%.2fs", us/1e6)
}

// writeHistogram draws the latencies in buckets that double.
func (r *Report) writeHistogram(w io.Writer) error {
	total := r.hist.hist.TotalCount()
	if total < 10 {
		return nil
	}
	type bucket struct {
		from  int64
		count int64
	}
	var buckets []bucket
	for _, bar := range r.hist.hist.Distribution() {
		if bar.Count == 0 {
			continue
		}
		from := int64(1)
		for from*2 <= bar.To {
			from *= 2
		}
		if n := len(buckets); n > 0 && buckets[n-1].from == from {
			buckets[n-1].count += bar.Count
			continue
		}
		buckets = append(buckets, bucket{from, bar.Count})
	}
	var most int64
	for _, b := range buckets {
		most = max(most, b.count)
	}
	for _, b := range buckets {
		bar := strings.Repeat("█", int(b.count*40/most))
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

// Progress shows a line that is rewritten, on a terminal.
type Progress struct {
	w     io.Writer
	begin time.Time
	plan  time.Duration
	what  string
	last  int64
	lastT time.Time
}

func newProgress(w io.Writer, plan time.Duration) *Progress {
	now := time.Now()
	return &Progress{w: w, begin: now, lastT: now, plan: plan}
}

func (p *Progress) phase(what string) {
	p.what, p.begin, p.last, p.lastT = what, time.Now(), 0, time.Now()
	p.update(0)
}

func (p *Progress) update(done int64) {
	if p.w == nil {
		return
	}
	now := time.Now()
	rate := ""
	if dt := now.Sub(p.lastT); dt > 100*time.Millisecond {
		rate = fmt.Sprintf(", %.0f/s", float64(done-p.last)/dt.Seconds())
	}
	p.last, p.lastT = done, now
	fmt.Fprintf(p.w, "\r\x1b[K%s: %.0fs of %.0fs, %d done%s", p.what, now.Sub(p.begin).Seconds(), p.plan.Seconds(), done, rate)
}

func (p *Progress) end() {
	if p.w != nil {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
