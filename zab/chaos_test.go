package zab

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"zooid/wire"
)

var (
	chaosSeed  = flag.Uint64("zab.seed", 0, "run TestChaos with this seed only")
	chaosSeeds = flag.Uint64("zab.seeds", 150, "run TestChaos with that many seeds")
)

// Machines under crashes, partitions and the loss of what was not yet on disk:
// what is delivered is the same everywhere, an epoch has one leader, what is
// committed is on the disks of a quorum and stays; and once all is well again
// there is progress, everywhere.
func TestChaos(t *testing.T) {
	for _, voters := range []int{1, 3, 5} {
		t.Run(fmt.Sprint(voters), func(t *testing.T) {
			for seed := uint64(1); seed <= *chaosSeeds; seed++ {
				if *chaosSeed != 0 {
					seed = *chaosSeed
				}
				if why := chaos(t, voters, seed); why != "" {
					t.Fatalf("seed %d: %s\ngo test ./zab -run TestChaos/%d -zab.seed %d", seed, why, voters, seed)
				}
				if *chaosSeed != 0 {
					return
				}
			}
		})
	}
}

func chaos(t *testing.T, voters int, seed uint64) string {
	rng := rand.New(rand.NewPCG(seed, 0))
	net := newMachineNet(majority(voters, rng.IntN(2)))
	recent, diff := int64(rng.IntN(400)), int64(rng.IntN(3000))
	net.tweak = func(cfg *Config) {
		cfg.RecentBytes, cfg.DiffBytes = recent, diff
		if seed%5 == 0 {
			cfg.FirstCounter = 0xfffffff0
		}
	}
	if *chaosSeed != 0 {
		net.log = func(format string, args ...any) { t.Logf("%d "+format, append([]any{net.now}, args...)...) }
	}
	for _, x := range net.nodes {
		x.start(0)
	}
	pick := func() *node { return net.nodes[rng.IntN(len(net.nodes))] }
	for range 300 {
		net.diskMs, net.epochsMs, net.streamMs, net.latency = rng.Int64N(20), rng.Int64N(20), rng.Int64N(60), 1+rng.Int64N(5)
		switch rng.IntN(20) {
		case 0, 1:
			if x := pick(); x.up {
				net.log("crash %d", x.sid)
				x.crash(rng.IntN(3), rng.IntN(2))
			}
		case 2, 3, 4:
			if x := pick(); !x.up {
				net.log("start %d", x.sid)
				x.start(rng.IntN(5))
			}
		case 5:
			if a, b := pick(), pick(); a != b {
				net.log("cut %d %d", a.sid, b.sid)
				net.cut(a.sid, b.sid)
			}
		case 6, 7:
			a, b := pick(), pick()
			net.mend(a.sid, b.sid)
		case 8:
			if pipes := net.pipesOf(pick().sid); len(pipes) > 0 {
				net.breakPipe(pipes[0])
			}
		case 9:
			pick().diskHeld = true
		case 10, 11:
			pick().diskHeld = false
		case 12:
			net.run(rng.Int64N(1500))
		default:
			for range rng.IntN(4) {
				net.propose(rng.Uint32())
			}
			net.run(rng.Int64N(40))
		}
		if net.broken != "" {
			return net.broken
		}
	}
	return net.heals()
}

// propose has a leader, if there is one, propose something.
func (n *machineNet) propose(what uint32) bool {
	x := n.leader()
	if x == nil {
		return false
	}
	z, ok := x.NextZxid()
	if ok {
		x.Propose(payload(z, fmt.Sprint(what)))
	}
	x.carry()
	return ok
}

// heals brings everybody up again and demands progress.
func (n *machineNet) heals() string {
	n.log("heal")
	n.diskMs, n.epochsMs, n.streamMs, n.latency = 1, 1, 1, 1
	clear(n.cuts)
	clear(n.held)
	for _, x := range n.nodes {
		x.diskHeld = false
		if !x.up {
			x.start(0)
		}
	}
	for range 40 {
		n.run(500)
		n.propose(7)
		n.run(100)
		if n.broken != "" {
			return n.broken
		}
		if n.settled() {
			return ""
		}
	}
	why := fmt.Sprintf("no progress after all is well; delivered are %d:", len(n.order))
	for _, x := range n.nodes {
		why += fmt.Sprintf("\n%d: %+v, tree %v with %d", x.sid, x.Status(), x.treeZ, len(x.tree))
	}
	return why
}

// settled tells whether everybody serves and has everything, something of this
// epoch included.
func (n *machineNet) settled() bool {
	l := n.leader()
	if l == nil || int64(l.treeZ.Epoch()) != l.role.Epoch {
		return false
	}
	for _, x := range n.nodes {
		if x.role.State == wire.Looking || x.role.Epoch != l.role.Epoch || len(x.tree) != len(n.order) {
			return false
		}
	}
	return true
}
