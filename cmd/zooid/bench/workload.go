package bench

import (
	"fmt"
	"math/rand/v2"

	"zooid/wire"
)

// nextFunc gives the i-th request of a connection.
type nextFunc func(i int64) (wire.OpCode, wire.Appender)

// streams are the workloads that are streams of requests. setup makes what
// they need below root; lane gives the requests of one connection, whose body
// may be reused from call to call.
var streams = map[string]struct {
	about string
	setup func(c *client, o *Options) error
	lane  func(o *Options, n int, rng *rand.Rand) nextFunc
}{
	"get": {"getData of --size bytes, over --keys znodes", setupKeys, func(o *Options, _ int, rng *rand.Rand) nextFunc {
		paths, req := keyPaths(o), new(wire.WatchRequest)
		return func(int64) (wire.OpCode, wire.Appender) {
			req.Path = paths[rng.IntN(len(paths))]
			return wire.OpGetData, req
		}
	}},
	"exists": {"exists, over --keys znodes", setupKeys, func(o *Options, _ int, rng *rand.Rand) nextFunc {
		paths, req := keyPaths(o), new(wire.WatchRequest)
		return func(int64) (wire.OpCode, wire.Appender) {
			req.Path = paths[rng.IntN(len(paths))]
			return wire.OpExists, req
		}
	}},
	"children": {"getChildren of a znode with --children children", setupChildren, func(o *Options, _ int, _ *rand.Rand) nextFunc {
		req := &wire.WatchRequest{Path: o.Root + "/dir"}
		return func(int64) (wire.OpCode, wire.Appender) { return wire.OpGetChildren, req }
	}},
	"set": {"setData of --size bytes, over --keys znodes", setupKeys, func(o *Options, _ int, rng *rand.Rand) nextFunc {
		paths, req := keyPaths(o), &wire.SetDataRequest{Data: payload(o.Size), Version: -1}
		return func(int64) (wire.OpCode, wire.Appender) {
			req.Path = paths[rng.IntN(len(paths))]
			return wire.OpSetData, req
		}
	}},
	"create": {"create and delete in turn, --size bytes", nil, func(o *Options, n int, _ *rand.Rand) nextFunc {
		cre := &wire.CreateRequest{Data: payload(o.Size), ACL: wire.OpenACL}
		del := &wire.DeleteRequest{Version: -1}
		return func(i int64) (wire.OpCode, wire.Appender) {
			path := fmt.Sprintf("%s/c%d-%d", o.Root, n, i/2)
			if i%2 == 0 {
				cre.Path = path
				return wire.OpCreate, cre
			}
			del.Path = path
			return wire.OpDelete, del
		}
	}},
	"sequential": {"sequential ephemerals: create, and delete of the one before", nil, sequentialLane},
	"mixed": {"getData and setData, --reads percent reads", setupKeys, func(o *Options, _ int, rng *rand.Rand) nextFunc {
		paths := keyPaths(o)
		get, set := new(wire.WatchRequest), &wire.SetDataRequest{Data: payload(o.Size), Version: -1}
		return func(int64) (wire.OpCode, wire.Appender) {
			path := paths[rng.IntN(len(paths))]
			if rng.IntN(100) < o.Reads {
				get.Path = path
				return wire.OpGetData, get
			}
			set.Path = path
			return wire.OpSetData, set
		}
	}},
	"multi": {"multi of ten setData", setupKeys, func(o *Options, _ int, rng *rand.Rand) nextFunc {
		paths, req := keyPaths(o), new(wire.MultiRequest)
		for range 10 {
			req.Ops = append(req.Ops, wire.MultiOp{Op: wire.OpSetData, Body: &wire.SetDataRequest{Data: payload(o.Size), Version: -1}})
		}
		return func(int64) (wire.OpCode, wire.Appender) {
			for i := range req.Ops {
				req.Ops[i].Body.(*wire.SetDataRequest).Path = paths[rng.IntN(len(paths))]
			}
			return wire.OpMulti, req
		}
	}},
}

// sequentialLane makes sequential ephemerals in a directory of each
// connection's own, so that the names can be told beforehand, and deletes each
// with the next request.
func sequentialLane(o *Options, n int, _ *rand.Rand) nextFunc {
	cre := &wire.CreateRequest{Data: payload(o.Size), ACL: wire.OpenACL, Flags: wire.FlagEphemeralSequential}
	del := &wire.DeleteRequest{Version: -1}
	dir := fmt.Sprintf("%s/s%d", o.Root, n)
	return func(i int64) (wire.OpCode, wire.Appender) {
		if i == 0 {
			return wire.OpCreate, &wire.CreateRequest{Path: dir, ACL: wire.OpenACL}
		}
		if i%2 == 1 {
			cre.Path = dir + "/n-"
			return wire.OpCreate, cre
		}
		del.Path = fmt.Sprintf("%s/n-%010d", dir, i/2-1)
		return wire.OpDelete, del
	}
}

func keyPath(o *Options, k int) string { return fmt.Sprintf("%s/k%07d", o.Root, k) }

func keyPaths(o *Options) []string {
	paths := make([]string, o.Keys)
	for k := range paths {
		paths[k] = keyPath(o, k)
	}
	return paths
}

func payload(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte('a' + i%26)
	}
	return b
}

func setupKeys(c *client, o *Options) error {
	return fill(c, o.Keys, func(k int) *wire.CreateRequest {
		return &wire.CreateRequest{Path: keyPath(o, k), Data: payload(o.Size), ACL: wire.OpenACL}
	})
}

func setupChildren(c *client, o *Options) error {
	if err := c.ensure(o.Root+"/dir", nil); err != nil {
		return err
	}
	return fill(c, o.Children, func(k int) *wire.CreateRequest {
		return &wire.CreateRequest{Path: fmt.Sprintf("%s/dir/child-%010d", o.Root, k), ACL: wire.OpenACL}
	})
}

// fillDepth is how many creates are in flight while a tree is filled. It stays
// below ZooKeeper's bound on outstanding requests.
const fillDepth = 500

// fill creates n znodes, pipelined; those that exist are left alone.
func fill(c *client, n int, node func(k int) *wire.CreateRequest) error {
	for sent, got := 0, 0; got < n; {
		for sent < n && sent-got < fillDepth {
			c.send(wire.OpCreate, node(sent))
			sent++
		}
		if err := c.flush(); err != nil {
			return err
		}
		for first := true; first || c.in.Buffered() > 4 && got < sent; first = false {
			h, _, err := c.reply()
			if err != nil {
				return fmt.Errorf("filling the tree: %w", err)
			}
			if h.Err != wire.OK && h.Err != wire.ErrNodeExists {
				return fmt.Errorf("filling the tree: %w", h.Err)
			}
			got++
		}
	}
	return nil
}
