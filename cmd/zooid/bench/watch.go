package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"zooid/wire"
)

// settle is the pause between arming the watches and the change: what is
// measured is the way of the events, not the end of the arming.
const settle = 20 * time.Millisecond

// runWatch lets many connections watch one znode and measures, for each change,
// how long it takes until the last of them has its event.
//
// A goroutine for each connection waits for its event, so the time includes
// waking them: some µs each, on processors that the server needs as well. That
// is so for every server that is compared. One goroutine that reads all
// connections in turn costs the same, for it is woken as often.
func runWatch(ctx context.Context, o *Options, p *Progress) (r result, err error) {
	place, err := newPlace(ctx, o, p)
	if err != nil {
		return r, err
	}
	defer place.leave(p, &err)
	path, data := place.dir+"/watched", payload(o.Size)
	if _, err := place.c.create(path, data, wire.FlagPersistent); err != nil {
		return r, err
	}
	p.phase("connecting watchers")
	clients, err := o.connect(o.Connections)
	if err != nil {
		return r, err
	}
	defer closeAll(clients)
	release := guard(ctx, clients)
	defer release()
	p.phase(o.Workload)
	r.hist = newHistogram()
	clock := o.startWatch()
	for round := 0; round < o.Rounds && ctx.Err() == nil; round++ {
		took, err := watchRound(place.c, clients, path, data)
		if err != nil {
			return r, fmt.Errorf("round %d: %w", round+1, err)
		}
		r.ops += int64(len(clients))
		record(r.hist, took)
		p.update(r.ops)
	}
	clock.stop(&r)
	return r, nil
}

// watchRound arms every watch, changes the znode once and waits for all events.
func watchRound(admin *client, clients []*client, path string, data []byte) (time.Duration, error) {
	if err := arm(clients, path); err != nil {
		return 0, err
	}
	errs := make([]error, len(clients))
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() { errs[i] = c.awaitEvent() })
	}
	time.Sleep(settle)
	begin := time.Now()
	_, err := admin.call(wire.OpSetData, &wire.SetDataRequest{Path: path, Data: data, Version: -1})
	if err != nil {
		for _, c := range clients { // nothing will come
			_ = c.conn.Close()
		}
	}
	wg.Wait()
	return time.Since(begin), firstError(append([]error{err}, errs...))
}

// arm sets a watch by each connection, all at once.
func arm(clients []*client, path string) error {
	get := &wire.WatchRequest{Path: path, Watch: true}
	for _, c := range clients {
		c.send(wire.OpGetData, get)
		if err := c.flush(); err != nil {
			return err
		}
	}
	for _, c := range clients {
		if _, err := c.answer(wire.OpGetData, c.xid); err != nil {
			return err
		}
	}
	return nil
}
