package znode

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"zooid/wire"
)

var seedFlag = flag.Uint64("seed", 0, "replay the random tests of this package with one seed")

// seeds are those to run: a few fixed ones, or the one asked for.
func seeds() []uint64 {
	if *seedFlag != 0 {
		return []uint64{*seedFlag}
	}
	return []uint64{1, 2, 3, 4}
}

// TestAheadIsAsOneByOne prepares random requests up to k ahead of what is
// applied, and the same requests one by one on another tree. A request must not
// notice what is still in flight: the txns are the same bytes, digests included,
// and each digest is the tree's after the txn is applied (solo.apply).
func TestAheadIsAsOneByOne(t *testing.T) {
	seen := map[string]int{}
	for _, seed := range seeds() {
		for _, k := range []int{2, 7, 40} {
			t.Run(fmt.Sprintf("seed=%d/k=%d", seed, k), func(t *testing.T) {
				t.Cleanup(func() {
					if t.Failed() {
						t.Logf("replay: go test ./znode -run TestAheadIsAsOneByOne -seed %d", seed)
					}
				})
				rng := rand.New(rand.NewPCG(seed, 0))
				now, ahead := newSolo(t, defaultRules(t)), newSolo(t, defaultRules(t))
				for i := 0; i < 3000 && !t.Failed(); i++ {
					r := randomRequest(rng)
					now.propose(r)
					want := now.queue[0].payload
					got := ahead.propose(r)
					if payload := ahead.queue[len(ahead.queue)-1].payload; !bytes.Equal(payload, want) {
						t.Fatalf("request %d, %v: %d in flight make a difference:\n%+v\n%+v", i, r.Op, len(ahead.queue)-1, got, decodeTxn(t, want))
					}
					count(seen, r, got)
					now.apply()
					for n := rng.IntN(len(ahead.queue) + 1); n > 0 && (len(ahead.queue) > k || rng.IntN(4) == 0); n-- {
						ahead.apply()
					}
				}
				for len(ahead.queue) > 0 {
					ahead.apply()
				}
				sameTree(t, now.tree, ahead.tree)
				if v := ahead.view; len(v.nodes) != 0 || len(v.sessions) != 0 || len(v.notes) != 0 {
					t.Errorf("with nothing in flight the view still holds %d nodes, %d sessions, %d notes", len(v.nodes), len(v.sessions), len(v.notes))
				}
			})
		}
	}
	if *seedFlag == 0 {
		sometimes(t, seen)
	}
}

// count keeps account of what the random requests led to.
func count(seen map[string]int, r *Request, txn *wire.Txn) {
	switch body := txn.Body.(type) {
	case *wire.ErrorTxn:
		seen[fmt.Sprintf("%v: %v", r.Op, body.Err)]++
	case *wire.MultiTxn:
		failed := slices.ContainsFunc(body.Txns, func(s wire.SubTxn) bool { return s.Op == wire.OpError })
		seen[fmt.Sprintf("multi of %v, refused %v", len(body.Txns) > 1, failed)]++
	case *wire.CloseSessionTxn:
		seen[fmt.Sprintf("closeSession, ephemerals %v", len(body.Paths) > 1)]++
	default:
		seen[r.Op.String()+": ok"]++
	}
}

// sometimes wants the random requests to have been to the interesting places.
func sometimes(t *testing.T, seen map[string]int) {
	for _, what := range []string{
		"create: ok", "create2: ok", "createContainer: ok", "createTTL: ok", "delete: ok", "setData: ok", "setACL: ok", "deleteContainer: ok",
		"create: node exists", "create: no node", "create: not authorized", "create: ephemeral nodes have no children", "create: session expired",
		"delete: node has children", "delete: bad version", "delete: no node", "delete: not authorized",
		"setData: bad version", "setData: not authorized", "setACL: not authorized", "deleteContainer: node has children", "deleteContainer: bad version",
		"multi of true, refused true", "multi of true, refused false", "closeSession, ephemerals true", "closeSession, ephemerals false",
	} {
		if seen[what] == 0 {
			t.Errorf("the random requests never led to %q", what)
		}
	}
}

// Few names, so that requests meet; few sessions, so that they end in time.
var (
	randomPaths = []string{"/a", "/b", "/c", "/a/x", "/a/y", "/b/x", "/a/x/1", "/", "/a/", "/zookeeper", "/zookeeper/z", "/a/x/1/2"}
	randomACLs  = [][]wire.ACL{
		wire.OpenACL, wire.OpenACL, wire.OpenACL, wire.OpenACL, wire.OpenACL, wire.OpenACL,
		worldACL(wire.PermRead | wire.PermAdmin | wire.PermDelete),
		{{Perms: wire.PermAll, ID: userID}},
		{{Perms: wire.PermAll, ID: wire.ID{Scheme: "auth"}}, {Perms: wire.PermRead, ID: wire.OpenACL[0].ID}},
		nil,
	}
	randomIDs = [][]wire.ID{{ipID}, {ipID, userID}, {ipID, userID}, {ipID, superID}}
)

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

func randomRequest(rng *rand.Rand) *Request {
	r := randomPart(rng, randomPaths)
	switch rng.IntN(20) {
	case 0, 1:
		r = &Request{Op: wire.OpCreateSession, TimeoutMs: 4000}
	case 2:
		r = &Request{Op: wire.OpCloseSession}
	case 3:
		r = reqReap(pick(rng, randomPaths))
	case 4:
		r = reqSetACL(pick(rng, randomPaths), pick(rng, randomACLs), int32(rng.IntN(3)-1))
	case 5, 6, 7, 8:
		paths := randomPaths
		if rng.IntN(3) == 0 {
			paths = []string{pick(rng, randomPaths)} // made and deleted and made again
		}
		parts := make([]*Request, rng.IntN(6))
		for i := range parts {
			if parts[i] = randomPart(rng, paths); rng.IntN(6) == 0 {
				parts[i] = reqCheck(pick(rng, paths), int32(rng.IntN(3)-1))
			}
		}
		r = reqMulti(parts...)
	}
	if r.Op != wire.OpDeleteContainer {
		r = as(r, wire.SessionID(1+rng.IntN(4)), pick(rng, randomIDs)...)
	}
	return r
}

// randomPart is a request that may also be a part of a multi.
func randomPart(rng *rand.Rand, paths []string) *Request {
	path := pick(rng, paths)
	data := make([]byte, rng.IntN(20))
	switch rng.IntN(8) {
	case 0, 1:
		return reqDelete(path, int32(rng.IntN(3)-1))
	case 2, 3:
		return reqSetData(path, string(data), int32(rng.IntN(3)-1))
	case 4:
		return reqCreateTTL(path, wire.FlagPersistentTTL+int32(rng.IntN(2)), 1+int64(rng.IntN(10)))
	}
	r := reqCreate(pick(rng, []wire.OpCode{wire.OpCreate, wire.OpCreate, wire.OpCreate2, wire.OpCreateContainer}), path, int32(rng.IntN(5)))
	c := r.Body.(*wire.CreateRequest)
	c.ACL, c.Data = pick(rng, randomACLs), data
	return r
}

// sameTree compares everything that clients, snapshots and the digest see.
func sameTree(t *testing.T, a, b *Tree) {
	t.Helper()
	if a.Digest() != b.Digest() || a.LastZxid() != b.LastZxid() || a.NodeCount() != b.NodeCount() {
		t.Errorf("trees differ: digests %#x %#x, zxids %v %v, nodes %d %d", a.Digest(), b.Digest(), a.LastZxid(), b.LastZxid(), a.NodeCount(), b.NodeCount())
	}
	var visit func(n nodeID)
	visit = func(n nodeID) {
		path := a.path(n)
		m := b.lookup(path)
		if m == 0 {
			t.Errorf("%s is missing in the second tree", path)
			return
		}
		if a.persisted(n) != b.persisted(m) || !bytes.Equal(a.data(n), b.data(m)) || !slices.Equal(a.acl(n), b.acl(m)) {
			t.Errorf("%s differs: %+v %+v", path, a.persisted(n), b.persisted(m))
		}
		a.eachChild(n, visit)
	}
	visit(rootID)
	for id := wire.SessionID(1); id < 10; id++ {
		_, _, x := a.Session(id)
		_, _, y := b.Session(id)
		if x != y || !slices.Equal(a.Ephemerals(id), b.Ephemerals(id)) {
			t.Errorf("session %v differs: %v %v, %q %q", id, x, y, a.Ephemerals(id), b.Ephemerals(id))
		}
	}
}
