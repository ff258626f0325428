package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"zooid/wire"
)

// place is the part of the tree that a run works in: a znode of its own below
// the root, so that it neither finds nor removes what others keep there. What
// an earlier run of the same workload has left is removed first.
type place struct {
	c         *client // makes and removes; its session outlives the load
	root, dir string
	keep      bool
	stopPings func()
	unguard   func() bool
}

// dir is the znode under which a run makes what it needs.
func (o *Options) dir() string { return o.Root + "/" + o.Workload }

// newPlace makes an empty place. leave must be called. A while after ctx has
// ended the place's connection ends, whatever it is waiting for.
func newPlace(ctx context.Context, o *Options, p *Progress) (*place, error) {
	c, err := dial(o.Servers[0], o.Timeout, dialTimeout)
	if err != nil {
		return nil, err
	}
	pl := &place{c: c, root: o.Root, dir: o.dir(), keep: o.Keep}
	pl.unguard = context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Now().Add(drainLimit)) })
	p.phase("clearing " + pl.dir)
	if err := pl.clear(); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return pl, nil
}

func (pl *place) clear() error {
	if _, err := pl.c.create(pl.root, nil, wire.FlagPersistent); err != nil && !errors.Is(err, wire.ErrNodeExists) {
		return err
	}
	if err := removeTree(pl.c, pl.dir); err != nil {
		return err
	}
	_, err := pl.c.create(pl.dir, nil, wire.FlagPersistent)
	return err
}

// rest keeps the place's session alive while others work, until leave.
func (pl *place) rest() { pl.stopPings = pingInBackground(pl.c) }

// leave removes what was made, unless it is to be kept, and ends the session.
// What goes wrong becomes the run's error, unless it has one: then nobody
// wants to read the consequences.
func (pl *place) leave(p *Progress, runErr *error) {
	defer pl.unguard()
	if pl.stopPings != nil {
		pl.stopPings()
	}
	var err error
	if !pl.keep {
		p.phase("cleaning up")
		err = removeTree(pl.c, pl.dir)
		if err == nil {
			err = pl.c.remove(pl.root)
		}
		if errors.Is(err, wire.ErrNotEmpty) {
			err = nil // others have something below the root
		}
	}
	if err = errors.Join(err, pl.c.close()); *runErr == nil {
		*runErr = err
	}
}

// pingInBackground keeps a session alive that nobody else uses meanwhile, until
// the returned function is called.
func pingInBackground(c *client) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(max(c.timeout/3, time.Millisecond))
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

// pipeDepth is how many requests are in flight while a tree is made or removed.
// It stays below ZooKeeper's bound on outstanding requests.
const pipeDepth = 500

// pipeline makes n requests, many at a time, and hands the outcome of each to
// check, in order. request queues the i-th.
func pipeline(c *client, n int, request func(i int), check func(i int, code wire.ErrCode) error) error {
	for sent, got := 0, 0; got < n; {
		for ; sent < n && sent-got < pipeDepth; sent++ {
			request(sent)
		}
		if err := c.flush(); err != nil {
			return err
		}
		for first := true; first || c.buffered() && got < sent; first = false {
			h, _, err := c.reply()
			if err == nil {
				err = check(got, h.Err)
			}
			if err != nil {
				return err
			}
			got++
		}
	}
	return nil
}

// fill creates n znodes.
func fill(c *client, n int, node func(k int) *wire.CreateRequest) error {
	return pipeline(c, n, func(k int) { c.send(wire.OpCreate, node(k)) }, func(k int, code wire.ErrCode) error {
		if code != wire.OK {
			return fmt.Errorf("create %s: %w", node(k).Path, code)
		}
		return nil
	})
}

// removeTree deletes a znode and all below it. One that is not there is fine.
func removeTree(c *client, root string) error {
	rep, err := c.call(wire.OpGetChildren, &wire.WatchRequest{Path: root})
	if errors.Is(err, wire.ErrNoNode) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", root, err)
	}
	var names wire.StringsResponse
	if err := wire.Unmarshal(append([]byte(nil), rep...), &names); err != nil {
		return err
	}
	var full []string
	path := func(i int) string { return root + "/" + names.Names[i] }
	err = pipeline(c, len(names.Names), func(i int) {
		c.send(wire.OpDelete, &wire.DeleteRequest{Path: path(i), Version: -1})
	}, func(i int, code wire.ErrCode) error {
		switch code {
		case wire.ErrNotEmpty:
			full = append(full, path(i))
		case wire.OK, wire.ErrNoNode: // an ephemeral may go by itself
		default:
			return fmt.Errorf("delete %s: %w", path(i), code)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, dir := range full {
		if err := removeTree(c, dir); err != nil {
			return err
		}
	}
	return c.remove(root)
}

// keyPaths are the znodes that are read and written.
func (o *Options) keyPaths() []string {
	if o.paths == nil {
		name := newNumbered(o.dir() + "/k")
		o.paths = make([]string, o.Keys)
		for k := range o.paths {
			o.paths[k] = name.path(int64(k), 7)
		}
	}
	return o.paths
}

func setupKeys(c *client, o *Options) error {
	paths, data := o.keyPaths(), payload(o.Size)
	return fill(c, o.Keys, func(k int) *wire.CreateRequest {
		return &wire.CreateRequest{Path: paths[k], Data: data, ACL: wire.OpenACL}
	})
}

func setupChildren(c *client, o *Options) error {
	return fill(c, o.Children, func(k int) *wire.CreateRequest {
		return &wire.CreateRequest{Path: fmt.Sprintf("%s/child-%010d", o.dir(), k), ACL: wire.OpenACL}
	})
}

// payload is data for a znode.
func payload(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte('a' + i%26)
	}
	return b
}

// numbered makes the path prefix + n without the machinery of fmt.
type numbered struct{ buf []byte }

func newNumbered(prefix string) *numbered { return &numbered{[]byte(prefix)} }

// path gives the path of n in at least width digits.
func (p *numbered) path(n int64, width int) string {
	start := len(p.buf)
	defer func() { p.buf = p.buf[:start] }()
	for least := int64(10); width > 1; width-- {
		if n < least {
			p.buf = append(p.buf, '0')
		}
		least *= 10
	}
	p.buf = strconv.AppendInt(p.buf, n, 10)
	return string(p.buf)
}
