package ensemble

import (
	"errors"
	"strings"
	"testing"
	"time"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/wire"
)

// TestObserver has clients on an observer. It is killed and comes back, it finds
// the next leader, and it does not stand in for a voter.
func TestObserver(t *testing.T) {
	testenv.EachEnsemble(t, voters+1, func(t *testing.T, kinds []string) {
		d := newDrill(t, kinds, setup{
			EnsembleConfig: testenv.EnsembleConfig{Observers: 1},
			servers:        []int{voters + 1, voters + 1, 1, 2, 3},
		})
		observer := d.e.Member(voters + 1)
		for range testenv.InDrill(1, 10) {
			if mode, err := observer.Mode(); mode != testenv.ModeObserver {
				t.Fatalf("the observer says that it is %q, %v", mode, err)
			}
			d.killAndRestart(observer, "observer killed")
			d.killAndRestart(d.leader(), "leader of an observer killed")
			two := d.e.Others(d.leader(), observer)
			for _, m := range two {
				m.Kill()
			}
			d.must(observer.AwaitIdle(limit))
			d.must(d.e.Start())
			d.progress()
		}
		d.check()
	})
}

// TestReadOnly leaves one of three members, which with readonlymode.enabled
// serves reads of what it has to clients that say that they bear it, and
// refuses writes; when the others are back it is an ordinary member again.
func TestReadOnly(t *testing.T) {
	testenv.EachEnsemble(t, voters, func(t *testing.T, kinds []string) {
		d := newDrill(t, kinds, setup{EnsembleConfig: testenv.EnsembleConfig{Bare: map[string]string{"readonlymode.enabled": "true"}}})
		d.progress()
		left := d.e.Others(d.leader())[0]
		for _, m := range d.e.Others(left) {
			m.Kill()
		}
		d.must(left.AwaitMode(limit, testenv.ModeReadOnly))
		if text, err := left.Word("isro"); err != nil || strings.TrimSpace(text) != "ro" {
			t.Errorf("isro in a minority: %q, %v", text, err)
		}
		d.readOnly(left)
		d.must(d.e.Start())
		if text, err := left.Word("isro"); err != nil || strings.TrimSpace(text) != "rw" {
			t.Errorf("isro with a quorum: %q, %v", text, err)
		}
		d.progress()
		d.check()
	})
}

// readOnly is what a client that bears read-only mode finds, and one that does
// not.
func (d *drill) readOnly(left *testenv.Member) {
	d.Helper()
	if left.Kind == testenv.KindJava {
		d.Log("Java 3.9 gives sessions in read-only mode only where local sessions are enabled")
		return
	}
	c, err := attach(left, rawclient.Options{ReadOnly: true})
	d.must(err)
	defer c.Close()
	if _, err := c.Exists("/history", false); err != nil {
		d.Errorf("a read in read-only mode: %v", err)
	}
	if _, err := c.SetData("/history", []byte("x"), -1); !errors.Is(err, wire.ErrNotReadOnly) {
		d.Errorf("a write in read-only mode: %v, want %v", err, wire.ErrNotReadOnly)
	}
	if plain, err := attach(left, rawclient.Options{Wait: 3 * time.Second}); err == nil {
		d.Error("a client that does not bear read-only mode was let in")
		plain.Close()
	}
}
