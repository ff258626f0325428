package ensemble

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"zooid/integration/testenv"
	"zooid/wire"
)

// The ids of peers that do not exist.
const (
	strangerID wire.SID = 99
	// highEpoch is far above any epoch of a drill.
	highEpoch int64 = 0x7ffffff0
)

// frame puts the length in front.
func frame(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// greeting is what a peer says first on an election connection. The address
// that it announces is one at which nobody answers.
func greeting(sid wire.SID) []byte {
	g := wire.Greeting{SID: sid, Addrs: []string{"127.0.0.1:1"}}
	return g.Append(nil)
}

// claim is a notification of somebody who says that he leads, or follows.
func claim(state wire.PeerState, leader wire.SID, epoch int64) []byte {
	n := wire.Notification{State: state, Round: 1000, Vote: wire.Vote{Leader: leader, Zxid: wire.Zxid(epoch<<32 | 7), PeerEpoch: epoch}}
	return frame(n.Append(nil))
}

// electionNonsense is what comes to election ports.
func electionNonsense() map[string][]byte {
	version := func(v int64, sid int64, size int32) []byte {
		b := binary.BigEndian.AppendUint64(nil, uint64(v))
		b = binary.BigEndian.AppendUint64(b, uint64(sid))
		return binary.BigEndian.AppendUint32(b, uint32(size))
	}
	after := func(b ...[]byte) []byte { return slices.Concat(append([][]byte{greeting(strangerID)}, b...)...) }
	negativeConfig := append(claim(wire.Leading, strangerID, highEpoch)[4:44], 0xff, 0xff, 0xff, 0xff)
	return map[string][]byte{
		"nothing":               {},
		"text":                  []byte("GET / HTTP/1.0\r\n\r\n"),
		"half a greeting":       greeting(strangerID)[:13],
		"unknown version":       version(-7, 1, 4),
		"empty address":         version(-65536, 1, 0),
		"negative address":      version(-65536, 1, -1),
		"endless address":       version(-65536, 1, 1<<30),
		"unknown id":            after(claim(wire.Leading, strangerID, highEpoch)),
		"pre-3.5 unknown id":    binary.BigEndian.AppendUint64(nil, uint64(strangerID)),
		"anonymous observer":    binary.BigEndian.AppendUint64(nil, 1<<63-1),
		"empty frame":           after(frame(nil)),
		"endless frame":         after([]byte{0x7f, 0xff, 0xff, 0xff}),
		"negative frame":        after([]byte{0xff, 0xff, 0xff, 0xff}),
		"short frame":           after(frame([]byte("nonsense"))),
		"unknown state":         after(claim(7, strangerID, highEpoch)),
		"negative config":       after(frame(negativeConfig)),
		"half a frame":          after(claim(wire.Leading, strangerID, highEpoch)[:20]),
		"greeting of member 1":  slices.Concat(greeting(1), claim(wire.Leading, 1, highEpoch)),
		"greeting of member 2":  slices.Concat(greeting(2), claim(wire.Leading, 2, highEpoch)),
		"greeting of member 3":  slices.Concat(greeting(3), claim(wire.Leading, 3, highEpoch)),
		"follower of a phantom": slices.Concat(greeting(3), claim(wire.Following, strangerID, highEpoch)),
		"looking, newer round":  slices.Concat(greeting(3), claim(wire.Looking, 3, highEpoch)),
	}
}

// quorumNonsense is what comes to quorum ports.
func quorumNonsense() map[string][]byte {
	packet := func(t wire.PacketType, zxid wire.Zxid, data []byte) []byte {
		p := wire.QuorumPacket{Type: t, Zxid: zxid, Data: data}
		return p.Append(nil)
	}
	info := func(sid wire.SID) []byte {
		i := wire.LearnerInfo{SID: sid, ProtocolVersion: wire.ProtocolVersion}
		return i.Append(nil)
	}
	epoch := wire.Zxid(highEpoch << 32)
	header := func(size uint32) []byte {
		b := binary.BigEndian.AppendUint32(nil, uint32(wire.PacketFollowerInfo))
		return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(b, 0), size)
	}
	return map[string][]byte{
		"nothing":                   {},
		"text":                      []byte("GET / HTTP/1.0\r\n\r\n"),
		"half a packet":             packet(wire.PacketFollowerInfo, 0, info(strangerID))[:15],
		"endless data":              header(0x7fffffff),
		"negative data":             header(0xfffffff0),
		"endless identities":        append(header(0), 0x7f, 0xff, 0xff, 0xff),
		"unknown type":              packet(77, 0, nil),
		"short info":                packet(wire.PacketFollowerInfo, 0, []byte{1, 2, 3}),
		"no info":                   packet(wire.PacketFollowerInfo, 0, nil),
		"begins with a proposal":    packet(wire.PacketProposal, epoch|1, []byte("x")),
		"begins with a commit":      packet(wire.PacketCommit, epoch|1, nil),
		"begins as a leader":        packet(wire.PacketLeaderInfo, epoch, []byte{0, 1, 0, 0}),
		"unknown id, high epoch":    packet(wire.PacketFollowerInfo, epoch, info(strangerID)),
		"observer, high epoch":      packet(wire.PacketObserverInfo, epoch, info(strangerID)),
		"member 1, high epoch":      packet(wire.PacketFollowerInfo, epoch, info(1)),
		"promises a higher history": slices.Concat(packet(wire.PacketFollowerInfo, 0, info(strangerID)), packet(wire.PacketAckEpoch, epoch|7, []byte{0x7f, 0xff, 0xff, 0xf0})),
		"short promise":             slices.Concat(packet(wire.PacketFollowerInfo, 0, info(strangerID)), packet(wire.PacketAckEpoch, 0, []byte{1})),
		"request before its time":   slices.Concat(packet(wire.PacketFollowerInfo, 0, info(strangerID)), packet(wire.PacketRequest, -1, []byte("nonsense"))),
	}
}

// TestBadPackets sends nonsense to every member's ports, under load: nobody
// steps down, no epoch changes, writes go on.
func TestBadPackets(t *testing.T) {
	testenv.EachEnsemble(t, voters, func(t *testing.T, kinds []string) {
		d := newDrill(t, kinds, setup{})
		leader, epoch := d.leader(), d.epoch()
		var open []net.Conn
		for _, m := range d.e.Members {
			open = append(open, d.sendAll(m.ElectionAddr(), electionNonsense())...)
			open = append(open, d.sendAll(m.QuorumAddr(), quorumNonsense())...)
			d.progress()
		}
		d.closeAll(open)
		d.progress()
		if now := d.leader(); now != leader || d.epoch() != epoch {
			t.Errorf("member %d leads in epoch %d after the nonsense, member %d in %d before", now.SID, d.epoch(), leader.SID, epoch)
		}
		// An election among the nonsense's consequences.
		d.killAndRestart(leader, "leader killed after nonsense")
		if now := d.epoch(); now > epoch+3 {
			t.Errorf("epoch %d after one more election, %d before: somebody believed the nonsense", now, epoch)
		}
		d.check()
	})
}

// TestSilentPeers holds connections open that say nothing, on all ports, while
// a leader is elected.
func TestSilentPeers(t *testing.T) {
	testenv.EachEnsemble(t, voters, func(t *testing.T, kinds []string) {
		d := newDrill(t, kinds, setup{})
		leader := d.leader()
		var open []net.Conn
		for _, m := range d.e.Members {
			for range 2 {
				open = append(open, d.send(m.ElectionAddr(), nil), d.send(m.QuorumAddr(), nil))
			}
		}
		d.killAndRestart(leader, "leader killed among silent peers")
		d.closeAll(open)
		d.check()
	})
}

// TestImpostor leaves one member of three, which looks for a leader, and has
// somebody claim to be the others, leading in a high epoch: the member may not
// serve, nor remember that epoch, nor lose anything.
func TestImpostor(t *testing.T) {
	testenv.EachEnsemble(t, voters, func(t *testing.T, kinds []string) {
		d := newDrill(t, kinds, setup{})
		d.leader()
		epoch := d.epoch()
		left := d.e.Member(1)
		for _, m := range d.e.Others(left) {
			m.Kill()
		}
		d.must(left.AwaitIdle(limit))
		var open []net.Conn
		open = append(open, d.sendAll(left.ElectionAddr(), electionNonsense())...)
		open = append(open, d.sendAll(left.ElectionAddr(), map[string][]byte{
			"leader":   slices.Concat(greeting(3), claim(wire.Leading, 3, highEpoch)),
			"follower": slices.Concat(greeting(2), claim(wire.Following, 3, highEpoch)),
			"stranger": slices.Concat(greeting(strangerID), claim(wire.Following, 3, highEpoch)),
		})...)
		d.standstill(testenv.SyncLimit / 2)
		if mode, err := left.Mode(); err == nil {
			t.Errorf("a member whose peers are impostors is %s", mode)
		}
		d.closeAll(open)
		d.must(d.e.Start())
		d.progress()
		if now := d.epoch(); now > epoch+5 {
			t.Errorf("epoch %d after the impostor, %d before", now, epoch)
		}
		d.check()
	})
}

// sendAll sends each text on a connection of its own, in an order of the dice.
func (d *drill) sendAll(addr string, texts map[string][]byte) (open []net.Conn) {
	names := slices.Sorted(maps.Keys(texts))
	for _, i := range d.r.Perm(len(names)) {
		open = append(open, d.send(addr, texts[names[i]]))
	}
	return open
}

// send connects and sends; what answers is nobody's concern, nor that a port
// is closed, as a follower's quorum port may be.
func (d *drill) send(addr string, bytes []byte) net.Conn {
	nc, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return nil
	}
	_ = nc.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = nc.Write(bytes)
	return nc
}

func (d *drill) closeAll(open []net.Conn) {
	for _, nc := range open {
		if nc != nil {
			nc.Close()
		}
	}
}

// epoch is that of the newest transaction.
func (d *drill) epoch() int64 {
	d.Helper()
	var newest int64
	for _, m := range d.e.Members {
		if !m.Running() {
			continue
		}
		text, err := m.Word("srvr")
		d.must(err)
		_, rest, ok := strings.Cut(text, "\nZxid: 0x")
		if !ok {
			continue // it has no leader
		}
		hex, _, _ := strings.Cut(rest, "\n")
		zxid, err := strconv.ParseUint(hex, 16, 64)
		d.must(err)
		newest = max(newest, int64(zxid>>32))
	}
	return newest
}

// TestDuplicateMember starts one more process with the id of a member that
// runs, which has it at another address: the ensemble goes on, whoever is
// heard, and when the second is gone the first is a member as before.
func TestDuplicateMember(t *testing.T) {
	testenv.EachEnsemble(t, voters, func(t *testing.T, kinds []string) {
		d := newDrill(t, kinds, setup{})
		leader := d.leader()
		twin := d.e.Others(leader)[0]
		lines := d.e.ServerLines()
		lines[twin.SID-1] = fmt.Sprintf("server.%d=127.0.0.1:%d:%d\n", twin.SID, testenv.FreePort(t), testenv.FreePort(t))
		second := testenv.PrepareMember(t, twin, lines)
		d.must(second.Launch())
		d.progress()
		d.standstill(testenv.SyncLimit / 2)
		d.progress()
		if second.Running() {
			second.Kill()
		}
		d.leader()
		d.progress()
		d.check()
	})
}
