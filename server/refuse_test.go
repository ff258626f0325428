package server

import (
	"testing"

	"zooid/wire"
)

// TestRefuseWrites: while there is too little room writes are answered with
// NOTREADONLY in their place among the others, and everything else goes on.
func TestRefuseWrites(t *testing.T) {
	f := start(t)
	c := f.connect()
	c.must(1, wire.OpCreate, createOf("/a", "x"), wire.OK)
	f.srv.RefuseWrites(true)
	c.send(request(2, wire.OpGetData, pathOf("/a")), request(3, wire.OpCreate, createOf("/b", "")), request(4, wire.OpExists, pathOf("/b")))
	for _, want := range []struct {
		xid  int32
		code wire.ErrCode
	}{{2, wire.OK}, {3, wire.ErrNotReadOnly}, {4, wire.ErrNoNode}} {
		if h, _ := c.reply(); h.Xid != want.xid || h.Err != want.code {
			t.Errorf("reply %d: %v, want %d: %v", h.Xid, h.Err, want.xid, want.code)
		}
	}
	c.must(5, wire.OpMulti, &wire.MultiRequest{Ops: []wire.MultiOp{{Op: wire.OpCheck, Body: &wire.CheckVersionRequest{Path: "/a", Version: -1}}}}, wire.ErrNotReadOnly)
	c.must(6, wire.OpSync, &wire.PathRequest{Path: "/a"}, wire.OK)
	other := f.connect() // a new client is let in
	other.must(1, wire.OpGetData, pathOf("/a"), wire.OK)
	other.must(2, wire.OpCloseSession, nil, wire.OK)
	f.srv.RefuseWrites(false)
	c.must(7, wire.OpCreate, createOf("/b", ""), wire.OK)
}

// TestLeaderThatRefusesIsNotAskedAllTheTime: after the leader has refused a write
// for want of room others are refused here for a while, and then one is let
// through. If that succeeds, all are.
func TestLeaderThatRefusesIsNotAskedAllTheTime(t *testing.T) {
	f := start(t)
	f.srv.leaderRefused(wire.ErrNotReadOnly)
	if !f.srv.refuses(wire.OpCreate) || f.srv.refuses(wire.OpCloseSession) || f.srv.refuses(wire.OpSync) {
		t.Error("right after the refusal")
	}
	f.srv.refusal.leader.Add(-refusedFor - 1)
	if f.srv.refuses(wire.OpCreate) {
		t.Error("nothing is ever let through again")
	}
	f.srv.leaderRefused(wire.OK)
	if f.srv.refusal.leader.Load() != 0 {
		t.Error("the refusal is not over")
	}
}
