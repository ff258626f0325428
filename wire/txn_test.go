package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
)

// txn is the payload of one record of a recorded log.
type txn struct {
	where   string
	payload []byte
}

// recordedTxns are all transactions of the recorded directories.
func recordedTxns(t testing.TB) []txn {
	t.Helper()
	var txns []txn
	s := lines(t, "testdata/txns.txt.gz")
	for s.Scan() {
		f := strings.Fields(s.Text())
		txns = append(txns, txn{f[0] + " " + f[1], unhex(t, f[2])})
	}
	return txns
}

// TestRecordedTxns decodes every transaction that Apache ZooKeeper 3.9.5 logged
// in seven directories and encodes it again to the same bytes.
func TestRecordedTxns(t *testing.T) {
	seen := make(map[OpCode]int)
	digests := 0
	for _, x := range recordedTxns(t) {
		txn, err := DecodeTxn(x.payload)
		if err != nil {
			t.Errorf("%s: %v", x.where, err)
			continue
		}
		if got := txn.Append(nil); !bytes.Equal(got, x.payload) {
			t.Errorf("%s %v %v: encoded to\n%x, logged\n%x", x.where, txn.Zxid, txn.Op, got, x.payload)
		}
		seen[txn.Op]++
		if txn.Digest.Version != 0 {
			digests++
		}
		if noDigest := strings.HasPrefix(x.where, "standalone-no-digest") || txn.Op == OpError; noDigest != (txn.Digest.Version == 0) {
			t.Errorf("%s %v %v: digest %+v", x.where, txn.Zxid, txn.Op, txn.Digest)
		}
		if m, ok := txn.Body.(*MultiTxn); ok {
			for _, s := range m.Txns {
				seen[s.Op]++
			}
		}
	}
	for _, op := range []OpCode{OpCreateSession, OpCloseSession, OpError, OpCreate, OpCreate2, OpCreateTTL, OpCreateContainer,
		OpDelete, OpDeleteContainer, OpSetData, OpSetACL, OpCheck, OpMulti} {
		if seen[op] == 0 {
			t.Errorf("no %v among the recorded transactions", op)
		}
	}
	if digests < 250 {
		t.Errorf("only %d digests", digests)
	}
}

// TestFailedMultiInDiff decodes a failed multi in the two forms in which
// ZooKeeper hands it on. In the second the part before the failing one has the
// type of an error and still its old body: it reads as an error, too, and the
// rest of the old body is lost in encoding.
func TestFailedMultiInDiff(t *testing.T) {
	b, err := os.ReadFile("testdata/failed-multi-in-diff.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Logged, DiffFromMemory string }
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		hex   string
		first OpCode
		exact bool
	}{{doc.Logged, OpCreate, true}, {doc.DiffFromMemory, OpError, false}} {
		raw := unhex(t, c.hex)
		txn, err := DecodeTxn(raw)
		if err != nil {
			t.Fatal(err)
		}
		m := txn.Body.(*MultiTxn)
		if len(m.Txns) != 3 || m.Txns[0].Op != c.first || txn.Digest.Version != DigestVersion {
			t.Errorf("%d parts, the first of type %v, digest %+v", len(m.Txns), m.Txns[0].Op, txn.Digest)
		}
		if e, ok := m.Txns[1].Body.(*ErrorTxn); !ok || e.Err != ErrNoNode {
			t.Errorf("second part %+v, want no node", m.Txns[1])
		}
		if e, ok := m.Txns[2].Body.(*ErrorTxn); !ok || e.Err != ErrRuntimeInconsistency {
			t.Errorf("third part %+v, want runtime inconsistency", m.Txns[2])
		}
		if same := bytes.Equal(txn.Append(nil), raw); same != c.exact {
			t.Errorf("encodes to the same bytes: %v, want %v", same, c.exact)
		}
	}
}

// header is a transaction's header of the given type.
func header(op OpCode) []byte {
	h := TxnHeader{Session: 1, Cxid: 2, Zxid: 3, TimeMs: 4, Op: op}
	return h.Append(nil)
}

// TestOldTxns decodes forms that only older servers or other settings write.
func TestOldTxns(t *testing.T) {
	digest := AppendInt64(AppendInt32(nil, DigestVersion), 99)
	v0 := (&CreateTxn{Path: "/a", Data: []byte("x"), ACL: OpenACL, Ephemeral: true}).Append(header(OpCreate))
	v0 = v0[:len(v0)-4]
	txn, err := DecodeTxn(v0)
	if err != nil {
		t.Fatal(err)
	}
	if c := txn.Body.(*CreateTxn); c.ParentCversion != -1 || !c.Ephemeral || txn.Digest.Version != 0 {
		t.Errorf("create without parentCVersion: %+v, digest %+v", c, txn.Digest)
	}
	for _, c := range []struct {
		name   string
		body   []byte
		paths  int // -1: no body
		digest bool
	}{
		{"nothing", nil, -1, false},
		{"a digest only", digest, -1, true},
		{"no paths", AppendInt32(nil, 0), 0, false},
		{"no paths and a digest", append(AppendInt32(nil, 0), digest...), 0, true},
		{"two paths", AppendStrings(nil, []string{"/a", "/b"}), 2, false},
		{"two paths and a digest", append(AppendStrings(nil, []string{"/a", "/b"}), digest...), 2, true},
	} {
		raw := append(header(OpCloseSession), c.body...)
		txn, err := DecodeTxn(raw)
		if err != nil {
			t.Errorf("closeSession with %s: %v", c.name, err)
			continue
		}
		paths := -1
		if b, ok := txn.Body.(*CloseSessionTxn); ok {
			paths = len(b.Paths)
		}
		if paths != c.paths || (txn.Digest.Version != 0) != c.digest || !bytes.Equal(txn.Append(nil), raw) {
			t.Errorf("closeSession with %s: %d paths, digest %+v", c.name, paths, txn.Digest)
		}
	}
}

// TestBadTxns gives payloads that no server writes.
func TestBadTxns(t *testing.T) {
	part := func(op OpCode, body []byte) []byte {
		return AppendBuffer(AppendInt32(AppendInt32(header(OpMulti), 1), int32(op)), body)
	}
	for name, b := range map[string][]byte{
		"nothing":                  nil,
		"half a header":            header(OpCreate)[:20],
		"unknown type":             header(77),
		"a read":                   header(OpGetData),
		"no body":                  header(OpSetData),
		"a body that is cut short": append(header(OpDelete), 0, 0, 0, 9, '/'),
		"multi in a multi":         part(OpMulti, AppendInt32(nil, 0)),
		"session in a multi":       part(OpCreateSession, AppendInt32(nil, 0)),
		"setACL in a multi":        part(OpSetACL, (&SetACLTxn{Path: "/a"}).Append(nil)),
		"unknown part":             part(77, nil),
		"a part that is too short": part(OpDelete, []byte{0, 0, 0, 9, '/'}),
		"an absent part":           part(OpDelete, nil),
		"2^31-1 parts":             AppendInt32(header(OpMulti), 1<<31-1),
		"-2 parts":                 AppendInt32(header(OpMulti), -2),
	} {
		if txn, err := DecodeTxn(b); !errors.Is(err, ErrMarshalling) || txn != nil {
			t.Errorf("%s: %v, %v", name, txn, err)
		}
	}
}

// FuzzDecodeTxn: what decodes must encode to something that decodes to the same.
func FuzzDecodeTxn(f *testing.F) {
	for i, x := range recordedTxns(f) {
		if i%5 == 0 {
			f.Add(x.payload)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var txn *Txn
		var err error
		checkAllocs(t, len(b), func() { txn, err = DecodeTxn(b) })
		if err != nil {
			if !errors.Is(err, ErrMarshalling) {
				t.Fatalf("error %v is no marshalling error", err)
			}
			return
		}
		one := txn.Append(nil)
		again, err := DecodeTxn(one)
		if err != nil {
			t.Fatalf("does not decode again: %v", err)
		}
		if two := again.Append(nil); !bytes.Equal(one, two) {
			t.Fatalf("%x encodes to %x, and that to %x", b, one, two)
		}
	})
}
