package kill

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/wire"
)

var (
	seedFlag   = flag.Uint64("seed", 0, "seed of the moments and the writes; 0 draws one")
	roundsFlag = flag.Int("rounds", testenv.InDrill(10, 200), "number of kills")
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

const writers = 6

// TestKill is the drill that doc.go describes.
func TestKill(t *testing.T) {
	testenv.EachTarget(t, testenv.Config{Keys: map[string]string{"maxSessionTimeout": "600000"}}, func(t *testing.T, s *testenv.Server) {
		if !s.Owned() {
			t.Skip("the drill kills only servers that it has started")
		}
		seed := *seedFlag
		if seed == 0 {
			seed = uint64(time.Now().UnixNano() % 1_000_000)
		}
		fmt.Fprintf(os.Stderr, "kill: seed %d, %d rounds\n", seed, *roundsFlag)
		d := &drill{server: s, r: rand.New(rand.NewPCG(seed, 1<<32))}
		for i := range writers {
			d.writers = append(d.writers, newWriter(i, seed))
		}
		if err := d.run(); err != nil {
			t.Fatalf("%v\nshow it again (the moments will not be the same to the microsecond) by:\n"+
				"go test ./integration/kill -seed %d -rounds %d", err, seed, *roundsFlag)
		}
	})
}

type drill struct {
	server  *testenv.Server
	r       *rand.Rand
	writers []*writer
}

func (d *drill) run() error {
	for _, w := range d.writers {
		if err := d.connect(w); err != nil {
			return err
		}
		if err := w.prepare(); err != nil {
			return err
		}
	}
	for round := range *roundsFlag {
		if err := d.round(); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
		if round%10 == 9 || round == *roundsFlag-1 {
			total := 0
			for _, w := range d.writers {
				total += w.acked
			}
			fmt.Fprintf(os.Stderr, "kill: %d of %d rounds, %d writes acknowledged and kept\n", round+1, *roundsFlag, total)
		}
	}
	return nil
}

// round is load, kill, start, check.
func (d *drill) round() error {
	errs := make([]error, len(d.writers))
	var wg sync.WaitGroup
	for i, w := range d.writers {
		wg.Go(func() { errs[i] = w.run() })
	}
	// The length of the load, not a wait for something.
	time.Sleep(time.Duration(20+d.r.IntN(300)) * time.Millisecond)
	d.server.Kill()
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := d.server.Start(); err != nil {
		return fmt.Errorf("after the kill: %w\n%s", err, d.server.Log())
	}
	for _, w := range d.writers {
		if err := d.connect(w); err != nil {
			return fmt.Errorf("writer %d: %w", w.id, err)
		}
		if err := w.check(); err != nil {
			return fmt.Errorf("writer %d, with %+v under way at the kill: %w", w.id, w.flight, err)
		}
		w.flight = nil
		if err := d.sometimesClose(w); err != nil {
			return fmt.Errorf("writer %d: %w", w.id, err)
		}
	}
	return d.checkDigest()
}

// connect opens the writer's session or comes back to it.
func (d *drill) connect(w *writer) error {
	o := rawclient.Options{TimeoutMs: 600000}
	if w.conn != nil {
		w.conn.Close()
		o.Session, o.Passwd, o.LastZxid = w.conn.Session, w.conn.Passwd, w.zxid
	}
	c, err := rawclient.Open(d.server.Addr, o)
	if err != nil {
		return err
	}
	w.conn = c
	return nil
}

// sometimesClose ends the session and opens another: its ephemeral must go.
func (d *drill) sometimesClose(w *writer) error {
	if d.r.IntN(4) != 0 {
		return nil
	}
	if err := w.conn.CloseSession(); err != nil {
		return err
	}
	w.conn = nil
	if err := d.connect(w); err != nil {
		return err
	}
	if w.eph != "" {
		if _, err := w.conn.Exists(w.eph, false); !errors.Is(err, wire.ErrNoNode) {
			return fmt.Errorf("ephemeral %s of a closed session: %v", w.eph, err)
		}
	}
	w.eph = ""
	return nil
}

// checkDigest asks the server whether its tree agreed with the digest in every
// transaction.
func (d *drill) checkDigest() error {
	text, err := testenv.Word(d.server.Addr, "mntr")
	if err != nil {
		return err
	}
	for _, line := range strings.Split(text, "\n") {
		if value, ok := strings.CutPrefix(line, "zk_digest_mismatches_count\t"); ok {
			if value != "0" {
				return fmt.Errorf("the tree's digest disagrees with %s transactions", value)
			}
			return nil
		}
	}
	return errors.New("mntr has no zk_digest_mismatches_count")
}

// check compares what the server has with what the writer knows.
func (w *writer) check() error {
	if err := w.conn.Ping(); err != nil {
		return err
	}
	if w.conn.LastZxid < w.zxid {
		return fmt.Errorf("the server is at zxid %v, and has acknowledged %v", w.conn.LastZxid, w.zxid)
	}
	names, err := w.conn.Children(w.root, false)
	if err != nil {
		return err
	}
	there := map[string]int{}
	eph := ""
	for _, name := range names {
		path := w.root + "/" + name
		switch {
		case strings.HasPrefix(name, "eph-"):
			eph = path
		case strings.HasPrefix(name, "n-"):
			if there[path], err = w.number(path); err != nil {
				return err
			}
		}
	}
	if err := w.checkNodes(there); err != nil {
		return err
	}
	if eph != w.eph && (w.flight == nil || w.flight.kind != "eph" || w.flight.path != eph) {
		return fmt.Errorf("ephemeral %q is there, %q should be", eph, w.eph)
	}
	w.eph = eph
	return w.checkPairs()
}

func (w *writer) number(path string) (n int, err error) {
	data, _, err := w.conn.GetData(path, false)
	if err != nil {
		return 0, err
	}
	if _, err := fmt.Sscanf(string(data), "%d", &n); err != nil {
		return 0, fmt.Errorf("%s holds %q", path, data)
	}
	return n, nil
}

// checkNodes takes the acknowledged state, with or without what was under way.
func (w *writer) checkNodes(there map[string]int) error {
	if maps.Equal(there, w.nodes) {
		return nil
	}
	if w.flight != nil {
		before := maps.Clone(w.nodes)
		if k := w.flight.kind; k == "create" || k == "set" || k == "delete" {
			w.settle(w.flight)
		}
		if maps.Equal(there, w.nodes) {
			return nil
		}
		w.nodes = before
	}
	return fmt.Errorf("there are %s,\nacknowledged were %s", numbers(there), numbers(w.nodes))
}

func numbers(m map[string]int) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "%s=%d ", k, m[k])
	}
	return b.String()
}

func (w *writer) checkPairs() error {
	names, err := w.conn.Children(w.root+"/pairs", false)
	if err != nil {
		return err
	}
	if len(names)%2 != 0 {
		return fmt.Errorf("a multi is there by half: %d nodes", len(names))
	}
	got := len(names) / 2
	if got != w.pairs && (w.flight == nil || w.flight.kind != "pair" || got != w.pairs+1) {
		return fmt.Errorf("%d pairs are there, %d were acknowledged", got, w.pairs)
	}
	w.pairs = got
	return nil
}
