package store

import (
	"errors"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"
)

// modeFS gives what Pebble makes the mode of version-2: the copy holds the same
// data, so nobody may read it who may not read them there. Pebble asks for
// directories that everybody may read, and vfs knows no modes of files.
// A file system that has no modes, or files of another owner, are no reason not to
// start: they stay as they are, and the log says so.
type modeFS struct {
	vfs.FS
	dir, file iofs.FileMode
	log       *zap.Logger
}

// withModeOf is fs for what lies in dir, which may be there already, with the
// mode of like. Only the operating system's file system has modes.
func withModeOf(fs vfs.FS, like, dir string, log *zap.Logger) (vfs.FS, error) {
	if fs != vfs.Default {
		return fs, nil
	}
	st, err := os.Stat(like)
	if err != nil {
		return nil, err
	}
	m := modeFS{FS: fs, dir: st.Mode().Perm(), file: st.Mode().Perm() & 0o666, log: log}
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
		if err := os.Chmod(name, mode); err != nil {
			log.Warn("others than version-2's readers may read the copy of the tree", zap.String("file", name), zap.Error(err))
		}
		return nil
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
	m.chmod(dir, m.dir) // the umask may have narrowed it
	return nil
}

func (m modeFS) chmod(name string, mode iofs.FileMode) {
	if err := os.Chmod(name, mode); err != nil {
		m.log.Debug("the mode of version-2 cannot be set", zap.String("file", name), zap.Error(err))
	}
}

// Create makes a file. It lies in a directory that keeps strangers out from the
// beginning.
func (m modeFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := m.FS.Create(name, category)
	if err != nil {
		return nil, err
	}
	m.chmod(name, m.file)
	return f, nil
}

// Lock makes the file whose lock says who uses the directory.
func (m modeFS) Lock(name string) (io.Closer, error) {
	l, err := m.FS.Lock(name)
	if err != nil {
		return nil, err
	}
	m.chmod(name, m.file)
	return l, nil
}
