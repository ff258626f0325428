package history

import (
	"strings"
	"testing"
	"time"

	"zooid/wire"
)

const (
	ms   = int64(time.Millisecond)
	reg  = "/history/reg-0"
	mine = "/history/own/0"
)

// at fills in what most ops have in common: client c's op from one moment to
// another, in ms, done.
func at(c int, from, to int64, o Op) Op {
	o.Client, o.Session, o.Call, o.Return = c, wire.SessionID(c+1), from*ms, to*ms
	if o.Outcome == Unknown {
		o.Outcome = Done
	}
	return o
}

// lostAt is an op without an answer.
func lostAt(c int, from int64, o Op) Op {
	o = at(c, from, 0, o)
	o.Outcome, o.Return = Unknown, Never
	return o
}

func refusedAt(c int, from, to int64, o Op) Op {
	o.Outcome = Refused
	return at(c, from, to, o)
}

func connectAt(c int, from, to int64) Op {
	return at(c, from, to, Op{Kind: Connect, TimeoutMs: 1000})
}

func set(kind Kind, asked int32, value string, version int32, zxid wire.Zxid) Op {
	return Op{Kind: kind, Path: reg, Asked: asked, Value: value, Version: version, Zxid: zxid, Mzxid: zxid}
}

func got(kind Kind, value string, version int32, mzxid, zxid wire.Zxid) Op {
	return Op{Kind: kind, Path: reg, Value: value, Version: version, Mzxid: mzxid, Zxid: zxid}
}

func event() Op { return Op{Kind: Event, Path: reg} }

// TestCheck feeds the checks small histories: those that a correct ensemble can
// give, and for each promise one that breaks it.
func TestCheck(t *testing.T) {
	tests := []struct {
		name  string
		ops   []Op
		loose bool
		want  string // part of the violation; none if empty
	}{
		{"a write is read", []Op{
			at(0, 1, 2, set(Write, -1, "a", 1, 10)), at(1, 3, 4, got(SyncRead, "a", 1, 10, 10)),
		}, false, ""},
		{"a plain read may be old", []Op{
			at(0, 1, 2, set(Write, -1, "a", 1, 10)), at(1, 3, 4, got(Read, "", 0, 5, 9)),
		}, false, ""},
		{"a sync'ed read may not", []Op{
			at(0, 1, 2, set(Write, -1, "a", 1, 10)), at(1, 3, 4, got(SyncRead, "", 0, 5, 9)),
		}, false, "not linearizable"},
		{"but after a sync that nobody confirmed", []Op{
			at(0, 1, 2, set(Write, -1, "a", 1, 10)), at(1, 3, 4, got(SyncRead, "", 0, 5, 9)),
		}, true, ""},
		{"an acknowledged write is lost", []Op{
			at(0, 1, 2, set(Write, -1, "a", 1, 10)), at(0, 3, 4, set(Write, -1, "b", 1, 11)),
		}, false, "not linearizable"},
		{"two compare-and-sets of one version", []Op{
			at(0, 1, 5, set(WriteIf, 0, "a", 1, 10)), at(1, 1, 5, set(WriteIf, 0, "b", 1, 11)),
		}, false, "not linearizable"},
		{"a refusal without a reason", []Op{
			refusedAt(0, 1, 2, Op{Kind: WriteIf, Path: reg, Asked: 0, Value: "a", Code: wire.ErrBadVersion, Zxid: 10}),
		}, false, "not linearizable"},
		{"an unknown outcome explains it", []Op{
			lostAt(1, 0, set(Write, -1, "x", 0, 0)),
			refusedAt(0, 1, 2, Op{Kind: WriteIf, Path: reg, Asked: 0, Value: "a", Code: wire.ErrBadVersion, Zxid: 10}),
		}, false, ""},
		{"a write without an answer happened long after", []Op{
			lostAt(1, 0, set(Write, -1, "x", 0, 0)),
			at(0, 1, 2, got(SyncRead, "", 0, 5, 9)), at(0, 30, 31, got(SyncRead, "x", 1, 10, 10)),
		}, false, ""},
		{"and cannot be taken back", []Op{
			lostAt(1, 0, set(Write, -1, "x", 0, 0)),
			at(0, 1, 2, got(SyncRead, "x", 1, 10, 10)), at(0, 30, 31, got(SyncRead, "", 0, 5, 11)),
		}, false, "not linearizable"},
		{"a code from nowhere", []Op{
			refusedAt(0, 1, 2, Op{Kind: Write, Path: reg, Value: "a", Code: wire.ErrNoNode, Zxid: 10}),
		}, false, "nothing explains"},
		{"zxids against time", []Op{
			at(0, 1, 2, Op{Kind: Pair, Path: "/history/pairs/p", Zxid: 12}), at(1, 3, 4, Op{Kind: Pair, Path: "/history/pairs/q", Zxid: 11}),
		}, false, "earlier zxid"},
		{"one zxid twice", []Op{
			at(0, 1, 4, Op{Kind: Pair, Path: "/history/pairs/p", Zxid: 12}), at(1, 1, 4, Op{Kind: Pair, Path: "/history/pairs/q", Zxid: 12}),
		}, false, "one zxid"},
		{"a sync that does not reach", []Op{
			at(0, 1, 2, Op{Kind: Pair, Path: "/history/pairs/p", Zxid: 12}), at(1, 3, 4, got(SyncRead, "", 0, 5, 11)),
		}, false, "after a sync"},
		{"a client goes back", []Op{
			at(0, 1, 2, got(Read, "", 0, 5, 11)), at(0, 3, 4, got(Read, "", 0, 5, 10)),
		}, false, "goes back"},
		{"a node goes back", []Op{
			at(0, 1, 2, set(Write, -1, "a", 1, 10)), at(0, 3, 4, got(Read, "", 0, 5, 10)),
		}, false, "sees an older one"},
		{"one state in two forms", []Op{
			at(0, 1, 2, got(Read, "a", 1, 10, 10)), at(1, 3, 4, got(Read, "b", 1, 10, 10)),
		}, false, "two forms"},
		{"a read with a hole", []Op{
			at(0, 1, 4, set(Write, -1, "a", 1, 10)), at(1, 1, 4, got(Read, "", 0, 5, 11)),
		}, false, "leaves out"},
		{"event, then change", []Op{
			at(1, 1, 2, set(Write, -1, "a", 1, 10)), at(0, 0, 1, got(Read, "", 0, 5, 9)),
			at(0, 3, 3, event()), at(0, 4, 5, got(Read, "a", 1, 10, 10)),
		}, false, ""},
		{"change without event", []Op{
			at(0, 0, 1, got(Read, "", 0, 5, 9)), at(1, 1, 2, set(Write, -1, "a", 1, 10)), at(0, 4, 5, got(Read, "a", 1, 10, 10)),
		}, false, "before the event"},
		{"event without change", []Op{
			at(0, 0, 1, got(Read, "", 0, 5, 9)), at(0, 3, 3, event()), at(0, 4, 5, got(Read, "", 0, 5, 9)),
		}, false, "without a change"},
		{"two events", []Op{
			at(0, 0, 1, got(Read, "", 0, 5, 9)), at(0, 3, 3, event()), at(0, 4, 4, event()),
		}, false, "without a watch"},
		{"a session ends in time", []Op{
			connectAt(0, 0, 1), at(0, 1300, 1301, Op{Kind: Expired}),
		}, false, ""},
		{"a session ends early", []Op{
			connectAt(0, 0, 1), at(0, 900, 901, Op{Kind: Expired}),
		}, false, "of silence"},
		{"an ephemeral is seen", []Op{
			connectAt(0, 0, 1), at(0, 2, 3, Op{Kind: CreateOwn, Path: mine, Zxid: 10}),
			at(1, 4, 5, Op{Kind: Look, Path: mine, Owner: 1, Zxid: 10}),
		}, false, ""},
		{"an ephemeral is gone too early", []Op{
			connectAt(0, 0, 1), at(0, 2, 3, Op{Kind: CreateOwn, Path: mine, Zxid: 10}),
			refusedAt(1, 600, 601, Op{Kind: Look, Path: mine, Code: wire.ErrNoNode, Zxid: 10}),
		}, false, "its session was alive"},
		{"an ephemeral is gone in time", []Op{
			connectAt(0, 0, 1), at(0, 2, 3, Op{Kind: CreateOwn, Path: mine, Zxid: 10}),
			refusedAt(1, 1600, 1601, Op{Kind: Look, Path: mine, Code: wire.ErrNoNode, Zxid: 10}),
		}, false, ""},
		{"an ephemeral is deleted", []Op{
			connectAt(0, 0, 1), at(0, 2, 3, Op{Kind: CreateOwn, Path: mine, Zxid: 10}), lostAt(0, 4, Op{Kind: DeleteOwn, Path: mine}),
			refusedAt(1, 600, 601, Op{Kind: Look, Path: mine, Code: wire.ErrNoNode, Zxid: 10}),
		}, false, ""},
		{"an ephemeral outlives its session", []Op{
			connectAt(0, 0, 1), at(0, 2, 3, Op{Kind: CreateOwn, Path: mine, Zxid: 10}), at(0, 4, 5, Op{Kind: Close, Zxid: 11}),
			at(1, 6, 7, Op{Kind: Look, Path: mine, Owner: 1, Zxid: 11}),
		}, false, "its session was over"},
		{"a deleted ephemeral is there", []Op{
			connectAt(0, 0, 1), at(0, 2, 3, Op{Kind: CreateOwn, Path: mine, Zxid: 10}), at(0, 4, 5, Op{Kind: DeleteOwn, Path: mine, Zxid: 11}),
			at(1, 6, 7, Op{Kind: Look, Path: mine, Owner: 1, Zxid: 11}),
		}, false, "had been deleted"},
		{"a sequential node is missing", []Op{at(0, 1, 2, Op{Kind: CreateSeq, Path: "/history/seq/n-7", Zxid: 10})}, false, "node is missing"},
		{"a multi is missing", []Op{at(0, 1, 2, Op{Kind: Pair, Path: "/history/pairs/gone", Zxid: 10})}, false, "multi is missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := historyOf(tt.ops, tt.loose).Check(t.TempDir())
			switch {
			case err == nil && tt.want != "":
				t.Errorf("not found: %q", tt.want)
			case err != nil && (tt.want == "" || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("found: %v\nwant: %q", err, tt.want)
			}
		})
	}
}

// historyOf is a history of the ops, at whose end two pairs were there.
func historyOf(ops []Op, loose bool) *History {
	h := New(Options{LooseSync: loose})
	for i := range 3 {
		h.clients = append(h.clients, newClient(h, i))
	}
	for _, o := range ops {
		c := h.clients[o.Client]
		c.ops = append(c.ops, o)
	}
	h.final = &final{seq: map[string]bool{}, pairs: map[string]bool{}}
	for _, name := range []string{"p", "q"} {
		for _, side := range pairSides {
			h.final.pairs["/history/pairs/"+name+side] = true
		}
	}
	return h
}

// TestLongestGap: only acknowledged writes end a gap, and the window's ends do.
func TestLongestGap(t *testing.T) {
	h := historyOf([]Op{
		at(0, 1, 2, set(Write, -1, "a", 1, 10)), at(0, 10, 12, got(Read, "a", 1, 10, 10)),
		lostAt(1, 13, set(Write, -1, "x", 0, 0)), at(0, 20, 22, set(Write, -1, "b", 2, 11)),
	}, false)
	moment := func(m int64) time.Time { return h.begin.Add(time.Duration(m * ms)) }
	if gap := h.LongestGap(moment(0), moment(30)); gap != 20*time.Millisecond {
		t.Errorf("longest gap %v, want 20ms", gap)
	}
	if gap := h.LongestGap(moment(3), moment(9)); gap != 6*time.Millisecond {
		t.Errorf("longest gap of a window without writes %v, want 6ms", gap)
	}
}
