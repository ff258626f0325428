package testenv

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// SuperAuth is the digest authentication that every server of this package
// takes for its super user.
const SuperAuth = "super:secret"

// Config says how a server is to be started; the zero value is BaseConfig on an
// empty data directory.
type Config struct {
	// Keys are zoo.cfg keys, set over BaseConfig's.
	Keys map[string]string
	// Bare are properties that Java reads from -D only; Zooid takes them as
	// zoo.cfg keys.
	Bare map[string]string
	// Flags are further command line flags of the JVM, or of zooid serve.
	Flags []string
	// JVM replaces the flags that keep a JVM small and quick to start, where
	// its speed is measured.
	JVM []string
	// DataDir is kept when the test ends; empty stands for a new folder that is
	// removed.
	DataDir string
	// Container, if not empty, has zooid serve find out by itself what it serves,
	// as in ZooKeeper's container image: ZOO_CONF_DIR and ZOO_DATA_DIR are set,
	// and these variables, as key=value.
	Container []string
	// UID is the user that the process runs as; 0 is the test's own.
	UID uint32
}

// BaseConfig is the zoo.cfg that every server gets.
func BaseConfig() map[string]string {
	sum := sha1.Sum([]byte(SuperAuth))
	return map[string]string{
		"tickTime":                                 "2000",
		"maxClientCnxns":                           "0",
		"admin.enableServer":                       "false",
		"admin.serverAddress":                      "127.0.0.1",
		"4lw.commands.whitelist":                   "*",
		"extendedTypesEnabled":                     "true",
		"autopurge.purgeInterval":                  "0",
		"preAllocSize":                             "512",
		"snapCount":                                "1000000",
		"clientPortListenBacklog":                  "4096",
		"DigestAuthenticationProvider.superDigest": "super:" + base64.StdEncoding.EncodeToString(sum[:]),
	}
}

// Server is a ZooKeeper-protocol server that a test talks to.
type Server struct {
	Kind    string
	Addr    string // host:port for clients
	DataDir string // empty for an external one

	t       testing.TB
	cfg     Config
	host    string
	port    int
	members []string // the server.N lines of an ensemble
	network *Network // where it lives; nil for this machine's loopback
	place   *place   // what it sees of the machine; nil for all of it
	folder  string   // zoo.cfg and what else belongs to the process
	proc    *process
	log     *logBuffer
}

// Start starts a server of the kind and waits until it answers. It ends with
// the test, whose log gets the end of the server's if the test fails.
func Start(t testing.TB, kind string, cfg Config) *Server {
	t.Helper()
	s := Prepare(t, kind, cfg)
	if err := s.Start(); err != nil {
		t.Fatalf("%v\n%s", err, s.log.tail(8<<10))
	}
	return s
}

// Prepare is Start without the start: what a test of refusals needs.
func Prepare(t testing.TB, kind string, cfg Config) *Server {
	t.Helper()
	if kind == KindJava {
		NeedJava(t)
		takePlace(t, placeServer)
	}
	s := newServer(t, kind, cfg)
	s.Move()
	return s
}

// newServer is a server that has no port yet, and ends with the test.
func newServer(t testing.TB, kind string, cfg Config) *Server {
	t.Helper()
	s := &Server{t: t, cfg: cfg, DataDir: cfg.DataDir, host: "127.0.0.1", folder: openFolder(t), log: new(logBuffer)}
	if s.DataDir == "" {
		s.DataDir = filepath.Join(s.folder, "data")
	}
	s.SetKind(kind)
	t.Cleanup(func() {
		if s.Running() {
			s.proc.kill()
		}
		if t.Failed() {
			tail := 8 << 10
			if s.members != nil {
				tail = 1 << 10 // an ensemble's drill keeps all of it: Ensemble.Save
			}
			t.Logf("log of the %s server on %s:\n%s", s.Kind, s.DataDir, s.log.tail(tail))
		}
	})
	return s
}

// openFolder makes a temporary folder that other users can look into.
func openFolder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "zooid-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// StartBeside is Start for the second Java server of a test, which takes the
// client JVM's place.
func StartBeside(t testing.TB, cfg Config) *Server {
	t.Helper()
	takePlace(t, placeClient)
	s := newServer(t, KindJava, cfg)
	s.Move()
	if err := s.Start(); err != nil {
		t.Fatalf("%v\n%s", err, s.log.tail(8<<10))
	}
	return s
}

// Move gives a server that does not run a new port.
func (s *Server) Move() {
	s.listenAt(s.host, freePort(s.t, s.host))
}

func (s *Server) listenAt(host string, port int) {
	s.host, s.port = host, port
	s.Addr = net.JoinHostPort(host, strconv.Itoa(port))
}

// SetKind makes a stopped server's next start one of the other kind, on the
// same data directory.
func (s *Server) SetKind(kind string) {
	s.Kind = kind
	if kind == KindZooid {
		zooidBinary(s.t)
	} else {
		NeedJava(s.t)
	}
}

// Start starts a server that does not run, on its port and data directory, and
// waits until it answers.
func (s *Server) Start() error {
	if err := s.Launch(); err != nil {
		return err
	}
	limit := 20 * time.Second
	if s.Kind == KindJava {
		limit = 60 * time.Second
	}
	for deadline := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		err := s.answers()
		switch {
		case err == nil:
			return nil
		case s.proc.exited():
			return fmt.Errorf("the %s server ended at its start, exit code %d", s.Kind, s.proc.exitCode())
		case time.Now().After(deadline):
			return fmt.Errorf("the %s server does not answer within %v: %w", s.Kind, limit, err)
		}
	}
}

// Launch starts the process and waits for nothing.
func (s *Server) Launch() error {
	file := filepath.Join(s.folder, "zoo.cfg")
	if err := os.WriteFile(file, []byte(s.zooCfg()), 0o644); err != nil {
		return err
	}
	var cmd *exec.Cmd
	if s.Kind == KindJava {
		flags := s.cfg.Flags
		for k, v := range s.cfg.Bare {
			flags = append(flags, "-D"+k+"="+v)
		}
		java := NeedJava(s.t)
		if s.cfg.JVM != nil {
			java.flags = s.cfg.JVM
		}
		cmd = java.command(flags, "", "org.apache.zookeeper.server.quorum.QuorumPeerMain", file)
	} else {
		cmd = exec.Command(zooidBinary(s.t), append(append([]string{"serve"}, s.cfg.Flags...), file)...)
	}
	cmd.Dir = s.folder
	if s.cfg.Container != nil && s.Kind == KindZooid {
		cmd.Args = append([]string{cmd.Path, "serve"}, s.cfg.Flags...)
		cmd.Env = append(os.Environ(), "ZOO_CONF_DIR="+s.folder, "ZOO_DATA_DIR="+s.DataDir)
		cmd.Env = append(cmd.Env, s.cfg.Container...)
	}
	cmd.SysProcAttr = childAttr()
	if s.cfg.UID != 0 {
		cmd.SysProcAttr = as(cmd.SysProcAttr, s.cfg.UID)
	}
	return s.place.do(func() (err error) {
		s.proc, err = startProcess(cmd, s.log)
		return err
	})
}

// zooCfg is the text of the configuration file.
func (s *Server) zooCfg() string {
	keys := BaseConfig()
	for k, v := range s.cfg.Keys {
		keys[k] = v
	}
	if s.Kind == KindZooid {
		for k, v := range s.cfg.Bare {
			keys[k] = v
		}
	}
	keys["dataDir"] = s.DataDir
	keys["clientPort"] = strconv.Itoa(s.port)
	keys["clientPortAddress"] = s.host
	lines := make([]string, 0, len(keys))
	for k, v := range keys {
		lines = append(lines, k+"="+v+"\n")
	}
	sort.Strings(lines)
	return strings.Join(append(lines, s.members...), "")
}

// answers tells whether the server serves. It does not wait for long: what Java
// is asked before it has loaded its data it neither answers nor hangs up on.
func (s *Server) answers() error {
	text, err := s.word("srvr", time.Second)
	if err == nil && !strings.Contains(text, "Mode: ") {
		err = fmt.Errorf("srvr says %q", text)
	}
	return err
}

// Owned tells whether the test may kill and restart the server.
func (s *Server) Owned() bool { return s.Kind != KindExternal }

// Running tells whether the process has been started and has not ended.
func (s *Server) Running() bool { return s.proc != nil && !s.proc.exited() }

// Kill ends the server as kill -9 does.
func (s *Server) Kill() { s.proc.kill() }

// Stop asks the server to end by SIGTERM, and returns its exit code.
func (s *Server) Stop() (exitCode int, err error) {
	if err := s.proc.terminate(30 * time.Second); err != nil {
		return -1, err
	}
	return s.proc.exitCode(), nil
}

// AwaitExit waits for the process to end by itself.
func (s *Server) AwaitExit(limit time.Duration) (exitCode int, err error) {
	select {
	case <-s.proc.done:
		return s.proc.exitCode(), nil
	case <-time.After(limit):
		return -1, fmt.Errorf("the %s server still runs after %v", s.Kind, limit)
	}
}

// Signal sends the process a signal by its pid.
func (s *Server) Signal(sig os.Signal) error { return s.proc.cmd.Process.Signal(sig) }

// Log is the end of what the server wrote to its standard output and error.
func (s *Server) Log() string { return s.log.String() }

// PID is the process's number.
func (s *Server) PID() int { return s.proc.cmd.Process.Pid }

// ResidentBytes is the server's resident memory, 0 if it cannot be told.
func (s *Server) ResidentBytes() int64 { return s.proc.residentBytes() }

// SetContainer sets what Config calls Container for the next start.
func (s *Server) SetContainer(env ...string) { s.cfg.Container = env }

// AddFlags adds flags to the command line of the next start.
func (s *Server) AddFlags(flags ...string) { s.cfg.Flags = append(s.cfg.Flags, flags...) }

// SetKey changes a zoo.cfg key for the next start.
func (s *Server) SetKey(key, value string) {
	keys := map[string]string{key: value}
	for k, v := range s.cfg.Keys {
		if k != key {
			keys[k] = v
		}
	}
	s.cfg.Keys = keys
}

// FreePort finds a port on 127.0.0.1 on which nothing listens. It is taken from
// below the range that the system gives to outgoing connections, so it is still
// free when a server that was killed comes back to it.
func FreePort(t testing.TB) int {
	t.Helper()
	return freePort(t, "127.0.0.1")
}

// portsGiven are the ports that this process has asked for already: nobody need
// listen on them yet.
var portsGiven sync.Map

func freePort(t testing.TB, host string) int {
	t.Helper()
	for range 1000 {
		port := 20000 + rand.IntN(12000)
		if _, given := portsGiven.LoadOrStore(port, true); given {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			continue
		}
		l.Close()
		return port
	}
	t.Fatal("no free port between 20000 and 32000")
	return 0
}
