package ensemble

import (
	"testing"
	"time"

	"zooid/integration/testenv"
)

// TestFullDisk fills the disk of a follower, then of the leader: the others go
// on, nothing is lost, and the member comes back by itself, or if its process
// has ended by being started, when there is room.
func TestFullDisk(t *testing.T) {
	testenv.EachEnsemble(t, voters, func(t *testing.T, kinds []string) {
		disks := map[int]testenv.Disk{}
		for sid := 1; sid <= voters; sid++ {
			disks[sid] = testenv.Disk{Size: 64 << 20}
		}
		d := newDrill(t, kinds, setup{EnsembleConfig: testenv.EnsembleConfig{Disks: disks}})
		for range testenv.InDrill(1, 10) {
			leader := d.leader()
			d.fill(d.e.Others(leader)[0], "disk of a follower full")
			d.fill(d.leader(), "disk of the leader full")
		}
		d.check()
	})
}

func (d *drill) fill(m *testenv.Member, what string) {
	d.Helper()
	d.progress()
	from := time.Now()
	d.must(m.FillDisk())
	d.progress()
	// Enough writes that its log would have grown beyond any block that it had
	// left.
	d.must(d.h.AwaitAcked(10*enough, limit))
	d.measure(what, from)
	d.must(m.FreeDisk())
	if m.Kind == testenv.KindZooid && !m.Running() {
		d.Errorf("member %d ended when its disk was full", m.SID)
	}
	d.must(d.e.Start())
	d.progress()
}

// TestSlowDisk gives one follower a disk that takes a tenth of a second and
// more for a sync: the other two are a quorum, and do not wait for it.
func TestSlowDisk(t *testing.T) {
	testenv.EachEnsemble(t, voters, func(t *testing.T, kinds []string) {
		disks := map[int]testenv.Disk{1: {Slow: 20}}
		d := newDrill(t, kinds, setup{EnsembleConfig: testenv.EnsembleConfig{Disks: disks}})
		from := time.Now()
		d.must(d.h.AwaitAcked(int64(testenv.InDrill(300, 5000)), limit))
		d.measure("with a slow follower", from)
		leader := d.leader()
		if leader.SID != 1 {
			from = time.Now()
			leader.Kill()
			d.elsewhere(leader)
			d.progress() // now the slow disk is needed
			d.measure("leader killed, slow follower needed", from)
			d.must(leader.Restart())
		}
		d.check()
	})
}

// TestReplaceDisk gives a member that was killed an empty disk, as one does
// when it has broken: it gets everything from the others. The two others must
// be there meanwhile, for it has forgotten what it promised.
func TestReplaceDisk(t *testing.T) {
	testenv.EachEnsemble(t, voters, func(t *testing.T, kinds []string) {
		d := newDrill(t, kinds, setup{})
		for range testenv.InDrill(1, 10) {
			for _, m := range []*testenv.Member{d.e.Others(d.leader())[0], d.leader()} {
				m.Kill()
				d.elsewhere(m)
				d.progress()
				d.must(m.Wipe())
				d.must(m.Restart())
				d.progress()
			}
		}
		d.check()
	})
}
