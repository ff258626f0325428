package zab

import (
	"fmt"

	"zooid/wire"
)

// Solo is the broadcast of a quorum of one.
//
// Invariant: committed <= durable <= proposed.
type Solo struct {
	proposed  wire.Zxid // last zxid handed out
	durable   wire.Zxid // last zxid that the log has on disk
	committed wire.Zxid // last zxid reported by Commit
}

// NewSolo continues after last, the last transaction in the log. All of the
// log is committed, for a member alone acknowledges by writing.
func NewSolo(last wire.Zxid) *Solo {
	return &Solo{proposed: last, durable: last, committed: last}
}

// Propose hands out the next zxid. As in ZooKeeper's standalone server a
// counter that overflows runs on into the epoch.
func (s *Solo) Propose() wire.Zxid {
	s.proposed++
	return s.proposed
}

// Durable says that the log has everything up to z on disk. A z beyond what
// was proposed, or one that goes back, cannot happen and panics.
func (s *Solo) Durable(z wire.Zxid) {
	if z > s.proposed || z < s.durable {
		panic(fmt.Sprintf("zab: durable %v outside of [%v, %v]", z, s.durable, s.proposed))
	}
	s.durable = z
}

// Commit reports the range of transactions that have become final since the
// last call, as (after, upTo]; it is empty if both are equal.
func (s *Solo) Commit() (after, upTo wire.Zxid) {
	after, s.committed = s.committed, s.durable
	return after, s.committed
}

// Proposed is the last zxid that was handed out.
func (s *Solo) Proposed() wire.Zxid { return s.proposed }

// Outstanding is the number of proposals that are not committed yet.
func (s *Solo) Outstanding() int { return int(s.proposed - s.committed) }
