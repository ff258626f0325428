package znode

import (
	"strings"
	"testing"
	"time"

	"zooid/wire"
)

// TestAncestorsOfADeepPathAreFoundFast looks for those who watch above a path of
// 50,000 and more znodes, and for the quota that it counts against. One recursive
// watch, or one quota, anywhere would make every change of a deep znode cost the
// square of its path's length.
func TestAncestorsOfADeepPathAreFoundFast(t *testing.T) {
	deep := strings.Repeat("/d", 100_000)
	var w watchTable
	w.init()
	var q quotaTable
	q.init()
	for i := range 20 { // a map of few strings does not hash them
		q.set("/elsewhere"+strings.Repeat("-", i), &quota{})
		w.add("/elsewhere"+strings.Repeat("-", i), 7, recursiveWatch)
	}
	for conn, path := range []string{"/d/elsewhere", "/", "/d", deep[:1000], deep, deep[:1000] + "/other"} {
		w.add(path, ConnID(conn+1), recursiveWatch)
	}
	q.set(deep[:20], &quota{})
	q.set(deep[:1000], &quota{})
	fastest := time.Hour
	for range 3 {
		began := time.Now()
		if got := w.trigger(nil, wire.EventNodeDataChanged, deep); len(got) != 4 {
			t.Fatalf("watchers %v, want 5, 4, 3 and 2", got)
		}
		if q.deepest(deep) != q.byPath[deep[:1000]] {
			t.Fatal("the deepest quota was not found")
		}
		fastest = min(fastest, time.Since(began))
	}
	if fastest > 250*time.Millisecond {
		t.Errorf("it took %v", fastest)
	}
	w.remove(deep[:1000], 4, wire.WatcherAny)
	q.remove(deep[:1000])
	if got := w.trigger(nil, wire.EventNodeDataChanged, deep); len(got) != 3 {
		t.Errorf("watchers %v, want 5, 3 and 2", got)
	}
	if q.deepest(deep) != q.byPath[deep[:20]] {
		t.Error("the other quota was not found")
	}
	for conn := range ConnID(7) {
		w.drop(conn+1, 100)
	}
	if len(w.recursiveLengths) != 0 {
		t.Errorf("lengths %v are kept of paths that nobody watches", w.recursiveLengths)
	}
}
