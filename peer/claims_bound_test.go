package peer

import (
	"testing"

	"zooid/wire"
	"zooid/zab"
)

// TestClaimsOfUnlistedServersAreBounded has servers that are no members claim
// sessions, each once, with ever new numbers: the leader does not keep them all, but
// keeps those of its members and of who waits for a verdict.
func TestClaimsOfUnlistedServersAreBounded(t *testing.T) {
	const members = 3
	var p Peer
	p.cfg.Zab.Ensemble = &zab.Ensemble{}
	p.leader.claims.of = map[wire.SID]*claim{}
	for sid := range wire.SID(members) {
		p.cfg.Zab.Ensemble.Members = append(p.cfg.Zab.Ensemble.Members, zab.Member{SID: sid + 1})
	}
	say := func(sid wire.SID) {
		b := append(wire.AppendInt64(wire.AppendInt64(nil, -1), 0), claimWhole)
		d := wire.NewDecoder(b)
		p.claimed(&zab.Forwarded{SID: sid, Conn: zab.ConnID(sid)}, -1, &d)
	}
	for sid := range wire.SID(members) {
		say(sid + 1)
	}
	say(100)
	p.leader.claims.of[100].waits = true
	for sid := range wire.SID(1000) {
		say(101 + sid)
	}
	of := p.leader.claims.of
	if len(of) > members+claimsUnlisted {
		t.Errorf("%d claims are kept", len(of))
	}
	for _, sid := range []wire.SID{1, 2, 3, 100, 1100} {
		if of[sid] == nil {
			t.Errorf("the claim of server %d is forgotten", sid)
		}
	}
}
