package zab

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"zooid/wire"
)

// TestElectionTranscripts plays the files of testdata/election. Their commands:
//
//	ensemble            who belongs to it: a line each, as "1 epoch=1 last=0x100000004",
//	                    "4 observer", "group 1 = 1:2", "weight 1 = 2"
//	start 1 2           processes start, and look
//	look 1 2            a role ends and the next round begins
//	disk 1 epoch=.. last=..   what a disk holds from now on
//	kill 3              a process ends
//	freeze 3; thaw 3    a process stops and goes on
//	silence 3           a member resigns for good
//	established epoch=2 the leader's epoch is agreed on by those that have a leader
//	cut 1 2; mend 1 2   the way between two members breaks and is repaired
//	lose 1 2            what is under way between them is lost
//	tell 1 2 state=.. leader=.. epoch=.. last=.. round=.. version=.. config=..
//	                    1 says something to 2
//	deliver n=3         the next three notifications arrive
//	run ms=1000         time passes until everybody has a role; 1 s if nothing is said
//	state               what everybody is
//
// A notification takes 1 ms. Run with -rewrite to accept what happens now, and
// read the difference.
func TestElectionTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/election", func(t *testing.T, path string) {
		var net *electionNet
		var out strings.Builder
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out.Reset()
			if d.Cmd == "ensemble" {
				net = electionEnsemble(t, d.Input)
				net.log = func(format string, args ...any) { fmt.Fprintf(&out, format, args...) }
				return "ok\n"
			}
			electionCommand(t, net, d, &out)
			return cmp.Or(out.String(), "ok\n")
		})
	})
}

func electionCommand(t *testing.T, net *electionNet, d *datadriven.TestData, out *strings.Builder) {
	var sids []wire.SID
	for _, a := range d.CmdArgs {
		if sid, err := strconv.Atoi(a.Key); err == nil {
			sids = append(sids, wire.SID(sid))
		}
	}
	each := func(do func(wire.SID)) {
		for _, sid := range sids {
			do(sid)
		}
	}
	switch d.Cmd {
	case "start":
		each(net.start)
	case "look":
		each(net.look)
	case "kill":
		each(net.kill)
	case "freeze", "thaw":
		each(func(sid wire.SID) { net.member(sid).frozen = d.Cmd == "freeze" })
	case "disk":
		m := net.member(sids[0])
		m.epoch = electionNumber(t, d, "epoch", m.epoch)
		m.last = wire.Zxid(electionNumber(t, d, "last", int64(m.last)))
	case "silence":
		each(func(sid wire.SID) { net.member(sid).silence() })
	case "established":
		for _, m := range net.members {
			if m.up && m.state != wire.Looking {
				m.established(electionNumber(t, d, "epoch", 0))
			}
		}
	case "cut":
		net.cut(sids[0], sids[1])
	case "mend":
		net.mend(sids[0], sids[1])
	case "lose":
		net.flights = slices.DeleteFunc(net.flights, func(f flight) bool { return slices.Contains(sids, f.from) && slices.Contains(sids, f.to) })
	case "tell":
		net.say(sids[0], sids[1], electionNotification(t, d))
	case "deliver":
		for range electionNumber(t, d, "n", 1) {
			net.now = max(net.now, net.flights[0].at)
			net.deliver(0)
		}
	case "run":
		net.run(electionNumber(t, d, "ms", 1000))
	case "state":
		for _, m := range net.members {
			fmt.Fprintf(out, "%d: %s\n", m.sid, describeMember(m))
		}
	default:
		t.Fatalf("unknown command %s", d.Cmd)
	}
}

func electionNumber(t *testing.T, d *datadriven.TestData, key string, otherwise int64) int64 {
	if !d.HasArg(key) {
		return otherwise
	}
	var text string
	d.ScanArgs(t, key, &text)
	n, err := strconv.ParseInt(text, 0, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func electionNotification(t *testing.T, d *datadriven.TestData) wire.Notification {
	n := wire.Notification{
		State: wire.PeerState(electionNumber(t, d, "state", 0)),
		Vote: wire.Vote{
			Leader:    wire.SID(electionNumber(t, d, "leader", 0)),
			Zxid:      wire.Zxid(electionNumber(t, d, "last", 0)),
			PeerEpoch: electionNumber(t, d, "epoch", 0),
		},
		Round:   electionNumber(t, d, "round", 1),
		Version: int32(electionNumber(t, d, "version", wire.NotificationVersion)),
	}
	if d.HasArg("config") {
		var text string
		d.ScanArgs(t, "config", &text)
		n.Config = []byte(text)
	}
	return n
}

// electionEnsemble reads the lines of the command ensemble.
func electionEnsemble(t *testing.T, input string) *electionNet {
	ens := &Ensemble{}
	disks := map[wire.SID][2]int64{}
	number := func(text string) int64 {
		n, err := strconv.ParseInt(strings.TrimSpace(text), 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, line := range strings.Split(strings.TrimSpace(input), "\n") {
		name, value, _ := strings.Cut(line, " = ")
		fields := strings.Fields(name)
		switch fields[0] {
		case "group":
			if ens.Groups == nil {
				ens.Groups, ens.Weights = map[int64][]wire.SID{}, map[wire.SID]int64{}
			}
			for _, sid := range strings.Split(value, ":") {
				ens.Groups[number(fields[1])] = append(ens.Groups[number(fields[1])], wire.SID(number(sid)))
			}
		case "weight":
			ens.Weights[wire.SID(number(fields[1]))] = number(value)
		default:
			m := Member{SID: wire.SID(number(fields[0]))}
			var disk [2]int64
			for _, f := range fields[1:] {
				switch key, value, _ := strings.Cut(f, "="); key {
				case "observer":
					m.Observer = true
				case "epoch":
					disk[0] = number(value)
				case "last":
					disk[1] = number(value)
				}
			}
			ens.Members = append(ens.Members, m)
			disks[m.SID] = disk
		}
	}
	net := newElectionNet(ens)
	for _, m := range net.members {
		m.epoch, m.last = disks[m.sid][0], wire.Zxid(disks[m.sid][1])
	}
	return net
}
