package store

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"zooid/wire"
)

// TestCrash runs random requests, cuts, flushes, snapshots and purges over a
// file system that can crash, and crashes it at random moments, chain after
// chain: log and store together, with all, some or nothing of what was not
// synced. What comes back must be the state that a tree in memory has at the
// same zxid, and no acknowledged txn may be missing.
//
// ZOOID_SEED=n repeats a run.
func TestCrash(t *testing.T) {
	seeds := []uint64{1, 2, 3, 4, 5, 6, 7, 8}
	if v := os.Getenv("ZOOID_SEED"); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		must(t, err)
		seeds = []uint64{n}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("to repeat: ZOOID_SEED=%d go test -run TestCrash ./store", seed)
				}
			}()
			crashChain(t, rand.New(rand.NewPCG(seed, 0)))
		})
	}
}

func crashChain(t *testing.T, rng *rand.Rand) {
	fs := vfs.NewCrashableMem()
	var history []*wire.Txn
	for life := range 12 {
		o := Options{DataDir: "/data", FS: fs, PreallocBytes: -1, FlushTxns: int64(1 + rng.IntN(200)), LogBudget: 4000}
		l := startLoop(t, o)
		z := l.s.tree.LastZxid()
		compare(t, model(t, history, z), contentOf(t, l.s))
		if t.Failed() {
			t.Fatalf("life %d is wrong at %v", life, z)
		}
		history = history[:z] // what was not acknowledged may be gone
		var crashed *vfs.MemFS
		for round, last := 0, rng.IntN(30); round <= last; round++ {
			l.some(rng, rng.IntN(40))
			if round == last {
				acked := wire.Zxid(l.acked.Load())
				crashed = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(3) * 50, RNG: rng})
				defer func() {
					if got := wire.Zxid(len(history)); got < acked {
						t.Errorf("acknowledged up to %v, recovered up to %v", acked, got)
					}
				}()
			}
			l.apply()
			l.s.Keep(rng.IntN(2) == 0)
			switch rng.IntN(6) {
			case 0:
				_, _, err := l.s.Snapshot()
				must(t, err)
			case 1:
				_, err := l.s.Purge()
				must(t, err)
			}
		}
		history = append(history, l.txns...)
		mustClose(t, l.s)
		fs = crashed
		// The next life may end before the txns that were in flight.
		s := open(t, Options{DataDir: "/data", FS: fs, PreallocBytes: -1})
		history = history[:s.tree.LastZxid()]
		mustClose(t, s)
	}
}

// TestCrashAtEveryWrite crashes a short life before every single operation that
// writes. Each time the server must come back with everything that was
// acknowledged, and so must ZooKeeper, which does not look into the store.
func TestCrashAtEveryWrite(t *testing.T) {
	for _, from := range []string{"nothing", "standalone-all-types", "standalone-gz"} {
		t.Run(from, func(t *testing.T) { crashEverywhere(t, from) })
	}
}

// lockFS keeps Lock and CrashClone apart: MemFS takes its own lock twice in Lock,
// and waits forever if a clone comes in between.
type lockFS struct {
	vfs.FS
	mu *sync.Mutex // held while cloning
}

// Lock locks name.
func (l lockFS) Lock(name string) (io.Closer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.FS.Lock(name)
}

type crashPoint struct {
	fs    *vfs.MemFS
	acked wire.Zxid
	op    string
}

func crashEverywhere(t *testing.T, from string) {
	inner, o, before := vfs.NewCrashableMem(), Options{DataDir: "/data", PreallocBytes: -1}, &content{}
	if from != "nothing" {
		var want *expected
		inner, want = unpack(t, from)
		o, before = want.options(nil), want.content(t)
	}
	o.FlushTxns, o.LogBudget = 10, 1000
	var mu sync.Mutex
	var points []crashPoint
	var l *loop
	rng, tear := rand.New(rand.NewPCG(7, 0)), rand.New(rand.NewPCG(8, 0)) // tear is mu's
	acked := func() wire.Zxid {
		if l == nil {
			return before.Zxid
		}
		return wire.Zxid(l.acked.Load())
	}
	o.FS = errorfs.Wrap(lockFS{inner, &mu}, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			mu.Lock()
			defer mu.Unlock()
			points = append(points, crashPoint{
				acked: acked(), // before the clone: what was acknowledged then must be in it
				fs:    inner.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * (len(points) % 2), RNG: tear}),
				op:    fmt.Sprint(op.Kind, " ", op.Path),
			})
		}
		return nil
	}))
	first := startLoop(t, o)
	mu.Lock()
	l = first
	mu.Unlock()
	for round := range 4 {
		l.create(fmt.Sprintf("/round-%d", round), "x", 0)
		l.some(rng, 12)
		l.apply()
		l.s.Keep(true)
		l.s.waitIdle()
		if round%2 == 1 {
			_, err := l.s.Purge()
			must(t, err)
		}
	}
	mustClose(t, l.s)
	t.Logf("%d crashes", len(points))
	step := 1
	if testing.Short() {
		step = 10
	}
	for i := 0; i < len(points); i += step {
		checkCrash(t, points[i], o, first.txns, before)
	}
}

// checkCrash recovers from p with and without the store.
func checkCrash(t *testing.T, p crashPoint, o Options, txns []*wire.Txn, before *content) {
	t.Helper()
	o.FS = p.fs
	var states [2]*content
	for i := range states {
		s, err := Open(o)
		if err != nil {
			t.Fatalf("crash before %s: %v", p.op, err)
		}
		states[i] = contentOf(t, s).comparable()
		mustClose(t, s)
		if z := states[i].Zxid; z < p.acked {
			t.Fatalf("crash before %s: acknowledged up to %v, recovered up to %v (from %s)", p.op, p.acked, z, s.base.from)
		}
		if before.Zxid == 0 {
			compare(t, model(t, txns, states[i].Zxid).comparable(), states[i])
		}
		must(t, p.fs.RemoveAll("/data/"+pebbleDir))
	}
	compare(t, states[0], states[1])
	if t.Failed() {
		t.Fatalf("crash before %s", p.op)
	}
}
