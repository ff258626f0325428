package kazoo

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"zooid/integration/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

func TestSuite(t *testing.T) {
	testenv.EachTarget(t, testenv.Config{}, func(t *testing.T, s *testenv.Server) {
		python := testenv.NeedPython(t, "kazoo==2.11.0")
		proxy := testenv.StartProxy(t, s.Addr)
		cmd := exec.Command(python, "testdata/kazoo_suite.py", s.Addr, proxy.Addr, testenv.Root("kazoo"))
		testenv.RunChecks(t, cmd, proxy, 3*time.Minute)
	})
}
