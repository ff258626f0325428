package znode

import (
	"testing"

	"zooid/wire"
)

// TestTotalsWaitForNobody asks for totals while the tree and the watches are
// locked: they are those of the last time that they were not.
func TestTotalsWaitForNobody(t *testing.T) {
	tree := New()
	if err := tree.Load("/a", &Record{Data: []byte("123")}); err != nil {
		t.Fatal(err)
	}
	tree.LoadSession(7, 1000, 1)
	tree.Loaded(5)
	tree.RLock()
	tree.watch("/a", 1, dataWatch)
	tree.RUnlock()
	want := Totals{Zxid: 5, Nodes: tree.NodeCount(), Sessions: 1, Bytes: tree.DataSize(), Watches: 1}
	if got := tree.Totals(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	tree.Lock()
	tree.watches.mu.Lock()
	tree.zxid = 6 // a change that is under way
	if got := tree.Totals(); got != want {
		t.Errorf("while locked: got %+v, want %+v", got, want)
	}
	if conns, paths, total := tree.WatchStats(); conns != 1 || paths != 1 || total != 1 {
		t.Errorf("while locked: %d connections watch %d paths, %d watches", conns, paths, total)
	}
	tree.watches.mu.Unlock()
	tree.Unlock()
	if got := tree.Totals().Zxid; got != wire.Zxid(6) {
		t.Errorf("zxid %v after the change, want 6", got)
	}
}
