package testenv

import (
	"os"
	"testing"
)

// inCI tells whether a missing tool is a failure.
func inCI() bool { return os.Getenv("CI") == "true" }

// missing ends the test: skipped with the reason, or failed in CI, where every
// suite must run.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if inCI() {
		t.Fatalf("this suite did not run, and CI=true demands it: "+format, args...)
	}
	t.Skipf("this suite did not run: "+format, args...)
}
