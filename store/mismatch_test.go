package store

import (
	"math/rand/v2"
	"strings"
	"testing"

	"zooid/wire"
	"zooid/znode"
)

// TestMismatchIsNoted: what a running server found to be wrong stays as evidence,
// and the next start makes the tree again: from a snapshot of before, not from the
// copy, nor from a snapshot that was made of the wrong tree. It does so once.
func TestMismatchIsNoted(t *testing.T) {
	o := memOptions()
	l := startLoop(t, o)
	rng := rand.New(rand.NewPCG(3, 4))
	l.some(rng, 50)
	l.apply()
	l.s.settle()
	_, before, err := l.s.Snapshot()
	must(t, err)
	l.s.tree.Lock()
	must(t, l.s.tree.Load("/planted", &znode.Record{Data: []byte("nobody wrote this")}))
	l.s.tree.Unlock()
	l.some(rng, 50)
	l.apply()
	last := l.s.tree.LastMismatch()
	if !last.Sure || l.s.tree.DigestMismatches() == 0 {
		t.Fatalf("mismatches: %d, %+v", l.s.tree.DigestMismatches(), last)
	}
	want := model(t, l.txns, 100)
	if digest, err := l.s.TrueDigest(100); err != nil || digest != want.Digest {
		t.Errorf("the true digest is %#x, %v, want %#x", digest, err, want.Digest)
	}
	l.s.NoteMismatch(last)
	l.s.NoteMismatch(znode.DigestMismatch{Zxid: 99}) // only the first counts
	l.s.settle()
	_, _, err = l.s.Snapshot() // of the wrong tree
	must(t, err)
	mustClose(t, l.s)
	if text := string(getFile(t, o.FS, "/data/zooid.mismatch")); !strings.HasPrefix(text, "zxid ") || strings.Count(text, "\n") != 1 {
		t.Errorf("the evidence is %q", text)
	}
	warned := watchLog(&o)
	s := open(t, o)
	if s.base.zxid != before || !warned(madeAgain) {
		t.Errorf("began from %+v, want the snapshot at %v", s.base, before)
	}
	compare(t, want, contentOf(t, s))
	s.background.Wait()
	if exists(o.FS, "/data/zooid.mismatch") || !exists(o.FS, "/data/zooid.mismatch.old") {
		t.Error("the evidence was not put aside")
	}
	mustClose(t, s)
	s = open(t, o)
	compare(t, want, contentOf(t, s))
}

// TestTrueDigest tells the digest of every state that snapshot and log lead to, and
// says when they do not.
func TestTrueDigest(t *testing.T) {
	o := memOptions()
	l := startLoop(t, o)
	l.some(rand.New(rand.NewPCG(3, 4)), 60)
	l.apply()
	for _, z := range []wire.Zxid{1, 30, 60} {
		if digest, err := l.s.TrueDigest(z); err != nil || digest != model(t, l.txns, z).Digest {
			t.Errorf("at %v: %#x, %v", z, digest, err)
		}
	}
	if _, err := l.s.TrueDigest(61); err == nil {
		t.Error("a state that never was has a digest")
	}
}
