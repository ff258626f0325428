package zab

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"zooid/wire"
)

// The transcripts tell what each member does, in order; the elections before
// and the PINGs are left out. Times are in ms, zxids are epoch:counter.
//
//	ensemble 3 [observers=1] [diff=0] [recent=0] [first=4294967290]
//	start 1 2 3          begin members, with what their disks hold
//	up                   start all voters and wait until they serve
//	run 100              let time pass
//	propose 3 a b        a leader proposes transactions with these texts
//	hold 3 1             what 3 sends to 1 waits; release 3 1
//	disk 2 off           the disk of 2 does nothing any more; disk 2 on
//	crash 3 [keep=1]     what is not on disk is lost, but for that many records
//	cut 1 3, mend 1 3    the network between two members
//	resign 3, sync 3     calls of Resign and Confirm
//	trees                what each member has delivered
func TestMachineTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/machine", func(t *testing.T, path string) {
		var net *machineNet
		var out strings.Builder
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out.Reset()
			if d.Cmd == "ensemble" {
				net = transcriptNet(t, d)
				net.log = func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
				return ""
			}
			transcriptCommand(t, net, d, &out)
			if net.broken != "" {
				t.Fatal(net.broken)
			}
			return out.String()
		})
	})
}

func transcriptNet(t *testing.T, d *datadriven.TestData) *machineNet {
	number := func(key string, otherwise int64) int64 {
		for _, a := range d.CmdArgs {
			if a.Key == key {
				n, err := strconv.ParseInt(a.Vals[0], 0, 64)
				if err != nil {
					d.Fatalf(t, "%s: %v", key, err)
				}
				return n
			}
		}
		return otherwise
	}
	voters, err := strconv.Atoi(d.CmdArgs[0].Key)
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	net := newMachineNet(majority(voters, int(number("observers", 0))))
	diff, recent, first := number("diff", 1<<20), number("recent", 1<<20), uint32(number("first", 0))
	net.tweak = func(cfg *Config) { cfg.DiffBytes, cfg.RecentBytes, cfg.FirstCounter = diff, recent, first }
	return net
}

func transcriptCommand(t *testing.T, net *machineNet, d *datadriven.TestData, out *strings.Builder) {
	var sids []wire.SID
	for _, a := range d.CmdArgs {
		if n, err := strconv.ParseInt(a.Key, 10, 64); err == nil && len(a.Vals) == 0 {
			sids = append(sids, wire.SID(n))
		}
	}
	word := func(i int) string { return d.CmdArgs[i].Key }
	switch d.Cmd {
	case "start":
		for _, sid := range sids {
			net.node(sid).start(0)
		}
	case "up":
		net.log = func(string, ...any) {}
		for _, x := range net.nodes {
			if net.ens.votes(x.sid) {
				x.start(0)
			}
		}
		net.run(50)
		net.log = func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
		for _, x := range net.nodes {
			if x.up {
				fmt.Fprintf(out, "%d: %s epoch %d\n", x.sid, strings.ToUpper(x.role.State.String()), x.role.Epoch)
			}
		}
	case "run":
		net.run(int64(sids[0]))
	case "propose":
		x := net.node(sids[0])
		for _, a := range d.CmdArgs[1:] {
			z, ok := x.NextZxid()
			if !ok {
				fmt.Fprintf(out, "%d: no zxid for %s\n", x.sid, a.Key)
				break
			}
			x.Propose(payload(z, a.Key))
		}
		x.carry()
	case "hold", "release":
		net.held[[2]wire.SID{sids[0], sids[1]}] = d.Cmd == "hold"
	case "disk":
		net.node(sids[0]).diskHeld = word(1) == "off"
	case "crash":
		keep := 0
		if d.HasArg("keep") {
			d.ScanArgs(t, "keep", &keep)
		}
		for _, sid := range sids {
			net.node(sid).crash(keep, 0)
		}
	case "cut":
		net.cut(sids[0], sids[1])
	case "mend":
		net.mend(sids[0], sids[1])
	case "resign":
		net.node(sids[0]).Resign("told to stop")
		net.node(sids[0]).carry()
	case "sync":
		fmt.Fprintf(out, "%d: asks %d\n", sids[0], net.node(sids[0]).Confirm())
		net.node(sids[0]).carry()
	case "trees":
		for _, x := range net.nodes {
			var texts []string
			for _, e := range x.tree {
				texts = append(texts, brief(e.Zxid)+" "+string(e.Payload[payloadMin:]))
			}
			fmt.Fprintf(out, "%d: %s\n", x.sid, strings.Join(texts, ", "))
		}
	default:
		d.Fatalf(t, "unknown command %s", d.Cmd)
	}
}
