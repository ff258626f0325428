package wire

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// frame is a line of a recorded exchange between a client and Apache ZooKeeper
// 3.9.5. Its fields were decoded from Hex by a program that knows nothing of
// this package.
type frame struct {
	N      int
	Dir    string // c2s or s2c
	Kind   string
	Op     string
	Header map[string]json.Number
	Body   any
	Hex    string
}

// lines opens a compressed test file.
func lines(t testing.TB, path string) *bufio.Scanner {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(z)
	s.Buffer(nil, 1<<20)
	return s
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRecordedFrames takes every frame that five clients exchanged with a real
// server through this package in both directions: its bytes must decode to what
// the recording says, and what the recording says must encode to its bytes.
func TestRecordedFrames(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.jsonl.gz")
	if err != nil || len(paths) != 8 {
		t.Fatalf("%d recordings, %v", len(paths), err)
	}
	total := 0
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".jsonl.gz"), func(t *testing.T) {
			s := lines(t, path)
			for s.Scan() {
				d := json.NewDecoder(bytes.NewReader(s.Bytes()))
				d.UseNumber()
				var f frame
				if err := d.Decode(&f); err != nil {
					t.Fatal(err)
				}
				if f.Kind == "eof" {
					continue
				}
				checkFrame(t, &f)
				total++
			}
		})
	}
	if total < 650 {
		t.Errorf("only %d frames", total)
	}
}

func checkFrame(t *testing.T, f *frame) {
	t.Helper()
	raw := unhex(t, f.Hex)
	where := fmt.Sprintf("frame %d, %s %s %s", f.N, f.Dir, f.Kind, f.Op)

	d := NewDecoder(raw[4:])
	header, body := newFrame(t, f)
	var got any
	if header != nil {
		header.Decode(&d)
		if diff := cmp.Diff(any(numbers(f.Header)), show(header, "")); diff != "" {
			t.Errorf("%s: header (-recorded +decoded):\n%s", where, diff)
		}
	}
	if body != nil {
		body.Decode(&d)
		got = show(body, f.Op)
	}
	if d.Err() != nil || d.Remaining() != 0 {
		t.Errorf("%s: error %v, %d bytes left", where, d.Err(), d.Remaining())
	}
	if diff := cmp.Diff(f.Body, got); diff != "" {
		t.Errorf("%s: body (-recorded +decoded):\n%s", where, diff)
	}

	header, body = newFrame(t, f)
	b := BeginFrame(nil)
	if header != nil {
		fill(t, header, "", numbers(f.Header))
		b = header.Append(b)
	}
	if body != nil {
		fill(t, body, f.Op, f.Body)
		b = body.Append(b)
	}
	if b = EndFrame(b, 0); !bytes.Equal(b, raw) {
		t.Errorf("%s: encoded to\n%x, recorded\n%x", where, b, raw)
	}
}

func numbers(m map[string]json.Number) map[string]any {
	out := make(map[string]any)
	for k, v := range m {
		out[k] = v
	}
	return out
}

// newFrame gives an empty header (nil for the handshake) and body (nil if there
// is none) of the frame's kind.
func newFrame(t *testing.T, f *frame) (header, body Record) {
	t.Helper()
	op := OpError
	for code, name := range opNames {
		if name == f.Op {
			op = code
		}
	}
	switch f.Kind {
	case "ConnectRequest":
		return nil, new(ConnectRequest)
	case "ConnectResponse":
		return nil, new(ConnectResponse)
	case "event":
		return new(ReplyHeader), new(WatcherEvent)
	case "request":
		return new(RequestHeader), newRequest(t, op)
	case "reply":
		if f.Body == nil {
			return new(ReplyHeader), nil
		}
		return new(ReplyHeader), newReply(t, op)
	}
	t.Fatalf("unknown kind %q", f.Kind)
	return nil, nil
}

func newRequest(t *testing.T, op OpCode) Record {
	t.Helper()
	switch op {
	case OpAddWatch:
		return new(AddWatchRequest)
	case OpAuth:
		return new(AuthPacket)
	case OpCheckWatches, OpRemoveWatches:
		return new(WatcherTypeRequest)
	case OpCloseSession, OpPing, OpWhoAmI:
		return new(Empty)
	case OpCreate, OpCreate2, OpCreateContainer:
		return new(CreateRequest)
	case OpCreateTTL:
		return new(CreateTTLRequest)
	case OpDelete, OpCheck:
		return new(DeleteRequest)
	case OpExists, OpGetData, OpGetChildren, OpGetChildren2:
		return new(WatchRequest)
	case OpGetACL, OpGetAllChildrenNumber, OpGetEphemerals, OpSync:
		return new(PathRequest)
	case OpMulti, OpMultiRead:
		return &MultiRequest{Reads: op == OpMultiRead}
	case OpSASL:
		return new(SASLPacket)
	case OpSetACL:
		return new(SetACLRequest)
	case OpSetData:
		return new(SetDataRequest)
	case OpSetWatches, OpSetWatches2:
		return &SetWatchesRequest{Two: op == OpSetWatches2}
	}
	t.Fatalf("no request for %v", op)
	return nil
}

func newReply(t *testing.T, op OpCode) Record {
	t.Helper()
	switch op {
	case OpAddWatch, OpGetAllChildrenNumber:
		return new(Int32Response)
	case OpCreate, OpSync:
		return new(PathResponse)
	case OpCreate2, OpCreateContainer, OpCreateTTL:
		return new(Create2Response)
	case OpExists, OpSetData, OpSetACL:
		return new(Stat)
	case OpGetACL:
		return new(GetACLResponse)
	case OpGetChildren, OpGetEphemerals:
		return new(StringsResponse)
	case OpGetChildren2:
		return new(GetChildren2Response)
	case OpGetData:
		return new(GetDataResponse)
	case OpMulti, OpMultiRead:
		return new(MultiResponse)
	case OpSASL:
		return new(SASLPacket)
	case OpWhoAmI:
		return new(WhoAmIResponse)
	case OpDelete, OpCheck:
		return new(Empty)
	}
	t.Fatalf("no reply for %v", op)
	return nil
}

// The recordings use the field names of zookeeper.jute.
var juteNames = map[string]string{
	"TimeoutMs": "timeOut", "SessionID": "sessionId", "TTLMs": "ttl", "ACL": "acl", "ID": "id",
	"Names": "children", "Op": "type",
	"getEphemerals.Path": "prefixPath", "getEphemerals.Names": "ephemerals",
	"addWatch.Value": "err", "getAllChildrenNumber.Value": "totalNumber",
	"whoAmI.IDs": "clientInfo", "whoAmI.Scheme": "authScheme", "whoAmI.ID": "user",
}

func juteName(op, field string) string {
	if n, ok := juteNames[op+"."+field]; ok {
		return n
	}
	if n, ok := juteNames[field]; ok {
		return n
	}
	name := strings.ToLower(field[:1]) + field[1:]
	if strings.HasPrefix(op, "setWatches") && field != "RelativeZxid" {
		name += "Watches"
	}
	return name
}

// notEncoded are fields that tell forms apart.
var notEncoded = map[string]bool{"HasReadOnly": true, "NullPath": true, "Two": true, "Reads": true}

// show gives a record the form that it has in a recording.
func show(r any, op string) any {
	switch r := r.(type) {
	case *MultiRequest:
		list := []any{}
		for _, o := range r.Ops {
			list = append(list, showPart(MultiHeader{Op: o.Op, Err: -1}, show(o.Body, o.Op.String())))
		}
		return append(list, showPart(MultiEnd, nil))
	case *MultiResponse:
		list := []any{}
		for i := range r.Results {
			res := &r.Results[i]
			list = append(list, showPart(MultiHeader{Op: res.Op, Err: res.Err}, showResult(res)))
		}
		return append(list, showPart(MultiEnd, nil))
	case *Stat:
		if op != "" {
			return map[string]any{"stat": show(r, "")}
		}
	}
	return showValue(reflect.ValueOf(r), op)
}

func showPart(h MultiHeader, body any) any {
	m := map[string]any{"header": showValue(reflect.ValueOf(h), "")}
	if !h.Done {
		m["op"] = h.Op.String()
		m["body"] = body
	}
	return m
}

func showResult(r *MultiResult) any {
	switch r.Op {
	case OpError:
		return map[string]any{"err": json.Number(strconv.Itoa(int(r.Err)))}
	case OpCreate:
		return map[string]any{"path": r.Path}
	case OpCreate2:
		return map[string]any{"path": r.Path, "stat": show(&r.Stat, "")}
	case OpSetData:
		return map[string]any{"stat": show(&r.Stat, "")}
	case OpGetData:
		return show(&GetDataResponse{Data: r.Data, Stat: r.Stat}, "")
	case OpGetChildren:
		return show(&StringsResponse{Names: r.Names}, "")
	}
	return map[string]any{}
}

func showValue(v reflect.Value, op string) any {
	switch v.Kind() {
	case reflect.Pointer:
		return showValue(v.Elem(), op)
	case reflect.Bool:
		return v.Bool()
	case reflect.Int32, reflect.Int64:
		return json.Number(strconv.FormatInt(v.Int(), 10))
	case reflect.String:
		return v.String()
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			if v.IsNil() {
				return nil
			}
			return "hex:" + hex.EncodeToString(v.Bytes())
		}
		list := []any{}
		for i := range v.Len() {
			list = append(list, showValue(v.Index(i), op))
		}
		return list
	}
	m := make(map[string]any)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch {
		case f.Anonymous:
			for k, x := range showValue(v.Field(i), op).(map[string]any) {
				m[k] = x
			}
		case f.Name == "ReadOnly" && !v.FieldByName("HasReadOnly").Bool():
			m["readOnly"] = nil
		case f.Name == "Persistent" && !v.FieldByName("Two").Bool() || f.Name == "PersistentRecursive" && !v.FieldByName("Two").Bool():
		case !notEncoded[f.Name]:
			m[juteName(op, f.Name)] = showValue(v.Field(i), op)
		}
	}
	return m
}
