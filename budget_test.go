package zooid_test

import (
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What the binary may cost those who download, store and audit it.
const (
	budgetBytes   = 30 << 20
	budgetModules = 50
)

// TestBinaryBudget builds the stripped static binary and weighs it.
func TestBinaryBudget(t *testing.T) {
	name, err := exec.Command("go", "list", "-f", "{{.Name}}", "./cmd/zooid").Output()
	if err != nil || strings.TrimSpace(string(name)) != "main" {
		t.Skip("cmd/zooid has no main package to build")
	}
	binary := filepath.Join(t.TempDir(), "zooid")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./cmd/zooid")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	stat, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("stripped binary: %.1f MB of %d, %d modules of %d", float64(stat.Size())/(1<<20), budgetBytes>>20, len(info.Deps), budgetModules)
	if stat.Size() > budgetBytes {
		t.Errorf("the binary has %d bytes, more than %d", stat.Size(), int64(budgetBytes))
	}
	if len(info.Deps) > budgetModules {
		t.Errorf("the binary links %d modules, more than %d", len(info.Deps), budgetModules)
		for _, m := range info.Deps {
			t.Log(m.Path)
		}
	}
	for _, s := range info.Settings {
		if s.Key == "CGO_ENABLED" && s.Value != "0" {
			t.Errorf("the binary was built with CGO_ENABLED=%s, so it does not run on every Linux", s.Value)
		}
	}
}
