package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"zooid/wire"
)

// workers runs op on one goroutine per connection until the time is over, one
// operation after the other, and measures each. clients are those that op uses,
// which are closed should it hang.
func workers(ctx context.Context, o *Options, p *Progress, clients []*client, op func(n int, i int64) error) (result, error) {
	return measure(ctx, o, p, func(ctx context.Context, m *meter) (result, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		release := guard(ctx, clients)
		errs := make([]error, o.Connections)
		r := result{hist: newHistogram()}
		var mu sync.Mutex // guards r
		var wg sync.WaitGroup
		for n := range o.Connections {
			wg.Go(func() {
				hist, ops := newHistogram(), int64(0)
				for i := int64(0); ctx.Err() == nil; i++ {
					from := time.Now()
					if errs[n] = op(n, i); errs[n] != nil {
						cancel()
						return
					}
					now := time.Now()
					m.answered(1, now)
					if m.counts(now) {
						record(hist, now.Sub(from))
						ops++
					}
				}
				mu.Lock()
				r.hist.Merge(hist)
				r.ops += ops
				mu.Unlock()
			})
		}
		wg.Wait()
		return r, firstError(append(errs, release()))
	})
}

// runLock runs the recipe of ZooKeeper's documentation: an ephemeral sequential
// znode, the lowest holds the lock, everyone watches the one before.
func runLock(ctx context.Context, o *Options, p *Progress) (r result, err error) {
	place, err := newPlace(ctx, o, p)
	if err != nil {
		return r, err
	}
	defer place.leave(p, &err)
	place.rest()
	clients, err := o.connect(o.Connections)
	if err != nil {
		return r, err
	}
	defer closeAll(clients)
	p.phase(o.Workload)
	return workers(ctx, o, p, clients, func(n int, _ int64) error { return lockOnce(clients[n], place.dir) })
}

// lockOnce takes the lock and gives it back.
func lockOnce(c *client, dir string) error {
	mine, err := c.create(dir+"/lock-", nil, wire.FlagEphemeralSequential)
	if err != nil {
		return err
	}
	name := mine[len(dir)+1:]
	for {
		before, err := predecessor(c, dir, name)
		if err != nil {
			return err
		}
		if before == "" {
			return c.remove(mine)
		}
		_, err = c.call(wire.OpExists, &wire.WatchRequest{Path: dir + "/" + before, Watch: true})
		if err == nil {
			err = c.awaitEvent()
		}
		// A predecessor that is gone already leaves a watch on its creation,
		// which never comes: names are not used twice.
		if err != nil && !errors.Is(err, wire.ErrNoNode) {
			return err
		}
	}
}

// predecessor is the greatest name below dir that is smaller than name.
func predecessor(c *client, dir, name string) (string, error) {
	rep, err := c.call(wire.OpGetChildren, &wire.WatchRequest{Path: dir})
	if err != nil {
		return "", err
	}
	var kids wire.StringsResponse
	if err := wire.Unmarshal(rep, &kids); err != nil {
		return "", err
	}
	before := ""
	for _, k := range kids.Names {
		if k < name && k > before {
			before = k
		}
	}
	return strings.Clone(before), nil // the names lie in the reply
}

// runChurn opens and closes sessions.
func runChurn(ctx context.Context, o *Options, p *Progress) (r result, err error) {
	place, err := newPlace(ctx, o, p)
	if err != nil {
		return r, err
	}
	defer place.leave(p, &err)
	place.rest()
	p.phase(o.Workload)
	return workers(ctx, o, p, nil, func(n int, i int64) error {
		c, err := dial(o.Servers[n%len(o.Servers)], o.Timeout, dialTimeout)
		if err != nil {
			return err
		}
		_, err = c.create(fmt.Sprintf("%s/e%d-%d", place.dir, n, i), nil, wire.FlagEphemeral)
		return errors.Join(err, c.close())
	})
}

// runConnect opens all connections at the same time and measures each
// handshake from the common start.
func runConnect(_ context.Context, o *Options, p *Progress) (result, error) {
	clients := make([]*client, o.Connections)
	errs := make([]error, o.Connections)
	took := make([]time.Duration, o.Connections)
	var wg sync.WaitGroup
	p.phase(o.Workload)
	clock := o.startWatch()
	for i := range clients {
		wg.Go(func() {
			clients[i], errs[i] = dial(o.Servers[i%len(o.Servers)], o.Timeout, 2*dialTimeout)
			took[i] = time.Since(clock.from)
		})
	}
	wg.Wait()
	r := result{hist: newHistogram()}
	clock.stop(&r)
	defer closeAll(clients)
	for i, err := range errs {
		r.ops++
		if err != nil {
			r.errs++
			continue
		}
		record(r.hist, took[i])
	}
	if r.errs == r.ops {
		return r, errs[0]
	}
	return r, nil
}

// runIdle keeps sessions alive and measures their pings.
func runIdle(ctx context.Context, o *Options, p *Progress) (result, error) {
	p.phase("connecting")
	r := result{hist: newHistogram()}
	clients, err := o.connect(o.Connections)
	if err != nil {
		return r, err
	}
	defer closeAll(clients)
	p.phase(o.Workload)
	ctx, cancel := context.WithTimeout(ctx, o.Duration)
	defer cancel()
	release := guard(ctx, clients)
	defer release()
	clock := o.startWatch()
	ticker := time.NewTicker(max(clients[0].timeout/3, time.Millisecond))
	defer ticker.Stop()
	for ctx.Err() == nil {
		for _, c := range clients {
			from := time.Now()
			if err := c.ping(); err != nil {
				return r, fmt.Errorf("ping: %w", err)
			}
			r.ops++
			record(r.hist, time.Since(from))
		}
		p.update(r.ops)
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	clock.stop(&r) // the sessions are still there
	return r, nil
}

// runFill makes a tree for others to work beside.
func runFill(ctx context.Context, o *Options, p *Progress) (r result, err error) {
	o.Keep = true
	place, err := newPlace(ctx, o, p)
	if err != nil {
		return r, err
	}
	defer place.leave(p, &err)
	// A directory for every thousand, as real trees have.
	const perDir = 1000
	p.phase(o.Workload)
	clock := o.startWatch()
	data := payload(o.Size)
	for done := 0; done < o.Keys; done += perDir {
		if ctx.Err() != nil {
			return r, errInterrupted
		}
		dir := fmt.Sprintf("%s/d%05d", place.dir, done/perDir)
		if _, err := place.c.create(dir, nil, wire.FlagPersistent); err != nil {
			return r, err
		}
		name := newNumbered(dir + "/n")
		err := fill(place.c, min(perDir, o.Keys-done), func(k int) *wire.CreateRequest {
			return &wire.CreateRequest{Path: name.path(int64(done+k), 7), Data: data, ACL: wire.OpenACL}
		})
		if err != nil {
			return r, err
		}
		p.update(int64(done + perDir))
	}
	r = result{ops: int64(o.Keys), hist: newHistogram()}
	clock.stop(&r)
	return r, nil
}
