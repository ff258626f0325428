package store

import (
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"zooid/wire"
)

// ours tells where Zooid differs from ZooKeeper 3.9.5 on purpose, by the name
// of the case: a part of the error, or "" for a start at ZooKeeper's last zxid
// or the given one.
var ours = map[string]struct {
	refused string
	zxid    wire.Zxid
}{
	// ZooKeeper silently drops acknowledged transactions here.
	"end-byte-wrong": {refused: "is damaged at byte"},
	"length-zero":    {refused: "is damaged at byte"},
	// What a crash leaves behind is no reason to refuse.
	"torn-last-record-bad-checksum": {zxid: 0x4f},
	"newest-log-half-header":        {zxid: 0x50},
	"newest-log-16-zeros":           {zxid: 0x50},
	// The log begins with the first transaction, so it tells all.
	"no-snapshot": {zxid: 0x50},
}

// refusals are parts of our errors where ZooKeeper refuses too.
var refusals = map[string]string{
	"payload-bit-flip":    "is damaged at byte",
	"length-negative":     "is damaged at byte",
	"bad-magic":           "is damaged at byte 0",
	"missing-middle-log":  "missing",
	"snapshot-in-log-dir": "/log/version-2 holds the snapshot file snapshot.46",
}

type edgeCases struct {
	Base  string
	Cases []struct {
		Name  string
		Edits []edit
		Java  struct {
			Start      string
			Zxid       hexNumber
			TreeDigest hexNumber
			Sessions   int
		} `json:"java395"`
	}
}

// edit is one change to the files of a case.
type edit struct {
	Op, File, To, Hex    string
	Size, Offset, Length int64
}

// TestEdgeCases opens damaged and incomplete directories. Where ZooKeeper
// starts we start with the same state, but for the cases in ours; where the
// directory is refused nothing in it may change.
func TestEdgeCases(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "edge-cases.json"))
	must(t, err)
	var all edgeCases
	must(t, json.Unmarshal(b, &all))
	for _, c := range all.Cases {
		t.Run(c.Name, func(t *testing.T) {
			fs, want := unpack(t, all.Base)
			for _, e := range c.Edits {
				e.apply(t, fs)
			}
			zxid, digest := wire.Zxid(c.Java.Zxid), uint64(c.Java.TreeDigest)
			refused := refusals[c.Name]
			if o, ok := ours[c.Name]; ok {
				zxid, digest, refused = o.zxid, 0, o.refused
			} else if (c.Java.Start == "refused") != (refused != "") {
				t.Fatalf("ZooKeeper's start is %s, ours is not decided", c.Java.Start)
			}
			if refused != "" {
				before := allFiles(t, fs)
				expectRefused(t, want.options(fs), refused)
				if after := allFiles(t, fs); !maps.Equal(before, after) {
					t.Error("files have changed")
				}
				return
			}
			opts := want.options(fs)
			warned := watchLog(&opts)
			s := open(t, opts)
			have := contentOf(t, s)
			if warned("digest") {
				t.Error("a digest did not match")
			}
			if have.Zxid != zxid || digest != 0 && have.Digest != digest {
				t.Errorf("zxid %v, digest %#x, want %v, %#x", have.Zxid, have.Digest, zxid, digest)
			}
			if zxid == wire.Zxid(want.LastZxid) {
				compare(t, want.content(t), have.comparable())
			}
			if len(have.Sessions) != c.Java.Sessions && digest != 0 {
				t.Errorf("%d sessions, want %d", len(have.Sessions), c.Java.Sessions)
			}
		})
	}
}

func (e *edit) apply(t *testing.T, fs vfs.FS) {
	t.Helper()
	name := "/" + e.File
	patch, err := hex.DecodeString(e.Hex)
	must(t, err)
	switch e.Op {
	case "create":
		putFile(t, fs, name, patch)
	case "delete":
		must(t, fs.Remove(name))
	case "rename":
		must(t, fs.Rename(name, "/"+e.To))
	case "copy":
		putFile(t, fs, "/"+e.To, getFile(t, fs, name))
	case "truncate":
		putFile(t, fs, name, getFile(t, fs, name)[:e.Size])
	case "patch":
		b := getFile(t, fs, name)
		copy(b[e.Offset:], patch)
		putFile(t, fs, name, b)
	case "zero":
		b := getFile(t, fs, name)
		clear(b[e.Offset:min(int(e.Offset+e.Length), len(b))])
		putFile(t, fs, name, b)
	default:
		t.Fatalf("unknown edit %q", e.Op)
	}
}

func expectRefused(t *testing.T, o Options, part string) {
	t.Helper()
	s, err := Open(o)
	if err == nil {
		s.Close()
		t.Fatalf("opened, at %v", s.tree.LastZxid())
	}
	if !strings.Contains(err.Error(), part) {
		t.Fatalf("error %q lacks %q", err, part)
	}
}

// allFiles reads ZooKeeper's files.
func allFiles(t *testing.T, fsys vfs.FS) map[string]string {
	t.Helper()
	files := make(map[string]string)
	for _, dir := range []string{"/data/version-2", "/log/version-2"} {
		for _, name := range listDir(t, fsys, dir, "") {
			files[dir+"/"+name] = string(getFile(t, fsys, dir+"/"+name))
		}
	}
	return files
}
