package znode

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"zooid/wire"
)

// The directories in testdata/disk were written by ZooKeeper 3.9.5; each has an
// expected.json with the tree that a client of that server read. The tests here
// restore them: digests of all txns, and every field of every node.

// javaDir is a directory of ZooKeeper's.
type javaDir struct {
	name      string
	snapshots []wire.Zxid // ascending
	txns      []*wire.Txn
	want      expectedTree
}

type expectedTree struct {
	LastZxid   hexNumber
	TreeDigest hexNumber
	NodeCount  int
	Sessions   []struct {
		ID      hexNumber
		Timeout int32
	}
	Tree []expectedNode
}

type expectedNode struct {
	Path string
	Data *string
	ACL  []struct {
		Perms      int32
		Scheme, ID string
	}
	Stat struct {
		Czxid, Mzxid, Pzxid, EphemeralOwner hexNumber
		Ctime, Mtime                        int64
		Version, Cversion, Aversion         int32
		DataLength, NumChildren             int32
	}
	StoredEphemeralOwner hexNumber
	StoredCversion       int32
}

// hexNumber is "0x…" in JSON.
type hexNumber uint64

func (h *hexNumber) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseUint(strings.Trim(string(b), `"`), 0, 64)
	*h = hexNumber(n)
	return err
}

func readJavaDir(t *testing.T, name string) *javaDir {
	t.Helper()
	d := &javaDir{name: filepath.Join("testdata", "disk", name)}
	files, err := os.ReadDir(d.name)
	if err != nil {
		t.Fatal(err)
	}
	var logs []wire.Zxid
	for _, f := range files {
		kind, number, _ := strings.Cut(f.Name(), ".")
		z, _ := strconv.ParseUint(number, 16, 64)
		switch kind {
		case "snapshot":
			d.snapshots = append(d.snapshots, wire.Zxid(z))
		case "log":
			logs = append(logs, wire.Zxid(z))
		}
	}
	slices.Sort(d.snapshots)
	slices.Sort(logs)
	for _, z := range logs {
		d.readLog(t, fmt.Sprintf("log.%x", uint64(z)))
	}
	if err := json.Unmarshal(d.read(t, "expected.json"), &d.want); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *javaDir) read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(d.name, file))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (d *javaDir) readLog(t *testing.T, file string) {
	t.Helper()
	dec := wire.NewDecoder(d.read(t, file)[wire.FileHeaderSize:])
	for {
		dec.Int64() // checksum
		payload := dec.Buffer()
		if len(payload) == 0 {
			return
		}
		dec.Byte()
		txn, err := wire.DecodeTxn(payload)
		if err != nil {
			t.Fatal(err)
		}
		d.txns = append(d.txns, txn)
	}
}

// load reads a snapshot into a new tree; z is the zxid that it is said to have.
func (d *javaDir) load(t *testing.T, snapshot, z wire.Zxid) *Tree {
	t.Helper()
	tree := New()
	dec := wire.NewDecoder(d.read(t, fmt.Sprintf("snapshot.%x", uint64(snapshot)))[wire.FileHeaderSize:])
	for n := dec.Int32(); n > 0; n-- {
		id := wire.SessionID(dec.Int64())
		tree.LoadSession(id, dec.Int32(), -1)
	}
	acls := map[int64][]wire.ACL{-1: nil}
	for n := dec.Int32(); n > 0; n-- {
		key := dec.Int64()
		acls[key] = dec.ACLs()
	}
	for {
		path := dec.String()
		if path == "/" {
			break
		}
		r := Record{Data: dec.Buffer()}
		r.ACL = acls[dec.Int64()]
		r.Stat.Decode(&dec)
		if err := tree.Load(path, &r); err != nil {
			t.Fatal(err)
		}
	}
	if dec.Err() != nil {
		t.Fatal(dec.Err())
	}
	tree.Loaded(z)
	dec.Int64() // Adler-32
	_ = dec.String()
	if dec.Remaining() > 21 { // more than the last zxid: a digest, and the zxid at which it holds
		tree.CompareDigestsAfter(wire.Zxid(dec.Int64()))
	} else {
		tree.CompareDigestsAfter(snapshot)
	}
	return tree
}

// replay applies what the log has beyond the tree's zxid.
func (d *javaDir) replay(tree *Tree) {
	var out Applied
	for _, txn := range d.txns {
		if txn.Zxid > tree.LastZxid() {
			tree.Apply(txn, &out)
		}
	}
}

func (d *javaDir) check(t *testing.T, tree *Tree) {
	t.Helper()
	if tree.LastZxid() != wire.Zxid(d.want.LastZxid) {
		t.Errorf("last zxid %v, want %v", tree.LastZxid(), wire.Zxid(d.want.LastZxid))
	}
	if tree.Digest() != uint64(d.want.TreeDigest) {
		t.Errorf("digest %#x, want %#x", tree.Digest(), uint64(d.want.TreeDigest))
	}
	got := map[string]expectedNode{}
	tree.walk(rootID, func(n nodeID) {
		e := tree.describe(n)
		got[e.Path] = e
	})
	want := map[string]expectedNode{}
	for _, e := range d.want.Tree {
		if e.Path == configPath && strings.HasPrefix(d.name, "testdata/disk/quorum") {
			continue // each server rewrites it for itself when it starts a role
		}
		want[e.Path] = e
	}
	if _, ok := want[configPath]; !ok {
		delete(got, configPath)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("tree differs (-want +got):\n%s", diff)
	}
	sessions := map[wire.SessionID]int32{}
	tree.Sessions(func(id wire.SessionID, timeoutMs, _ int32) { sessions[id] = timeoutMs })
	wantSessions := map[wire.SessionID]int32{}
	for _, s := range d.want.Sessions {
		wantSessions[wire.SessionID(s.ID)] = s.Timeout
	}
	if diff := gocmp.Diff(wantSessions, sessions); diff != "" {
		t.Errorf("sessions differ (-want +got):\n%s", diff)
	}
	verify(t, tree)
}

// walk visits n and all below it.
func (t *Tree) walk(n nodeID, visit func(n nodeID)) {
	visit(n)
	t.eachChild(n, func(c nodeID) { t.walk(c, visit) })
}

func (t *Tree) describe(n nodeID) (e expectedNode) {
	e.Path = t.path(n)
	if data := t.data(n); data != nil {
		s := hex.EncodeToString(data)
		e.Data = &s
	}
	for _, a := range t.acl(n) {
		e.ACL = append(e.ACL, struct {
			Perms      int32
			Scheme, ID string
		}{a.Perms, a.ID.Scheme, a.ID.ID})
	}
	s, p := t.stat(n), t.persisted(n)
	e.Stat.Czxid, e.Stat.Mzxid, e.Stat.Pzxid = hexNumber(s.Czxid), hexNumber(s.Mzxid), hexNumber(s.Pzxid)
	e.Stat.EphemeralOwner = hexNumber(s.EphemeralOwner)
	e.Stat.Ctime, e.Stat.Mtime = s.Ctime, s.Mtime
	e.Stat.Version, e.Stat.Cversion, e.Stat.Aversion = s.Version, s.Cversion, s.Aversion
	e.Stat.DataLength, e.Stat.NumChildren = s.DataLength, s.NumChildren
	e.StoredEphemeralOwner, e.StoredCversion = hexNumber(p.EphemeralOwner), p.Cversion
	return e
}

var javaDirs = []string{"standalone-all-types", "standalone-no-digest", "quorum-server-3"}

// From every snapshot, with the rest of the log.
func TestRestoreJavaDirectories(t *testing.T) {
	for _, name := range javaDirs {
		d := readJavaDir(t, name)
		for _, z := range d.snapshots {
			t.Run(fmt.Sprintf("%s/snapshot.%x", name, uint64(z)), func(t *testing.T) {
				tree := d.load(t, z, z)
				d.replay(tree)
				d.check(t, tree)
				if n := tree.DigestMismatches(); n != 0 {
					t.Errorf("%d txns have another digest than the tree", n)
				}
			})
		}
	}
}

// Every snapshot taken for one that began at any earlier zxid: as fuzzy as can
// be. All txns in between find their effect there already, or undone.
func TestRestoreFuzzy(t *testing.T) {
	for _, name := range javaDirs {
		d := readJavaDir(t, name)
		for _, z := range d.snapshots {
			for _, txn := range d.txns {
				from := txn.Zxid - 1
				if from >= z {
					break
				}
				tree := d.load(t, z, from)
				d.replay(tree)
				d.check(t, tree)
				if n := tree.DigestMismatches(); n != 0 {
					t.Errorf("%d txns have another digest than the tree", n)
				}
				if t.Failed() {
					t.Fatalf("%s: snapshot.%x taken for one of %v", name, uint64(z), from)
				}
			}
		}
	}
}

// verify recomputes everything that a tree keeps up to date: digest, sums of
// directories, owners' lists, references to ACLs, the index, cached lists.
func verify(t *testing.T, tree *Tree) {
	t.Helper()
	var digest uint64
	var nodes, pathBytes int
	refs := map[aclID]int{}
	owned := map[int64][]string{}
	tree.walk(rootID, func(n nodeID) {
		p, path := tree.nodes.at(uint32(n)), tree.path(n)
		nodes++
		if n != rootID {
			pathBytes += len(path)
		}
		if got := tree.lookup(path); got != n {
			t.Errorf("lookup(%q) = %d, want %d", path, got, n)
		}
		stat := tree.persisted(n)
		crc := contentCRC(path, tree.data(n))
		if crc != p.crc {
			t.Errorf("%s: content CRC %#x, want %#x", path, p.crc, crc)
		}
		share := nodeDigest(strings.TrimSuffix(path, "/"), crc, &stat)
		if share != uint64(p.digest) {
			t.Errorf("%s: digest %#x, want %#x", path, p.digest, share)
		}
		digest += share
		refs[p.acl]++
		if p.owner != 0 {
			owned[p.owner] = append(owned[p.owner], path)
		}
		tree.verifyDir(t, n)
	})
	if digest != tree.Digest() {
		t.Errorf("tree digest %#x, want %#x", tree.Digest(), digest)
	}
	if tree.NodeCount() != nodes+1 {
		t.Errorf("NodeCount %d with %d nodes", tree.NodeCount(), nodes)
	}
	if int(tree.figures.pathBytes) != pathBytes {
		t.Errorf("path bytes %d, want %d", tree.figures.pathBytes, pathBytes)
	}
	for id, e := range tree.acls.entries {
		if aclID(id) != openACL && e.refs != refs[aclID(id)] {
			t.Errorf("ACL %v: %d references, want %d", e.acl, e.refs, refs[aclID(id)])
		}
	}
	tree.verifyOwned(t, owned)
}

func (t *Tree) verifyDir(tt *testing.T, n nodeID) {
	tt.Helper()
	var children []nodeID
	var below int32
	var bytes int64
	t.eachChild(n, func(c nodeID) {
		children = append(children, c)
		nodes, b := t.subtree(c)
		below, bytes = below+int32(nodes), bytes+b
	})
	if d := t.nodes.at(uint32(n)).dir; d != 0 {
		d := t.dirs.at(d)
		if int(d.count) != len(children) || d.below != below || d.bytes != bytes || d.count == 0 {
			tt.Errorf("%s: directory %+v has %d children, %d nodes and %d bytes below", t.path(n), *d, len(children), below, bytes)
		}
		if last := children[len(children)-1]; t.nodes.at(uint32(d.first)).prev != last {
			tt.Errorf("%s: the first child does not lead to the last", t.path(n))
		}
	}
	if l := t.lists.lists[n]; l != nil {
		if want := t.encodeNames(nil, n, t.childCount(n)); string(want) != string(l.names) {
			tt.Errorf("%s: cached list %q, want %q", t.path(n), l.names, want)
		}
	}
}

func (t *Tree) verifyOwned(tt *testing.T, owned map[int64][]string) {
	tt.Helper()
	ephemerals, reapable := 0, 0
	for owner, want := range owned {
		if kind, _ := wire.KindOfOwner(owner); kind != wire.OwnerSession {
			reapable += len(want)
			continue
		}
		ephemerals += len(want)
		got := t.Ephemerals(wire.SessionID(owner))
		slices.SortFunc(got, cmp.Compare[string])
		slices.SortFunc(want, cmp.Compare[string])
		if !slices.Equal(got, want) {
			tt.Errorf("ephemerals of %v: %q, want %q", wire.SessionID(owner), got, want)
		}
	}
	t.verifyList(tt, &t.reapable)
	t.sessions.visit(func(e *session) { t.verifyList(tt, &e.ephemerals) })
	if t.EphemeralCount() != ephemerals {
		tt.Errorf("EphemeralCount %d, want %d", t.EphemeralCount(), ephemerals)
	}
	if int(t.reapable.count) != reapable {
		tt.Errorf("%d reapable, want %d", t.reapable.count, reapable)
	}
}

func (t *Tree) verifyList(tt *testing.T, l *ownedList) {
	tt.Helper()
	var last nodeID
	count := int32(0)
	for n := l.first; n != 0; n = t.nodes.at(uint32(n)).ownedNext {
		last = n
		count++
	}
	if count != l.count || l.first != 0 && t.nodes.at(uint32(l.first)).ownedPrev != last {
		tt.Errorf("owned list %+v has %d nodes and ends with %d", *l, count, last)
	}
}

func TestEmptyTree(t *testing.T) {
	tree := New()
	if tree.Digest() != wire.EmptyTreeDigest {
		t.Errorf("digest %#x, want %#x", tree.Digest(), wire.EmptyTreeDigest)
	}
	if tree.NodeCount() != 5 {
		t.Errorf("NodeCount %d, want 5", tree.NodeCount())
	}
	for path, cversion := range map[string]int32{"/": -1, "/zookeeper": -2, "/zookeeper/quota": 0} {
		if s := tree.stat(tree.lookup(path)); s.Cversion != cversion {
			t.Errorf("%s: cversion %d, want %d", path, s.Cversion, cversion)
		}
	}
	if s := tree.stat(tree.lookup(configPath)); s.Aversion != -1 {
		t.Errorf("%s: aversion %d, want -1", configPath, s.Aversion)
	}
	verify(t, tree)
}
