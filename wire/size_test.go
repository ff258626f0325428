package wire

import (
	"strings"
	"testing"
)

// TestTxnSizes compares the size of every recorded transaction with its
// encoding: it is never less, and little more.
func TestTxnSizes(t *testing.T) {
	for _, x := range recordedTxns(t) {
		txn, err := DecodeTxn(x.payload)
		if err != nil {
			t.Fatal(err)
		}
		slack := 8 + digestSize // a create's for a TTL, a missing digest
		if m, ok := txn.Body.(*MultiTxn); ok {
			slack += 8 * len(m.Txns)
		}
		if n := txn.Size(); n < len(x.payload) || n > len(x.payload)+slack {
			t.Errorf("%s %v %v: of %d bytes, encoded to %d", x.where, txn.Zxid, txn.Op, n, len(x.payload))
		}
	}
}

// TestSizeIsJavas: of a character above U+FFFF Java's encoder makes six bytes,
// and a server of ZooKeeper's logs what it has encoded itself.
func TestSizeIsJavas(t *testing.T) {
	size := func(id string) int {
		return TxnBodySize(&SetACLTxn{Path: "/a", ACL: []ACL{{ID: ID{Scheme: "x", ID: id}}}})
	}
	for id, java := range map[string]int{"": 0, "abc": 3, "é": 2, "€": 3, "😀": 6, "a😀b😀": 14} {
		if got := size(id) - size(""); got != java {
			t.Errorf("%q takes %d bytes, want %d", id, got, java)
		}
	}
}

// TestPortable shortens what earlier versions logged of a session with too many
// ephemerals, and leaves everything else alone.
func TestPortable(t *testing.T) {
	path := strings.Repeat("/x", 100)
	closing := func(paths int) []byte {
		body := &CloseSessionTxn{}
		for range paths {
			body.Paths = append(body.Paths, path)
		}
		txn := Txn{TxnHeader: TxnHeader{Session: 7, Zxid: 9, Op: OpCloseSession}, Body: body, Digest: TxnDigest{Version: DigestVersion, Tree: 1}}
		return txn.Append(nil)
	}
	long := closing(TxnBytesMax / len(path))
	txn, err := DecodeTxn(Portable(long))
	if err != nil || txn.Body != nil || txn.Session != 7 || txn.Zxid != 9 || txn.Digest.Version != 0 {
		t.Errorf("%+v, %v", txn, err)
	}
	data := Txn{TxnHeader: TxnHeader{Op: OpSetData}, Body: &SetDataTxn{Path: path, Data: make([]byte, TxnBytesMax)}}
	for _, b := range [][]byte{nil, closing(3), data.Append(nil), long[:TxnBytesMax]} {
		if got := Portable(b); len(got) != len(b) {
			t.Errorf("%d bytes became %d", len(b), len(got))
		}
	}
}
