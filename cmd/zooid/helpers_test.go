package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
)

func TestMain(m *testing.M) {
	if habits := os.Getenv(fakeVariable); habits != "" {
		os.Exit(fakeMember(habits)) // a process that a test has started
	}
	code := testenv.Main(m)
	if static.folder != "" {
		os.RemoveAll(static.folder)
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines are left:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// output gathers what a command writes, for reading while it runs.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// zooid runs a command line to its end, in this process.
func zooid(args ...string) (code int, stdout, stderr string) {
	var out, errs output
	code = execute(context.Background(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// served is "zooid serve", running in this process.
type served struct {
	t      *testing.T
	addr   string
	dir    string // its data
	log    *output
	cancel context.CancelFunc // what a signal does
	ended  chan int
}

// baseKeys are a zoo.cfg on free ports of this machine only.
func baseKeys(t *testing.T) map[string]string {
	return map[string]string{
		"dataDir":                filepath.Join(t.TempDir(), "data"),
		"clientPort":             strconv.Itoa(testenv.FreePort(t)),
		"clientPortAddress":      "127.0.0.1",
		"admin.serverAddress":    "127.0.0.1",
		"admin.serverPort":       strconv.Itoa(testenv.FreePort(t)),
		"preAllocSize":           "64",
		"4lw.commands.whitelist": "*",
	}
}

// zooCfg writes a zoo.cfg.
func zooCfg(t *testing.T, keys map[string]string) (file string) {
	var text strings.Builder
	for k, v := range keys {
		fmt.Fprintf(&text, "%s=%s\n", k, v)
	}
	file = filepath.Join(t.TempDir(), "zoo.cfg")
	if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// serve starts a server and waits until it serves. It ends with the test.
func serve(t *testing.T, keys map[string]string, flags ...string) *served {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &served{t: t, addr: net.JoinHostPort("127.0.0.1", keys["clientPort"]), dir: keys["dataDir"],
		log: new(output), cancel: cancel, ended: make(chan int, 1)}
	args := append(append([]string{"serve"}, flags...), zooCfg(t, keys))
	go func() { s.ended <- execute(ctx, args, os.Stdout, s.log) }()
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.log)
		}
	})
	testenv.Await(t, 20*time.Second, "the server serves", func() bool {
		return strings.Contains(s.log.String(), "listening for clients on") || len(s.ended) > 0
	})
	if len(s.ended) > 0 {
		t.Fatalf("the server ended with %d:\n%s", <-s.ended, s.log)
	}
	return s
}

// stop ends the server as SIGTERM does and gives its exit code.
func (s *served) stop() int {
	s.t.Helper()
	s.cancel()
	select {
	case code := <-s.ended:
		s.ended <- code // for the next who asks
		return code
	case <-time.After(20 * time.Second):
		s.t.Fatalf("the server does not end:\n%s", s.log)
		return -1
	}
}

func (s *served) open() *rawclient.Conn {
	s.t.Helper()
	c, err := rawclient.Open(s.addr, rawclient.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// childAttr makes a process end with the test.
func childAttr() *syscall.SysProcAttr {
	if attr := endsWithParent(); attr != nil {
		return attr
	}
	return new(syscall.SysProcAttr)
}

// freePorts finds n ports in a row on which nothing listens on any address, with
// as many free ones each of the distances above them.
func freePorts(t *testing.T, n int, above ...int) (first int) {
	t.Helper()
	free := func(base int) bool {
		for _, distance := range append([]int{0}, above...) {
			for k := range n {
				l, err := net.Listen("tcp", fmt.Sprintf(":%d", base+distance+k))
				if err != nil {
					return false
				}
				l.Close()
			}
		}
		return true
	}
	for range 100 {
		// The ranges stay below the ports of outgoing connections.
		if base := testenv.FreePort(t); base < 30000 && free(base) {
			return base
		}
	}
	t.Fatal("no free ports in a row")
	return 0
}

// wantCode fails unless a command ended with the code and said all of the parts.
func wantCode(t *testing.T, want, code int, said string, parts ...string) {
	t.Helper()
	if code != want {
		t.Errorf("exit code %d, want %d; it said:\n%s", code, want, said)
	}
	for _, part := range parts {
		if !strings.Contains(said, part) {
			t.Errorf("it does not say %q but:\n%s", part, said)
		}
	}
}
