package txnlog

import (
	"errors"
	"strings"
	"testing"

	"zooid/wire"
)

// fileOf is a log file with the given records and some padding.
func fileOf(zxids ...wire.Zxid) []byte {
	h := wire.FileHeader{Magic: wire.LogMagic, Version: wire.FileVersion}
	b := h.Append(nil)
	for _, z := range zxids {
		b = appendRecord(b, payload(z, 40))
	}
	return append(b, make([]byte, 1000)...)
}

func e(epoch, counter uint32) wire.Zxid { return wire.MakeZxid(epoch, counter) }

// TestReplayOrder gives logs whose records stand in good and bad orders.
func TestReplayOrder(t *testing.T) {
	for _, c := range []struct {
		name  string
		files [][]wire.Zxid
		after wire.Zxid
		want  int    // records
		err   string // or the reason of the damage
	}{
		{"from the beginning", [][]wire.Zxid{{1, 2}, {3}}, 0, 3, ""},
		{"from the middle of a file", [][]wire.Zxid{{1, 2}, {3}}, 1, 2, ""},
		{"a hole in a file", [][]wire.Zxid{{1, 2, 4}}, 0, 0, "transactions are missing: 0x4 follows 0x2"},
		{"a hole between files", [][]wire.Zxid{{1, 2}, {4}}, 0, 0, "transactions are missing: 0x4 follows 0x2"},
		{"a hole before the first file", [][]wire.Zxid{{3, 4}}, 0, 0, "transactions are missing: 0x3 follows 0x0"},
		{"a hole that a snapshot covers", [][]wire.Zxid{{1, 2, 7, 8}}, 6, 2, ""},
		{"a hole half covered", [][]wire.Zxid{{1, 2, 7, 8}}, 5, 0, "0x7 follows 0x5"},
		{"a snapshot beyond the log", [][]wire.Zxid{{1, 2}}, 100, 0, ""},
		{"a later epoch", [][]wire.Zxid{{e(1, 1), e(1, 2), e(3, 1)}, {e(7, 1)}}, 0, 4, ""},
		{"a later epoch after the snapshot", [][]wire.Zxid{{e(3, 1)}}, e(1, 200), 1, ""},
		{"the middle of a later epoch", [][]wire.Zxid{{e(1, 1), e(2, 2)}}, 0, 0, "0x200000002 follows 0x100000001"},
		{"an epoch's counter overflows, standalone", [][]wire.Zxid{{e(0, 1<<32-1), e(1, 0), e(1, 1)}}, e(0, 1<<32-2), 3, ""},
		{"the same twice", [][]wire.Zxid{{1, 2, 2}}, 0, 0, "0x2 follows 0x2"},
		{"backwards over files", [][]wire.Zxid{{1, 2, 3}, {2, 3}}, 0, 0, "0x2 follows 0x3 of an older file"},
		{"backwards over files, covered", [][]wire.Zxid{{1, 2, 3}, {2, 3, 4}}, 2, 2, ""},
		{"an old file is not looked at", [][]wire.Zxid{{1, 9}, {10, 11}}, 10, 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := newFS(t)
			for _, zxids := range c.files {
				putFile(t, fs, fileName(zxids[0]), fileOf(zxids...))
			}
			l, err := Open(options(fs, newLedger()))
			var got []Entry
			if err == nil {
				defer l.Close()
				got, err = tryReplay(l, c.after)
			}
			checkReplay(t, got, err, c.want, c.err)
		})
	}
}

func checkReplay(t *testing.T, got []Entry, err error, want int, reason string) {
	t.Helper()
	var d *DamageError
	switch {
	case reason == "" && err != nil:
		t.Error(err)
	case reason == "" && len(got) != want:
		t.Errorf("%d records, want %d", len(got), want)
	case reason != "" && (!errors.As(err, &d) || !strings.Contains(d.Reason, reason)):
		t.Errorf("error %v, want damage with %q", err, reason)
	}
}

// TestTornOldFile leaves a torn end in a file that is not the newest one, as
// ZooKeeper does when it is killed and started again.
func TestTornOldFile(t *testing.T) {
	cut := func(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:len(b)-n] } }
	flip := func(n int) func([]byte) []byte {
		return func(b []byte) []byte { b[len(b)-n] ^= 1; return b }
	}
	for _, c := range []struct {
		name  string
		spoil func([]byte) []byte
		next  []wire.Zxid
		after wire.Zxid
		want  int
		err   string
	}{
		{"the next file has the record", cut(1003), []wire.Zxid{e(1, 3), e(1, 4)}, 0, 4, ""},
		{"the next file has it, checksum wrong", flip(1010), []wire.Zxid{e(1, 3), e(1, 4)}, 0, 4, ""},
		{"a new epoch follows", cut(1003), []wire.Zxid{e(2, 1)}, 0, 3, ""},
		{"the record is nowhere", cut(1003), []wire.Zxid{e(1, 4)}, 0, 0, "the file ends inside a record"},
		{"the record is not needed", cut(1003), []wire.Zxid{e(1, 4)}, e(1, 3), 1, ""},
		{"good records behind it, a new epoch follows", flip(1150), []wire.Zxid{e(2, 1)}, 0, 0, "checksum of a record is wrong, and 1 good ones"},
		{"good records behind it, the next file has them", flip(1200), []wire.Zxid{e(1, 2), e(1, 3)}, 0, 3, ""},
		{"no header", func(b []byte) []byte { return b[:7] }, []wire.Zxid{e(2, 1)}, 0, 0, "it has no header"},
		{"all zeros", func(b []byte) []byte { clear(b); return b }, []wire.Zxid{e(2, 1)}, 0, 0, "it has no header"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := newFS(t)
			putFile(t, fs, fileName(e(1, 1)), c.spoil(fileOf(e(1, 1), e(1, 2), e(1, 3))))
			putFile(t, fs, fileName(c.next[0]), fileOf(c.next...))
			l := open(t, options(fs, newLedger()))
			if len(l.Repairs()) != 0 {
				t.Errorf("repairs %v of an old file", l.Repairs())
			}
			got, err := tryReplay(l, c.after)
			checkReplay(t, got, err, c.want, c.err)
		})
	}
}

// TestBadFiles gives single files that no crash explains.
func TestBadFiles(t *testing.T) {
	header := fileOf()[:16]
	for _, c := range []struct {
		name, file string
		content    []byte
		reason     string
	}{
		{"another name", "log.5", fileOf(4, 5), "its first transaction is 0x4, but its name says 0x5"},
		{"unknown version", "log.1", append([]byte("ZKLG\x00\x00\x00\x03"), make([]byte, 8)...), "version is 3"},
		{"a snapshot", "log.1", append([]byte("ZKSN\x00\x00\x00\x02"), make([]byte, 8)...), "begins with 0x5a4b534e"},
		{"a record too short for a transaction", "log.1", appendRecord(header[:16:16], []byte("short")), "too short for a transaction"},
		{"no transaction", "log.1", appendRecord(header[:16:16], append(payload(1, 1)[:28], 0, 0, 0, 99)), "the record is not a transaction"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := newFS(t)
			putFile(t, fs, c.file, c.content)
			l, err := Open(options(fs, newLedger()))
			if err == nil {
				defer l.Close()
				_, err = tryReplay(l, 0)
			}
			checkReplay(t, nil, err, 0, c.reason)
			for _, word := range []string{dir + "/" + c.file, "at byte", "Nothing was changed", "Restore"} {
				if err != nil && !strings.Contains(err.Error(), word) {
					t.Errorf("%q does not say %q", err, word)
				}
			}
		})
	}
}

// An error of the caller's comes back as it is.
func TestReplayStops(t *testing.T) {
	fs := newFS(t)
	putFile(t, fs, "log.1", fileOf(1, 2, 3))
	l := open(t, options(fs, newLedger()))
	stop, n := errors.New("stop"), 0
	err := l.Replay(0, func([]byte, *wire.Txn) error { n++; return stop })
	if err != stop || n != 1 {
		t.Errorf("error %v after %d records", err, n)
	}
}

// Apache ZooKeeper's standalone server gives an error transaction for a write
// that it cannot decode the last zxid once more. Its directory is healthy.
func TestRepeatedZxidOfAnError(t *testing.T) {
	header := wire.FileHeader{Magic: wire.LogMagic, Version: wire.FileVersion}
	record := func(z wire.Zxid, op wire.OpCode, body wire.TxnBody) []byte {
		txn := wire.Txn{TxnHeader: wire.TxnHeader{Zxid: z, Op: op}, Body: body}
		return txn.Append(nil)
	}
	refused := func(z wire.Zxid) []byte { return record(z, wire.OpError, &wire.ErrorTxn{Err: wire.ErrMarshalling}) }
	deleted := func(z wire.Zxid) []byte { return record(z, wire.OpDelete, &wire.DeleteTxn{Path: "/x"}) }
	file := func(payloads ...[]byte) []byte {
		b := header.Append(nil)
		for _, p := range payloads {
			b = appendRecord(b, p)
		}
		return append(b, make([]byte, 64)...)
	}
	fs := newFS(t)
	putFile(t, fs, "log.1", file(deleted(1), refused(1), refused(1), deleted(2), refused(2)))
	putFile(t, fs, "log.2", file(refused(2), deleted(3)))
	l := open(t, options(fs, newLedger()))
	sameEntries(t, replayed(t, l, 0), []Entry{{Zxid: 1, Payload: deleted(1)}, {Zxid: 2, Payload: deleted(2)}, {Zxid: 3, Payload: deleted(3)}})

	// Anything else that repeats a zxid is damage.
	putFile(t, fs, "log.2", file(deleted(2)))
	putFile(t, fs, "log.1", file(deleted(1), deleted(1)))
	if _, err := Scan(fs, dir+"/log.1", func(Record) error { return nil }); err == nil {
		t.Error("a repeated delete was accepted")
	}
}
