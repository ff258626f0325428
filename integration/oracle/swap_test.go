package oracle

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/wire"
)

var swapSteps = flag.Int("swapsteps", testenv.InDrill(300, 3000), "steps between two exchanges of data directories")

// TestSwappedDirectories is the drill with an interruption: both servers end,
// by kill -9 or in good order, and each kind is started on the data directory
// that the other kind has written. Tree, zxids and sessions must be as before,
// and the drill goes on where it was, three times.
func TestSwappedDirectories(t *testing.T) {
	seed := drawSeed()
	replay := fmt.Sprintf("go test ./integration/oracle -run TestSwappedDirectories -seed %d -swapsteps %d", seed, *swapSteps)
	fmt.Fprintf(os.Stderr, "oracle: seed %d, exchanges of data directories after %d steps each\n", seed, *swapSteps)
	a := newSideOf(t, testenv.Start(t, testenv.KindJava, drillConfig()))
	b := newSideOf(t, testenv.Start(t, testenv.KindZooid, drillConfig()))
	d := newDrill(seed, a, b)
	step := 0
	for round, end := range []string{"kill -9", "SIGTERM", "kill -9", ""} {
		for range *swapSteps {
			if err := d.step(t, step); err != nil {
				t.Fatalf("%v\nshow it again by:\n%s", err, replay)
			}
			step++
		}
		if end == "" {
			break
		}
		if err := d.swap(end); err != nil {
			t.Fatalf("exchange %d, by %s: %v\nshow it again by:\n%s", round+1, end, err, replay)
		}
		fmt.Fprintf(os.Stderr, "oracle: directories exchanged after %s at step %d, %d nodes\n", end, step, len(d.gen.live))
	}
}

// swap ends both servers, and starts each kind on the other's directory.
func (d *drill) swap(end string) error {
	sides := []*side{d.a, d.b}
	var before [2][]string
	var zxidWas [2]wire.Zxid
	for i, s := range sides {
		var err error
		if before[i], _, err = s.dump(); err != nil {
			return err
		}
		zxidWas[i] = s.latest()
		if end == "kill -9" {
			s.server.Kill()
		} else if _, err := s.server.Stop(); err != nil {
			return err
		}
	}
	for i, s := range sides {
		was := s.server.Kind
		if was == testenv.KindJava {
			s.server.SetKind(testenv.KindZooid)
		} else {
			s.server.SetKind(testenv.KindJava)
		}
		if err := s.server.Start(); err != nil {
			return fmt.Errorf("%s on the directory of %s: %w\n%s", s.server.Kind, was, err, s.server.Log())
		}
		if err := s.comeBack(); err != nil {
			return fmt.Errorf("%s on the directory of %s: %w", s.server.Kind, was, err)
		}
		after, _, err := s.dump()
		if err != nil {
			return err
		}
		if got := s.super.LastZxid; got != zxidWas[i] {
			return fmt.Errorf("%s on the directory of %s starts at %v, after %v", s.server.Kind, was, got, zxidWas[i])
		}
		if diff := compare(before[i], after); diff != "" {
			return fmt.Errorf("what %s (A) wrote and %s (B) reads differs:\n%s", was, s.server.Kind, diff)
		}
	}
	return nil
}

// comeBack re-attaches every session at a server that was started anew.
func (s *side) comeBack() error {
	for i, old := range append(s.conns[:], s.super) {
		if old == nil {
			continue
		}
		old.Close()
		c, err := rawclient.Open(s.server.Addr, s.again(old))
		if err != nil {
			return fmt.Errorf("session %s (%v): %w", s.session(old.Session), old.Session, err)
		}
		c.Passwd = old.Passwd // see again
		if i < clients {
			s.conns[i] = c
			continue
		}
		s.super = c
		if err := c.Auth("digest", testenv.SuperAuth); err != nil {
			return err
		}
	}
	return nil
}
