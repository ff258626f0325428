package store

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/zap"
)

// TestBinding: a directory belongs to the member that used it first; another one
// is refused, unless the operator removes the file that says so. A server alone
// neither binds it nor asks.
func TestBinding(t *testing.T) {
	o := memOptions()
	mustClose(t, open(t, o))
	if exists(o.FS, "/data/zooid.server") {
		t.Error("a server alone has bound the directory")
	}
	o.ServerID = 2 // it becomes a member
	mustClose(t, open(t, o))
	mustClose(t, open(t, o))
	o.ServerID = 3
	before := copyDir(t, o.FS, "/data/version-2")
	expectRefused(t, o, "belongs to server 2 of the ensemble, and this is server 3")
	expectRefused(t, o, "remove /data/zooid.server and start again")
	if after := copyDir(t, o.FS, "/data/version-2"); len(after) != len(before) {
		t.Error("files have changed")
	}
	must(t, o.FS.Remove("/data/zooid.server")) // it was given another number
	mustClose(t, open(t, o))
	o.ServerID = 2
	expectRefused(t, o, "belongs to server 3")
	o.ServerID = 0
	mustClose(t, open(t, o))
}

// TestModes: what Zooid makes beside version-2 can be read by nobody who cannot
// read version-2, whatever the umask and what an older one has left; the session
// key by its owner only.
func TestModes(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	o := Options{DataDir: data, PreallocBytes: -1, Log: zap.NewNop()}
	l := startLoop(t, o)
	l.create("/x", "", 0)
	l.apply()
	mustClose(t, l.s)
	expectModes(t, data, 0o750)
	// An older one made it all readable.
	must(t, filepath.WalkDir(filepath.Join(data, pebbleDir), func(name string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			return os.Chmod(name, 0o755)
		}
		if err == nil {
			err = os.Chmod(name, 0o644)
		}
		return err
	}))
	must(t, os.Chmod(filepath.Join(data, versionDir), 0o700))
	must(t, os.Chmod(filepath.Join(data, keyName), 0o644))
	mustClose(t, open(t, o))
	expectModes(t, data, 0o700)
}

func expectModes(t *testing.T, data string, mode os.FileMode) {
	t.Helper()
	for _, name := range []string{versionDir, pebbleDir} {
		st, err := os.Stat(filepath.Join(data, name))
		must(t, err)
		if st.Mode().Perm() != mode {
			t.Errorf("%s has mode %04o, want %04o", name, st.Mode().Perm(), mode)
		}
	}
	entries, err := os.ReadDir(filepath.Join(data, pebbleDir))
	must(t, err)
	for _, e := range entries {
		info, err := e.Info()
		must(t, err)
		if info.Mode().Perm()&^(mode&0o666) != 0 {
			t.Errorf("%s has mode %04o", e.Name(), info.Mode().Perm())
		}
	}
	st, err := os.Stat(filepath.Join(data, keyName))
	must(t, err)
	if len(entries) == 0 || st.Mode().Perm() != 0o600 {
		t.Errorf("%d files; the session key has mode %04o", len(entries), st.Mode().Perm())
	}
}
