package history

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"zooid/wire"
)

// A register is a node's version and data: what its writes and sync'ed reads
// must agree on in one order that fits their times.
type register struct {
	version int32
	value   string
}

// decideLimit is how long the search for such an order may take.
const decideLimit = 60 * time.Second

// registerModel steps a register. Inputs are *Op; the outcome is in them.
var registerModel = porcupine.Model{
	Init: func() any { return register{} },
	Step: func(state, input, _ any) (bool, any) { return step(state.(register), input.(*Op)) },
	DescribeOperation: func(input, _ any) string {
		_, s, _ := strings.Cut(input.(*Op).String(), " session ")
		return s
	},
	DescribeState: func(state any) string { return fmt.Sprint(state) },
}

// step tells whether o can happen in the state, and what is then.
func step(r register, o *Op) (bool, register) {
	written := register{r.version + 1, o.Value}
	matches := o.Kind != WriteIf || o.Asked == r.version
	switch {
	case o.Kind == SyncRead:
		return r == register{o.Version, o.Value}, r
	case o.Outcome == Refused:
		return o.Code == wire.ErrBadVersion && o.Kind == WriteIf && !matches, r
	case o.Outcome == Done:
		return matches && o.Version == written.version, written
	case matches:
		return true, written
	}
	return true, r // it came when it could do nothing
}

// checkRegisters searches the order. If there is none it leaves a picture of
// the history in the folder, if one is named.
func (h *History) checkRegisters(ops []*Op, folder string) (bad []string) {
	for _, path := range h.registers {
		var history []porcupine.Operation
		for _, o := range resolved(ops, path, h.opts.LooseSync) {
			history = append(history, porcupine.Operation{ClientId: o.Client, Input: o, Call: o.Call, Return: o.Return})
		}
		result, info := porcupine.CheckOperationsVerbose(registerModel, history, decideLimit)
		if result == porcupine.Ok {
			continue
		}
		text := fmt.Sprintf("%s is not linearizable", path)
		if result == porcupine.Unknown {
			text = fmt.Sprintf("%s: not decided within %v whether it is linearizable", path, decideLimit)
		}
		if folder != "" {
			name := filepath.Join(folder, filepath.Base(path)+".html")
			if err := porcupine.VisualizePath(registerModel, info, name); err == nil {
				text += ": " + name
			}
		}
		bad = append(bad, text)
	}
	return bad
}

// resolved are the ops that the order of a register is made of. What became of
// a write without an answer is taken from those who saw its value, which no
// other write has: it happened before the first of them had it. If the data of
// every version is known and its value is none of them, it did not happen. Both
// keep the search short and decide nothing.
func resolved(ops []*Op, path string, looseSync bool) (kept []*Op) {
	type sight struct {
		version int32
		at      int64
	}
	seen := map[string]sight{}
	versions := map[int32]bool{}
	var newest int32
	for _, o := range ops {
		if o.Path != path || o.Outcome != Done || !holdsData(o) {
			continue
		}
		versions[o.Version] = true
		newest = max(newest, o.Version)
		if s, ok := seen[o.Value]; !ok || o.Return < s.at {
			seen[o.Value] = sight{o.Version, o.Return}
		}
	}
	allKnown := readAtTheEnd(ops, path)
	for v := int32(1); v <= newest && allKnown; v++ { // version 0 is nobody's write
		allKnown = versions[v]
	}
	for _, o := range ops {
		switch {
		case o.Path != path || !holdsData(o) || o.Kind == Read:
		case o.Kind == SyncRead && (looseSync || o.Outcome != Done):
		case o.Outcome != Unknown:
			kept = append(kept, o)
		default:
			s, ok := seen[o.Value]
			if ok {
				happened := *o
				happened.Outcome, happened.Version, happened.Return = Done, s.version, s.at
				kept = append(kept, &happened)
			} else if !allKnown {
				kept = append(kept, o)
			}
		}
	}
	return slices.Clip(kept)
}

// readAtTheEnd tells whether the register was read when nothing was written any
// more: else a write that nobody saw may stand behind everything that was seen.
func readAtTheEnd(ops []*Op, path string) bool {
	var lastWrite, lastRead int64
	for _, o := range ops {
		switch {
		case o.Path != path:
		case o.Kind == Write || o.Kind == WriteIf:
			lastWrite = max(lastWrite, o.Call)
		case o.Kind == SyncRead && o.Outcome == Done:
			lastRead = max(lastRead, o.Call)
		}
	}
	return lastRead > lastWrite
}

// holdsData tells whether the op says what a register held.
func holdsData(o *Op) bool {
	switch o.Kind {
	case Write, WriteIf, Read, SyncRead:
		return true
	}
	return false
}
