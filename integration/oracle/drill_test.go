package oracle

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"zooid/integration/testenv"
	"zooid/wire"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "seed of the drill; 0 draws one")
	stepsFlag = flag.Int("steps", testenv.InDrill(3000, 60000), "number of steps")
	aFlag     = flag.String("a", testenv.KindJava, "side A: java, zooid or host:port of an empty server")
	bFlag     = flag.String("b", testenv.KindZooid, "side B, likewise")
	quotaFlag = flag.Bool("quota", false, "run with enforceQuota")
	keepFlag  = flag.Int("keep", 0, "go on after so many differences")
	showFlag  = flag.Bool("show", false, "log every step with what it brought on side A")
)

func init() { flag.BoolVar(&withTTL, "ttl", withTTL, "run with extendedTypesEnabled") }

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// dumpEvery is the number of steps between two comparisons of the whole tree.
const dumpEvery = 100

// TestSameAnswers is the drill that doc.go describes.
func TestSameAnswers(t *testing.T) {
	seed := drawSeed()
	replay := fmt.Sprintf("go test ./integration/oracle -run TestSameAnswers -seed %d -steps %d -a %s -b %s -quota=%v -ttl=%v",
		seed, *stepsFlag, *aFlag, *bFlag, *quotaFlag, withTTL)
	fmt.Fprintf(os.Stderr, "oracle: seed %d, %d steps\n", seed, *stepsFlag)
	cfg := drillConfig()
	a := newSideOf(t, testenv.Open(t, *aFlag, cfg))
	var b *side
	if *aFlag == testenv.KindJava && *bFlag == testenv.KindJava {
		b = newSideOf(t, testenv.StartBeside(t, cfg))
	} else {
		b = newSideOf(t, testenv.Open(t, *bFlag, cfg))
	}
	d := newDrill(seed, a, b)
	for n := range *stepsFlag {
		if err := d.step(t, n); err != nil {
			t.Fatalf("%v\nshow it again by:\n%s", err, replay)
		}
		if n%1000 == 999 {
			fmt.Fprintf(os.Stderr, "oracle: %d of %d steps, %d nodes\n", n+1, *stepsFlag, len(d.gen.live))
		}
	}
}

func drawSeed() uint64 {
	if *seedFlag != 0 {
		return *seedFlag
	}
	return uint64(time.Now().UnixNano() % 1_000_000)
}

// drillConfig is that of both servers. No session expires and no container or
// TTL node is swept during the drill: when that happens is not the drill's to
// say.
func drillConfig() testenv.Config {
	return testenv.Config{
		Bare: map[string]string{"znode.container.checkIntervalMs": "86400000"},
		Keys: map[string]string{
			"enforceQuota":         fmt.Sprint(*quotaFlag),
			"extendedTypesEnabled": fmt.Sprint(withTTL),
			"minSessionTimeout":    "36000000",
			"maxSessionTimeout":    "72000000",
		},
	}
}

func newSideOf(t *testing.T, server *testenv.Server) *side {
	t.Helper()
	s, err := newSide(server)
	if err != nil {
		t.Fatalf("%s server: %v", server.Kind, err)
	}
	t.Cleanup(s.close)
	return s
}

func newDrill(seed uint64, a, b *side) *drill {
	d := &drill{gen: newGen(seed), a: a, b: b}
	d.gen.open = func(client int) bool { return a.conns[client] != nil }
	d.gen.since = func() wire.Zxid { return a.relative(a.latest()) }
	return d
}

// drill is a run under way.
type drill struct {
	gen    *gen
	a, b   *side
	kept   int
	recent []string // the last steps with what they brought, for a failure
}

// step makes one step on both sides, and now and then compares the trees.
func (d *drill) step(t *testing.T, n int) error {
	st := d.gen.next()
	outA, outB := d.both(st)
	text := fmt.Sprintf("step %d: %v", n, st)
	if *showFlag {
		t.Logf("%s\n    %s", text, strings.Join(outA.lines, "\n    "))
	}
	d.recent = append(d.recent, text+"\n    "+strings.Join(outA.lines, "\n    "))
	if len(d.recent) > 12 {
		d.recent = d.recent[1:]
	}
	for i, out := range []outcome{outA, outB} {
		if out.err != nil {
			return fmt.Errorf("%s\nside %c: %w\n%s", text, 'A'+i, out.err, d.history())
		}
	}
	if diff := compare(outA.lines, outB.lines); diff != "" {
		if d.kept++; d.kept > *keepFlag {
			return fmt.Errorf("%s\ndiffers:\n%s\n%s", text, diff, d.history())
		}
		t.Errorf("%s\ndiffers:\n%s", text, diff)
	}
	d.gen.made(outA.created)
	if n%dumpEvery == dumpEvery-1 {
		if err := d.compareTrees(); err != nil {
			return fmt.Errorf("after step %d: %w\n%s", n, err, d.history())
		}
	}
	return nil
}

// both runs the step on the two sides at the same time.
func (d *drill) both(st *step) (outA, outB outcome) {
	done := make(chan outcome)
	go func() { done <- d.b.run(st) }()
	outA = d.a.run(st)
	return outA, <-done
}

func (d *drill) history() string {
	return "the steps before, and what they brought on side A:\n" + strings.Join(d.recent, "\n")
}

// compareTrees reads both trees whole, and the gauges that follow from them.
func (d *drill) compareTrees() error {
	linesA, nodes, err := d.a.dump()
	if err != nil {
		return fmt.Errorf("dump of side A: %w", err)
	}
	linesB, _, err := d.b.dump()
	if err != nil {
		return fmt.Errorf("dump of side B: %w", err)
	}
	if diff := compare(linesA, linesB); diff != "" {
		return fmt.Errorf("the trees differ:\n%s", diff)
	}
	d.gen.learn(nodes)
	return nil
}

// compare returns "" if the lines are equal, else those that are not.
func compare(a, b []string) string {
	var out strings.Builder
	for i := range max(len(a), len(b)) {
		x, y := "(nothing)", "(nothing)"
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			fmt.Fprintf(&out, "  A: %s\n  B: %s\n", x, y)
		}
	}
	return out.String()
}
