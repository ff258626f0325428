package znode

import (
	"maps"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"zooid/wire"
)

// durable plays the store: it takes cuts, drains them piece by piece while
// txns go on, and checks that each brings its copy exactly to the state that
// the model had when the cut was made.
type durable struct {
	tree  *Tree
	model *model

	nodes    map[string]Record
	sessions map[wire.SessionID][2]int32

	cut          *Cut
	wantNodes    map[string]Record
	wantSessions map[wire.SessionID][2]int32
	deleted      map[string]bool // by this cut
	written      map[string]bool
	cuts         int
}

func newDurable(tree *Tree, m *model) *durable {
	tree.TrackChanges()
	return &durable{tree: tree, model: m, nodes: cloneRecords(m.records()), sessions: map[wire.SessionID][2]int32{}}
}

func cloneRecords(m map[string]Record) map[string]Record {
	m = maps.Clone(m)
	for path, r := range m {
		r.Data = cloneData(r.Data)
		m[path] = r
	}
	return m
}

// cloneData keeps null and empty apart.
func cloneData(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append([]byte{}, b...)
}

// step does a little of what the store's writer does, or nothing.
func (d *durable) step(t *testing.T, g *generator) {
	switch {
	case d.cut == nil && g.IntN(20) == 0:
		d.begin(t)
	case d.cut != nil && g.IntN(3) == 0:
		d.drain(t, 1+g.IntN(4))
	}
}

func (d *durable) begin(t *testing.T) {
	t.Helper()
	d.tree.Lock()
	d.cut = d.tree.Cut()
	again := d.tree.Cut()
	d.tree.Unlock()
	if again != nil {
		t.Fatal("a second cut while the first is not drained")
	}
	if d.cut == nil {
		return
	}
	d.cuts++
	if d.cut.Zxid != d.tree.LastZxid() || d.cut.Digest != d.tree.Digest() {
		t.Errorf("cut at %v, digest %#x; the tree is at %v, %#x", d.cut.Zxid, d.cut.Digest, d.tree.LastZxid(), d.tree.Digest())
	}
	d.wantNodes = cloneRecords(d.model.records())
	d.wantSessions = maps.Clone(d.model.sessions)
	d.deleted, d.written = map[string]bool{}, map[string]bool{}
	for _, path := range d.cut.Deleted {
		if _, ok := d.nodes[path]; !ok || d.deleted[path] {
			t.Errorf("%s deleted, which the copy does not have", path)
		}
		d.deleted[path] = true
		delete(d.nodes, path)
	}
	for _, s := range d.cut.Sessions {
		_, had := d.sessions[s.ID]
		if s.Closed {
			if !had {
				t.Errorf("session %v closed, which the copy does not have", s.ID)
			}
			delete(d.sessions, s.ID)
		} else {
			d.sessions[s.ID] = [2]int32{s.TimeoutMs, s.Cxid}
		}
	}
}

func (d *durable) drain(t *testing.T, max int) {
	t.Helper()
	visits := 0
	more := d.cut.Drain(max, func(path []byte, r *Record) {
		visits++
		p := string(path)
		if d.written[p] {
			t.Errorf("%s drained twice", p)
		}
		d.written[p] = true
		d.nodes[p] = Record{Data: cloneData(r.Data), ACL: slices.Clone(r.ACL), Stat: r.Stat}
	})
	if visits > max {
		t.Errorf("drained %d records, asked for %d", visits, max)
	}
	if more {
		return
	}
	if diff := gocmp.Diff(d.wantNodes, d.nodes); diff != "" {
		t.Errorf("cut at %v brings another state than the tree had (-want +got):\n%s", d.cut.Zxid, diff)
	}
	if diff := gocmp.Diff(d.wantSessions, d.sessions); diff != "" {
		t.Errorf("cut at %v brings other sessions than the tree had (-want +got):\n%s", d.cut.Zxid, diff)
	}
	d.cut = nil
}

// finish cuts twice more and loads what the copy has, which is the tree again.
func (d *durable) finish(t *testing.T) {
	t.Helper()
	for range 2 {
		for d.cut != nil {
			d.drain(t, 1000)
		}
		d.begin(t)
	}
	if d.cut != nil {
		t.Error("a cut without changes")
	}
	if d.cuts < 5 {
		t.Errorf("only %d cuts", d.cuts)
	}
	tree := New()
	for _, path := range slices.Sorted(maps.Keys(d.nodes)) {
		r := d.nodes[path]
		if err := tree.Load(path, &r); err != nil {
			t.Fatal(err)
		}
	}
	for id, s := range d.sessions {
		tree.LoadSession(id, s[0], s[1])
	}
	tree.Loaded(d.tree.LastZxid())
	if tree.Digest() != d.tree.Digest() {
		t.Errorf("loaded tree has digest %#x, want %#x", tree.Digest(), d.tree.Digest())
	}
	compareTrees(t, &model{nodes: d.model.nodes, sessions: d.model.sessions}, tree)
}

// Error txns change nothing but move the zxid, and the log behind them can only
// be purged if the copy moves too.
func TestCutOfNothing(t *testing.T) {
	tree := New()
	if tree.Cut() != nil {
		t.Error("a cut before TrackChanges")
	}
	tree.TrackChanges()
	if tree.Cut() != nil {
		t.Error("a cut of nothing")
	}
	var out Applied
	tree.Apply(&wire.Txn{TxnHeader: wire.TxnHeader{Zxid: 5, Op: wire.OpError}, Body: &wire.ErrorTxn{Err: wire.ErrNoNode}}, &out)
	cut := tree.Cut()
	if cut == nil || cut.Zxid != 5 {
		t.Fatalf("cut %+v, want one at 5", cut)
	}
	if cut.Drain(10, func(path []byte, _ *Record) { t.Errorf("drained %s", path) }) {
		t.Error("more to drain")
	}
}
