package peer

import (
	"testing"

	"zooid/session"
	"zooid/wire"
	"zooid/zab"
	"zooid/znode"
)

// alone is a peer without an ensemble, and what a loop keeps for it.
type alone struct {
	*Peer
	id  wire.SessionID
	out znode.Applied
}

func newAlone(tb testing.TB) *alone {
	tree := znode.New()
	a := &alone{Peer: New(Config{Zab: zab.Config{SID: 1, TickMs: 1000, RecentBytes: 1 << 16}, Keys: session.NewKeys([]byte("k"))}, tree, zab.Disk{}, startMs)}
	a.Start(0)
	a.round()
	a.Attach(1, 0, nil, 4000, startMs)
	a.round()
	tree.Sessions(func(id wire.SessionID, _, _ int32) { a.id = id })
	a.Submit(&znode.Request{Session: a.id, Op: wire.OpCreate, Body: &wire.CreateRequest{Path: "/a", ACL: wire.OpenACL}}, startMs)
	a.round()
	if a.id == 0 || tree.LastZxid() != 2 {
		tb.Fatalf("session %v, last zxid %v", a.id, tree.LastZxid())
	}
	return a
}

// round carries out everything, and has the log write it at once.
func (a *alone) round() {
	for {
		rd := a.Ready()
		if rd.Empty() && !a.Pending() {
			return
		}
		if n := len(rd.Entries); n > 0 {
			a.Logged(rd.Entries[n-1].Zxid)
		}
		for a.Apply(&a.out) {
		}
	}
}

// BenchmarkAlone is the way of a write, 32 at a time, through a peer without an
// ensemble.
func BenchmarkAlone(b *testing.B) {
	a := newAlone(b)
	r := &znode.Request{Conn: 1, Session: a.id, Op: wire.OpSetData, Body: &wire.SetDataRequest{Path: "/a", Data: make([]byte, 100), Version: -1}}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		a.Submit(r, startMs)
		if i%32 == 31 {
			a.round()
		}
	}
}
