package store

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// versionDir is where ZooKeeper keeps its files below dataDir and dataLogDir.
const versionDir = "version-2"

// prepareDirs makes the directories that are missing and checks that this
// process may write in them, so that a wrong owner or a read-only mount is
// reported now and by name, not at the first write.
func prepareDirs(fs vfs.FS, dirs ...string) error {
	for _, dir := range dirs {
		if err := makeDir(fs, dir); err != nil {
			return dirError(fs, dir, err)
		}
		if err := probe(fs, dir); err != nil {
			return dirError(fs, dir, err)
		}
	}
	return nil
}

// makeDir makes dir and what is missing above it, durably: files in a directory
// whose own name was lost in a crash would be lost with it.
func makeDir(fs vfs.FS, dir string) error {
	if _, err := fs.Stat(dir); err == nil || !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	up := fs.PathDir(dir)
	if up != dir {
		if err := makeDir(fs, up); err != nil {
			return err
		}
	}
	if err := fs.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	return syncDir(fs, up)
}

// probe creates and removes a file in dir.
func probe(fs vfs.FS, dir string) error {
	name := fs.PathJoin(dir, ".zooid-write-test")
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), fs.Remove(name))
}

// dirError says what is wrong with dir in words that tell what to do.
func dirError(fs vfs.FS, dir string, err error) error {
	switch {
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("directory %s is on a read-only file system: mount it writable or choose another dataDir: %w", dir, err)
	case errors.Is(err, iofs.ErrPermission):
		return fmt.Errorf("directory %s may not be written by uid %d%s: give it to that user (chown -R %d %s) or run as its owner: %w",
			dir, os.Geteuid(), ownerOf(fs, dir), os.Geteuid(), dir, err)
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%s, or something above it, is not a directory: %w", dir, err)
	}
	return fmt.Errorf("directory %s: %w", dir, err)
}

// ownerOf describes who owns dir, or the nearest thing above it that exists.
func ownerOf(fs vfs.FS, dir string) string {
	for {
		st, err := fs.Stat(dir)
		if err == nil {
			if sys, ok := st.Sys().(*syscall.Stat_t); ok {
				return fmt.Sprintf(" (%s belongs to uid %d, mode %04o)", dir, sys.Uid, st.Mode().Perm())
			}
			return ""
		}
		up := fs.PathDir(dir)
		if up == dir || !errors.Is(err, iofs.ErrNotExist) {
			return ""
		}
		dir = up
	}
}

// sameDir tells whether two names mean one directory: dataLogDir may be spelled
// otherwise than dataDir, or lead there by a link.
func sameDir(fs vfs.FS, a, b string) bool {
	if a == b || fs != vfs.Default {
		return a == b
	}
	sa, errA := os.Stat(a)
	sb, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(sa, sb)
}

// checkContents refuses mixed-up directories, as ZooKeeper does: with a log
// directory of its own, snapshots in it or logs beside the snapshots mean that
// dataDir and dataLogDir were exchanged or moved, and that part of the state
// would be overlooked.
func checkContents(fs vfs.FS, dataDir, logDir string) error {
	if dataDir == logDir {
		return nil
	}
	for _, c := range [...]struct{ dir, prefix, what, key string }{
		{logDir, "snapshot.", "snapshot", "dataLogDir"},
		{dataDir, "log.", "log", "dataDir"},
	} {
		names, err := fs.List(c.dir)
		if err != nil {
			return dirError(fs, c.dir, err)
		}
		for _, name := range names {
			if strings.HasPrefix(name, c.prefix) {
				return fmt.Errorf("%s directory %s holds the %s file %s: check that dataDir and dataLogDir are what they were before",
					c.key, c.dir, c.what, name)
			}
		}
	}
	return nil
}

// syncDir makes the names in dir durable.
func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// tmpSuffix marks files that are being written.
const tmpSuffix = ".tmp"

// writeAtomically makes a file that is there whole or not at all, whatever
// happens: written beside, synced, renamed, the directory synced.
// A private file can be read by its owner only.
func writeAtomically(fs vfs.FS, dir, name string, private bool, write func(w io.Writer) error) error {
	path := fs.PathJoin(dir, name)
	if err := writeAside(fs, path+tmpSuffix, private, write); err != nil {
		return err
	}
	if err := fs.Rename(path+tmpSuffix, path); err != nil {
		return errors.Join(err, removeIfThere(fs, path+tmpSuffix))
	}
	return syncDir(fs, dir)
}

// writeAside writes and syncs a file that nobody looks at under this name yet.
// It does not stay if it cannot be written.
func writeAside(fs vfs.FS, path string, private bool, write func(w io.Writer) error) error {
	f, err := create(fs, path, private)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, removeIfThere(fs, path))
	}
	return nil
}

// syncFile is what is needed of a file that is being written.
type syncFile interface {
	io.WriteCloser
	Sync() error
}

func create(fs vfs.FS, name string, private bool) (syncFile, error) {
	if !private || fs != vfs.Default {
		return fs.Create(name, vfs.WriteCategoryUnspecified)
	}
	// vfs knows no modes, and to restrict the file afterwards would be too late.
	if err := removeIfThere(fs, name); err != nil {
		return nil, err
	}
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

func removeIfThere(fs vfs.FS, name string) error {
	if err := fs.Remove(name); err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	return nil
}
