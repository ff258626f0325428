package store

import (
	"strings"
	"testing"
)

var javaDirs = []string{
	"standalone-all-types", "standalone-gz", "standalone-snappy", "standalone-no-digest",
	"quorum-server-1", "quorum-server-2", "quorum-server-3",
}

// TestRestoreJavaDir opens directories that ZooKeeper wrote, from the newest
// snapshot and, with the newer ones taken away, from every older one. Whatever
// the way, the tree must be the one that a client of that server read; and it
// must be the same when the next start reads it from the store.
func TestRestoreJavaDir(t *testing.T) {
	for _, name := range javaDirs {
		fs, _ := unpack(t, name)
		snaps, err := listSnapshots(fs, "/data/version-2")
		must(t, err)
		for i, oldest := range snaps {
			t.Run(name+"/"+oldest.name, func(t *testing.T) {
				fs, want := unpack(t, name)
				for _, f := range snaps[:i] {
					must(t, fs.Remove("/data/version-2/"+f.name))
				}
				o := want.options(fs)
				if i > 0 && name == "quorum-server-1" {
					refuseHole(t, o)
					return
				}
				warned := watchLog(&o)
				s := open(t, o)
				wantContent := want.content(t)
				compare(t, wantContent, contentOf(t, s).comparable())
				if warned("digest") {
					t.Error("a digest did not match")
				}
				mustClose(t, s)

				s = open(t, o)
				if !s.base.isStore || s.base.zxid != wantContent.Zxid {
					t.Errorf("the second start began from %+v", s.base)
				}
				compare(t, wantContent, contentOf(t, s).comparable())
			})
		}
	}
}

// refuseHole opens a directory whose log lacks what a leader sent as a snapshot.
// ZooKeeper replays it all the same and ends up with another tree.
func refuseHole(t *testing.T, o Options) {
	t.Helper()
	s, err := Open(o)
	if err == nil {
		s.Close()
		t.Fatal("opened over a hole in the log")
	}
	if !strings.Contains(err.Error(), "missing") {
		t.Fatalf("the error does not speak of missing transactions: %v", err)
	}
}

func compare(t *testing.T, want, have *content) {
	t.Helper()
	if d := diffContent(want, have); d != "" {
		t.Errorf("want (-), have (+):\n%s", d)
	}
}
