package store

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"zooid/wire"
	"zooid/znode"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperDir); dir != "" {
		os.Exit(helperProcess(dir))
	}
	goleak.VerifyTestMain(m)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// unpack puts a directory that ZooKeeper wrote (testdata/‹name›.tar.gz) into
// a memory file system, durably, and reads its expected.json.
func unpack(t testing.TB, name string) (*vfs.MemFS, *expected) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".tar.gz"))
	must(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	must(t, err)
	fs := vfs.NewCrashableMem()
	want := &expected{name: name}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		b, err := io.ReadAll(r)
		must(t, err)
		switch {
		case h.Name == "expected.json":
			must(t, json.Unmarshal(b, want))
		case h.Typeflag == tar.TypeReg:
			putFile(t, fs, "/"+h.Name, b)
		}
	}
	want.ownLogDir = exists(fs, "/log")
	return fs, want
}

// options are those for what unpack made.
func (e *expected) options(fs vfs.FS) Options {
	o := Options{DataDir: "/data", FS: fs, PreallocBytes: -1}
	if e.ownLogDir {
		o.LogDir = "/log"
	}
	return o
}

func putFile(t testing.TB, fs vfs.FS, name string, b []byte) {
	t.Helper()
	must(t, fs.MkdirAll(path.Dir(name), 0o755))
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = f.Write(b)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
	for dir := path.Dir(name); ; dir = path.Dir(dir) {
		must(t, syncDir(fs, dir))
		if dir == "/" {
			return
		}
	}
}

func getFile(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	must(t, err)
	defer f.Close()
	b, err := io.ReadAll(f)
	must(t, err)
	return b
}

func exists(fs vfs.FS, name string) bool {
	_, err := fs.Stat(name)
	return err == nil
}

func listDir(t testing.TB, fs vfs.FS, dir, prefix string) []string {
	t.Helper()
	names, err := fs.List(dir)
	must(t, err)
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, prefix) })
	slices.Sort(names)
	return names
}

// open opens a store that the test's end closes.
func open(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	must(t, err)
	t.Cleanup(func() {
		if s.locks != nil {
			must(t, s.Close())
		}
	})
	return s
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	must(t, s.Close())
}

// watchLog gives o a logger whose messages the test can ask for.
func watchLog(o *Options) func(part string) bool {
	core, logs := observer.New(zap.DebugLevel)
	o.Log = zap.New(core)
	return func(part string) bool {
		return slices.ContainsFunc(logs.All(), func(e observer.LoggedEntry) bool { return strings.Contains(e.Message, part) })
	}
}

// content is a state: all that a store keeps.
type content struct {
	Zxid     wire.Zxid
	Digest   uint64
	Nodes    map[string]znode.Record
	Sessions map[wire.SessionID]int32 // timeout in ms
}

// contentOf waits until the store holds the tree's state and reads it.
func contentOf(t testing.TB, s *Store) *content {
	t.Helper()
	s.settle()
	c := &content{Nodes: map[string]znode.Record{}, Sessions: map[wire.SessionID]int32{}}
	m, err := readMarker(s.db)
	must(t, err)
	if m.zxid != s.tree.LastZxid() || m.digest != s.tree.Digest() {
		t.Fatalf("the store is at %v, %#x, the tree at %v, %#x", m.zxid, m.digest, s.tree.LastZxid(), s.tree.Digest())
	}
	c.Zxid, c.Digest = m.zxid, m.digest
	must(t, readContent(s.db, c))
	return c
}

func readContent(db pebble.Reader, c *content) error {
	var dec recordDecoder
	err := eachKey(db, nodePrefix, func(key, v []byte) error {
		var r znode.Record
		if err := dec.decode(v, &r); err != nil {
			return err
		}
		if r.Data != nil {
			r.Data = append([]byte{}, r.Data...)
		}
		c.Nodes[string(key[1:])] = r
		return nil
	})
	return errors.Join(err, eachSession(db, func(e sessionEntry) error {
		c.Sessions[e.id] = e.timeoutMs
		return nil
	}))
}

// settle brings the store up to the tree; the caller is the loop.
func (s *Store) settle() {
	for {
		s.waitIdle()
		if wire.Zxid(s.edition.Load().committed.Load()) == s.tree.LastZxid() {
			return
		}
		s.Keep(true)
	}
}

// waitIdle waits until the keeper has nothing to do.
func (s *Store) waitIdle() {
	for s.keeper.busy.Load() && !s.keeper.isBroken() {
		runtime.Gosched()
	}
}

func diffContent(want, have *content) string { return cmp.Diff(want, have) }

// expected is an expected.json.
type expected struct {
	name       string
	ownLogDir  bool
	LastZxid   hexNumber
	TreeDigest hexNumber
	Sessions   []struct {
		ID      hexNumber
		Timeout int32
	}
	Tree []struct {
		Path string
		Data *string
		ACL  []struct {
			Perms      int32
			Scheme, ID string
		}
		Stat struct {
			Czxid, Mzxid, Pzxid     hexNumber
			Ctime, Mtime            int64
			Version, Aversion       int32
			DataLength, NumChildren int32
		}
		StoredEphemeralOwner hexNumber
		StoredCversion       int32
	}
}

// hexNumber is "0x…" in JSON.
type hexNumber uint64

// UnmarshalJSON reads n.
func (n *hexNumber) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseUint(strings.Trim(string(b), `"`), 0, 64)
	*n = hexNumber(v)
	return err
}

// content is e as a state. The nodes that every server writes by itself are
// left out, see comparable.
func (e *expected) content(t testing.TB) *content {
	t.Helper()
	c := &content{
		Zxid: wire.Zxid(e.LastZxid), Digest: uint64(e.TreeDigest),
		Nodes: map[string]znode.Record{}, Sessions: map[wire.SessionID]int32{},
	}
	for _, s := range e.Sessions {
		c.Sessions[wire.SessionID(s.ID)] = s.Timeout
	}
	for _, n := range e.Tree {
		r := znode.Record{Stat: wire.StatPersisted{
			Czxid: wire.Zxid(n.Stat.Czxid), Mzxid: wire.Zxid(n.Stat.Mzxid), Ctime: n.Stat.Ctime, Mtime: n.Stat.Mtime,
			Version: n.Stat.Version, Cversion: n.StoredCversion, Aversion: n.Stat.Aversion,
			EphemeralOwner: int64(n.StoredEphemeralOwner), Pzxid: wire.Zxid(n.Stat.Pzxid),
		}}
		if n.Data != nil {
			r.Data = []byte{}
			if _, err := fmt.Sscanf(*n.Data, "%x", &r.Data); err != nil && *n.Data != "" {
				t.Fatal(err)
			}
		}
		for _, a := range n.ACL {
			r.ACL = append(r.ACL, wire.ACL{Perms: a.Perms, ID: wire.ID{Scheme: a.Scheme, ID: a.ID}})
		}
		if slices.Equal(r.ACL, wire.OpenACL) {
			r.ACL = nil
		}
		path := n.Path
		if path == "/" {
			path = ""
		}
		c.Nodes[path] = r
	}
	return c.comparable()
}

// comparable leaves out what differs between servers: /zookeeper/config is
// rewritten by each of them when it takes up a role.
func (c *content) comparable() *content {
	delete(c.Nodes, "/zookeeper/config")
	return c
}
