package txnlog

import (
	"testing"

	"zooid/wire"
)

// TestReadForgetsWhatWasTruncated reads up to a record for a learner, truncates
// that record and logs another epoch in its place. Who asks for what follows the
// record that is gone must be told that it is: a place in the file remembered from
// before would say that it is there, and the leader would send a DIFF on top of it
// where a TRUNC is due.
func TestReadForgetsWhatWasTruncated(t *testing.T) {
	g := newLedger()
	l := open(t, options(newFS(t), g))
	l.Start()
	must(t, l.SetBase(0))
	appendAll := func(first, last wire.Zxid) {
		l.Append(entries(first, last, 20))
		must(t, g.wait(last))
	}
	gone, left := wire.MakeZxid(1, 9), wire.MakeZxid(1, 5)
	appendAll(wire.MakeZxid(1, 1), gone)
	if p, err := l.Read(wire.MakeZxid(1, 1), 1<<20); err != nil || p.Entries[len(p.Entries)-1].Zxid != gone {
		t.Fatalf("read %+v, %v", p, err)
	}
	_, err := l.Truncate(left)
	must(t, err)
	appendAll(wire.MakeZxid(2, 1), wire.MakeZxid(2, 6))
	p, err := l.Read(gone, 1<<20)
	if err != nil || p.Prev != left || len(p.Entries) != 6 {
		t.Errorf("after %v, which was truncated: what is there goes on from %v with %d records, %v; want %v and 6", gone, p.Prev, len(p.Entries), err, left)
	}
	must(t, l.Close())
}
