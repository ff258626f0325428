package server

import (
	"fmt"
	"testing"

	"zooid/wire"
)

// A client that comes back with very many watches has them all set, is told all that
// it missed, and then gets one reply, also behind a write that is under way. The
// tree is free in between.
func TestVeryManyWatchesAreSet(t *testing.T) {
	f := start(t)
	for _, held := range []bool{false, true} {
		c := f.connect()
		const exist, missing = 20_000, 10_000
		q := wire.SetWatchesRequest{Data: []string{}, Exist: []string{}, Child: []string{}}
		for i := range exist {
			q.Exist = append(q.Exist, fmt.Sprintf("/w%d", i))
		}
		for i := range missing {
			q.Child = append(q.Child, fmt.Sprintf("/gone%d", i))
		}
		before := f.member.tree.WatchCount()
		f.member.hold(held)
		if held {
			c.send(request(1, wire.OpSetData, &wire.SetDataRequest{Path: "/", Version: -1}))
			f.member.waitWork(t, 1)
		}
		c.send(request(2, wire.OpSetWatches, &q), request(3, wire.OpExists, pathOf("/")))
		f.member.hold(false)
		if held {
			if h, _ := c.reply(); h.Xid != 1 {
				t.Fatalf("got %+v", h)
			}
		}
		for i := range missing {
			frame := c.frame()
			var h wire.ReplyHeader
			var e wire.WatcherEvent
			d := wire.NewDecoder(frame)
			h.Decode(&d)
			e.Decode(&d)
			if d.Err() != nil || h.Xid != wire.XidNotification || e.Path != fmt.Sprintf("/gone%d", i) || e.Type != wire.EventNodeDeleted {
				t.Fatalf("event %d: %+v %+v", i, h, e)
			}
		}
		for xid := int32(2); xid <= 3; xid++ {
			if h, b := c.reply(); h.Xid != xid || h.Err != wire.OK || xid == 2 && len(b) != 0 {
				t.Fatalf("got %+v and %d bytes", h, len(b))
			}
		}
		if n := f.member.tree.WatchCount() - before; n != exist {
			t.Errorf("held: %t: %d watches are set, want %d", held, n, exist)
		}
	}
}
