package peer

import (
	"runtime"
	"testing"

	"zooid/session"
	"zooid/wire"
	"zooid/zab"
	"zooid/znode"
)

const mib = 1 << 20

func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// writesOf gives sizes of values from 1 kB to 1 MB, the large ones more often:
// small ones among them must not keep the large ones' memory.
func writesOf(n int) (sizes []int) {
	for i := range n {
		sizes = append(sizes, []int{1_000_000, 1000, 60_000, 1_000_000, 9000, 100, 1_000_000}[i%7])
	}
	return sizes
}

// TestLeaderAndFollowersGiveMemoryBack writes large values through a leader and
// through a follower. What stays live on the three members is what they keep of
// the history for learners, and their trees.
func TestLeaderAndFollowersGiveMemoryBack(t *testing.T) {
	const recent = 4 * mib
	cfg := Config{}
	cfg.Zab.RecentBytes, cfg.Zab.DiffBytes = recent, recent
	w := newWorld(t, cfg, 3, 3)
	w.run(3000)
	for _, sid := range []wire.SID{1, 3} {
		m := w.members[sid]
		w.on(m, 0, func() {
			m.clients[znode.ConnID(sid)] = &client{conn: znode.ConnID(sid)}
			m.peer.Attach(znode.ConnID(sid), 0, nil, 10_000, startMs+w.now)
		})
	}
	w.run(100)
	w.submit(w.members[3], &znode.Request{Conn: 3, Op: wire.OpCreate, Body: &wire.CreateRequest{Path: "/n", ACL: wire.OpenACL}})
	w.run(100)
	before := liveHeap()
	written := int64(0)
	for i, size := range writesOf(200) {
		written += int64(size)
		sid := wire.SID(1 + 2*(i%2))
		w.submit(w.members[sid], &znode.Request{Conn: znode.ConnID(sid), Cxid: int32(i), Op: wire.OpSetData,
			Body: &wire.SetDataRequest{Path: "/n", Data: make([]byte, size), Version: -1}})
		w.run(10)
		for _, m := range w.members { // the disk's memory is not what is measured
			for k := range m.log[:m.durable] {
				m.log[k].Payload = nil
			}
		}
		w.out.Reset()
	}
	for sid, m := range w.members {
		if z := m.tree.LastZxid(); z.Counter() < 200 {
			t.Fatalf("member %d is at %v", sid, z)
		}
	}
	if live := liveHeap() - before; live > 3*(recent+mib)+2*mib {
		t.Errorf("%d MB are live after %d MB were written, %d MB of them are kept for learners", live/mib, written/mib, 3*recent/mib)
	}
	runtime.KeepAlive(w)
}

// TestStandaloneGivesMemoryBack is the same for a member alone, which keeps
// nothing for learners.
func TestStandaloneGivesMemoryBack(t *testing.T) {
	tree := znode.New()
	p := New(Config{Zab: zab.Config{SID: 1, TickMs: 1000}, Keys: session.NewKeys([]byte("k"))}, tree, zab.Disk{}, startMs)
	p.Start(0)
	var out znode.Applied
	runUntilIdle := func() {
		for {
			rd := p.Ready()
			if n := len(rd.Entries); n > 0 {
				p.Logged(rd.Entries[n-1].Zxid)
			} else if rd.Empty() && !p.Pending() {
				return
			}
			for p.Apply(&out) {
			}
		}
	}
	runUntilIdle()
	p.Attach(1, 0, nil, 10_000, startMs)
	runUntilIdle()
	id := out.Session
	p.Submit(&znode.Request{Conn: 1, Session: id, Op: wire.OpCreate, Body: &wire.CreateRequest{Path: "/n", ACL: wire.OpenACL}}, startMs)
	runUntilIdle()
	before := liveHeap()
	for i, size := range writesOf(600) {
		p.Submit(&znode.Request{Conn: 1, Session: id, Cxid: int32(i), Op: wire.OpSetData,
			Body: &wire.SetDataRequest{Path: "/n", Data: make([]byte, size), Version: -1}}, startMs)
		runUntilIdle()
		if out.Err != wire.OK {
			t.Fatal(out.Err)
		}
	}
	if live := liveHeap() - before; live > 4*mib {
		t.Errorf("%d MB are live", live/mib)
	}
	runtime.KeepAlive(p)
}
