package store

import (
	"errors"
	"io"
	iofs "io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"zooid/wire"
)

// snapshotFile is a ZooKeeper snapshot in the data directory.
type snapshotFile struct {
	name        string
	zxid        wire.Zxid // from the name; the state is at least this new
	compression string    // "", "gz" or "snappy"
	size        int64
	complete    bool  // as far as the file's ends tell
	folder      bool  // it is none of anybody's
	problem     error // why nothing can be told of it
}

// snapshotName is the name of the snapshot of the state at z.
func snapshotName(z wire.Zxid) string { return "snapshot." + strconv.FormatUint(uint64(z), 16) }

// parseSnapshotName reads snapshot.<hex zxid>[.gz|.snappy].
func parseSnapshotName(name string) (f snapshotFile, ok bool) {
	rest, ok := strings.CutPrefix(name, "snapshot.")
	if !ok {
		return f, false
	}
	hex, compression, dotted := strings.Cut(rest, ".")
	if dotted && compression != "gz" && compression != "snappy" {
		return f, false
	}
	z, err := strconv.ParseUint(hex, 16, 64)
	if err != nil {
		return f, false
	}
	return snapshotFile{name: name, zxid: wire.Zxid(z), compression: compression}, true
}

// listSnapshots finds the snapshots in dir, newest first, also what has the name
// of one and is of no use.
func listSnapshots(fs vfs.FS, dir string) ([]snapshotFile, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	var files []snapshotFile
	for _, name := range names {
		f, ok := parseSnapshotName(name)
		if !ok {
			continue
		}
		f.problem = f.inspect(fs, dir)
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b snapshotFile) int {
		if a.zxid != b.zxid {
			if a.zxid > b.zxid {
				return -1
			}
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
	return files, nil
}

// inspect looks at the ends of f, by which ZooKeeper too tells whole files from
// those whose writing was interrupted.
func (f *snapshotFile) inspect(fs vfs.FS, dir string) error {
	r, err := fs.Open(fs.PathJoin(dir, f.name))
	if err != nil {
		return err
	}
	defer r.Close()
	st, err := r.Stat()
	if err != nil {
		return err
	}
	if st.IsDir() {
		f.folder = true
		return errors.New("it is a directory")
	}
	f.size = st.Size()
	var want string
	var at int64
	switch f.compression {
	case "":
		// Every plain file ends with a seal: a checksum and the ustring "/".
		want, at = "\x00\x00\x00\x01/", f.size-5
		if f.size < 10 {
			return nil
		}
	case "gz":
		want = "\x1f\x8b"
	case "snappy":
		want = snappyMagic
	}
	b := make([]byte, len(want))
	if n, err := r.ReadAt(b, at); n < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	f.complete = string(b) == want
	return nil
}

// removeLeftovers removes snapshots whose writing was interrupted, and those from
// a leader that were not installed. ZooKeeper would take a file of the first kind
// for a snapshot if its bytes look complete; it was never made durable under that
// name, so nobody counts on it.
func removeLeftovers(fs vfs.FS, dir string) (removed []string, err error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		base, ok := strings.CutSuffix(name, tmpSuffix)
		if ok {
			_, ok = parseSnapshotName(base)
		}
		if !ok && !strings.HasPrefix(name, receivedPrefix) {
			continue
		}
		if err := fs.Remove(fs.PathJoin(dir, name)); err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return removed, err
		}
		removed = append(removed, name)
	}
	return removed, nil
}
