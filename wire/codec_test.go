package wire

import (
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"
	"unsafe"
)

func typeName(r Record) string { return reflect.TypeOf(r).Elem().Name() }

func zeroOf(r Record) Record { return reflect.New(reflect.TypeOf(r).Elem()).Interface().(Record) }

// TestStringRepair compares the repair of what is not UTF-8 with what Java 17's
// String made of the same bytes: each line has the bytes and the UTF-16 units.
func TestStringRepair(t *testing.T) {
	b, err := os.ReadFile("testdata/utf8-java17.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		raw := unhex(t, f[0])
		d := NewDecoder(AppendBuffer(nil, raw))
		got, ok := d.NullString()
		var units strings.Builder
		for _, u := range utf16.Encode([]rune(got)) {
			fmt.Fprintf(&units, "%04x", u)
		}
		if !ok || d.Err() != nil || units.String() != f[1] {
			t.Errorf("%s: %s, want %s", f[0], units.String(), f[1])
		}
		n++
	}
	if n < 400 {
		t.Errorf("only %d lines", n)
	}
}

// Characters above U+FFFF leave as two surrogates, as Java writes them, and come
// back as two replacement characters, as Java reads them.
func TestSupplementaryCharacters(t *testing.T) {
	b := AppendString(nil, "a😀é")
	if want := "\x00\x00\x00\x09a\xed\xa0\xbd\xed\xb8\x80\xc3\xa9"; string(b) != want {
		t.Errorf("encoded to %x, want %x", b, want)
	}
	d := NewDecoder(b)
	if s := d.String(); s != "a\uFFFD\uFFFDé" {
		t.Errorf("decoded to %q", s)
	}
	d = NewDecoder(AppendBuffer(nil, []byte("a😀é")))
	if s := d.String(); s != "a😀é" {
		t.Errorf("UTF-8 decoded to %q", s)
	}
}

// Strings and buffers are not copied.
func TestDecodedAliasesTheInput(t *testing.T) {
	b := AppendBuffer(AppendString(nil, "/path"), []byte("data"))
	d := NewDecoder(b)
	s, data := d.String(), d.Buffer()
	if unsafe.StringData(s) != &b[4] || &data[0] != &b[13] || cap(data) != 4 {
		t.Error("copied, or open to an append behind the field")
	}
}

func TestNullAndEmpty(t *testing.T) {
	d := NewDecoder(AppendBuffer(AppendBuffer(nil, nil), []byte{}))
	if b := d.Buffer(); b != nil {
		t.Errorf("null buffer is %v", b)
	}
	if b := d.Buffer(); b == nil || len(b) != 0 {
		t.Errorf("empty buffer is %v", b)
	}
	d = NewDecoder(AppendStrings(AppendStrings(nil, nil), []string{}))
	if v := d.Strings(); v != nil {
		t.Errorf("null vector is %v", v)
	}
	if v := d.Strings(); v == nil || len(v) != 0 {
		t.Errorf("empty vector is %v", v)
	}
	d = NewDecoder(AppendACLs(AppendACLs(nil, nil), []ACL{}))
	if v := d.ACLs(); v != nil {
		t.Errorf("null ACL is %v", v)
	}
	if v := d.ACLs(); v == nil || len(v) != 0 {
		t.Errorf("empty ACL is %v", v)
	}
	if d.Err() != nil || d.Remaining() != 0 {
		t.Errorf("error %v, %d left", d.Err(), d.Remaining())
	}
}

// TestHostileLengths gives lengths and counts that lie about what follows: an
// error that names the place, and no memory for what is not there.
func TestHostileLengths(t *testing.T) {
	reads := map[string]func(*Decoder){
		"buffer":  func(d *Decoder) { d.Buffer() },
		"string":  func(d *Decoder) { _ = d.String() },
		"strings": func(d *Decoder) { d.Strings() },
		"acls":    func(d *Decoder) { d.ACLs() },
	}
	for name, read := range reads {
		for _, n := range []int32{-2, math.MinInt32, math.MaxInt32, math.MaxInt32 - 12, 1 << 30, 21} {
			b := append(AppendInt32([]byte("1234"), n), make([]byte, 20)...)
			d := NewDecoder(b)
			d.Int32()
			checkAllocs(t, len(b), func() { read(&d) })
			if !errors.Is(d.Err(), ErrMarshalling) || !strings.Contains(d.Err().Error(), " of 28") {
				t.Errorf("%s of length %d: error %v", name, n, d.Err())
			}
			first := d.Err()
			if d.Int64() != 0 || d.Bool() || d.Byte() != 0 || d.Buffer() != nil || d.String() != "" || d.Count(1) != 0 || d.Err() != first {
				t.Errorf("%s: something was read after the error", name)
			}
		}
	}
}

// The errors that clients' requests get for fields that jute cannot judge.
func TestRefusedFields(t *testing.T) {
	for name, c := range map[string]struct {
		r    Record
		body []byte
	}{
		"create null path":    {new(CreateRequest), append(AppendInt32(nil, -1), make([]byte, 20)...)},
		"delete null path":    {new(DeleteRequest), AppendInt32(AppendInt32(nil, -1), 0)},
		"watcher type 0":      {new(WatcherTypeRequest), AppendInt32(AppendString(nil, "/"), 0)},
		"watcher type 6":      {new(WatcherTypeRequest), AppendInt32(AppendString(nil, "/"), 6)},
		"addWatch mode 2":     {new(AddWatchRequest), AppendInt32(AppendString(nil, "/"), 2)},
		"setWatches null":     {new(SetWatchesRequest), AppendInt32(AppendInt64(nil, 1), -1)},
		"multi without end":   {new(MultiRequest), (&MultiHeader{Op: OpDelete}).Append(nil)},
		"multi with a read":   {new(MultiRequest), (&MultiRequest{Ops: []MultiOp{{OpGetData, &WatchRequest{Path: "/"}}}}).Append(nil)},
		"reads with a write":  {&MultiRequest{Reads: true}, (&MultiRequest{Ops: []MultiOp{{OpDelete, &DeleteRequest{Path: "/"}}}}).Append(nil)},
		"multi with setACL":   {new(MultiRequest), (&MultiHeader{Op: OpSetACL}).Append(nil)},
		"result of a session": {new(MultiResponse), (&MultiHeader{Op: OpCreateSession}).Append(nil)},
	} {
		if err := Unmarshal(c.body, c.r); !errors.Is(err, ErrMarshalling) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestCodeOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want ErrCode
	}{
		{nil, OK},
		{ErrNoNode, ErrNoNode},
		{fmt.Errorf("delete /a: %w", ErrNotEmpty), ErrNotEmpty},
		{errors.Join(errors.New("x"), ErrBadVersion), ErrBadVersion},
		{errors.New("disk on fire"), ErrSystem},
	} {
		if got := CodeOf(c.err); got != c.want {
			t.Errorf("CodeOf(%v) = %v, want %v", c.err, int32(got), int32(c.want))
		}
	}
	if s := ErrCode(-999).Error(); s != "error code -999" {
		t.Errorf("unknown code prints as %q", s)
	}
	for code, name := range errNames {
		if name == "" || name != strings.TrimSpace(name) || code.Error() != name {
			t.Errorf("code %d prints as %q", int32(code), code.Error())
		}
	}
}

func TestVocabulary(t *testing.T) {
	z := MakeZxid(0x12, 0xffffffff)
	if z.Epoch() != 0x12 || z.Counter() != 0xffffffff || z.String() != "0x12ffffffff" {
		t.Errorf("zxid %v, epoch %x, counter %x", z, z.Epoch(), z.Counter())
	}
	if s := SessionID(-1).String(); s != "0xffffffffffffffff" {
		t.Errorf("session %s", s)
	}
	for _, c := range []struct {
		owner int64
		kind  OwnerKind
		ttl   int64
	}{
		{0, OwnerNone, 0},
		{math.MinInt64, OwnerContainer, 0},
		{TTLOwner(1), OwnerTTL, 1},
		{TTLOwner(TTLMax), OwnerTTL, TTLMax},
		{-1<<56 | 1<<40, OwnerSession, 0}, // another feature than TTL
		{0x1000000abcdef, OwnerSession, 0},
		{-1 << 55, OwnerSession, 0},
	} {
		if kind, ttl := KindOfOwner(c.owner); kind != c.kind || ttl != c.ttl {
			t.Errorf("owner %#x: kind %d, TTL %d; want %d, %d", c.owner, kind, ttl, c.kind, c.ttl)
		}
	}
	if uint64(TTLOwner(60000)) != 0xff0000000000ea60 {
		t.Errorf("owner of a TTL of a minute is %#x", uint64(TTLOwner(60000)))
	}
	for op, name := range opNames {
		if op.String() != name {
			t.Errorf("opcode %d prints as %q", int32(op), op)
		}
	}
	if OpCode(50).String() != "opcode 50" || EventType(9).String() != "EventType(9)" || EventNodeCreated.String() != "NodeCreated" {
		t.Error("unknown opcodes or events print badly")
	}
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	body := (&WatchRequest{Path: "/zookeeper/config", Watch: true}).Append(nil)
	reply := GetDataResponse{Data: make([]byte, 100), Stat: Stat{Czxid: 1}}
	event := WatcherEvent{Type: EventNodeCreated, State: StateSyncConnected, Path: "/a"}
	buf := make([]byte, 0, 1024)
	for name, f := range map[string]func(){
		"decode request header": func() {
			var h RequestHeader
			d := NewDecoder(body)
			h.Decode(&d)
			if d.Err() != nil {
				t.Fatal(d.Err())
			}
		},
		"decode WatchRequest": func() {
			var r WatchRequest
			d := NewDecoder(body)
			r.Decode(&d)
			if d.Err() != nil || r.Path != "/zookeeper/config" {
				t.Fatal(d.Err())
			}
		},
		"append GetDataResponse": func() {
			b := BeginFrame(buf[:0])
			h := ReplyHeader{Xid: 1, Zxid: 2}
			buf = EndFrame(reply.Append(h.Append(b)), 0)
		},
		"append WatcherEvent": func() { buf = event.Append(buf[:0]) },
		"CodeOf":              func() { _ = CodeOf(ErrNoNode) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	getData := (&WatchRequest{Path: "/app/config/item-0001", Watch: true}).Append((&RequestHeader{Xid: 1, Op: OpGetData}).Append(nil))
	b.Run("getData", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var h RequestHeader
			var r WatchRequest
			d := NewDecoder(getData)
			h.Decode(&d)
			r.Decode(&d)
			if d.Err() != nil {
				b.Fatal(d.Err())
			}
		}
	})
	setData := (&SetDataRequest{Path: "/app/config/item-0001", Data: make([]byte, 100), Version: -1}).Append(nil)
	b.Run("setData-100B", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var r SetDataRequest
			d := NewDecoder(setData)
			r.Decode(&d)
			if d.Err() != nil {
				b.Fatal(d.Err())
			}
		}
	})
	txn := Txn{TxnHeader: TxnHeader{Session: 1, Cxid: 2, Zxid: 3, TimeMs: 4, Op: OpSetData}, Body: &SetDataTxn{Path: "/app/config/item-0001", Data: make([]byte, 100), Version: 5},
		Digest: TxnDigest{Version: DigestVersion, Tree: 6}}
	payload := txn.Append(nil)
	b.Run("txn-setData-100B", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := DecodeTxn(payload); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	buf := make([]byte, 0, 1<<10)
	reply := GetDataResponse{Data: make([]byte, 100), Stat: Stat{Czxid: 1, Mzxid: 2}}
	b.Run("getDataReply-100B", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h := ReplyHeader{Xid: 1, Zxid: 2}
			buf = EndFrame(reply.Append(h.Append(BeginFrame(buf[:0]))), 0)
		}
	})
	txn := Txn{TxnHeader: TxnHeader{Session: 1, Cxid: 2, Zxid: 3, TimeMs: 4, Op: OpSetData}, Body: &SetDataTxn{Path: "/app/config/item-0001", Data: make([]byte, 100), Version: 5},
		Digest: TxnDigest{Version: DigestVersion, Tree: 6}}
	b.Run("txn-setData-100B", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf = txn.Append(buf[:0])
		}
	})
}
