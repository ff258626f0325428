package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/wire"
)

// The README's first command, on the binary: no configuration at all, then a
// second start that goes on where the first ended.
func TestServeFromNothing(t *testing.T) {
	for _, port := range []string{"2181", "8080"} {
		l, err := net.Listen("tcp", ":"+port)
		if err != nil {
			t.Skipf("port %s, which a server without a configuration listens on, is in use here: %v", port, err)
		}
		l.Close()
	}
	dir := t.TempDir()
	for _, before := range []int{0, 1} {
		cmd := testenv.ZooidCommand(t, "serve")
		cmd.Dir = dir
		log := new(output)
		cmd.Stderr = log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Process.Kill()
		testenv.Await(t, 20*time.Second, "the server serves", func() bool {
			text, err := testenv.Word("127.0.0.1:2181", "srvr")
			return err == nil && strings.Contains(text, "Mode: standalone")
		})
		c, err := rawclient.Open("127.0.0.1:2181", rawclient.Options{})
		if err != nil {
			t.Fatal(err)
		}
		kids, err := c.Children("/", false)
		if err != nil || len(kids) != 1+before {
			t.Errorf("children of / at start %d: %v, %v", before+1, kids, err)
		}
		if before == 0 {
			if _, _, err := c.Create("/kept", []byte("data"), 0); err != nil {
				t.Fatal(err)
			}
		}
		c.Close()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("after SIGTERM: %v\n%s", err, log)
		}
		first, _, _ := strings.Cut(log.String(), "\n")
		for _, part := range []string{"2181", "./zooid-data", "no configuration"} {
			if !strings.Contains(first, part) {
				t.Errorf("the first line does not say %q: %s", part, first)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "zooid-data", "version-2", "snapshot.0")); err != nil {
		t.Error(err)
	}
}

// Everything that was received when the end came is answered, and nothing that
// was not answered is there afterwards.
func TestStopFinishesWhatWasReceived(t *testing.T) {
	s := serve(t, baseKeys(t))
	c := s.open()
	if _, _, err := c.Create("/d", nil, 0); err != nil {
		t.Fatal(err)
	}
	const n = 2000
	var frames []byte
	for i := range n {
		frames = rawclient.AppendRequest(frames, c.NextXid(), wire.OpCreate,
			&wire.CreateRequest{Path: fmt.Sprintf("/d/%05d", i), ACL: wire.OpenACL})
	}
	if err := c.SendBytes(frames); err != nil {
		t.Fatal(err)
	}
	var answered []string
	for {
		f, err := c.Next()
		if err != nil {
			break
		}
		if f.Header.Err != wire.OK {
			t.Fatalf("reply %d: %v", len(answered), f.Header.Err)
		}
		if len(answered) == 0 {
			s.cancel()
		}
		answered = append(answered, fmt.Sprintf("%05d", len(answered)))
	}
	if code := s.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	t.Logf("%d of %d answered", len(answered), n)

	again := serve(t, map[string]string{"dataDir": s.dir, "clientPort": fmt.Sprint(testenv.FreePort(t)), "admin.enableServer": "false"})
	kids, err := again.open().Children("/d", false)
	slices.Sort(kids)
	if err != nil || !slices.Equal(kids, answered) {
		t.Errorf("%d writes were answered, %d are there (%v)", len(answered), len(kids), err)
	}
}

// stuck is a client that does not take its answers, of which more wait than
// the system takes.
func stuck(s *served) *rawclient.Conn {
	s.t.Helper()
	c := s.open()
	if _, _, err := c.Create("/big", bytes.Repeat([]byte("x"), 1<<20-200), 0); err != nil {
		s.t.Fatal(err)
	}
	for range 64 {
		if _, err := c.Send(wire.OpGetData, &wire.WatchRequest{Path: "/big"}); err != nil {
			s.t.Fatal(err)
		}
	}
	sent, same := 0, 0
	testenv.Await(s.t, 10*time.Second, "the server sends no more", func() bool {
		now, _ := strconv.Atoi(testenv.Monitor(s.t, s.addr)["response_bytes"])
		if same++; now-sent > 1<<19 { // mntr itself is far below that
			same = 0
		}
		sent = now
		return same == 10
	})
	return c
}

// A client that does not take its answers keeps nobody from ending, and is no
// reason for another exit code.
func TestStopWithAClientThatDoesNotRead(t *testing.T) {
	s := serve(t, baseKeys(t))
	stuck(s)
	begin := time.Now()
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(begin); took > clientsLimit+writesLimit+pagesLimit+5*time.Second {
		t.Errorf("the end took %v", took)
	}
}

// A page that is being read must not eat the time in which clients are
// answered; the clients end first.
func TestStopWithAPageBeingRead(t *testing.T) {
	keys := baseKeys(t)
	s := serve(t, keys)
	page, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", keys["admin.serverPort"]))
	if err != nil {
		t.Fatal(err)
	}
	defer page.Close()
	if _, err := io.WriteString(page, "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: "); err != nil {
		t.Fatal(err)
	}
	c := s.open()
	begin := time.Now()
	s.cancel()
	if _, err := c.Next(); err == nil {
		t.Error("a reply to nothing")
	}
	if took := time.Since(begin); took > clientsLimit/2 {
		t.Errorf("an idle client was let go after %v", took)
	}
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(begin); took > clientsLimit {
		t.Errorf("the end took %v", took)
	}
}

func TestServeRefuses(t *testing.T) {
	running := serve(t, baseKeys(t))
	file := write(t, filepath.Join(t.TempDir(), "file"), "")
	with := func(change map[string]string) map[string]string {
		keys := baseKeys(t)
		for k, v := range change {
			keys[k] = v
		}
		return keys
	}
	_, port, _ := net.SplitHostPort(running.addr)
	noPort := with(nil)
	delete(noPort, "clientPort")
	delete(noPort, "clientPortAddress")
	for _, c := range []struct {
		name string
		keys map[string]string
		code int
		says []string
	}{
		{"a port in use", with(map[string]string{"clientPort": port}), exitListen, []string{running.addr, "in use"}},
		{"a data directory in use", with(map[string]string{"dataDir": running.dir}), exitDataDir, []string{running.dir, "in use by another server"}},
		{"a file for a data directory", with(map[string]string{"dataDir": file}), exitDataDir, []string{file}},
		{"a data directory below a file", with(map[string]string{"dataDir": file + "/data"}), exitDataDir, []string{file}},
		{"a log directory that is a file", with(map[string]string{"dataLogDir": file}), exitDataDir, []string{file}},
		{"a data directory that may not be made", with(map[string]string{"datadir.autocreate": "false"}), exitDataDir, []string{"datadir.autocreate", "version-2"}},
		{"no client port", noPort, exitUsage, []string{"clientPort"}},
		{"TLS", with(map[string]string{"secureClientPort": "2281"}), exitUsage, []string{"secureClientPort", "TLS"}},
		{"an ensemble", with(map[string]string{"server.1": "a:1:2", "server.2": "b:1:2", "server.3": "c:1:2", "initLimit": "5", "syncLimit": "5"}),
			exitUsage, []string{"myid"}},
		{"a key with a bad value", with(map[string]string{"tickTime": "soon"}), exitUsage, []string{"tickTime", "soon"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, stderr := zooid("serve", zooCfg(t, c.keys))
			wantCode(t, c.code, code, stderr, c.says...)
		})
	}
}

func TestReadOnlyDataDirectory(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("permission bits do not hold root back")
	}
	keys := baseKeys(t)
	if err := os.Mkdir(keys["dataDir"], 0o500); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := zooid("serve", zooCfg(t, keys))
	wantCode(t, exitDataDir, code, stderr, keys["dataDir"], "may not be written")
}

func TestUnknownKeyIsWarnedOfOnce(t *testing.T) {
	keys := baseKeys(t)
	keys["noSuchKey"] = "1"
	s := serve(t, keys)
	if n := strings.Count(s.log.String(), "noSuchKey"); n != 1 {
		t.Errorf("the key is named %d times:\n%s", n, s.log)
	}
	if !strings.Contains(s.log.String(), "WARN") {
		t.Errorf("no warning:\n%s", s.log)
	}
}

func TestLogInJSON(t *testing.T) {
	s := serve(t, baseKeys(t), "--log-json", "--log-level", "debug")
	for line := range strings.Lines(s.log.String()) {
		if !strings.HasPrefix(line, `{"level":"`) {
			t.Errorf("a line that is not JSON: %s", line)
		}
	}
}

// get fetches a page of a server of this machine.
func get(t *testing.T, port, path string) (status int, body string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	r, err := client.Get("http://127.0.0.1:" + port + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(text)
}

func TestPages(t *testing.T) {
	keys := baseKeys(t)
	keys["metricsProvider.className"] = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider"
	keys["metricsProvider.httpHost"] = "127.0.0.1"
	keys["metricsProvider.httpPort"] = fmt.Sprint(testenv.FreePort(t))
	profiles := fmt.Sprint(testenv.FreePort(t))
	s := serve(t, keys, "--pprof", "127.0.0.1:"+profiles)
	if _, _, err := s.open().Create("/a", nil, 0); err != nil {
		t.Fatal(err)
	}
	for _, port := range []string{keys["admin.serverPort"], keys["metricsProvider.httpPort"]} {
		for path, part := range map[string]string{"/livez": "", "/readyz": `"standalone"`, "/metrics": "\nznode_count"} {
			if code, body := get(t, port, path); code != http.StatusOK || !strings.Contains(body, part) {
				t.Errorf("%s of port %s: %d\n%.300s", path, port, code, body)
			}
		}
	}
	if code, body := get(t, profiles, "/debug/pprof/goroutine?debug=1"); code != http.StatusOK || !strings.Contains(body, "goroutine profile") {
		t.Errorf("profiles: %d\n%.300s", code, body)
	}
}

// Every layer counts into the same metrics.
func TestMetricsComeFromEverywhere(t *testing.T) {
	keys := baseKeys(t)
	s := serve(t, keys)
	c := s.open()
	for i := range 3 {
		if _, _, err := c.Create(fmt.Sprintf("/m%d", i), nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	values := testenv.Monitor(t, s.addr)
	for _, name := range []string{
		"connection_request_count", "cnt_updatelatency", // server
		"proposal_count", "commit_count", // quorum
		"cnt_fsynctime", // txnlog
	} {
		if v := values[name]; v == "" || v == "0" {
			t.Errorf("%s is %q", name, v)
		}
	}
	text, err := testenv.Word(s.addr, "conf")
	if err != nil || !strings.Contains(text, "clientPort="+keys["clientPort"]) || !strings.Contains(text, "dataDir="+s.dir+"/version-2") {
		t.Errorf("conf: %v\n%s", err, text)
	}
}

func TestAdminPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	keys := baseKeys(t)
	_, keys["admin.serverPort"], _ = net.SplitHostPort(l.Addr().String())
	s := serve(t, keys)
	if _, _, err := s.open().Create("/a", nil, 0); err != nil {
		t.Error(err)
	}
	if !strings.Contains(s.log.String(), "running without") || !strings.Contains(s.log.String(), l.Addr().String()) {
		t.Errorf("the log says nothing of the port that is taken:\n%s", s.log)
	}
}

// A server that is stopping says that it is not ready.
func TestNotReadyWhileStopping(t *testing.T) {
	keys := baseKeys(t)
	s := serve(t, keys)
	c := stuck(s)
	s.cancel()
	testenv.Await(t, clientsLimit, "/readyz says no", func() bool {
		code, _ := get(t, keys["admin.serverPort"], "/readyz")
		return code == http.StatusServiceUnavailable
	})
	c.Close()
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A session that is not heard from while the server stops outlives that.
func TestSessionsOutliveARestart(t *testing.T) {
	keys := baseKeys(t)
	s := serve(t, keys)
	c, err := rawclient.Open(s.addr, rawclient.Options{TimeoutMs: 4000})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Create("/e", nil, wire.FlagEphemeral); err != nil {
		t.Fatal(err)
	}
	s.stop()
	c.Close()
	keys["clientPort"] = fmt.Sprint(testenv.FreePort(t))
	again := serve(t, keys)
	back, err := rawclient.Open(again.addr, rawclient.Options{Session: c.Session, Passwd: c.Passwd, TimeoutMs: 4000})
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	stat, err := back.Exists("/e", false)
	if err != nil || stat.EphemeralOwner != c.Session {
		t.Errorf("%+v, %v", stat, err)
	}
}

// What is not ZooKeeper's protocol does no harm.
func TestServeSurvivesNonsense(t *testing.T) {
	s := serve(t, baseKeys(t))
	for _, text := range []string{"GET / HTTP/1.1\r\n\r\n", string(binary.BigEndian.AppendUint32(nil, 1<<31)), "\x16\x03\x01\x00\xff"} {
		nc, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.WriteString(nc, text)
		if err != nil {
			t.Error(err)
		}
		nc.Close()
	}
	if _, _, err := s.open().Create("/a", nil, 0); err != nil {
		t.Error(err)
	}
}

// A port towards the other members that is taken ends the start, like one for
// clients.
func TestMemberPortTaken(t *testing.T) {
	port := freePorts(t, 3)
	for _, taken := range []int{port, port + 1, port + 2} {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", taken))
		if err != nil {
			t.Fatal(err)
		}
		code, _, said := zooid("serve", memberOf(t, port, "electionPortBindRetry=1\n"))
		wantCode(t, exitListen, code, said, fmt.Sprintf("127.0.0.1:%d", taken), "in use")
		l.Close()
	}
}

// A start that waits for a port can be ended, and says meanwhile what it is.
func TestStopWhileStarting(t *testing.T) {
	port := freePorts(t, 3)
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+1))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd := testenv.ZooidCommand(t, "serve", memberOf(t, port, "electionPortBindRetry=0\n"))
	log := new(output)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	testenv.Await(t, 20*time.Second, "it waits", func() bool { return strings.Contains(log.String(), "cannot listen, trying again") })
	code, _, said := zooid("probe", fmt.Sprintf("127.0.0.1:%d", port))
	wantCode(t, exitNotServing, code, said, "not currently serving requests")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, log)
	}
}

// memberOf writes the zoo.cfg of a member on three ports from the first on, for
// clients, for the election and for followers.
func memberOf(t *testing.T, first int, keys string) (file string) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "data", "myid"), "1\n")
	return write(t, filepath.Join(dir, "zoo.cfg"), keys+"dataDir="+filepath.Join(dir, "data")+"\nadmin.enableServer=false\npreAllocSize=64\n"+
		"tickTime=500\ninitLimit=10\nsyncLimit=4\nserver.2=127.0.0.1:1:2\nserver.3=127.0.0.1:3:4\n"+
		fmt.Sprintf("server.1=127.0.0.1:%d:%d;127.0.0.1:%d\n", first+2, first+1, first))
}

// A member that cannot find the others does not serve, says so everywhere, and
// serves those that only want to read where the configuration allows it.
func TestMemberInAMinority(t *testing.T) {
	port := freePorts(t, 3)
	for _, readOnly := range []bool{false, true} {
		ctx, cancel := context.WithCancel(context.Background())
		log, ended := new(output), make(chan int, 1)
		file := memberOf(t, port, fmt.Sprintf("readonlymode.enabled=%v\n4lw.commands.whitelist=*\n", readOnly))
		go func() { ended <- execute(ctx, []string{"serve", file}, os.Stdout, log) }()
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		want := map[bool]string{false: "not currently serving requests", true: "Mode: read-only"}[readOnly]
		testenv.Await(t, 20*time.Second, "it says "+want, func() bool {
			text, err := testenv.Word(addr, "srvr")
			return err == nil && strings.Contains(text, want)
		})
		if isro, err := testenv.Word(addr, "isro"); err != nil || isro != map[bool]string{false: "null", true: "ro"}[readOnly] {
			t.Errorf("isro says %q, %v", isro, err)
		}
		code, table, said := zooid("probe", addr)
		wantCode(t, exitNotServing, code, table+said, addr)
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("exit code %d\n%s", code, log)
		}
	}
}

// A hangup is no end: people send it to have a configuration read again.
func TestHangupDoesNotEnd(t *testing.T) {
	s := serve(t, baseKeys(t))
	c := s.open()
	for range 2 {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	testenv.Await(t, 10*time.Second, "the log tells of the hangup", func() bool {
		return strings.Contains(s.log.String(), "SIGHUP: nothing is read again")
	})
	if _, _, err := c.Create("/after", nil, 0); err != nil {
		t.Error(err)
	}
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A log that is refused while forceSync=no says what that has to do with it.
func TestDamageWithoutSync(t *testing.T) {
	keys := baseKeys(t)
	s := serve(t, keys)
	c := s.open()
	for i := range 20 {
		if _, _, err := c.Create(fmt.Sprintf("/n%d", i), bytes.Repeat([]byte("x"), 500), 0); err != nil {
			t.Fatal(err)
		}
	}
	s.stop()
	logs, err := filepath.Glob(filepath.Join(s.dir, "version-2", "log.*"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	text := []byte(read(t, logs[0]))
	copy(text[3000:], bytes.Repeat([]byte{0}, 1000)) // a block that never reached the disk
	if err := os.WriteFile(logs[0], text, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(s.dir, "zooid")); err != nil {
		t.Fatal(err)
	}
	for _, sync := range []string{"yes", "no"} {
		keys["forceSync"] = sync
		code, _, said := zooid("serve", zooCfg(t, keys))
		wantCode(t, exitDataDir, code, said, "is damaged at byte")
		if got := strings.Contains(said, "forceSync=no: writes are acknowledged before the log is on the disk"); got != (sync == "no") {
			t.Errorf("forceSync=%s: it says\n%s", sync, said)
		}
	}
}
