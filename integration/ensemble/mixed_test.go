package ensemble

import (
	"os"
	"strings"
	"testing"
	"time"

	"zooid/integration/testenv"
)

// mixed are the members of a mixed ensemble: with equal data the greatest id
// leads, so the last kind does.
func mixed(t *testing.T, kinds ...string) []string {
	t.Helper()
	if v := os.Getenv("ZOOID_TEST_TARGET"); v != "" && v != testenv.KindZooid {
		t.Skipf("this drill names its members itself, and ZOOID_TEST_TARGET is %s", v)
	}
	return kinds
}

// TestJavaFollower has a Java member follow a Zooid leader under writes: it is
// killed and comes back, then the leader is.
func TestJavaFollower(t *testing.T) {
	killEach(t, mixed(t, testenv.KindJava, testenv.KindZooid, testenv.KindZooid),
		"Java follower killed", "Zooid leader over a Java follower killed")
}

// TestJavaLeader has Zooid members follow a Java leader under writes: one is
// killed and comes back, then the leader is.
func TestJavaLeader(t *testing.T) {
	killEach(t, mixed(t, testenv.KindZooid, testenv.KindZooid, testenv.KindJava),
		"Zooid follower of a Java leader killed", "Java leader killed")
}

// killEach kills the first member, a follower, and then the last one, the leader.
func killEach(t *testing.T, kinds []string, follower, leader string) {
	t.Helper()
	d := newMixed(t, kinds)
	for range testenv.InDrill(1, 10) {
		d.lead(3)
		d.progress()
		d.killAndRestart(d.e.Member(1), follower)
		d.killAndRestart(d.e.Member(3), leader)
	}
	d.check()
}

// TestTruncatedMember has a member come back that logged what no quorum has:
// of either kind, below a leader of the other.
func TestTruncatedMember(t *testing.T) {
	for _, kinds := range [][]string{
		{testenv.KindZooid, testenv.KindZooid, testenv.KindJava},
		{testenv.KindJava, testenv.KindJava, testenv.KindZooid},
	} {
		t.Run(kinds[2], func(t *testing.T) {
			d := newMixed(t, mixed(t, kinds...))
			d.lead(3)
			d.progress()
			// The leader alone goes on logging what its clients ask for, until it
			// notices: nobody else has it.
			leader := d.e.Member(3)
			for _, m := range d.e.Others(leader) {
				d.must(m.Pause())
			}
			d.standstill(testenv.SyncLimit / 4)
			leader.Kill()
			for _, m := range d.e.Others(leader) {
				d.must(m.Resume())
			}
			d.elsewhere(leader)
			d.progress()
			d.must(leader.Restart())
			d.progress()
			d.check()
		})
	}
}

// TestNewerConfiguration has a Zooid member join an ensemble of Apache ZooKeeper
// that gives its configuration a version, as one does that may be reconfigured: a
// member with another version must not go on, and says what to do.
func TestNewerConfiguration(t *testing.T) {
	const zooid, java = testenv.KindZooid, testenv.KindJava
	s := setup{prepared: true}
	s.Keys = map[string]string{"reconfigEnabled": "true"}
	d := newDrill(t, mixed(t, zooid, java, java), s)
	ours, others := d.e.Member(1), d.e.Members[1:]
	for _, m := range others {
		d.must(m.Launch())
	}
	d.must(errOf(d.e.AwaitServing(limit, others...)))
	d.must(ours.Launch())
	for until := time.Now().Add(limit); ours.Running(); d.standstill(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("goes on with the configuration that it has")
		}
	}
	if text := ours.Log(); !strings.Contains(text, "changed by reconfig") || !strings.Contains(text, "dynamicConfigFile") {
		t.Errorf("does not say what to do:\n%s", text)
	}
	d.must(errOf(d.e.AwaitServing(limit, others...)))
}

func newMixed(t *testing.T, kinds []string) *drill {
	d := newDrill(t, kinds, setup{prepared: true})
	d.must(d.e.Start())
	d.lead(3)
	d.load()
	return d
}

// lead makes the member the leader: when the leader is killed and what the
// members have is equal, the greatest id wins. Under load it takes luck.
func (d *drill) lead(sid int) {
	d.Helper()
	for range 20 {
		leader := d.leader()
		if leader.SID == sid {
			return
		}
		leader.Kill()
		d.elsewhere(leader)
		d.must(leader.Restart())
	}
	d.Fatalf("member %d does not come to lead", sid)
}

func (d *drill) killAndRestart(m *testenv.Member, what string) {
	d.Helper()
	from := time.Now()
	m.Kill()
	d.elsewhere(m)
	d.progress()
	d.measure(what, from)
	d.must(m.Restart())
	d.progress()
}
