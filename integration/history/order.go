package history

import (
	"fmt"
	"slices"

	"zooid/wire"
)

// checkOrder holds the ops to the order of the zxids: every transaction has one
// of its own, later transactions have greater ones, and who has read after a
// sync has seen as far as everything that was answered before.
func (h *History) checkOrder(ops []*Op) (bad []string) {
	owner := map[wire.Zxid]*Op{}
	byReturn := slices.DeleteFunc(slices.Clone(ops), func(o *Op) bool { return !o.changes() || !o.answered() })
	slices.SortStableFunc(byReturn, func(a, b *Op) int { return int(a.Return - b.Return) })
	var newest *Op // of those that were answered before the op at hand was asked
	next := 0
	for _, o := range ops {
		for next < len(byReturn) && byReturn[next].Return < o.Call {
			if newest == nil || byReturn[next].Zxid > newest.Zxid {
				newest = byReturn[next]
			}
			next++
		}
		if !o.answered() {
			continue
		}
		if o.changes() {
			if other := owner[o.Zxid]; other != nil {
				bad = append(bad, fmt.Sprintf("two transactions with one zxid:\n  %v\n  %v", other, o))
			}
			owner[o.Zxid] = o
			if newest != nil && o.Zxid <= newest.Zxid {
				bad = append(bad, fmt.Sprintf("a later transaction has an earlier zxid:\n  %v\n  %v", newest, o))
			}
		}
		if (o.Kind == SyncRead || o.Kind == Look) && !h.opts.LooseSync && newest != nil && o.Zxid < newest.Zxid {
			bad = append(bad, fmt.Sprintf("after a sync, a member does not have what was answered before:\n  %v\n  %v", newest, o))
		}
	}
	return bad
}

// checkClients holds each client's ops, in their order, to what it has already
// seen: neither the ensemble nor a node goes back in zxid, over all members that
// the client was connected to.
func (h *History) checkClients() (bad []string) {
	for _, c := range h.clients {
		var zxid wire.Zxid
		nodes := map[string]wire.Zxid{}
		for i := range c.ops {
			o := &c.ops[i]
			if !o.answered() || o.Zxid == 0 {
				continue // no reply came, or it is no request
			}
			if o.Zxid < zxid {
				bad = append(bad, fmt.Sprintf("a client that was at zxid %v goes back:\n  %v", zxid, o))
			}
			zxid = max(zxid, o.Zxid)
			if o.Outcome != Done || !holdsData(o) {
				continue
			}
			if o.Mzxid < nodes[o.Path] {
				bad = append(bad, fmt.Sprintf("a client that saw mzxid %v of a node sees an older one:\n  %v", nodes[o.Path], o))
			}
			nodes[o.Path] = o.Mzxid
		}
	}
	return bad
}

// checkStates wants every state of a node that anybody saw to be one that a
// write made, the same for all, and every read to be the newest of those that
// its reply claims to include.
func (h *History) checkStates(ops []*Op) (bad []string) {
	states := map[string][]*Op{} // of each register, one op a state, by mzxid
	for _, path := range h.registers {
		mine := slices.DeleteFunc(slices.Clone(ops), func(o *Op) bool { return o.Path != path || o.Outcome != Done || !holdsData(o) })
		slices.SortStableFunc(mine, func(a, b *Op) int { return int(a.Mzxid - b.Mzxid) })
		for _, o := range mine {
			known := states[path]
			if len(known) == 0 {
				states[path] = append(known, o)
				continue
			}
			last := known[len(known)-1]
			switch {
			case o.Mzxid == last.Mzxid && (o.Value != last.Value || o.Version != last.Version):
				bad = append(bad, fmt.Sprintf("one state of a node was seen in two forms:\n  %v\n  %v", last, o))
			case o.Mzxid > last.Mzxid && o.Version <= last.Version:
				bad = append(bad, fmt.Sprintf("a node's version does not grow with its mzxid:\n  %v\n  %v", last, o))
			case o.Mzxid > last.Mzxid:
				states[path] = append(known, o)
			}
		}
	}
	for _, o := range ops {
		if o.Outcome != Done || o.Kind != Read && o.Kind != SyncRead || h.opts.LooseReads(o.Server) {
			continue
		}
		known := states[o.Path]
		i, _ := slices.BinarySearchFunc(known, o.Zxid+1, func(s *Op, z wire.Zxid) int { return int(s.Mzxid - z) })
		if newest := known[i-1]; newest.Mzxid > o.Mzxid {
			bad = append(bad, fmt.Sprintf("a read leaves out what its zxid includes:\n  %v\n  %v", newest, o))
		}
	}
	return bad
}

// refusals are the codes with which the ops may be refused: all others are
// errors of the ensemble.
var refusals = map[Kind]wire.ErrCode{
	WriteIf: wire.ErrBadVersion, CreateOwn: wire.ErrNodeExists, DeleteOwn: wire.ErrNoNode, Look: wire.ErrNoNode,
}

func checkCodes(ops []*Op) (bad []string) {
	for _, o := range ops {
		if o.Outcome == Refused && o.Code != refusals[o.Kind] {
			bad = append(bad, fmt.Sprintf("a refusal that nothing explains:\n  %v", o))
		}
	}
	return bad
}
