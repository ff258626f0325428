package txnlog

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"zooid/wire"
)

// cutName is the file that says that the log is being truncated. While it is
// there the log already ends where it says.
const cutName = "zooid.cut"

// ErrClosed says that the log has been closed.
var ErrClosed = errors.New("the transaction log is closed")

// Truncate takes away every record with a zxid greater than z, durably, and
// tells the last one that is left, 0 if none is. A crash at any time leaves all
// of them or none. The log goes on behind z in a new file.
//
// Everything that was appended must be durable, and nothing may be appended
// meanwhile. An error is final, as that of a sync is.
func (l *Log) Truncate(z wire.Zxid) (last wire.Zxid, err error) {
	err = l.exclusively(func() error { return l.truncate(z) })
	if err != nil {
		return 0, fmt.Errorf("truncate the log to %v: %w", z, err)
	}
	return l.Last(), nil
}

// Reset empties the log, whose base is z from then on: a state at z has taken
// the place of what its records had led to. Records beyond z must have been
// truncated before, since a crash may leave any of the files. The rest is as
// with Truncate.
func (l *Log) Reset(z wire.Zxid) error {
	err := l.exclusively(func() error { return l.reset(z) })
	if err != nil {
		return fmt.Errorf("empty the log at %v: %w", z, err)
	}
	return nil
}

// exclusively lets the writer do something when all that was appended is
// written and the file is closed. Before Start there is no writer, and the
// caller does it.
func (l *Log) exclusively(do func() error) error {
	job := &errand{do: do, done: make(chan error, 1)}
	l.mu.Lock()
	err, ended, started, idle := l.mu.err, l.mu.stopped || l.mu.closed, l.mu.started, len(l.mu.pending) == 0
	if !ended && started {
		l.mu.errands = append(l.mu.errands, job)
	}
	l.mu.Unlock()
	switch {
	case ended && err != nil:
		return err
	case ended:
		return ErrClosed
	case started:
		l.signal()
		return <-job.done
	case !idle:
		return errors.New("records were appended, but the log has not been started")
	}
	return do()
}

// errand is something that the writer is to do between two writes.
type errand struct {
	do   func() error
	done chan error
}

// truncate is the writer's.
func (l *Log) truncate(z wire.Zxid) error {
	files := l.Files()
	c, last, err := l.findCut(files, z)
	if err != nil {
		return err
	}
	if c == nil {
		l.mu.Lock()
		l.mu.last = last
		l.mu.Unlock()
		return nil
	}
	if err := writeNote(l.fs, l.o.Dir, cutName, c.String()); err != nil {
		return err
	}
	kept, err := c.carryOut(l.fs, l.o.Dir, files)
	if err != nil {
		return err
	}
	l.ends(kept, last, last)
	return nil
}

// ends sets down what is left of the log: its last record, and the state that
// it goes on from.
func (l *Log) ends(files []FileInfo, last, state wire.Zxid) {
	l.mu.Lock()
	l.mu.files, l.mu.last, l.mu.appended, l.mu.durable = files, last, state, state
	l.mu.era++
	l.mu.Unlock()
	l.cursors.drop()
	l.prints.drop()
	l.w.durable = state
}

// findCut looks up where the log is to be cut, and the last record before that.
// It is nil if there is nothing to cut.
func (l *Log) findCut(files []FileInfo, z wire.Zxid) (*cut, wire.Zxid, error) {
	i := len(files) - 1
	for i >= 0 && files[i].First > z {
		i--
	}
	c := &cut{after: z}
	if i < 0 {
		if len(files) == 0 {
			return nil, 0, nil
		}
		return c, 0, nil
	}
	path := l.fs.PathJoin(l.o.Dir, files[i].Name)
	var last wire.Zxid
	tail, err := Scan(l.fs, path, func(r Record) error {
		if r.Zxid > z {
			c.file, c.offset = files[i].Name, r.Offset
			return errCutFound
		}
		last = r.Zxid
		return nil
	})
	switch {
	case errors.Is(err, errCutFound):
		return c, last, nil
	case err != nil:
		return nil, 0, err
	case tail.Reason != "" && !(i+1 < len(files) && tail.endsBefore(last, files[i+1].First)):
		return nil, 0, tail.damage(path)
	case i == len(files)-1:
		return nil, last, nil
	}
	c.file, c.offset = files[i].Name, tail.Offset
	return c, last, nil
}

var errCutFound = errors.New("found")

// cut says how the log is truncated: files that begin behind after go, and what
// stands in file from offset on. No file: all begin behind it.
type cut struct {
	after  wire.Zxid
	file   string
	offset int64
}

// String is the cut as its file holds it.
func (c *cut) String() string {
	return strings.TrimSpace(fmt.Sprintf("%x %s %d", int64(c.after), c.file, c.offset))
}

func parseCut(text string) (*cut, error) {
	c := new(cut)
	fields := strings.Fields(text)
	if len(fields) == 2 { // without a file
		fields = []string{fields[0], "", fields[1]}
	}
	if len(fields) != 3 {
		return nil, fmt.Errorf("%q is not a zxid, a file and an offset", text)
	}
	z, err := strconv.ParseUint(fields[0], 16, 63)
	if err != nil {
		return nil, err
	}
	c.after, c.file = wire.Zxid(z), fields[1]
	if _, ok := parseName(c.file); !ok && c.file != "" {
		return nil, fmt.Errorf("%q is not the name of a log file", c.file)
	}
	if c.offset, err = strconv.ParseInt(fields[2], 10, 64); err != nil || c.offset < 0 {
		return nil, fmt.Errorf("%q is not an offset", fields[2])
	}
	return c, nil
}

// carryOut does it, the newest file first, and every step durably before the
// next, so that there is never a hole, not even for who does not know of the
// cut. It can be done again from the start.
func (c *cut) carryOut(fsys vfs.FS, dir string, files []FileInfo) (kept []FileInfo, err error) {
	n := len(files)
	for ; n > 0 && files[n-1].First > c.after; n-- {
		err := fsys.Remove(fsys.PathJoin(dir, files[n-1].Name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err := syncDir(fsys, dir); err != nil {
			return nil, err
		}
	}
	kept = files[:n:n]
	if c.file != "" {
		if err := c.clear(fsys, fsys.PathJoin(dir, c.file)); err != nil {
			return nil, err
		}
		if n > 0 && kept[n-1].Name == c.file {
			kept[n-1].Size = c.offset
		}
	}
	if err := fsys.Remove(fsys.PathJoin(dir, cutName)); err != nil {
		return nil, err
	}
	return kept, syncDir(fsys, dir)
}

// clear overwrites what stands in the file from the offset on with zeros.
func (c *cut) clear(fsys vfs.FS, path string) error {
	f, err := fsys.Open(path)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	w := window{f: f, size: info.Size()}
	end, err := w.lastNonzero(c.offset)
	if err = errors.Join(err, f.Close()); err != nil || end <= c.offset {
		return err
	}
	return endFile(fsys, path, c.offset, end-c.offset)
}

// finishCut carries out a cut that a crash has interrupted, if there is one.
func finishCut(fsys vfs.FS, dir string) (*Repair, error) {
	text, err := readNote(fsys, dir, cutName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	path := fsys.PathJoin(dir, cutName)
	if err != nil {
		return nil, fmt.Errorf("truncation that was interrupted: %w", err)
	}
	c, err := parseCut(text)
	if err != nil {
		return nil, fmt.Errorf("the log was being truncated, but the file %s does not say how: %w. "+
			"Nothing was changed. If the other members of the ensemble are healthy, move this member's data directories away and let it synchronize anew",
			path, err)
	}
	files, err := listFiles(fsys, dir)
	if err != nil {
		return nil, err
	}
	if _, err := c.carryOut(fsys, dir, files); err != nil {
		return nil, fmt.Errorf("finish the truncation of the log that %s tells of: %w", path, err)
	}
	return &Repair{File: cutName, Remove: true, Reason: fmt.Sprintf("the log was being truncated to %v, and now is", c.after)}, nil
}

// reset is the writer's.
func (l *Log) reset(z wire.Zxid) error {
	for _, f := range l.Files() {
		err := l.fs.Remove(l.fs.PathJoin(l.o.Dir, f.Name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := syncDir(l.fs, l.o.Dir); err != nil {
		return err
	}
	if err := l.SetBase(z); err != nil {
		return err
	}
	l.ends(nil, 0, z)
	return nil
}
