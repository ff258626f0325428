package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"zooid/wire"
)

// runWatch lets many connections watch one znode and measures, for each change,
// how long it takes until the last of them has its event.
//
// One goroutine reads the connections one after the other: most events have
// come when their turn comes, and the read then costs a system call. A
// goroutine for each would be woken for each, which costs several times as
// much, on the processors that the server needs.
func runWatch(ctx context.Context, o *Options, p *Progress) (r result, err error) {
	place, err := newPlace(o, p)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, place.leave(p)) }()
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
	get := &wire.WatchRequest{Path: path, Watch: true}
	for _, c := range clients {
		c.send(wire.OpGetData, get)
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	for _, c := range clients {
		if _, err := c.answer(wire.OpGetData, c.xid); err != nil {
			return 0, err
		}
	}
	begin := time.Now()
	xid := admin.send(wire.OpSetData, &wire.SetDataRequest{Path: path, Data: data, Version: -1})
	if err := admin.flush(); err != nil {
		return 0, err
	}
	for _, c := range clients {
		if err := c.awaitEvent(); err != nil {
			return 0, err
		}
	}
	took := time.Since(begin)
	_, err := admin.answer(wire.OpSetData, xid)
	return took, err
}
