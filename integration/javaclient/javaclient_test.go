package javaclient

import (
	"os"
	"testing"
	"time"

	"zooid/integration/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// sweeping is a server that reaps containers and TTL nodes every second, so
// that a test can wait for it.
var sweeping = testenv.Config{Bare: map[string]string{"znode.container.checkIntervalMs": "1000"}}

func TestClient(t *testing.T) {
	testenv.EachTarget(t, sweeping, func(t *testing.T, s *testenv.Server) {
		proxy := testenv.StartProxy(t, s.Addr)
		cmd := testenv.JavaChecks(t, "testdata/java", "ClientSuite", s.Addr, proxy.Addr, testenv.Root("java"))
		testenv.RunChecks(t, cmd, proxy, 3*time.Minute)
	})
}

func TestCurator(t *testing.T) {
	testenv.EachTarget(t, sweeping, func(t *testing.T, s *testenv.Server) {
		proxy := testenv.StartProxy(t, s.Addr)
		cmd := testenv.JavaChecks(t, "testdata/java", "CuratorSuite", s.Addr, proxy.Addr, testenv.Root("curator"))
		testenv.RunChecks(t, cmd, proxy, 3*time.Minute)
	})
}
