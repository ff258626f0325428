package txnlog

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"zooid/wire"
)

// withoutMark is a log file as ZooKeeper reads it: the marks in its padding are
// zeros.
func withoutMark(b []byte) []byte {
	b = bytes.Clone(b)
	for i := range b {
		if _, ok := parseMark(b[i:], int64(i)); ok {
			clear(b[i : i+markSize])
		}
	}
	return b
}

// padded is a setData transaction with 4096 bytes of data of which most are zeros,
// as in a table of fixed-size blocks.
func padded(z wire.Zxid) []byte {
	data := make([]byte, 4096)
	copy(data, "some fixed-size block")
	data[4095] = 1
	return payloadOf(z, data)
}

// paddedLog is a log file with ten zero-padded records, each synced, and thus
// acknowledged, by itself, and where its records begin.
func paddedLog(t *testing.T, closed bool) (*vfs.MemFS, []int64) {
	t.Helper()
	fs, g := newFS(t), newLedger()
	l := open(t, options(fs, g))
	l.Start()
	for z := wire.MakeZxid(1, 1); z <= wire.MakeZxid(1, 10); z++ {
		l.Append([]Entry{{Zxid: z, Payload: padded(z)}})
		must(t, l.Await(z))
	}
	if closed {
		must(t, l.Close())
	}
	fs = fs.CrashClone(vfs.CrashCloneCfg{}) // what was synced, and nothing else
	var at []int64
	_, err := Scan(fs, dir+"/log.100000001", func(r Record) error { at = append(at, r.Offset); return nil })
	must(t, err)
	return fs, at
}

// TestDamageInZeroPaddedData flips one bit of each record in turn, in data that
// hold whole sectors of zeros, as a hole looks that an interrupted write leaves.
// What was synced before the last group is refused as damaged, never cut off.
func TestDamageInZeroPaddedData(t *testing.T) {
	for _, closed := range []bool{false, true} {
		for i := range 10 {
			t.Run(fmt.Sprintf("closed=%v/record=%d", closed, i+1), func(t *testing.T) {
				fs, at := paddedLog(t, closed)
				b := getFile(t, fs, "log.100000001")
				b[at[i]+1000] ^= 4
				putFile(t, fs, "log.100000001", b)
				l, err := Open(options(fs, newLedger()))
				if i == 9 && !closed {
					// Nothing tells it from a write that was interrupted.
					if err != nil || l.Last() != wire.MakeZxid(1, 9) {
						t.Fatalf("ends at %v, %v", l.Last(), err)
					}
					must(t, l.Close())
					return
				}
				checkDamage(t, fs, map[string][]byte{"log.100000001": b}, err, at[i])
				if !strings.Contains(err.Error(), "on disk before the last write began") {
					t.Errorf("error %v", err)
				}
			})
		}
	}
}

// TestDamageBeforeNewEpoch: a file that a later epoch follows may end in a torn
// write, but not where its mark says that it was synced.
func TestDamageBeforeNewEpoch(t *testing.T) {
	fs, at := paddedLog(t, true)
	b := getFile(t, fs, "log.100000001")
	b[at[9]+1000] ^= 4
	putFile(t, fs, "log.100000001", b)
	next := wire.MakeZxid(2, 1)
	putFile(t, fs, fileName(next), fileOf(next))
	l, err := Open(options(fs, newLedger()))
	must(t, err)
	defer l.Close()
	_, err = tryReplay(l, 0)
	if damage := (*DamageError)(nil); !errors.As(err, &damage) || damage.Offset != at[9] {
		t.Errorf("error %v", err)
	}
}

// TestStartClosesMark: what a start has found and synced is not in doubt any more.
func TestStartClosesMark(t *testing.T) {
	fs, at := paddedLog(t, false)
	l := open(t, options(fs, newLedger()))
	must(t, l.Close())
	fs = fs.CrashClone(vfs.CrashCloneCfg{})
	b := getFile(t, fs, "log.100000001")
	b[at[9]+1000] ^= 4
	putFile(t, fs, "log.100000001", b)
	_, err := Open(options(fs, newLedger()))
	checkDamage(t, fs, map[string][]byte{"log.100000001": b}, err, at[9])
}

// TestTornGroups builds what a power failure leaves of a second group when some of
// its sectors are not written: the first group is there, with its mark or without,
// and nothing is refused, wherever the groups end in a sector.
func TestTornGroups(t *testing.T) {
	for size := 1; size < 2*sectorSize; size += 7 {
		fs, g := newFS(t), newLedger()
		l := open(t, options(fs, g))
		l.Start()
		l.Append(entries(1, 2, size))
		must(t, g.wait(2))
		before := getFile(t, fs.CrashClone(vfs.CrashCloneCfg{}), "log.1")
		l.Append(entries(3, 5, 300))
		must(t, g.wait(5))
		after := getFile(t, fs.CrashClone(vfs.CrashCloneCfg{}), "log.1")
		must(t, l.Close())
		first, last := changedSectors(before, after)
		// Every choice of sectors that did not reach the disk, but none at all.
		for lost := 1; lost < 1<<(last-first+1); lost++ {
			torn := bytes.Clone(after)
			for s := first; s <= last; s++ {
				if lost&(1<<(s-first)) != 0 {
					copy(torn[s*sectorSize:(s+1)*sectorSize], before[s*sectorSize:])
				}
			}
			disk := newFS(t)
			putFile(t, disk, "log.1", torn)
			l, err := Open(options(disk, newLedger()))
			if err != nil {
				t.Fatalf("size %d, lost sectors %b from %d on: %v", size, lost, first, err)
			}
			if l.Last() < 2 {
				t.Fatalf("size %d, lost sectors %b from %d on: ends at %v", size, lost, first, l.Last())
			}
			must(t, l.Close())
		}
	}
}

// changedSectors are the first and the last sector in which two files differ.
func changedSectors(a, b []byte) (first, last int) {
	first = -1
	for s := 0; (s+1)*sectorSize <= len(b); s++ {
		if !bytes.Equal(a[s*sectorSize:(s+1)*sectorSize], b[s*sectorSize:(s+1)*sectorSize]) {
			if last = s; first < 0 {
				first = s
			}
		}
	}
	return first, last
}

// TestMarkOfAnotherPlace: what looks like a mark, in a client's data or at another
// offset, is none.
func TestMarkOfAnotherPlace(t *testing.T) {
	m := groupMark{start: 16, end: 1000}
	b := m.append(nil)[markOffset(1000)-1000:]
	if got, ok := parseMark(b, markOffset(1000)); !ok || got != m {
		t.Errorf("%+v, %v", got, ok)
	}
	if _, ok := parseMark(b, markOffset(1000)+1); ok {
		t.Error("found at another offset")
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		if _, ok := parseMark(bad, markOffset(1000)); ok {
			t.Errorf("found with byte %d changed", i)
		}
	}
	for end := int64(16); end < 2000; end++ {
		at := markOffset(end)
		if at < end+markGap || at/sectorSize != (at+int64(markSize)-1)/sectorSize || at < markOffset(end-1) {
			t.Fatalf("the mark behind %d stands at %d", end, at)
		}
	}
}
