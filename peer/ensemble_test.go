package peer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"zooid/wire"
	"zooid/znode"
)

// TestEnsembleTranscripts plays testdata/ensemble. Commands:
//
//	new voters=3 [observers=1] [hold=ms] [held=n] [local] [upgrade] [diff=bytes]
//	run ms=n                            time passes
//	attach member=n conn=n [session=s1] [timeout=ms] [wrong]
//	submit member=n                     one request a line: conn cxid op [path [argument]]
//	raw member=n conn=n cxid=n op=n     a request whose body, the input in hex, is not looked at here
//	silent member=n conn=n              this client is heard no more; its connection stays
//	leave member=n conn=n               this client's connection ends
//	stop|start|resign member=n
//	cut a=n b=n, heal
//	trees                               whether all members have the same, and what
//	figures                             what Status tells
func TestEnsembleTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/ensemble", func(t *testing.T, path string) {
		var w *world
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "new" {
				w = newFromArgs(t, d)
			} else {
				w.out.Reset()
				w.command(t, d)
			}
			return w.out.String()
		})
	})
}

func newFromArgs(t *testing.T, d *datadriven.TestData) *world {
	voters, observers, hold := 3, 0, int64(0)
	d.MaybeScanArgs(t, "voters", &voters)
	d.MaybeScanArgs(t, "observers", &observers)
	d.MaybeScanArgs(t, "hold", &hold)
	held, diff := 100, int64(1<<20)
	d.MaybeScanArgs(t, "held", &held)
	d.MaybeScanArgs(t, "diff", &diff)
	cfg := Config{HoldMs: hold, HoldMax: held, LocalSessions: d.HasArg("local"), LocalUpgrade: d.HasArg("upgrade")}
	cfg.Zab.DiffBytes, cfg.Zab.RecentBytes = diff, diff
	w := newWorld(t, cfg, voters, voters+observers)
	w.run(3000)
	return w
}

func (w *world) command(t *testing.T, d *datadriven.TestData) {
	var sid, conn int
	d.MaybeScanArgs(t, "member", &sid)
	d.MaybeScanArgs(t, "conn", &conn)
	m := w.members[wire.SID(sid)]
	switch d.Cmd {
	case "run":
		var ms int64
		d.ScanArgs(t, "ms", &ms)
		w.run(ms)
	case "attach":
		w.attach(t, d, m, znode.ConnID(conn))
	case "submit":
		for line := range strings.Lines(d.Input) {
			w.submit(m, parseEnsembleRequest(t, line))
		}
	case "raw":
		var cxid, op int
		d.ScanArgs(t, "cxid", &cxid)
		d.ScanArgs(t, "op", &op)
		raw := make([]byte, 0)
		if _, err := fmt.Sscanf(d.Input, "%x", &raw); err != nil && d.Input != "" {
			t.Fatal(err)
		}
		w.submit(m, &znode.Request{Conn: znode.ConnID(conn), Cxid: int32(cxid), Op: wire.OpCode(op), Raw: raw})
	case "silent":
		m.clients[znode.ConnID(conn)].silent = true
	case "leave":
		w.disconnect(m, znode.ConnID(conn))
	case "stop":
		w.stop(m.sid)
	case "start":
		w.start(m.sid)
	case "resign":
		w.on(m, 0, func() { m.peer.Resign("asked to") })
	case "cut":
		var a, b int
		d.ScanArgs(t, "a", &a)
		d.ScanArgs(t, "b", &b)
		w.separate(wire.SID(a), wire.SID(b))
	case "heal":
		clear(w.cut)
	case "trees":
		w.compare()
	case "figures":
		for _, sid := range w.sids() {
			if m := w.members[sid]; m.up {
				s := m.peer.Status()
				w.say("%d: outstanding=%d held=%d syncs=%d revalidating=%d global=%d local=%d", sid, s.Outstanding, s.Held,
					s.PendingSyncs, s.Revalidating, s.GlobalSessions, s.LocalSessions)
			}
		}
	default:
		t.Fatalf("unknown command %s", d.Cmd)
	}
}

func (w *world) attach(t *testing.T, d *datadriven.TestData, m *member, conn znode.ConnID) {
	timeout, name := 4000, ""
	d.MaybeScanArgs(t, "timeout", &timeout)
	d.MaybeScanArgs(t, "session", &name)
	id := w.ids[name]
	if name != "" && id == 0 {
		n, err := strconv.ParseUint(name, 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		id = wire.SessionID(n)
	}
	passwd := w.passwd(id)
	if d.HasArg("wrong") {
		passwd[0]++
	}
	w.on(m, 0, func() {
		m.clients[conn] = &client{conn: conn}
		m.peer.Attach(conn, id, passwd[:], int32(timeout), startMs+w.now)
	})
	w.run(20)
}

// submit hands a request to a member; nothing happens yet.
func (w *world) submit(m *member, r *znode.Request) {
	w.on(m, 0, func() {
		c := m.clients[r.Conn]
		if c == nil {
			w.say("%d: conn %d is gone", m.sid, r.Conn)
			return
		}
		r.Session = c.session
		if r.Raw == nil && r.Body != nil {
			r.Raw = r.Body.Append(nil)
		}
		r.IDs = []wire.ID{{Scheme: "ip", ID: "127.0.0.1"}}
		m.peer.Submit(r, startMs+w.now)
	})
}

// parseEnsembleRequest reads: conn cxid op [path [argument]]; the parts of a
// multi are separated by bars.
func parseEnsembleRequest(t *testing.T, line string) *znode.Request {
	head := strings.Fields(line)
	if head[2] != "multi" {
		return parseRequest(t, slices.Insert(head, 1, "0"))
	}
	conn, _ := strconv.Atoi(head[0])
	cxid, _ := strconv.Atoi(head[1])
	var body wire.MultiRequest
	_, parts, _ := strings.Cut(line, "multi")
	for part := range strings.SplitSeq(parts, "|") {
		r := parseRequest(t, append([]string{"0", "0", "0"}, strings.Fields(part)...))
		body.Ops = append(body.Ops, wire.MultiOp{Op: r.Op, Body: r.Body})
	}
	return &znode.Request{Conn: znode.ConnID(conn), Cxid: int32(cxid), Op: wire.OpMulti, Body: &body}
}

// compare says what the members' trees hold.
func (w *world) compare() {
	for _, sid := range w.sids() {
		m := w.members[sid]
		if !m.up {
			continue
		}
		var owners []string
		m.tree.EphemeralOwners(func(id wire.SessionID, n int, exists bool) {
			owners = append(owners, fmt.Sprintf("%s has %d", w.name(id), n))
			if !exists {
				owners = append(owners, "and is gone")
			}
		})
		w.say("%d: at %v digest %x, %d sessions %v", sid, m.tree.LastZxid(), m.tree.Digest(), m.tree.SessionCount(), owners)
	}
}
