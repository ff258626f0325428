package kill

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"zooid/integration/rawclient"
	"zooid/wire"
)

// writer is a client with nodes of its own: below its root stand the nodes
// n-0, n-1, …, each with a number as its data that only grows, and the children
// of /pairs, of which a multi makes two at a time or none.
type writer struct {
	id     int
	root   string
	r      *rand.Rand
	conn   *rawclient.Conn
	nodes  map[string]int // acknowledged data; the node is there
	pairs  int            // pairs acknowledged
	eph    string         // ephemeral of the session, "" if none
	acked  int            // writes acknowledged, all rounds
	zxid   wire.Zxid      // of the last acknowledged write
	flight *attempt       // what was under way when the server died
}

// attempt is a write without an answer.
type attempt struct {
	kind string // create, set, delete, pair, eph
	path string
	data int
}

func newWriter(id int, seed uint64) *writer {
	return &writer{
		id: id, root: fmt.Sprintf("/w%d", id), nodes: map[string]int{},
		r: rand.New(rand.NewPCG(seed, uint64(id))),
	}
}

// prepare makes the writer's fixed nodes.
func (w *writer) prepare() error {
	for _, p := range []string{w.root, w.root + "/pairs"} {
		if _, _, err := w.conn.Create(p, nil, 0); err != nil {
			return err
		}
	}
	return nil
}

// run writes until the connection breaks, which is no error.
func (w *writer) run() error {
	for {
		a := w.next()
		w.flight = a
		err := w.do(a)
		var code wire.ErrCode
		if errors.As(err, &code) {
			return fmt.Errorf("%s %s: %w", a.kind, a.path, err)
		}
		if err != nil {
			return nil
		}
		w.settle(a)
		w.flight = nil
		w.acked++
		w.zxid = w.conn.LastZxid
	}
}

const nodesEach = 20

func (w *writer) next() *attempt {
	path := fmt.Sprintf("%s/n-%d", w.root, w.r.IntN(nodesEach))
	data, there := w.nodes[path]
	switch n := w.r.IntN(100); {
	case n < 15:
		return &attempt{kind: "pair", path: fmt.Sprintf("%s/pairs/%d", w.root, w.pairs)}
	case n < 18 && w.eph == "":
		return &attempt{kind: "eph", path: fmt.Sprintf("%s/eph-%x", w.root, w.r.Uint64())}
	case !there:
		return &attempt{kind: "create", path: path, data: w.acked}
	case n < 30:
		return &attempt{kind: "delete", path: path}
	}
	return &attempt{kind: "set", path: path, data: max(data+1, w.acked)}
}

// do asks for the write and waits for the answer.
func (w *writer) do(a *attempt) error {
	data := fmt.Appendf(nil, "%d", a.data)
	var err error
	switch a.kind {
	case "create":
		_, _, err = w.conn.Create(a.path, data, wire.FlagPersistent)
	case "eph":
		_, _, err = w.conn.Create(a.path, nil, wire.FlagEphemeral)
	case "set":
		_, err = w.conn.SetData(a.path, data, -1)
	case "delete":
		err = w.conn.Delete(a.path)
	case "pair":
		m := wire.MultiRequest{}
		for _, side := range []string{"-a", "-b"} {
			m.Ops = append(m.Ops, wire.MultiOp{Op: wire.OpCreate, Body: &wire.CreateRequest{Path: a.path + side, ACL: wire.OpenACL}})
		}
		_, err = w.conn.Call(wire.OpMulti, &m, nil)
	}
	return err
}

// settle takes over what a write did.
func (w *writer) settle(a *attempt) {
	switch a.kind {
	case "create", "set":
		w.nodes[a.path] = a.data
	case "delete":
		delete(w.nodes, a.path)
	case "pair":
		w.pairs++
	case "eph":
		w.eph = a.path
	}
}
