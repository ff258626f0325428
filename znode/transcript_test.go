package znode

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"zooid/wire"
)

// TestTranscripts plays the files of testdata/tree against a tree. Their
// commands are:
//
//	apply          each line is a txn, at the next zxid and its time 1000·zxid
//	multi          the lines are the parts of one txn
//	read conn=N    each line is a request of connection N, which has session N
//	drop conn=N    the connection goes
//	watches        figures and dump of the data watches
//	nodes          path, data and stat of every node outside /zookeeper
//
// Run with -rewrite to accept what the tree does now, and read the difference.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/tree", func(t *testing.T, path string) {
		s := &script{t: t, tree: New()}
		s.tree.rules.Auth = ruler{}
		datadriven.RunTest(t, path, s.run)
		verify(t, s.tree)
	})
}

type script struct {
	t    *testing.T
	tree *Tree
	out  Applied
}

// ruler permits what an ACL entry of scheme "user" gives to an id of the same.
type ruler struct{}

func (ruler) Permits(acl []wire.ACL, perm int32, ids []wire.ID) bool {
	for _, a := range acl {
		if a.Perms&perm == 0 {
			continue
		}
		if a.ID.Scheme == "world" {
			return true
		}
		for _, id := range ids {
			if id == a.ID {
				return true
			}
		}
	}
	return len(acl) == 0
}

func (ruler) Normalize(acl []wire.ACL, _ []wire.ID) ([]wire.ACL, error) { return acl, nil }

func (ruler) DisplayID(id wire.ID) wire.ID {
	id.ID, _, _ = strings.Cut(id.ID, ":")
	return id
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	var out strings.Builder
	switch d.Cmd {
	case "apply":
		for _, line := range lines(d.Input) {
			fmt.Fprintf(&out, "%s", s.apply(s.txn(line)))
		}
	case "multi":
		var m wire.MultiTxn
		for _, line := range lines(d.Input) {
			txn := s.txn(line)
			m.Txns = append(m.Txns, wire.SubTxn{Op: txn.Op, Body: txn.Body})
		}
		txn := &wire.Txn{Body: &m}
		txn.Op = wire.OpMulti
		if d.HasArg("session") {
			var id int
			d.ScanArgs(t, "session", &id)
			txn.Session = wire.SessionID(id)
		}
		out.WriteString(s.apply(txn))
	case "read":
		var conn int
		d.ScanArgs(t, "conn", &conn)
		r := &Reader{Conn: ConnID(conn), Session: wire.SessionID(conn)}
		if d.HasArg("id") {
			var id string
			d.ScanArgs(t, "id", &id)
			scheme, name, _ := strings.Cut(id, "/")
			r.IDs = []wire.ID{{Scheme: scheme, ID: name}}
		}
		for _, line := range lines(d.Input) {
			out.WriteString(s.read(r, line))
		}
	case "drop":
		var conn int
		d.ScanArgs(t, "conn", &conn)
		s.tree.DropWatcher(ConnID(conn))
	case "watches":
		conns, paths, total := s.tree.WatchStats()
		fmt.Fprintf(&out, "%d connections watch %d paths, %d data watches, %d in all\n", conns, paths, total, s.tree.WatchCount())
		s.tree.DumpWatches(func(path string, conns []ConnID) { fmt.Fprintf(&out, "%s %d\n", path, conns) })
	case "nodes":
		s.nodes(&out)
	default:
		t.Fatalf("unknown command %s", d.Cmd)
	}
	return out.String()
}

func lines(input string) []string {
	if input == "" {
		return nil
	}
	return strings.Split(input, "\n")
}

var optionNames = map[string]bool{
	"acl": true, "session": true, "pc": true, "ttl": true, "list": true, "rel": true,
	"data": true, "exist": true, "child": true, "persistent": true, "recursive": true,
}

// options parses the key=value words whose key is known; the others are rest.
func options(words []string) (rest []string, opts map[string]string) {
	opts = map[string]string{}
	for _, w := range words {
		if k, v, ok := strings.Cut(w, "="); ok && optionNames[k] {
			opts[k] = v
		} else {
			rest = append(rest, w)
		}
	}
	return rest, opts
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 0, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// aclOf is "" for the open ACL, or scheme/id:perms.
func aclOf(s string) []wire.ACL {
	if s == "" {
		return wire.OpenACL
	}
	i := strings.LastIndexByte(s, ':')
	scheme, id, _ := strings.Cut(s[:i], "/")
	return []wire.ACL{{Perms: int32(number(s[i+1:])), ID: wire.ID{Scheme: scheme, ID: id}}}
}

// txn parses: op path [data] [option…].
func (s *script) txn(line string) *wire.Txn {
	words, opts := options(strings.Fields(line))
	arg := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	var data []byte
	if len(words) > 2 {
		data = []byte(words[2])
	}
	txn := new(wire.Txn)
	pc := int32(-1)
	if v, ok := opts["pc"]; ok {
		pc = int32(number(v))
	}
	if v, ok := opts["session"]; ok {
		txn.Session = wire.SessionID(number(v))
	}
	switch arg(0) {
	case "create", "create2":
		txn.Op = wire.OpCreate
		if arg(0) == "create2" {
			txn.Op = wire.OpCreate2
		}
		txn.Body = &wire.CreateTxn{Path: arg(1), Data: data, ACL: aclOf(opts["acl"]), ParentCversion: pc, Ephemeral: txn.Session != 0}
	case "container":
		txn.Op = wire.OpCreateContainer
		txn.Body = &wire.CreateContainerTxn{Path: arg(1), Data: data, ACL: aclOf(opts["acl"]), ParentCversion: pc}
	case "ttl":
		txn.Op = wire.OpCreateTTL
		txn.Body = &wire.CreateTTLTxn{Path: arg(1), Data: data, ACL: aclOf(opts["acl"]), ParentCversion: pc, TTLMs: number(opts["ttl"])}
	case "delete":
		txn.Op, txn.Body = wire.OpDelete, &wire.DeleteTxn{Path: arg(1)}
	case "setData":
		version := s.tree.stat(max(s.tree.lookup(arg(1)), rootID)).Version + 1
		txn.Op, txn.Body = wire.OpSetData, &wire.SetDataTxn{Path: arg(1), Data: data, Version: version}
	case "reconfig":
		txn.Op, txn.Body = wire.OpReconfig, &wire.SetDataTxn{Path: configPath, Data: []byte(arg(1)), Version: -1}
	case "setACL":
		version := s.tree.stat(max(s.tree.lookup(arg(1)), rootID)).Aversion + 1
		txn.Op, txn.Body = wire.OpSetACL, &wire.SetACLTxn{Path: arg(1), ACL: aclOf(opts["acl"]), Version: version}
	case "check":
		txn.Op, txn.Body = wire.OpCheck, &wire.CheckVersionTxn{Path: arg(1), Version: 1}
	case "error":
		txn.Op, txn.Body = wire.OpError, &wire.ErrorTxn{Err: wire.ErrCode(number(arg(1)))}
	case "createSession":
		txn.Op, txn.Body = wire.OpCreateSession, &wire.CreateSessionTxn{TimeoutMs: int32(number(arg(1)))}
	case "closeSession":
		txn.Op, txn.Body = wire.OpCloseSession, &wire.CloseSessionTxn{Paths: words[1:]}
		if opts["list"] == "no" {
			txn.Body = nil
		}
	default:
		s.t.Fatalf("unknown txn %q", line)
	}
	return txn
}

// apply prints the txn's outcome, results and events.
func (s *script) apply(txn *wire.Txn) string {
	txn.Zxid = s.tree.LastZxid() + 1
	txn.TimeMs = int64(txn.Zxid) * 1000
	txn.Digest = wire.TxnDigest{} // the model test sees to digests
	s.tree.Apply(txn, &s.out)
	var b strings.Builder
	fmt.Fprintf(&b, "%d %v: %v", txn.Zxid, txn.Op, s.out.Err)
	if s.out.Path != "" {
		fmt.Fprintf(&b, " %s", s.out.Path)
	}
	if s.out.Stat != (wire.Stat{}) {
		fmt.Fprintf(&b, " %s", statText(s.out.Stat))
	}
	if s.out.Data != nil {
		fmt.Fprintf(&b, " data %q", s.out.Data)
	}
	if s.out.Created != 0 {
		fmt.Fprintf(&b, " created %v timeout %d", s.out.Created, s.out.TimeoutMs)
	}
	if s.out.Closed != 0 {
		fmt.Fprintf(&b, " closed %v", s.out.Closed)
	}
	b.WriteByte('\n')
	for _, r := range s.out.Multi {
		fmt.Fprintf(&b, "  %v: %v", r.Op, r.Err)
		if r.Path != "" {
			fmt.Fprintf(&b, " %s", r.Path)
		}
		if r.Stat != (wire.Stat{}) {
			fmt.Fprintf(&b, " %s", statText(r.Stat))
		}
		b.WriteByte('\n')
	}
	writeEvents(&b, s.out.Events)
	return b.String()
}

func writeEvents(b *strings.Builder, events []Event) {
	for _, e := range events {
		fmt.Fprintf(b, "  %v %s -> %v", e.Type, e.Path, e.Watchers)
		if e.Zxid == -1 {
			b.WriteString(" (catch-up)")
		}
		if len(e.ACL) > 0 && e.ACL[0] != wire.OpenACL[0] {
			fmt.Fprintf(b, " for %v", e.ACL)
		}
		b.WriteByte('\n')
	}
}

func statText(s wire.Stat) string {
	return fmt.Sprintf("c%d m%d p%d v%d/%d/%d owner %v len %d children %d",
		s.Czxid, s.Mzxid, s.Pzxid, s.Version, s.Cversion, s.Aversion, s.EphemeralOwner, s.DataLength, s.NumChildren)
}

// read prints the answer to: op path [option…].
func (s *script) read(r *Reader, line string) string {
	words, opts := options(strings.Fields(line))
	path := ""
	if len(words) > 1 {
		path = strings.Trim(words[1], `"`)
	}
	r.Catchup = r.Catchup[:0]
	watch := len(words) > 2 && words[2] == "watch"
	op, body, reply := s.request(words, opts, path, watch)
	const before = "before"
	dst, err := s.tree.Read(op, r, body, []byte(before))
	var b strings.Builder
	fmt.Fprintf(&b, "%s:", line)
	answer, ok := strings.CutPrefix(string(dst), before)
	if !ok {
		s.t.Errorf("%s: what stood in dst is gone", line)
	}
	switch {
	case err != nil && errors.Is(err, wire.ErrMarshalling):
		fmt.Fprintf(&b, " %v %x", wire.CodeOf(err), answer)
	case err != nil:
		fmt.Fprintf(&b, " %v%s", err, answer)
	default:
		if err := wire.Unmarshal([]byte(answer), reply); err != nil {
			s.t.Errorf("%s: %v", line, err)
		}
		fmt.Fprintf(&b, " %s", replyText(reply))
	}
	out := strings.TrimRight(b.String(), " ") + "\n"
	b.Reset()
	writeEvents(&b, r.Catchup)
	return out + b.String()
}

func (s *script) request(words []string, opts map[string]string, path string, watch bool) (wire.OpCode, []byte, wire.Record) {
	split := func(name string) []string {
		if opts[name] == "" {
			return []string{}
		}
		return strings.Split(opts[name], ",")
	}
	read := wire.WatchRequest{Path: path, Watch: watch}
	switch words[0] {
	case "exists":
		return wire.OpExists, read.Append(nil), new(statReply)
	case "getData":
		return wire.OpGetData, read.Append(nil), new(wire.GetDataResponse)
	case "getChildren":
		return wire.OpGetChildren, read.Append(nil), new(wire.StringsResponse)
	case "getChildren2":
		return wire.OpGetChildren2, read.Append(nil), new(wire.GetChildren2Response)
	case "getACL":
		return wire.OpGetACL, (&wire.PathRequest{Path: path}).Append(nil), new(wire.GetACLResponse)
	case "getAllChildrenNumber":
		return wire.OpGetAllChildrenNumber, (&wire.PathRequest{Path: path}).Append(nil), new(wire.Int32Response)
	case "getEphemerals":
		return wire.OpGetEphemerals, (&wire.PathRequest{Path: path, NullPath: path == ""}).Append(nil), new(wire.StringsResponse)
	case "whoAmI":
		return wire.OpWhoAmI, nil, new(wire.WhoAmIResponse)
	case "ping":
		return wire.OpPing, nil, new(wire.Empty)
	case "null":
		q := wire.AppendBool(wire.AppendInt32(nil, -1), false)
		return wire.OpCode(number(words[1])), q, new(statReply)
	case "addWatch":
		mode := map[string]int32{"persistent": 0, "recursive": 1, "bad": 2}[words[2]]
		return wire.OpAddWatch, (&wire.AddWatchRequest{Path: path, Mode: mode}).Append(nil), new(wire.Int32Response)
	case "checkWatches":
		return wire.OpCheckWatches, (&wire.WatcherTypeRequest{Path: path, Type: wire.WatcherType(number(words[2]))}).Append(nil), new(wire.Empty)
	case "removeWatches":
		return wire.OpRemoveWatches, (&wire.WatcherTypeRequest{Path: path, Type: wire.WatcherType(number(words[2]))}).Append(nil), new(wire.Empty)
	case "setWatches", "setWatches2":
		q := &wire.SetWatchesRequest{
			Two: words[0] == "setWatches2", RelativeZxid: wire.Zxid(number(opts["rel"])),
			Data: split("data"), Exist: split("exist"), Child: split("child"),
			Persistent: split("persistent"), PersistentRecursive: split("recursive"),
		}
		op := wire.OpSetWatches
		if q.Two {
			op = wire.OpSetWatches2
		}
		return op, q.Append(nil), new(wire.Empty)
	case "multiRead":
		return wire.OpMultiRead, multiReadBody(words[1:]), new(wire.MultiResponse)
	}
	s.t.Fatalf("unknown read %q", words)
	return 0, nil, nil
}

// multiReadBody understands get:/path, ls:/path, check:/path and open (no end).
func multiReadBody(words []string) []byte {
	var b []byte
	for _, w := range words {
		kind, path, _ := strings.Cut(w, ":")
		var h wire.MultiHeader
		h.Err = -1
		switch kind {
		case "get":
			h.Op = wire.OpGetData
		case "ls":
			h.Op = wire.OpGetChildren
		case "check":
			h.Op = wire.OpCheck
		case "open":
			return b
		}
		b = h.Append(b)
		if h.Op == wire.OpCheck {
			b = (&wire.DeleteRequest{Path: path, Version: -1}).Append(b)
		} else {
			b = (&wire.WatchRequest{Path: path, Watch: true}).Append(b)
		}
	}
	return wire.MultiEnd.Append(b)
}

// statReply is the reply body of exists.
type statReply struct{ wire.Stat }

func replyText(r wire.Record) string {
	switch r := r.(type) {
	case *statReply:
		return statText(r.Stat)
	case *wire.GetDataResponse:
		return dataText(r.Data) + " " + statText(r.Stat)
	case *wire.StringsResponse:
		return fmt.Sprint(r.Names)
	case *wire.GetChildren2Response:
		return fmt.Sprint(r.Names, " ", statText(r.Stat))
	case *wire.GetACLResponse:
		return fmt.Sprint(r.ACL)
	case *wire.Int32Response:
		return fmt.Sprint(r.Value)
	case *wire.WhoAmIResponse:
		return fmt.Sprint(r.IDs)
	case *wire.MultiResponse:
		var b strings.Builder
		for _, p := range r.Results {
			switch p.Op {
			case wire.OpGetData:
				fmt.Fprintf(&b, "[%s] ", dataText(p.Data))
			case wire.OpGetChildren:
				fmt.Fprintf(&b, "%v ", p.Names)
			default:
				fmt.Fprintf(&b, "[%v] ", p.Err)
			}
		}
		return b.String()
	}
	return "OK"
}

func dataText(data []byte) string {
	if data == nil {
		return "null"
	}
	return strconv.Quote(string(data))
}

func (s *script) nodes(out *strings.Builder) {
	s.tree.walk(rootID, func(n nodeID) {
		path := s.tree.path(n)
		if isSystem(path) && !strings.HasSuffix(path, statsName) {
			return
		}
		fmt.Fprintf(out, "%s %s %s\n", path, dataText(s.tree.data(n)), statText(s.tree.stat(n)))
	})
}
