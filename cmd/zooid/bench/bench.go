package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"
)

// Options say what to run against whom.
type Options struct {
	Servers     []string // host:port; connections are spread over them in turn
	Workload    string   // see Workloads
	Connections int
	Depth       int // requests in flight on each connection
	Duration    time.Duration
	Warmup      time.Duration
	Rate        float64 // requests a second in all; 0: as fast as the replies come
	Size        int     // bytes of data
	Keys        int     // znodes that are read and written
	Children    int     // for "children"
	Watchers    int     // for "watch"
	Reads       int     // percent, for "mixed"
	Rounds      int     // for "watch" and "restart"
	Root        string  // parent of all that workloads make
	Keep        bool    // leave the znodes there
	Exec        string  // for "restart": the server's command line
	PIDs        []int   // the server's processes, to tell their CPU time and memory
	Seed        uint64
	Timeout     time.Duration // session timeout to ask for

	paths []string // see keyPaths
}

// ErrUsage is wrapped by errors about the options themselves.
var ErrUsage = errors.New("bad usage")

// special are the workloads that are not streams of requests. load gives the
// connections that each uses and the requests in flight on one of them.
var special = map[string]struct {
	about string
	load  func(o *Options) (connections, depth int)
	run   func(ctx context.Context, o *Options, p *Progress) (result, error)
}{
	"fill":    {"create --keys znodes of --size bytes, and keep them", func(*Options) (int, int) { return 1, pipeDepth }, runFill},
	"watch":   {"one setData, --watchers watching: time until the last has its event", func(o *Options) (int, int) { return o.Watchers, 1 }, runWatch},
	"lock":    {"the lock recipe, --connections contenders", oneEach, runLock},
	"churn":   {"connect, create an ephemeral, close", oneEach, runChurn},
	"connect": {"--connections handshakes at once", oneEach, runConnect},
	"idle":    {"--connections sessions that only ping, for --duration", oneEach, runIdle},
	"outage":  {"writes at --rate from clients on all servers that connect again after a failure: the longest gap", outageLoad, runOutage},
	"restart": {"start --exec and wait for the first answer to a read", func(*Options) (int, int) { return 1, 1 }, runRestart},
}

func oneEach(o *Options) (int, int) { return o.Connections, 1 }

// Workloads lists the names with a line about each.
func Workloads() [][2]string {
	var all [][2]string
	for _, name := range slices.Sorted(maps.Keys(streams)) {
		all = append(all, [2]string{name, streams[name].about})
	}
	for _, name := range slices.Sorted(maps.Keys(special)) {
		all = append(all, [2]string{name, special[name].about})
	}
	return all
}

func workloadNames() []string {
	var names []string
	for _, w := range Workloads() {
		names = append(names, w[0])
	}
	return names
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUsage, fmt.Sprintf(format, args...))
}

// check refuses options that make no sense.
func (o *Options) check() error {
	_, isStream := streams[o.Workload]
	_, isSpecial := special[o.Workload]
	switch {
	case !isStream && !isSpecial:
		return refuse("no workload %q; there are %s", o.Workload, strings.Join(workloadNames(), ", "))
	case len(o.Servers) == 0:
		return refuse("no server")
	case o.Connections < 1 || o.Depth < 1 || o.Keys < 1 || o.Children < 1 || o.Watchers < 1 || o.Rounds < 1:
		return refuse("connections, depth, keys, children, watchers and rounds must be at least 1")
	case o.Size < 0 || o.Reads < 0 || o.Reads > 100 || o.Rate < 0:
		return refuse("size and rate must not be negative, reads lies in 0…100")
	case o.Duration <= 0 || o.Warmup < 0:
		return refuse("duration must be positive, warmup not negative")
	case o.Timeout < time.Second || o.Timeout > 24*time.Hour:
		return refuse("session-timeout lies between a second and a day")
	case !strings.HasPrefix(o.Root, "/") || o.Root == "/" || strings.HasSuffix(o.Root, "/"):
		return refuse("root %q must be the path of a znode other than /", o.Root)
	case o.Workload == "restart" && len(strings.Fields(o.Exec)) == 0:
		return refuse("restart needs --exec")
	}
	for _, s := range o.Servers {
		if _, _, err := net.SplitHostPort(s); err != nil {
			return refuse("server %q is not of the form host:port", s)
		}
	}
	for _, pid := range o.PIDs {
		if !sampleProcesses([]int{pid}).valid {
			return refuse("the figures of process %d cannot be read in /proc", pid)
		}
	}
	return nil
}

// Run runs one workload and reports on it. When ctx ends the report is about
// the time until then. Progress goes to progress, which may be nil.
func Run(ctx context.Context, o Options, progress io.Writer) (*Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	p := newProgress(progress, o.Warmup+o.Duration)
	defer p.end()
	run := runStream
	if s, ok := special[o.Workload]; ok {
		run = s.run
		o.Connections, o.Depth = s.load(&o)
	}
	r, err := run(ctx, &o, p)
	if err != nil {
		return nil, fmt.Errorf("bench %s: %w", o.Workload, err)
	}
	return newReport(&o, r), nil
}

// runStream runs one of the streams.
func runStream(ctx context.Context, o *Options, p *Progress) (r result, err error) {
	s := streams[o.Workload]
	place, err := newPlace(ctx, o, p)
	if err != nil {
		return r, err
	}
	defer place.leave(p, &err)
	if s.setup != nil {
		p.phase("setting up")
		if err := s.setup(place.c, o); err != nil {
			return r, err
		}
	}
	place.rest()
	clients, err := o.connect(o.Connections)
	if err != nil {
		return r, err
	}
	defer closeAll(clients)
	lanes := make([]*lane, len(clients))
	for i, c := range clients {
		rng := rand.New(rand.NewPCG(o.Seed, uint64(i)))
		lanes[i] = newLane(c, o.Depth, s.lane(o, i, rng))
		if o.Rate > 0 {
			lanes[i].schedule(o.Rate, i, len(clients))
		}
	}
	p.phase(o.Workload)
	return runLoad(ctx, o, lanes, p)
}
