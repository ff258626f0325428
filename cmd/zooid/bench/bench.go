package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"zooid/wire"
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
	Root        string  // parent of all that a workload makes
	Keep        bool    // leave the znodes there
	Exec        string  // for "restart": the server's command line
	PIDs        []int   // the server's processes, to tell their CPU time and memory
	Seed        uint64
	Timeout     time.Duration // session timeout

	idleSample processSample // taken by "idle" while its sessions stand
}

// Usage is wrapped by errors about the options themselves.
var Usage = errors.New("usage")

// special are the workloads that are not streams of requests.
var special = map[string]struct {
	about string
	run   func(ctx context.Context, o *Options, p *Progress) (result, error)
}{
	"fill":    {"create --keys znodes of --size bytes, and keep them", runFill},
	"watch":   {"one setData, --watchers watching: time until the last has its event", runWatch},
	"lock":    {"the lock recipe, --connections contenders", runLock},
	"churn":   {"connect, create an ephemeral, close", runChurn},
	"connect": {"--connections handshakes at once", runConnect},
	"idle":    {"--connections sessions that only ping, for --duration", runIdle},
	"restart": {"start --exec and wait for the first answer and the first read", runRestart},
}

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

// check refuses options that make no sense.
func (o *Options) check() error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", Usage, fmt.Sprintf(format, args...))
	}
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
	case !strings.HasPrefix(o.Root, "/") || o.Root == "/" || strings.HasSuffix(o.Root, "/"):
		return refuse("root %q must be the path of a znode other than /", o.Root)
	case o.Workload == "restart" && o.Exec == "":
		return refuse("restart needs --exec")
	}
	return nil
}

func workloadNames() []string {
	var names []string
	for _, w := range Workloads() {
		names = append(names, w[0])
	}
	return names
}

// Run runs one workload and reports on it. Progress goes to progress, which may
// be nil.
func Run(ctx context.Context, o Options, progress io.Writer) (*Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	p := newProgress(progress, o.Warmup+o.Duration)
	defer p.end()
	before := sampleProcesses(o.PIDs)
	var r result
	var err error
	if s, ok := special[o.Workload]; ok {
		r, err = s.run(ctx, &o, p)
	} else {
		r, err = runStream(ctx, &o, p, func() { before = sampleProcesses(o.PIDs) })
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Workload, err)
	}
	return newReport(&o, r, before, sampleProcesses(o.PIDs)), nil
}

// connect opens n sessions, spread over the servers.
func (o *Options) connect(n int) ([]*client, error) {
	clients := make([]*client, 0, n)
	for i := range n {
		c, err := dial(o.Servers[i%len(o.Servers)], o.Timeout, 30*time.Second)
		if err != nil {
			closeAll(clients)
			return nil, fmt.Errorf("connection %d of %d: %w", i+1, n, err)
		}
		clients = append(clients, c)
	}
	return clients, nil
}

// closeAll ends sessions whose end is of no interest any more.
func closeAll(clients []*client) {
	for _, c := range clients {
		_ = c.close()
	}
}

// runStream runs one of the streams; counting is called when the warm-up ends.
func runStream(ctx context.Context, o *Options, p *Progress, counting func()) (result, error) {
	s := streams[o.Workload]
	admin, err := dial(o.Servers[0], o.Timeout, 30*time.Second)
	if err != nil {
		return result{}, err
	}
	defer admin.close()
	if err := admin.ensure(o.Root, nil); err != nil {
		return result{}, err
	}
	if s.setup != nil {
		p.phase("setting up")
		if err := s.setup(admin, o); err != nil {
			return result{}, err
		}
	}
	// The session of the setup must outlive a long load.
	stopPings := pingInBackground(admin, o.Timeout/3)
	clients, err := o.connect(o.Connections)
	if err != nil {
		stopPings()
		return result{}, err
	}
	lanes := make([]*lane, len(clients))
	for i, c := range clients {
		rng := rand.New(rand.NewPCG(o.Seed, uint64(i)))
		lanes[i] = &lane{c: c, next: s.lane(o, i, rng), depth: o.Depth, hist: newHistogram()}
		if o.Rate > 0 {
			lanes[i].period = time.Duration(float64(len(clients)) / o.Rate * float64(time.Second))
		}
	}
	p.phase(o.Workload)
	warm := time.AfterFunc(o.Warmup, counting)
	defer warm.Stop()
	r, err := runLoad(ctx, lanes, o.Warmup, o.Duration, p.update)
	closeAll(clients)
	stopPings()
	if err == nil && !o.Keep {
		p.phase("cleaning up")
		err = removeTree(admin, o.Root)
	}
	return r, err
}

// pingInBackground keeps a session alive that nobody else uses meanwhile, until
// the returned function is called.
func pingInBackground(c *client, every time.Duration) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				if c.ping() != nil {
					return
				}
			}
		}
	}()
	return func() { close(done); <-ended }
}

// removeTree deletes root and all below it, pipelined, a directory at a time.
func removeTree(c *client, root string) error {
	rep, err := c.call(wire.OpGetChildren, &wire.WatchRequest{Path: root})
	if err != nil {
		return err
	}
	var names wire.StringsResponse
	if err := wire.Unmarshal(append([]byte(nil), rep...), &names); err != nil {
		return err
	}
	var full []string
	for sent, got := 0, 0; got < len(names.Names); {
		for sent < len(names.Names) && sent-got < fillDepth {
			c.send(wire.OpDelete, &wire.DeleteRequest{Path: root + "/" + names.Names[sent], Version: -1})
			sent++
		}
		if err := c.flush(); err != nil {
			return err
		}
		h, _, err := c.reply()
		if err != nil {
			return fmt.Errorf("cleaning up: %w", err)
		}
		if h.Err == wire.ErrNotEmpty {
			full = append(full, root+"/"+names.Names[got])
		}
		got++
	}
	for _, dir := range full {
		if err := removeTree(c, dir); err != nil {
			return err
		}
	}
	_, err = c.call(wire.OpDelete, &wire.DeleteRequest{Path: root, Version: -1})
	return err
}
