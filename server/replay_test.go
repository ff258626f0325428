package server

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"zooid/wire"
	"zooid/znode"
)

// row is one line of a recording of Apache ZooKeeper 3.9.5; see its fields'
// names. A frame's hex has its length in front.
type row struct {
	N    int             `json:"n"`
	Conn int             `json:"conn"`
	Dir  string          `json:"dir"`
	Kind string          `json:"kind"`
	Op   string          `json:"op"`
	Body json.RawMessage `json:"body"`
	Hex  string          `json:"hex"`

	frame []byte
}

func readRows(t *testing.T, name string) (rows []row) {
	t.Helper()
	file, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(z)
	sc.Buffer(nil, 1<<22)
	for sc.Scan() {
		var r row
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if r.frame, err = hex.DecodeString(r.Hex); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	if sc.Err() != nil {
		t.Fatal(sc.Err())
	}
	return rows
}

// recording is what a replay has to know of a file beside its rows.
type recording struct {
	file string
	// skip lists connections whose bytes are of the kind "not to copy".
	skip []int
	// deafAfter has rows after which a connection's replies are not compared,
	// because ZooKeeper has closed it where we do not.
	deafAfter map[int]int
	// advance has rows before which the zxid moves on, since what was skipped
	// took zxids.
	advance map[int]wire.Zxid
	// anyOrder has txns that end a session with several ephemerals: the order
	// in which these go is undefined.
	anyOrder []wire.Zxid
	// sendBefore moves rows of clients that pipelined before an earlier row.
	sendBefore map[int]int
}

// TestReplay sends what a client sent to ZooKeeper and wants what ZooKeeper
// answered, byte for byte. The member begins at the zxid of the recording,
// with the tree that the first requests of the recording show, gives the
// recorded session ids and passwords, and has the recorded time at each zxid;
// so only the order of children has to be evened out.
func TestReplay(t *testing.T) {
	for _, rec := range []recording{
		{
			file: "probe-handshake-and-frames.jsonl.gz",
			// 44 and 45 ask for createSession and deleteContainer, which we refuse.
			skip: []int{44, 45},
			// 19 is kicked out by somebody with the wrong password.
			deafAfter:  map[int]int{19: 262},
			advance:    map[int]wire.Zxid{408: 1544},
			sendBefore: map[int]int{481: 479},
		},
		{
			file:     "probe-watches.jsonl.gz",
			anyOrder: []wire.Zxid{0x527},
			// Sessions of earlier recordings expired meanwhile.
			advance: map[int]wire.Zxid{508: 0x52f},
		},
	} {
		t.Run(strings.TrimSuffix(rec.file, ".jsonl.gz"), func(t *testing.T) { rec.replay(t) })
	}
}

func (rec *recording) replay(t *testing.T) {
	rows := rec.order(readRows(t, rec.file))
	f := start(t)
	rec.prepare(t, f.member, rows)
	conns := map[int]*client{}
	closed := map[int]bool{} // by the client
	compared := 0
	for i := range rows {
		r := &rows[i]
		if slices.Contains(rec.skip, r.Conn) {
			continue
		}
		if z, ok := rec.advance[r.N]; ok {
			f.member.skipTo(z)
		}
		after, deaf := rec.deafAfter[r.Conn]
		deaf = deaf && r.N > after
		c := conns[r.Conn]
		if c == nil {
			c = f.dial()
			conns[r.Conn] = c
		}
		switch {
		case r.Dir == "c2s" && r.Kind == "eof":
			closed[r.Conn] = true
			c.nc.Close()
		case r.Dir == "c2s":
			c.nc.Write(r.frame) // the connection may be gone, as in the recording
		case deaf || closed[r.Conn]:
		case r.Kind == "eof":
			c.eof()
			compared++
		default:
			b, err := c.read()
			if err != nil {
				t.Fatalf("row %d (%s): %v", r.N, r.Op, err)
			}
			if r.Kind == "event" {
				rec.matchEvent(rows[i:], b)
			}
			got, want := sortChildren(r.Op, b), sortChildren(r.Op, r.frame[4:])
			if !bytes.Equal(got, want) {
				t.Fatalf("row %d, connection %d (%s):\ngot  %x\nwant %x", r.N, r.Conn, r.Op, got, want)
			}
			compared++
		}
	}
	t.Logf("%d frames and ends compared", compared)
}

// matchEvent moves the event that came to the front of those of its txn, which
// are expected in any order.
func (rec *recording) matchEvent(rows []row, got []byte) {
	zxid := func(frame []byte) wire.Zxid { return wire.Zxid(binary.BigEndian.Uint64(frame[4:])) }
	if !slices.Contains(rec.anyOrder, zxid(got)) {
		return
	}
	for i := range rows {
		if r := &rows[i]; r.Conn == rows[0].Conn && r.Kind == "event" && bytes.Equal(r.frame[4:], got) {
			rows[0].frame, r.frame = r.frame, rows[0].frame
			return
		}
	}
}

// order puts the rows in the order in which they are played. Bytes that were
// no whole frame have no number: they follow the connection's first reply.
func (rec *recording) order(rows []row) []row {
	var tail []row
	rows = slices.DeleteFunc(rows, func(r row) bool {
		if r.N == 0 {
			tail = append(tail, r)
		}
		return r.N == 0
	})
	for _, r := range tail {
		i := slices.IndexFunc(rows, func(o row) bool { return o.Conn == r.Conn && o.Dir == "s2c" })
		rows = slices.Insert(rows, i+1, r)
	}
	for n, before := range rec.sendBefore {
		i := slices.IndexFunc(rows, func(o row) bool { return o.N == n })
		r := rows[i]
		rows = slices.Delete(rows, i, i+1)
		j := slices.IndexFunc(rows, func(o row) bool { return o.N == before })
		rows = slices.Insert(rows, j, r)
	}
	return rows
}

// prepare gives the member the recording's past and its sessions and times.
func (rec *recording) prepare(t *testing.T, m *fakeMember, rows []row) {
	t.Helper()
	times := map[wire.Zxid]int64{}
	first := wire.Zxid(0)
	for _, r := range rows {
		if r.Dir != "s2c" || len(r.frame) < 4 {
			continue
		}
		d := wire.NewDecoder(r.frame[4:])
		if r.Kind == "ConnectResponse" {
			var resp wire.ConnectResponse
			resp.Decode(&d)
			made := madeSession{id: resp.SessionID}
			copy(made.passwd[:], resp.Passwd)
			known := slices.ContainsFunc(m.sessions, func(s madeSession) bool { return s.id == made.id })
			if made.id != 0 && !known && !slices.Contains(rec.skip, r.Conn) {
				m.sessions = append(m.sessions, made)
			}
			continue
		}
		var h wire.ReplyHeader
		if h.Decode(&d); first == 0 {
			first = h.Zxid
		}
		if s, ok := statOf(r.Op, r.frame); ok {
			times[s.Czxid], times[s.Mzxid] = s.Ctime, s.Mtime
		}
	}
	m.timeAt = func(z wire.Zxid) int64 { return times[z] }
	loadPast(t, m.tree, rows, first-1)
	m.view = znode.NewView(m.tree)
}

// statOf finds the Stat in a successful reply.
func statOf(op string, frame []byte) (s wire.Stat, ok bool) {
	const head = 4 + wire.ReplyHeaderSize
	switch op {
	case "exists", "setData", "setACL", "getData", "getChildren2", "create2":
	default:
		return s, false
	}
	if len(frame) < head+wire.StatSize {
		return s, false
	}
	err := wire.Unmarshal(frame[len(frame)-wire.StatSize:], &s)
	return s, err == nil
}

// loadPast makes the znodes that the first walk of connection 1 finds. Those
// that it may not read get an ACL that nobody meets.
func loadPast(t *testing.T, tree *znode.Tree, rows []row, zxid wire.Zxid) {
	t.Helper()
	var asked []string
	seen := map[string]bool{}
	add := func(path string, acl []wire.ACL) {
		if seen[path] || strings.HasPrefix(path, "/zookeeper") {
			return
		}
		seen[path] = true
		r := znode.Record{Data: []byte{}, ACL: acl, Stat: wire.StatPersisted{Czxid: 1, Mzxid: 1, Pzxid: 1}}
		if err := tree.Load(path, &r); err != nil {
			t.Fatal(err)
		}
	}
	if s, ok := rootStat(rows); ok {
		r := znode.Record{Data: []byte{}, Stat: wire.StatPersisted{Czxid: s.Czxid, Mzxid: s.Mzxid, Ctime: s.Ctime,
			Mtime: s.Mtime, Version: s.Version, Cversion: (s.Cversion + s.NumChildren) / 2, Aversion: s.Aversion, Pzxid: s.Pzxid}}
		r.Data = make([]byte, s.DataLength)
		if err := tree.Load("/", &r); err != nil {
			t.Fatal(err)
		}
		for n := s.NumChildren - 2; n > 0; n-- { // beside /zookeeper and what the walk finds
			add("/other"+string(rune('0'+n)), nil)
		}
	}
	for _, name := range rootChildren(rows) {
		add("/"+name, nil)
	}
	for _, r := range rows {
		if r.Conn != 1 {
			continue
		}
		var body struct {
			Path     string
			Children []string
		}
		if json.Unmarshal(r.Body, &body) != nil && r.Dir == "c2s" {
			continue
		}
		switch {
		case r.Op == "create" && r.Dir == "c2s":
			tree.Loaded(zxid)
			return
		case r.Op == "getChildren" && r.Dir == "c2s":
			asked = append(asked, body.Path)
		case r.Op == "getChildren":
			path := asked[len(asked)-1]
			var h wire.ReplyHeader
			d := wire.NewDecoder(r.frame[4:])
			h.Decode(&d)
			switch {
			case h.Err == wire.ErrNoAuth:
				nobody := []wire.ACL{{Perms: wire.PermAll, ID: wire.ID{Scheme: "digest", ID: "nobody:x"}}}
				reload(t, tree, path, nobody)
			case h.Err == wire.OK:
				add(path, nil)
				for _, name := range body.Children {
					add(path+"/"+name, nil)
				}
			}
		}
	}
	tree.Loaded(zxid)
}

// reload replaces the ACL of a znode.
func reload(t *testing.T, tree *znode.Tree, path string, acl []wire.ACL) {
	t.Helper()
	r := znode.Record{Data: []byte{}, ACL: acl, Stat: wire.StatPersisted{Czxid: 1, Mzxid: 1, Pzxid: 1}}
	if err := tree.Load(path, &r); err != nil {
		t.Fatal(err)
	}
}

// rootStat is the Stat of / as the recording shows it first.
func rootStat(rows []row) (wire.Stat, bool) {
	asked := map[int]string{}
	for _, r := range rows {
		if r.Op != "exists" {
			continue
		}
		if r.Dir == "s2c" {
			if s, ok := statOf(r.Op, r.frame); ok && asked[r.Conn] == "/" {
				return s, true
			}
			continue
		}
		var body struct{ Path string }
		if json.Unmarshal(r.Body, &body) == nil {
			asked[r.Conn] = body.Path
		}
	}
	return wire.Stat{}, false
}

// rootChildren are the children of / as the recording lists them first.
func rootChildren(rows []row) []string {
	asked := map[int]string{}
	for _, r := range rows {
		if r.Op != "getChildren" {
			continue
		}
		var body struct {
			Path     string
			Children []string
		}
		if json.Unmarshal(r.Body, &body) != nil {
			continue
		}
		if r.Dir == "s2c" && asked[r.Conn] == "/" {
			return body.Children
		}
		if r.Dir == "c2s" {
			asked[r.Conn] = body.Path
		}
	}
	return nil
}

// sortChildren evens out the order of the children in a reply.
func sortChildren(op string, b []byte) []byte {
	if !strings.HasPrefix(op, "getChildren") || len(b) <= wire.ReplyHeaderSize {
		return b
	}
	d := wire.NewDecoder(b[wire.ReplyHeaderSize:])
	names := d.Strings()
	slices.SortFunc(names, cmp.Compare)
	out := wire.AppendStrings(slices.Clone(b[:wire.ReplyHeaderSize]), names)
	return append(out, b[wire.ReplyHeaderSize+d.Offset():]...)
}

// skipTo moves the member's zxid on, without a trace in the tree.
func (f *fakeMember) skipTo(z wire.Zxid) {
	done := make(chan struct{})
	f.do(func() {
		defer close(done)
		var a znode.Applied
		f.tree.Lock()
		defer f.tree.Unlock()
		for f.tree.LastZxid() < z {
			next := f.tree.LastZxid() + 1
			f.tree.Apply(&wire.Txn{TxnHeader: wire.TxnHeader{Zxid: next, Op: wire.OpError}, Body: &wire.ErrorTxn{}}, &a)
			f.view.Applied(next)
		}
	})
	<-done
}
