package main

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	var o options
	seeds := flag.String("seeds", "1-200", "range of seeds, A-B or A")
	flag.IntVar(&o.steps, "steps", 20_000, "events until everything is healed, for each seed")
	flag.IntVar(&o.shape.members, "members", 0, "how many vote; 0: as the seed has it")
	only := flag.String("faults", "", "take only these faults, by number; none: no faults")
	clients := flag.String("clients", "", "take only these clients, by number")
	mistake := flag.String("mistake", "", "build with -tags defects: make this mistake on purpose, or all, one after the other")
	flag.IntVar(&o.jobs, "jobs", 1, "seeds at the same time")
	flag.BoolVar(&o.goOn, "keep-going", false, "run all seeds and list those that fail")
	flag.BoolVar(&o.brief, "first", false, "say which seed fails first, and no more")
	flag.BoolVar(&o.tell, "tell", false, "tell all of the first seed's run, whether it fails or not")
	flag.BoolVar(&o.quiet, "quiet", false, "no progress")
	flag.Parse()
	var err error
	if o.first, o.last, err = seedRange(*seeds); err != nil {
		usage(err)
	}
	if o.shape.onlyFaults, err = numbers(*only); err != nil {
		usage(err)
	}
	if o.shape.onlyClients, err = numbers(*clients); err != nil {
		usage(err)
	}
	switch *mistake {
	case "":
	case "all":
		os.Exit(tabulate(&o))
	default:
		if err := makeMistake(*mistake); err != nil {
			usage(err)
		}
		o.mistake = *mistake
	}
	if o.tell {
		tale := newStory(1 << 20)
		simulate(newPlan(o.first, o.steps, o.shape), tale)
		tale.print(os.Stdout)
		return
	}
	os.Exit(explore(&o))
}

func usage(err error) {
	fmt.Fprintln(os.Stderr, "sim:", err)
	os.Exit(2)
}

// seedRange reads A-B, or A.
func seedRange(s string) (a, b uint64, err error) {
	from, to, ok := strings.Cut(s, "-")
	if !ok {
		to = from
	}
	a, err1 := strconv.ParseUint(from, 10, 64)
	b, err2 := strconv.ParseUint(to, 10, 64)
	if err1 != nil || err2 != nil || b < a {
		return 0, 0, fmt.Errorf("-seeds %q is not of the form A-B", s)
	}
	return a, b, nil
}

// numbers reads a list of numbers: nil for an empty text, empty for "none".
func numbers(s string) ([]int, error) {
	switch s {
	case "":
		return nil, nil
	case "none":
		return []int{}, nil
	}
	var list []int
	for part := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil, fmt.Errorf("%q is not a list of numbers", s)
		}
		list = append(list, n)
	}
	return list, nil
}

// options are what the command is asked for.
type options struct {
	first, last uint64
	steps       int
	shape       shape
	jobs        int
	quiet       bool
	brief       bool
	tell        bool
	goOn        bool
	mistake     string
}

// explore runs all seeds until one fails, and tells of that.
func explore(o *options) int {
	began := time.Now()
	var total [rareStates]int
	events, ops, done := 0, 0, uint64(0)
	bad := uint64(0)
	var first *result
	forSeeds(o, func(seed uint64, r *result) bool {
		done++
		events += r.steps
		ops += r.ops
		for i, n := range r.seen {
			total[i] += n
		}
		if !o.quiet && (done%20 == 0 || seed == o.last) {
			fmt.Fprintf(os.Stderr, "\r%d of %d seeds, %d events, %.0f a second ", done, o.last-o.first+1, events, float64(events)/time.Since(began).Seconds())
		}
		if r.err != nil && (first == nil || seed < bad) {
			bad, first = seed, r
		}
		if r.err != nil && (o.goOn || o.brief) {
			fmt.Printf("seed %d after %d events: %s: %.200s\n", seed, r.steps, r.err.check, r.err.text)
		}
		return r.err == nil || o.goOn
	})
	if !o.quiet {
		fmt.Fprintln(os.Stderr)
	}
	if first != nil && !o.goOn {
		if !o.brief {
			explain(o, bad, first, os.Stderr)
		}
		return 1
	}
	if o.brief {
		return 0
	}
	for i, n := range total {
		fmt.Printf("%10d  %s\n", n, rareNames[i])
	}
	fmt.Printf("%d seeds, %d events, %d answers to clients, %v, %.0f events a second\n", done, events, ops,
		time.Since(began).Round(time.Millisecond), float64(events)/time.Since(began).Seconds())
	return 0
}
