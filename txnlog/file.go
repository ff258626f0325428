package txnlog

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"zooid/wire"
)

const (
	logPrefix = "log."
	// newName is what a file is called until its header is durable. ZooKeeper
	// looks at names that begin with "log." only.
	newName = "new-log.tmp"
	// padMargin is how near to the end of a file a record may begin without
	// making the file grow, as in ZooKeeper's FilePadding.
	padMargin = 4096
	// zeroStep is how far ahead of the records zeros are really written, and
	// zeroGroup the length of a write from which on that is not worth its cost.
	zeroStep  = 256 << 10
	zeroGroup = 16 << 10
)

// zeros is never written to.
var zeros [zeroStep]byte

// fileName is the name of the log file whose first record is z.
func fileName(z wire.Zxid) string { return logPrefix + strconv.FormatUint(uint64(z), 16) }

// parseName is the reverse of fileName. Names that fileName would not give are
// not log files: an operator's log.5.bak is left alone.
func parseName(name string) (wire.Zxid, bool) {
	hex, ok := strings.CutPrefix(name, logPrefix)
	z, err := strconv.ParseUint(hex, 16, 64)
	if !ok || err != nil || fileName(wire.Zxid(z)) != name || wire.Zxid(z) < 0 {
		return 0, false
	}
	return wire.Zxid(z), true
}

// listFiles gives the log files of dir, oldest first, with what they take on
// disk as their size.
func listFiles(fsys vfs.FS, dir string) ([]FileInfo, error) {
	names, err := fsys.List(dir)
	if err != nil {
		return nil, fmt.Errorf("list log directory: %w", err)
	}
	var files []FileInfo
	for _, name := range names {
		z, ok := parseName(name)
		if !ok {
			continue
		}
		info, err := fsys.Stat(fsys.PathJoin(dir, name))
		if err != nil {
			return nil, fmt.Errorf("log file: %w", err)
		}
		if info.IsDir() {
			continue
		}
		files = append(files, FileInfo{Name: name, First: z, Size: diskSize(info)})
	}
	slices.SortFunc(files, func(a, b FileInfo) int { return cmp.Compare(a.First, b.First) })
	return files, nil
}

// diskSize is what a file takes on disk: a padded file may be mostly a hole.
func diskSize(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return min(info.Size(), st.Blocks*512)
	}
	return info.Size()
}

// paddedSize is the length that a file of the given length gets before a record
// is written at pos, by the rule of ZooKeeper's FilePadding.
func paddedSize(pos, size, step int64) int64 {
	switch {
	case step <= 0 || pos+padMargin < size:
		return size
	case pos > size:
		size = pos + step
		return size - size%step
	}
	return size + step
}

// createFile opens the file whose first record will be z. It appears under its
// name only with its header on disk, so that at every instant, even of a power
// failure, ZooKeeper finds a file that it accepts.
func (l *Log) createFile(z wire.Zxid) (err error) {
	newPath, path := l.fs.PathJoin(l.o.Dir, newName), l.fs.PathJoin(l.o.Dir, fileName(z))
	defer func() {
		if err != nil {
			err = fmt.Errorf("create log file: %w", err)
		}
	}()
	if _, err := l.fs.Stat(path); err == nil {
		return fmt.Errorf("%s exists already", path)
	}
	f, err := l.fs.OpenReadWrite(newPath, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	w := writer{spare: l.w.spare, buf: l.w.buf, durable: l.w.durable, file: f}
	w.pos, w.size, w.extent = wire.FileHeaderSize, wire.FileHeaderSize, wire.FileHeaderSize
	h := wire.FileHeader{Magic: wire.LogMagic, Version: wire.FileVersion}
	_, err = f.WriteAt(h.Append(nil), 0)
	if err == nil {
		err = w.pad(paddedSize(w.pos, w.size, l.o.PreallocBytes), w.pos)
	}
	if err == nil && !l.o.NoSync {
		err = f.Sync()
	}
	if err == nil {
		err = l.fs.Rename(newPath, path)
	}
	if err == nil && !l.o.NoSync {
		err = syncDir(l.fs, l.o.Dir)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.w = w
	l.mu.Lock()
	l.mu.files = append(l.mu.files, FileInfo{Name: fileName(z), First: z, Size: w.pos})
	l.mu.Unlock()
	return nil
}

// closeFile ends the current file, if there is one. Its records are durable, and
// its mark says so from now on. Only the end of the log waits until that is on
// disk: where it goes on in another file the last group's mark is as good.
func (l *Log) closeFile(last bool) error {
	f, end := l.w.file, l.w.pos
	if f == nil {
		return nil
	}
	l.w.file, l.w.pos = nil, 0
	var err error
	if !l.o.NoSync && end > wire.FileHeaderSize {
		err = writeMark(f, groupMark{end, end})
		if err == nil && last {
			err = f.SyncData()
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("close log file: %w", err)
	}
	return nil
}

// write puts w.buf at w.pos and pads the file, whose length by the padding rule
// becomes size. It can be done again after an error.
func (w *writer) write(size int64) error {
	if _, err := w.file.WriteAt(w.buf, w.pos); err != nil {
		return err
	}
	end := w.pos + int64(len(w.buf))
	w.extent = max(w.extent, end)
	w.size = size
	return w.pad(size, end)
}

// pad makes the file size bytes long and writes zeros behind end, so that the
// next writes change neither the file's length nor its blocks: their fdatasync
// then has no metadata to write, which halves its cost for small writes. Large
// writes are better off without, as the zeros would double what they write.
// A disk that has no room for padding is no reason to stop: the records count.
func (w *writer) pad(size, end int64) error {
	if size > w.extent {
		if _, err := w.file.WriteAt(zeros[:1], size-1); err == nil {
			w.extent = size
		} else if !IsFull(err) {
			return err
		}
	}
	if end <= w.blocks {
		return nil
	}
	w.blocks = end
	to := min(end+zeroStep, w.extent)
	if len(w.buf) >= zeroGroup || to <= end {
		return nil
	}
	if _, err := w.file.WriteAt(zeros[:to-end], end); err == nil {
		w.blocks = to
	} else if !IsFull(err) {
		return err
	}
	return nil
}

// IsFull tells whether err says that there is no room on the disk, or that a
// quota is used up: it goes away when there is room.
func IsFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// makeDir creates dir if need be, durably.
func makeDir(fsys vfs.FS, dir string) error {
	if _, err := fsys.Stat(dir); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("log directory: %w", err)
	}
	if err := fsys.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("create log directory: %w", err)
	}
	return syncDir(fsys, fsys.PathDir(dir))
}

// syncDir makes the entries of dir durable.
func syncDir(fsys vfs.FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}
