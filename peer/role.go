package peer

import (
	"slices"

	"zooid/session"
	"zooid/wire"
	"zooid/zab"
	"zooid/znode"
)

// leader is what a leader knows beyond its tree. It begins with the term and
// goes with it; view is nil while there is none.
type leader struct {
	view    *znode.View
	tracker *session.Tracker
	// owners has the member at which each session was last attached. A session
	// that no request came from in this term has none yet. nil for a member alone.
	owners map[wire.SessionID]wire.SID
	syncs  []learnerSync   // of learners, oldest first
	early  []zab.Forwarded // came before the initial history was applied
	// denials wait until it is sure that this member still leads, oldest first.
	denials []denial
}

// learner is what a learner knows of its leader's part.
type learner struct {
	awaited      []awaited    // forwarded, in order: the transactions will come in the same
	forwarded    int64        // how many were
	revalidating []attachment // wait for the leader's word
	pings        int          // that wait for the sessions heard from
	// touched are sessions to be reported with the next PING, and timeouts those
	// that a re-attachment asked for, which the tree does not know.
	touched  map[wire.SessionID]int32
	timeouts map[wire.SessionID]int32
	// above has the last proposal before each session was attached here anew.
	above map[wire.SessionID]wire.Zxid
	// reported is the session clock at the last report.
	reported int64
}

// hold is what waits for the next role.
type hold struct {
	untilMs int64
	// unsure were handed to a role, of this epoch or before, that did not answer
	// them. In a later epoch each is in the history with which that begins, or will
	// never be done.
	unsure   []awaited
	epoch    int64
	attaches []attachment
	requests []*znode.Request
	// here are, while clients are resumed, the connections that still have a session.
	here map[znode.ConnID]struct{}
	// gone are the connections that were dropped since the last role ended; what
	// still comes from them must not be done after what was lost.
	gone map[znode.ConnID]struct{}
}

func (h *hold) len() int { return len(h.unsure) + len(h.attaches) + len(h.requests) }

// beginRole notes what the member is from now on. Clients are served when the
// initial history has been applied.
func (p *Peer) beginRole(r *zab.RoleChange) {
	if p.role.State != wire.Looking {
		p.endRole(r.Reason, r.SilentMs)
	}
	p.role = *r
	if secret := p.Secret(); secret != "" {
		p.keys = session.NewKeys([]byte(secret))
	}
	p.learner = learner{touched: map[wire.SessionID]int32{}, timeouts: map[wire.SessionID]int32{},
		above: map[wire.SessionID]wire.Zxid{}, reported: p.learner.reported}
	// What the last role left open is looked for in the history of this one.
	p.learner.awaited, p.holding.unsure = p.holding.unsure, nil
	p.syncs.begin()
}

// serveIfDue begins to serve clients when the initial history is applied.
func (p *Peer) serveIfDue() {
	if p.role.State == wire.Looking || p.phase >= phaseResume || p.tree.LastZxid() < p.role.Base || p.broken != nil {
		return
	}
	if p.role.State == wire.Leading {
		p.takeOffice()
	}
	p.local.upgraded(p.tree)
	p.local.serve(p.ceiling(), p.localOnly())
	p.tell(Serving{State: p.role.State, Leader: p.role.Leader, Epoch: p.role.Epoch})
	if p.phase == phaseHold {
		p.phase, p.ready.WantAttached = phaseResume, true
	} else {
		p.phase = phaseOpen
		p.learner.awaited = nil
		p.attached = newAttachments() // nobody is connected
	}
	early := p.leader.early
	p.leader.early = nil
	for i := range early {
		p.forwarded(&early[i])
	}
}

// takeOffice makes what a leader has beyond its tree. Every session gets a full
// timeout, for nobody knows when its last leader heard from it.
func (p *Peer) takeOffice() {
	p.leader.view = znode.NewView(p.tree)
	p.leader.tracker = session.NewTracker(p.cfg.Zab.TickMs)
	if !p.alone {
		p.leader.owners = map[wire.SessionID]wire.SID{}
	}
	p.proposed = p.tree.LastZxid()
	p.tree.Sessions(func(id wire.SessionID, timeoutMs, _ int32) {
		heard := p.ceiling()
		if zab.Mistaken(zab.ExpireEarly) {
			heard -= int64(timeoutMs)
		}
		p.leader.tracker.Add(id, timeoutMs, heard)
	})
}

// endRole gives up what the role was made of. Clients are held, and what they
// have under way is settled with the next role: the history with which that
// begins has all that was committed, and what it has not can never be, so that
// it may be asked again, if its client cannot have given it up (moved.go). Where the order of a connection's outcomes would
// be lost, behind a sync or an outcome of this member's own, it is dropped.
//
// silentMs is how long ago the leader had been heard then.
func (p *Peer) endRole(reason string, silentMs int64) {
	if p.phase == phaseOpen {
		p.ended = endedRole{epoch: p.role.Epoch, silentMs: silentMs}
	}
	p.holding.gone = map[znode.ConnID]struct{}{}
	mixed := map[znode.ConnID]bool{}
	for _, w := range p.syncs.waiting {
		if w.r != nil {
			mixed[w.r.Conn] = true
		}
	}
	requests, here := p.syncs.end(p.handed)
	attaches, unsure, own := p.leftOpen()
	const why = "its outcomes would be out of order: "
	for _, o := range append(here, own...) { // what it had to wait for is not answered in its turn
		p.drop(o.conn, why+reason)
		o.conn, o.after = 0, 0
		p.outcomes = append(p.outcomes, o)
	}
	for _, w := range unsure {
		if mixed[w.r.Conn] {
			p.drop(w.r.Conn, why+reason)
		}
	}
	p.holding.unsure = append(unsure, p.holding.unsure...)
	p.holding.epoch = max(p.holding.epoch, p.role.Epoch)
	attaches = append(attaches, p.learner.revalidating...)
	p.holding.attaches = append(attaches, p.holding.attaches...)
	p.holding.requests = append(requests, p.holding.requests...)
	p.holding.forgetGone()

	p.leader = leader{}
	p.learner = learner{reported: p.learner.reported}
	p.local.endRole()
	served := p.phase >= phaseResume
	p.role = zab.RoleChange{State: wire.Looking}
	switch {
	case served && p.cfg.HoldMs > 0 && p.holding.len() <= p.cfg.HoldMax:
		p.phase = phaseHold
		p.holding.untilMs = p.nowMs + p.cfg.HoldMs
		p.ready.WantAttached = false
		p.tell(Serving{State: wire.Looking, Held: true, Reason: reason})
	case served:
		p.shut(reason)
	}
}

// leftOpen takes what the role has not answered: attachments, requests whose fate
// nobody knows yet, and outcomes of this member's own that wait for those.
func (p *Peer) leftOpen() (attaches []attachment, unsure []awaited, here []outcome) {
	leave := func(w awaited) {
		switch {
		case w.r.Conn == 0: // nobody waits here
		case w.r.Op == wire.OpCreateSession:
			attaches = append(attaches, attachment{conn: w.r.Conn, timeoutMs: w.r.TimeoutMs})
		default:
			unsure = append(unsure, awaited{r: w.r, above: w.above})
		}
	}
	for _, q := range p.queue[p.committed:] {
		if q.conn != 0 {
			leave(awaited{r: q.r, above: q.txn.Zxid - 1})
		}
	}
	clear(p.queue[p.committed:])
	p.queue = p.queue[:p.committed]
	for _, w := range p.learner.awaited {
		if w.here != nil {
			here = append(here, *w.here)
		} else {
			leave(w)
		}
	}
	due := p.outcomes[:0]
	for _, o := range p.outcomes { // a leader's may wait for proposals
		if o.after > p.handed {
			here = append(here, o)
		} else {
			due = append(due, o)
		}
	}
	p.outcomes = due
	for _, d := range p.leader.denials {
		if d.a.conn != 0 {
			attaches = append(attaches, d.a)
		}
	}
	return attaches, unsure, here
}

// forgetGone takes out the requests of connections that are dropped.
func (h *hold) forgetGone() {
	h.without(func(r *znode.Request) bool {
		_, gone := h.gone[r.Conn]
		return gone
	})
}

// without takes out the requests that are not to be done any more.
func (h *hold) without(gone func(r *znode.Request) bool) {
	h.unsure = slices.DeleteFunc(h.unsure, func(w awaited) bool { return gone(w.r) })
	h.requests = slices.DeleteFunc(h.requests, gone)
}

// shut gives up holding clients.
func (p *Peer) shut(reason string) {
	p.phase = phaseShut
	p.ready.WantAttached = false
	p.holding.attaches, p.holding.requests, p.holding.here = nil, nil, nil
	clear(p.latest)
	p.attached = newAttachments()
	p.tell(Serving{State: wire.Looking, Reason: reason})
}

// tell has the shell know what clients may do, if it changed. It hears of every
// change, for one that lets clients go is not undone by what comes behind it.
func (p *Peer) tell(s Serving) {
	before := p.told
	p.told = s
	if before.State == s.State && before.Held == s.Held && before.Leader == s.Leader && before.Epoch == s.Epoch {
		return
	}
	p.servings = append(p.servings, s)
}

// keep has a request wait for the next role.
func (p *Peer) keep(r *znode.Request) {
	p.holding.requests = append(p.holding.requests, r)
	p.boundHeld()
}

// keepAttach has an attachment wait for the next role.
func (p *Peer) keepAttach(a attachment) {
	p.holding.attaches = append(p.holding.attaches, a)
	p.boundHeld()
}

// boundHeld lets all clients go when too much waits.
func (p *Peer) boundHeld() {
	if p.phase == phaseHold && p.holding.len() > p.cfg.HoldMax {
		p.shut("too many requests wait for a leader")
	}
}

// Resume answers Ready.WantAttached with every session that has a connection
// here. Who has lost its session meanwhile is dropped, and what the others have
// asked is done now, but for what their clients may have given up (moved.go).
//
// The tree tells which sessions there are: it is at the history with which the
// new leader begins. The leader is not asked to revalidate them, since that
// would also make them this member's, and a session may have moved while its old
// connection hangs here unnoticed: then what still waits here must be refused,
// and is, for whoever attached it elsewhere owns it.
func (p *Peer) Resume(attached []Attachment) {
	if p.phase != phaseResume {
		return
	}
	here := make(map[znode.ConnID]struct{}, len(attached))
	p.holding.here = here
	for _, a := range attached {
		if !p.resumes(a) {
			p.drop(a.Conn, "its session has ended")
			continue
		}
		here[a.Conn] = struct{}{}
	}
	p.holding.unsure, p.learner.awaited = p.learner.awaited, nil
	if p.role.Epoch <= p.holding.epoch { // the leader may still do what it was asked then
		for _, w := range p.holding.unsure {
			p.giveUp(w.r.Conn, "the outcome of its request is unknown")
		}
	}
	// One that was in doubt when two roles ended may be why they did: nobody is
	// asked a third time.
	for _, w := range p.holding.unsure {
		if w.r.Resubmitted {
			p.giveUp(w.r.Conn, "two leaders have ended before they answered its request")
		}
	}
	p.giveUpHeld(attached)
	p.reopen()
}

// giveUp drops a connection and all that it has asked.
func (p *Peer) giveUp(conn znode.ConnID, why string) {
	p.drop(conn, why)
	delete(p.holding.here, conn)
}

// reopen serves clients again, beginning with what has waited.
func (p *Peer) reopen() {
	p.phase = phaseOpen
	h := &p.holding
	unsure, attaches, requests, here := h.unsure, h.attaches, h.requests, h.here
	h.unsure, h.attaches, h.requests, h.here = nil, nil, nil, nil
	again := func(r *znode.Request) {
		if _, ok := here[r.Conn]; ok {
			p.route(r)
		}
	}
	for _, w := range unsure { // not in the history: asked as if never before
		w.r.Resubmitted = true
		again(w.r)
	}
	for _, a := range attaches {
		p.attach(a)
	}
	for _, r := range requests {
		again(r)
	}
}

// resumes tells whether a session is still there, and takes over its timeout:
// the tree, from which a new leader starts, knows only the one that the session
// began with. A learner reports it with the next PING, since a client that asked
// for a long timeout may not be heard before a short one is over.
func (p *Peer) resumes(a Attachment) bool {
	if p.local.sessions[a.Session] != nil {
		return true
	}
	if _, _, ok := p.tree.Session(a.Session); !ok {
		return false
	}
	if p.leads() {
		p.raiseTimeout(a.Session, a.TimeoutMs)
	} else {
		p.learner.timeouts[a.Session] = a.TimeoutMs
		p.learner.touched[a.Session] = a.TimeoutMs
	}
	return true
}
