package txnlog

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"zooid/wire"
)

// recordedDirs are directories that Apache ZooKeeper 3.9.5 wrote, with their
// numbers of records and last zxids.
var recordedDirs = []struct {
	name     string
	prealloc int64
	records  int
	after    wire.Zxid // the newest snapshot before the first log file
	last     wire.Zxid
}{
	{"standalone-all-types", 8 << 10, 80, 0, 0x50},
	{"standalone-gz", 8 << 10, 69, 0, 0x45},
	{"standalone-snappy", 8 << 10, 69, 0, 0x45},
	{"standalone-no-digest", 8 << 10, 80, 0, 0x50},
	{"quorum-server-1", 64 << 10, 6, 0x10000001d, 0x300000002},
	{"quorum-server-2", 64 << 10, 35, 0, 0x300000002},
	{"quorum-server-3", 64 << 10, 35, 0, 0x300000002},
}

// TestRecordedLogs opens directories of ZooKeeper's, replays them, and appends
// what it read to new logs: those must hold the very same bytes, but for the mark
// in the padding, at which ZooKeeper does not look.
func TestRecordedLogs(t *testing.T) {
	for _, c := range recordedDirs {
		t.Run(c.name, func(t *testing.T) {
			files := recorded(t, c.name)
			fs := newFS(t)
			for name, b := range files {
				putFile(t, fs, name, b)
			}
			l := open(t, options(fs, newLedger()))
			if l.Last() != c.last || len(l.Repairs()) != 0 {
				t.Errorf("last %v, repairs %v; want %v and none", l.Last(), l.Repairs(), c.last)
			}
			if got := replayed(t, l, c.after); len(got) != c.records {
				t.Errorf("%d records, want %d", len(got), c.records)
			}
			for _, name := range slices.Sorted(maps.Keys(files)) {
				if name == "log.100000001" && c.name == "quorum-server-2" {
					continue // ZooKeeper truncated it
				}
				rewrite(t, files[name], name, c.prealloc)
			}
		})
	}
}

// rewrite appends the records of a file to a new log and compares.
func rewrite(t *testing.T, want []byte, name string, prealloc int64) {
	t.Helper()
	fs, g := newFS(t), newLedger()
	putFile(t, fs, name, want)
	var batch []Entry
	_, err := Scan(fs, fs.PathJoin(dir, name), func(r Record) error {
		batch = append(batch, Entry{Zxid: r.Zxid, Payload: slices.Clone(r.Payload)})
		return nil
	})
	must(t, err)
	must(t, fs.Remove(fs.PathJoin(dir, name)))
	o := options(fs, g)
	o.PreallocBytes = prealloc
	l := open(t, o)
	l.Start()
	l.Append(batch)
	must(t, l.Close())
	if got := withoutMark(getFile(t, fs, name)); !bytes.Equal(got, want) {
		i := 0
		for i < min(len(got), len(want)) && got[i] == want[i] {
			i++
		}
		t.Errorf("%s: %d bytes, want %d; they differ from byte %d on", name, len(got), len(want), i)
	}
}

type edit struct {
	Op     string
	File   string
	Size   int64
	Offset int64
	Length int64
	Hex    string
	To     string
}

type edgeCase struct {
	Name    string
	Edits   []edit
	Java395 struct{ Start, Zxid, Error string }
}

// Refused by Open, or by the replay.
const (
	refusedByOpen   = "open"
	refusedByReplay = "replay"
)

// ours says what differs from ZooKeeper, or is particular, in the recorded edge
// cases: where we refuse and what, in words, Open repairs.
var ours = map[string]struct {
	after   wire.Zxid // the snapshot from which to replay; 0x46 if 0
	whole   bool      // replay from the beginning
	refused string
	offset  int64 // of the damage
	last    wire.Zxid
	repair  string
}{
	"torn-last-record":             {last: 0x4f, repair: "log.47: 18 bytes cut at byte 5839: the last write was interrupted: the file ends inside a record of length 91"},
	"torn-last-record-zero-filled": {last: 0x4f, repair: "log.47: 18 bytes cut at byte 5839: the last write was interrupted: the end mark of a record is missing"},
	// ZooKeeper refuses this one; nothing stands behind it, so it was never durable.
	"torn-last-record-bad-checksum": {last: 0x4f, repair: "log.47: 104 bytes cut at byte 5839: the last write was interrupted: the checksum of a record is wrong"},
	"newest-log-empty":              {last: 0x50, repair: "log.51: removed: its creation was interrupted"},
	"newest-log-header-only":        {last: 0x50, repair: "log.51: removed: it holds no record"},
	// ZooKeeper refuses these two.
	"newest-log-half-header": {last: 0x50, repair: "log.51: removed: its creation was interrupted"},
	"newest-log-16-zeros":    {last: 0x50, repair: "log.51: removed: its creation was interrupted"},
	"payload-bit-flip":       {refused: refusedByOpen, offset: 180},
	// ZooKeeper starts with these two and has silently lost what follows.
	"end-byte-wrong":     {refused: refusedByOpen, offset: 180},
	"length-zero":        {refused: refusedByOpen, offset: 180},
	"length-negative":    {refused: refusedByOpen, offset: 180},
	"bad-magic":          {refused: refusedByOpen, offset: 0},
	"missing-middle-log": {whole: true, refused: refusedByReplay, offset: 16},
	"empty":              {last: 0},
	"snapshot-bit-flip":  {after: 0x43, last: 0x50},
	"snapshot-cut":       {after: 0x43, last: 0x50},
	"fuzzy-from-zero":    {whole: true, last: 0x50},
	"fuzzy-from-middle":  {after: 0x20, last: 0x50},
	// Which snapshots there are, and where, is not the log's concern.
	"oldest-snapshot-only": {whole: true, last: 0x50},
	"no-snapshot":          {whole: true, last: 0x50},
	"snapshot-in-log-dir":  {last: 0x50},
}

// TestEdgeCases prepares the directories on which ZooKeeper was observed.
func TestEdgeCases(t *testing.T) {
	b, err := os.ReadFile("testdata/edge-cases.json")
	must(t, err)
	var doc struct {
		Base  string
		Cases []edgeCase
	}
	must(t, json.Unmarshal(b, &doc))
	for _, c := range doc.Cases {
		t.Run(c.Name, func(t *testing.T) {
			files := recorded(t, doc.Base)
			for _, e := range c.Edits {
				applyEdit(t, files, e)
			}
			want, listed := ours[c.Name]
			if !listed { // as ZooKeeper, from the newest snapshot
				if c.Java395.Start != "ok" || c.Java395.Zxid != "0x50" {
					t.Fatal("no expectation")
				}
				want.last = 0x50
			}
			fs := newFS(t)
			for name, b := range files {
				putFile(t, fs, name, b)
			}
			after := want.after
			if after == 0 && !want.whole && len(files) > 0 {
				after = 0x46
			}
			l, err := Open(options(fs, newLedger()))
			if want.refused == refusedByOpen {
				checkDamage(t, fs, files, err, want.offset)
				return
			}
			must(t, err)
			defer l.Close()
			got, err := tryReplay(l, after)
			if want.refused == refusedByReplay {
				checkDamage(t, fs, files, err, want.offset)
				return
			}
			must(t, err)
			if l.Last() != want.last || len(got) != int(want.last-after) {
				t.Errorf("last %v, %d records; want %v, %d", l.Last(), len(got), want.last, want.last-after)
			}
			var repairs []string
			for _, r := range l.Repairs() {
				repairs = append(repairs, r.String())
			}
			if s := strings.Join(repairs, "; "); s != want.repair {
				t.Errorf("repairs %q, want %q", s, want.repair)
			}
		})
	}
}

// checkDamage demands a DamageError at the given offset, and unchanged files.
func checkDamage(t *testing.T, fs vfs.FS, files map[string][]byte, err error, offset int64) {
	t.Helper()
	var d *DamageError
	if !errors.As(err, &d) {
		t.Fatalf("error %v, want a DamageError", err)
	}
	if d.Offset != offset || !strings.HasPrefix(d.File, dir+"/log.") || d.Reason == "" || !strings.HasSuffix(d.Advice, ".") {
		t.Errorf("damage %+v, want one at byte %d", d, offset)
	}
	for name, b := range files {
		if !bytes.Equal(getFile(t, fs, name), b) {
			t.Errorf("%s was changed", name)
		}
	}
}

// applyEdit applies an edit to the log files; snapshots are none of ours.
func applyEdit(t *testing.T, files map[string][]byte, e edit) {
	t.Helper()
	name, ok := strings.CutPrefix(e.File, "log/version-2/")
	if !ok {
		return
	}
	b := files[name]
	switch e.Op {
	case "truncate":
		files[name] = b[:e.Size]
	case "zero":
		clear(b[e.Offset : e.Offset+e.Length])
	case "patch", "create":
		x, err := hex.DecodeString(e.Hex)
		must(t, err)
		if e.Op == "create" {
			files[name] = x
		} else {
			copy(b[e.Offset:], x)
		}
	case "delete":
		delete(files, name)
	default:
		t.Fatalf("unknown edit %q", e.Op)
	}
}
