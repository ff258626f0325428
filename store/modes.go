package store

import (
	"errors"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// modeFS gives what Pebble makes the mode of version-2: the copy holds the same
// data, so nobody may read it who may not read them there. Pebble asks for
// directories that everybody may read, and vfs knows no modes of files.
type modeFS struct {
	vfs.FS
	dir, file iofs.FileMode
}

// withModeOf is fs for what lies in dir, which may be there already, with the
// mode of like. Only the operating system's file system has modes.
func withModeOf(fs vfs.FS, like, dir string) (vfs.FS, error) {
	if fs != vfs.Default {
		return fs, nil
	}
	st, err := os.Stat(like)
	if err != nil {
		return nil, err
	}
	m := modeFS{FS: fs, dir: st.Mode().Perm(), file: st.Mode().Perm() & 0o666}
	err = filepath.WalkDir(dir, func(name string, e iofs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := m.file
		if e.IsDir() {
			mode = m.dir
		}
		if info, err := e.Info(); err != nil || info.Mode().Perm()&^mode == 0 {
			return err
		}
		return os.Chmod(name, mode)
	})
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return nil, err
	}
	return m, nil
}

// Unwrap is the file system below.
func (m modeFS) Unwrap() vfs.FS { return m.FS }

// MkdirAll makes a directory with the mode of version-2.
func (m modeFS) MkdirAll(dir string, _ os.FileMode) error {
	if err := m.FS.MkdirAll(dir, m.dir); err != nil {
		return err
	}
	return os.Chmod(dir, m.dir) // the umask may have narrowed it
}

// Create makes a file. It lies in a directory that keeps strangers out from the
// beginning.
func (m modeFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := m.FS.Create(name, category)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(name, m.file); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Lock makes the file whose lock says who uses the directory.
func (m modeFS) Lock(name string) (io.Closer, error) {
	l, err := m.FS.Lock(name)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(name, m.file); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}
