package oracle

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/wire"
)

var rewrite = flag.Bool("rewrite", false, "write the scripts' answers anew from what the server at hand says (which should be java)")

// TestRecordedProbes replays requests that were written by hand to explore Java
// ZooKeeper, many of them malformed, and compares the answers with those of Java
// ZooKeeper 3.9.5 that stand beside them. So it is an oracle that needs no Java.
//
// A line of a script is: connection, what to do, and for read what must come.
//
//	open <frame>            connect and send a handshake
//	reopen <conn> <frame>   the same with the session of another connection
//	send <frame>
//	sendrel <d> <frame>     setWatches, relative to the latest zxid plus d
//	read <answer>           the next frame
//	eof                     the server closes
//	close                   the client closes
func TestRecordedProbes(t *testing.T) {
	files, err := filepath.Glob("testdata/probe-*.txt.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt.gz"), func(t *testing.T) {
			testenv.EachTarget(t, testenv.Config{}, func(t *testing.T, s *testenv.Server) { replayFile(t, file, s) })
		})
	}
}

func replayFile(t *testing.T, file string, s *testenv.Server) {
	script := readScript(t, file)
	d, err := newSide(s)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	r := &replay{side: d, conns: map[string]*replayConn{}}
	defer r.close()
	differ := 0
	for n := 0; n < len(script); {
		want := unordered(script[n:])
		after := r.last
		got := make([]string, len(want))
		for i, line := range want {
			if got[i], err = r.line(line); err != nil {
				t.Fatalf("line %d of %s, %s: %v", n+i+1, file, line, err)
			}
		}
		if *rewrite {
			copy(script[n:], got)
		} else if !same(got, want) {
			t.Errorf("line %d, after %s\n got %q\nwant %q", n+1, after, got, want)
			if differ++; differ == 10 {
				t.Fatal("further differences are not shown")
			}
		}
		n += len(want)
	}
	if *rewrite {
		writeScript(t, file, script)
	}
}

var deletion = regexp.MustCompile(`^(\d+ read event NodeDeleted) ".*" (zxid \S+)$`)

// unordered is the first line, with those after it that may come before it: the
// deletions that the end of a session causes have no order among themselves.
func unordered(lines []string) []string {
	first := deletion.FindStringSubmatch(lines[0])
	n := 1
	for first != nil && n < len(lines) {
		m := deletion.FindStringSubmatch(lines[n])
		if m == nil || m[1] != first[1] || m[2] != first[2] {
			break
		}
		n++
	}
	return lines[:n]
}

// same compares lines as sets.
func same(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

func readScript(t *testing.T, file string) []string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	sc := bufio.NewScanner(z)
	sc.Buffer(nil, 1<<24)
	for sc.Scan() {
		lines = append(lines, sc.Text())
	}
	if err := sc.Err(); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return lines
}

func writeScript(t *testing.T, file string, lines []string) {
	t.Helper()
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	fmt.Fprintln(z, strings.Join(lines, "\n"))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// replay is a script under way.
type replay struct {
	side  *side
	conns map[string]*replayConn
	last  string // the last request, decoded
	zxid  wire.Zxid
}

// replayConn is one connection of a script. It is not a rawclient.Conn, whose
// handshake would succeed or be no connection at all.
type replayConn struct {
	*rawclient.Conn
	shaken  bool // the handshake's answer has come
	session wire.SessionID
	passwd  []byte
	pending []wire.RequestHeader
}

func (r *replay) close() {
	for _, c := range r.conns {
		c.Close()
	}
}

// line does what a line says, and returns it with the answer that came.
func (r *replay) line(line string) (string, error) {
	f := strings.SplitN(line, " ", 3)
	name, verb, rest := f[0], f[1], ""
	if len(f) == 3 {
		rest = f[2]
	}
	switch verb {
	case "open":
		return line, r.open(name, rest, nil)
	case "reopen":
		of, frame, _ := strings.Cut(rest, " ")
		return line, r.open(name, frame, r.conns[of])
	}
	c := r.conns[name]
	switch verb {
	case "send":
		return line, r.send(c, rest, nil)
	case "sendrel":
		text, frame, _ := strings.Cut(rest, " ")
		delta, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return "", err
		}
		return line, r.send(c, frame, &delta)
	case "read":
		return name + " read " + r.read(c), nil
	case "eof":
		if err := c.AwaitEOF(); err != nil {
			return name + " " + err.Error(), nil
		}
		return line, nil
	case "close":
		return line, c.Close()
	}
	return "", fmt.Errorf("unknown verb %q", verb)
}

// Offsets of fields in a handshake's frame.
const (
	offSession = 20
	offPasswd  = 32
)

func (r *replay) open(name, frame string, like *replayConn) error {
	b, err := hex.DecodeString(frame)
	if err != nil {
		return err
	}
	if like != nil {
		binary.BigEndian.PutUint64(b[offSession:], uint64(like.session))
		copy(b[offPasswd:], like.passwd)
	}
	nc, err := net.Dial("tcp", r.side.server.Addr)
	if err != nil {
		return err
	}
	c := &replayConn{Conn: rawclient.Wrap(nc)}
	r.conns[name] = c
	return c.SendBytes(b)
}

func (r *replay) send(c *replayConn, frame string, delta *int64) error {
	b, err := hex.DecodeString(frame)
	if err != nil {
		return err
	}
	if delta != nil {
		binary.BigEndian.PutUint64(b[12:], uint64(int64(r.zxid)+*delta))
	}
	r.last = fmt.Sprintf("% x", b)
	if len(b) >= 12 {
		h := wire.RequestHeader{Xid: int32(binary.BigEndian.Uint32(b[4:])), Op: wire.OpCode(binary.BigEndian.Uint32(b[8:]))}
		c.pending = append(c.pending, h)
		r.last = fmt.Sprintf("%v %q", h.Op, b[12:])
	}
	if err := r.side.super.Ping(); err != nil {
		return err
	}
	r.side.applied = r.side.super.LastZxid
	// A request behind the end of a session is written to a connection that the
	// server may have closed; what it does then shows in what can be read.
	if err := c.SendBytes(b); err != nil {
		r.last += " (" + err.Error() + ")"
	}
	return nil
}

// read shows the next frame.
func (r *replay) read(c *replayConn) string {
	body, err := c.ReadFrame()
	if err != nil {
		return "nothing: the connection ended"
	}
	if !c.shaken {
		return r.shake(c, body)
	}
	d := wire.NewDecoder(body)
	var h wire.ReplyHeader
	h.Decode(&d)
	r.zxid = max(r.zxid, h.Zxid)
	if e, ok := asEvent(h, body); ok {
		return r.side.event(e)
	}
	if len(c.pending) == 0 {
		return fmt.Sprintf("a frame that nobody asked for: % x", body)
	}
	asked := c.pending[0]
	c.pending = c.pending[1:]
	var out outcome
	return r.side.reply(&request{op: asked.Op}, asked.Xid, rawclient.Frame{Header: h, Body: body[d.Offset():]}, &out)
}

// asEvent tells whether a frame is a notification. A request may have had the
// xid of one; its reply is told by its shape.
func asEvent(h wire.ReplyHeader, body []byte) (rawclient.Event, bool) {
	if h.Xid != wire.XidNotification || len(body) < 28 {
		return rawclient.Event{}, false
	}
	var e wire.WatcherEvent
	d := wire.NewDecoder(body[wire.ReplyHeaderSize:])
	e.Decode(&d)
	ok := d.Err() == nil && d.Remaining() == 0 && e.State == wire.StateSyncConnected
	return rawclient.Event{Type: e.Type, Path: e.Path, Zxid: h.Zxid}, ok
}

func (r *replay) shake(c *replayConn, body []byte) string {
	c.shaken = true
	var resp wire.ConnectResponse
	if err := wire.Unmarshal(body, &resp); err != nil {
		return err.Error()
	}
	c.session, c.passwd = resp.SessionID, bytes.Clone(resp.Passwd)
	known := "a session"
	if name, ok := r.side.names[resp.SessionID]; ok {
		known = name
	} else if resp.SessionID == 0 {
		known = "no session"
	} else {
		r.side.names[resp.SessionID] = fmt.Sprintf("session %d", len(r.side.names)+1)
	}
	return fmt.Sprintf("handshake: version %d, timeout %d, %s, password of %d bytes, readOnly byte %v %v",
		resp.ProtocolVersion, resp.TimeoutMs, known, len(resp.Passwd), resp.HasReadOnly, resp.ReadOnly)
}
