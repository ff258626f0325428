package peer

import (
	"zooid/wire"
	"zooid/znode"
)

const msPerMinute = 60_000

// sweep remembers when containers and TTL nodes are looked for next.
type sweep struct{ nextMs int64 }

// Sweep proposes the deletion of empty containers and of TTL nodes past their
// time, when a search is due. timeMs is the wall clock in ms since 1970; ages
// are counted from it, as the nodes' times are.
//
// ZooKeeper spaces the deletions over the interval; here the share of the
// interval goes out at once, for they cost a group commit.
func (p *Peer) Sweep(timeMs int64) {
	p.timeMs = timeMs
	if p.cfg.SweepMs <= 0 || timeMs < p.sweep.nextMs {
		// A clock that was set back must not stop the sweeps for longer than
		// their interval.
		if p.sweep.nextMs-timeMs > p.cfg.SweepMs {
			p.sweep.nextMs = timeMs + p.cfg.SweepMs
		}
		return
	}
	p.sweep.nextMs = timeMs + p.cfg.SweepMs
	if !p.leads() || p.phase != phaseOpen || p.refusal.writes {
		return
	}
	share := int64(p.cfg.SweepMax) * p.cfg.SweepMs / msPerMinute
	for _, path := range p.tree.Reapable(timeMs, p.cfg.NeverUsedMs, int(max(share, 1))) {
		p.propose(&znode.Request{Op: wire.OpDeleteContainer, Body: &wire.DeleteContainerRequest{Path: path}}, p.self())
	}
}
