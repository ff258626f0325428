package zab

import (
	"fmt"

	"zooid/wire"
)

// This file has what happens when a server number is claimed by more connections
// than one. Anybody who reaches the port can claim any number, so that a learner
// which is in step must not go because somebody says its name:
//
//	FOLLOWERINFO ─► a candidate, one of few for each number ─► ACKEPOCH
//	─► nobody of that number is synchronized, or about to be: synchronizes
//	─► somebody is: contends. That one is sent a PING. It answers: the
//	   candidate is refused. It is closed, or says nothing for a tick: the
//	   candidate takes its place.
//
// Never are two connections of one number synchronized at a time: the ACKs of the
// older would stand for records that the newer is told to truncate.
//
// A process that was restarted need not wait for that: the end of its old
// connection has come before, or comes as soon as the PING reaches its machine.
// Only after a loss of power, or behind a network that swallows packets, does the
// old connection look alive.

const (
	// candidatesMax is how many connections of one number may be on their way to
	// ACKEPOCH. At the bound the oldest gives way, one from the member's own address
	// last.
	candidatesMax = 16
	// unlistedMax is how many connections of servers that are in no list there may
	// be. At the bound the oldest that is not synchronized gives way; if all are the
	// new one is refused.
	unlistedMax = 64
	// challengeTicks is how long a synchronized learner may take to answer the PING
	// that it is sent because of a contender.
	challengeTicks = 1
)

// evict closes the oldest of the connections that may has named and that have
// promised nothing yet. From a member's address one goes only if there is no other
// and the new one comes from such an address too. It is false if none could go.
func (m *Machine) evict(known bool, may func(*link) bool) bool {
	var victim *link
	for _, k := range m.links {
		mine := k.known || k.stage == linkGreeting && len(k.from) > 0
		if k.stage >= linkPromised || !may(k) || mine && !known {
			continue
		}
		if !mine {
			victim = k
			break
		}
		if victim == nil {
			victim = k
		}
	}
	if victim == nil {
		return false
	}
	m.closeLink(victim, "makes way for a newer connection")
	return true
}

// compete makes room for a learner that has just said which server it is, and is
// false if it has to go because there is none.
func (m *Machine) compete(k *link) bool {
	if mistaken(EvictUnproven) {
		for _, other := range m.links {
			if other != k && other.sid == k.sid && other.stage > linkGreeting {
				m.closeLink(other, "has connected anew")
				break
			}
		}
	}
	same, unlisted := 0, 0
	for _, other := range m.links {
		if other == k || other.stage == linkGreeting {
			continue
		}
		if other.sid == k.sid && other.stage < linkPromised {
			same++
		}
		if other.unlisted {
			unlisted++
		}
	}
	if same >= candidatesMax && !m.evict(k.known, func(o *link) bool { return o != k && o.sid == k.sid && o.stage > linkGreeting }) {
		m.closeLink(k, fmt.Sprintf("%d other connections say that they are server %d", same, k.sid))
		return false
	}
	if k.unlisted && unlisted >= unlistedMax && !m.evict(false, func(o *link) bool { return o != k && o.unlisted }) {
		m.closeLink(k, fmt.Sprintf("%d servers that are in no server line are connected, and no more are taken", unlisted))
		return false
	}
	return true
}

// other finds another connection of the same server at these stages.
func (l *leader) other(k *link, least, most linkStage) *link {
	for _, o := range l.m.links {
		if o != k && o.sid == k.sid && o.stage >= least && o.stage <= most {
			return o
		}
	}
	return nil
}

// contest lets a learner that has promised be synchronized, or wait if another
// connection of the same server is. It is false if it has to wait or was refused.
func (l *leader) contest(k *link) bool {
	if c := l.contender(k.sid); c != nil && c != k {
		if c.known || !k.known {
			l.m.closeLink(k, fmt.Sprintf("another connection says that it is server %d, and is being looked at", k.sid))
			return false
		}
		l.m.closeLink(c, fmt.Sprintf("a connection from an address of server %d says that it is that server", k.sid))
	}
	if old := l.other(k, linkReading, linkServing); old != nil {
		k.contends = true
		l.challenge(old)
		return false
	}
	k.contends = false
	return true
}

// contender is the connection that waits to take the place of sid's.
func (l *leader) contender(sid wire.SID) *link {
	for _, k := range l.m.links {
		if k.sid == sid && k.contends {
			return k
		}
	}
	return nil
}

// challenge asks a learner for a sign of life. One that is not told UPTODATE yet
// would not answer: it has its time to be synchronized, and is asked then.
func (l *leader) challenge(old *link) {
	if old.stage == linkServing && old.challenged == 0 {
		old.challenged = max(l.m.nowMs, 1)
		l.ping(old)
	}
}

// answered refuses who contends for the place of a learner that is alive.
func (l *leader) answered(old *link) {
	old.challenged = 0
	if c := l.contender(old.sid); c != nil {
		l.m.closeLink(c, fmt.Sprintf("server %d is connected, and answers", old.sid))
	}
}

// judge gives the place of a learner that does not answer to who contends for it.
func (l *leader) judge(old *link) {
	switch c := l.contender(old.sid); {
	case c == nil:
		old.challenged = 0
	case c == old: // whose place it waits for may be gone
		l.vacated(old.sid)
	case old.challenged == 0:
		l.challenge(old)
	case l.m.nowMs-old.challenged >= challengeTicks*l.m.cfg.TickMs:
		l.m.closeLink(old, "does not answer, and has connected anew")
		l.vacated(old.sid)
	}
}

// vacated goes on with who has waited for the place of a connection that is gone.
func (l *leader) vacated(sid wire.SID) {
	if c := l.contender(sid); c != nil && l.other(c, linkReading, linkServing) == nil {
		c.contends = false
		if l.phase >= leaderSync && l.contest(c) {
			l.choose(c)
		}
	}
}
