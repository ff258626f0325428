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

// slow puts the member's process under its disk's limit.
func (d *disk) slow(pid int) error {
	if d == nil || d.slowness == nil {
		return nil
	}
	return d.slowness.take(pid)
}

// ballast is the file that fills a disk.
func (m *Member) ballast() string { return filepath.Join(m.DataDir, "ballast") }

// FillDisk leaves no byte free on the member's own disk.
func (m *Member) FillDisk() error {
	return m.Inside(func() error {
		f, err := os.Create(m.ballast())
		if err != nil {
			return err
		}
		defer f.Close()
		for size := 1 << 20; size > 0; {
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

// FreeDisk makes room again.
func (m *Member) FreeDisk() error {
	return m.Inside(func() error { return os.Remove(m.ballast()) })
}
