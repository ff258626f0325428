package ensemble

import (
	"encoding/binary"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"zooid/integration/testenv"
	"zooid/wire"
)

// gapMax is how long writes may stop because of strangers: far less than an
// election takes that somebody waits for, and generous for a busy machine.
const gapMax = 3 * time.Second

// learnerSays is what a learner says first: who it is and which epoch it has
// promised, and that it promises the leader's.
func learnerSays(t wire.PacketType, sid wire.SID, epoch int64) []byte {
	info := wire.LearnerInfo{SID: sid, ProtocolVersion: wire.ProtocolVersion}
	p := wire.QuorumPacket{Type: t, Zxid: wire.Zxid(epoch << 32), Data: info.Append(nil)}
	return p.Append(nil)
}

func promiseOf(last wire.Zxid, epoch int32) []byte {
	p := wire.QuorumPacket{Type: wire.PacketAckEpoch, Zxid: last, Data: binary.BigEndian.AppendUint32(nil, uint32(epoch))}
	return p.Append(nil)
}

// pester has strangers connect to all members, some forty times a second, until
// stop is called: learners with the members' numbers that go as far as they can,
// voters with far epochs, leaders that nobody has elected, and noise.
func (d *drill) pester() (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	noise := make([]byte, 512)
	for i := range noise {
		noise[i] = byte(d.r.Uint32())
	}
	go func() {
		defer close(done)
		var open []net.Conn
		beat := time.NewTicker(75 * time.Millisecond)
		defer beat.Stop()
		for i := 0; ; i++ {
			select {
			case <-quit:
				d.closeAll(open)
				return
			case <-beat.C:
			}
			for _, m := range d.e.Members {
				sid := wire.SID(i%voters + 1)
				quorum := [][]byte{
					learnerSays(wire.PacketFollowerInfo, sid, 0),
					slices.Concat(learnerSays(wire.PacketFollowerInfo, sid, 0), promiseOf(0, 0)),
					learnerSays(wire.PacketFollowerInfo, sid, 1<<20),
					learnerSays(wire.PacketObserverInfo, strangerID, 1<<20),
					noise,
				}
				election := [][]byte{
					greeting(sid),
					slices.Concat(greeting(sid), claim(wire.Leading, sid, highEpoch)),
					slices.Concat(greeting(strangerID), claim(wire.Looking, strangerID, highEpoch)),
					noise,
				}
				open = append(open, d.send(m.QuorumAddr(), quorum[i%len(quorum)]), d.send(m.ElectionAddr(), election[i%len(election)]))
				for sid := range wire.SID(voters) { // twelve times a second with each follower's number
					open = append(open, d.send(m.QuorumAddr(), learnerSays(wire.PacketFollowerInfo, sid+1, 0)))
				}
			}
			if n := len(open) - 600; n > 0 {
				d.closeAll(open[:n])
				open = slices.Delete(open, 0, n)
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// TestStrangers has strangers at all ports under load: nobody who is in step is
// thrown out, the leader stays, and the epoch; and in an election among them the
// epoch grows as it would without them.
func TestStrangers(t *testing.T) {
	d := newDrill(t, mixed(t, testenv.KindZooid, testenv.KindZooid, testenv.KindZooid), setup{})
	leader, epoch := d.leader(), d.epoch()
	from := time.Now()
	stop := d.pester()
	d.standstill(4 * time.Second)
	d.progress()
	d.measureWithin(gapMax, "strangers at all ports", from)
	if now := d.leader(); now != leader || d.epoch() != epoch {
		t.Errorf("member %d leads in epoch %d among strangers, member %d in %d before", now.SID, d.epoch(), leader.SID, epoch)
	}
	for _, m := range d.e.Members {
		if n := strings.Count(m.Log(), "refus"); n > 100 {
			t.Errorf("member %d has %d lines about strangers", m.SID, n)
		}
	}
	follower := d.e.Others(leader)[0]
	d.killAndRestart(follower, "follower restarted among strangers")
	d.killAndRestart(leader, "leader killed among strangers")
	stop()
	if now := d.epoch(); now > epoch+100 {
		t.Errorf("epoch %d after an election among strangers, %d before", now, epoch)
	}
	d.check()
}

// idleConns is how many connections that say nothing each port gets.
const idleConns = 1000

// TestIdleConnections fills the leader's ports with connections that say nothing
// and restarts a follower: it is back as quickly as without them.
func TestIdleConnections(t *testing.T) {
	d := newDrill(t, mixed(t, testenv.KindZooid, testenv.KindZooid, testenv.KindZooid), setup{})
	leader := d.leader()
	var open []net.Conn
	fill := func(n int) {
		for range n {
			open = append(open, d.send(leader.QuorumAddr(), nil), d.send(leader.ElectionAddr(), nil))
		}
	}
	fill(idleConns)
	follower := d.e.Others(leader)[0]
	follower.Kill()
	fill(10) // in its place too
	from := time.Now()
	d.must(follower.Restart())
	d.progress()
	d.measureWithin(gapMax, "follower restarted beside idle connections", from)
	if took := time.Since(from); took > 2*testenv.SyncLimit {
		t.Errorf("a follower is back %v after it was started beside %d idle connections", took, idleConns)
	}
	if now := d.leader(); now != leader {
		t.Errorf("member %d leads, member %d did before", now.SID, leader.SID)
	}
	d.closeAll(open)
	d.check()
}

// TestUnlistedServers has an observer and a follower join that only their own
// files name, of each kind below a leader of each kind.
func TestUnlistedServers(t *testing.T) {
	const zooid, java = testenv.KindZooid, testenv.KindJava
	for name, kinds := range map[string][]string{
		"Zooid":            {zooid, zooid, zooid, zooid, zooid},
		"Java below Zooid": {zooid, zooid, zooid, java, java},
		"Zooid below Java": {zooid, zooid, java, zooid, zooid},
	} {
		t.Run(name, func(t *testing.T) {
			s := setup{prepared: true}
			s.Observers = 1
			d := newDrill(t, mixed(t, kinds...), s)
			all := d.e.ServerLines()
			old, follower, observer := d.e.Members[:3], d.e.Member(4), d.e.Member(5)
			for _, m := range old {
				m.SetServerLines(all[:3])
				d.must(m.Launch())
			}
			for range 3 { // with equal data the greatest number wins the next election
				leader, err := d.e.AwaitServing(limit, old...)
				d.must(err)
				if leader.SID == 3 {
					break
				}
				leader.Kill()
				d.must(errOf(d.e.AwaitServing(limit, slices.DeleteFunc(slices.Clone(old), func(m *testenv.Member) bool { return m == leader })...)))
				d.must(leader.Launch())
			}
			follower.SetServerLines(all[:4])
			observer.SetServerLines(slices.Concat(all[:3], all[4:]))
			for _, m := range []*testenv.Member{follower, observer} {
				d.must(m.Launch())
				d.must(errOf(d.e.AwaitServing(limit, append(slices.Clone(old), m)...)))
			}
			d.load()
			d.must(follower.AwaitMode(limit, testenv.ModeFollower))
			d.must(observer.AwaitMode(limit, testenv.ModeObserver))
			// They have no vote: with two of the three gone there is no quorum.
			d.e.Member(1).Kill()
			d.e.Member(2).Kill()
			d.must(d.e.Member(3).AwaitIdle(limit))
			d.check()
		})
	}
}

func errOf(_ *testenv.Member, err error) error { return err }

// TestGrowByRestarts walks from three members to five as docs/operations.md says,
// under load, and then does without two of them.
func TestGrowByRestarts(t *testing.T) {
	zooid := testenv.KindZooid
	d := newDrill(t, mixed(t, zooid, zooid, zooid, zooid, zooid), setup{prepared: true, servers: []int{1, 2, 3}})
	all := d.e.ServerLines()
	old, fourth, fifth := d.e.Members[:3], d.e.Member(4), d.e.Member(5)
	for _, m := range old {
		m.SetServerLines(all[:3])
		d.must(m.Launch())
	}
	leader, err := d.e.AwaitServing(limit, old...)
	d.must(err)
	d.load()

	from := time.Now()
	d.must(fourth.Launch())
	four := d.e.Members[:4]
	d.must(errOf(d.e.AwaitServing(limit, four...)))
	d.progress()
	for _, m := range append(slices.DeleteFunc(slices.Clone(old), func(m *testenv.Member) bool { return m == leader }), leader) {
		_, err := m.Stop()
		d.must(err)
		m.SetServerLines(all)
		d.must(m.Launch())
		d.must(errOf(d.e.AwaitServing(limit, four...)))
		d.progress()
	}
	d.must(fifth.Launch())
	leader = d.leader()
	d.progress()
	d.measure("three grown to five", from)

	leader.Kill()
	d.e.Others(leader)[0].Kill()
	d.elsewhere(leader, d.e.Others(leader)[0])
	d.progress()
	d.check()
}
