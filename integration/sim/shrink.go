package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// forSeeds runs the seeds, several at a time if asked to, and hands each result
// over; false ends it early.
func forSeeds(o *options, each func(seed uint64, r *result) bool) {
	jobs := max(o.jobs, 1)
	var mu sync.Mutex
	next, stop := o.first, false
	var work sync.WaitGroup
	for range jobs {
		work.Go(func() {
			for {
				mu.Lock()
				seed := next
				next++
				over := stop || seed > o.last
				mu.Unlock()
				if over {
					return
				}
				r := simulate(newPlan(seed, o.steps, o.shape), nil)
				mu.Lock()
				stop = !each(seed, &r) || stop
				mu.Unlock()
			}
		})
	}
	work.Wait()
}

// shrinkRuns bounds the runs that the search for a smaller schedule may take.
const shrinkRuns = 150

// shrink looks for a part of the schedule with which the same check fails: it
// leaves out faults and clients, in halves, quarters and so on, while it can.
func shrink(seed uint64, o *options, r *result) (s shape, steps int) {
	s, steps = o.shape, o.steps
	if s.onlyFaults == nil {
		s.onlyFaults = append([]int{}, r.fault...)
	}
	if s.onlyClients == nil {
		for i := range newPlan(seed, steps, s).clients {
			s.onlyClients = append(s.onlyClients, i)
		}
	}
	runs := 0
	fails := func(s shape, steps int) bool {
		runs++
		got := simulate(newPlan(seed, steps, s), nil)
		return got.err != nil && got.err.check == r.err.check
	}
	if !fails(s, steps) {
		return o.shape, steps // armed faults that never struck had a part in it
	}
	if r.steps < steps && fails(s, r.steps) {
		steps = r.steps
	}
	for _, list := range []*[]int{&s.onlyFaults, &s.onlyClients, &s.onlyFaults} {
		for size := (len(*list) + 1) / 2; size > 0 && runs < shrinkRuns; size /= 2 {
			for at := 0; at < len(*list) && runs < shrinkRuns; {
				full := *list
				*list = slices.Concat(full[:at], full[min(at+size, len(full)):])
				if !fails(s, steps) {
					*list = full
					at += size
				}
			}
		}
	}
	return s, steps
}

func list(numbers []int) string {
	if len(numbers) == 0 {
		return "none"
	}
	var parts []string
	for _, n := range numbers {
		parts = append(parts, strconv.Itoa(n))
	}
	return strings.Join(parts, ",")
}

// command is what replays a run.
func command(seed uint64, steps int, o *options, s shape) string {
	c := "go run "
	if o.mistake != "" {
		c += "-tags defects "
	}
	c += fmt.Sprintf("./integration/sim -seeds %d -steps %d", seed, steps)
	if s.members > 0 {
		c += fmt.Sprintf(" -members %d", s.members)
	}
	if s.onlyFaults != nil {
		c += " -faults " + list(s.onlyFaults)
	}
	if s.onlyClients != nil {
		c += " -clients " + list(s.onlyClients)
	}
	if o.mistake != "" {
		c += " -mistake " + o.mistake
	}
	return c
}

// storyLines is how much of the end of a failed run is told.
const storyLines = 250

// explain tells of a failure: what failed, the smallest schedule that was found,
// the end of the run, and how to see it again.
func explain(o *options, seed uint64, r *result, out io.Writer) {
	fmt.Fprintf(out, "seed %d fails after %d events: %s: %s\n", seed, r.steps, r.err.check, r.err.text)
	s, steps := shrink(seed, o, r)
	p := newPlan(seed, steps, s)
	fmt.Fprintf(out, "\nthe plan: %d members (alone=%v), %d clients, faults %s of %s, origin %v, tick %d ms\n",
		len(p.members), p.alone, len(p.clients), list(s.onlyFaults), list(r.fault), p.origin, p.tickMs)
	tale := newStory(storyLines)
	again := simulate(p, tale)
	fmt.Fprintln(out, "\nthe end of the run:")
	tale.print(out)
	if again.err != nil {
		fmt.Fprintf(out, "\n%s%s: %s\n", again.stack, again.err.check, again.err.text)
	}
	fmt.Fprintln(out, command(seed, steps, o, s))
}
