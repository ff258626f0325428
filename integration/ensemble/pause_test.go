package ensemble

import (
	"testing"
	"time"

	"zooid/integration/testenv"
)

// TestPauseLeader stops the leader's process for longer than syncLimit, as a
// paused virtual machine is: the others elect another, the old one must not
// acknowledge anything when it wakes up, and no session has ended.
func TestPauseLeader(t *testing.T) {
	testenv.EachEnsemble(t, voters, func(t *testing.T, kinds []string) {
		d := newDrill(t, kinds, setup{})
		for range testenv.InDrill(1, 15) {
			leader := d.leader()
			d.progress()
			from := time.Now()
			d.must(leader.Pause())
			d.elsewhere(leader)
			d.progress()
			d.measure("leader paused", from)
			// It sleeps on for a while, so that it has more than one reason to
			// step down when it wakes up.
			d.standstill(testenv.SyncLimit / 2)
			d.must(leader.Resume())
			d.leader()
			d.progress()
		}
		d.check()
	})
}

// TestPauseShort stops members for less than syncLimit: nobody is given up.
func TestPauseShort(t *testing.T) {
	testenv.EachEnsemble(t, voters, func(t *testing.T, kinds []string) {
		d := newDrill(t, kinds, setup{})
		leader := d.leader()
		for range testenv.InDrill(2, 20) {
			m := d.e.Members[d.r.IntN(voters)]
			d.must(m.Pause())
			d.standstill(testenv.SyncLimit / 4)
			d.must(m.Resume())
			d.progress()
		}
		if now := d.leader(); now != leader {
			t.Errorf("member %d leads after pauses that were too short, %d before", now.SID, leader.SID)
		}
		d.check()
	})
}
