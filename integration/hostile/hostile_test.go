package hostile

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

const (
	// gapMax is the longest that a probe may wait for an answer.
	gapMax = 3 * time.Second
	// memoryMax is what the server may take in all, in bytes, of which goLimit
	// is what it is told that it may use.
	memoryMax = 450 << 20
	goLimit   = "600MiB"
	// attackFor is how long a shape runs.
	attackFor = 3 * time.Second
)

// attack runs a shape until ctx ends, on all its connections, which it spreads
// over the addresses. made is the one that made the preparations.
func attack(ctx context.Context, addrs []string, s *shape, made *rawclient.Conn) {
	if s.same {
		stop := context.AfterFunc(ctx, func() { made.Close() })
		defer stop()
		for n := 0; ctx.Err() == nil && s.attack(made, n) == nil; n++ {
		}
		return
	}
	var running sync.WaitGroup
	for i := range s.conns {
		addr := addrs[i%len(addrs)]
		running.Go(func() {
			for ctx.Err() == nil {
				c, err := dial(addr)
				if err != nil {
					time.Sleep(100 * time.Millisecond)
					continue
				}
				// What waits for an answer ends with the time.
				stop := context.AfterFunc(ctx, func() { c.Close() })
				for n := 0; ctx.Err() == nil; n++ {
					if err := s.attack(c, n); err != nil {
						break
					}
				}
				stop()
				c.Close()
			}
		})
	}
	running.Wait()
}

// open makes a session that lives as long as the test.
func open(t *testing.T, addr string) *rawclient.Conn {
	t.Helper()
	c, err := rawclient.Open(addr, rawclient.Options{TimeoutMs: 40_000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// judge runs a shape against some servers while the probes ask another, or the
// same, and judges what they and the servers' memory say.
func judge(t *testing.T, s *shape, attacked []string, probed string, servers ...*testenv.Server) {
	t.Helper()
	provable.Store(2000)
	made := open(t, attacked[0])
	if s.prepare != nil {
		if err := s.prepare(made); err != nil {
			t.Fatal(err)
		}
	}
	list, end, err := probes(probed)
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	ctx, cancel := context.WithTimeout(t.Context(), attackFor)
	defer cancel()
	var most int64
	var running sync.WaitGroup
	running.Go(func() { attack(ctx, attacked, s, made) })
	running.Go(func() {
		for ctx.Err() == nil {
			for _, one := range servers {
				most = max(most, one.ResidentBytes())
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	if err := run(ctx, list); err != nil {
		t.Error(err)
	}
	running.Wait()
	var gaps []string
	for _, p := range list {
		gaps = append(gaps, p.name+" "+p.longest.Round(time.Millisecond).String())
		if p.longest > gapMax {
			t.Errorf("%s waited %v for an answer", p.name, p.longest)
		}
	}
	t.Logf("longest gaps: %s; %d MiB at most", strings.Join(gaps, ", "), most>>20)
	if most > memoryMax {
		t.Errorf("the server took %d MiB", most>>20)
	}
}

// TestOneServer runs every shape against a server that stands alone.
func TestOneServer(t *testing.T) {
	t.Setenv("GOMEMLIMIT", goLimit)
	for i := range shapes {
		s := &shapes[i]
		t.Run(s.name, func(t *testing.T) {
			server := testenv.Start(t, testenv.KindZooid, testenv.Config{})
			if _, _, err := open(t, server.Addr).Create("/probe", nil, 0); err != nil {
				t.Fatal(err)
			}
			judge(t, s, []string{server.Addr}, server.Addr, server)
		})
	}
}

// TestEnsemble has the shapes' clients at the followers, and asks the leader's
// clients what they notice. The same one leads at the end.
func TestEnsemble(t *testing.T) {
	t.Setenv("GOMEMLIMIT", goLimit)
	for i := range shapes {
		s := &shapes[i]
		if testing.Short() || !s.ensemble() && os.Getenv("ZOOID_DRILL") == "" {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			e := testenv.StartEnsemble(t, testenv.EnsembleConfig{Kinds: []string{testenv.KindZooid, testenv.KindZooid, testenv.KindZooid}})
			leader, err := e.AwaitServing(time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := open(t, leader.Addr).Create("/probe", nil, 0); err != nil {
				t.Fatal(err)
			}
			epoch, err := leader.Monitor()
			if err != nil {
				t.Fatal(err)
			}
			followers := e.Others(leader)
			judge(t, s, []string{followers[0].Addr, followers[1].Addr}, leader.Addr, e.Members[0].Server, e.Members[1].Server, e.Members[2].Server)
			after, err := leader.Monitor()
			if err != nil {
				t.Fatal(err)
			}
			if was, is := epoch["server_state"], after["server_state"]; was != is {
				t.Errorf("the leader was deposed: it is %q now", is)
			}
		})
	}
}
