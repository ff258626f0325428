package oracle

import (
	"fmt"
	"sort"
	"time"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/wire"
)

// clients is the number of connections, each with a session, that a drill has
// on each side.
const clients = 4

// side is one of the two servers, with the drill's connections to it.
type side struct {
	server  *testenv.Server
	base    wire.Zxid   // what zxids are shown relative to
	applied wire.Zxid   // the greatest in a reply so far
	spent   []wire.Zxid // zxids spent on nothing, which are not counted; see unheard
	names   map[wire.SessionID]string
	times   map[wire.Zxid]int64 // ms at which a transaction was made, as far as seen

	conns [clients]*rawclient.Conn // nil: closed
	super *rawclient.Conn          // reads the whole tree
}

// newSide connects to a server that nobody else uses.
func newSide(s *testenv.Server) (*side, error) {
	d := &side{server: s, names: map[wire.SessionID]string{}, times: map[wire.Zxid]int64{}}
	var err error
	if d.super, err = rawclient.Open(s.Addr, rawclient.Options{TimeoutMs: 50_000_000}); err != nil {
		return nil, err
	}
	if err := d.super.Auth("digest", testenv.SuperAuth); err != nil {
		return nil, err
	}
	if err := d.super.Ping(); err != nil {
		return nil, err
	}
	d.base = d.super.LastZxid
	return d, nil
}

func (d *side) close() {
	for _, c := range append(d.conns[:], d.super) {
		if c != nil {
			c.Close()
		}
	}
}

// zxid shows a zxid relative to the start. 0 and -1 have meanings of their own.
func (d *side) zxid(z wire.Zxid) string {
	if z == 0 || z == -1 {
		return fmt.Sprint(int64(z))
	}
	return fmt.Sprintf("%+d", int64(d.relative(z)))
}

// relative is the number of transactions from the start to z.
func (d *side) relative(z wire.Zxid) wire.Zxid {
	n := z - d.base
	for _, s := range d.spent {
		if s <= z {
			n--
		}
	}
	return n
}

// absolute is the zxid that relative makes rel of.
func (d *side) absolute(rel wire.Zxid) wire.Zxid {
	z := d.base + rel
	for _, s := range d.spent {
		if s <= z {
			z++
		}
	}
	return z
}

// session shows a session id by the name under which the drill opened it.
func (d *side) session(id wire.SessionID) string {
	if id == 0 {
		return "0"
	}
	if name, ok := d.names[id]; ok {
		return name
	}
	return "unknown session"
}

// stat shows a Stat. The time of a transaction must be the same wherever it is
// seen, and not far from now.
func (d *side) stat(s *wire.Stat) string {
	return fmt.Sprintf("{c%s m%s p%s %s %s v%d cv%d av%d eph %s len%d n%d}",
		d.zxid(s.Czxid), d.zxid(s.Mzxid), d.zxid(s.Pzxid), d.time(s.Czxid, s.Ctime), d.time(s.Mzxid, s.Mtime),
		s.Version, s.Cversion, s.Aversion, d.session(s.EphemeralOwner), s.DataLength, s.NumChildren)
}

func (d *side) time(z wire.Zxid, ms int64) string {
	if z == 0 || ms == 0 {
		return fmt.Sprint(ms)
	}
	if off := time.Now().UnixMilli() - ms; off < -1000 || off > 3_600_000 {
		return fmt.Sprintf("time %d ms ago", off)
	}
	known, ok := d.times[z]
	if !ok {
		d.times[z] = ms
	} else if known != ms {
		return fmt.Sprintf("another time (%+d ms)", ms-known)
	}
	return "t"
}

// acl shows an ACL. A run of digest entries with the same permissions may have
// come from an auth entry, whose identities have no order.
func (d *side) acl(list []wire.ACL) string {
	if list == nil {
		return "null ACL"
	}
	list = append([]wire.ACL(nil), list...)
	for i := 0; i < len(list); {
		j := i + 1
		for j < len(list) && list[j].Perms == list[i].Perms && list[j].ID.Scheme == "digest" && list[i].ID.Scheme == "digest" {
			j++
		}
		run := list[i:j]
		sort.Slice(run, func(a, b int) bool { return run[a].ID.ID < run[b].ID.ID })
		i = j
	}
	return fmt.Sprintf("%q", list)
}

// dump shows the whole tree, a line a node.
func (d *side) dump() ([]string, []rawclient.Node, error) {
	nodes, err := d.super.Dump("/")
	if err != nil {
		return nil, nil, err
	}
	lines := make([]string, len(nodes))
	for i := range nodes {
		n := &nodes[i]
		lines[i] = fmt.Sprintf("%q %s %s %s", n.Path, bytesText(n.Data), d.acl(n.ACL), d.stat(&n.Stat))
	}
	return lines, nodes, nil
}

func bytesText(b []byte) string {
	switch {
	case b == nil:
		return "null"
	case len(b) > 64:
		return fmt.Sprintf("%q…(%d)", b[:64], len(b))
	}
	return fmt.Sprintf("%q", b)
}

// latest is the greatest zxid that the side has shown.
func (d *side) latest() wire.Zxid {
	z := d.super.LastZxid
	for _, c := range d.conns {
		if c != nil {
			z = max(z, c.LastZxid)
		}
	}
	return z
}
