package badinput

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/wire"
)

// madeAgain is what the log says, once, about a copy of the tree that is of no use.
const madeAgain = "the copy of the tree cannot be used"

// creates makes so many sequential nodes with a prefix.
func creates(t *testing.T, c *rawclient.Conn, prefix string, n int) {
	t.Helper()
	for range n {
		if _, _, err := c.Create(prefix, []byte("data of a node"), wire.FlagPersistentSequential); err != nil {
			t.Fatal(err)
		}
	}
}

// expectChildren counts the root's children by a prefix.
func expectChildren(t *testing.T, s *testenv.Server, prefix string, want int) {
	t.Helper()
	names, err := open(t, s).Children("/", false)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range names {
		if strings.HasPrefix("/"+name, prefix) {
			n++
		}
	}
	if n != want {
		t.Errorf("%d nodes %s*, want %d", n, prefix, want)
	}
}

// expectMadeAgain demands the one warning among what the log says since it was so
// long.
func expectMadeAgain(t *testing.T, s *testenv.Server, since int) {
	t.Helper()
	if said := s.Log()[since:]; strings.Count(said, madeAgain) != 1 {
		t.Errorf("no warning, or more than one, about the copy of the tree:\n%s", said)
	}
}

// TestDamagedCopy: damage in the durable copy of the tree costs a warning, not the
// start: snapshot and log have it all.
func TestDamagedCopy(t *testing.T) {
	s := written(t, 50)
	files, err := filepath.Glob(filepath.Join(s.DataDir, "zooid", "MANIFEST-*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if err := os.WriteFile(f, []byte("no manifest"), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	since := len(s.Log())
	if err := s.Start(); err != nil {
		t.Fatalf("%v\n%s", err, s.Log())
	}
	expectMadeAgain(t, s, since)
	expectChildren(t, s, "/n-", 50)
}

// TestCopyOfGivenUpHistory: version-2 is put back to a backup and goes on from
// there, as ZooKeeper would; beside it lies the copy of the tree of before. What
// the copy has of the history that was given up is never served.
func TestCopyOfGivenUpHistory(t *testing.T) {
	s := testenv.Start(t, testenv.KindZooid, testenv.Config{})
	version2, copyDir, aside := filepath.Join(s.DataDir, "version-2"), filepath.Join(s.DataDir, "zooid"), t.TempDir()
	backup, kept := filepath.Join(aside, "version-2"), filepath.Join(aside, "zooid")
	run := func(prefix string, n int) {
		t.Helper()
		creates(t, open(t, s), prefix, n)
		if _, err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	start := func() {
		t.Helper()
		if err := s.Start(); err != nil {
			t.Fatalf("%v\n%s", err, s.Log())
		}
	}
	replace := func(from, to string) {
		t.Helper()
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
		if from == "" {
			return
		}
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	run("/before-", 10)
	replace(version2, backup)
	start()
	run("/given-up-", 10)
	replace(copyDir, kept)
	replace(backup, version2)
	replace("", copyDir)
	start()
	run("/after-", 30)
	replace(kept, copyDir)
	since := len(s.Log())
	start()
	expectMadeAgain(t, s, since)
	expectChildren(t, s, "/before-", 10)
	expectChildren(t, s, "/given-up-", 0)
	expectChildren(t, s, "/after-", 30)
}

// TestDamageInZeroPaddedData: a bit that flips in a record whose data are mostly
// zeros looks like a write that was torn. The server was killed, so only the last
// write can be torn; what was acknowledged before is not cut off.
func TestDamageInZeroPaddedData(t *testing.T) {
	s := testenv.Start(t, testenv.KindZooid, testenv.Config{})
	c := open(t, s)
	for range 10 {
		data := make([]byte, 4096)
		copy(data, "some fixed-size block")
		data[4095] = 1
		if _, _, err := c.Create("/n-", data, wire.FlagPersistentSequential); err != nil {
			t.Fatal(err)
		}
	}
	s.Kill()
	path, content := logFile(t, s.DataDir)
	content[4*4250] ^= 4
	if err := os.WriteFile(path, content, 0o640); err != nil {
		t.Fatal(err)
	}
	refused(t, s, exitDataDir, path, "damaged at byte", "on disk before the last write began")
}

// TestLogWithoutSnapshot: a log that begins with the first transaction needs no
// snapshot; of one that does not the start says which key lets it go on.
func TestLogWithoutSnapshot(t *testing.T) {
	s := written(t, 20)
	remove := func(pattern string) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(s.DataDir, pattern))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, f := range files {
			if err := os.RemoveAll(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove("version-2/snapshot.*")
	remove("zooid")
	if err := s.Start(); err != nil {
		t.Fatalf("%v\n%s", err, s.Log())
	}
	expectChildren(t, s, "/n-", 20)
	creates(t, open(t, s), "/m-", 5)
	s.Kill()
	remove("version-2/log.1") // the second run's stays
	remove("version-2/snapshot.*")
	remove("zooid")
	refused(t, s, exitDataDir, "snapshot.trust.empty=true")
}
