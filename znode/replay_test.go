package znode

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"zooid/auth"
	"zooid/wire"
)

// frame is one frame between a client and Apache ZooKeeper 3.9.5, as recorded.
type frame struct {
	N      int    `json:"n"`
	Conn   ConnID `json:"conn"`
	Dir    string `json:"dir"`
	Kind   string `json:"kind"`
	Op     string `json:"op"`
	Header struct {
		Xid, Type int32
		Zxid      wire.Zxid
		Err       wire.ErrCode
	} `json:"header"`
	Hex  string `json:"hex"`
	body []byte // behind the length and the header
}

func readFrames(t *testing.T, name string) []*frame {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var frames []*frame
	lines := bufio.NewScanner(unzipped)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		f := new(frame)
		if err := json.Unmarshal(lines.Bytes(), f); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		raw, err := hex.DecodeString(f.Hex)
		if err != nil {
			t.Fatalf("%s: frame %d: %v", name, f.N, err)
		}
		skip := map[string]int{"request": 4 + 8, "reply": 4 + wire.ReplyHeaderSize, "event": 4 + wire.ReplyHeaderSize}[f.Kind]
		f.body = raw[min(skip, len(raw)):]
		frames = append(frames, f)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return frames
}

// TestReplayRequests sends what was sent to Apache ZooKeeper 3.9.5 through
// decoding, preparing, applying and reading, and compares the replies: codes,
// zxids, paths, stats, everything but times and the order of sets. The tree
// begins as that server's was.
func TestReplayRequests(t *testing.T) {
	frames := readFrames(t, "testdata/probe-requests.jsonl.gz")
	r := newReplay(t)
	r.seed(frames)
	replies := map[ConnID][]*frame{}
	for _, f := range frames {
		if f.Kind == "reply" {
			replies[f.Conn] = append(replies[f.Conn], f)
		}
	}
	compared := 0
	for _, f := range frames {
		switch f.Kind {
		case "ConnectRequest":
			r.connect(f.Conn)
		case "request":
			want := replies[f.Conn][0]
			replies[f.Conn] = replies[f.Conn][1:]
			if wire.OpCode(f.Header.Type) == wire.OpDeleteContainer {
				// Not for clients here, so from now on the trees differ.
				if _, ok := LookupOp(wire.OpDeleteContainer); ok {
					t.Error("a client may ask for deleteContainer")
				}
				if compared < 350 {
					t.Errorf("only %d replies compared", compared)
				}
				return
			}
			compared++
			r.request(f, want)
		}
	}
}

// replay is a server to whom the recorded requests are sent.
type replay struct {
	*solo
	auth  *auth.Registry
	conns map[ConnID]*Reader
}

func newReplay(t *testing.T) *replay {
	rules := defaultRules(t)
	return &replay{solo: newSolo(t, rules), auth: rules.Auth.(*auth.Registry), conns: map[ConnID]*Reader{}}
}

// seed loads what the recorded server held at the beginning, as far as replies
// show it: it had been used before.
func (r *replay) seed(frames []*frame) {
	load := func(path string, s wire.StatPersisted) {
		if err := r.tree.Load(path, &Record{Data: []byte{}, Stat: s}); err != nil {
			r.tb.Fatal(err)
		}
	}
	load("/", wire.StatPersisted{Mzxid: 547, Mtime: 1795358462078, Version: 1, Cversion: 19, Pzxid: 900})
	for _, path := range []string{systemPath, quotaPath} {
		s := wire.StatPersisted{}
		if path == systemPath {
			s = wire.StatPersisted{Cversion: 1, Pzxid: 521}
		}
		load(path, s)
	}
	load("/zookeeper/x", wire.StatPersisted{Czxid: 521, Mzxid: 521, Pzxid: 521})
	for _, path := range []string{"/0000000015", "/w", "/h32181", "/m", "/v4-standalone", "/pr"} {
		load(path, wire.StatPersisted{Czxid: 400, Mzxid: 400, Pzxid: 400})
	}
	// The recording begins with the removal of everything below /pr.
	var asked string
	for _, f := range frames {
		switch {
		case f.Op == "getChildren" && f.Kind == "request":
			var q wire.WatchRequest
			r.decode(f, &q)
			asked = q.Path
		case f.Op == "getChildren" && f.Kind == "reply":
			var names wire.StringsResponse
			r.decode(f, &names)
			for _, name := range names.Names {
				load(asked+"/"+name, wire.StatPersisted{Czxid: 500, Mzxid: 500, Pzxid: 500})
			}
		case f.Op == "create":
			// No reply names these; getAllChildrenNumber counts them.
			for i := range 17 {
				load(fmt.Sprintf("/w/%d", i), wire.StatPersisted{Czxid: 300, Mzxid: 300, Pzxid: 300})
			}
			r.tree.Loaded(961)
			r.zxid = 961
			r.view = NewView(r.tree)
			return
		}
	}
}

func (r *replay) decode(f *frame, rec wire.Record) {
	r.tb.Helper()
	if err := wire.Unmarshal(f.body, rec); err != nil {
		r.tb.Fatalf("frame %d: %v", f.N, err)
	}
}

func (r *replay) connect(conn ConnID) {
	id := wire.SessionID(conn)
	r.session(id)
	r.conns[conn] = &Reader{Conn: conn, Session: id, IDs: r.auth.InitialIDs(netip.MustParseAddr("127.0.0.1"))}
}

// request serves one request and compares the reply.
func (r *replay) request(f, want *frame) {
	op := wire.OpCode(f.Header.Type)
	c := r.conns[f.Conn]
	row, ok := LookupOp(op)
	if !ok {
		r.tb.Fatalf("frame %d: %v is not served", f.N, op)
	}
	var body []byte
	var zxid wire.Zxid
	var code wire.ErrCode
	switch {
	case op == wire.OpAuth:
		var p wire.AuthPacket
		r.decode(f, &p)
		added, err := r.auth.Authenticate(p.Scheme, p.Auth, netip.MustParseAddr("127.0.0.1"), c.IDs)
		c.IDs = append(slices.Clip(c.IDs), added...)
		code = wire.CodeOf(err)
	case op == wire.OpSASL:
		return // comes later
	case op == wire.OpSync:
		a := &Applied{Op: op}
		rec, err := DecodeRequest(op, f.body)
		if code = wire.CodeOf(err); err == nil {
			a.Path = rec.(*wire.PathRequest).Path
		}
		body, zxid = AppendReply(nil, a), r.tree.LastZxid()
	case row.Quorum:
		rec, err := DecodeRequest(op, f.body)
		if err != nil {
			r.tb.Fatalf("frame %d: %v", f.N, err)
		}
		a := r.do(&Request{Conn: f.Conn, Session: c.Session, Cxid: f.Header.Xid, Op: op, Body: rec, IDs: c.IDs})
		body, zxid, code = AppendReply(nil, a), a.Zxid, a.Err
	default:
		r.tree.RLock()
		out, err := r.tree.Read(op, c, f.body, nil)
		zxid = r.tree.LastZxid()
		r.tree.RUnlock()
		body, code = out, wire.CodeOf(err)
	}
	if code != want.Header.Err || zxid != want.Header.Zxid {
		r.tb.Errorf("frame %d, %v: %s at %d, ZooKeeper says %s at %d", f.N, op, name(code), zxid, name(want.Header.Err), want.Header.Zxid)
		return
	}
	got, wanted := replyRecord(op), replyRecord(op)
	if got == nil || code != wire.OK {
		if len(body) != len(want.body) {
			r.tb.Errorf("frame %d, %v: a body of %d bytes, ZooKeeper sends %d", f.N, op, len(body), len(want.body))
		}
		return
	}
	if err := wire.Unmarshal(body, got); err != nil {
		r.tb.Errorf("frame %d, %v: %v", f.N, op, err)
	}
	r.decode(want, wanted)
	if len(body) != len(want.body) {
		r.tb.Errorf("frame %d, %v: %d bytes, ZooKeeper sends %d", f.N, op, len(body), len(want.body))
	}
	r.normalize(got)
	r.normalize(wanted)
	if d := gocmp.Diff(wanted, got); d != "" {
		r.tb.Errorf("frame %d, %v (-ZooKeeper +we):\n%s", f.N, op, d)
	}
}

func replyRecord(op wire.OpCode) wire.Record {
	switch op {
	case wire.OpCreate, wire.OpSync:
		return new(wire.PathResponse)
	case wire.OpCreate2, wire.OpCreateContainer, wire.OpCreateTTL:
		return new(wire.Create2Response)
	case wire.OpSetData, wire.OpSetACL, wire.OpExists:
		return new(wire.Stat)
	case wire.OpGetData:
		return new(wire.GetDataResponse)
	case wire.OpGetACL:
		return new(wire.GetACLResponse)
	case wire.OpGetChildren, wire.OpGetEphemerals:
		return new(wire.StringsResponse)
	case wire.OpGetChildren2:
		return new(wire.GetChildren2Response)
	case wire.OpMulti:
		return new(wire.MultiResponse)
	case wire.OpGetAllChildrenNumber, wire.OpAddWatch:
		return new(wire.Int32Response)
	case wire.OpWhoAmI:
		return new(wire.WhoAmIResponse)
	}
	return nil
}

// normalize takes out what two servers cannot have in common.
func (r *replay) normalize(rec wire.Record) {
	stat := func(s *wire.Stat) {
		s.Ctime, s.Mtime = min(s.Ctime, 1), min(s.Mtime, 1)
		s.EphemeralOwner = min(s.EphemeralOwner, 1)
	}
	switch rec := rec.(type) {
	case *wire.Stat:
		stat(rec)
	case *wire.Create2Response:
		stat(&rec.Stat)
	case *wire.GetDataResponse:
		stat(&rec.Stat)
	case *wire.GetACLResponse:
		stat(&rec.Stat)
		slices.SortFunc(rec.ACL, func(a, b wire.ACL) int { return cmp.Compare(a.ID.ID, b.ID.ID) })
	case *wire.StringsResponse:
		slices.Sort(rec.Names)
	case *wire.GetChildren2Response:
		stat(&rec.Stat)
		slices.Sort(rec.Names)
	case *wire.MultiResponse:
		for i := range rec.Results {
			stat(&rec.Results[i].Stat)
		}
	case *wire.WhoAmIResponse:
		slices.SortFunc(rec.IDs, func(a, b wire.ID) int {
			return cmp.Or(cmp.Compare(a.Scheme, b.Scheme), cmp.Compare(a.ID, b.ID))
		})
	}
}
