package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"zooid/wire"
)

func goodOptions() Options {
	return Options{Servers: []string{"127.0.0.1:1"}, Workload: "get", Connections: 1, Depth: 1, Duration: time.Second,
		Keys: 1, Children: 1, Watchers: 1, Rounds: 1, Root: "/b", Timeout: 30 * time.Second}
}

func TestOptions(t *testing.T) {
	o := goodOptions()
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(o *Options){
		"no such workload":      func(o *Options) { o.Workload = "got" },
		"no server":             func(o *Options) { o.Servers = nil },
		"server without a port": func(o *Options) { o.Servers = []string{"localhost"} },
		"connections":           func(o *Options) { o.Connections = 0 },
		"depth":                 func(o *Options) { o.Depth = -1 },
		"duration":              func(o *Options) { o.Duration = 0 },
		"warm-up":               func(o *Options) { o.Warmup = -1 },
		"reads":                 func(o *Options) { o.Reads = 101 },
		"rate":                  func(o *Options) { o.Rate = -1 },
		"session timeout":       func(o *Options) { o.Timeout = 0 },
		"root":                  func(o *Options) { o.Root = "/" },
		"relative root":         func(o *Options) { o.Root = "b" },
		"restart of nothing":    func(o *Options) { o.Workload, o.Exec = "restart", " " },
		"no such process":       func(o *Options) { o.PIDs = []int{1 << 30} },
	} {
		t.Run(name, func(t *testing.T) {
			o := goodOptions()
			spoil(&o)
			if _, err := Run(context.Background(), o, nil); !errors.Is(err, ErrUsage) {
				t.Errorf("%v, want bad usage", err)
			}
		})
	}
}

func TestWorkloadsAreListed(t *testing.T) {
	names := workloadNames()
	if len(names) != len(streams)+len(special) {
		t.Errorf("%d names of %d workloads", len(names), len(streams)+len(special))
	}
	for _, w := range Workloads() {
		if w[1] == "" || slices.Index(names, w[0]) < 0 {
			t.Errorf("%q: %q", w[0], w[1])
		}
	}
}

// The first requests of each stream, on its second connection.
func TestStreams(t *testing.T) {
	for name, want := range map[string]string{
		"get":        "getData /b/get/k0000004, getData /b/get/k0000000, getData /b/get/k0000004",
		"exists":     "exists /b/exists/k0000004, exists /b/exists/k0000000, exists /b/exists/k0000004",
		"children":   "getChildren /b/children, getChildren /b/children, getChildren /b/children",
		"set":        "setData /b/set/k0000004, setData /b/set/k0000000, setData /b/set/k0000004",
		"create":     "create /b/create/c1-0, delete /b/create/c1-0, create /b/create/c1-1",
		"sequential": "create /b/sequential/s1, create /b/sequential/s1/n-, delete /b/sequential/s1/n-0000000000",
		"mixed":      "getData /b/mixed/k0000004, setData /b/mixed/k0000004, setData /b/mixed/k0000001",
		"multi":      "multi of 10, multi of 10, multi of 10",
	} {
		t.Run(name, func(t *testing.T) {
			o := goodOptions()
			o.Workload, o.Keys, o.Reads = name, 5, 50
			next := streams[name].lane(&o, 1, rand.New(rand.NewPCG(1, 1)))
			var got []string
			for i := range int64(3) {
				got = append(got, describe(next(i)))
			}
			if s := strings.Join(got, ", "); s != want {
				t.Errorf("got  %s\nwant %s", s, want)
			}
		})
	}
}

func describe(op wire.OpCode, body wire.Appender) string {
	switch r := body.(type) {
	case *wire.WatchRequest:
		return op.String() + " " + r.Path
	case *wire.SetDataRequest:
		return op.String() + " " + r.Path
	case *wire.CreateRequest:
		return op.String() + " " + r.Path
	case *wire.DeleteRequest:
		return op.String() + " " + r.Path
	case *wire.MultiRequest:
		return fmt.Sprintf("%v of %d", op, len(r.Ops))
	}
	return op.String() + " ?"
}

// What is measured must not be the generator's own memory.
func TestStreamsDoNotAllocate(t *testing.T) {
	for _, name := range []string{"get", "exists", "children", "set", "mixed", "multi"} {
		o := goodOptions()
		o.Workload, o.Keys, o.Size, o.Reads = name, 5, 100, 50
		next := streams[name].lane(&o, 1, rand.New(rand.NewPCG(1, 1)))
		c, i := new(client), int64(0)
		allocs := testing.AllocsPerRun(1000, func() {
			c.out = c.out[:0]
			c.send(next(i))
			i++
		})
		if allocs > 0 {
			t.Errorf("%s: %v allocations a request", name, allocs)
		}
	}
}
