package txnlog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"zooid/wire"
)

// baseName is the file with the log's base in text. ZooKeeper does not look at
// it, and without it the log is as good as before: it only serves no learner.
const baseName = "zooid.base"

// Base is where the log's contiguous run begins: every transaction of the
// history with a greater zxid is here, up to the last one. False says that this
// is not known. What the log holds before its base may have holes, for a
// snapshot from a leader brings a state without the transactions that led there.
func (l *Log) Base() (wire.Zxid, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.base, l.mu.hasBase
}

// SetBase makes z the log's base, durably. It is for who knows what state the
// log's records were logged onto; until then the one before holds, over
// restarts. It does not belong beside Purge, Truncate or Reset.
func (l *Log) SetBase(z wire.Zxid) error {
	if have, ok := l.Base(); ok && have == z {
		return nil
	}
	if err := writeNote(l.fs, l.o.Dir, baseName, strconv.FormatUint(uint64(z), 16)); err != nil {
		return fmt.Errorf("base of the log: %w", err)
	}
	l.mu.Lock()
	l.mu.base, l.mu.hasBase = z, true
	l.mu.Unlock()
	return nil
}

// forgetBase removes the base, durably.
func (l *Log) forgetBase() error {
	if err := l.fs.Remove(l.fs.PathJoin(l.o.Dir, baseName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("base of the log: %w", err)
	}
	l.mu.Lock()
	l.mu.base, l.mu.hasBase = 0, false
	l.mu.Unlock()
	return syncDir(l.fs, l.o.Dir)
}

// readBase is false if there is no such file, or one that says nothing: then
// nothing is lost by not knowing.
func readBase(fsys vfs.FS, dir string) (wire.Zxid, bool, error) {
	text, err := readNote(fsys, dir, baseName)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("base of the log: %w", err)
	}
	z, err := strconv.ParseUint(text, 16, 63)
	return wire.Zxid(z), err == nil, nil
}

// noteMax bounds what is read of a note.
const noteMax = 1 << 10

// readNote reads a file of one line.
func readNote(fsys vfs.FS, dir, name string) (string, error) {
	f, err := fsys.Open(fsys.PathJoin(dir, name))
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.LimitReader(f, noteMax))
	return strings.TrimSuffix(string(b), "\n"), errors.Join(err, f.Close())
}

// writeNote makes a file of one line that is there whole or not at all, durably.
func writeNote(fsys vfs.FS, dir, name, text string) error {
	path := fsys.PathJoin(dir, name)
	f, err := fsys.Create(path+".tmp", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(text + "\n"))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(path+".tmp", path); err != nil {
		return err
	}
	return syncDir(fsys, dir)
}
