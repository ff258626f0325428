package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"zooid/config"
	"zooid/integration/rawclient"
	"zooid/integration/testenv"
)

// Nothing is built with Docker here. What the Dockerfile says is held to what
// the binary does: in a directory that is made as it says, as root of a process
// of the user that it names.

// dockerfile has the instructions of the image, the arguments by their names.
type dockerfile struct {
	build []string            // of the stages before
	image map[string][]string // of the last stage
	env   map[string]string
}

func readDockerfile(t *testing.T) *dockerfile {
	t.Helper()
	text := strings.ReplaceAll(read(t, filepath.Join(testenv.ModuleRoot(t), "Dockerfile")), "\\\n", " ")
	d := &dockerfile{image: map[string][]string{}, env: map[string]string{}}
	scratch := false
	for line := range strings.Lines(text) {
		name, args, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case name == "" || strings.HasPrefix(name, "#"):
		case name == "FROM":
			scratch = args == "scratch"
		case scratch:
			d.image[name] = append(d.image[name], strings.TrimSpace(args))
		default:
			d.build = append(d.build, name+" "+args)
		}
	}
	for _, list := range d.image["ENV"] {
		for kv := range strings.FieldsSeq(list) {
			k, v, _ := strings.Cut(kv, "=")
			d.env[k] = v
		}
	}
	return d
}

// words reads a list in brackets, the last thing of an instruction.
func (d *dockerfile) words(t *testing.T, name string) (list []string) {
	t.Helper()
	text := strings.Join(d.image[name], " ")
	if err := json.Unmarshal([]byte(text[max(strings.Index(text, "["), 0):]), &list); err != nil {
		t.Fatalf("%s %s: %v", name, text, err)
	}
	return list
}

// dirs are the directories that the image has.
func (d *dockerfile) dirs() (dirs []string) {
	made := regexp.MustCompile(`/root-fs(/\w+)`)
	for _, match := range made.FindAllStringSubmatch(strings.Join(d.build, " "), -1) {
		if !slices.Contains(dirs, match[1]) {
			dirs = append(dirs, match[1])
		}
	}
	return dirs
}

// The image has what those count on who change nothing but the image's name.
func TestDockerfile(t *testing.T) {
	d := readDockerfile(t)
	for k, v := range map[string]string{"ZOO_CONF_DIR": "/conf", "ZOO_DATA_DIR": "/data", "ZOO_DATA_LOG_DIR": "/datalog"} {
		if d.env[k] != v {
			t.Errorf("%s is %q, want %s", k, d.env[k], v)
		}
		if !slices.Contains(d.dirs(), v) {
			t.Errorf("%s is not made: the image has %v", v, d.dirs())
		}
	}
	volumes := d.words(t, "VOLUME")
	for _, dir := range []string{"/data", "/datalog", "/logs"} {
		if !slices.Contains(volumes, dir) || !slices.Contains(d.dirs(), dir) {
			t.Errorf("%s is no volume with a directory of the server's: %v, %v", dir, volumes, d.dirs())
		}
	}
	for name, want := range map[string]string{"USER": "1000:1000", "STOPSIGNAL": "SIGTERM", "EXPOSE": "2181 2888 3888 8080"} {
		if got := strings.Join(d.image[name], " "); got != want {
			t.Errorf("%s %s, want %s", name, got, want)
		}
	}
	for _, copied := range d.image["COPY"] {
		if strings.Contains(copied, "/root-fs/") && !strings.Contains(copied, "--chown=1000:1000") {
			t.Errorf("the directories belong to somebody else: COPY %s", copied)
		}
	}
	if build := strings.Join(d.build, "\n"); !strings.Contains(build, "CGO_ENABLED=0 go build") || !strings.Contains(build, "-o /zooid ./cmd/zooid") {
		t.Errorf("the binary is not static, or another one:\n%s", build)
	}
	entry := d.words(t, "ENTRYPOINT")
	for _, args := range [][]string{append(entry[1:len(entry):len(entry)], d.words(t, "CMD")...), d.words(t, "HEALTHCHECK")[1:]} {
		if cmd, rest, err := newRoot().Find(args); err != nil || !cmd.Runnable() || len(rest) > 0 {
			t.Errorf("%v is no command: %v", args, err)
		}
	}
	if first := d.words(t, "HEALTHCHECK")[0]; entry[0] != "/zooid" || first != entry[0] {
		t.Errorf("entry point %v, health check %s", entry, first)
	}
}

// static is the image's binary, made once in a test process.
var static struct {
	once   sync.Once
	folder string // removed by TestMain
	err    error
}

func staticBinary(t *testing.T) string {
	t.Helper()
	static.once.Do(func() {
		if static.folder, static.err = os.MkdirTemp("", "zooid-test-"); static.err != nil {
			return
		}
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(static.folder, "zooid"), "./cmd/zooid")
		build.Dir = testenv.ModuleRoot(t)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			static.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if static.err != nil {
		t.Fatal(static.err)
	}
	return filepath.Join(static.folder, "zooid")
}

// box is a container of the image as far as a process can tell.
type box struct {
	t    *testing.T
	d    *dockerfile
	root string
	env  []string
	cmd  *exec.Cmd
	log  *output
}

func newBox(t *testing.T, d *dockerfile, env ...string) *box {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can give a process a root directory and another user")
	}
	root, err := os.MkdirTemp("", "zooid-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	b := &box{t: t, d: d, root: root, log: new(output)}
	for k, v := range d.env {
		b.env = append(b.env, k+"="+v)
	}
	b.env = append(b.env, env...)
	err = os.Chmod(root, 0o755)
	for _, dir := range d.dirs() {
		err = errors.Join(err, os.Mkdir(filepath.Join(root, dir), 0o755), os.Chown(filepath.Join(root, dir), 1000, 1000))
	}
	if err = errors.Join(err, os.Link(staticBinary(t), filepath.Join(root, "zooid"))); err != nil {
		t.Fatal(err)
	}
	return b
}

// command is a command line in the container.
func (b *box) command(args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = "/", b.env
	cmd.SysProcAttr = childAttr()
	cmd.SysProcAttr.Chroot, cmd.SysProcAttr.Credential = b.root, &syscall.Credential{Uid: 1000, Gid: 1000}
	return cmd
}

// start starts the container.
func (b *box) start() {
	b.t.Helper()
	b.cmd = b.command(append(b.d.words(b.t, "ENTRYPOINT"), b.d.words(b.t, "CMD")...)...)
	b.cmd.Stdout, b.cmd.Stderr = b.log, b.log
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		_ = b.cmd.Process.Kill()
		_ = b.cmd.Wait()
		if b.t.Failed() {
			b.t.Logf("log of %s:\n%s", b.root, b.log)
		}
	})
}

// awaitHealthy waits until the health check finds nothing wrong.
func (b *box) awaitHealthy() {
	b.t.Helper()
	testenv.Await(b.t, 20*time.Second, "the health check passes", func() bool {
		return b.command(b.d.words(b.t, "HEALTHCHECK")...).Run() == nil
	})
}

// stop does what "docker stop" does.
func (b *box) stop() {
	b.t.Helper()
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.t.Fatal(err)
	}
	if err := b.cmd.Wait(); err != nil {
		b.t.Errorf("after SIGTERM: %v", err)
	}
}

// The image serves alone with nothing but its name, and keeps its data in the
// volumes.
func TestImage(t *testing.T) {
	d := readDockerfile(t)
	ports := freePorts(t, 3)
	servers := fmt.Sprintf("ZOO_SERVERS=server.1=127.0.0.1:%d:%d;127.0.0.1:%d", ports+1, ports+2, ports)
	b := newBox(t, d, servers, "ZOO_ADMINSERVER_ENABLED=false")
	for run := range 2 {
		b.start()
		b.awaitHealthy()
		c, err := rawclient.Open(fmt.Sprintf("127.0.0.1:%d", ports), rawclient.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Create(fmt.Sprintf("/run%d", run), nil, 0); err != nil {
			t.Error(err)
		}
		kids, err := c.Children("/", false)
		if err != nil || len(kids) != 2+run {
			t.Errorf("run %d has %v, %v", run, kids, err)
		}
		c.Close()
		b.stop()
	}
	for _, name := range []string{"conf/zoo.cfg", "data/myid", "data/version-2/snapshot.0", "datalog/version-2"} {
		if _, err := os.Stat(filepath.Join(b.root, name)); err != nil {
			t.Error(err)
		}
	}
	if err := b.command(d.words(t, "HEALTHCHECK")...).Run(); err == nil {
		t.Error("the health check passes after the end")
	}
	// A volume that belongs to somebody else is named, with who should own it.
	for dir, code := range map[string]int{"conf": exitUsage, "data": exitDataDir} {
		b := newBox(t, d, servers)
		if err := os.Chown(filepath.Join(b.root, dir), 0, 0); err != nil {
			t.Fatal(err)
		}
		said, err := b.command("/zooid", "serve").CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Fatalf("it starts: %v", err)
		}
		wantCode(t, code, exit.ExitCode(), string(said), "/"+dir, "permission denied", "user 1000")
	}
}

// composeServices are the services of compose.yaml with their environment, read
// as far as that file goes: two levels of keys, and anchors.
func composeServices(t *testing.T) (names []string, env map[string]map[string]string) {
	t.Helper()
	text := read(t, filepath.Join(testenv.ModuleRoot(t), "compose.yaml"))
	env, anchors := map[string]map[string]string{}, map[string]string{}
	setting := regexp.MustCompile(`^ {6}([A-Z_0-9]+): (?:&(\w+) )?(.*)$`)
	service := regexp.MustCompile(`^ {2}(\w+):$`)
	inServices := false
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" && line[0] != ' ' {
			inServices = line == "services:"
		}
		if !inServices {
			continue
		}
		if m := service.FindStringSubmatch(line); m != nil {
			names = append(names, m[1])
			env[m[1]] = map[string]string{}
		}
		if m := setting.FindStringSubmatch(line); m != nil {
			value := m[3]
			if alias, ok := strings.CutPrefix(value, "*"); ok {
				value = anchors[alias]
			}
			anchors[m[2]] = value
			env[names[len(names)-1]][m[1]] = value
		}
	}
	return names, env
}

// Every server of compose.yaml is a member of the same ensemble, under its
// service's name.
func TestCompose(t *testing.T) {
	names, env := composeServices(t)
	if len(names) != 3 {
		t.Fatalf("services %v", names)
	}
	d, text := readDockerfile(t), read(t, filepath.Join(testenv.ModuleRoot(t), "compose.yaml"))
	membership := ""
	for i, name := range names {
		for k, v := range d.env {
			env[name][k] = v
		}
		zooCfg, myid := config.Docker(env[name])
		cfg, err := config.Parse([]byte(zooCfg), "zoo.cfg", nil, env[name])
		if err == nil {
			err = errors.Join(cfg.Identify([]byte(myid)), cfg.Complete())
		}
		if err != nil || len(cfg.Warnings) > 0 || !cfg.Distributed() || cfg.Clients.Addr.Port != 2181 {
			t.Fatalf("%s: %v, %+v", name, err, cfg)
		}
		if self := cfg.Ensemble.Members.Member(cfg.Ensemble.SID); self.SID != cfg.Ensemble.Members.Members[i].SID || self.Addrs[0].Host != name {
			t.Errorf("%s is %d on %v", name, self.SID, self.Addrs)
		}
		if got := cfg.Ensemble.Members.String(); membership != "" && got != membership {
			t.Errorf("%s has the ensemble %s", name, got)
		} else {
			membership = got
		}
		for _, line := range []string{"hostname: " + name, name + "-data:/data", name + "-datalog:/datalog"} {
			if !strings.Contains(text, line) {
				t.Errorf("%s: no %s", name, line)
			}
		}
	}
}

// The three containers of compose.yaml, each with an address of this machine in
// place of one of its own.
func TestComposeServes(t *testing.T) {
	names, env := composeServices(t)
	d := readDockerfile(t)
	if l, err := net.Listen("tcp", "127.7.0.1:2181"); err != nil {
		t.Skipf("port 2181, on which containers serve, is in use here: %v", err)
	} else {
		l.Close()
	}
	var hosts strings.Builder
	for i, name := range names {
		fmt.Fprintf(&hosts, "127.7.0.%d %s\n", i+1, name)
	}
	var boxes []*box
	var addrs []string
	for i, name := range names {
		addr := fmt.Sprintf("127.7.0.%d:2181", i+1)
		// There is one machine here, so a client port cannot be on all addresses.
		own := regexp.MustCompile(fmt.Sprintf(`(%s:\d+:\d+;)(2181)`, name))
		vars := []string{"ZOO_ADMINSERVER_ENABLED=false"}
		for k, v := range env[name] {
			vars = append(vars, k+"="+own.ReplaceAllString(v, fmt.Sprintf("${1}127.7.0.%d:2181", i+1)))
		}
		b := newBox(t, d, vars...)
		if err := errors.Join(os.Mkdir(filepath.Join(b.root, "etc"), 0o755),
			os.WriteFile(filepath.Join(b.root, "etc", "hosts"), []byte(hosts.String()), fs.FileMode(0o644))); err != nil {
			t.Fatal(err)
		}
		boxes, addrs = append(boxes, b), append(addrs, addr)
	}
	for _, b := range boxes {
		b.start()
	}
	for _, b := range boxes {
		b.awaitHealthy()
	}
	modes := map[string]int{}
	for _, addr := range addrs {
		text, err := testenv.Word(addr, "srvr")
		if err != nil {
			t.Fatal(err)
		}
		_, mode, _ := strings.Cut(text, "Mode: ")
		mode, _, _ = strings.Cut(mode, "\n")
		modes[mode]++
	}
	if modes["leader"] != 1 || modes["follower"] != 2 {
		t.Errorf("they are %v", modes)
	}
	for i, addr := range addrs {
		c, err := rawclient.Open(addr, rawclient.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Create(fmt.Sprintf("/by%d", i), nil, 0); err != nil {
			t.Error(err)
		}
		if kids, err := c.Children("/", false); err != nil || len(kids) != 2+i {
			t.Errorf("%s has %v, %v", addr, kids, err)
		}
		c.Close()
	}
	for _, b := range boxes {
		b.stop()
	}
}
