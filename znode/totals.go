package znode

import (
	"sync/atomic"

	"zooid/wire"
)

// Totals are sums over a tree, as operators ask for them.
type Totals struct {
	Zxid       wire.Zxid
	Nodes      int   // see NodeCount
	Ephemerals int   // see EphemeralCount
	Sessions   int   // see SessionCount
	Bytes      int64 // see DataSize
	Watches    int   // see WatchCount
}

// published are the totals as of the last Unlock. They are not of one moment:
// each is read by itself.
type published struct {
	zxid, nodes, ephemerals, sessions, bytes atomic.Int64

	watches, watchConns, watchPaths, watchTotal atomic.Int64
}

// publish lets everybody see the totals. The caller holds Lock, or nobody else
// has the tree yet.
func (t *Tree) publish() {
	p := &t.published
	p.zxid.Store(int64(t.zxid))
	p.nodes.Store(int64(t.NodeCount()))
	p.ephemerals.Store(int64(t.EphemeralCount()))
	p.sessions.Store(int64(t.SessionCount()))
	p.bytes.Store(t.DataSize())
}

// publishWatches is publish for the watches, which have a mutex of their own.
// While somebody has that, what was published before stands.
func (t *Tree) publishWatches() {
	w, p := &t.watches, &t.published
	if !w.mu.TryLock() {
		return
	}
	defer w.mu.Unlock()
	p.watches.Store(int64(w.dataCount + w.childCount))
	p.watchConns.Store(int64(w.dataConns))
	p.watchPaths.Store(int64(w.dataPaths))
	p.watchTotal.Store(int64(w.dataCount))
}

// Totals gives the totals without waiting for anybody, whatever is done with
// the tree: as they were when it was last unlocked.
func (t *Tree) Totals() Totals {
	t.publishWatches()
	p := &t.published
	return Totals{
		Zxid: wire.Zxid(p.zxid.Load()), Nodes: int(p.nodes.Load()), Ephemerals: int(p.ephemerals.Load()),
		Sessions: int(p.sessions.Load()), Bytes: p.bytes.Load(), Watches: int(p.watches.Load()),
	}
}
