package znode

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"zooid/wire"
)

// bulk makes the tree that the figures are about: nodes with 100 bytes of data
// in directories of a thousand.
func bulk(tb testing.TB, nodes int) *Tree {
	tb.Helper()
	t := New()
	r := Record{Data: make([]byte, 100)}
	path := make([]byte, 0, 64)
	for i := 0; i < nodes; i++ {
		if i%1000 == 0 {
			if err := t.Load(fmt.Sprintf("/dir-%06d", i/1000), &Record{}); err != nil {
				tb.Fatal(err)
			}
		}
		r.Stat.Czxid = wire.Zxid(i)
		path = fmt.Appendf(path[:0], "/dir-%06d/node-%010d", i/1000, i)
		if err := t.Load(stringOf(path), &r); err != nil {
			tb.Fatal(err)
		}
	}
	t.Loaded(wire.Zxid(nodes))
	return t
}

func heapBytes() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// overhead is the heap that a tree takes beyond the bytes of names and data.
func overhead(tb testing.TB, nodes int) float64 {
	before := heapBytes()
	t := bulk(tb, nodes)
	after := heapBytes()
	names := int64(nodes) * int64(len("node-0000000000"))
	_, data := t.below(rootID)
	runtime.KeepAlive(t)
	return float64(int64(after-before)-names-data) / float64(nodes)
}

// A million znodes may take 200 bytes each beyond their paths and data; counting
// only names, as here, is stricter. A fifth of a million shows the same.
func TestMemoryPerNode(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("the race detector changes sizes")
	}
	per := overhead(t, 200_000)
	t.Logf("%.1f bytes per node beyond name and data", per)
	if per > 170 {
		t.Errorf("%.1f bytes per node, want at most 170", per)
	}
}

func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		b.ReportMetric(overhead(b, 1_000_000), "overhead-B/node")
	}
}

func BenchmarkLoad(b *testing.B) {
	const nodes = 1_000_000
	paths := make([]string, nodes)
	for i := range paths {
		paths[i] = fmt.Sprintf("/dir-%06d/node-%010d", i/1000, i)
	}
	r := Record{Data: make([]byte, 100)}
	b.ResetTimer()
	for b.Loop() {
		t := New()
		for i, path := range paths {
			if i%1000 == 0 {
				t.Load(path[:len("/dir-000000")], &Record{})
			}
			t.Load(path, &r)
		}
	}
	b.ReportMetric(float64(nodes*b.N)/b.Elapsed().Seconds(), "nodes/s")
}

func BenchmarkRead(b *testing.B) {
	t := bulk(b, 100_000)
	r := &Reader{Conn: 1}
	dst := make([]byte, 0, 1<<20)
	for _, c := range []struct {
		name string
		op   wire.OpCode
		path string
	}{
		{"getData-100B", wire.OpGetData, "/dir-%06[1]d/node-%06[1]d%04[2]d"},
		{"exists", wire.OpExists, "/dir-%06[1]d/node-%06[1]d%04[2]d"},
		{"getChildren-1000", wire.OpGetChildren, "/dir-%06[1]d"},
		{"getChildren2-0", wire.OpGetChildren2, "/dir-%06[1]d/node-%06[1]d%04[2]d"},
	} {
		var bodies [][]byte
		for i := range 1000 {
			path := fmt.Sprintf("/dir-%06d/node-%010d", i%100, i%100*1000+i)
			if c.op == wire.OpGetChildren {
				path = path[:len("/dir-000000")]
			}
			q := wire.WatchRequest{Path: path}
			bodies = append(bodies, q.Append(nil))
		}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				t.RLock()
				_, err := t.Read(c.op, r, bodies[i%len(bodies)], dst)
				t.RUnlock()
				if err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

func BenchmarkApply(b *testing.B) {
	data := make([]byte, 100)
	var out Applied
	b.Run("setData", func(b *testing.B) {
		t := bulk(b, 100_000)
		body := &wire.SetDataTxn{Data: data}
		txn := &wire.Txn{TxnHeader: wire.TxnHeader{Op: wire.OpSetData}, Body: body}
		paths := make([]string, 100_000)
		for i := range paths {
			paths[i] = fmt.Sprintf("/dir-%06d/node-%010d", i/1000, i)
		}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			body.Path, body.Version = paths[i*7919%len(paths)], int32(i)
			txn.Zxid = t.LastZxid() + 1
			t.Lock()
			t.Apply(txn, &out)
			t.Unlock()
		}
	})
	b.Run("create", func(b *testing.B) {
		t := bulk(b, 100_000)
		body := &wire.CreateTxn{Data: data, ACL: wire.OpenACL, ParentCversion: -1}
		txn := &wire.Txn{TxnHeader: wire.TxnHeader{Op: wire.OpCreate}, Body: body}
		path := make([]byte, 0, 64)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			path = fmt.Appendf(path[:0], "/dir-%06d/more-%010d", i%100, i)
			body.Path = stringOf(path)
			txn.Zxid = t.LastZxid() + 1
			t.Lock()
			t.Apply(txn, &out)
			t.Unlock()
		}
	})
	b.Run("setData-1000-watchers", func(b *testing.B) {
		t := bulk(b, 1000)
		body := &wire.SetDataTxn{Data: data, Path: "/dir-000000"}
		txn := &wire.Txn{TxnHeader: wire.TxnHeader{Op: wire.OpSetData}, Body: body}
		for c := range ConnID(1000) {
			t.watch(body.Path, c+1, persistentWatch)
		}
		b.ReportAllocs()
		for b.Loop() {
			txn.Zxid = t.LastZxid() + 1
			t.Lock()
			t.Apply(txn, &out)
			t.Unlock()
		}
	})
}

// BenchmarkGrow reports the longest that one create holds the lock while the
// tree grows to a million nodes.
func BenchmarkGrow(b *testing.B) {
	var longest time.Duration
	over := 0
	for b.Loop() {
		t := New()
		var out Applied
		body := &wire.CreateTxn{Data: make([]byte, 100), ACL: wire.OpenACL, ParentCversion: -1}
		txn := &wire.Txn{TxnHeader: wire.TxnHeader{Op: wire.OpCreate}, Body: body}
		t.TrackChanges()
		for i := range 1_000_000 {
			if i%1000 == 0 {
				body.Path = fmt.Sprintf("/dir-%06d", i/1000)
			} else {
				body.Path = fmt.Sprintf("/dir-%06d/node-%010d", i/1000, i)
			}
			txn.Zxid++
			start := time.Now()
			t.Apply(txn, &out)
			took := time.Since(start)
			longest = max(longest, took)
			if took > time.Millisecond {
				over++
			}
		}
	}
	b.ReportMetric(float64(longest.Microseconds()), "longest-µs")
	b.ReportMetric(float64(over)/float64(b.N), "over-1ms")
}
