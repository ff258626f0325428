package ensemble

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/wire"
)

// The soak for memory: so many bytes are written, in values of 1 kB to 1 MB on a
// few znodes, and then nothing is live on any member but its tree, what it keeps
// for learners (16 MiB) and what the runtime and the store need.
const (
	soakNodes = 8
	soakLive  = 40 << 20 // bytes, beyond what was live before
)

var soakBytes = testenv.InDrill(300<<20, 10<<30)

// TestMemoryIsGivenBack writes through the leader and through a follower, and
// through a server alone.
func TestMemoryIsGivenBack(t *testing.T) {
	t.Run("standalone", func(t *testing.T) {
		addr := fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t))
		s := testenv.Start(t, testenv.KindZooid, testenv.Config{Flags: []string{"--pprof", addr}})
		soakMemory(t, []*testenv.Server{s}, []string{addr})
	})
	t.Run("ensemble", func(t *testing.T) {
		e := testenv.PrepareEnsemble(t, testenv.EnsembleConfig{Kinds: mixed(t, testenv.KindZooid, testenv.KindZooid, testenv.KindZooid)})
		var profiles []string
		var servers []*testenv.Server
		for _, m := range e.Members {
			profiles = append(profiles, fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t)))
			servers = append(servers, m.Server)
			m.AddFlags("--pprof", profiles[len(profiles)-1])
		}
		if err := e.Start(); err != nil {
			t.Fatal(err)
		}
		soakMemory(t, servers, profiles)
	})
}

func soakMemory(t *testing.T, servers []*testenv.Server, profiles []string) {
	t.Helper()
	var conns []*rawclient.Conn
	for _, s := range servers {
		c, err := attachTo(s, rawclient.Options{TimeoutMs: 60_000})
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	for i := range soakNodes {
		if _, _, err := conns[0].Create(fmt.Sprintf("/soak-%d", i), nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	before := make([]int64, len(profiles))
	for i, addr := range profiles {
		before[i] = liveBytes(t, addr)
	}
	r := rand.New(rand.NewPCG(1, 1))
	value := make([]byte, 1_000_000)
	for written, n := 0, 0; written < soakBytes; n++ {
		c := conns[n%len(conns)]
		size := []int{1000, 10_000, 100_000, len(value)}[r.IntN(4)]
		if _, err := c.SetData(fmt.Sprintf("/soak-%d", n%soakNodes), value[:size], -1); err != nil {
			t.Fatal(err)
		}
		written += size
	}
	for i, addr := range profiles {
		if _, err := conns[i].Call(wire.OpSync, &wire.PathRequest{Path: "/"}, nil); err != nil {
			t.Fatal(err)
		}
		// The store may still be at work on the last changes.
		var live int64
		testenv.Await(t, limit, fmt.Sprintf("server %d has at most %d MB live beyond the %d MB before %d MB were written", i+1, soakLive>>20, before[i]>>20, soakBytes>>20), func() bool {
			live = liveBytes(t, addr)
			return live-before[i] <= soakLive
		})
		t.Logf("server %d: %d MB live, %d MB before", i+1, live>>20, before[i]>>20)
	}
}

// liveBytes has a server collect its garbage, and tells what is left.
func liveBytes(t *testing.T, addr string) int64 {
	t.Helper()
	resp, err := http.Get("http://" + addr + "/debug/pprof/heap?gc=1&debug=1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "# HeapAlloc = "); ok {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("the heap's profile does not say how much is in use")
	return 0
}
