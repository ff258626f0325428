package main

import (
	"encoding/binary"

	"zooid/wire"
	"zooid/znode"
)

// life is what the checks know of a session.
type life struct {
	created   wire.Zxid
	timeoutMs int64   // the least that its client has asked for
	heard     []heard // by each member, as its leader or from its client
	asked     bool    // its client wants it to end
	ending    bool    // somebody has proposed its end
	closed    bool    // and it was committed
}

// heard is when a member last heard of a session: how long it had been awake by
// then, and before that the last time in an earlier round.
type heard struct{ at, awake, before int64 }

func newLife(w *world, a *znode.Applied) *life {
	l := &life{created: a.Zxid, timeoutMs: int64(a.TimeoutMs), heard: make([]heard, len(w.members))}
	for _, c := range w.clients { // a local session may have been attached to before
		if c.session == a.Created {
			l.timeoutMs = min(l.timeoutMs, int64(c.least))
		}
	}
	for i, m := range w.members {
		l.heard[i] = heard{awake: m.awake(), before: m.awake()}
	}
	return l
}

// heardHere notes that this member has heard of a session.
func (p *process) heardHere(id wire.SessionID) {
	l := p.w.sessions[id]
	if l == nil {
		return
	}
	h := &l.heard[p.m.i]
	if h.at != p.w.now {
		h.at, h.before = p.w.now, h.awake
	}
	h.awake = p.m.awake()
}

// heardTouches notes the sessions that a learner reports.
func (p *process) heardTouches(data []byte) {
	for ; len(data) >= wire.TouchSize; data = data[wire.TouchSize:] {
		p.heardHere(wire.SessionID(binary.BigEndian.Uint64(data)))
	}
}

// checkEnding looks at a proposal of a leader: the end of a session that nobody
// has asked for must not come before its time, counted from when the leader took
// office or last heard of it, in the time in which it could have heard.
func (p *process) checkEnding(e *wire.Entry) {
	const opAt, sessionAt, cxidAt = 28, 0, 8
	b := e.Payload
	if len(b) < wire.TxnHeaderSize || int32(binary.BigEndian.Uint32(b[opAt:])) != int32(wire.OpCloseSession) {
		return
	}
	id := wire.SessionID(binary.BigEndian.Uint64(b[sessionAt:]))
	l := p.w.sessions[id]
	if l == nil {
		return
	}
	l.ending = true
	if binary.BigEndian.Uint32(b[cxidAt:]) != 0 {
		return
	}
	awake := p.m.awake()
	h := l.heard[p.m.i]
	if h.at == p.w.now {
		h.awake = h.before // the loop looked at the clock before that
	}
	since := max(h.awake, p.check.tookOffice)
	silent := (awake - since) + (awake-since)/500 + 3*ms // its clock may be fast
	if silent < l.timeoutMs*ms {
		p.w.fail("19 expiry", "member %d ends session %v after %d ms of silence, its timeout is %d", p.m.sid, id, (awake-since)/ms, l.timeoutMs)
	}
}

// checkExpired looks at a session that has ended though nobody asked for it:
// while all is calm it must not be that of a client that is connected.
func (w *world) checkExpired(id wire.SessionID) {
	for _, c := range w.clients {
		if w.calm && c.session == id && c.ready {
			w.fail("19 expiry", "session %v of client %d has expired, which is connected to member %d and says so", id, c.i, c.home+1)
		}
	}
}

// checkRefused looks at a session that was refused to the client whose it is. A
// member that is behind, or whose leader has been deposed, may not know of it.
func (w *world) checkRefused(c *client) {
	l := w.sessions[c.session]
	if !c.lives || l.closed || l.ending || l.asked {
		return
	}
	p := w.members[c.home].process
	if p == nil || p.serving.State == wire.Looking {
		w.saw(rareStaleRefusal)
		return
	}
	w.fail("19 sessions", "client %d: session %v is refused, and it lives", c.i, c.session)
}
