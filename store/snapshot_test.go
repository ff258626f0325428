package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/adler32"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"zooid/wire"
	"zooid/znode"
)

// collector is a snapshotVisitor that keeps everything.
type collector struct {
	content
	unknown []string
}

func newCollector() *collector {
	return &collector{content: content{Nodes: map[string]znode.Record{}, Sessions: map[wire.SessionID]int32{}}}
}

func (c *collector) session(id wire.SessionID, timeoutMs int32) error {
	c.Sessions[id] = timeoutMs
	return nil
}

func (c *collector) node(path string, r *znode.Record, known bool) error {
	path = strings.Clone(path)
	if _, ok := c.Nodes[path]; ok {
		return fmt.Errorf("again %q", path)
	}
	rec := *r
	if r.Data != nil {
		rec.Data = append([]byte{}, r.Data...)
	}
	c.Nodes[path] = rec
	if !known {
		c.unknown = append(c.unknown, path)
	}
	return nil
}

// TestFirstSnapshotIsZooKeepers compares the snapshot of the empty tree with
// the one that ZooKeeper wrote, byte for byte.
func TestFirstSnapshotIsZooKeepers(t *testing.T) {
	java, _ := unpack(t, "standalone-all-types")
	fs := vfs.NewMem()
	open(t, Options{DataDir: "/data", FS: fs})
	want, have := getFile(t, java, "/data/version-2/snapshot.0"), getFile(t, fs, "/data/version-2/snapshot.0")
	if !bytes.Equal(want, have) {
		t.Errorf("want % x\nhave % x", want, have)
	}
}

// TestSnapshotRoundTrip writes a snapshot of a random tree, reads it back, and
// lets a server without a store start from it.
func TestSnapshotRoundTrip(t *testing.T) {
	fs := vfs.NewMem()
	o := Options{DataDir: "/data", FS: fs, PreallocBytes: -1}
	l := startLoop(t, o)
	rng := rand.New(rand.NewPCG(1, 2))
	l.some(rng, 2000)
	l.create("/u\u00e4\u20ac", "\x00", 0)
	l.apply()
	want := contentOf(t, l.s)
	file, z, err := l.s.Snapshot()
	must(t, err)
	if z != want.Zxid || file != "/data/version-2/"+snapshotName(z) {
		t.Errorf("snapshot %s at %v, want %v", file, z, want.Zxid)
	}
	if exists(fs, file+".tmp") {
		t.Error("the temporary file is still there")
	}
	snaps, err := listSnapshots(fs, "/data/version-2")
	must(t, err)
	if len(snaps) != 2 || !snaps[0].complete || snaps[0].zxid != z {
		t.Fatalf("snapshots: %+v", snaps)
	}
	c := newCollector()
	trailer, err := readSnapshotFile(fs, "/data/version-2", snaps[0], c)
	must(t, err)
	if trailer != (snapshotTrailer{true, z, wire.DigestVersion, want.Digest, true, z}) {
		t.Errorf("trailer %+v", trailer)
	}
	c.Zxid, c.Digest = z, want.Digest
	compare(t, want, &c.content)

	again, _, err := l.s.Snapshot()
	if err != nil || again != file {
		t.Errorf("a second snapshot of the same state: %s, %v", again, err)
	}
	mustClose(t, l.s)
	must(t, fs.RemoveAll("/data/"+pebbleDir))
	compare(t, want, contentOf(t, open(t, o)))
}

// TestSnapshotIsAPointInTime writes a snapshot while the tree goes on changing.
// The file must hold the state at its zxid, to the letter.
func TestSnapshotIsAPointInTime(t *testing.T) {
	fs := vfs.NewMem()
	l := startLoop(t, Options{DataDir: "/data", FS: fs, PreallocBytes: -1, FlushTxns: 50})
	rng := rand.New(rand.NewPCG(5, 2))
	l.some(rng, 500)
	l.apply()
	l.s.Keep(true)
	type result struct {
		z   wire.Zxid
		err error
	}
	done := make(chan result)
	go func() {
		for range 20 {
			_, z, err := l.s.Snapshot()
			done <- result{z, err}
		}
		close(done)
	}()
	var taken []wire.Zxid
	for running := true; running; {
		select {
		case r, ok := <-done:
			if running = ok; ok {
				must(t, r.err)
				taken = append(taken, r.z)
			}
		default:
			l.some(rng, 30)
			l.apply()
			l.s.Keep(true)
		}
	}
	for _, z := range slices.Compact(taken) {
		f, _ := parseSnapshotName(snapshotName(z))
		c := newCollector()
		_, err := readSnapshotFile(fs, "/data/version-2", f, c)
		must(t, err)
		want := model(t, l.txns, z)
		c.Zxid, c.Digest = want.Zxid, want.Digest
		compare(t, want, &c.content)
	}
}

// javaSnapshot is a recorded snapshot, unpacked.
func javaSnapshot(t testing.TB) []byte {
	fs, _ := unpack(t, "standalone-all-types")
	return getFile(t, fs, "/data/version-2/snapshot.46")
}

// TestSnapshotDamage flips every byte of a snapshot and cuts it at every
// length. None of that may go unnoticed, except a cut that leaves out whole
// trailers, which older servers do not write.
func TestSnapshotDamage(t *testing.T) {
	good := javaSnapshot(t)
	if _, err := readSnapshot(bytes.NewReader(good), newCollector()); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if _, err := readSnapshot(bytes.NewReader(bad), newCollector()); err == nil {
			t.Errorf("byte %d changed, and nobody noticed", i)
		}
	}
	whole := []int{len(good) - lastPart - digestPart, len(good) - lastPart}
	for n := range good {
		_, err := readSnapshot(bytes.NewReader(good[:n]), newCollector())
		if (err == nil) != slices.Contains(whole, n) {
			t.Errorf("cut at %d of %d: %v", n, len(good), err)
		}
	}
	if _, err := readSnapshot(bytes.NewReader(append(bytes.Clone(good), 0)), newCollector()); err == nil {
		t.Error("a byte behind the end went unnoticed")
	}
}

// TestSnapshotTrailers reads every combination of trailers that servers write.
func TestSnapshotTrailers(t *testing.T) {
	good := javaSnapshot(t)
	body := good[:len(good)-lastPart-digestPart]
	seal := func(b []byte) []byte {
		return wire.AppendString(wire.AppendInt64(b, int64(adler32.Checksum(b))), "/")
	}
	with := func(parts ...[]byte) []byte {
		b := bytes.Clone(body)
		for _, p := range parts {
			b = seal(append(b, p...))
		}
		return b
	}
	digest := wire.AppendInt64(wire.AppendInt32(wire.AppendInt64(nil, 0x47), 2), 0x1234)
	oldDigest := wire.AppendString(wire.AppendInt32(wire.AppendInt64(nil, 0x47), 1), "12ab")
	last := wire.AppendInt64(nil, 0x46)
	for _, c := range []struct {
		name string
		file []byte
		want snapshotTrailer
	}{
		{"none", with(), snapshotTrailer{}},
		{"last zxid", with(last), snapshotTrailer{hasLastZxid: true, lastZxid: 0x46}},
		{"digest", with(digest), snapshotTrailer{hasDigest: true, digestZxid: 0x47, digestVersion: 2, digest: 0x1234}},
		{"both", with(digest, last), snapshotTrailer{true, 0x47, 2, 0x1234, true, 0x46}},
		{"old digest", with(oldDigest), snapshotTrailer{hasDigest: true, digestZxid: 0x47, digestVersion: 1}},
		{"old digest and last zxid", with(oldDigest, last), snapshotTrailer{true, 0x47, 1, 0, true, 0x46}},
	} {
		have, err := readSnapshot(bytes.NewReader(c.file), newCollector())
		if err != nil || have != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.name, have, err, c.want)
		}
	}
}

// TestSnapshotNames tells snapshots from other files.
func TestSnapshotNames(t *testing.T) {
	for _, c := range []struct {
		name, compression string
		zxid              wire.Zxid
		ok                bool
	}{
		{"snapshot.0", "", 0, true},
		{"snapshot.10000001d", "", 0x10000001d, true},
		{"snapshot.ff.gz", "gz", 0xff, true},
		{"snapshot.ff.snappy", "snappy", 0xff, true},
		{"snapshot.ff.tmp", "", 0, false},
		{"snapshot.ff.bak", "", 0, false},
		{"snapshot.", "", 0, false},
		{"snapshot", "", 0, false},
		{"snapshot.xyz", "", 0, false},
		{"snapshot.11111111111111111", "", 0, false},
		{"log.1", "", 0, false},
	} {
		f, ok := parseSnapshotName(c.name)
		if ok != c.ok || ok && (f.zxid != c.zxid || f.compression != c.compression) {
			t.Errorf("%s: %+v, %v", c.name, f, ok)
		}
	}
}

// TestUnfinishedSnapshots are removed, and never taken for a state, however
// complete they look.
func TestUnfinishedSnapshots(t *testing.T) {
	fs, want := unpack(t, "standalone-all-types")
	tmp := "/data/version-2/snapshot.4000000.tmp"
	putFile(t, fs, tmp, getFile(t, fs, "/data/version-2/snapshot.16"))
	o := want.options(fs)
	compare(t, want.content(t), contentOf(t, open(t, o)).comparable())
	if exists(fs, tmp) {
		t.Error("it is still there")
	}
}

// FuzzReadSnapshot: no input may panic or take more memory than it is worth.
func FuzzReadSnapshot(f *testing.F) {
	good := javaSnapshot(f)
	f.Add(good)
	f.Add(good[:100])
	huge := bytes.Clone(good)
	binary.BigEndian.PutUint32(huge[16:], 1<<31-1) // sessions
	f.Add(huge)
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newSealedReader(bytes.NewReader(b))
		_, _ = s.snapshot(newCollector())
		if len(s.buf) > 1<<18 && len(s.buf) > 4*len(b) {
			t.Errorf("%d bytes of memory for %d of input", len(s.buf), len(b))
		}
		if z, err := newSnappyReader(bytes.NewReader(b)); err == nil {
			_, _ = readSnapshot(z, newCollector())
		}
	})
}
