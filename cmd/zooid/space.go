package main

import (
	"zooid/fourletter"
	"zooid/quorum"
	"zooid/store"
)

// waitingMax is how many bytes of transactions may wait for room on the log's
// disk. Beyond it a member of an ensemble gives up its role, since the others do
// not wait for it, and what it keeps for its disk would fill the memory.
const waitingMax = 64 << 20

// actOnSpace has the member and its clients' network follow from the disks' room.
func (p *process) actOnSpace(sp store.Space) {
	p.space.Store(&sp)
	switch {
	case sp.Level >= store.SpaceNone:
		p.member.SetDiskSpace(quorum.DiskFull)
	case sp.Level == store.SpaceShort:
		p.member.SetDiskSpace(quorum.DiskShort)
	default:
		p.member.SetDiskSpace(quorum.DiskEnough)
	}
	if log := p.store.Log(); log.NoSpace() && log.Waiting() > waitingMax {
		p.member.StepDown("its disk is full, and too much waits for room there")
	}
}

// describeSpace fills in what the disks' room means to clients.
func (p *process) describeSpace(st *fourletter.Status) {
	if s := p.opened.Load(); s != nil {
		st.DiskFull = s.Log().NoSpace()
	}
	if sp := p.space.Load(); sp != nil && sp.Level >= store.SpaceShort {
		st.DiskShort = sp.String()
	}
}
