package testenv

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cacheDir is the folder in which fetched and compiled things outlive a test.
func cacheDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("ZOOID_TEST_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			missing(t, "no cache folder: %v (set ZOOID_TEST_CACHE)", err)
		}
		dir = filepath.Join(base, "zooid-test")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		missing(t, "cache folder: %v (set ZOOID_TEST_CACHE)", err)
	}
	return dir
}

// cached returns the folder name-<hash of inputs> of the cache. If it is not
// there yet, build fills a folder that then takes that name, so a build that was
// interrupted leaves nothing that looks finished. Other processes wait.
func cached(t testing.TB, name string, inputs []byte, build func(dir string) error) (string, error) {
	t.Helper()
	sum := sha256.Sum256(inputs)
	dir := filepath.Join(cacheDir(t), name+"-"+hex.EncodeToString(sum[:6]))
	unlock := lockFile(t, dir+".lock", "another test run to make "+name)
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	part := dir + ".part"
	if err := os.RemoveAll(part); err != nil {
		return "", err
	}
	if err := os.MkdirAll(part, 0o755); err != nil {
		return "", err
	}
	progress("making %s in %s (once a machine)", name, dir)
	start := time.Now()
	if err := build(part); err != nil {
		return "", err
	}
	progress("made %s in %.1fs", name, time.Since(start).Seconds())
	return dir, os.Rename(part, dir)
}

// lockFile waits until no other process or test holds the file's lock, takes it
// and returns how to give it back.
func lockFile(t testing.TB, path, waitsFor string) (unlock func()) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(f.Fd())
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		progress("waiting for %s (%s)", waitsFor, path)
		for err = unix.EINTR; err == unix.EINTR; {
			err = unix.Flock(fd, unix.LOCK_EX)
		}
		if err != nil {
			t.Fatalf("lock %s: %v", path, err)
		}
	}
	return func() { f.Close() }
}

// progress prints a line at once, whatever happens to the test's log.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "testenv: "+format+"\n", args...)
}
