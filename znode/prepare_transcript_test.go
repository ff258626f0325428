package znode

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"zooid/wire"
)

// TestPrepareTranscripts plays testdata/prepare: what requests become while
// others are in flight. Commands:
//
//	rules [quota] [no-ttl] [reconfig] [skip-acl]   before anything else
//	propose [session=n] [ids=super,u]              one request a line: the txn of each
//	apply [n]                                      the n oldest proposals, all by default: their outcomes
//	wait ms=n                                      the leader's clock moves
//
// Requests: open and close (the session), create, create2, container, ttl,
// delete, setData, setACL, check, reap, reconfig, each with a path, maybe data,
// and key=value (flags, ttl, version, acl as perms of the world); multi with
// parts between bars.
func TestPrepareTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/prepare", func(t *testing.T, path string) {
		s := newSolo(t, defaultRules(t))
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var out strings.Builder
			switch d.Cmd {
			case "rules":
				s.tree.rules.EnforceQuota = d.HasArg("quota")
				s.tree.rules.ExtendedTypes = !d.HasArg("no-ttl")
				s.tree.rules.ReconfigEnabled = d.HasArg("reconfig")
				s.tree.rules.SkipACL = d.HasArg("skip-acl")
			case "propose":
				session, ids := 1, []wire.ID{ipID}
				d.MaybeScanArgs(t, "session", &session)
				if d.HasArg("ids") {
					var names string
					d.ScanArgs(t, "ids", &names)
					for name := range strings.SplitSeq(names, ",") {
						ids = append(ids, map[string]wire.ID{"super": superID, "u": userID}[name])
					}
				}
				for line := range strings.SplitSeq(d.Input, "\n") {
					r := parseRequest(t, line)
					if r.Op != wire.OpDeleteContainer {
						r = as(r, wire.SessionID(session), ids...)
					}
					txn := s.propose(r)
					fmt.Fprintf(&out, "%v %s\n", txn.Zxid, describeTxn(txn.Op, txn.Body))
				}
			case "apply":
				n := len(s.queue)
				if len(d.CmdArgs) > 0 {
					n, _ = strconv.Atoi(d.CmdArgs[0].Key)
				}
				for range n {
					a := s.apply()
					fmt.Fprintf(&out, "%v %v: %v%s\n", a.Zxid, a.Op, a.Err, describeResult(a.Path, a.Stat))
					for _, m := range a.Multi {
						fmt.Fprintf(&out, "  %v: %v%s\n", m.Op, m.Err, describeResult(m.Path, m.Stat))
					}
				}
				v := s.view
				fmt.Fprintf(&out, "in flight: %d proposals, %d nodes, %d sessions\n", len(s.queue), len(v.nodes), len(v.sessions))
			case "wait":
				var ms int64
				d.ScanArgs(t, "ms", &ms)
				s.timeMs += ms
			default:
				t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
			}
			return out.String()
		})
	})
}

func parseRequest(t *testing.T, line string) *Request {
	t.Helper()
	words := strings.Fields(line)
	if words[0] == "multi" {
		var parts []*Request
		for part := range strings.SplitSeq(strings.TrimPrefix(line, "multi"), "|") {
			if strings.TrimSpace(part) != "" {
				parts = append(parts, parseRequest(t, part))
			}
		}
		return reqMulti(parts...)
	}
	var path, data string
	named := map[string]int64{"version": -1, "acl": int64(wire.PermAll), "ttl": 1000}
	for i, word := range words[1:] {
		key, value, isNamed := strings.Cut(word, "=")
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case isNamed && err == nil:
			named[key] = n
		case i == 0:
			path = word
		default:
			data = word
		}
	}
	version, flags := int32(named["version"]), int32(named["flags"])
	create := func(op wire.OpCode) *Request {
		return &Request{Op: op, Body: &wire.CreateRequest{Path: path, Data: []byte(data), ACL: worldACL(int32(named["acl"])), Flags: flags}}
	}
	switch words[0] {
	case "open":
		return &Request{Op: wire.OpCreateSession, TimeoutMs: 4000}
	case "close":
		return &Request{Op: wire.OpCloseSession}
	case "create":
		return create(wire.OpCreate)
	case "create2":
		return create(wire.OpCreate2)
	case "container":
		return create(wire.OpCreateContainer)
	case "ttl":
		return &Request{Op: wire.OpCreateTTL, Body: &wire.CreateTTLRequest{
			CreateRequest: wire.CreateRequest{Path: path, Data: []byte(data), ACL: wire.OpenACL, Flags: max(flags, wire.FlagPersistentTTL)}, TTLMs: named["ttl"]}}
	case "delete":
		return reqDelete(path, version)
	case "setData":
		return reqSetData(path, data, version)
	case "setACL":
		return reqSetACL(path, worldACL(int32(named["acl"])), version)
	case "check":
		return reqCheck(path, version)
	case "reap":
		return reqReap(path)
	case "reconfig":
		return &Request{Op: wire.OpReconfig, Body: new(wire.ReconfigRequest)}
	}
	t.Fatalf("unknown request %q", line)
	return nil
}

func describeTxn(op wire.OpCode, body wire.TxnBody) string {
	switch b := body.(type) {
	case *wire.ErrorTxn:
		return "error: " + b.Err.Error()
	case *wire.CreateSessionTxn:
		return fmt.Sprintf("%v timeout %d", op, b.TimeoutMs)
	case *wire.CloseSessionTxn:
		return fmt.Sprintf("%v %q", op, b.Paths)
	case *wire.CreateTxn:
		kind := "persistent"
		if b.Ephemeral {
			kind = "ephemeral"
		}
		return fmt.Sprintf("%v %s %q %s acl %d, parent %d", op, b.Path, b.Data, kind, b.ACL[0].Perms, b.ParentCversion)
	case *wire.CreateContainerTxn:
		return fmt.Sprintf("%v %s %q acl %d, parent %d", op, b.Path, b.Data, b.ACL[0].Perms, b.ParentCversion)
	case *wire.CreateTTLTxn:
		return fmt.Sprintf("%v %s %q ttl %d acl %d, parent %d", op, b.Path, b.Data, b.TTLMs, b.ACL[0].Perms, b.ParentCversion)
	case *wire.DeleteTxn:
		return fmt.Sprintf("%v %s", op, b.Path)
	case *wire.SetDataTxn:
		return fmt.Sprintf("%v %s %q version %d", op, b.Path, b.Data, b.Version)
	case *wire.SetACLTxn:
		return fmt.Sprintf("%v %s %d version %d", op, b.Path, b.ACL[0].Perms, b.Version)
	case *wire.CheckVersionTxn:
		return fmt.Sprintf("%v %s version %d", op, b.Path, b.Version)
	case *wire.MultiTxn:
		text := op.String()
		for _, sub := range b.Txns {
			text += "\n  " + describeTxn(sub.Op, sub.Body)
		}
		return text
	}
	return fmt.Sprintf("%v %T", op, body)
}

func describeResult(path string, s wire.Stat) string {
	text := ""
	if path != "" {
		text = " " + path
	}
	if s != (wire.Stat{}) {
		text += fmt.Sprintf(" c%d m%d p%d v%d/%d/%d len %d children %d", s.Czxid, s.Mzxid, s.Pzxid, s.Version, s.Cversion, s.Aversion, s.DataLength, s.NumChildren)
	}
	return text
}
