package peer

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"zooid/session"
	"zooid/wire"
	"zooid/zab"
	"zooid/znode"
)

// transcript drives a peer by the commands of testdata/*.txt and prints all
// that comes out of it.
type transcript struct {
	peer   *Peer
	tree   *znode.Tree
	log    []wire.Entry
	timeMs int64
	out    strings.Builder
}

const startMs = 1_700_000_000_000

func newTranscript() *transcript {
	s := &transcript{tree: znode.New(), timeMs: startMs}
	s.tree.SetRules(znode.Rules{ExtendedTypes: true})
	s.open()
	return s
}

func (s *transcript) open() {
	last := s.tree.LastZxid()
	s.peer = New(Config{Zab: zab.Config{SID: 1, TickMs: 1000}, Keys: session.NewKeys([]byte("k")), SweepMs: 5000, SweepMax: 12},
		s.tree, zab.Disk{Last: last, Committed: last}, startMs)
	s.peer.Start(0)
	s.carryOut()
}

func (s *transcript) run(t *testing.T, d *datadriven.TestData) string {
	s.out.Reset()
	switch d.Cmd {
	case "attach": // attach conn=1 session=0x… passwd=right|wrong|java timeout=4000
		s.attach(t, d)
	case "submit": // one request a line: conn session cxid op path [data|version]
		for line := range strings.Lines(d.Input) {
			s.peer.Submit(parseRequest(t, strings.Fields(line)), s.timeMs)
		}
	case "durable":
		var z uint64
		d.ScanArgs(t, "zxid", &z)
		s.peer.Logged(wire.Zxid(z))
	case "advance": // advance gap=50 expected=50 [touch=0x…]
		s.advance(t, d)
	case "sweep":
		s.peer.Sweep(s.timeMs)
	case "restart": // keeps what was durable
		var z uint64
		d.ScanArgs(t, "zxid", &z)
		s.restart(t, wire.Zxid(z))
	case "ready":
	default:
		t.Fatalf("unknown command %s", d.Cmd)
	}
	s.carryOut()
	return s.out.String()
}

func (s *transcript) attach(t *testing.T, d *datadriven.TestData) {
	conn, timeout, id, passwd := 0, 4000, "0x0", "right"
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "conn":
			a.Scan(t, 0, &conn)
		case "timeout":
			a.Scan(t, 0, &timeout)
		case "session":
			a.Scan(t, 0, &id)
		case "passwd":
			a.Scan(t, 0, &passwd)
		}
	}
	sid := parseSession(t, id)
	p := s.peer.Password(sid, session.CxidKeyed)
	switch passwd {
	case "wrong":
		p[0] ^= 1
	case "java":
		p = session.JavaPassword(sid)
	}
	s.peer.Attach(znode.ConnID(conn), sid, p[:], int32(timeout), s.timeMs)
}

func (s *transcript) advance(t *testing.T, d *datadriven.TestData) {
	var gap, expected int64
	var touch string
	times := 1
	d.ScanArgs(t, "gap", &gap)
	d.ScanArgs(t, "expected", &expected)
	d.MaybeScanArgs(t, "touch", &touch)
	d.MaybeScanArgs(t, "times", &times)
	for range times {
		s.timeMs += gap
		if !s.peer.Advance(gap, expected) {
			continue
		}
		if touch != "" {
			s.peer.Touch(parseSession(t, touch), s.peer.SessionNow())
		}
		s.peer.Expire(s.timeMs)
	}
	fmt.Fprintf(&s.out, "session clock %d\n", s.peer.SessionNow())
}

func (s *transcript) restart(t *testing.T, z wire.Zxid) {
	s.tree = znode.New()
	var out znode.Applied
	for i, e := range s.log {
		if e.Zxid > z {
			s.log = s.log[:i]
			break
		}
		txn, err := wire.DecodeTxn(e.Payload)
		if err != nil {
			t.Fatal(err)
		}
		s.tree.Apply(txn, &out)
	}
	s.open()
	fmt.Fprintf(&s.out, "last %v\n", s.tree.LastZxid())
}

// carryOut does what the member's loop does, in words.
func (s *transcript) carryOut() {
	for {
		rd := s.peer.Ready()
		if rd.Empty() && !s.peer.Pending() {
			return
		}
		for _, e := range rd.Entries {
			txn, err := wire.DecodeTxn(e.Payload)
			if err != nil {
				panic(err)
			}
			fmt.Fprintf(&s.out, "append %v %v\n", e.Zxid, txn.Op)
		}
		s.log = append(s.log, rd.Entries...)
		for _, a := range rd.Attached {
			fmt.Fprintf(&s.out, "attached conn=%d session=%v timeout=%d\n", a.Conn, a.Session, a.TimeoutMs)
		}
		var a znode.Applied
		for s.peer.Apply(&a) {
			s.applied(&a)
		}
	}
}

func (s *transcript) applied(a *znode.Applied) {
	fmt.Fprintf(&s.out, "applied %v conn=%d cxid=%d %v", a.Zxid, a.Conn, a.Cxid, a.Op)
	if a.Path != "" {
		fmt.Fprintf(&s.out, " %s", a.Path)
	}
	if a.Err != wire.OK {
		fmt.Fprintf(&s.out, ": %v", a.Err)
	}
	if a.Created != 0 {
		fmt.Fprintf(&s.out, " created %v timeout=%d", a.Created, a.TimeoutMs)
	}
	if a.Closed != 0 {
		fmt.Fprintf(&s.out, " closed %v", a.Closed)
	}
	s.out.WriteByte('\n')
}

func parseSession(t *testing.T, text string) wire.SessionID {
	n, err := strconv.ParseUint(text, 0, 64)
	if err != nil {
		t.Fatal(err)
	}
	return wire.SessionID(n)
}

// parseRequest reads: conn session cxid op [path [argument]].
func parseRequest(t *testing.T, f []string) *znode.Request {
	conn, _ := strconv.Atoi(f[0])
	cxid, _ := strconv.Atoi(f[2])
	r := &znode.Request{Conn: znode.ConnID(conn), Session: parseSession(t, f[1]), Cxid: int32(cxid)}
	path, arg := "", ""
	if len(f) > 4 {
		path = f[4]
	}
	if len(f) > 5 {
		arg = f[5]
	}
	version := int32(-1)
	if n, err := strconv.Atoi(arg); err == nil {
		version = int32(n)
	}
	create := wire.CreateRequest{Path: path, Data: []byte(arg), ACL: wire.OpenACL}
	switch f[3] {
	case "create":
		r.Op, r.Body = wire.OpCreate, &create
	case "ephemeral":
		create.Flags = wire.FlagEphemeral
		r.Op, r.Body = wire.OpCreate, &create
	case "sequential":
		create.Flags = wire.FlagPersistentSequential
		r.Op, r.Body = wire.OpCreate, &create
	case "container":
		create.Flags = wire.FlagContainer
		r.Op, r.Body = wire.OpCreateContainer, &create
	case "ttl":
		create.Flags = wire.FlagPersistentTTL
		r.Op, r.Body = wire.OpCreateTTL, &wire.CreateTTLRequest{CreateRequest: create, TTLMs: int64(version)}
	case "delete":
		r.Op, r.Body = wire.OpDelete, &wire.DeleteRequest{Path: path, Version: version}
	case "set":
		r.Op, r.Body = wire.OpSetData, &wire.SetDataRequest{Path: path, Data: []byte(arg), Version: -1}
	case "sync":
		r.Op, r.Body = wire.OpSync, &wire.PathRequest{Path: path}
	case "close":
		r.Op = wire.OpCloseSession
	default:
		t.Fatalf("unknown request %q", f[3])
	}
	return r
}

func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/alone", func(t *testing.T, path string) {
		s := newTranscript()
		datadriven.RunTest(t, path, s.run)
	})
}
