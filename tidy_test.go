package zooid_test

import (
	"bytes"
	"go/format"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestFormatted wants gofmt's form, so that a diff shows only what changed.
func TestFormatted(t *testing.T) {
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".go") {
			return err
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		formatted, err := format.Source(source)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !bytes.Equal(source, formatted) {
			t.Errorf("%s is not formatted: make fmt", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// machinePath is a path that exists only on somebody's own machine.
var machinePath = regexp.MustCompile(`(^|[^\w.])/(root|work|Users|workspace)/[a-z]`)

// TestNoMachinePaths wants a tree that means the same on every machine: a path
// of one of them is a command that fails or a test that passes only there.
func TestNoMachinePaths(t *testing.T) {
	listing, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Skipf("this is not a git checkout, so nothing says which files belong to the project: %v", err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(listing), "\x00"), "\x00") {
		text, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue // deleted, and not yet committed so
		}
		if err != nil {
			t.Error(err)
			continue
		}
		if at := machinePath.FindIndex(text); at != nil {
			line := 1 + bytes.Count(text[:at[0]], []byte("\n"))
			t.Errorf("%s:%d names a path of one machine: %q", name, line, text[at[0]:at[1]])
		}
	}
}
