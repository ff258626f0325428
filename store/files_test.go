package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// TestInUse: a second server on the directory is refused and told who has it;
// when the first has gone, however it went, the directory is free.
func TestInUse(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Options{DataDir: dir, PreallocBytes: -1})
	must(t, err)
	have := openElsewhere(t, dir, 0)
	want := fmt.Sprintf("directory %s is in use by another server (pid %d)", dir, os.Getpid())
	if !strings.Contains(have, want) {
		t.Errorf("%q lacks %q", have, want)
	}
	mustClose(t, s)
	if have := openElsewhere(t, dir, 0); have != "opened" {
		t.Error(have)
	}
}

// TestLogDirInUse: two servers must not share a log even if their data
// directories differ.
func TestLogDirInUse(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Options{DataDir: dir + "/a", LogDir: dir + "/log", PreallocBytes: -1})
	must(t, err)
	defer s.Close()
	if _, err := Open(Options{DataDir: dir + "/b", LogDir: dir + "/log"}); err == nil || !strings.Contains(err.Error(), dir+"/log is in use") {
		t.Errorf("error %v", err)
	}
}

// TestWrongOwner opens directories of somebody else.
func TestWrongOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	const nobody = 65534
	for _, c := range []struct {
		name, own string
	}{
		{"data directory", ""},
		{"version-2", "version-2"},
		{"the store", "zooid"},
	} {
		dir := openTempDir(t)
		s, err := Open(Options{DataDir: dir, PreallocBytes: -1})
		must(t, err)
		mustClose(t, s)
		theirs := filepath.Join(dir, c.own)
		must(t, filepath.Walk(dir, func(name string, _ os.FileInfo, err error) error {
			if err == nil && name != theirs && !strings.HasPrefix(name, theirs+"/") || c.own == "" && name == dir+"/zooid.lock" {
				err = os.Chown(name, nobody, nobody)
			}
			return err
		}))
		have := openElsewhere(t, dir, nobody)
		for _, want := range []string{
			fmt.Sprintf("directory %s may not be written by uid %d", theirs, nobody),
			"belongs to uid 0", fmt.Sprintf("chown -R %d", nobody),
		} {
			if !strings.Contains(have, want) {
				t.Errorf("%s: %q lacks %q", c.name, have, want)
			}
		}
	}
}

// TestReadOnly opens a directory on a file system that is mounted read-only.
func TestReadOnly(t *testing.T) {
	o, _ := filled(t, 5)
	o.FS = errorfs.Wrap(o.FS, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpMkdirAll {
			return &os.PathError{Op: "open", Path: op.Path, Err: syscall.EROFS}
		}
		return nil
	}))
	expectRefused(t, o, "directory /data is on a read-only file system")
}

// TestNotADirectory names what stands in the way.
func TestNotADirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o644))
	expectRefused(t, Options{DataDir: file}, file+", or something above it, is not a directory")
	expectRefused(t, Options{DataDir: file + "/data"}, "is not a directory")
}

// TestMixedUpDirs refuses exchanged dataDir and dataLogDir.
func TestMixedUpDirs(t *testing.T) {
	fs := vfs.NewMem()
	o := Options{DataDir: "/a", LogDir: "/b", FS: fs, PreallocBytes: -1}
	l := startLoop(t, o)
	l.create("/x", "", 0)
	l.apply()
	mustClose(t, l.s)
	expectRefused(t, Options{DataDir: "/b", LogDir: "/a", FS: fs}, "dataLogDir directory /a/version-2 holds the snapshot file snapshot.0")
	must(t, fs.Rename("/a/version-2/snapshot.0", "/a/version-2/no-snapshot"))
	expectRefused(t, Options{DataDir: "/b", LogDir: "/a", FS: fs}, "dataDir directory /b/version-2 holds the log file log.1")
}

// TestSessionKey is made once, kept, and readable by nobody else.
func TestSessionKey(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Options{DataDir: dir, PreallocBytes: -1})
	must(t, err)
	key := bytes.Clone(s.SessionSecret())
	mustClose(t, s)
	st, err := os.Stat(filepath.Join(dir, "session.key"))
	must(t, err)
	if len(key) != 32 || bytes.Equal(key, make([]byte, 32)) || st.Mode().Perm() != 0o600 {
		t.Errorf("key %x, mode %v", key, st.Mode())
	}
	s, err = Open(Options{DataDir: dir, PreallocBytes: -1})
	must(t, err)
	if !bytes.Equal(key, s.SessionSecret()) {
		t.Error("the second start has another key")
	}
	mustClose(t, s)
	must(t, os.WriteFile(filepath.Join(dir, "session.key"), key[:31], 0o600))
	expectRefused(t, Options{DataDir: dir}, "session.key is not 32 bytes long: put the right file back, or remove it")
	must(t, os.Remove(filepath.Join(dir, "session.key")))
	must(t, os.Mkdir(filepath.Join(dir, "session.key"), 0o755))
	expectRefused(t, Options{DataDir: dir}, "session.key is no regular file: put the right file back, or remove it")
	if st, err := os.Stat(filepath.Join(dir, "session.key")); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("the folder's mode was changed: %v, %v", st, err)
	}
}

// TestOneDirectoryTwoNames: dataLogDir may mean dataDir by another name.
func TestOneDirectoryTwoNames(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(dir, link))
	for _, other := range []string{"", dir + "/", dir + "/.", link} {
		s, err := Open(Options{DataDir: dir, LogDir: other, PreallocBytes: -1})
		if err != nil {
			t.Fatalf("%q: %v", other, err)
		}
		mustClose(t, s)
	}
}
