package znode

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"zooid/wire"
)

// TestReplayWatches sends what was sent to Apache ZooKeeper 3.9.5 to find out
// about watches, and compares what each connection is told: events with type,
// path and zxid, and replies with their codes, in their order.
func TestReplayWatches(t *testing.T) {
	w := &watchReplay{replay: newReplay(t), got: map[ConnID][]string{}}
	frames := readFrames(t, "testdata/probe-watches.jsonl.gz")
	replies := map[ConnID][]*frame{}
	want := map[ConnID][]string{}
	for _, f := range frames {
		switch f.Kind {
		case "reply":
			replies[f.Conn] = append(replies[f.Conn], f)
			want[f.Conn] = append(want[f.Conn], replyLine(f.Op, f.Header.Err))
		case "event":
			var e wire.WatcherEvent
			w.decode(f, &e)
			want[f.Conn] = append(want[f.Conn], eventLine(e.Type, e.Path, f.Header.Zxid))
		}
	}
	w.load()
	for _, f := range frames {
		switch {
		case f.Kind == "ConnectRequest":
			w.zxid = w.tree.LastZxid()
			w.connect(f.Conn)
		case f.Kind == "request":
			reply := replies[f.Conn][0]
			replies[f.Conn] = replies[f.Conn][1:]
			w.serve(f, reply)
		case f.Kind == "eof" && f.Dir == "c2s":
			w.tree.DropWatcher(f.Conn)
		}
	}
	events := 0
	for conn, lines := range want {
		got := sortTies(w.got[conn])
		if diff := gocmp.Diff(sortTies(lines), got); diff != "" {
			t.Errorf("connection %d (-ZooKeeper +we):\n%s", conn, diff)
		}
		for _, l := range got {
			if !strings.HasPrefix(l, "reply") {
				events++
			}
		}
	}
	if events != 65 {
		t.Errorf("%d events compared, want 65", events)
	}
}

type watchReplay struct {
	*replay
	got map[ConnID][]string
}

func replyLine(op string, code wire.ErrCode) string {
	return fmt.Sprintf("reply %s %d", op, code)
}

func eventLine(typ wire.EventType, path string, z wire.Zxid) string {
	return fmt.Sprintf("%v %v %s", z, typ, path)
}

// sortTies puts deletes of one txn in order: those of a session's end have none.
func sortTies(lines []string) []string {
	lines = slices.Clone(lines)
	for i := 0; i < len(lines); {
		j := i + 1
		prefix, _, deleted := strings.Cut(lines[i], " NodeDeleted ")
		for ; deleted && j < len(lines) && strings.HasPrefix(lines[j], prefix+" NodeDeleted "); j++ {
		}
		slices.Sort(lines[i:j])
		i = j
	}
	return lines
}

// load puts in what the recorded server held at the beginning.
func (w *watchReplay) load() {
	for _, path := range []string{
		"/w", "/w/a", "/w/a/m2", "/w/y", "/w/b", "/w/z", "/w/sw", "/w/sw/k850", "/w/sw/k", "/w/sw/k852",
	} {
		if err := w.tree.Load(path, &Record{Data: []byte{}, Stat: wire.StatPersisted{Czxid: 1, Mzxid: 1, Pzxid: 1}}); err != nil {
			w.tb.Fatal(err)
		}
	}
	w.tree.Loaded(1200)
	w.view = NewView(w.tree)
}

// serve answers one request as a server would: events before the reply.
func (w *watchReplay) serve(f, reply *frame) {
	op := wire.OpCode(f.Header.Type)
	c := w.conns[f.Conn]
	row, ok := LookupOp(op)
	if !ok {
		w.tb.Fatalf("frame %d: %v is not served", f.N, op)
	}
	code := wire.OK
	switch {
	case op == wire.OpAuth || op == wire.OpSync:
		w.handleLocal(f, c)
	case row.Quorum:
		rec, err := DecodeRequest(op, f.body)
		if err != nil {
			w.tb.Fatalf("frame %d: %v", f.N, err)
		}
		// The sessions of connections that were just cut expired at times of
		// their own, each taking a zxid.
		w.zxid = reply.Header.Zxid - 1
		a := w.do(&Request{Conn: f.Conn, Session: c.Session, Cxid: f.Header.Xid, Op: op, Body: rec, IDs: c.IDs})
		code = a.Err
		for i := range a.Events {
			w.deliver(&a.Events[i])
		}
	default:
		c.Catchup = c.Catchup[:0]
		_, err := w.tree.Read(op, c, f.body, nil)
		code = wire.CodeOf(err)
		for i := range c.Catchup {
			w.deliver(&c.Catchup[i])
		}
	}
	w.got[f.Conn] = append(w.got[f.Conn], replyLine(f.Op, code))
}

func (w *watchReplay) handleLocal(f *frame, c *Reader) {
	if f.Op != "auth" {
		return
	}
	var p wire.AuthPacket
	w.decode(f, &p)
	added, err := w.auth.Authenticate(p.Scheme, p.Auth, netip.MustParseAddr("127.0.0.1"), c.IDs)
	if err != nil {
		w.tb.Errorf("frame %d: %v", f.N, err)
	}
	c.IDs = append(slices.Clip(c.IDs), added...)
}

func (w *watchReplay) deliver(e *Event) {
	for _, conn := range e.Watchers {
		if e.ACL != nil && !w.auth.Permits(e.ACL, wire.PermRead, w.conns[conn].IDs) {
			continue
		}
		w.got[conn] = append(w.got[conn], eventLine(e.Type, e.Path, e.Zxid))
	}
}
