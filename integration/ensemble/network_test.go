package ensemble

import (
	"testing"
	"time"

	"zooid/integration/testenv"
)

// cut is a way to break the links between the leader and the others. Clients
// reach every member all the time.
type cut struct {
	name string
	make func(d *drill, leader int, others []int)
	// deposed says that the leader cannot stay.
	deposed bool
}

var cuts = []cut{
	{"leader alone", func(d *drill, leader int, others []int) { d.network.Part([]int{leader}, others) }, true},
	{"leader not heard", func(d *drill, leader int, others []int) { d.network.PartOneWay([]int{leader}, others) }, true},
	{"leader deaf", func(d *drill, leader int, others []int) { d.network.PartOneWay(others, []int{leader}) }, true},
	{"one follower alone", func(d *drill, leader int, others []int) {
		d.network.Part(others[:1], append([]int{leader}, others[1:]...))
	}, false},
	{"followers apart", func(d *drill, _ int, others []int) { d.network.Part(others[:1], others[1:]) }, false},
}

// TestPartition cuts members off from each other, both ways and one way. The
// part with a quorum goes on, the other must not acknowledge anything; reads
// after a sync are of what was acknowledged anywhere.
func TestPartition(t *testing.T) {
	testenv.EachEnsemble(t, voters, func(t *testing.T, kinds []string) {
		d := newDrill(t, kinds, setup{network: true})
		for range testenv.InDrill(1, 8) {
			for _, c := range cuts {
				d.partition(c)
			}
		}
		d.check()
	})
}

func (d *drill) partition(c cut) {
	d.Helper()
	leader := d.leader()
	d.progress()
	var others []int
	for _, m := range d.e.Others(leader) {
		others = append(others, m.SID)
	}
	from := time.Now()
	c.make(d, leader.SID, others)
	if c.deposed {
		d.elsewhere(leader)
		if err := leader.AwaitIdle(limit); err != nil {
			d.Errorf("%s: %v", c.name, err)
		}
	}
	d.progress()
	d.measure(c.name, from)
	d.network.Heal()
	d.leader()
	d.progress()
}

// TestLossAndDelay runs on bad lines, and changes leaders on them.
func TestLossAndDelay(t *testing.T) {
	testenv.EachEnsemble(t, voters, func(t *testing.T, kinds []string) {
		d := newDrill(t, kinds, setup{network: true})
		for _, l := range []testenv.Link{
			{Delay: 20 * time.Millisecond, Jitter: 20 * time.Millisecond},
			{Loss: 0.03, Delay: time.Millisecond, Jitter: 3 * time.Millisecond},
		} {
			for range testenv.InDrill(1, 10) {
				leader := d.leader()
				d.between(l)
				d.progress()
				from := time.Now()
				leader.Kill()
				d.elsewhere(leader)
				d.progress()
				d.measure("leader killed on bad lines", from)
				d.must(leader.Restart())
				d.progress()
				d.network.Heal()
			}
		}
		d.check()
	})
}

// between sets the links between members; those of clients stay good.
func (d *drill) between(l testenv.Link) {
	for _, a := range d.e.Members {
		for _, b := range d.e.Members {
			d.network.Set(a.SID, b.SID, l)
		}
	}
}

// TestCutSoon makes and heals short cuts one after the other, shorter than what
// any time-out notices and longer.
func TestCutSoon(t *testing.T) {
	testenv.EachEnsemble(t, voters, func(t *testing.T, kinds []string) {
		d := newDrill(t, kinds, setup{network: true})
		for range testenv.InDrill(4, 60) {
			a, b := 1+d.r.IntN(voters), 1+d.r.IntN(voters)
			if a == b {
				continue
			}
			d.network.PartOneWay([]int{a}, []int{b})
			d.standstill(time.Duration(d.r.Int64N(int64(testenv.SyncLimit))))
			d.network.Heal()
			d.progress()
		}
		d.check()
	})
}
