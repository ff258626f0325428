package ensemble

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/wire"
)

// sessionTimeout of the clients that fall silent.
const sessionTimeout = 2 * time.Second

// TestMovingClients has clients that leave with writes under way and go on with
// their session elsewhere, where they count their requests from 1 again, as
// kazoo does: nobody may take the reply to an old request for that to a new one.
func TestMovingClients(t *testing.T) {
	testenv.EachEnsemble(t, voters, func(t *testing.T, kinds []string) {
		if slices.Contains(kinds, testenv.KindJava) {
			t.Skip("Java's members match replies by number alone: \"Committed proposal cached out of order\"")
		}
		d := newDrill(t, kinds, setup{countAnew: true})
		d.must(d.h.AwaitAcked(int64(testenv.InDrill(3000, 100_000)), 20*limit))
		d.check()
	})
}

// silent is a client that made an ephemeral and was heard for the last time,
// or goes on pinging.
type silent struct {
	*rawclient.Conn
	path  string
	heard time.Time
}

// TestExpiry kills the leader while some clients fall silent and others only
// ping: the ephemerals of the first go, none before its session's timeout, and
// those of the others stay.
func TestExpiry(t *testing.T) {
	testenv.EachEnsemble(t, voters, func(t *testing.T, kinds []string) {
		d := newDrill(t, kinds, setup{})
		for range testenv.InDrill(1, 10) {
			d.expiry()
		}
		d.check()
	})
}

func (d *drill) expiry() {
	d.Helper()
	leader := d.leader()
	survivors := d.e.Others(leader)
	var gone, kept []*silent
	for i, m := range slices.Concat(survivors, survivors) {
		s := d.ephemeral(m, fmt.Sprintf("/expiry-%d", i))
		if i < len(survivors) {
			kept = append(kept, s)
		} else {
			gone = append(gone, s)
		}
	}
	stop, done := make(chan struct{}), make(chan error, len(kept))
	for _, s := range kept {
		go func() { done <- s.live(survivors, stop) }()
	}
	for _, s := range gone {
		s.heard = time.Now()
		d.must(s.Ping())
		s.Close()
	}
	leader.Kill()
	d.elsewhere(leader)
	witness, err := attach(survivors[0], rawclient.Options{TimeoutMs: 60000})
	d.must(err)
	defer witness.Close()
	for _, s := range gone {
		d.awaitGone(witness, s)
	}
	close(stop)
	for range kept {
		d.must(<-done)
	}
	for _, s := range kept {
		if st, err := syncedStat(witness, s.path); err != nil || st.EphemeralOwner != s.Session {
			d.Errorf("%s of a session that pings: %v, owner %v", s.path, err, st.EphemeralOwner)
		}
		d.must(s.CloseSession())
	}
	d.must(leader.Restart())
}

func (d *drill) ephemeral(m *testenv.Member, path string) *silent {
	d.Helper()
	c, err := attach(m, rawclient.Options{TimeoutMs: int32(sessionTimeout.Milliseconds())})
	d.must(err)
	_, _, err = c.Create(path, nil, wire.FlagEphemeral)
	d.must(err)
	return &silent{Conn: c, path: path}
}

// live pings until it is told to stop; if its connection ends it comes back to
// its session, with any of the members.
func (s *silent) live(members []*testenv.Member, stop <-chan struct{}) error {
	every := time.NewTicker(sessionTimeout / 8)
	defer every.Stop()
	for i := 0; ; {
		select {
		case <-stop:
			return s.Ping()
		case <-every.C:
		}
		if s.Ping() == nil {
			continue
		}
		i++
		s.Close()
		c, err := attach(members[i%len(members)], rawclient.Options{
			TimeoutMs: s.TimeoutMs, Session: s.Session, Passwd: s.Passwd, Wait: sessionTimeout / 2,
		})
		if errors.Is(err, rawclient.ErrNoSession) {
			return fmt.Errorf("%s: the session of a client that pings has ended", s.path)
		}
		if err == nil {
			s.Conn = c
		}
	}
}

// awaitGone waits until the ephemeral is gone, which may not be too early.
func (d *drill) awaitGone(witness *rawclient.Conn, s *silent) {
	d.Helper()
	for deadline := time.Now().Add(limit); ; {
		_, err := syncedStat(witness, s.path)
		silence := time.Since(s.heard)
		switch {
		case errors.Is(err, wire.ErrNoNode):
			if silence < sessionTimeout {
				d.Errorf("%s is gone after %v of silence, the session's timeout is %v", s.path, silence, sessionTimeout)
			}
			d.Logf("%s: gone after %v", s.path, silence.Round(time.Millisecond))
			return
		case err != nil:
			d.Fatal(err)
		case time.Now().After(deadline):
			d.Fatalf("%s is there after %v of silence, the session's timeout is %v", s.path, silence, sessionTimeout)
		}
	}
}

// syncedStat is exists after a sync.
func syncedStat(c *rawclient.Conn, path string) (wire.Stat, error) {
	if _, err := c.Call(wire.OpSync, &wire.PathRequest{Path: path}, nil); err != nil {
		return wire.Stat{}, err
	}
	return c.Exists(path, false)
}
