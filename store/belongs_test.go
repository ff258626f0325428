package store

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"go.uber.org/zap"

	"zooid/wire"
	"zooid/znode"
)

// madeAgain is the one warning about a copy that cannot be used.
const madeAgain = "the copy of the tree cannot be used; it is made again from snapshot and log"

// givenUpHistory is a directory that was put back to a backup of version-2 that
// ends at 1:50, and went on from there at next with more transactions. The copy of
// the tree is still that of before: it stands at 1:100 of a history that is no more.
func givenUpHistory(t *testing.T, next wire.Zxid, more int) (Options, *content) {
	t.Helper()
	o := memOptions()
	l := startLoop(t, o)
	l.next = wire.MakeZxid(1, 1)
	l.some(rand.New(rand.NewPCG(1, 2)), 50)
	l.apply()
	backup := copyDir(t, o.FS, "/data/version-2")
	l.some(rand.New(rand.NewPCG(3, 4)), 50)
	l.apply()
	mustClose(t, l.s)
	kept := copyDir(t, o.FS, "/data/zooid")
	putBack := func(dir string, files map[string][]byte) {
		must(t, o.FS.RemoveAll(dir))
		must(t, o.FS.MkdirAll(dir, 0o750))
		for name, b := range files {
			putFile(t, o.FS, dir+"/"+name, b)
		}
	}
	putBack("/data/version-2", backup)
	must(t, o.FS.RemoveAll("/data/zooid"))
	l = startLoop(t, o) // as ZooKeeper, which has no copy
	if at := l.s.tree.LastZxid(); at != wire.MakeZxid(1, 50) {
		t.Fatalf("put back to %v", at)
	}
	l.next = next
	l.some(rand.New(rand.NewPCG(5, 6)), more)
	l.apply()
	want := contentOf(t, l.s)
	mustClose(t, l.s)
	putBack("/data/zooid", kept)
	return o, want
}

// changeCopy changes what lies in Pebble.
func changeCopy(t *testing.T, o Options, change func(db *pebble.DB) error) {
	t.Helper()
	db, err := openPebble(o.FS, "/data/zooid", zap.NewNop())
	must(t, err)
	must(t, change(db))
	must(t, db.Flush())
	must(t, db.Close())
}

// TestCopyOfGivenUpHistory: a copy of a history that was given up is made again,
// never used, whether the present history has passed its zxid in a later epoch or
// reached the same one, and whether the copy tells which record it stands at.
func TestCopyOfGivenUpHistory(t *testing.T) {
	for _, c := range []struct {
		name string
		next wire.Zxid
		more int
	}{
		{"a later epoch", wire.MakeZxid(2, 1), 20},
		{"the same zxid", wire.MakeZxid(1, 51), 80},
		{"the same zxid is the last", wire.MakeZxid(1, 51), 50},
	} {
		for _, older := range []bool{false, true} {
			for _, member := range []bool{false, true} {
				name := c.name
				if older {
					name += ", by an older Zooid"
				}
				if member {
					name += ", as a member"
				}
				t.Run(name, func(t *testing.T) {
					o, want := givenUpHistory(t, c.next, c.more)
					if older {
						changeCopy(t, o, func(db *pebble.DB) error { return db.Delete([]byte{recordKey}, pebble.NoSync) })
					}
					warned := watchLog(&o)
					o.DeferTail = member
					s := open(t, o)
					if !warned(madeAgain) {
						t.Error("no warning")
					}
					applyTail(t, s, member)
					compare(t, want, contentOf(t, s))
					if n := s.tree.DigestMismatches(); n != 0 {
						t.Errorf("%d digests did not match", n)
					}
					mustClose(t, s)
					s = open(t, o) // and from the new copy
					if !s.base.isStore {
						t.Errorf("then began from %+v", s.base)
					}
					applyTail(t, s, member)
					compare(t, want, contentOf(t, s))
				})
			}
		}
	}
}

// applyTail does what a member of an ensemble does when all of its log turns out to
// be committed.
func applyTail(t *testing.T, s *Store, member bool) {
	t.Helper()
	if !member {
		return
	}
	tail, err := s.Tail()
	must(t, err)
	var out znode.Applied
	for _, e := range tail {
		txn, err := wire.DecodeTxn(e.Payload)
		must(t, err)
		s.tree.Lock()
		s.tree.Apply(txn, &out)
		s.tree.Unlock()
	}
}

// TestCopyTellsItsRecord: where nothing in the log has a digest, the fingerprint
// of the record tells.
func TestCopyTellsItsRecord(t *testing.T) {
	o, want := filled(t, 100)
	changeCopy(t, o, func(db *pebble.DB) error {
		print, ok, err := recordPrint(db, want.Zxid)
		if !ok || err != nil {
			t.Errorf("no fingerprint at %v: %v", want.Zxid, err)
		}
		b := db.NewBatch()
		defer b.Close()
		must(t, putRecordPrint(b, want.Zxid, print+1))
		return b.Commit(pebble.NoSync)
	})
	warned := watchLog(&o)
	s := open(t, o)
	if s.base.isStore || !warned(madeAgain) {
		t.Errorf("began from %+v", s.base)
	}
	compare(t, want, contentOf(t, s))
}

// TestCopyAtSnapshot: where the log has nothing of the copy's zxid the snapshot of
// that zxid tells by its digest.
func TestCopyAtSnapshot(t *testing.T) {
	for _, other := range []bool{false, true} {
		o := memOptions()
		l := startLoop(t, o)
		l.some(rand.New(rand.NewPCG(3, 4)), 60)
		l.apply()
		l.s.settle()
		_, z, err := l.s.Snapshot()
		must(t, err)
		want := contentOf(t, l.s)
		mustClose(t, l.s)
		for _, name := range listDir(t, o.FS, "/data/version-2", "log.") {
			must(t, o.FS.Remove("/data/version-2/"+name))
		}
		if other {
			changeCopy(t, o, func(db *pebble.DB) error {
				m := marker{zxid: z, digest: want.Digest}
				var r znode.Record
				tree, err := loadTree(db, m)
				must(t, err)
				must(t, tree.Load("/another", &r))
				m.digest = tree.Digest()
				return errors.Join(db.Set([]byte{markerKey}, m.append(nil), pebble.NoSync),
					db.Set([]byte("n/another"), appendRecord(nil, &r), pebble.NoSync))
			})
		}
		warned := watchLog(&o)
		s := open(t, o)
		if s.base.isStore == other || warned(madeAgain) != other {
			t.Errorf("another tree's: %v; began from %+v", other, s.base)
		}
		compare(t, want, contentOf(t, s))
		mustClose(t, s)
	}
}
