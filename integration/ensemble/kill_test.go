package ensemble

import (
	"testing"
	"time"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
)

// TestKillLeader ends the leader by kill -9, again and again. Clients of the
// survivors that are not waiting for an answer keep their connections.
func TestKillLeader(t *testing.T) {
	testenv.EachEnsemble(t, voters, func(t *testing.T, kinds []string) {
		d := newDrill(t, kinds, setup{})
		for range testenv.InDrill(3, 40) {
			leader := d.leader()
			d.progress()
			idle := d.attachIdle(d.e.Others(leader))
			from := time.Now()
			leader.Kill()
			d.elsewhere(leader)
			d.progress()
			d.measure("leader killed", from)
			d.stillAttached(idle)
			d.must(leader.Restart())
		}
		d.check()
	})
}

// attachIdle opens a session with each member that keeps its clients over an
// election, as only Zooid's do.
func (d *drill) attachIdle(members []*testenv.Member) (idle []*rawclient.Conn) {
	d.Helper()
	for _, m := range members {
		if m.Kind != testenv.KindZooid {
			continue
		}
		c, err := attach(m, rawclient.Options{TimeoutMs: 60000})
		d.must(err)
		d.must(c.Ping())
		idle = append(idle, c)
	}
	return idle
}

// stillAttached wants the connections to work, both ways.
func (d *drill) stillAttached(idle []*rawclient.Conn) {
	d.Helper()
	for _, c := range idle {
		if err := c.Ping(); err != nil {
			d.Errorf("an idle client of a survivor lost its connection: %v", err)
			continue
		}
		if _, err := c.SetData("/history", nil, -1); err != nil {
			d.Errorf("a client that was kept over the election cannot write: %v", err)
		}
		d.must(c.CloseSession())
	}
}

// TestKillFollower ends a follower by kill -9: writes hardly notice.
func TestKillFollower(t *testing.T) {
	testenv.EachEnsemble(t, voters, func(t *testing.T, kinds []string) {
		d := newDrill(t, kinds, setup{})
		for range testenv.InDrill(2, 30) {
			others := d.e.Others(d.leader())
			follower := others[d.r.IntN(len(others))]
			from := time.Now()
			follower.Kill()
			d.progress()
			d.measure("follower killed", from)
			d.must(follower.Restart())
			d.progress()
		}
		d.check()
	})
}

// TestKillMajority ends two of three: nothing is written any more, and what was
// acknowledged is there when they are back.
func TestKillMajority(t *testing.T) {
	testenv.EachEnsemble(t, voters, func(t *testing.T, kinds []string) {
		d := newDrill(t, kinds, setup{})
		for range testenv.InDrill(1, 10) {
			leader := d.leader()
			left := d.e.Others(leader)[d.r.IntN(voters-1)]
			for _, m := range d.e.Others(left) {
				m.Kill()
			}
			d.must(left.AwaitIdle(limit))
			before := d.h.Acked()
			d.standstill(time.Second)
			if n := d.h.Acked() - before; n != 0 {
				t.Errorf("a minority acknowledged %d writes", n)
			}
			d.must(d.e.Start())
			d.progress()
		}
		d.check()
	})
}

// standstill is the length of a fault, not a wait for something.
func (d *drill) standstill(length time.Duration) { time.Sleep(length) }

// TestKillAll ends all members at once, as a power cut does, and starts them in
// any order.
func TestKillAll(t *testing.T) {
	testenv.EachEnsemble(t, voters, func(t *testing.T, kinds []string) {
		d := newDrill(t, kinds, setup{})
		for range testenv.InDrill(2, 20) {
			d.leader()
			d.progress()
			d.e.KillAll()
			for _, i := range d.r.Perm(len(d.e.Members)) {
				d.must(d.e.Members[i].Launch())
			}
			d.leader()
			d.progress()
		}
		d.check()
	})
}

// TestTermLeader ends the leader by SIGTERM: it hands over, so writes hardly
// stop.
func TestTermLeader(t *testing.T) {
	testenv.EachEnsemble(t, voters, func(t *testing.T, kinds []string) {
		d := newDrill(t, kinds, setup{})
		for range testenv.InDrill(2, 20) {
			leader := d.leader()
			d.progress()
			from := time.Now()
			code, err := leader.Stop()
			d.must(err)
			if leader.Kind == testenv.KindZooid && code != 0 {
				t.Errorf("exit code %d after SIGTERM", code)
			}
			d.elsewhere(leader)
			d.progress()
			d.measure("leader stopped by SIGTERM", from)
			d.must(leader.Restart())
		}
		d.check()
	})
}
