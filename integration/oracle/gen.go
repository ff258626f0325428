package oracle

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"

	"zooid/integration/rawclient"
	"zooid/wire"
)

// gen makes steps. What it makes depends on the seed and on what side A
// answered, which is the same for the same seed.
type gen struct {
	r     *rand.Rand
	live  []string         // paths that exist on side A, or did lately
	stats map[string]int32 // versions by path, as of the last dump
	acls  map[string]int32 // aversions
	open  func(int) bool   // whether a client is connected
	since func() wire.Zxid // zxids since the start, on side A
}

func newGen(seed uint64) *gen {
	return &gen{r: rand.New(rand.NewPCG(seed, 0)), stats: map[string]int32{}, acls: map[string]int32{}}
}

// learn takes over what exists from a dump of side A.
func (g *gen) learn(nodes []rawclient.Node) {
	g.live = g.live[:0]
	clear(g.stats)
	clear(g.acls)
	for i := range nodes {
		n := &nodes[i]
		g.live = append(g.live, n.Path)
		g.stats[n.Path], g.acls[n.Path] = n.Stat.Version, n.Stat.Aversion
	}
}

// made adds paths that a step created.
func (g *gen) made(paths []string) { g.live = append(g.live, paths...) }

// chance is true in percent of 100 cases.
func (g *gen) chance(percent int) bool { return g.r.IntN(100) < percent }

func pick[T any](g *gen, list []T) T { return list[g.r.IntN(len(list))] }

// An entry is a kind of request and how often it is made.
type entry struct {
	weight int
	make   func(g *gen) request
}

// next makes the next step.
func (g *gen) next() *step {
	st := &step{client: g.r.IntN(clients)}
	if !g.open(st.client) || g.chance(4) {
		g.sessionStep(st)
		return st
	}
	count := 1
	if g.chance(8) {
		count = 2 + g.r.IntN(6)
	}
	for len(st.reqs) < count {
		r := pickEntry(g, requestMenu).make(g)
		if count > 1 && !pipelines(&r) {
			continue
		}
		st.reqs = append(st.reqs, r)
		st.anyOrder = r.op == wire.OpCloseSession
	}
	return st
}

func pickEntry(g *gen, menu []entry) entry {
	total := 0
	for _, e := range menu {
		total += e.weight
	}
	n := g.r.IntN(total)
	for _, e := range menu {
		if n -= e.weight; n < 0 {
			return e
		}
	}
	panic("weights changed")
}

// requestMenu says what clients ask, and how often. How full the tree becomes
// follows from the weights of create and delete.
var requestMenu []entry

func init() {
	requestMenu = []entry{
		{14, func(g *gen) request { return g.record(pick(g, createOps), g.createBody) }},
		{4, func(g *gen) request { return g.record(wire.OpCreateTTL, g.createBody) }},
		{12, func(g *gen) request { return g.record(wire.OpDelete, g.deleteBody) }},
		{12, func(g *gen) request { return g.record(wire.OpSetData, g.setDataBody) }},
		{4, func(g *gen) request { return g.record(wire.OpSetACL, g.setACLBody) }},
		{10, func(g *gen) request { return g.record(wire.OpGetData, g.readBody) }},
		{8, func(g *gen) request { return g.record(wire.OpExists, g.readBody) }},
		{5, func(g *gen) request { return g.record(wire.OpGetChildren, g.readBody) }},
		{6, func(g *gen) request { return g.record(wire.OpGetChildren2, g.readBody) }},
		{4, func(g *gen) request { return g.record(wire.OpGetACL, g.pathBody) }},
		{2, func(g *gen) request { return g.record(wire.OpGetAllChildrenNumber, g.pathBody) }},
		{2, func(g *gen) request { return g.record(wire.OpGetEphemerals, g.prefixBody) }},
		{1, func(g *gen) request { return g.record(wire.OpSync, g.pathBody) }},
		{1, func(g *gen) request { return g.record(wire.OpPing, nil) }},
		{1, func(g *gen) request { return g.record(wire.OpWhoAmI, nil) }},
		{7, func(g *gen) request { return g.record(wire.OpMulti, g.multiBody) }},
		{3, func(g *gen) request { return g.record(wire.OpMultiRead, g.multiReadBody) }},
		{5, func(g *gen) request { return g.record(wire.OpAddWatch, g.addWatchBody) }},
		{3, func(g *gen) request { return g.record(wire.OpRemoveWatches, g.watcherBody) }},
		{2, func(g *gen) request { return g.record(wire.OpCheckWatches, g.watcherBody) }},
		{2, func(g *gen) request { return g.setWatches(wire.OpSetWatches) }},
		{2, func(g *gen) request { return g.setWatches(wire.OpSetWatches2) }},
		{2, func(g *gen) request { return g.record(wire.OpAuth, g.authBody) }},
		{1, func(g *gen) request { return g.record(wire.OpReconfig, g.reconfigBody) }},
		{3, func(g *gen) request { return g.quota() }},
		{3, func(g *gen) request { return g.broken() }},
		{2, func(g *gen) request { return g.nullACLID() }},
		{1, func(g *gen) request { return g.record(pick(g, badOps), nil) }},
		{1, func(g *gen) request { return g.record(wire.OpCloseSession, nil) }},
	}
}

var createOps = []wire.OpCode{wire.OpCreate, wire.OpCreate2, wire.OpCreate2, wire.OpCreateContainer}

// unknownOp is an operation that does not exist.
const unknownOp wire.OpCode = 999

// badOps may not be asked for; the server closes the connection.
var badOps = []wire.OpCode{unknownOp, wire.OpCheck, wire.OpNotification, wire.OpError}

// record makes a request of the operation with what body yields, drawn again
// while it is one of the exceptions.
func (g *gen) record(op wire.OpCode, body func(op wire.OpCode) wire.Appender) request {
	if body == nil {
		return g.encoded(op, nil, op.String())
	}
	rec := body(op)
	for intended(op, rec) {
		rec = body(op)
	}
	return g.encoded(op, rec.Append(nil), fmt.Sprintf("%v %s", op, recordText(rec)))
}

// encoded makes a request of bytes; now and then with an unusual xid, or with
// bytes behind the record, which a server ignores.
func (g *gen) encoded(op wire.OpCode, body []byte, text string) request {
	r := request{op: op, text: text}
	if g.chance(3) {
		r.xid = pick(g, []int32{-4, -8, -77, 1 << 30})
		r.text += fmt.Sprintf(" (xid %d)", r.xid)
	}
	if body != nil && g.chance(3) {
		body = append(body, 0xde, 0xad)
		r.text += " (bytes behind it)"
	}
	r.body = func(*side) []byte { return body }
	return r
}

func recordText(rec wire.Appender) string {
	m, ok := rec.(*wire.MultiRequest)
	if !ok {
		return strings.ReplaceAll(fmt.Sprintf("%q", fmt.Sprintf("%+v", rec)), "ACL:[]", noACL(rec))
	}
	texts := []string{}
	for _, o := range m.Ops {
		texts = append(texts, o.Op.String()+" "+recordText(o.Body))
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

// noACL tells a null list from an empty one, which print alike.
func noACL(rec wire.Appender) string {
	var acl []wire.ACL
	switch r := rec.(type) {
	case *wire.CreateRequest:
		acl = r.ACL
	case *wire.CreateTTLRequest:
		acl = r.ACL
	case *wire.SetACLRequest:
		acl = r.ACL
	}
	if acl == nil {
		return "ACL:null"
	}
	return "ACL:empty"
}

// broken makes a request whose body is cut off or has a wrong length in it.
func (g *gen) broken() request {
	for {
		r := pickEntry(g, requestMenu).make(g)
		if r.op == wire.OpSetWatches || r.op == wire.OpSetWatches2 || r.op == wire.OpAuth {
			continue
		}
		body := r.body(nil)
		if len(body) < 5 {
			continue
		}
		b := append([]byte(nil), body...)
		what := ""
		switch g.r.IntN(4) {
		case 0:
			n := g.r.IntN(len(b))
			b = b[:n]
			what = fmt.Sprintf("cut to %d bytes", n)
		case 1:
			copy(b, []byte{0xff, 0xff, 0xff, 0xff})
			b = append(b[:4], b[min(len(b), 4+int(body[3])):]...)
			what = "first string null"
		case 2:
			copy(b, []byte{0xff, 0xff, 0xff, 0xfe})
			what = "first length -2"
		case 3:
			copy(b, []byte{0x7f, 0xff, 0xff, 0xff})
			what = "first length 2^31-1"
		}
		if brokenIntended(r.op, b) {
			continue
		}
		r.body = func(*side) []byte { return b }
		r.text += " broken: " + what
		return r
	}
}

// nullACLID makes a create, alone or in a multi, or a setACL with an entry whose id is
// null. Nothing else is wrong with it.
func (g *gen) nullACLID() request {
	const mark = "stands for null"
	id := wire.ID{Scheme: pick(g, []string{"world", "digest", "ip", "auth"}), ID: mark}
	acl := []wire.ACL{{Perms: wire.PermAll, ID: id}}
	op := pick(g, []wire.OpCode{wire.OpCreate, wire.OpCreate2, wire.OpCreateContainer, wire.OpMulti, wire.OpSetACL})
	var body wire.Record = &wire.CreateRequest{Path: g.fresh(), ACL: acl}
	switch op {
	case wire.OpMulti:
		body = &wire.MultiRequest{Ops: []wire.MultiOp{{Op: wire.OpCreate, Body: body}}}
	case wire.OpSetACL:
		body = &wire.SetACLRequest{Path: "/", ACL: acl, Version: -1}
	}
	b := bytes.Replace(body.Append(nil), wire.AppendString(nil, mark), wire.AppendInt32(nil, -1), 1)
	return request{op: op, text: fmt.Sprintf("%v with an ACL entry %s:null, broken", op, id.Scheme), body: func(*side) []byte { return b }}
}

// setWatches names random nodes, and a zxid of the recent past.
func (g *gen) setWatches(op wire.OpCode) request {
	back := wire.Zxid(g.r.IntN(40))
	rel := max(0, g.since()-back)
	req := wire.SetWatchesRequest{Two: op == wire.OpSetWatches2}
	for _, l := range []*[]string{&req.Data, &req.Exist, &req.Child, &req.Persistent, &req.PersistentRecursive} {
		*l = []string{}
		for range g.r.IntN(3) {
			*l = append(*l, g.path())
		}
	}
	return request{
		op:   op,
		text: fmt.Sprintf("%v %+v relative to %+d", op, req, rel),
		body: func(s *side) []byte {
			r := req
			r.RelativeZxid = s.absolute(rel)
			return r.Append(nil)
		},
	}
}

// path is mostly one that exists, else one that might, else a bad one.
func (g *gen) path() string {
	switch n := g.r.IntN(100); {
	case n < 60 && len(g.live) > 0:
		return pick(g, g.live)
	case n < 92:
		return g.fresh()
	case n < 97:
		return g.badPath()
	}
	return pick(g, []string{"/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config", "/zookeeper/none"})
}

var names = []string{"a", "b", "c", "d", "e-ü", "n 1"}

// fresh is a path that may exist or not: a child of one that exists, or any.
func (g *gen) fresh() string {
	if len(g.live) > 0 && g.chance(60) {
		if p := pick(g, g.live); strings.Count(p, "/") < 6 {
			return strings.TrimSuffix(p, "/") + "/" + pick(g, names)
		}
	}
	p := ""
	for range 1 + g.r.IntN(3) {
		p += "/" + pick(g, names)
	}
	return p
}

var badTails = []string{
	"/", "//x", "/.", "/..", "/./x", "/../x", "/.x", "/x..", "/...", "/\x00", "/\x01", "/\x1f", "/ ", "/\x7f", "/\u0080",
	"/\u009f", "/\u00a0", "/\ud7ff", "/\ue000", "/\uf8ff", "/\uf900", "/\uffef", "/\ufff0", "/\uffff", "/\xff\xfe", "/\U0001f600",
}

func (g *gen) badPath() string {
	if g.chance(15) {
		return pick(g, []string{"", "a", "a/b", "//", "/./", " "})
	}
	p := ""
	if len(g.live) > 0 {
		p = strings.TrimSuffix(pick(g, g.live), "/")
	}
	return p + pick(g, badTails)
}

func (g *gen) data() []byte {
	switch g.r.IntN(8) {
	case 0:
		return nil
	case 1:
		return []byte{}
	case 2:
		return []byte(strings.Repeat("x", g.r.IntN(2000)))
	}
	b := make([]byte, g.r.IntN(30))
	for i := range b {
		b[i] = byte(g.r.Uint32())
	}
	return b
}

// version is -1, a likely one, the known one, or an odd one.
func (g *gen) version(known map[string]int32, path string) int32 {
	switch n := g.r.IntN(10); {
	case n < 5:
		return -1
	case n < 8:
		return known[path]
	case n < 9:
		return int32(g.r.IntN(4))
	}
	return pick(g, []int32{-2, 1 << 30, -1 << 31})
}
