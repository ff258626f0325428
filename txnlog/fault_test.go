package txnlog

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"zooid/wire"
)

// faulty wraps fs: fault, as long as it is set, is asked for each operation.
func faulty(fs vfs.FS) (vfs.FS, *atomic.Pointer[func(errorfs.Op) error]) {
	fault := new(atomic.Pointer[func(errorfs.Op) error])
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if f := fault.Load(); f != nil {
			return (*f)(op)
		}
		return nil
	})), fault
}

// failing fails the operations of the given kinds on paths that contain part.
func failing(err error, part string, kinds ...errorfs.OpKind) *func(errorfs.Op) error {
	f := func(op errorfs.Op) error {
		for _, k := range kinds {
			if op.Kind == k && strings.Contains(op.Path, part) {
				return &os.PathError{Op: "write", Path: op.Path, Err: err}
			}
		}
		return nil
	}
	return &f
}

// TestDiskFull fills the disk before the first file, in the middle of one, and
// before a new one: nothing is reported until there is room, then everything.
func TestDiskFull(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   error
		ready int // records that are durable before
		roll  bool
	}{
		{"before the first file", syscall.ENOSPC, 0, false},
		{"inside a file", syscall.ENOSPC, 5, false},
		{"inside a file, quota", syscall.EDQUOT, 5, false},
		{"before a new file", syscall.ENOSPC, 5, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem, g := newFS(t), newLedger()
				fs, fault := faulty(mem)
				l := open(t, options(fs, g))
				l.Start()
				want := entries(1, 10, 100)
				l.Append(want[:c.ready])
				must(t, g.wait(wire.Zxid(c.ready)))
				if c.roll {
					l.Roll()
				}
				fault.Store(failing(c.err, "log", errorfs.OpFileWriteAt, errorfs.OpCreate))
				l.Append(want[c.ready:])
				time.Sleep(10*spaceRetry + spaceRetry/2) // fake time: it has tried again
				synctest.Wait()
				if !l.NoSpace() || g.get() != wire.Zxid(c.ready) {
					t.Errorf("disk full: NoSpace %v, durable %v", l.NoSpace(), g.get())
				}
				fault.Store(nil)
				time.Sleep(spaceRetry)
				synctest.Wait()
				if l.NoSpace() || g.get() != 10 || g.errors != 0 {
					t.Errorf("room again: NoSpace %v, durable %v, errors %d", l.NoSpace(), g.get(), g.errors)
				}
				must(t, l.Close())
				l = open(t, options(mem, newLedger()))
				sameEntries(t, replayed(t, l, 0), want)
				must(t, l.Close())
			})
		})
	}
}

// A log on a full disk can be closed; what was not written is not durable.
func TestCloseOnFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, g := newFS(t), newLedger()
		fs, fault := faulty(mem)
		l := open(t, options(fs, g))
		l.Start()
		want := entries(1, 4, 100)
		l.Append(want[:2])
		must(t, g.wait(2))
		fault.Store(failing(syscall.ENOSPC, "log", errorfs.OpFileWriteAt))
		l.Append(want[2:])
		time.Sleep(3 * spaceRetry)
		if err := l.Close(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Close: %v, want no space", err)
		}
		if g.get() != 2 || !errors.Is(g.err, syscall.ENOSPC) || g.errors != 1 {
			t.Errorf("durable %v, error %v, %d times", g.get(), g.err, g.errors)
		}
		l = open(t, options(mem, newLedger()))
		sameEntries(t, replayed(t, l, 0), want[:2])
		must(t, l.Close())
	})
}

// No room for the padding is no reason to stop.
func TestNoRoomForPadding(t *testing.T) {
	mem, g := newFS(t), newLedger()
	fs, fault := faulty(mem)
	padding := func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWriteAt && op.Offset > 4000 {
			return syscall.ENOSPC
		}
		return nil
	}
	fault.Store(&padding)
	l := open(t, options(fs, g))
	l.Start()
	want := entries(1, 10, 100)
	l.Append(want)
	must(t, g.wait(10))
	must(t, l.Close())
	sameEntries(t, replayed(t, open(t, options(mem, newLedger())), 0), want)
}

// TestFailureIsFinal lets one operation fail: the error is reported once, with
// the last durable zxid, and nothing is written any more although the disk would
// take it again.
func TestFailureIsFinal(t *testing.T) {
	eio := syscall.EIO
	for _, c := range []struct {
		name    string
		fault   *func(errorfs.Op) error
		ready   wire.Zxid // durable before the fault
		roll    bool
		durable wire.Zxid
	}{
		{"data sync", failing(eio, "log", errorfs.OpFileSyncData), 2, false, 2},
		{"data sync says no space", failing(syscall.ENOSPC, "log", errorfs.OpFileSyncData), 2, false, 2},
		{"write", failing(eio, "log", errorfs.OpFileWriteAt), 2, false, 2},
		{"first data sync", failing(eio, "log", errorfs.OpFileSyncData), 0, false, 0},
		{"sync of a new file", failing(eio, newName, errorfs.OpFileSync), 2, true, 2},
		{"rename of a new file", failing(eio, newName, errorfs.OpRename), 2, true, 2},
		{"sync of the directory", failing(eio, "version-2", errorfs.OpFileSync, errorfs.OpOpenDir), 2, true, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem, g := newFS(t), newLedger()
			fs, fault := faulty(mem)
			l := open(t, options(fs, g))
			l.Start()
			want := entries(1, 6, 100)
			l.Append(want[:c.ready])
			must(t, g.wait(c.ready))
			if c.roll {
				l.Roll()
			}
			fault.Store(c.fault)
			l.Append(want[c.ready:4])
			if err := g.wait(4); err == nil {
				t.Fatal("no error")
			}
			fault.Store(nil)
			l.Append(want[4:])
			l.Roll()
			if err := l.Close(); err == nil || !errors.Is(err, g.err) {
				t.Errorf("Close: %v, want %v", err, g.err)
			}
			if g.durable != c.durable || g.errors != 1 {
				t.Errorf("durable %v, %d errors; want %v, 1", g.durable, g.errors, c.durable)
			}
			// What a crash now leaves is a good log with all that was durable.
			crashed := mem.CrashClone(vfs.CrashCloneCfg{})
			l = open(t, options(crashed, newLedger()))
			got := replayed(t, l, 0)
			if len(got) < int(c.durable) {
				t.Errorf("%d records survive, %v were durable", len(got), c.durable)
			}
			sameEntries(t, got, want[:len(got)])
		})
	}
}

// Reading errors are neither damage nor an empty log.
func TestReadErrors(t *testing.T) {
	mem := newFS(t)
	l := open(t, options(mem, newLedger()))
	l.Append(entries(1, 10, 100))
	must(t, l.Close())
	for _, kind := range []errorfs.OpKind{errorfs.OpList, errorfs.OpOpen, errorfs.OpFileReadAt, errorfs.OpFileStat, errorfs.OpStat} {
		fs, fault := faulty(mem)
		fault.Store(failing(syscall.EIO, "version-2", kind))
		_, err := Open(options(fs, newLedger()))
		var d *DamageError
		if !errors.Is(err, syscall.EIO) || errors.As(err, &d) {
			t.Errorf("kind %v: %v, want an input/output error", kind, err)
		}
	}
}

// A directory that cannot be made or written is named in the error.
func TestUnusableDirectory(t *testing.T) {
	path := t.TempDir() + "/file"
	must(t, os.WriteFile(path, nil, 0o666))
	g := newLedger()
	o := options(nil, g)
	o.Dir = path + "/version-2"
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one that names %s", err, path)
	}
}
