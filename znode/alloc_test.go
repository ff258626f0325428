package znode

import (
	"testing"

	"zooid/wire"
)

// The reads that make up most traffic allocate nothing, nor do the changes that
// do.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	tree := bulk(t, 2000)
	r := &Reader{Conn: 1, IDs: namedIDs(899, 1000)}
	tree.SetRules(Rules{Auth: &judge{}})
	if err := tree.Load("/long", &Record{ACL: named(wire.PermAll, 0, 900)}); err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 0, 64<<10)
	read := func(op wire.OpCode, path string, watch bool) func() {
		q := wire.WatchRequest{Path: path, Watch: watch}
		body := q.Append(nil)
		return func() {
			tree.RLock()
			tree.Read(op, r, body, dst)
			tree.RUnlock()
		}
	}
	var out Applied
	apply := func(op wire.OpCode, body wire.TxnBody) func() {
		txn := &wire.Txn{TxnHeader: wire.TxnHeader{Op: op}, Body: body}
		return func() {
			txn.Zxid = tree.LastZxid() + 1
			tree.Lock()
			tree.Apply(txn, &out)
			tree.Unlock()
		}
	}
	const node = "/dir-000000/node-0000000007"
	for c := range ConnID(100) {
		tree.watch(node, c+1, persistentWatch)
	}
	create := apply(wire.OpCreate, &wire.CreateTxn{Path: "/dir-000000/new", Data: []byte("x"), ACL: wire.OpenACL, ParentCversion: -1})
	remove := apply(wire.OpDelete, &wire.DeleteTxn{Path: "/dir-000000/new"})
	for name, f := range map[string]func(){
		"ping":                     read(wire.OpPing, "", false),
		"getData":                  read(wire.OpGetData, node, false),
		"getData under a long ACL": read(wire.OpGetData, "/long", false),
		"getData missing":          read(wire.OpGetData, "/missing", false),
		"getData watched already":  read(wire.OpGetData, node, true),
		"exists":                   read(wire.OpExists, node, false),
		"exists missing":           read(wire.OpExists, "/missing", false),
		"getChildren2 of none":     read(wire.OpGetChildren2, node, false),
		"getChildren2 of few":      read(wire.OpGetChildren2, "/zookeeper", false),
		"getChildren of 1000":      read(wire.OpGetChildren, "/dir-000001", false),
		"setData, 100 watchers":    apply(wire.OpSetData, &wire.SetDataTxn{Path: node, Data: make([]byte, 100)}),
		"create and delete":        func() { create(); remove() },
	} {
		if n := testing.AllocsPerRun(200, f); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
}
