package ensemble

import (
	"errors"
	"testing"
	"time"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/wire"
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
	if m.Kind == testenv.KindZooid { // it looks at its disk now and then
		testenv.Await(d, limit, "a member with a full disk does not lead while others have room", func() bool {
			mode, err := m.Mode()
			return err != nil || mode != testenv.ModeLeader
		})
	}
	d.must(m.FreeDisk())
	if m.Kind == testenv.KindZooid && !m.Running() {
		d.Errorf("member %d ended when its disk was full", m.SID)
	}
	d.must(d.e.Start())
	d.progress()
}

// TestAllDisksFull fills the disks of all members: writes are refused by whichever
// member they are asked of, reads and sessions go on, and so do writes when there
// is room.
func TestAllDisksFull(t *testing.T) {
	disks := map[int]testenv.Disk{}
	for sid := 1; sid <= voters; sid++ {
		disks[sid] = testenv.Disk{Size: 64 << 20}
	}
	kinds := []string{testenv.KindZooid, testenv.KindZooid, testenv.KindZooid}
	e := testenv.StartEnsemble(t, testenv.EnsembleConfig{Kinds: kinds, Disks: disks})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	open := func(m *testenv.Member) *rawclient.Conn {
		t.Helper()
		c, err := rawclient.Open(m.Addr, rawclient.Options{})
		must(err)
		t.Cleanup(func() { c.Close() })
		return c
	}
	if _, _, err := open(e.Members[0]).Create("/n", []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	// Almost full: what is kept free is for sessions, and for the members' own.
	for _, m := range e.Members {
		must(m.FillDiskTo(2 << 20))
	}
	full := func(m *testenv.Member) string {
		values, err := m.Monitor()
		if err != nil {
			return err.Error()
		}
		return values["zooid_disk_full"]
	}
	for _, m := range e.Members {
		testenv.Await(t, limit, "a member says that its disk is full", func() bool { return full(m) == "1" })
	}
	// Each leads once, for another one may have more room, and then one of them
	// has to. Who connects meanwhile may be let go.
	refused := func() bool {
		if _, err := e.AwaitServing(limit); err != nil {
			t.Fatal(err)
		}
		for _, m := range e.Members {
			c, err := rawclient.Open(m.Addr, rawclient.Options{})
			if err != nil {
				return false
			}
			_, err = c.SetData("/n", []byte("y"), -1)
			c.Close()
			if !errors.Is(err, wire.ErrNotReadOnly) {
				return false
			}
		}
		return true
	}
	testenv.Await(t, limit, "every member refuses writes", refused)
	var conns []*rawclient.Conn
	for _, m := range e.Members {
		conns = append(conns, open(m))
	}
	for i, c := range conns {
		if _, err := c.SetData("/n", []byte("y"), -1); !errors.Is(err, wire.ErrNotReadOnly) {
			t.Errorf("a write on member %d: %v", i+1, err)
		}
		if _, _, err := c.GetData("/n", false); err != nil {
			t.Errorf("a read on member %d: %v", i+1, err)
		}
		if err := c.Ping(); err != nil {
			t.Errorf("a ping to member %d: %v", i+1, err)
		}
	}
	for _, m := range e.Members {
		must(m.FreeDisk())
	}
	for i, c := range conns {
		testenv.Await(t, limit, "writes go on", func() bool { _, err := c.SetData("/n", []byte{byte(i)}, -1); return err == nil })
	}
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
