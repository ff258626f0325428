package history

import (
	"errors"
	"fmt"
	"time"

	"zooid/integration/rawclient"
	"zooid/wire"
)

// The nodes that all clients write and read come in generations of a few. After
// so many acknowledged writes the clients go on with the next, if there is one:
// whether a history is linearizable takes time and memory by its square.
const (
	generationSize   = 5
	generationWrites = 10_000
)

// registerPaths are the nodes of so many generations.
func registerPaths(generations int) (paths []string) {
	for i := range generationSize * generations {
		paths = append(paths, fmt.Sprintf("%s/reg-%d", rootPath, i))
	}
	return paths
}

// register is one of the present generation.
func (c *Client) register() string {
	n := min(int(c.h.Acked()/generationWrites)*generationSize, len(c.h.registers)-generationSize)
	return c.h.registers[n+c.r.IntN(generationSize)]
}

// The folders of the other nodes.
const (
	rootPath = "/history"
	seqPath  = "/history/seq"
	pairPath = "/history/pairs"
	ownPath  = "/history/own"
)

// Prepare makes the nodes that the clients work on. A node that is there
// already is an error: the history would not be whole.
func (h *History) Prepare() error {
	var err error
	for range 10 { // the first try may meet a member that has just come up
		if err = h.prepare(); err == nil {
			return nil
		}
		var code wire.ErrCode
		if errors.As(err, &code) {
			break
		}
	}
	return fmt.Errorf("preparing the nodes: %w", err)
}

func (h *History) prepare() error {
	conn, err := h.open(h.opts.Servers[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, p := range append([]string{rootPath, seqPath, pairPath, ownPath}, h.registers...) {
		if _, _, err := conn.Create(p, nil, wire.FlagPersistent); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return conn.CloseSession()
}

// open makes a session of its own with a member.
func (h *History) open(server int) (*rawclient.Conn, error) {
	nc, err := h.opts.Dial(server, 5*time.Second)
	if err != nil {
		return nil, err
	}
	conn, err := rawclient.Handshake(nc, rawclient.Options{Wait: 10 * time.Second})
	if err != nil {
		nc.Close()
	}
	return conn, err
}

// step does one thing, by the client's dice.
func (c *Client) step() {
	p := c.register()
	switch n := c.r.IntN(100); {
	case n < 20:
		c.write(p)
	case n < 45:
		c.writeIf(p)
	case n < 60:
		c.syncThen(Op{Kind: SyncRead, Path: p})
	case n < 78:
		c.read(p)
	case n < 83:
		c.createSeq()
	case n < 87:
		c.pair()
	case n < 92:
		c.turnOwn()
	case n < 93:
		c.drop() // and go on with the session elsewhere
	case n < 94 || n < 98 && c.h.opts.CountAnew:
		c.abandon(p)
	default:
		c.syncThen(Op{Kind: Look, Path: c.ownOf(c.r.IntN(len(c.h.clients)))})
	}
}

func (c *Client) write(path string) {
	v := c.value()
	c.set(Op{Kind: Write, Path: path, Value: v, Asked: -1})
}

// writeIf is a compare-and-set with the version last seen.
func (c *Client) writeIf(path string) {
	c.set(Op{Kind: WriteIf, Path: path, Value: c.value(), Asked: c.versions[path]})
}

func (c *Client) set(op Op) {
	var st wire.Stat
	c.ask(op, wire.OpSetData, &wire.SetDataRequest{Path: op.Path, Data: []byte(op.Value), Version: op.Asked}, &st, func(o *Op) {
		o.Mzxid, o.Version = st.Mzxid, st.Version
		c.versions[o.Path] = st.Version
	})
}

// abandon asks for a write and leaves before the answer.
func (c *Client) abandon(path string) {
	op := Op{Kind: Write, Path: path, Value: c.value(), Asked: -1, Call: c.h.now(), Return: Never}
	op.Client, op.Server, op.Conn, op.Session = c.n, c.server, c.conns, c.session
	// Whether the request went out is as unknown as what becomes of it.
	_, _ = c.conn.Send(wire.OpSetData, &wire.SetDataRequest{Path: path, Data: []byte(op.Value), Version: -1})
	c.ops = append(c.ops, op)
	c.drop()
}

// read is a plain read with a watch.
func (c *Client) read(path string) { c.get(Op{Kind: Read, Path: path, Call: c.h.now()}) }

func (c *Client) get(op Op) {
	var r wire.GetDataResponse
	watch := op.Kind == Read
	c.askSince(op, wire.OpGetData, &wire.WatchRequest{Path: op.Path, Watch: watch}, &r, func(o *Op) {
		o.Value, o.Mzxid, o.Version = string(r.Data), r.Stat.Mzxid, r.Stat.Version
		c.versions[o.Path] = r.Stat.Version
		if _, ok := c.armed[o.Path]; watch && !ok {
			c.armed[o.Path] = r.Stat.Mzxid
		}
	})
}

// syncThen reads what was there when it was asked, or later. The sync and the
// read are one op: it begins when the sync is asked.
func (c *Client) syncThen(op Op) {
	op.Call = c.h.now()
	header, err := c.conn.Call(wire.OpSync, &wire.PathRequest{Path: op.Path}, &wire.PathResponse{})
	c.takeEvents()
	if err != nil {
		op.Client, op.Server, op.Conn, op.Session, op.Return, op.Code = c.n, c.server, c.conns, c.session, Never, header.Err
		c.ops = append(c.ops, op)
		c.drop()
		return
	}
	if op.Kind == SyncRead {
		c.get(op)
		return
	}
	var st wire.Stat
	c.askSince(op, wire.OpExists, &wire.WatchRequest{Path: op.Path}, &st, func(o *Op) { o.Owner = st.EphemeralOwner })
}

// createSeq makes a sequential node; its name becomes the op's path.
func (c *Client) createSeq() {
	var r wire.Create2Response
	v := c.value()
	c.ask(Op{Kind: CreateSeq, Value: v}, wire.OpCreate2,
		&wire.CreateRequest{Path: seqPath + "/n-", Data: []byte(v), ACL: wire.OpenACL, Flags: wire.FlagPersistentSequential}, &r,
		func(o *Op) { o.Path = r.Path })
}

// pair makes two nodes in one multi.
func (c *Client) pair() {
	path := pairPath + "/" + c.value()
	m := wire.MultiRequest{}
	for _, side := range pairSides {
		m.Ops = append(m.Ops, wire.MultiOp{Op: wire.OpCreate, Body: &wire.CreateRequest{Path: path + side, ACL: wire.OpenACL}})
	}
	c.ask(Op{Kind: Pair, Path: path}, wire.OpMulti, &m, nil, nil)
}

var pairSides = []string{"-a", "-b"}

// turnOwn makes the client's ephemeral, or removes it.
func (c *Client) turnOwn() {
	path := c.ownOf(c.n)
	if c.own {
		c.ask(Op{Kind: DeleteOwn, Path: path}, wire.OpDelete, &wire.DeleteRequest{Path: path, Version: -1}, nil, nil)
		c.own = false
		return
	}
	c.ask(Op{Kind: CreateOwn, Path: path}, wire.OpCreate2,
		&wire.CreateRequest{Path: path, ACL: wire.OpenACL, Flags: wire.FlagEphemeral}, &wire.Create2Response{}, nil)
	c.own = true
}

// ownOf is the path of a client's ephemeral.
func (c *Client) ownOf(n int) string { return fmt.Sprintf("%s/%d", ownPath, n) }
