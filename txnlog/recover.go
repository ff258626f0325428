package txnlog

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"

	"zooid/wire"
)

// Inspection is what a look at a log directory found.
type Inspection struct {
	Files   []FileInfo // oldest first, without those that Repairs removes
	First   wire.Zxid  // of the oldest record, 0 for an empty log
	Last    wire.Zxid  // of the newest record, 0 for an empty log
	Repairs []Repair   // what Open would change, newest file first
}

// Inspect looks at the end of the log in dir, where an interrupted write leaves
// its traces, and changes nothing. Older files are judged by Replay when it
// needs them. Damage is a *DamageError.
func Inspect(fsys vfs.FS, dir string) (*Inspection, error) {
	files, err := listFiles(fsys, dir)
	if err != nil {
		return nil, err
	}
	in := &Inspection{Files: files}
	if _, err := fsys.Stat(fsys.PathJoin(dir, newName)); err == nil {
		in.Repairs = append(in.Repairs, Repair{File: newName, Remove: true, Reason: "its creation was interrupted"})
	}
	for len(in.Files) > 0 {
		newest := &in.Files[len(in.Files)-1]
		last, fix, err := inspectNewest(fsys, dir, newest)
		if err != nil {
			return nil, err
		}
		if fix != nil {
			in.Repairs = append(in.Repairs, *fix)
		}
		if last > 0 {
			in.First, in.Last = in.Files[0].First, last
			break
		}
		in.Files = in.Files[:len(in.Files)-1]
	}
	return in, nil
}

// inspectNewest reads the newest file. It yields its last zxid, 0 if the file
// holds no record and is to go, and what is to be repaired, if anything.
func inspectNewest(fsys vfs.FS, dir string, file *FileInfo) (last wire.Zxid, fix *Repair, err error) {
	path := fsys.PathJoin(dir, file.Name)
	var end int64
	tail, err := Scan(fsys, path, func(r Record) error {
		if last == 0 && r.Zxid != file.First {
			return misnamed(path, file.First, r)
		}
		last, end = r.Zxid, r.End()
		return nil
	})
	switch {
	case errors.Is(err, errNoHeader):
		return 0, &Repair{File: file.Name, Remove: true, Reason: "its creation was interrupted"}, nil
	case err != nil:
		return 0, nil, err
	case tail.Reason != "" && !tail.Torn:
		return 0, nil, tail.damage(path)
	case last == 0 && tail.Reason == "":
		return 0, &Repair{File: file.Name, Remove: true, Reason: "it holds no record"}, nil
	case last == 0:
		return 0, &Repair{File: file.Name, Remove: true, Reason: "its first write was interrupted: " + tail.Reason}, nil
	case tail.Reason != "":
		fix = &Repair{File: file.Name, Offset: tail.Offset, Bytes: tail.End - tail.Offset,
			Reason: "the last write was interrupted: " + tail.Reason}
	}
	file.Size = end
	return last, fix, nil
}

// misnamed refuses a file whose first record is not the one of its name: the
// order of the files is that of their names.
func misnamed(path string, name wire.Zxid, r Record) error {
	return &DamageError{File: path, Offset: r.Offset, Advice: adviceRestore + ".",
		Reason: fmt.Sprintf("its first transaction is %v, but its name says %v", r.Zxid, name)}
}

// damage is the refusal of a tail.
func (t *Tail) damage(path string) error {
	e := &DamageError{File: path, Offset: t.Offset, Reason: t.Reason, Advice: adviceCut(path, t.Offset)}
	if t.Synced {
		e.Reason += ", though it was on disk before the last write began"
	}
	if t.Later > 0 {
		e.Reason += fmt.Sprintf(", and %d good ones stand behind it (%v to %v)", t.Later, t.First, t.Last)
	}
	return e
}

// repair carries out what Inspect proposed.
func repair(fsys vfs.FS, dir string, fixes []Repair) error {
	removed := false
	for _, r := range fixes {
		path := fsys.PathJoin(dir, r.File)
		if !r.Remove {
			if err := endFile(fsys, path, r.Offset, r.Bytes); err != nil {
				return fmt.Errorf("cut log file %s: %w", path, err)
			}
			continue
		}
		if err := fsys.Remove(path); err != nil {
			return fmt.Errorf("remove log file: %w", err)
		}
		removed = true
	}
	if removed {
		return syncDir(fsys, dir)
	}
	return nil
}

// secureNewest syncs the newest file: a process that was killed may have written
// records that it had not synced. They are read like all others, so that whoever
// asks is told that they are durable, and now they are. If the file has a mark
// it says so to every later start.
func secureNewest(o *Options, found *Inspection) error {
	if o.NoSync || len(found.Files) == 0 {
		return nil
	}
	newest := &found.Files[len(found.Files)-1]
	path := o.FS.PathJoin(o.Dir, newest.Name)
	f, err := o.FS.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	err = closeMark(f, newest.Size)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("sync log file %s: %w", path, err)
	}
	return syncDir(o.FS, o.Dir)
}
