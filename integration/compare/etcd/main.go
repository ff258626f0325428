// Command etcd puts load on etcd servers as "zooid bench" does on servers of the
// ZooKeeper protocol, and reports in the same JSON. It is a module of its own,
// so that nothing of etcd reaches the server's; the server to measure is built
// from here as well:
//
//	go build -o etcd-server go.etcd.io/etcd/server/v3
//	go run . -servers 127.0.0.1:2379,… -c 16 -d 16 -duration 8s put
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

type options struct {
	servers          []string
	pids             []int
	connections      int
	depth            int
	warmup, duration time.Duration
	size             int
	rate             float64
	workload         string
}

// report has the fields of zooid bench's that the comparison reads.
type report struct {
	Workload  string  `json:"workload"`
	Ops       int64   `json:"ops"`
	Errors    int64   `json:"errors"`
	OpsPerSec float64 `json:"ops_per_second"`
	GapMaxMs  float64 `json:"gap_max_ms"`
	Latency   struct {
		P50 float64 `json:"p50_us"`
		P99 float64 `json:"p99_us"`
	} `json:"latency"`
	Server *process `json:"server,omitempty"`
}

type process struct {
	CPUSeconds float64 `json:"cpu_seconds"`
	CPUPerOpUs float64 `json:"cpu_per_op_us"`
	RSSBytes   int64   `json:"rss_bytes"`
}

func main() {
	var o options
	var servers, pids string
	flag.StringVar(&servers, "servers", "127.0.0.1:2379", "host:port,… of the servers")
	flag.StringVar(&pids, "pids", "", "the servers' processes, for their CPU time and memory")
	flag.IntVar(&o.connections, "c", 1, "connections")
	flag.IntVar(&o.depth, "d", 1, "requests in flight on each")
	flag.DurationVar(&o.warmup, "warmup", time.Second, "load before the measurement")
	flag.DurationVar(&o.duration, "duration", 8*time.Second, "length of the measurement")
	flag.IntVar(&o.size, "size", 100, "bytes of a value")
	flag.Float64Var(&o.rate, "rate", 1000, "puts a second in all, for outage")
	flag.Parse()
	o.servers = strings.Split(servers, ",")
	for _, pid := range strings.FieldsFunc(pids, func(r rune) bool { return r == ',' }) {
		n, err := strconv.Atoi(pid)
		if err != nil {
			fail(err)
		}
		o.pids = append(o.pids, n)
	}
	if o.workload = flag.Arg(0); flag.NArg() != 1 || !slices.Contains([]string{"put", "get", "outage"}, o.workload) {
		fail(fmt.Errorf("one workload of put, get, outage is needed"))
	}
	r, err := run(&o)
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "etcd load:", err)
	os.Exit(1)
}

// lane is one request after another on one connection.
type lane struct {
	client *clientv3.Client
	key    string
	lats   []time.Duration
	errs   int64
}

// meter notes the longest time without an answer.
type meter struct {
	from  time.Time
	last  atomic.Int64
	gapNs atomic.Int64
}

func (m *meter) answered(now time.Time) {
	ns := int64(now.Sub(m.from))
	if ns < 0 {
		return
	}
	gap := ns - m.last.Swap(ns)
	for old := m.gapNs.Load(); gap > old && !m.gapNs.CompareAndSwap(old, gap); old = m.gapNs.Load() {
	}
}

func run(o *options) (*report, error) {
	var lanes []*lane
	for i := range o.connections {
		// A connection to one server, as a ZooKeeper client has; where servers
		// are killed, to all of them.
		endpoints := []string{o.servers[i%len(o.servers)]}
		if o.workload == "outage" {
			endpoints = append(endpoints, o.servers...)
		}
		c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
		if err != nil {
			return nil, err
		}
		defer c.Close()
		for k := range o.depth {
			lanes = append(lanes, &lane{client: c, key: fmt.Sprintf("/bench/%d/%d", i, k)})
		}
	}
	value := strings.Repeat("x", o.size)
	for _, l := range lanes {
		if _, err := l.client.Put(context.Background(), l.key, value); err != nil {
			return nil, err
		}
	}
	m := &meter{from: time.Now().Add(o.warmup)}
	ctx, cancel := context.WithDeadline(context.Background(), m.from.Add(o.duration))
	defer cancel()
	var wg sync.WaitGroup
	for i, l := range lanes {
		wg.Go(func() { l.run(ctx, o, m, value, i, len(lanes)) })
	}
	time.Sleep(time.Until(m.from))
	cpu, _ := usage(o.pids)
	wg.Wait()
	took := time.Since(m.from)
	m.answered(time.Now())
	after, rss := usage(o.pids)
	r := &report{Workload: o.workload, GapMaxMs: float64(m.gapNs.Load()) / 1e6}
	var lats []time.Duration
	for _, l := range lanes {
		lats = append(lats, l.lats...)
		r.Errors += l.errs
	}
	slices.Sort(lats)
	r.Ops = int64(len(lats))
	r.OpsPerSec = float64(r.Ops) / took.Seconds()
	if n := len(lats); n > 0 {
		r.Latency.P50, r.Latency.P99 = float64(lats[n/2].Microseconds()), float64(lats[n*99/100].Microseconds())
	}
	if len(o.pids) > 0 {
		used := after - cpu
		r.Server = &process{CPUSeconds: used.Seconds(), RSSBytes: rss}
		if r.Ops > 0 {
			r.Server.CPUPerOpUs = used.Seconds() * 1e6 / float64(r.Ops)
		}
	}
	return r, nil
}

func (l *lane) run(ctx context.Context, o *options, m *meter, value string, i, n int) {
	every := time.Duration(float64(time.Second) * float64(n) / o.rate)
	due := time.Now().Add(every * time.Duration(i) / time.Duration(n))
	for ctx.Err() == nil {
		if o.workload == "outage" {
			if wait := time.Until(due); wait > 0 {
				time.Sleep(wait)
			}
			if due = due.Add(every); due.Before(time.Now()) {
				due = time.Now()
			}
		}
		from := time.Now()
		var err error
		if o.workload == "get" {
			_, err = l.client.Get(ctx, l.key, clientv3.WithSerializable())
		} else {
			call, cancel := context.WithTimeout(ctx, 2*time.Second)
			_, err = l.client.Put(call, l.key, value)
			cancel()
		}
		now := time.Now()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			l.errs++
			time.Sleep(2 * time.Millisecond)
			continue
		}
		m.answered(now)
		if !from.Before(m.from) {
			l.lats = append(l.lats, now.Sub(from))
		}
	}
}

// usage is the CPU time and the resident memory of processes.
func usage(pids []int) (cpu time.Duration, rss int64) {
	const ticks = 100 // USER_HZ of Linux
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		user, _ := strconv.ParseInt(f[11], 10, 64)
		system, _ := strconv.ParseInt(f[12], 10, 64)
		pages, _ := strconv.ParseInt(f[21], 10, 64)
		cpu += time.Duration(user+system) * time.Second / ticks
		rss += pages * int64(os.Getpagesize())
	}
	return cpu, rss
}
