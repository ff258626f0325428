package wire

import (
	"bytes"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// records has one of every kind of record, filled in.
func records() []Record {
	stat := Stat{Czxid: 1, Mzxid: 2, Ctime: 3, Mtime: 4, Version: 5, Cversion: 6, Aversion: 7, EphemeralOwner: 8, DataLength: 9, NumChildren: 10, Pzxid: 11}
	acl := []ACL{{Perms: 31, ID: ID{"world", "anyone"}}, {Perms: 1, ID: ID{"digest", "u:h"}}}
	text, data := "text", []byte{0, 1, 0xff}
	create := CreateRequest{Path: "/a", Data: data, ACL: acl, Flags: 3}
	return []Record{
		&ConnectRequest{LastZxidSeen: 1, TimeoutMs: 2, SessionID: 3, Passwd: data, ReadOnly: true, HasReadOnly: true},
		&ConnectRequest{Passwd: []byte{}}, &ConnectResponse{TimeoutMs: 2, SessionID: 3, Passwd: data, HasReadOnly: true},
		&ConnectResponse{}, &RequestHeader{Xid: -2, Op: OpPing}, &ReplyHeader{Xid: 1, Zxid: 2, Err: ErrNoNode},
		&create, &CreateRequest{}, &CreateTTLRequest{CreateRequest: create, TTLMs: 1000}, &DeleteRequest{Path: "/a", Version: -1},
		&WatchRequest{Path: "/é", Watch: true}, &WatchRequest{NullPath: true}, &PathRequest{Path: "/a"}, &PathRequest{NullPath: true},
		&SetDataRequest{Path: "/a", Data: []byte{}, Version: 1}, &SetDataRequest{Path: "/a"}, &SetACLRequest{Path: "/a", ACL: acl, Version: 2},
		&DeleteContainerRequest{Path: "/c"}, &ReconfigRequest{Joining: &text, CurConfigID: 1}, &ReconfigRequest{Leaving: &text, NewMembers: &text},
		&WatcherTypeRequest{Path: "/a", Type: WatcherAny}, &AddWatchRequest{Path: "/a", Mode: AddWatchPersistentRecursive},
		&SetWatchesRequest{RelativeZxid: 1, Data: []string{"/a", "/b"}, Exist: []string{}, Child: []string{"/c"}},
		&SetWatchesRequest{Two: true, Data: []string{}, Exist: []string{}, Child: []string{}, Persistent: []string{"/a"}, PersistentRecursive: []string{"/b"}},
		&AuthPacket{Scheme: "digest", Auth: data}, &SASLPacket{}, &SASLPacket{Token: []byte{}}, &Empty{},
		&MultiHeader{Op: OpCreate, Err: -1}, &MultiRequest{}, &MultiRequest{Ops: []MultiOp{{OpCreate, &create}, {OpCheck, &DeleteRequest{Path: "/"}},
			{OpCreateTTL, &CreateTTLRequest{CreateRequest: create, TTLMs: 5}}, {OpDelete, &DeleteRequest{Path: "/x", Version: 3}}, {OpSetData, &SetDataRequest{Path: "/y"}}}},
		&MultiRequest{Reads: true, Ops: []MultiOp{{OpGetData, &WatchRequest{Path: "/a"}}, {OpGetChildren, &WatchRequest{Path: "/b", Watch: true}}}},
		&MultiResponse{Results: []MultiResult{{Op: OpCreate, Path: "/a"}, {Op: OpCreate2, Path: "/b", Stat: stat}, {Op: OpDelete}, {Op: OpSetData, Stat: stat},
			{Op: OpCheck}, {Op: OpGetData, Data: data, Stat: stat}, {Op: OpGetChildren, Names: []string{"a"}}, {Op: OpError, Err: ErrBadVersion}}},
		&PathResponse{Path: "/a"}, &Create2Response{Path: "/a", Stat: stat}, &stat, &GetDataResponse{Data: data, Stat: stat}, &GetDataResponse{},
		&GetACLResponse{ACL: acl, Stat: stat}, &StringsResponse{Names: []string{"a", ""}}, &StringsResponse{}, &GetChildren2Response{Names: []string{"z"}, Stat: stat},
		&Int32Response{Value: 7}, &WhoAmIResponse{IDs: []ID{{"ip", "::1"}}}, &WatcherEvent{Type: EventNodeDeleted, State: StateSyncConnected, Path: "/a"},
		&StatPersisted{Czxid: 1, Mzxid: 2, Ctime: 3, Mtime: 4, Version: 5, Cversion: 6, Aversion: 7, EphemeralOwner: ContainerOwner, Pzxid: 9},
		&FileHeader{Magic: LogMagic, Version: FileVersion}, &TxnHeader{Session: 1, Cxid: 2, Zxid: 3, TimeMs: 4, Op: OpCreate},
		&CreateSessionTxn{TimeoutMs: 1}, &CloseSessionTxn{Paths: []string{"/a"}}, &ErrorTxn{Err: ErrNodeExists},
		&CreateTxn{Path: "/a", Data: data, ACL: acl, Ephemeral: true, ParentCversion: 4}, &CreateTTLTxn{Path: "/a", ACL: acl, ParentCversion: 4, TTLMs: 5},
		&CreateContainerTxn{Path: "/a", Data: []byte{}, ACL: acl, ParentCversion: 4}, &DeleteTxn{Path: "/a"}, &SetDataTxn{Path: "/a", Data: data, Version: 1},
		&SetACLTxn{Path: "/a", ACL: []ACL{}, Version: 1}, &CheckVersionTxn{Path: "/a", Version: 2},
		&MultiTxn{Txns: []SubTxn{{OpCreate, &CreateTxn{Path: "/a", ACL: acl}}, {OpDelete, &DeleteTxn{Path: "/b"}}, {OpError, &ErrorTxn{Err: -2}}}},
	}
}

// empty is a record of the same kind and form as r without its content.
func empty(r Record) Record {
	switch r := r.(type) {
	case *MultiRequest:
		return &MultiRequest{Reads: r.Reads}
	case *SetWatchesRequest:
		return &SetWatchesRequest{Two: r.Two}
	}
	return zeroOf(r)
}

// TestRoundTrip encodes every record behind other bytes and decodes it to what
// it was; every proper prefix of it is an error or, where the last fields may be
// absent, a record without them.
func TestRoundTrip(t *testing.T) {
	for _, r := range records() {
		b := r.Append([]byte("before"))
		if !bytes.HasPrefix(b, []byte("before")) {
			t.Errorf("%T overwrites what stands in the buffer", r)
		}
		b = b[len("before"):]
		got := empty(r)
		if err := Unmarshal(append(b, "behind"...), got); err != nil && !strings.Contains(typeName(r), "Connect") {
			t.Errorf("%T with bytes behind it: %v", r, err)
		}
		got = empty(r)
		d := NewDecoder(b)
		got.Decode(&d)
		if d.Err() != nil || d.Remaining() != 0 || d.Offset() != len(b) {
			t.Errorf("%T: error %v, %d bytes left", r, d.Err(), d.Remaining())
		}
		if diff := cmp.Diff(r, got); diff != "" {
			t.Errorf("%T (-encoded +decoded):\n%s", r, diff)
		}
		for n := range b {
			short := empty(r)
			err := Unmarshal(b[:n], short)
			optional := typeName(r) == "ConnectRequest" || typeName(r) == "ConnectResponse" || typeName(r) == "CreateTxn"
			switch {
			case err == nil && !optional:
				t.Errorf("%T decodes from %d of %d bytes", r, n, len(b))
			case err != nil && !errors.Is(err, ErrMarshalling):
				t.Errorf("%T cut to %d bytes: error %v", r, n, err)
			}
		}
	}
}

// FuzzRecords decodes arbitrary bytes as each kind of record: no panic, no more
// memory than the bytes justify, and what is accepted encodes to something that
// decodes to the same.
func FuzzRecords(f *testing.F) {
	all := records()
	for i, r := range all {
		f.Add(byte(i), r.Append(nil))
	}
	for _, n := range []int32{-1, -2, math.MaxInt32, math.MinInt32} {
		for i := range all {
			f.Add(byte(i), AppendInt32(nil, n))
			f.Add(byte(i), AppendInt32(AppendString(nil, "/a"), n))
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		sample := all[int(kind)%len(all)]
		r := empty(sample)
		d := NewDecoder(b)
		checkAllocs(t, len(b), func() { r.Decode(&d) })
		if d.Err() != nil {
			if !errors.Is(d.Err(), ErrMarshalling) {
				t.Fatalf("%T: error %v", r, d.Err())
			}
			return
		}
		one := r.Append(nil)
		again := empty(sample)
		d = NewDecoder(one)
		again.Decode(&d)
		if d.Err() != nil || d.Remaining() != 0 {
			t.Fatalf("%T: encoding of %x does not decode: %v", r, b, d.Err())
		}
		if diff := cmp.Diff(r, again, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%T (-first +second):\n%s", r, diff)
		}
		if two := again.Append(nil); !bytes.Equal(one, two) {
			t.Fatalf("%T: %x encodes to %x, and that to %x", r, b, one, two)
		}
	})
}

// checkAllocs fails if f allocates out of proportion to n bytes of input.
func checkAllocs(t *testing.T, n int, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	// The worst is a multi's reply: 9 bytes become a result of some 160, in a
	// slice that grows by doubling.
	if used := after.TotalAlloc - before.TotalAlloc; used > 16<<10+64*uint64(n) {
		t.Errorf("%d bytes allocated for an input of %d", used, n)
	}
}
