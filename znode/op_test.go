package znode

import (
	"bytes"
	"strings"
	"testing"

	"zooid/wire"
)

// TestOps holds the table to what clients, operators and the server count on.
func TestOps(t *testing.T) {
	rows := ops()
	served := 0
	for code := wire.OpCode(-200); code < 200; code++ {
		o, ok := LookupOp(code)
		if !ok {
			continue
		}
		served++
		if o.Code != code || o.Name != code.String() || strings.HasPrefix(o.Name, "opcode") {
			t.Errorf("row of %d: %+v", code, o)
		}
		outOfOrder := code == wire.OpAuth || code == wire.OpSASL
		if (o.Short == "") != outOfOrder {
			t.Errorf("%s: short name %q", o.Name, o.Short)
		}
		if o.Quorum == (o.read != nil) && !outOfOrder {
			t.Errorf("%s is answered both here and by the leader, or by nobody", o.Name)
		}
		if o.Quorum && o.prepare == nil && code != wire.OpSync {
			t.Errorf("%s makes no txn", o.Name)
		}
	}
	if want := len(rows) - 3; served != want {
		t.Errorf("%d operations for clients, want %d", served, want)
	}
	for _, code := range []wire.OpCode{wire.OpCreateSession, wire.OpDeleteContainer, wire.OpError, wire.OpNotification, wire.OpCheck, -12, 108, 1 << 30, -1 << 31} {
		if _, ok := LookupOp(code); ok {
			t.Errorf("clients may ask for %v", code)
		}
	}
}

// TestDecodeRequestRefuses: what is undecodable is refused where the client is
// connected.
func TestDecodeRequestRefuses(t *testing.T) {
	good := reqCreate(wire.OpCreate, "/a", 0).Body.Append(nil)
	for name, tc := range map[string]struct {
		op   wire.OpCode
		body []byte
	}{
		"empty":               {wire.OpCreate, nil},
		"short":               {wire.OpCreate, good[:len(good)-1]},
		"negative length":     {wire.OpDelete, []byte{0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 0}},
		"length too great":    {wire.OpDelete, []byte{0x7f, 0xff, 0xff, 0xff, 'a', 0, 0, 0}},
		"2^31-1 ACL entries":  {wire.OpSetACL, append([]byte{0, 0, 0, 1, '/'}, 0x7f, 0xff, 0xff, 0xff)},
		"null path, create":   {wire.OpCreate, append([]byte{0xff, 0xff, 0xff, 0xff}, good[6:]...)},
		"null path, delete":   {wire.OpDelete, []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}},
		"a read":              {wire.OpGetData, good},
		"an unknown one":      {9999, good},
		"a member's own":      {wire.OpCreateSession, []byte{0, 0, 0, 1}},
		"multi without end":   {wire.OpMulti, reqMulti(reqDelete("/a", 0)).Body.Append(nil)[:20]},
		"read in a multi":     {wire.OpMulti, (&wire.MultiRequest{Ops: []wire.MultiOp{{Op: wire.OpGetData, Body: &wire.WatchRequest{Path: "/"}}}}).Append(nil)},
		"null ACL in a multi": {wire.OpMulti, reqMulti(&Request{Op: wire.OpCreate, Body: &wire.CreateRequest{Path: "/a"}}).Body.Append(nil)},
		"setACL in a multi":   {wire.OpMulti, reqMulti(reqSetACL("/", wire.OpenACL, -1)).Body.Append(nil)},
	} {
		if rec, err := DecodeRequest(tc.op, tc.body); !isMarshalling(err) || rec != nil {
			t.Errorf("%s: %+v, %v; want a marshalling error", name, rec, err)
		}
	}
	if rec, err := DecodeRequest(wire.OpCloseSession, []byte("ignored")); rec != nil || err != nil {
		t.Errorf("closeSession: %v, %v", rec, err)
	}
	if _, err := DecodeRequest(wire.OpCreate, append(good, "ignored"...)); err != nil {
		t.Errorf("bytes behind the record: %v", err)
	}
}

// FuzzDecodeRequest: any bytes are refused or mean a request that is prepared
// into a txn which can be logged, read back and applied, as it was foreseen.
func FuzzDecodeRequest(f *testing.F) {
	for _, r := range []*Request{
		reqCreate(wire.OpCreate, "/a", 3), reqCreate(wire.OpCreateContainer, "/a", 4), reqCreateTTL("/a", 6, 5),
		reqDelete("/m/x", -1), reqSetData("/m", "x", 0), reqSetACL("/m", wire.OpenACL, -1),
		reqMulti(reqCreate(wire.OpCreate2, "/m/a", 2), reqCheck("/m", 0), reqDelete("/m/x", 0), reqSetData("/m", "", 7)),
		{Op: wire.OpReconfig, Body: new(wire.ReconfigRequest)},
	} {
		f.Add(int32(r.Op), r.Body.Append(nil))
	}
	f.Add(int32(wire.OpCloseSession), []byte{})
	f.Add(int32(wire.OpSync), []byte{0, 0, 0, 1, '/'})
	f.Fuzz(func(t *testing.T, op int32, body []byte) {
		kept := bytes.Clone(body)
		rec, err := DecodeRequest(wire.OpCode(op), body)
		if err != nil {
			if !isMarshalling(err) {
				t.Errorf("%v is no marshalling error", err)
			}
			return
		}
		o := row(wire.OpCode(op))
		if o.prepare == nil {
			return
		}
		s := newSolo(t, defaultRules(t))
		s.session(1)
		s.must(reqCreate(wire.OpCreate, "/m", 0))
		s.must(reqCreate(wire.OpCreate, "/m/x", wire.FlagEphemeral))
		r := &Request{Session: 1, Op: wire.OpCode(op), Body: rec, IDs: []wire.ID{ipID}}
		s.do(r)
		if !bytes.Equal(body, kept) {
			t.Error("the request's memory was changed")
		}
	})
}
