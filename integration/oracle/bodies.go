package oracle

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"

	"zooid/integration/testenv"
	"zooid/wire"
)

var users = []string{"alice:pw", "bob:pw", "carol:"}

func digestID(user string) wire.ID {
	name, _, _ := cutUser(user)
	sum := sha1.Sum([]byte(user))
	return wire.ID{Scheme: "digest", ID: name + ":" + base64.StdEncoding.EncodeToString(sum[:])}
}

func cutUser(user string) (name, password string, ok bool) {
	for i := range user {
		if user[i] == ':' {
			return user[:i], user[i+1:], true
		}
	}
	return user, "", false
}

// goodIDs may stand in an ACL; some match a client now and then.
var goodIDs = []wire.ID{
	{Scheme: "world", ID: "anyone"}, {Scheme: "world", ID: "anyone"}, {Scheme: "world", ID: "anyone"},
	{Scheme: "auth"}, {Scheme: "auth", ID: "ignored"},
	digestID("alice:pw"), digestID("bob:pw"), {Scheme: "digest", ID: "x:not-a-hash"},
	{Scheme: "ip", ID: "127.0.0.1"}, {Scheme: "ip", ID: "127.0.0.0/8"}, {Scheme: "ip", ID: "10.0.0.0/8"}, {Scheme: "ip", ID: "::1"},
}

var badIDs = []wire.ID{
	{Scheme: "world", ID: "someone"}, {Scheme: "digest", ID: "nocolon"}, {Scheme: "digest", ID: "a:b:c"}, {Scheme: "digest"},
	{Scheme: "ip", ID: "300.1.1.1"}, {Scheme: "ip", ID: "::1/129"}, {Scheme: "ip", ID: "x"}, {Scheme: "ip", ID: "1.2.3"},
	{Scheme: "ip", ID: "10.0.0.0/33"}, {Scheme: "super"}, {Scheme: "sasl", ID: "x"}, {Scheme: "x509", ID: "CN=x"}, {Scheme: "nobody", ID: "x"}, {},
	{Scheme: "digest", ID: "a:"}, {Scheme: "digest", ID: ":b"}, {Scheme: "digest", ID: "a:b:"},
}

func (g *gen) acl() []wire.ACL {
	switch n := g.r.IntN(100); {
	case n < 60:
		return wire.OpenACL
	case n < 62:
		return nil
	case n < 64:
		return []wire.ACL{}
	}
	list := make([]wire.ACL, 1+g.r.IntN(3))
	for i := range list {
		list[i] = wire.ACL{Perms: pick(g, []int32{31, 31, 31, 1, 2, 4, 8, 16, 3, 15, 0, 64, -1}), ID: pick(g, goodIDs)}
		if g.chance(5) {
			list[i].ID = pick(g, badIDs)
		}
	}
	if g.chance(10) {
		list = append(list, list[0])
	}
	return list
}

func (g *gen) createBody(op wire.OpCode) wire.Appender {
	r := wire.CreateRequest{Path: g.path(), Data: g.data(), ACL: g.acl()}
	if g.chance(70) {
		r.Path = g.fresh()
	}
	if op != wire.OpCreateTTL {
		r.Flags = pick(g, []int32{0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 4})
		if g.chance(3) {
			r.Flags = pick(g, []int32{5, 6, 7, -1, 1 << 20})
		}
		return &r
	}
	r.Flags = pick(g, []int32{5, 5, 5, 6})
	if g.chance(5) {
		r.Flags = pick(g, []int32{0, 1, 2, 3, 4, 7})
	}
	ttl := pick(g, []int64{3_600_000, 1 << 39, 1<<40 - 1})
	if g.chance(10) {
		ttl = pick(g, []int64{0, -1, 1 << 40, 1 << 62})
	}
	return &wire.CreateTTLRequest{CreateRequest: r, TTLMs: ttl}
}

func (g *gen) deleteBody(wire.OpCode) wire.Appender {
	p := g.path()
	return &wire.DeleteRequest{Path: p, Version: g.version(g.stats, p)}
}

func (g *gen) setDataBody(wire.OpCode) wire.Appender {
	p := g.path()
	return &wire.SetDataRequest{Path: p, Data: g.data(), Version: g.version(g.stats, p)}
}

func (g *gen) setACLBody(wire.OpCode) wire.Appender {
	p := g.path()
	return &wire.SetACLRequest{Path: p, ACL: g.acl(), Version: g.version(g.acls, p)}
}

func (g *gen) readBody(wire.OpCode) wire.Appender {
	return &wire.WatchRequest{Path: g.path(), Watch: g.chance(50)}
}

func (g *gen) pathBody(wire.OpCode) wire.Appender { return &wire.PathRequest{Path: g.path()} }

func (g *gen) prefixBody(wire.OpCode) wire.Appender {
	if g.chance(40) {
		return &wire.PathRequest{NullPath: g.chance(50)}
	}
	if g.chance(20) {
		blank := pick(g, []string{"", " ", "\t", "\x01 ", "\u00a0"})
		return &wire.PathRequest{Path: blank + pick(g, []string{"", "/", "/a"}) + blank}
	}
	p := g.path()
	return &wire.PathRequest{Path: p[:g.r.IntN(len(p)+1)]}
}

// multiOps are drawn for a multi; create with a container's flag makes one there.
var multiOps = []wire.OpCode{
	wire.OpCreate, wire.OpCreate, wire.OpCreate2, wire.OpCreate2, wire.OpCreateContainer, wire.OpCreateTTL,
	wire.OpDelete, wire.OpDelete, wire.OpSetData, wire.OpSetData, wire.OpCheck,
}

func (g *gen) multiBody(wire.OpCode) wire.Appender {
	m := &wire.MultiRequest{}
	p := g.fresh()
	for range g.r.IntN(7) {
		op := pick(g, multiOps)
		if g.chance(1) {
			op = pick(g, []wire.OpCode{wire.OpGetData, wire.OpSetACL, unknownOp})
		}
		body := g.multiOp(op)
		// Later operations often speak of what earlier ones made.
		if g.chance(50) {
			aim(body, p)
		}
		m.Ops = append(m.Ops, wire.MultiOp{Op: op, Body: body})
	}
	return m
}

func (g *gen) multiOp(op wire.OpCode) wire.Record {
	switch op {
	case wire.OpDelete, wire.OpCheck:
		return g.deleteBody(op).(wire.Record)
	case wire.OpSetData:
		return g.setDataBody(op).(wire.Record)
	case wire.OpSetACL:
		return g.setACLBody(op).(wire.Record)
	case wire.OpGetData, unknownOp:
		return g.readBody(op).(wire.Record)
	}
	return g.createBody(op).(wire.Record)
}

// aim makes an operation speak of the path, in the version that matches.
func aim(body wire.Record, path string) {
	switch b := body.(type) {
	case *wire.CreateRequest:
		b.Path = path
	case *wire.CreateTTLRequest:
		b.Path = path
	case *wire.DeleteRequest:
		b.Path, b.Version = path, -1
	case *wire.SetDataRequest:
		b.Path, b.Version = path, -1
	}
}

func (g *gen) multiReadBody(wire.OpCode) wire.Appender {
	m := &wire.MultiRequest{Reads: true}
	for range g.r.IntN(5) {
		op := pick(g, []wire.OpCode{wire.OpGetData, wire.OpGetChildren})
		m.Ops = append(m.Ops, wire.MultiOp{Op: op, Body: g.readBody(op).(wire.Record)})
	}
	if g.chance(5) {
		m.Ops = append(m.Ops, wire.MultiOp{Op: wire.OpDelete, Body: g.deleteBody(wire.OpDelete).(wire.Record)})
	}
	return m
}

func (g *gen) addWatchBody(wire.OpCode) wire.Appender {
	mode := pick(g, []int32{0, 1})
	if g.chance(5) {
		mode = pick(g, []int32{-1, 2})
	}
	return &wire.AddWatchRequest{Path: g.path(), Mode: mode}
}

func (g *gen) watcherBody(wire.OpCode) wire.Appender {
	t := wire.WatcherType(1 + g.r.IntN(5))
	if g.chance(5) {
		t = pick(g, []wire.WatcherType{0, 6, -1})
	}
	return &wire.WatcherTypeRequest{Path: g.path(), Type: t}
}

func (g *gen) authBody(wire.OpCode) wire.Appender {
	switch n := g.r.IntN(20); {
	case n < 1:
		return &wire.AuthPacket{Scheme: pick(g, []string{"world", "nobody", "", "super"}), Auth: []byte("x")}
	case n < 2:
		return &wire.AuthPacket{Scheme: "ip", Auth: []byte("x")}
	case n < 4:
		return &wire.AuthPacket{Scheme: "digest", Auth: []byte(testenv.SuperAuth)}
	case n < 5:
		return &wire.AuthPacket{Scheme: "digest", Auth: []byte("nocolon")}
	}
	return &wire.AuthPacket{Scheme: "digest", Auth: []byte(pick(g, users))}
}

func (g *gen) reconfigBody(wire.OpCode) wire.Appender {
	joining := "server.5=h:1:2;3"
	return &wire.ReconfigRequest{Joining: &joining, CurConfigID: -1}
}

// quota makes a request that concerns the quota of a node. The limits and the
// counts are made and deleted together: see exceptions.
func (g *gen) quota() request {
	folder := "/zookeeper/quota" + pick(g, []string{"/a", "/b/c", "/c"})
	limits := fmt.Appendf(nil, "count=%d,bytes=%d", g.r.IntN(12)-1, g.r.IntN(300)-1)
	if g.chance(60) {
		limits = fmt.Appendf(limits, "=;byteHardLimit=%d;countHardLimit=%d", g.r.IntN(2000)-1, g.r.IntN(12)-1)
	}
	l, s := folder+"/zookeeper_limits", folder+"/zookeeper_stats"
	var op wire.OpCode
	var body wire.Record
	switch g.r.IntN(10) {
	case 0, 1, 2:
		op, body = wire.OpMulti, &wire.MultiRequest{Ops: []wire.MultiOp{
			{Op: wire.OpCreate, Body: &wire.CreateRequest{Path: l, Data: limits, ACL: wire.OpenACL}},
			{Op: wire.OpCreate, Body: &wire.CreateRequest{Path: s, Data: []byte("count=-1,bytes=-1"), ACL: wire.OpenACL}},
		}}
	case 3:
		op, body = wire.OpMulti, &wire.MultiRequest{Ops: []wire.MultiOp{
			{Op: wire.OpDelete, Body: &wire.DeleteRequest{Path: s, Version: -1}},
			{Op: wire.OpDelete, Body: &wire.DeleteRequest{Path: l, Version: -1}},
		}}
	case 4, 5:
		op, body = wire.OpGetData, &wire.WatchRequest{Path: pick(g, []string{l, s}), Watch: g.chance(50)}
	case 6:
		op, body = wire.OpSetData, &wire.SetDataRequest{Path: l, Data: limits, Version: -1}
	default:
		p := pick(g, []string{"/zookeeper/quota/b", folder})
		op, body = wire.OpCreate, &wire.CreateRequest{Path: p, ACL: wire.OpenACL}
	}
	return g.encoded(op, body.Append(nil), fmt.Sprintf("%v %s", op, recordText(body)))
}
