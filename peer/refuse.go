package peer

import "zooid/wire"

// refusal is what a leader, or a member alone, does not take because its disk has
// too little room.
type refusal struct {
	writes   bool // what clients of other members ask for; the member's own are refused before they come here
	sessions bool // new sessions are not logged, but local
}

// RefuseWrites says whether this member's disk has too little room for what
// clients write, and whether it has none for new sessions either. As the leader it
// then refuses what other members forward, with NOTREADONLY, which takes a small
// error transaction each: the others wait for one. Sessions still end, and without
// sessions they are begun, for what is kept free is kept for that. With sessions, a
// new one is local to this member, and enters the table when it first makes an
// ephemeral.
func (p *Peer) RefuseWrites(writes, sessions bool) {
	p.refusal = refusal{writes: writes, sessions: sessions}
}

// refuse marks a request that another member has forwarded and that is not taken.
func (p *Peer) refuse(op wire.OpCode) wire.ErrCode {
	if p.refusal.writes && op != wire.OpCreateSession && op != wire.OpCloseSession {
		return wire.ErrNotReadOnly
	}
	return wire.OK
}

// localOnly tells whether new sessions are local ones.
func (p *Peer) localOnly() bool { return p.cfg.LocalSessions && !p.alone || p.refusal.sessions }
