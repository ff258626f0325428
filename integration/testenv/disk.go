package testenv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Disk is a disk that a member has for itself; the zero value is the machine's.
type Disk struct {
	// Size makes the disk so many bytes large, in memory.
	Size int64
	// Slow makes it a file system of its own, to which the member writes so many
	// times a second at most.
	Slow int
}

// disk is a Disk in use.
type disk struct {
	slowness *throttle
}

// slowSize is the size of a slow disk.
const slowSize = 256 << 20

// newDisk mounts a member's disk where only the member sees it, and ends the
// test (see package) if the system does not let it.
func newDisk(t testing.TB, m *Member, d Disk) *disk {
	t.Helper()
	if d == (Disk{}) {
		return nil
	}
	if m.place == nil {
		var err error
		if m.place, err = newPlace(t, false, true); err != nil {
			missing(t, "a disk of its own for a member: %v", err)
		}
	}
	made := new(disk)
	err := m.Inside(func() (err error) {
		if err := os.MkdirAll(m.DataDir, 0o755); err != nil {
			return err
		}
		if d.Slow == 0 {
			return mountMemory(m.DataDir, d.Size)
		}
		if err := mountLoop(filepath.Join(m.folder, "disk"), m.DataDir, slowSize); err != nil {
			return err
		}
		made.slowness, err = newThrottle(fmt.Sprintf("zooid-test-%d-%d", os.Getpid(), m.SID), m.DataDir, d.Slow)
		return err
	})
	if err != nil {
		missing(t, "a disk of its own for a member: %v", err)
	}
	if made.slowness != nil {
		t.Cleanup(func() {
			if m.Running() {
				m.Kill()
			}
			if err := made.slowness.remove(); err != nil {
				t.Logf("removing a control group: %v", err)
			}
		})
	}
	return made
}

// OwnDisk gives a server that has not been started yet a disk of its own, of so
// many bytes and in memory, and ends the test (see package) if the system does
// not let it.
func (s *Server) OwnDisk(size int64) {
	s.t.Helper()
	var err error
	if s.place, err = newPlace(s.t, false, true); err != nil {
		missing(s.t, "a disk of its own for a server: %v", err)
	}
	err = s.Inside(func() error {
		if err := os.MkdirAll(s.DataDir, 0o755); err != nil {
			return err
		}
		return mountMemory(s.DataDir, size)
	})
	if err != nil {
		missing(s.t, "a disk of its own for a server: %v", err)
	}
}

// slow puts the member's process under its disk's limit.
func (d *disk) slow(pid int) error {
	if d == nil || d.slowness == nil {
		return nil
	}
	return d.slowness.take(pid)
}

// Inside runs f where the server's files are: a disk of its own is seen by nobody
// else.
func (s *Server) Inside(f func() error) error { return s.place.do(f) }

// ballast is the file that fills a disk.
func (s *Server) ballast() string { return filepath.Join(s.DataDir, "ballast") }

// FillDisk leaves no byte free on the server's own disk.
func (s *Server) FillDisk() error { return s.FillDiskTo(0) }

// FillDiskTo leaves about so many bytes free on the server's own disk.
func (s *Server) FillDiskTo(free int64) error {
	return s.Inside(func() error {
		f, err := os.Create(s.ballast())
		if err != nil {
			return err
		}
		defer f.Close()
		for size := int64(1 << 20); size > 0; {
			if free > 0 {
				left, err := freeBytes(s.DataDir)
				if err != nil {
					return err
				}
				if size = min(size, left-free); size <= 0 {
					return nil
				}
			}
			_, err := f.Write(make([]byte, size))
			if err != nil && !errors.Is(err, syscall.ENOSPC) {
				return err
			}
			if err != nil {
				size /= 2
			}
		}
		return nil
	})
}

// freeBytes is what is free on the disk under a folder.
func freeBytes(dir string) (int64, error) {
	var st syscall.Statfs_t
	err := syscall.Statfs(dir, &st)
	return int64(st.Bavail) * int64(st.Bsize), err
}

// FreeDisk makes room again.
func (s *Server) FreeDisk() error {
	return s.Inside(func() error { return os.Remove(s.ballast()) })
}
