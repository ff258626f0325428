package txnlog

import (
	"errors"
	"fmt"

	"zooid/wire"
)

// Replay calls fn for every record with a zxid greater than after, in order.
// payload and txn live until fn returns; what is kept is to be cloned. It
// refuses, with a *DamageError, a hole between after and the first record or
// between records of one epoch. A later epoch may begin, with its first
// transaction, anywhere. It belongs before the first Append.
func (l *Log) Replay(after wire.Zxid, fn func(payload []byte, txn *wire.Txn) error) error {
	files := l.Files()
	// Whatever is older than the file in which after lies is not looked at: it
	// may have holes, where a snapshot came from a leader.
	for len(files) > 1 && files[1].First <= after {
		files = files[1:]
	}
	r := replayer{l: l, after: after, fn: fn}
	for i, file := range files {
		var next wire.Zxid
		if i+1 < len(files) {
			next = files[i+1].First
		}
		if err := r.file(file, next); err != nil {
			return err
		}
	}
	return nil
}

// replayer goes through the files.
type replayer struct {
	l     *Log
	after wire.Zxid
	prev  wire.Zxid // of the last record seen, in all files
	fn    func(payload []byte, txn *wire.Txn) error
}

// file replays one file; next is the first zxid of the next one, 0 if there is
// none.
func (r *replayer) file(file FileInfo, next wire.Zxid) error {
	path := r.l.fs.PathJoin(r.l.o.Dir, file.Name)
	first := true
	tail, err := Scan(r.l.fs, path, func(rec Record) error {
		if first && rec.Zxid != file.First {
			return misnamed(path, file.First, rec)
		}
		first = false
		return r.record(path, rec)
	})
	if errors.Is(err, errNoHeader) {
		return &DamageError{File: path, Reason: "it has no header, and later log files follow", Advice: adviceRestore + "."}
	}
	if err != nil || tail.Reason == "" {
		return err
	}
	if next != 0 && tail.endsBefore(max(r.prev, r.after), next) {
		return nil
	}
	return tail.damage(path)
}

// endsBefore tells whether a file with this tail may be followed by one that
// begins with next: ZooKeeper leaves a torn end where it is and goes on in a new
// file. If that begins with the very transaction that is missing behind prev, or
// with an earlier one that is not asked for, nothing is lost. If it begins a new
// epoch the end must look torn.
func (t *Tail) endsBefore(prev, next wire.Zxid) bool {
	return next <= prev+1 || t.Torn && follows(prev, next)
}

// record hands on one record.
func (r *replayer) record(path string, rec Record) error {
	if repeats(rec, r.prev) {
		return nil
	}
	if rec.Zxid <= r.prev {
		return disorder(path, rec, r.prev)
	}
	base := max(r.prev, r.after)
	r.prev = rec.Zxid
	if rec.Zxid <= r.after {
		return nil
	}
	if !follows(base, rec.Zxid) {
		return missing(path, rec, base)
	}
	txn, err := wire.DecodeTxn(rec.Payload)
	if err != nil {
		return &DamageError{File: path, Offset: rec.Offset, Advice: adviceCut(path, rec.Offset),
			Reason: "the checksum is right, but the record is not a transaction: " + err.Error()}
	}
	r.l.prints.add(rec.Zxid, rec.Payload)
	return r.fn(rec.Payload, txn)
}

// disorder refuses a record that is older than one of the file before.
func disorder(path string, rec Record, prev wire.Zxid) error {
	return &DamageError{File: path, Offset: rec.Offset, Advice: adviceRestore + ".",
		Reason: fmt.Sprintf("transaction %v follows %v of an older file", rec.Zxid, prev)}
}

// missing refuses a record that does not go on from prev.
func missing(path string, rec Record, prev wire.Zxid) error {
	return &DamageError{File: path, Offset: rec.Offset, Advice: adviceHole,
		Reason: fmt.Sprintf("transactions are missing: %v follows %v", rec.Zxid, prev)}
}

// follows tells whether b may be the next transaction after a: the next number
// or the first of a later epoch.
func follows(a, b wire.Zxid) bool {
	return b == a+1 || b.Epoch() > a.Epoch() && b.Counter() == 1
}
