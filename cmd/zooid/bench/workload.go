package bench

import (
	"fmt"
	"math/rand/v2"

	"zooid/wire"
)

// nextFunc gives the i-th request of a connection.
type nextFunc func(i int64) (wire.OpCode, wire.Appender)

// stream is a workload that is a stream of requests on each connection. setup,
// if any, makes what they need; lane gives the requests of the n-th
// connection, whose body may be reused from call to call.
type stream struct {
	about string
	setup func(c *client, o *Options) error
	lane  func(o *Options, n int, rng *rand.Rand) nextFunc
}

var streams = map[string]stream{
	"get":        {"getData of --size bytes, over --keys znodes", setupKeys, getLane},
	"exists":     {"exists, over --keys znodes", setupKeys, existsLane},
	"children":   {"getChildren of a znode with --children children", setupChildren, childrenLane},
	"set":        {"setData of --size bytes, over --keys znodes", setupKeys, setLane},
	"create":     {"create and delete in turn, --size bytes", nil, createLane},
	"sequential": {"sequential ephemerals: create, and delete of the one before", nil, sequentialLane},
	"mixed":      {"getData and setData, --reads percent reads", setupKeys, mixedLane},
	"multi":      {"multi of ten setData", setupKeys, multiLane},
}

func getLane(o *Options, _ int, rng *rand.Rand) nextFunc {
	paths, req := o.keyPaths(), new(wire.WatchRequest)
	return func(int64) (wire.OpCode, wire.Appender) {
		req.Path = paths[rng.IntN(len(paths))]
		return wire.OpGetData, req
	}
}

func existsLane(o *Options, _ int, rng *rand.Rand) nextFunc {
	paths, req := o.keyPaths(), new(wire.WatchRequest)
	return func(int64) (wire.OpCode, wire.Appender) {
		req.Path = paths[rng.IntN(len(paths))]
		return wire.OpExists, req
	}
}

func childrenLane(o *Options, _ int, _ *rand.Rand) nextFunc {
	req := &wire.WatchRequest{Path: o.dir()}
	return func(int64) (wire.OpCode, wire.Appender) { return wire.OpGetChildren, req }
}

func setLane(o *Options, _ int, rng *rand.Rand) nextFunc {
	paths, req := o.keyPaths(), &wire.SetDataRequest{Data: payload(o.Size), Version: -1}
	return func(int64) (wire.OpCode, wire.Appender) {
		req.Path = paths[rng.IntN(len(paths))]
		return wire.OpSetData, req
	}
}

func createLane(o *Options, n int, _ *rand.Rand) nextFunc {
	cre := &wire.CreateRequest{Data: payload(o.Size), ACL: wire.OpenACL}
	del := &wire.DeleteRequest{Version: -1}
	name := newNumbered(fmt.Sprintf("%s/c%d-", o.dir(), n))
	return func(i int64) (wire.OpCode, wire.Appender) {
		if i%2 == 0 {
			cre.Path = name.path(i/2, 1)
			return wire.OpCreate, cre
		}
		del.Path = cre.Path
		return wire.OpDelete, del
	}
}

// sequentialLane makes sequential ephemerals in a directory of each
// connection's own, so that the names can be told beforehand, and deletes each
// with the next request.
func sequentialLane(o *Options, n int, _ *rand.Rand) nextFunc {
	dir := fmt.Sprintf("%s/s%d", o.dir(), n)
	cre := &wire.CreateRequest{Path: dir + "/n-", Data: payload(o.Size), ACL: wire.OpenACL, Flags: wire.FlagEphemeralSequential}
	del := &wire.DeleteRequest{Version: -1}
	name := newNumbered(cre.Path)
	return func(i int64) (wire.OpCode, wire.Appender) {
		switch {
		case i == 0:
			return wire.OpCreate, &wire.CreateRequest{Path: dir, ACL: wire.OpenACL}
		case i%2 == 1:
			return wire.OpCreate, cre
		}
		del.Path = name.path(i/2-1, 10)
		return wire.OpDelete, del
	}
}

func mixedLane(o *Options, _ int, rng *rand.Rand) nextFunc {
	paths := o.keyPaths()
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
}

func multiLane(o *Options, _ int, rng *rand.Rand) nextFunc {
	paths, req, data := o.keyPaths(), new(wire.MultiRequest), payload(o.Size)
	sets := make([]wire.SetDataRequest, 10)
	for i := range sets {
		sets[i] = wire.SetDataRequest{Data: data, Version: -1}
		req.Ops = append(req.Ops, wire.MultiOp{Op: wire.OpSetData, Body: &sets[i]})
	}
	return func(int64) (wire.OpCode, wire.Appender) {
		for i := range sets {
			sets[i].Path = paths[rng.IntN(len(paths))]
		}
		return wire.OpMulti, req
	}
}
