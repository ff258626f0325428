package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"zooid/wire"
)

// prepareRoot makes the root and gives what removes it again.
func prepareRoot(o *Options) (admin *client, cleanup func() error, err error) {
	if admin, err = dial(o.Servers[0], o.Timeout, 30*time.Second); err != nil {
		return nil, nil, err
	}
	if err := admin.ensure(o.Root, nil); err != nil {
		return nil, nil, errors.Join(err, admin.close())
	}
	stopPings := pingInBackground(admin, o.Timeout/3)
	return admin, func() error {
		stopPings()
		if !o.Keep {
			if err := removeTree(admin, o.Root); err != nil {
				return err
			}
		}
		return admin.close()
	}, nil
}

func runFill(_ context.Context, o *Options, p *Progress) (result, error) {
	c, err := dial(o.Servers[0], o.Timeout, 30*time.Second)
	if err != nil {
		return result{}, err
	}
	if err := c.ensure(o.Root, nil); err != nil {
		return result{}, err
	}
	// A directory for every thousand, as real trees have.
	const perDir = 1000
	begin := time.Now()
	data := payload(o.Size)
	for done := 0; done < o.Keys; done += perDir {
		dir := fmt.Sprintf("%s/d%05d", o.Root, done/perDir)
		if err := c.ensure(dir, nil); err != nil {
			return result{}, err
		}
		err := fill(c, min(perDir, o.Keys-done), func(k int) *wire.CreateRequest {
			return &wire.CreateRequest{Path: fmt.Sprintf("%s/n%07d", dir, done+k), Data: data, ACL: wire.OpenACL}
		})
		if err != nil {
			return result{}, err
		}
		p.update(int64(done + perDir))
	}
	r := result{ops: int64(o.Keys), took: time.Since(begin), hist: newHistogram()}
	return r, c.close()
}

// runWatch lets many connections watch one znode and measures, for each change,
// how long it takes until the last of them has its event.
func runWatch(ctx context.Context, o *Options, p *Progress) (result, error) {
	admin, err := dial(o.Servers[0], o.Timeout, 30*time.Second)
	if err != nil {
		return result{}, err
	}
	path := o.Root + "/watched"
	if err := errors.Join(admin.ensure(o.Root, nil), admin.ensure(path, payload(o.Size))); err != nil {
		return result{}, err
	}
	p.phase("connecting watchers")
	clients, err := o.connect(o.Watchers)
	if err != nil {
		return result{}, err
	}
	p.phase("watch")
	r := result{hist: newHistogram()}
	begin := time.Now()
	for round := 0; round < o.Rounds && ctx.Err() == nil; round++ {
		took, err := watchRound(admin, clients, path, payload(o.Size))
		if err != nil {
			return result{}, fmt.Errorf("round %d: %w", round+1, err)
		}
		r.ops += int64(len(clients))
		_ = r.hist.RecordValue(took.Microseconds())
		p.update(r.ops)
	}
	r.took = time.Since(begin)
	closeAll(clients)
	if !o.Keep {
		err = removeTree(admin, o.Root)
	}
	return r, errors.Join(err, admin.close())
}

// watchRound arms every watch, changes the znode once and waits for all events.
func watchRound(admin *client, clients []*client, path string, data []byte) (time.Duration, error) {
	for _, c := range clients {
		if _, err := c.call(wire.OpGetData, &wire.WatchRequest{Path: path, Watch: true}); err != nil {
			return 0, err
		}
	}
	var wg sync.WaitGroup
	var failure atomic.Pointer[error]
	for _, c := range clients {
		wg.Go(func() {
			if err := c.awaitEvent(); err != nil {
				failure.Store(&err)
			}
		})
	}
	begin := time.Now()
	_, err := admin.call(wire.OpSetData, &wire.SetDataRequest{Path: path, Data: data, Version: -1})
	if err != nil {
		closeAll(clients)
		return 0, err
	}
	wg.Wait()
	took := time.Since(begin)
	if p := failure.Load(); p != nil {
		return 0, *p
	}
	return took, nil
}

// awaitEvent blocks until a notification arrives on a connection that awaits no
// reply.
func (c *client) awaitEvent() error {
	frame, err := c.readFrame()
	if err != nil {
		return err
	}
	var h wire.ReplyHeader
	if err := wire.Unmarshal(frame, &h); err != nil {
		return err
	}
	if h.Xid != wire.XidNotification {
		return fmt.Errorf("a reply to request %d where an event was expected", h.Xid)
	}
	return nil
}

// ping sends a ping and waits for its reply.
func (c *client) ping() error {
	start := len(c.out)
	h := wire.RequestHeader{Xid: wire.XidPing, Op: wire.OpPing}
	c.out = wire.EndFrame(h.Append(wire.BeginFrame(c.out)), start)
	if err := c.flush(); err != nil {
		return err
	}
	_, _, err := c.reply()
	return err
}

// workers runs one goroutine per connection until the time is over, each doing
// one operation after the other, and measures them.
func workers(ctx context.Context, o *Options, p *Progress, op func(n int, i int64) error) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Warmup+o.Duration)
	defer cancel()
	begin := time.Now()
	countFrom := begin.Add(o.Warmup)
	m := &meter{begin: begin}
	var mu sync.Mutex
	var wg sync.WaitGroup
	r := result{hist: newHistogram()}
	var failure error
	for n := range o.Connections {
		wg.Go(func() {
			hist, ops := newHistogram(), int64(0)
			for i := int64(0); ctx.Err() == nil; i++ {
				from := time.Now()
				if err := op(n, i); err != nil {
					mu.Lock()
					failure = err
					mu.Unlock()
					cancel()
					return
				}
				now := time.Now()
				m.answered(1, now)
				if from.After(countFrom) {
					m.counting.Store(true)
					_ = hist.RecordValue(max(1, now.Sub(from).Microseconds()))
					ops++
				}
			}
			mu.Lock()
			r.hist.Merge(hist)
			r.ops += ops
			mu.Unlock()
		})
	}
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ticker.C:
			p.update(m.done.Load())
		case <-ctx.Done():
		}
	}
	wg.Wait()
	r.took = time.Since(countFrom)
	r.gapMax = time.Duration(m.gapNs.Load())
	return r, failure
}

// runLock runs the recipe of ZooKeeper's documentation: an ephemeral sequential
// znode, the lowest holds the lock, everyone watches the one before.
func runLock(ctx context.Context, o *Options, p *Progress) (result, error) {
	_, cleanup, err := prepareRoot(o)
	if err != nil {
		return result{}, err
	}
	clients, err := o.connect(o.Connections)
	if err != nil {
		return result{}, err
	}
	r, err := workers(ctx, o, p, func(n int, _ int64) error { return lockOnce(clients[n], o.Root) })
	closeAll(clients)
	return r, errors.Join(err, cleanup())
}

func lockOnce(c *client, dir string) error {
	mine, err := c.create(dir+"/lock-", nil, wire.FlagEphemeralSequential)
	if err != nil {
		return err
	}
	name := mine[len(dir)+1:]
	for {
		rep, err := c.call(wire.OpGetChildren, &wire.WatchRequest{Path: dir})
		if err != nil {
			return err
		}
		var kids wire.StringsResponse
		if err := wire.Unmarshal(rep, &kids); err != nil {
			return err
		}
		before := ""
		for _, k := range kids.Names {
			if k < name && k > before {
				before = k
			}
		}
		if before == "" {
			break
		}
		fired := false
		c.event = func(wire.WatcherEvent) { fired = true }
		_, err = c.call(wire.OpExists, &wire.WatchRequest{Path: dir + "/" + strings.Clone(before), Watch: true})
		if err == nil && !fired {
			err = c.awaitEvent()
		}
		// A predecessor that is gone already leaves a watch on its creation,
		// which never comes: names are not used twice.
		if err != nil && !errors.Is(err, wire.ErrNoNode) {
			return err
		}
	}
	_, err = c.call(wire.OpDelete, &wire.DeleteRequest{Path: mine, Version: -1})
	return err
}

func runChurn(ctx context.Context, o *Options, p *Progress) (result, error) {
	_, cleanup, err := prepareRoot(o)
	if err != nil {
		return result{}, err
	}
	r, err := workers(ctx, o, p, func(n int, i int64) error {
		c, err := dial(o.Servers[n%len(o.Servers)], o.Timeout, 30*time.Second)
		if err != nil {
			return err
		}
		_, err = c.create(fmt.Sprintf("%s/e%d-%d", o.Root, n, i), nil, wire.FlagEphemeral)
		return errors.Join(err, c.close())
	})
	return r, errors.Join(err, cleanup())
}

// runConnect opens all connections at the same time and measures each
// handshake from the common start.
func runConnect(_ context.Context, o *Options, p *Progress) (result, error) {
	clients := make([]*client, o.Connections)
	errs := make([]error, o.Connections)
	took := make([]time.Duration, o.Connections)
	var wg sync.WaitGroup
	p.phase("connect")
	begin := time.Now()
	for i := range clients {
		wg.Go(func() {
			clients[i], errs[i] = dial(o.Servers[i%len(o.Servers)], o.Timeout, time.Minute)
			took[i] = time.Since(begin)
		})
	}
	wg.Wait()
	r := result{took: time.Since(begin), hist: newHistogram()}
	for i, err := range errs {
		r.ops++
		if err != nil {
			r.errs++
			continue
		}
		_ = r.hist.RecordValue(took[i].Microseconds())
	}
	closeAll(slices.DeleteFunc(clients, func(c *client) bool { return c == nil }))
	if r.errs == r.ops {
		return r, errs[0]
	}
	return r, nil
}

func runIdle(ctx context.Context, o *Options, p *Progress) (result, error) {
	p.phase("connecting")
	clients, err := o.connect(o.Connections)
	if err != nil {
		return result{}, err
	}
	p.phase("idle")
	ctx, cancel := context.WithTimeout(ctx, o.Duration)
	defer cancel()
	r := result{hist: newHistogram()}
	begin := time.Now()
	ticker := time.NewTicker(o.Timeout / 3)
	defer ticker.Stop()
	for ctx.Err() == nil {
		for _, c := range clients {
			from := time.Now()
			if err := c.ping(); err != nil {
				return r, fmt.Errorf("ping: %w", err)
			}
			r.ops++
			_ = r.hist.RecordValue(max(1, time.Since(from).Microseconds()))
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	r.took = time.Since(begin)
	// Measured while the sessions are still there.
	o.idleSample = sampleProcesses(o.PIDs)
	closeAll(clients)
	return r, nil
}

// runRestart starts the server's command and measures the time until it
// answers a handshake and a first read; then it stops it with SIGTERM.
func runRestart(ctx context.Context, o *Options, p *Progress) (result, error) {
	args := strings.Fields(o.Exec)
	r := result{hist: newHistogram()}
	begin := time.Now()
	for round := range o.Rounds {
		p.phase(fmt.Sprintf("start %d of %d", round+1, o.Rounds))
		took, err := startOnce(ctx, args, o)
		if err != nil {
			return r, err
		}
		r.ops++
		_ = r.hist.RecordValue(took.Microseconds())
	}
	r.took = time.Since(begin)
	return r, nil
}

// startWait bounds the wait for a server that was started.
const startWait = 5 * time.Minute

func startOnce(ctx context.Context, args []string, o *Options) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start %s: %w", args[0], err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	took, err := awaitRead(o.Servers[0], begin, startWait, exited)
	if err != nil {
		return 0, errors.Join(err, cmd.Process.Kill())
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	<-exited
	return took, nil
}

// AwaitRead polls a server that is starting until it answers a handshake and a
// read, and gives the time since begin.
func AwaitRead(addr string, begin time.Time, limit time.Duration) (time.Duration, error) {
	return awaitRead(addr, begin, limit, nil)
}

// awaitRead gives up when exited says that the server has ended.
func awaitRead(addr string, begin time.Time, limit time.Duration, exited <-chan error) (time.Duration, error) {
	for time.Since(begin) < limit {
		select {
		case err := <-exited:
			return 0, fmt.Errorf("the server ended before it answered: %w", err)
		default:
		}
		c, err := dial(addr, 10*time.Second, time.Second)
		if err != nil {
			time.Sleep(time.Millisecond)
			continue
		}
		_, err = c.call(wire.OpGetChildren, &wire.WatchRequest{Path: "/"})
		took := time.Since(begin)
		return took, errors.Join(err, c.close())
	}
	return 0, fmt.Errorf("no answer from %s within %v", addr, limit)
}
