package javaclient

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"

	"zooid/integration/testenv"
)

var rewrite = flag.Bool("rewrite", false, "write the transcripts of zkCli anew")

const transcript = "testdata/zkcli/session.txt"

// TestZkCliSession feeds the shell commands by its standard input, one after
// the other, and compares what it prints for each with the transcript.
func TestZkCliSession(t *testing.T) {
	testenv.EachTarget(t, testenv.Config{}, func(t *testing.T, s *testenv.Server) {
		java := testenv.NeedJava(t)
		sh := startShell(t, java.Client(t, "org.apache.zookeeper.ZooKeeperMain", "-waitforconnection", "-server", s.Addr))
		root := testenv.Root("zkcli")
		commands := readTranscript(t)
		sh.read() // the first prompt
		for i := range commands {
			c := &commands[i]
			fmt.Fprintln(sh.in, strings.ReplaceAll(c.text, "$R", root))
			got := mask(sh.read(), root)
			if c.text == "whoami" {
				sort.Strings(got) // identities have no order
			}
			if *rewrite {
				c.want = got
			} else if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("%s\nprints\n%s\nwant\n%s", c.text, indent(got), indent(c.want))
			}
		}
		if *rewrite {
			writeTranscript(t, commands)
		}
		want := []string{"NodeChildrenChanged /z", "NodeDataChanged /z", "NodeDataChanged /z/eph", "PersistentWatchRemoved /z"}
		if got := sh.events(root); strings.Join(got, ",") != strings.Join(want, ",") {
			t.Errorf("the shell was told of %q, want %q", got, want)
		}
	})
}

// TestZkCliOneShot runs the shell once a command: its exit code and output.
func TestZkCliOneShot(t *testing.T) {
	testenv.EachTarget(t, testenv.Config{}, func(t *testing.T, s *testenv.Server) {
		java := testenv.NeedJava(t)
		root := testenv.Root("zkcli1")
		tests := []struct {
			args []string
			code int
			want string // part of what it prints
		}{
			{[]string{"create", root, "data"}, 0, "Created " + root},
			{[]string{"get", root}, 0, "\ndata\n"},
			{[]string{"get", root + "/none"}, 1, "Node does not exist: " + root + "/none"},
			{[]string{"delete", root}, 0, ""},
		}
		for _, tt := range tests {
			cmd := java.Client(t, "org.apache.zookeeper.ZooKeeperMain", append([]string{"-server", s.Addr}, tt.args...)...)
			out, err := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(string(out), tt.want) {
				t.Errorf("%v: exit code %d (%v), want %d and %q in\n%s", tt.args, code, err, tt.code, tt.want, out)
			}
		}
	})
}

// command is one of a transcript, with the lines that it must print.
type command struct {
	comment []string // lines before it
	text    string
	want    []string
}

func readTranscript(t *testing.T) []command {
	t.Helper()
	text, err := os.ReadFile(transcript)
	if err != nil {
		t.Fatal(err)
	}
	var all []command
	var comment []string
	for _, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		switch {
		case strings.HasPrefix(line, "> "):
			all = append(all, command{comment: comment, text: line[2:]})
			comment = nil
		case strings.HasPrefix(line, "#"):
			comment = append(comment, line)
		default:
			last := &all[len(all)-1]
			last.want = append(last.want, line)
		}
	}
	return all
}

func writeTranscript(t *testing.T, all []command) {
	t.Helper()
	var b strings.Builder
	for _, c := range all {
		for _, line := range append(append(c.comment, "> "+c.text), c.want...) {
			b.WriteString(line + "\n")
		}
	}
	if err := os.WriteFile(transcript, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// masks hide what differs from run to run.
var masks = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`(?m)^(cZxid|mZxid|pZxid) = 0x[0-9a-f]+`), "$1 = Z"},
	{regexp.MustCompile(`(?m)^(ctime|mtime) = .*`), "$1 = T"},
	{regexp.MustCompile(`(?m)^ephemeralOwner = 0x[1-9a-f][0-9a-f]+`), "ephemeralOwner = S"},
	{regexp.MustCompile(`(?m)^.*ERROR ServiceUtils .*\n?`), ""},
	{regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d+ WARN .*\n?`), ""},
}

var children = regexp.MustCompile(`^\[(.*)\]$`)

// mask makes what the shell printed comparable: the order in which a server
// lists children means nothing.
func mask(text, root string) []string {
	text = strings.ReplaceAll(text, root, "$R")
	for _, m := range masks {
		text = m.re.ReplaceAllString(text, m.with)
	}
	var lines []string
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, " \r")
		if line == "" {
			continue
		}
		if m := children.FindStringSubmatch(line); m != nil {
			names := strings.Split(m[1], ", ")
			sort.Strings(names)
			line = "[" + strings.Join(names, ", ") + "]"
		}
		lines = append(lines, line)
	}
	return lines
}

func indent(lines []string) string { return "  " + strings.Join(lines, "\n  ") }

// shell is a zkCli that reads its commands from a pipe.
type shell struct {
	in    io.WriteCloser
	out   *bufio.Reader
	watch []string // events, as printed
}

func startShell(t *testing.T, cmd *exec.Cmd) *shell {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w // one pipe, so that the order is that of writing
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	timer := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		timer.Stop()
		in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		r.Close()
	})
	return &shell{in: in, out: bufio.NewReader(r)}
}

var (
	prompt = regexp.MustCompile(`\[zk: [^\]]*\(CONNECTED\) \d+\] $`)
	event  = regexp.MustCompile(`^WatchedEvent state:\w+ type:(\w+) path:(\S+) zxid: -?\d+$`)
)

// read returns what the shell prints up to its next prompt, or its end. Events
// are printed by a thread of their own, between any two lines: they are put
// aside.
func (sh *shell) read() string {
	var b bytes.Buffer
	for !prompt.Match(b.Bytes()) {
		c, err := sh.out.ReadByte()
		if err != nil {
			break
		}
		b.WriteByte(c)
	}
	var kept []string
	for _, line := range strings.Split(prompt.ReplaceAllString(b.String(), ""), "\n") {
		m := event.FindStringSubmatch(line)
		switch {
		case m != nil && m[1] != "None":
			sh.watch = append(sh.watch, m[1]+" "+m[2])
		case m == nil && line != "WATCHER::":
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// events are those that were printed, sorted, with paths below the root.
func (sh *shell) events(root string) []string {
	all := []string{}
	for _, e := range sh.watch {
		all = append(all, strings.ReplaceAll(e, root, ""))
	}
	sort.Strings(all)
	return all
}
