package ensemble

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"zooid/integration/history"
	"zooid/integration/testenv"
)

var seedFlag = flag.Uint64("seed", 0, "seed of what the clients and the faults choose; 0 draws one")

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// The sizes of a drill.
const (
	voters  = 3
	clients = 6
	pace    = 2 * time.Millisecond
	// enough acknowledged writes show that an ensemble goes on: a few of each
	// client.
	enough = 40
	// limit is how long anything may take that must happen: generous, for busy
	// machines. What must be quick is measured and told.
	limit = 30 * time.Second
)

// drill is an ensemble under load.
type drill struct {
	*testing.T
	e       *testenv.Ensemble
	h       *history.History
	r       *rand.Rand
	seed    uint64
	network *testenv.Network
	windows []window
	stopped bool
}

// window is a time in which the longest gap between writes is of interest.
type window struct {
	what     string
	from, to time.Time
	most     time.Duration // without a write, if positive
}

// setup is what differs from drill to drill.
type setup struct {
	testenv.EnsembleConfig
	network bool // members in namespaces
	// countAnew has clients that count their requests anew on each connection.
	countAnew bool
	servers   []int // members that clients connect to; all if empty
	prepared  bool  // the ensemble is not started yet, nor the load
}

// newDrill starts an ensemble and its load.
func newDrill(t *testing.T, kinds []string, s setup) *drill {
	t.Helper()
	d := &drill{T: t, seed: *seedFlag}
	if d.seed == 0 {
		d.seed = uint64(time.Now().UnixNano() % 1_000_000)
	}
	d.r = rand.New(rand.NewPCG(d.seed, 1<<40))
	s.Kinds = kinds
	if s.network {
		d.network = testenv.NeedNetwork(t, len(kinds), d.seed)
		s.Network = d.network
	}
	d.e = testenv.PrepareEnsemble(t, s.EnsembleConfig)
	t.Cleanup(d.keep)
	mixed := slices.Contains(kinds, testenv.KindJava)
	if len(s.servers) == 0 {
		for _, m := range d.e.Members {
			s.servers = append(s.servers, m.SID)
		}
	}
	d.h = history.New(history.Options{
		Seed: d.seed, Generations: testenv.InDrill(2, 60), Servers: s.servers, Pace: pace, LooseSync: mixed, CountAnew: s.countAnew,
		Dial:       func(sid int, limit time.Duration) (net.Conn, error) { return d.e.Member(sid).Dial(limit) },
		LooseReads: func(sid int) bool { return d.e.Member(sid).Kind == testenv.KindJava },
	})
	if !s.prepared {
		d.must(d.e.Start())
		d.load()
	}
	return d
}

// load starts the clients.
func (d *drill) load() {
	d.Helper()
	d.must(d.h.Prepare())
	d.h.Go(clients)
	// However the drill ends, its clients end before its members.
	d.Cleanup(d.stop)
	d.progress()
}

func (d *drill) stop() {
	if !d.stopped {
		d.stopped = true
		d.h.Stop()
	}
}

// in is the drill as a subtest speaks of it.
func (d *drill) in(t *testing.T) *drill {
	sub := *d
	sub.T = t
	return &sub
}

// must ends the drill on an error.
func (d *drill) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// progress demands that writes go on.
func (d *drill) progress() {
	d.Helper()
	d.must(d.h.AwaitAcked(enough, limit))
}

// leader waits until all members that run serve, and returns their leader.
func (d *drill) leader() *testenv.Member {
	d.Helper()
	m, err := d.e.AwaitServing(limit)
	d.must(err)
	return m
}

// elsewhere waits until the members but those given serve, and returns their
// leader.
func (d *drill) elsewhere(but ...*testenv.Member) *testenv.Member {
	d.Helper()
	m, err := d.e.AwaitServing(limit, d.e.Others(but...)...)
	d.must(err)
	return m
}

// measure notes the time from a fault until now: how long writes stopped in it
// is told at the end.
func (d *drill) measure(what string, from time.Time) {
	d.windows = append(d.windows, window{what: what, from: from, to: time.Now()})
}

// measureWithin is measure, and at the end writes must not have stopped for longer
// than most.
func (d *drill) measureWithin(most time.Duration, what string, from time.Time) {
	d.windows = append(d.windows, window{what: what, from: from, to: time.Now(), most: most})
}

// check heals everything and judges: all members must serve and agree, and the
// clients' history must be one that a correct ensemble can give.
func (d *drill) check() {
	d.Helper()
	if d.network != nil {
		d.network.Heal()
	}
	for _, m := range d.e.Members {
		if m.Running() && m.Paused() {
			d.must(m.Resume())
		}
	}
	d.must(d.e.Start())
	d.progress()
	d.stop()
	last := d.e.Members[d.r.IntN(len(d.e.Members))]
	d.must(d.h.Finish(last.SID))
	d.Log(d.h.Summary())
	for _, w := range d.windows {
		gap := d.h.LongestGap(w.from, w.to).Round(time.Millisecond)
		d.Logf("%s: longest gap between writes %v", w.what, gap)
		if w.most > 0 && gap > w.most {
			d.Errorf("%s: no write for %v, at most %v were to be", w.what, gap, w.most)
		}
	}
	if err := d.h.Check(""); err != nil {
		d.Error(err)
	}
	d.must(d.agreement())
	mixed := slices.ContainsFunc(d.e.Members, func(m *testenv.Member) bool { return m.Kind == testenv.KindJava })
	for _, m := range d.e.Members {
		d.must(sane(m, mixed))
	}
}

// sane looks for what no drill explains.
func sane(m *testenv.Member, mixed bool) error {
	for _, word := range []string{"panic:", "fatal error:", "DATA RACE"} {
		if strings.Contains(m.Log(), word) {
			return fmt.Errorf("member %d says %q", m.SID, word)
		}
	}
	if mixed {
		return nil // after partitions Java's digests are not always those of its tree
	}
	values, err := m.Monitor()
	if err == nil && values["digest_mismatches_count"] != "0" {
		err = fmt.Errorf("member %d: digest_mismatches_count is %q", m.SID, values["digest_mismatches_count"])
	}
	return err
}

// keep saves what a failed drill leaves, and says how to repeat it.
func (d *drill) keep() {
	if !d.Failed() {
		return
	}
	name := strings.NewReplacer("/", "-", "+", "-").Replace(d.Name())
	folder, err := os.MkdirTemp("", "zooid-drill-"+name+"-")
	if err == nil {
		err = d.e.Save(folder)
	}
	if err != nil {
		d.Log(err)
		return
	}
	if d.h != nil && d.stopped {
		if err := d.h.Save(folder); err != nil {
			d.Log(err)
		}
		// It fails again, for its pictures; after a drill that did not come to its
		// end what it finds may be all that there is to see.
		if err := d.h.Check(folder); err != nil {
			d.Logf("the history: %v", err)
		}
	}
	target := ""
	if v := os.Getenv("ZOOID_TEST_TARGET"); v != "" {
		target = "ZOOID_TEST_TARGET=" + v + " "
	}
	test, _, _ := strings.Cut(d.Name(), "/")
	d.Logf("logs, directories and history: %s\nshow it again (the moments will not be the same to the microsecond) by:\n%sgo test ./integration/ensemble -run '^%s$' -seed %d",
		folder, target, test, d.seed)
}
