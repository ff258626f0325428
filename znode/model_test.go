package znode

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"zooid/wire"
)

// model is a tree as one would write it without caring for speed: a map of
// paths. Everything that is not stored is computed anew each time it is asked.
type model struct {
	nodes    map[string]*modelNode
	sessions map[wire.SessionID][2]int32 // timeout, cxid
	watches  map[modelWatch]watchKinds
}

type modelNode struct {
	data []byte
	acl  []wire.ACL
	stat wire.StatPersisted
}

type modelWatch struct {
	path string
	conn ConnID
}

func newModel() *model {
	node := func() *modelNode { return &modelNode{data: []byte{}, acl: wire.OpenACL} }
	m := &model{
		nodes: map[string]*modelNode{
			"/": node(), systemPath: node(), quotaPath: node(), configPath: node(),
		},
		sessions: map[wire.SessionID][2]int32{},
		watches:  map[modelWatch]watchKinds{},
	}
	m.nodes[configPath].stat.Aversion = -1
	m.nodes[configPath].acl = []wire.ACL{{Perms: 1, ID: wire.ID{Scheme: "world", ID: "anyone"}}}
	return m
}

func modelParent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return "/"
}

func (m *model) children(path string) (names []string) {
	for p := range m.nodes {
		if p != "/" && modelParent(p) == path {
			names = append(names, p[strings.LastIndexByte(p, '/')+1:])
		}
	}
	slices.Sort(names)
	return names
}

func (m *model) stat(path string) wire.Stat {
	n := m.nodes[path]
	children := int32(len(m.children(path)))
	s := wire.Stat{
		Czxid: n.stat.Czxid, Mzxid: n.stat.Mzxid, Pzxid: n.stat.Pzxid, Ctime: n.stat.Ctime, Mtime: n.stat.Mtime,
		Version: n.stat.Version, Cversion: 2*n.stat.Cversion - children, Aversion: n.stat.Aversion,
		DataLength: int32(len(n.data)), NumChildren: children,
	}
	if kind, _ := wire.KindOfOwner(n.stat.EphemeralOwner); kind == wire.OwnerSession {
		s.EphemeralOwner = wire.SessionID(n.stat.EphemeralOwner)
	}
	return s
}

// change is an event without its watchers.
type change struct {
	typ  wire.EventType
	path string
}

func (m *model) apply(txn *wire.Txn) (result wire.MultiResult, changes []change) {
	switch body := txn.Body.(type) {
	case *wire.MultiTxn:
		for _, s := range body.Txns {
			if s.Op == wire.OpError {
				return result, nil
			}
		}
		for _, s := range body.Txns {
			sub := *txn
			sub.Op, sub.Body = s.Op, s.Body
			_, c := m.apply(&sub)
			changes = append(changes, c...)
		}
	case *wire.CreateTxn:
		owner := int64(0)
		if body.Ephemeral {
			owner = int64(txn.Session)
		}
		return m.create(txn, body.Path, body.Data, body.ACL, owner, body.ParentCversion)
	case *wire.CreateContainerTxn:
		return m.create(txn, body.Path, body.Data, body.ACL, wire.ContainerOwner, body.ParentCversion)
	case *wire.CreateTTLTxn:
		return m.create(txn, body.Path, body.Data, body.ACL, wire.TTLOwner(body.TTLMs), body.ParentCversion)
	case *wire.DeleteTxn:
		return m.delete(txn.Zxid, body.Path)
	case *wire.SetDataTxn:
		n := m.nodes[body.Path]
		if n == nil {
			return wire.MultiResult{Err: wire.ErrNoNode}, nil
		}
		n.data, n.stat.Version, n.stat.Mzxid, n.stat.Mtime = body.Data, body.Version, txn.Zxid, txn.TimeMs
		return wire.MultiResult{Stat: m.stat(body.Path)}, []change{{wire.EventNodeDataChanged, body.Path}}
	case *wire.SetACLTxn:
		n := m.nodes[body.Path]
		if n == nil {
			return wire.MultiResult{Err: wire.ErrNoNode}, nil
		}
		n.acl, n.stat.Aversion = body.ACL, body.Version
		return wire.MultiResult{Stat: m.stat(body.Path)}, nil
	case *wire.CreateSessionTxn:
		m.sessions[txn.Session] = [2]int32{body.TimeoutMs, txn.Cxid}
	case *wire.CloseSessionTxn:
		delete(m.sessions, txn.Session)
		paths := slices.Clone(body.Paths)
		var rest []string
		for p, n := range m.nodes {
			if n.stat.EphemeralOwner == int64(txn.Session) && !slices.Contains(paths, p) {
				rest = append(rest, p)
			}
		}
		slices.SortFunc(rest, func(a, b string) int { return cmp.Compare(m.nodes[a].stat.Czxid, m.nodes[b].stat.Czxid) })
		for _, p := range append(paths, rest...) {
			_, c := m.delete(txn.Zxid, p)
			changes = append(changes, c...)
		}
	case *wire.ErrorTxn:
		result.Err = body.Err
	}
	return result, changes
}

func (m *model) create(txn *wire.Txn, path string, data []byte, acl []wire.ACL, owner int64, pc int32) (wire.MultiResult, []change) {
	parent := m.nodes[modelParent(path)]
	if parent == nil {
		return wire.MultiResult{Err: wire.ErrNoNode}, nil
	}
	n := m.nodes[path]
	exists := n != nil
	if exists {
		n.acl = acl
	} else {
		m.nodes[path] = &modelNode{data: data, acl: acl, stat: wire.StatPersisted{
			Czxid: txn.Zxid, Mzxid: txn.Zxid, Pzxid: txn.Zxid, Ctime: txn.TimeMs, Mtime: txn.TimeMs, EphemeralOwner: owner,
		}}
	}
	if pc == -1 {
		pc = parent.stat.Cversion + 1
	}
	if (!exists || txn.Op == wire.OpCreate) && pc > parent.stat.Cversion {
		parent.stat.Cversion, parent.stat.Pzxid = pc, txn.Zxid
	}
	if exists {
		return wire.MultiResult{Err: wire.ErrNodeExists}, nil
	}
	return wire.MultiResult{Path: path, Stat: m.stat(path)},
		[]change{{wire.EventNodeCreated, path}, {wire.EventNodeChildrenChanged, modelParent(path)}}
}

func (m *model) delete(z wire.Zxid, path string) (wire.MultiResult, []change) {
	parent := m.nodes[modelParent(path)]
	if parent == nil {
		return wire.MultiResult{Err: wire.ErrNoNode}, nil
	}
	parent.stat.Pzxid = max(parent.stat.Pzxid, z)
	if m.nodes[path] == nil {
		return wire.MultiResult{Err: wire.ErrNoNode}, nil
	}
	for p := range m.nodes {
		if p == path || strings.HasPrefix(p, path+"/") {
			delete(m.nodes, p)
		}
	}
	return wire.MultiResult{}, []change{{wire.EventNodeDeleted, path}, {wire.EventNodeChildrenChanged, modelParent(path)}}
}

// told is who is told of a change, by the rules of the two tables; the one-shot
// watches concerned are used up.
func (m *model) told(c change) []ConnID {
	var conns []ConnID
	fire := func(path string, table watchKinds) {
		for key, kinds := range m.watches {
			if key.path != path || kinds&table == 0 {
				continue
			}
			if !slices.Contains(conns, key.conn) {
				conns = append(conns, key.conn)
			}
			if m.watches[key] = kinds &^ (table & oneShot); m.watches[key] == 0 {
				delete(m.watches, key)
			}
		}
	}
	if c.typ == wire.EventNodeChildrenChanged {
		fire(c.path, inChildTable)
	} else {
		fire(c.path, inDataTable)
		for p := c.path; p != "/"; {
			p = modelParent(p)
			fire(p, recursiveWatch)
		}
		if c.typ == wire.EventNodeDeleted {
			fire(c.path, inChildTable)
		}
	}
	slices.Sort(conns)
	return conns
}

// records is the state as a durable copy has it.
func (m *model) records() map[string]Record {
	r := map[string]Record{}
	for path, n := range m.nodes {
		r[path] = Record{Data: n.data, ACL: closedACL(n.acl), Stat: n.stat}
	}
	return r
}

// closedACL is nil for the open ACL, as in a Record.
func closedACL(acl []wire.ACL) []wire.ACL {
	if len(acl) == 1 && acl[0] == wire.OpenACL[0] {
		return nil
	}
	return acl
}

// generator makes txns, most of which make sense.
type generator struct {
	*rand.Rand
	zxid wire.Zxid
	m    *model
}

var modelACLs = [][]wire.ACL{
	wire.OpenACL, wire.OpenACL, {},
	{{Perms: 1, ID: wire.ID{Scheme: "world", ID: "anyone"}}},
	{{Perms: 31, ID: wire.ID{Scheme: "digest", ID: "a:b"}}, {Perms: 1, ID: wire.ID{Scheme: "ip", ID: "::1"}}},
}

func (g *generator) path() string {
	var b strings.Builder
	for range 1 + g.IntN(4) {
		b.WriteByte('/')
		if g.IntN(40) == 0 {
			b.WriteString(strings.Repeat("long", 60))
			continue
		}
		b.WriteByte("abcde"[g.IntN(5)])
	}
	return b.String()
}

// existing is a path with a node, mostly.
func (g *generator) existing() string {
	for range 10 {
		if p := g.path(); m(g.m, p) {
			return p
		}
	}
	return g.path()
}

func m(m *model, path string) bool { return m.nodes[path] != nil }

func (g *generator) data() []byte {
	switch g.IntN(8) {
	case 0:
		return nil
	case 1:
		return []byte{}
	case 2:
		return make([]byte, g.IntN(3*smallMax))
	}
	b := make([]byte, g.IntN(300))
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

func (g *generator) acl() []wire.ACL { return modelACLs[g.IntN(len(modelACLs))] }

func (g *generator) session() wire.SessionID { return wire.SessionID(0x100 + g.IntN(4)) }

func (g *generator) parentCversion() int32 {
	if g.IntN(4) == 0 {
		return int32(g.IntN(50))
	}
	return -1
}

func (g *generator) txn() *wire.Txn {
	g.zxid += wire.Zxid(1 + g.IntN(2))
	txn := &wire.Txn{TxnHeader: wire.TxnHeader{
		Session: g.session(), Cxid: int32(g.IntN(3) - 1), Zxid: g.zxid, TimeMs: int64(g.zxid) * 10,
	}}
	switch g.IntN(20) {
	case 0:
		txn.Op, txn.Body = wire.OpCreateSession, &wire.CreateSessionTxn{TimeoutMs: int32(g.IntN(1000))}
	case 1:
		body := new(wire.CloseSessionTxn)
		for p, n := range g.m.nodes {
			if n.stat.EphemeralOwner == int64(txn.Session) && len(g.m.children(p)) == 0 {
				body.Paths = append(body.Paths, p)
			}
		}
		slices.Sort(body.Paths)
		body.Paths = body.Paths[:g.IntN(len(body.Paths)+1)]
		txn.Op, txn.Body = wire.OpCloseSession, body
	case 2:
		txn.Op, txn.Body = wire.OpError, &wire.ErrorTxn{Err: wire.ErrNoNode}
	case 3, 4:
		multi := new(wire.MultiTxn)
		for range g.IntN(5) {
			op, body := g.part()
			multi.Txns = append(multi.Txns, wire.SubTxn{Op: op, Body: body})
		}
		if g.IntN(4) == 0 {
			multi.Txns = append(multi.Txns, wire.SubTxn{Op: wire.OpError, Body: &wire.ErrorTxn{Err: wire.ErrBadVersion}})
		}
		txn.Op, txn.Body = wire.OpMulti, multi
	case 5:
		txn.Op, txn.Body = wire.OpSetACL, &wire.SetACLTxn{Path: g.existing(), ACL: g.acl(), Version: int32(g.IntN(9))}
	case 6:
		txn.Op, txn.Body = wire.OpReconfig, &wire.SetDataTxn{Path: configPath, Data: []byte("version=1"), Version: -1}
	default:
		txn.Op, txn.Body = g.part()
	}
	return txn
}

func (g *generator) part() (wire.OpCode, wire.TxnBody) {
	switch g.IntN(10) {
	case 0, 1, 2:
		op := wire.OpCreate
		if g.IntN(2) == 0 {
			op = wire.OpCreate2
		}
		return op, &wire.CreateTxn{Path: g.path(), Data: g.data(), ACL: g.acl(), Ephemeral: g.IntN(3) == 0, ParentCversion: g.parentCversion()}
	case 3:
		return wire.OpCreateContainer, &wire.CreateContainerTxn{Path: g.path(), Data: g.data(), ACL: g.acl(), ParentCversion: g.parentCversion()}
	case 4:
		return wire.OpCreateTTL, &wire.CreateTTLTxn{Path: g.path(), Data: g.data(), ACL: g.acl(), ParentCversion: g.parentCversion(), TTLMs: 1 + g.Int64N(1000)}
	case 5, 6:
		return wire.OpDelete, &wire.DeleteTxn{Path: g.existing()}
	case 7:
		return wire.OpCheck, &wire.CheckVersionTxn{Path: g.path()}
	}
	return wire.OpSetData, &wire.SetDataTxn{Path: g.existing(), Data: g.data(), Version: int32(g.IntN(100))}
}

// TestModel applies random txns to the tree and to the model, with watches of
// four connections, and compares outcomes, events and, now and then, all.
func TestModel(t *testing.T) {
	for _, seed := range seeds() {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("replay: go test ./znode -run TestModel -seed %d", seed)
				}
			})
			runModel(t, seed, 3000)
		})
	}
}

func runModel(t *testing.T, seed uint64, steps int) {
	model, tree := newModel(), New()
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0)), m: model}
	durable := newDurable(tree, model)
	var out Applied
	for step := range steps {
		txn := g.txn()
		want, changes := model.apply(txn)
		tree.Lock()
		tree.Apply(txn, &out)
		tree.Unlock()
		got := wire.MultiResult{Err: out.Err, Path: out.Path, Stat: out.Stat}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("step %d, txn %v %v %+v (-want +got):\n%s", step, txn.Zxid, txn.Op, txn.Body, diff)
		}
		compareEvents(t, model, changes, out.Events)
		g.watch(tree)
		durable.step(t, g)
		if step%100 == 99 {
			compareTrees(t, model, tree)
		}
		if t.Failed() {
			t.Fatalf("step %d, txn %v %v %+v", step, txn.Zxid, txn.Op, txn.Body)
		}
	}
	durable.finish(t)
	for conn := range ConnID(5) {
		tree.DropWatcher(conn)
	}
	if conns, paths, total := tree.WatchStats(); conns+paths+total+tree.WatchCount() != 0 || len(tree.watches.byPath) != 0 {
		t.Errorf("watches are left: %d connections, %d paths, %d data watches", conns, paths, total)
	}
}

// watch sets, removes or drops some watches in both.
func (g *generator) watch(tree *Tree) {
	conn := ConnID(1 + g.IntN(4))
	path := g.path()
	if g.IntN(10) == 0 {
		path = "/"
	}
	switch g.IntN(8) {
	case 0, 1, 2:
		kinds := watchKinds(1) << g.IntN(4)
		g.m.watches[modelWatch{path, conn}] |= kinds
		tree.watch(path, conn, kinds)
	case 3:
		key := modelWatch{path, conn}
		typ := wire.WatcherType(1 + g.IntN(5))
		removed := g.m.watches[key]&kindsOf(typ) != 0
		if g.m.watches[key] &^= kindsOf(typ); g.m.watches[key] == 0 {
			delete(g.m.watches, key)
		}
		if got := tree.watches.remove(path, conn, typ); got != removed {
			panic(fmt.Sprintf("remove(%s, %d, %d) = %v", path, conn, typ, got))
		}
	case 4:
		if g.IntN(20) == 0 {
			for key := range g.m.watches {
				if key.conn == conn {
					delete(g.m.watches, key)
				}
			}
			tree.DropWatcher(conn)
		}
	}
}

func compareEvents(t *testing.T, m *model, changes []change, events []Event) {
	t.Helper()
	for _, c := range changes {
		conns := m.told(c)
		if len(conns) == 0 {
			continue
		}
		if len(events) == 0 {
			t.Errorf("no event for %v %s to %v", c.typ, c.path, conns)
			return
		}
		e := events[0]
		events = events[1:]
		slices.Sort(e.Watchers)
		if e.Type != c.typ || e.Path != c.path || !slices.Equal(e.Watchers, conns) {
			t.Errorf("event %v %s to %v, want %v %s to %v", e.Type, e.Path, e.Watchers, c.typ, c.path, conns)
		}
	}
	if len(events) > 0 {
		t.Errorf("more events: %+v", events)
	}
}

func compareTrees(t *testing.T, m *model, tree *Tree) {
	t.Helper()
	got := map[string]Record{}
	tree.walk(rootID, func(n nodeID) {
		var r Record
		tree.record(n, &r)
		path := tree.path(n)
		got[path] = r
		if s := tree.stat(n); m.nodes[path] != nil && s != m.stat(path) {
			t.Errorf("%s: stat %+v, want %+v", path, s, m.stat(path))
		}
	})
	if diff := gocmp.Diff(m.records(), got); diff != "" {
		t.Errorf("nodes differ (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff(m.sessions, sessionsOf(tree)); diff != "" {
		t.Errorf("sessions differ (-want +got):\n%s", diff)
	}
	data, child := 0, 0
	for _, kinds := range m.watches {
		data += int(inTable(kinds, inDataTable))
		child += int(inTable(kinds, inChildTable))
	}
	if _, _, total := tree.WatchStats(); total != data || tree.WatchCount() != data+child {
		t.Errorf("%d data watches of %d, want %d of %d", total, tree.WatchCount(), data, data+child)
	}
	verify(t, tree)
}

func sessionsOf(tree *Tree) map[wire.SessionID][2]int32 {
	sessions := map[wire.SessionID][2]int32{}
	tree.Sessions(func(id wire.SessionID, timeoutMs, cxid int32) { sessions[id] = [2]int32{timeoutMs, cxid} })
	return sessions
}
