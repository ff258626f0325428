package peer

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"zooid/wire"
	"zooid/znode"
)

// chaos drives an ensemble at random: clients come, ask and move, members stop,
// start and lose each other.
type chaos struct {
	*world
	rng      *rand.Rand
	lastConn znode.ConnID
	lastCxid int32
	answered map[znode.ConnID]int32 // cxid of the last request that was answered
	created  map[string]wire.Zxid   // acknowledged creates
	count    int
}

// TestRandomEnsembles looks, after each run, whether all members have the same
// tree with everything in it that was acknowledged, and nothing hangs. The
// simulator of package integration does far worse things; this is the quick look.
func TestRandomEnsembles(t *testing.T) {
	seeds := uint64(40)
	if testing.Short() {
		seeds = 5
	}
	answered := 0
	for seed := uint64(1); seed <= seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { answered += runChaos(t, seed) })
	}
	if answered < 50*int(seeds) {
		t.Errorf("only %d requests were answered", answered)
	}
}

// runChaos is one run; it tells how many requests were answered.
func runChaos(t *testing.T, seed uint64) int {
	rng := rand.New(rand.NewPCG(seed, 0))
	cfg := Config{HoldMs: int64(rng.IntN(3) * 1000), LocalSessions: rng.IntN(3) == 0, LocalUpgrade: true}
	cfg.Zab.DiffBytes = int64(1) << (8 + rng.IntN(12))
	cfg.Zab.RecentBytes = cfg.Zab.DiffBytes / 4
	voters := 3 + 2*rng.IntN(2)
	c := &chaos{world: newWorld(t, cfg, voters, voters+rng.IntN(2)), rng: rng,
		answered: map[znode.ConnID]int32{}, created: map[string]wire.Zxid{}}
	c.replied = c.check
	c.run(2000)
	for range 400 {
		c.step()
		c.run(int64(rng.IntN(40)))
	}
	c.heal()
	c.run(15_000)
	c.agree()
	return c.count
}

func (c *chaos) someone() *member { return c.members[wire.SID(1+c.rng.IntN(len(c.members)))] }

func (c *chaos) step() {
	m := c.someone()
	switch n := c.rng.IntN(100); {
	case n < 3 && m.up:
		c.stop(m.sid)
	case n < 8 && !m.up:
		c.start(m.sid)
	case n < 10:
		if other := c.someone(); other != m {
			c.separate(m.sid, other.sid)
		}
	case n < 14:
		clear(c.cut)
	case !m.up:
	case n < 40 || len(m.clients) == 0:
		c.come(m)
	default:
		conns := slices.Sorted(maps.Keys(m.clients))
		if to := m.clients[conns[c.rng.IntN(len(conns))]]; to.session != 0 && !to.closing {
			for range 1 + c.rng.IntN(4) {
				if !to.closing {
					c.ask(m, to)
				}
			}
		}
	}
}

// come connects a client, often with a session that exists somewhere.
func (c *chaos) come(m *member) {
	if m.told.State == wire.Looking && !m.told.Held {
		return // the server would not let it in
	}
	c.lastConn++
	conn := c.lastConn
	var id wire.SessionID
	if n := len(c.names); n > 0 && c.rng.IntN(2) == 0 {
		id = c.ids[fmt.Sprintf("s%d", 1+c.rng.IntN(n))]
	}
	passwd := c.passwd(id)
	c.on(m, 0, func() {
		if m.told.State == wire.Looking && !m.told.Held {
			return
		}
		m.clients[conn] = &client{conn: conn}
		m.peer.Attach(conn, id, passwd[:], 4000, startMs+c.now)
	})
}

func (c *chaos) ask(m *member, to *client) {
	c.lastCxid++
	path := fmt.Sprintf("/n%d", c.rng.IntN(30))
	r := &znode.Request{Conn: to.conn, Cxid: c.lastCxid}
	switch c.rng.IntN(7) {
	case 0, 1:
		path = fmt.Sprintf("/u%d", c.lastCxid)
		r.Op, r.Body = wire.OpCreate, &wire.CreateRequest{Path: path, ACL: wire.OpenACL}
	case 2:
		r.Op, r.Body = wire.OpCreate, &wire.CreateRequest{Path: path, ACL: wire.OpenACL, Flags: wire.FlagEphemeral}
	case 3:
		r.Op, r.Body = wire.OpDelete, &wire.DeleteRequest{Path: path, Version: -1}
	case 4:
		r.Op, r.Body = wire.OpSetData, &wire.SetDataRequest{Path: path, Data: []byte(path), Version: -1}
	case 5:
		r.Op, r.Body = wire.OpSync, &wire.PathRequest{Path: "/"}
	case 6:
		if c.rng.IntN(4) == 0 {
			r.Op, to.closing = wire.OpCloseSession, true
		} else {
			// For a leader's own clients the server would have refused it.
			r.Op, r.Raw, r.Refused = wire.OpCreate, []byte{1}, wire.ErrMarshalling
		}
	}
	c.submit(m, r)
}

// check looks at an outcome: a connection is answered in the order of its
// requests.
func (c *chaos) check(m *member, to *client, a *znode.Applied) {
	c.count++
	if a.Cxid <= c.answered[to.conn] {
		c.t.Errorf("member %d: connection %d is answered %d after %d", m.sid, to.conn, a.Cxid, c.answered[to.conn])
	}
	c.answered[to.conn] = a.Cxid
	if a.Op == wire.OpCreate && a.Err == wire.OK && a.Path[1] == 'u' {
		c.created[a.Path] = a.Zxid
	}
}

// heal ends all that is wrong, and takes the clients away.
func (c *chaos) heal() {
	clear(c.cut)
	for _, sid := range c.sids() {
		if !c.members[sid].up {
			c.start(sid)
		}
	}
	c.run(3000)
	for _, m := range c.members {
		for conn := range m.clients {
			c.disconnect(m, conn)
		}
	}
}

// agree looks at the end.
func (c *chaos) agree() {
	first := c.members[1]
	digests := map[wire.Zxid]uint64{}
	for _, sid := range c.sids() {
		m := c.members[sid]
		s := m.peer.Status()
		switch {
		case s.Serving.State == wire.Looking:
			c.t.Errorf("member %d has no leader", sid)
		case m.tree.LastZxid() != first.tree.LastZxid() || m.tree.Digest() != first.tree.Digest():
			c.t.Errorf("member %d is at %v with digest %x, member 1 at %v with %x", sid, m.tree.LastZxid(), m.tree.Digest(),
				first.tree.LastZxid(), first.tree.Digest())
		case s.Outstanding+s.Held+s.PendingSyncs+s.Revalidating > 0:
			c.t.Errorf("member %d hangs: %+v", sid, s)
		case s.GlobalSessions+s.LocalSessions > 0 || m.tree.EphemeralCount() > 0:
			c.t.Errorf("member %d has sessions left, or %d ephemerals: %+v", sid, m.tree.EphemeralCount(), s)
		}
		for z, d := range m.digests {
			if known, ok := digests[z]; ok && known != d {
				c.t.Errorf("%v: digest %x and %x", z, known, d)
			}
			digests[z] = d
		}
		for path, z := range c.created {
			var out []byte
			r := znode.Reader{}
			body := wire.PathRequest{Path: path}
			if _, err := m.tree.Read(wire.OpExists, &r, append(body.Append(nil), 0), out); err != nil {
				c.t.Errorf("member %d: %s, acknowledged at %v, is lost: %v", sid, path, z, err)
			}
		}
	}
}
