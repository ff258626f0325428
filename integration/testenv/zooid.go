package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// built is Zooid's binary, made once in a test process.
var built struct {
	once   sync.Once
	folder string
	file   string
	err    error
}

// Main runs a package's tests and removes the binary that they may have built;
// TestMain calls it with os.Exit around it.
func Main(m *testing.M) int {
	code := m.Run()
	if built.folder != "" {
		os.RemoveAll(built.folder)
	}
	return code
}

// zooidBinary builds ./cmd/zooid, with the race detector if ZOOID_TEST_RACE is
// set. ZOOID_TEST_BINARY names one that is built already.
func zooidBinary(t testing.TB) string {
	t.Helper()
	if file := os.Getenv("ZOOID_TEST_BINARY"); file != "" {
		return file
	}
	built.once.Do(func() {
		if built.folder, built.err = os.MkdirTemp("", "zooid-test-"); built.err != nil {
			return
		}
		// Some servers are run as another user.
		if built.err = os.Chmod(built.folder, 0o755); built.err != nil {
			return
		}
		built.file = filepath.Join(built.folder, "zooid")
		args := []string{"build", "-o", built.file}
		if os.Getenv("ZOOID_TEST_RACE") != "" {
			args = append(args, "-race")
		}
		built.err = run(ModuleRoot(t), "go", append(args, "./cmd/zooid")...)
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.file
}

// ZooidCommand is the binary with arguments, for what is not a server.
func ZooidCommand(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	return exec.Command(zooidBinary(t), args...)
}

// ModuleRoot is the folder of go.mod.
func ModuleRoot(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatalf("go list -m: %v", err)
	}
	return strings.TrimSpace(string(out))
}
