package znode

import (
	"fmt"
	"slices"
	"testing"

	"zooid/wire"
)

// A setWatches with many paths is cut into parts that set the same watches, in
// the same kinds, each with few paths.
func TestSplitWatches(t *testing.T) {
	paths := func(prefix string, n int) []string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf("/%s%d", prefix, i)
		}
		return list
	}
	for _, two := range []bool{false, true} {
		for _, n := range []int{0, 1, watchesPart/3 + 1, watchesPart, 5000} {
			whole := wire.SetWatchesRequest{Two: two, RelativeZxid: 77, Data: paths("d", n), Exist: paths("e", n/2), Child: paths("c", n)}
			op := wire.OpSetWatches
			if two {
				op = wire.OpSetWatches2
				whole.Persistent, whole.PersistentRecursive = paths("p", n), paths("r", 7)
			}
			var got wire.SetWatchesRequest
			parts := SplitWatches(op, whole.Append(nil))
			total := 0
			for _, body := range parts {
				q := wire.SetWatchesRequest{Two: two}
				if err := wire.Unmarshal(body, &q); err != nil {
					t.Fatal(err)
				}
				count := len(q.Data) + len(q.Exist) + len(q.Child) + len(q.Persistent) + len(q.PersistentRecursive)
				if count == 0 || count > watchesPart || q.RelativeZxid != 77 {
					t.Errorf("a part has %d paths and zxid %v", count, q.RelativeZxid)
				}
				total += count
				got.Data, got.Exist, got.Child = append(got.Data, q.Data...), append(got.Exist, q.Exist...), append(got.Child, q.Child...)
				got.Persistent = append(got.Persistent, q.Persistent...)
				got.PersistentRecursive = append(got.PersistentRecursive, q.PersistentRecursive...)
			}
			all := n + n/2 + n + len(whole.Persistent) + len(whole.PersistentRecursive)
			if parts == nil && all <= watchesPart {
				continue
			}
			if total != all || !slices.Equal(got.Data, whole.Data) || !slices.Equal(got.Exist, whole.Exist) || !slices.Equal(got.Child, whole.Child) ||
				!slices.Equal(got.Persistent, whole.Persistent) || !slices.Equal(got.PersistentRecursive, whole.PersistentRecursive) {
				t.Errorf("%v of %d paths: %d parts with %d", op, all, len(parts), total)
			}
		}
	}
	if SplitWatches(wire.OpGetData, make([]byte, 1<<20)) != nil || SplitWatches(wire.OpSetWatches, slices.Repeat([]byte{0xff}, 1<<16)) != nil {
		t.Error("something else was split")
	}
}
