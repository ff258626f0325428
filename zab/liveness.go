package zab

import (
	"fmt"
	"slices"

	"zooid/wire"
)

// This file has what a leader does by the clock: pings, and giving up on
// learners and on itself.

// pingsMax bounds the PINGs that a learner may leave unanswered while it sends
// other packets.
const pingsMax = 4096

// tick does what is due every half tick.
func (l *leader) tick() {
	m := l.m
	if m.nowMs < l.nextTick {
		return
	}
	l.nextTick = m.nowMs + max(m.cfg.TickMs/2, 1)
	l.eachLink(l.watch)
	switch {
	case l.phase == leaderAccept || l.phase == leaderCurrent: // waits for its own disk
	case l.phase != leaderBroadcast:
		if l.phase == leaderDiscovery {
			l.chooseEpoch() // what it has waited for may not come
		}
		if m.leader == l {
			l.checkProgress()
		}
	case m.nowMs >= l.nextCheck:
		l.nextCheck = m.nowMs + m.cfg.TickMs
		if !l.quorum(true, func(k *link) bool { return k.stage >= linkPromised }) {
			m.end("lost the quorum")
			return
		}
	}
	l.pingAll()
}

// discoveryTicks is how long a leader waits for the voters that have elected it
// to connect: they have nothing to do before that.
const discoveryTicks = 2

// checkProgress gives up a term that does not come about.
func (l *leader) checkProgress() {
	limit := l.m.initMs()
	switch {
	case l.phase == leaderPromises && l.stale:
		// Who has promised this epoch already cannot do so again: only another
		// epoch brings that voter back.
		limit = l.m.cfg.TickMs
	case l.phase == leaderDiscovery:
		// Who has elected us and does not come at once has found another leader.
		limit = min(limit, discoveryTicks*l.m.cfg.TickMs)
	}
	if l.m.nowMs-l.since < limit {
		return
	}
	what := map[leaderPhase]string{leaderDiscovery: "connected", leaderPromises: "promised the epoch", leaderSync: "synchronized"}[l.phase]
	l.m.end(fmt.Sprintf("no quorum has %s for %d ms", what, l.m.nowMs-l.since))
}

// disloyal takes the voters that are seen looking although they have voted for
// this member (quorum.md §9.5).
func (l *leader) disloyal(looking []wire.SID) {
	wait := l.m.cfg.MaxEpochWaitMs
	if wait < 0 || l.phase > leaderPromises || l.m.nowMs-l.since < wait {
		return
	}
	for _, sid := range looking {
		if !slices.ContainsFunc(l.m.links, func(k *link) bool { return k.sid == sid && k.stage > linkGreeting }) {
			l.m.disloyal++
			l.m.end(fmt.Sprintf("server %d does not follow but looks for a leader", sid))
			l.m.settle()
			return
		}
	}
}

// watch ends the connection of a learner that owes us something for too long.
// Who waits for us owes nothing.
func (l *leader) watch(k *link) {
	m := l.m
	limit := m.initMs()
	l.judge(k)
	if m.link(k.conn) == nil {
		return
	}
	switch k.stage {
	case linkInformed:
		return // the quorum may yet come
	case linkPromised, linkReading, linkSnapshot, linkNewLeaderOK:
		return
	case linkServing:
		limit = m.syncMs()
	}
	if silent := m.nowMs - k.heard; silent >= limit {
		m.closeLink(k, fmt.Sprintf("no packet for %d ms", silent))
		return
	}
	switch {
	case k.stage != linkServing || k.observer || k.acked >= m.log.last():
		k.overdue = 0
	case k.overdue == 0 || k.acked >= k.overdue:
		k.overdue, k.overdueAt = m.log.last(), m.nowMs
	case m.nowMs-k.overdueAt >= m.syncMs():
		m.closeLink(k, fmt.Sprintf("no ACK of %v for %d ms", k.overdue, m.nowMs-k.overdueAt))
	}
}

// pingAll pings every learner that has been joined: before that its stream is
// busy with the history.
func (l *leader) pingAll() {
	l.pingDue = false
	l.eachLink(func(k *link) {
		if k.stage >= linkJoined {
			l.ping(k)
		}
	})
}

// ping sends a PING. A learner answers those that come after UPTODATE, each of
// them once and in order.
func (l *leader) ping(k *link) {
	if k.stage == linkServing {
		if len(k.pings) >= pingsMax {
			l.m.closeLink(k, fmt.Sprintf("%d PINGs are not answered", len(k.pings)))
			return
		}
		k.pings = append(k.pings, l.m.confirms)
	}
	l.m.send(k.conn, wire.QuorumPacket{Type: wire.PacketPing, Zxid: l.lastProposed()})
}

// lastProposed is the last proposal, or the end of the history before the first.
func (l *leader) lastProposed() wire.Zxid {
	if l.phase == leaderBroadcast {
		return l.proposed
	}
	return l.initial
}

// confirm asks a quorum whether it still follows.
func (l *leader) confirm() {
	l.pingDue = false
	l.eachLink(func(k *link) {
		if k.voter && k.stage == linkServing {
			l.ping(k)
		}
	})
	if l.quorum(true, func(*link) bool { return false }) { // a quorum by itself
		l.confirmed, l.m.ready.Confirmed = l.m.confirms, l.m.confirms
	}
}

// pinged takes a learner's answer to a PING, and with it the sessions that the
// learner has heard from.
func (l *leader) pinged(k *link, p *wire.QuorumPacket) {
	if k.stage == linkServing && len(p.Data) > 0 {
		l.forwarded(k, p)
	}
	if len(k.pings) == 0 || p.Zxid == morePing {
		return
	}
	n := k.pings[0]
	copy(k.pings, k.pings[1:])
	k.pings = k.pings[:len(k.pings)-1]
	if n > k.confirmed {
		k.confirmed = n
		l.countConfirmed()
	}
}

// countConfirmed reports the greatest number for which a quorum has answered a
// PING that was sent after it was given.
func (l *leader) countConfirmed() {
	best := l.confirmed
	reached := func(n int64) bool {
		return n > best && l.quorum(true, func(k *link) bool { return k.confirmed >= n })
	}
	for _, k := range l.m.links {
		if k.voter && reached(k.confirmed) {
			best = k.confirmed
		}
	}
	if best > l.confirmed {
		l.confirmed, l.m.ready.Confirmed = best, best
	}
}
