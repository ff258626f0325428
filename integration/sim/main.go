package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

// run simulates one seed. It gives the hash of the trace, what rare states it
// came through, and what was found wrong, if anything.
func run(seed uint64, steps int) (trace uint64, seen map[string]int, err error) {
	w := newWorld(seed)
	step := 0
	defer func() {
		if r := recover(); r != nil {
			f, ok := r.(failure)
			if !ok {
				panic(r)
			}
			err = fmt.Errorf("step %d: %s\ngo run ./integration/sim -seeds %d-%d -steps %d", step, f.text, seed, seed, steps)
		}
		trace, seen = w.trace, w.seen
	}()
	for ; step < steps; step++ {
		w.step()
	}
	w.settle()
	return
}

func main() {
	seeds := flag.String("seeds", "1-200", "range of seeds")
	steps := flag.Int("steps", 5000, "steps for each")
	flag.Parse()
	from, to, ok := strings.Cut(*seeds, "-")
	a, err1 := strconv.ParseUint(from, 10, 64)
	b, err2 := strconv.ParseUint(to, 10, 64)
	if !ok || err1 != nil || err2 != nil || b < a {
		fmt.Fprintf(os.Stderr, "sim: -seeds %q is not of the form A-B\n", *seeds)
		os.Exit(2)
	}
	total := map[string]int{}
	for seed := a; seed <= b; seed++ {
		_, seen, err := run(seed, *steps)
		if err != nil {
			fmt.Fprintf(os.Stderr, "\nseed %d: %v\n", seed, err)
			os.Exit(1)
		}
		for what, n := range seen {
			total[what] += n
		}
		if (seed-a+1)%20 == 0 || seed == b {
			fmt.Fprintf(os.Stderr, "\r%d of %d seeds", seed-a+1, b-a+1)
		}
	}
	fmt.Fprintln(os.Stderr)
	for _, what := range slices.Sorted(maps.Keys(total)) {
		fmt.Printf("%9d  %s\n", total[what], what)
	}
}
