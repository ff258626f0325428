package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"zooid/config"
	"zooid/integration/rawclient"
	"zooid/integration/testenv"
)

// fakeVariable makes the test binary a fake server of a local ensemble. Its
// value has the habits of each, separated by blanks: the mode that it answers,
// followed by :fails, :dies or :stays where it ends with an error or a signal as
// soon as it was asked, or does not end by SIGTERM.
const fakeVariable = "ZOOID_TEST_FAKE_MEMBER"

// fakeMember is such a server: it runs in its home, with the arguments of a real
// one. That it was asked to end is told by the file "asked".
func fakeMember(habits string) (code int) {
	ended := make(chan os.Signal, 2)
	signal.Notify(ended, syscall.SIGTERM)
	cfg, err := readConfig(os.Args[2], nil)
	if err != nil || os.Args[1] != "serve" {
		fmt.Fprintln(os.Stderr, "zooid:", os.Args, err)
		return exitUsage
	}
	l, err := net.Listen("tcp", cfg.Clients.Addr.Listen())
	if err != nil {
		fmt.Fprintln(os.Stderr, "zooid:", err)
		return exitListen
	}
	fmt.Fprintln(os.Stderr, "a fake server", cfg.Ensemble.SID)
	mode, habit, _ := strings.Cut(strings.Fields(habits)[cfg.Ensemble.SID-1], ":")
	go func() {
		for asked := 0; ; asked++ {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(nc, make([]byte, len("srvr")))
			switch {
			case asked < 3: // for a while
			case habit == "fails":
				fmt.Fprintln(os.Stderr, "zooid: the disk is gone")
				os.Exit(exitDataDir)
			case habit == "dies":
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
			fmt.Fprintf(nc, "Mode: %s\n", mode)
			nc.Close()
		}
	}()
	for {
		<-ended
		_ = os.WriteFile("asked", nil, 0o644)
		if habit != "stays" {
			return 0
		}
	}
}

// fakes are the options of an ensemble of fake servers.
func fakes(t *testing.T, habits ...string) *ensembleOptions {
	t.Helper()
	t.Setenv(fakeVariable, strings.Join(habits, " "))
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &ensembleOptions{members: len(habits), dir: t.TempDir(), program: program, stopLimit: 10 * time.Second,
		port: freePorts(t, len(habits), quorumPortsAbove, electionPortsAbove)}
}

// wantAsked fails unless server i was asked to end.
func wantAsked(t *testing.T, o *ensembleOptions, i int) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(o.home(i), "asked")); err != nil {
		t.Errorf("server %d was not asked to end: %v", i, err)
	}
}

func TestEnsembleShowsAndEnds(t *testing.T) {
	o := fakes(t, "follower", "leader", "follower", "observer")
	o.members, o.observers, o.verbose = 3, 1, true
	ctx, cancel := context.WithCancel(context.Background())
	out, result := new(output), make(chan error, 1)
	go func() { result <- runEnsemble(ctx, o, out) }()
	testenv.Await(t, 20*time.Second, "the ensemble is ready", func() bool { return strings.Contains(out.String(), "ready:") || len(result) > 0 })
	cancel()
	if err := <-result; err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for i := 1; i <= 4; i++ {
		wantAsked(t, o, i)
	}
	p := o.port
	ready := fmt.Sprintf("ready: 127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d   (Ctrl-C", p, p+1, p+2, p+3)
	wantCode(t, 0, 0, out.String(), "4 servers, logs in "+o.dir, "1 follower   2 leader   3 follower   4 observer\n", ready, "stopping\n",
		"[1] a fake server 1\n", "[4] a fake server 4\n")
	if n := strings.Count(out.String(), "1 follower   2 leader   3 follower   4 observer\n"); n != 1 {
		t.Errorf("what has not changed is shown %d times:\n%s", n, out)
	}
	if log := read(t, filepath.Join(o.home(2), "log")); log != "a fake server 2\n" {
		t.Errorf("server 2 has the log %q", log)
	}
}

// One that ends by itself ends the others in good order, and the command with
// what it has said.
func TestEnsembleEndsWithAMember(t *testing.T) {
	o := fakes(t, "follower", "leader:fails", "follower")
	// What an earlier run has said is not what this one says.
	write(t, filepath.Join(o.home(2), "log"), "zooid: an old story\n")
	err := runEnsemble(context.Background(), o, new(output))
	if err == nil {
		t.Fatal("no error")
	}
	wantCode(t, exitDataDir, exitCode(err), err.Error(), "server 2 has ended: the disk is gone (its log: ")
	wantAsked(t, o, 1)
	wantAsked(t, o, 3)
}

// One that is killed comes back, and the others go on meanwhile.
func TestEnsembleStartsAgainWhoIsKilled(t *testing.T) {
	o := fakes(t, "follower", "leader:dies", "follower")
	o.again = 300 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	out, result := new(output), make(chan error, 1)
	go func() { result <- runEnsemble(ctx, o, out) }()
	testenv.Await(t, 20*time.Second, "it has been killed twice", func() bool {
		return strings.Count(out.String(), "server 2 was killed (signal: killed), it starts again in 300ms\n") >= 2 || len(result) > 0
	})
	cancel()
	if err := <-result; err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wantAsked(t, o, 1)
	wantAsked(t, o, 3)
}

// A port that is taken is told as by "zooid serve".
func TestEnsemblePortTaken(t *testing.T) {
	o := fakes(t, "follower", "leader", "follower")
	l, err := net.Listen("tcp", o.clientAddrs()[2])
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = runEnsemble(context.Background(), o, new(output))
	wantCode(t, exitListen, exitCode(err), fmt.Sprint(err), "server 3 has ended: listen tcp "+l.Addr().String(), "in use")
}

func TestEnsembleEndsByForce(t *testing.T) {
	o := fakes(t, "follower", "leader:stays", "follower")
	o.stopLimit = 300 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	out, result := new(output), make(chan error, 1)
	go func() { result <- runEnsemble(ctx, o, out) }()
	testenv.Await(t, 20*time.Second, "the ensemble is ready", func() bool { return strings.Contains(out.String(), "ready:") || len(result) > 0 })
	cancel()
	err := <-result
	wantCode(t, exitUnexpected, exitCode(err), fmt.Sprint(err), "server 2: signal: killed", "not all servers stopped within 300ms")
	for i := 1; i <= 3; i++ {
		wantAsked(t, o, i)
	}
}

func TestEnsembleProgramMissing(t *testing.T) {
	o := &ensembleOptions{members: 3, dir: t.TempDir(), port: 2181, program: filepath.Join(t.TempDir(), "nobody")}
	if err := runEnsemble(context.Background(), o, new(output)); err == nil || !strings.Contains(err.Error(), "server 1: ") {
		t.Errorf("got %v", err)
	}
}

func TestEnsembleUsage(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "file"), "")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"x"}, exitUsage, "zooid ensemble --help"},
		{[]string{"--members", "0"}, exitUsage, "at least one member"},
		{[]string{"--observers", "-1"}, exitUsage, "at least one member"},
		{[]string{"--members", "90", "--observers", "10"}, exitUsage, "100 servers on one machine are too many, at most 99"},
		{[]string{"--port", "0"}, exitUsage, "--port 0"},
		{[]string{"--port", "63834"}, exitUsage, "--port 63834 leaves no room"},
		{[]string{"--dir", file}, exitDataDir, file},
	} {
		code, _, said := zooid(append([]string{"ensemble"}, c.args...)...)
		wantCode(t, c.code, code, said, c.says)
	}
	if err := (&ensembleOptions{members: 3, port: 63833}).check(); err != nil {
		t.Error(err)
	}
}

// The configuration is one that "zooid serve" takes, the same for all.
func TestEnsembleConfig(t *testing.T) {
	o := &ensembleOptions{members: 3, observers: 2, port: 2181, dir: t.TempDir()}
	want := `dataDir=data
tickTime=2000
initLimit=10
syncLimit=5
standaloneEnabled=false
admin.enableServer=false
4lw.commands.whitelist=*
maxClientCnxns=0
server.1=127.0.0.1:2881:3881:participant;127.0.0.1:2181
server.2=127.0.0.1:2882:3882:participant;127.0.0.1:2182
server.3=127.0.0.1:2883:3883:participant;127.0.0.1:2183
server.4=127.0.0.1:2884:3884:observer;127.0.0.1:2184
server.5=127.0.0.1:2885:3885:observer;127.0.0.1:2185
`
	if got := o.config(); got != want {
		t.Errorf("got\n%s", got)
	}
	for i := 1; i <= o.all(); i++ {
		c, err := config.Parse([]byte(o.config()), "zoo.cfg", nil, nil)
		if err == nil {
			err = errors.Join(c.Identify(fmt.Append(nil, i)), c.Complete())
		}
		if err != nil || len(c.Warnings) > 0 || !c.Distributed() || c.Ensemble.Observer != (i > 3) || c.Clients.Addr.String() != o.clientAddrs()[i-1] {
			t.Errorf("server %d: %v, %+v", i, err, c)
		}
	}
	// The greatest that is allowed uses no port twice.
	o = &ensembleOptions{members: ensembleMax, port: 2181}
	c, err := config.Parse([]byte(o.config()), "zoo.cfg", nil, nil)
	if err == nil {
		err = errors.Join(c.Identify([]byte("1")), c.Complete())
	}
	if err != nil || o.check() != nil {
		t.Error(err, o.check())
	}
}

// An ensemble does not become another one by being started as such.
func TestEnsembleDirectoryOfAnother(t *testing.T) {
	o := &ensembleOptions{members: 3, port: 2181, dir: t.TempDir()}
	if err := o.checkDir(); err != nil {
		t.Errorf("nothing is there, and %v", err)
	}
	for i := 1; i <= 3; i++ {
		if err := o.prepare(i); err != nil {
			t.Fatal(err)
		}
	}
	o.port = 3181
	if err := o.checkDir(); err != nil {
		t.Errorf("on other ports: %v", err)
	}
	for _, other := range []ensembleOptions{{members: 5}, {members: 1}, {members: 2, observers: 1}, {members: 3, observers: 1}} {
		other.dir = o.dir
		err := other.checkDir()
		wantCode(t, exitUsage, exitCode(err), fmt.Sprint(err), o.dir+" has an ensemble of 3 members and 0 observers")
	}
	write(t, filepath.Join(o.home(1), "zoo.cfg"), "clientPort=x\n")
	if err := o.checkDir(); err == nil || !strings.Contains(err.Error(), "clientPort") {
		t.Errorf("with a zoo.cfg of another kind: %v", err)
	}
}

func TestDescribeAll(t *testing.T) {
	none := withCode(exitConnection, errors.New("refused"))
	looks := withCode(exitNotServing, errors.New(srvrNone))
	seen := make([]bool, 3)
	for _, c := range []struct {
		list []probed
		line string
		all  bool
	}{
		{[]probed{{err: none}, {err: none}, {err: none}}, "1 starting   2 starting   3 starting", false},
		{[]probed{{err: looks}, {err: none}, {err: looks}}, "1 looking   2 starting   3 looking", false},
		{[]probed{{Mode: "leader", Serving: true}, {err: none}, {Mode: "follower", Serving: true}}, "1 leader   2 starting   3 follower", false},
		{[]probed{{Mode: "leader", Serving: true}, {Mode: "follower", Serving: true}, {Mode: "follower", Serving: true}}, "1 leader   2 follower   3 follower", true},
		{[]probed{{err: none}, {err: looks}, {Mode: "read-only", err: looks}}, "1 silent   2 looking   3 read-only", false},
	} {
		if line, all := describeAll(c.list, seen); line != c.line || all != c.all {
			t.Errorf("got %q, %v, want %q, %v", line, all, c.line, c.all)
		}
	}
}

func TestPrefixed(t *testing.T) {
	var out output
	p := &prefixed{out: &out, prefix: "[1] "}
	for _, part := range []string{"a", "b\nc\n\nd", "e\n", "rest"} {
		if n, err := p.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if want := "[1] ab\n[1] c\n[1] \n[1] de\n"; out.String() != want {
		t.Errorf("got %q", out.String())
	}
}

// ensembleProcess is "zooid ensemble" on the binary.
type ensembleProcess struct {
	o   ensembleOptions
	cmd interface {
		Wait() error
	}
	process *os.Process
	out     *output
}

func startEnsemble(t *testing.T, o ensembleOptions) *ensembleProcess {
	t.Helper()
	cmd := testenv.ZooidCommand(t, "ensemble", "--dir", o.dir, "--port", fmt.Sprint(o.port),
		"--members", fmt.Sprint(o.members), "--observers", fmt.Sprint(o.observers))
	e := &ensembleProcess{o: o, cmd: cmd, out: new(output)}
	cmd.Stdout, cmd.Stderr = e.out, e.out
	// As in a terminal: its Ctrl-C reaches the whole group.
	cmd.SysProcAttr = childAttr()
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	e.process = cmd.Process
	t.Cleanup(func() {
		_ = syscall.Kill(-e.process.Pid, syscall.SIGKILL)
		if t.Failed() {
			t.Logf("%s", e.out)
			for i := 1; i <= o.all(); i++ {
				log, _ := os.ReadFile(filepath.Join(o.home(i), "log"))
				t.Logf("log of server %d:\n%s", i, log)
			}
		}
	})
	testenv.Await(t, 30*time.Second, "the ensemble is ready", func() bool { return strings.Contains(e.out.String(), "ready:") })
	return e
}

// wantModes fails unless the servers are one leader, followers and observers.
func (e *ensembleProcess) wantModes(t *testing.T) {
	t.Helper()
	code, out, said := zooid(append([]string{"probe", "--json"}, e.o.clientAddrs()...)...)
	wantCode(t, 0, code, said)
	modes := map[string]int{}
	for d := json.NewDecoder(strings.NewReader(out)); d.More(); {
		var r probed
		if err := d.Decode(&r); err != nil {
			t.Fatal(err)
		}
		modes[r.Mode]++
	}
	if modes["leader"] != 1 || modes["follower"] != e.o.members-1 || modes["observer"] != e.o.observers {
		t.Errorf("they are %v", modes)
	}
	for _, addr := range e.o.clientAddrs() {
		m := testenv.Monitor(t, addr)
		if modes[m["server_state"]] == 0 || !strings.HasSuffix(m["peer_state"], " - broadcast") || m["quorum_size"] != fmt.Sprint(e.o.members) {
			t.Errorf("%s: server_state %s, peer_state %s, quorum_size %s", addr, m["server_state"], m["peer_state"], m["quorum_size"])
		}
		if m["server_state"] == "leader" && (m["synced_followers"] != fmt.Sprint(e.o.members-1) || m["synced_observers"] != fmt.Sprint(e.o.observers)) {
			t.Errorf("the leader has %s followers and %s observers", m["synced_followers"], m["synced_observers"])
		}
	}
}

// The README's command on the binary: it serves, Ctrl-C ends all of it in good
// order, and the next run goes on with what was written.
func TestEnsemble(t *testing.T) {
	o := ensembleOptions{members: 3, observers: 1, dir: t.TempDir(), port: freePorts(t, 4, quorumPortsAbove, electionPortsAbove)}
	for run := range 2 {
		e := startEnsemble(t, o)
		e.wantModes(t)
		for i, addr := range o.clientAddrs() {
			c, err := rawclient.Open(addr, rawclient.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := c.Create(fmt.Sprintf("/run%d-%d", run, i), nil, 0); err != nil {
				t.Fatal(err)
			}
			kids, err := c.Children("/", false)
			if want := 1 + 4*run + i + 1; err != nil || len(kids) != want {
				t.Errorf("server %d has %v, %v, want %d", i+1, kids, err, want)
			}
			text, err := testenv.Word(addr, "conf")
			wantCode(t, 0, 0, fmt.Sprint(text, err), fmt.Sprintf("serverId=%d\n", i+1), "initLimit=10\n", "syncLimit=5\n",
				fmt.Sprintf("electionPort=%d\n", o.port+electionPortsAbove+i), fmt.Sprintf("quorumPort=%d\n", o.port+quorumPortsAbove+i), "server.4=127.0.0.1:")
			data, _, err := c.GetData("/zookeeper/config", false)
			if err != nil || !strings.Contains(string(data), ":observer;") || !strings.HasSuffix(string(data), "\nversion=0") {
				t.Errorf("server %d has the configuration %q, %v", i+1, data, err)
			}
			c.Close()
		}
		if err := syscall.Kill(-e.process.Pid, syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if err := e.cmd.Wait(); err != nil {
			t.Errorf("after Ctrl-C: %v", err)
		}
		for i := 1; i <= o.all(); i++ {
			if log := read(t, filepath.Join(o.home(i), "log")); strings.Count(log, "  stopped  ") != run+1 {
				t.Errorf("server %d has not stopped in good order", i)
			}
		}
	}
}

// Nobody is left behind when the terminal is closed: the servers do not end by a
// hangup, so the command ends them, in good order.
func TestEnsembleHangup(t *testing.T) {
	o := ensembleOptions{members: 1, observers: 1, dir: t.TempDir(), port: freePorts(t, 2, quorumPortsAbove, electionPortsAbove)}
	e := startEnsemble(t, o)
	if err := e.process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if err := e.cmd.Wait(); err != nil {
		t.Errorf("after SIGHUP: %v", err)
	}
	for i, addr := range o.clientAddrs() {
		if nc, err := net.Dial("tcp", addr); err == nil {
			nc.Close()
			t.Errorf("server %d still listens", i+1)
		}
	}
}
