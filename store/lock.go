package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// lockName is the file in dataDir and dataLogDir whose lock says that a server
// uses the directory. It stays when the server has gone: only the lock counts.
const lockName = "zooid.lock"

// lockDir takes dir for this process until the closer is closed. On the
// machine's own file system it is an flock, which goes with the process however
// it ends, and the file holds the owner's pid, for the message only.
func lockDir(fs vfs.FS, dir string) (io.Closer, error) {
	path := fs.PathJoin(dir, lockName)
	if fs != vfs.Default {
		l, err := fs.Lock(path)
		if err != nil {
			return nil, fmt.Errorf("directory %s is in use: %w", dir, err)
		}
		return l, nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, dirError(fs, dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("directory %s is in use by another server%s: stop it first, or choose another dataDir", dir, holder(f))
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := f.Truncate(0); err == nil {
		// Not having the pid there costs a detail in a message, no more.
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}

// holder names the process that wrote its pid into the lock file.
func holder(f *os.File) string {
	b := make([]byte, 32)
	n, _ := f.ReadAt(b, 0)
	if pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n]))); err == nil && pid > 0 {
		return fmt.Sprintf(" (pid %d)", pid)
	}
	return ""
}
