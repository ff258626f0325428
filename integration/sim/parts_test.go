package main

import (
	"math/rand/v2"
	"testing"

	"github.com/anishathalye/porcupine"
)

// Events come in the order of their times, and of their making within one.
func TestAgenda(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var a agenda
	for range 2000 {
		a.add(event{at: int64(r.IntN(50))})
		if r.IntN(3) == 0 {
			a.next()
		}
	}
	last := event{at: -1}
	for len(a.list) > 0 {
		e := a.next()
		if e.before(&last) {
			t.Fatalf("%v %v comes behind %v %v", e.at, e.seq, last.at, last.seq)
		}
		last = e
	}
}

// The judge of registers must be able to say no.
func TestRegistersThatAreNotLinearizable(t *testing.T) {
	set := func(h *history, from, to int64, value string, version int32) {
		h.answer(to, h.call(from, 0, regInput{op: regSet, value: value, version: -1}), regOutput{ok: true, version: version})
	}
	read := func(h *history, from, to int64, value string, version int32) {
		h.answer(to, h.call(from, 1, regInput{op: regRead}), regOutput{ok: true, value: value, version: version})
	}
	for name, c := range map[string]struct {
		fill func(h *history)
		want porcupine.CheckResult
	}{
		"in order":          {func(h *history) { set(h, 1, 2, "a", 1); read(h, 3, 4, "a", 1) }, porcupine.Ok},
		"at the same time":  {func(h *history) { set(h, 1, 5, "a", 1); read(h, 3, 4, "0", 0) }, porcupine.Ok},
		"read too old":      {func(h *history) { set(h, 1, 2, "a", 1); read(h, 3, 4, "0", 0) }, porcupine.Illegal},
		"lost update":       {func(h *history) { set(h, 1, 2, "a", 1); set(h, 3, 4, "b", 1) }, porcupine.Illegal},
		"unknown, and done": {func(h *history) { h.call(1, 0, regInput{value: "a", version: -1}); read(h, 3, 4, "a", 1) }, porcupine.Ok},
		"unknown, not done": {func(h *history) { h.call(1, 0, regInput{value: "a", version: -1}); read(h, 3, 4, "0", 0) }, porcupine.Ok},
		"unknown, and undone": {func(h *history) {
			h.call(1, 0, regInput{value: "a", version: -1})
			read(h, 3, 4, "a", 1)
			read(h, 5, 6, "0", 0)
		}, porcupine.Illegal},
	} {
		t.Run(name, func(t *testing.T) {
			var h history
			h.begin()
			c.fill(&h)
			if got := porcupine.CheckOperations(registerModel, h.judged()); got != (c.want == porcupine.Ok) {
				t.Errorf("linearizable: %v", got)
			}
		})
	}
}

// What is not durable is gone after a crash, what is durable is not, and a
// record is found by its zxid.
func TestDiskKeepsWhatIsDurable(t *testing.T) {
	p := newPlan(3, 1000, shape{members: 3})
	var w world
	w.build(p)
	for w.steps < 20_000 {
		w.step()
		for _, m := range w.members {
			d := &m.disk
			if d.durable > len(d.log) {
				t.Fatalf("member %d: %d records are durable of %d", m.sid, d.durable, len(d.log))
			}
			if n := len(d.log); n > 0 && d.find(d.log[n/2].Zxid) != n/2 {
				t.Fatalf("member %d: record %d is not found", m.sid, n/2)
			}
		}
	}
}

// A mistake in the numbers of a command is told.
func TestNumbers(t *testing.T) {
	if a, b, err := seedRange("3-9"); a != 3 || b != 9 || err != nil {
		t.Error(a, b, err)
	}
	for _, s := range []string{"9-3", "x", "1-", ""} {
		if _, _, err := seedRange(s); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
	if l, err := numbers("none"); l == nil || len(l) != 0 || err != nil {
		t.Error(l, err)
	}
	if _, err := numbers("1,x"); err == nil {
		t.Error("1,x was accepted")
	}
}
