package ensemble

import (
	"testing"
	"time"

	"zooid/integration/testenv"
)

// fault is something that happens to an ensemble of which a quorum is left: it
// is begun, and ended.
type fault struct {
	name       string
	begin, end func(d *drill, m *testenv.Member) error
}

var faults = []fault{
	{"kill -9", kill, start},
	{"SIGTERM", func(_ *drill, m *testenv.Member) error { _, err := m.Stop(); return err }, start},
	{"SIGSTOP", func(_ *drill, m *testenv.Member) error { return m.Pause() }, func(_ *drill, m *testenv.Member) error { return m.Resume() }},
	{"empty disk", func(_ *drill, m *testenv.Member) error { m.Kill(); return m.Wipe() }, start},
	{"alone", func(d *drill, m *testenv.Member) error { d.network.Part([]int{m.SID}, d.otherHosts(m)); return nil }, heal},
	{"not heard", func(d *drill, m *testenv.Member) error {
		d.network.PartOneWay([]int{m.SID}, d.otherHosts(m))
		return nil
	}, heal},
	{"deaf", func(d *drill, m *testenv.Member) error {
		d.network.PartOneWay(d.otherHosts(m), []int{m.SID})
		return nil
	}, heal},
	{"bad lines", func(d *drill, _ *testenv.Member) error {
		d.between(testenv.Link{Loss: 0.02, Delay: 5 * time.Millisecond, Jitter: 10 * time.Millisecond})
		return nil
	}, heal},
}

func kill(_ *drill, m *testenv.Member) error { m.Kill(); return nil }

func start(_ *drill, m *testenv.Member) error { return m.Launch() }

func heal(d *drill, _ *testenv.Member) error { d.network.Heal(); return nil }

func (d *drill) otherHosts(m *testenv.Member) (hosts []int) {
	for _, o := range d.e.Others(m) {
		hosts = append(hosts, o.SID)
	}
	return hosts
}

// TestRandom lets the dice choose a fault, a member and the moments, again and
// again, without waiting for the ensemble to have settled in between: only the
// disk that is replaced needs the two others whole.
func TestRandom(t *testing.T) {
	testenv.EachEnsemble(t, voters, func(t *testing.T, kinds []string) {
		d := newDrill(t, kinds, setup{network: true})
		for range testenv.InDrill(6, 150) {
			f := faults[d.r.IntN(len(faults))]
			m := d.e.Members[d.r.IntN(voters)]
			if f.name == "empty disk" {
				d.leader()
			}
			if testing.Verbose() {
				t.Logf("%s: member %d", f.name, m.SID)
			}
			from := time.Now()
			d.must(f.begin(d, m))
			d.standstill(time.Duration(d.r.Int64N(int64(testenv.SyncLimit))))
			d.must(f.end(d, m))
			if f.name == "empty disk" {
				d.leader()
			}
			d.progress()
			d.measure(f.name, from)
		}
		d.check()
	})
}
