package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/anishathalye/porcupine"

	"zooid/wire"
)

// history is what clients were told, as far as it is judged by what it says.
type history struct {
	ops      []porcupine.Operation
	versions [registers]int32 // the newest version that anybody has been told
	counted  [counters]counted
	queue    map[string]queueState
	recipes  map[string]*recipeBook
	holder   *client
	held     wire.SessionID // the holder's session
}

// counted is what is known of a counter.
type counted struct {
	told    map[int64]bool // values that a client was told to have made
	unknown int
}

type queueState uint8

const (
	queueProduced queueState = 1 << iota
	queueConsumed
	queueUnknown // a deletion whose outcome nobody knows
)

func (h *history) begin() {
	h.queue = map[string]queueState{}
	h.recipes = map[string]*recipeBook{}
	for k := range h.counted {
		h.counted[k].told = map[int64]bool{}
	}
}

type regOp uint8

const (
	regSet regOp = iota
	regRead
)

type regInput struct {
	key     int
	op      regOp
	value   string
	version int32 // -1: any
}

// regOutput is an answer; the zero value is a refusal for the version's sake.
type regOutput struct {
	ok      bool
	unknown bool // it may have happened, at any time since
	dropped bool // it is known not to have happened, or tells nothing
	value   string
	version int32
}

// version is a guess at a register's version.
func (h *history) version(k int) int32 { return h.versions[k] }

func (h *history) call(now int64, client int, in regInput) int {
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: in, Call: now, Output: regOutput{unknown: true}, Return: forever})
	return len(h.ops) - 1
}

func (h *history) answer(now int64, n int, out regOutput) {
	o := &h.ops[n]
	o.Return, o.Output = now, out
	if k := o.Input.(regInput).key; out.version > h.versions[k] {
		h.versions[k] = out.version
	}
}

func (h *history) unknown(int) {}

func (h *history) forget(n int) { h.ops[n].Output = regOutput{dropped: true} }

// register is a register's state.
type register struct {
	value   string
	version int32
}

var registerModel = porcupine.Model{
	Partition: func(ops []porcupine.Operation) [][]porcupine.Operation {
		parts := make([][]porcupine.Operation, registers)
		for _, o := range ops {
			k := o.Input.(regInput).key
			parts[k] = append(parts[k], o)
		}
		return parts
	},
	Init: func() any { return register{value: "0"} },
	Step: func(state, input, output any) (bool, any) {
		s, in, out := state.(register), input.(regInput), output.(regOutput)
		if in.op == regRead {
			return out.value == s.value && out.version == s.version, s
		}
		fits := in.version < 0 || in.version == s.version
		next := register{in.value, s.version + 1}
		switch {
		case out.unknown && fits:
			return true, next
		case out.unknown:
			return true, s
		case out.ok:
			return fits && out.version == next.version, next
		}
		return !fits, s
	},
	DescribeOperation: func(input, output any) string {
		in, out := input.(regInput), output.(regOutput)
		if in.op == regRead {
			return fmt.Sprintf("read -> %s at version %d", out.value, out.version)
		}
		return fmt.Sprintf("set %s if %d -> %v version %d unknown=%v", in.value, in.version, out.ok, out.version, out.unknown)
	},
}

const (
	// judgedMax bounds the operations on one register that are judged: the first
	// ones, with those that were then under way.
	judgedMax = 250
	// unknownMax bounds those among them whose outcome is unknown, each of which
	// may have happened at any time later.
	unknownMax = 12
	judgeTime  = 20 * time.Second
)

// judged cuts the history of each register after its first operations. A prefix
// in time of a linearizable history is one: what was answered later is taken as
// unknown, and reads that were not answered say nothing.
func (h *history) judged() (ops []porcupine.Operation) {
	var count, unknown [registers]int
	var until [registers]int64
	for i := range h.ops {
		in, out := h.ops[i].Input.(regInput), h.ops[i].Output.(regOutput)
		k := in.key
		if out.dropped || in.op == regRead && out.unknown || until[k] != 0 {
			continue
		}
		count[k]++
		if out.unknown {
			unknown[k]++
		}
		if count[k] >= judgedMax || unknown[k] >= unknownMax {
			until[k] = h.ops[i].Call
		}
	}
	for _, o := range h.ops {
		in, out := o.Input.(regInput), o.Output.(regOutput)
		end := until[in.key]
		switch {
		case out.dropped || in.op == regRead && out.unknown:
			continue
		case end != 0 && o.Call > end:
			continue
		case end != 0 && o.Return > end:
			if in.op == regRead {
				continue
			}
			o.Return, o.Output = forever, regOutput{unknown: true}
		}
		ops = append(ops, o)
	}
	return ops
}

// judge asks whether the registers were linearizable.
func (h *history) judge(w *world) {
	switch porcupine.CheckOperationsTimeout(registerModel, h.judged(), judgeTime) {
	case porcupine.Illegal:
		w.fail("18 linearizable", "the history of the registers is not linearizable")
	case porcupine.Unknown:
		w.saw(rareUnjudged)
	}
}

// count is an increment that was answered: no two may have made the same value.
func (h *history) count(w *world, k int, value int64) {
	if h.counted[k].told[value] {
		w.fail("18 counters", "two clients were told that they made counter %d %d", k, value)
	}
	h.counted[k].told[value] = true
}

// produced and consumed are elements of the queue: each appears once and goes
// once.
func (h *history) produced(w *world, path string) {
	if h.queue[path]&queueProduced != 0 {
		w.fail("18 queue", "two creates were answered with %s", path)
	}
	h.queue[path] |= queueProduced
}

func (h *history) consumed(w *world, path string) {
	if h.queue[path]&queueConsumed != 0 {
		w.fail("18 queue", "%s was taken from the queue twice", path)
	}
	h.queue[path] |= queueConsumed
}

// acquired is a client's belief that it has the lock. It may be wrong about that
// for as long as its session is over and it does not know.
func (h *history) acquired(w *world, c *client) {
	if l := w.sessions[c.session]; l == nil || l.closed {
		return
	}
	if h.holder != nil {
		if l := w.sessions[h.held]; l != nil && !l.closed {
			w.fail("18 locks", "client %d has the lock, and client %d has it too, whose session %v lives", c.i, h.holder.i, h.held)
		}
		w.saw(rareLockTaken)
	}
	w.saw(rareLocked)
	h.holder, h.held = c, c.session
}

func (h *history) released(c *client) {
	if h.holder == c {
		h.holder = nil
	}
}

// settle compares what clients were told with what there is in the end.
func (h *history) settle(w *world, data func(path string) (string, bool)) {
	for k := range h.counted {
		value, ok := data(counterPath(k))
		if !ok {
			continue // nobody came so far as to make it
		}
		n, _ := strconv.ParseInt(value, 10, 64)
		told, unknown := int64(len(h.counted[k].told)), int64(h.counted[k].unknown)
		if n < told || n > told+unknown {
			w.fail("18 counters", "counter %d is %d; %d increments were answered, %d more may have happened", k, n, told, unknown)
		}
	}
	for path, s := range h.queue {
		_, there := data(path)
		switch {
		case s&queueConsumed != 0 && there:
			w.fail("18 queue", "%s was taken from the queue and is there", path)
		case s == queueProduced && !there:
			w.fail("18 queue", "%s was put into the queue, nobody took it, and it is gone", path)
		}
	}
	h.completeRecipes(w)
	h.judge(w)
}
