package peer

import (
	"zooid/wire"
	"zooid/zab"
	"zooid/znode"
)

// Ready is what the peer wants done outside of it: what the protocol wants,
// and what concerns clients. It is valid until the next call of Ready.
type Ready struct {
	// Ready is the protocol's part. What it has for the peer is empty here.
	zab.Ready

	// Attached are the answers to attachments that need no transaction.
	Attached []Attached
	// Dropped are connections of clients to be closed.
	Dropped []Dropped
	// Serving, if not nil, is what clients may do from now on.
	Serving *Serving
	// WantAttached asks for Resume, in this round.
	WantAttached bool
	// WantTouched asks for Touch of every session that was heard from since the
	// last time, and then for Touched, in this round.
	WantTouched bool
	// Broken, if not nil, says that the member cannot go on and must stop; it is
	// a *CorruptTxn.
	Broken error
}

// Attached answers an Attach. A Session of 0 says that there is no such
// session, or that the password is wrong.
type Attached struct {
	Conn      znode.ConnID
	Session   wire.SessionID
	TimeoutMs int32
	Passwd    [16]byte
}

// Dropped is a connection to be closed, and why.
type Dropped struct {
	Conn   znode.ConnID
	Reason string
}

// Serving says what clients may do.
//
// In a role (Leading, Following, Observing) they are served. Looking and Held,
// connections stay, reads go on and requests wait in the peer. Looking and not
// Held, every connection goes and nobody is let in, but for read-only service.
type Serving struct {
	State  wire.PeerState
	Held   bool
	Leader wire.SID // of the role
	Epoch  int64    // of the role
	Reason string   // why there is no role, or no holding, any more
}

// Attachment is a session with a connection here.
type Attachment struct {
	Conn      znode.ConnID
	Session   wire.SessionID
	TimeoutMs int32
}

// Ready gives what is to be done and forgets it. A round asks for it again,
// with Apply in between, until it is Empty and nothing is Pending.
func (p *Peer) Ready() Ready {
	for {
		proto := p.Machine.Ready()
		news := p.absorb(&proto)
		p.serveIfDue()
		p.settleDenials()
		p.answerLearners()
		r := p.ready
		p.ready = Ready{Attached: r.Attached[len(r.Attached):], Dropped: r.Dropped[len(r.Dropped):]}
		r.Ready, r.Broken = proto, p.broken
		if proto.Stop != nil {
			r.Broken = proto.Stop
		}
		if len(p.servings) > 0 {
			r.Serving = &p.servings[0]
			p.servings = p.servings[1:]
		}
		r.WantTouched = p.learner.pings > 0
		if !news || !r.Empty() {
			return r
		}
	}
}

// Empty tells whether there is nothing to do.
func (r *Ready) Empty() bool {
	return len(r.Entries) == 0 && len(r.Sends) == 0 && len(r.Notices) == 0 &&
		r.Truncate == nil && r.SaveEpochs == nil && r.SaveSecret == "" && r.Install == nil && r.Dial == nil && !r.ConnectAll &&
		len(r.Snapshots) == 0 && len(r.Reads) == 0 && len(r.Close) == 0 && r.Failed == "" &&
		len(r.Attached) == 0 && len(r.Dropped) == 0 && r.Serving == nil && !r.WantAttached && !r.WantTouched && r.Broken == nil
}

// absorb takes the part of the machine's wishes that is for the peer, and tells
// whether there was any.
func (p *Peer) absorb(r *zab.Ready) bool {
	p.syncs.asked = 0 // what is sent from now on is another round
	news := r.Role != nil || len(r.Committed) > 0 || len(r.Forwarded) > 0 || r.Synced > 0 ||
		len(r.Revalidated) > 0 || r.PingsDue > 0 || r.Confirmed > 0
	if !news {
		return false
	}
	// A role that begins comes before what it brings, one that ends behind.
	if r.Role != nil && r.Role.State != wire.Looking {
		p.beginRole(r.Role)
	}
	if r.Role != nil && r.Role.State == wire.Looking && p.role.State == wire.Looking {
		// One that nobody saw begin. Its history may have what was left open.
		p.learner.awaited, p.holding.unsure = p.holding.unsure, nil
	}
	for _, e := range r.Committed {
		p.commit(e)
	}
	p.syncs.confirmed = max(p.syncs.confirmed, r.Confirmed)
	p.synced(r.Synced)
	for _, v := range r.Revalidated {
		p.revalidated(v)
	}
	p.learner.pings += r.PingsDue
	for i := range r.Forwarded {
		p.forwarded(&r.Forwarded[i])
	}
	if r.Role != nil && r.Role.State == wire.Looking {
		p.endRole(r.Role.Reason, r.Role.SilentMs)
	}
	r.Role, r.Committed, r.Forwarded, r.Revalidated = nil, nil, nil, nil
	r.Synced, r.PingsDue, r.Confirmed = 0, 0, 0
	return true
}

// drop has a connection closed. What it still asks for is not done.
func (p *Peer) drop(conn znode.ConnID, reason string) {
	if conn == 0 {
		return
	}
	if _, already := p.holding.gone[conn]; already {
		return
	}
	p.holding.gone[conn] = struct{}{}
	p.ready.Dropped = append(p.ready.Dropped, Dropped{conn, reason})
}
