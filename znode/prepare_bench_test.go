package znode

import (
	"testing"

	"zooid/wire"
)

// BenchmarkPrepare measures Prepare and the view's Applied, 32 requests in
// flight at a time, on nodes that differ; Apply is not in it.
func BenchmarkPrepare(b *testing.B) {
	const inFlight = 32
	paths := make([]string, 1000)
	for i := range paths {
		paths[i] = "/bench/" + string(rune('a'+i%26)) + "-" + string(rune('a'+i/26%26)) + "-0123456789-" + string(rune('a'+i/676))
	}
	data := make([]byte, 100)
	ids := []wire.ID{ipID}
	setData := func(i int) *Request {
		return &Request{Session: 1, Op: wire.OpSetData, IDs: ids, Body: &wire.SetDataRequest{Path: paths[i%len(paths)], Data: data, Version: -1}}
	}
	create := func(i int) *Request {
		return &Request{Session: 1, Op: wire.OpCreate, IDs: ids, Body: &wire.CreateRequest{Path: paths[i%len(paths)] + "-new", Data: data, ACL: wire.OpenACL}}
	}
	sequential := func(i int) *Request {
		return &Request{Session: 1, Op: wire.OpCreate, IDs: ids, Body: &wire.CreateRequest{Path: "/bench/n-", ACL: wire.OpenACL, Flags: wire.FlagEphemeralSequential}}
	}
	multi := func(i int) *Request {
		m := new(wire.MultiRequest)
		for j := range 10 {
			m.Ops = append(m.Ops, wire.MultiOp{Op: wire.OpSetData, Body: setData(10*i + j).Body})
		}
		return &Request{Session: 1, Op: wire.OpMulti, IDs: ids, Body: m}
	}
	refused := func(i int) *Request {
		return &Request{Session: 1, Op: wire.OpDelete, IDs: ids, Body: &wire.DeleteRequest{Path: paths[i%len(paths)], Version: 99}}
	}
	for _, bm := range []struct {
		name string
		r    func(i int) *Request
	}{
		{"setData-100B", setData}, {"create", create}, {"create-ephemeral-sequential", sequential}, {"multi-10", multi}, {"refused", refused},
	} {
		b.Run(bm.name, func(b *testing.B) {
			s := newSolo(b, defaultRules(b))
			s.session(1)
			s.must(reqCreate(wire.OpCreate, "/bench", 0))
			for _, path := range paths {
				s.must(reqCreate(wire.OpCreate, path, 0))
			}
			requests := make([]*Request, len(paths))
			for i := range requests {
				requests[i] = bm.r(i)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				s.zxid++
				s.view.Prepare(requests[i%len(requests)], s.zxid, s.timeMs)
				if i++; i%inFlight == 0 {
					s.view.Applied(s.zxid)
				}
			}
		})
	}
}

// TestPrepareAllocations holds the line: the txn and its body, and the path by
// which the view remembers the node.
func TestPrepareAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s := newSolo(t, defaultRules(t))
	s.session(1)
	s.must(reqCreate(wire.OpCreate, "/a", 0))
	r := as(reqSetData("/a", "x", -1), 1, ipID)
	n := testing.AllocsPerRun(1000, func() {
		s.zxid++
		s.view.Prepare(r, s.zxid, s.timeMs)
		s.view.Applied(s.zxid)
	})
	if n > 3 {
		t.Errorf("setData takes %v allocations, want 3", n)
	}
}
