package store

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// helperDir names the variable that makes the test program open a store, tell
// what came of it, and exit.
const helperDir = "ZOOID_STORE_TEST_DIR"

func helperProcess(dir string) int {
	s, err := Open(Options{DataDir: dir, PreallocBytes: -1})
	if err != nil {
		fmt.Println(err)
		return 0
	}
	fmt.Println("opened")
	if err := s.Close(); err != nil {
		fmt.Println(err)
	}
	return 0
}

// openElsewhere opens dir in another process, as uid if that is not 0.
func openElsewhere(t *testing.T, dir string, uid uint32) string {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	if uid != 0 {
		self = readableCopy(t, self)
	}
	c := exec.Command(self)
	c.Env = append(os.Environ(), helperDir+"="+dir)
	c.Dir = "/"
	if uid != 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// readableCopy puts the program where every user finds it.
func readableCopy(t *testing.T, program string) string {
	t.Helper()
	b, err := os.ReadFile(program)
	must(t, err)
	name := filepath.Join(openTempDir(t), "store.test")
	must(t, os.WriteFile(name, b, 0o755))
	return name
}

// openTempDir is a directory that every user can enter.
func openTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "zooid-store-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	return dir
}
