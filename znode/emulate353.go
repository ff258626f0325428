package znode

import "zooid/wire"

// kindOf tells what a stored ephemeralOwner means under t's rules. Beside what
// wire.KindOfOwner tells, an owner below 0 is a TTL where Rules.Emulate353 is
// set: ZooKeeper 3.5.3 marked TTL nodes by the highest bit alone. As in ZooKeeper
// the low 40 bits are then the TTL in ms, and new TTL nodes get the later form.
func (t *Tree) kindOf(owner int64) (kind wire.OwnerKind, ttlMs int64) {
	kind, ttlMs = wire.KindOfOwner(owner)
	if kind == wire.OwnerSession && t.rules.reads353(owner) {
		return wire.OwnerTTL, owner & wire.TTLMax
	}
	return kind, ttlMs
}

// reads353 tells whether an owner that would else be a session's is a TTL.
func (r *Rules) reads353(owner int64) bool { return owner < 0 && r.Emulate353 && r.ExtendedTypes }

// setRules changes the rules, and with them the lists of the nodes whose owner
// means something else from now on. A tree is loaded before it has rules.
func (t *Tree) setRules(rules Rules) {
	var moved []nodeID
	t.sessions.visit(func(e *session) {
		if owner := int64(e.id); t.rules.reads353(owner) != rules.reads353(owner) {
			t.eachEphemeral(e.id, func(n nodeID) bool { moved = append(moved, n); return true })
		}
	})
	for n := t.reapable.first; n != 0; {
		p := t.nodes.at(uint32(n))
		if kind, _ := wire.KindOfOwner(p.owner); kind == wire.OwnerSession && !rules.reads353(p.owner) {
			moved = append(moved, n)
		}
		n = p.ownedNext
	}
	for _, n := range moved {
		t.disown(n, t.nodes.at(uint32(n)))
	}
	t.rules = rules
	for _, n := range moved {
		t.own(n, t.nodes.at(uint32(n)))
	}
}
