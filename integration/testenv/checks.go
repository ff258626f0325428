package testenv

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"testing"
	"time"
)

// A checkLine is one line of a client program's standard output.
type checkLine struct {
	Check  string `json:"check"`  // name of what was checked
	OK     bool   `json:"ok"`     // whether it held
	Detail string `json:"detail"` // what was seen instead
	Ask    string `json:"ask"`    // drop, cut or heal: for the proxy; answered by a line
	Done   int    `json:"done"`   // last line: how many checks there were
}

// RunChecks runs a client program that prints a JSON line a check (see
// checkLine), and reports each as a subtest. A program that ends before it has
// said that it is done has failed, as has one that takes longer than the limit.
// It may ask for things that happen to the proxy; "ok" on a line of its standard
// input says that they have.
func RunChecks(t *testing.T, cmd *exec.Cmd, proxy *Proxy, limit time.Duration) {
	t.Helper()
	errs := new(logBuffer)
	cmd.Stderr = errs
	cmd.SysProcAttr = childAttr()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(limit, func() { _ = cmd.Process.Kill() }).Stop()
	done := readChecks(t, out, in, proxy)
	err = cmd.Wait()
	if done == 0 || err != nil {
		t.Errorf("the client program ended before its last check (%v; limit %v)", err, limit)
	}
	if t.Failed() {
		t.Logf("its standard error:\n%s", errs.tail(8<<10))
	}
}

// readChecks reports the checks until the output ends, and returns the number
// that the program claims to have made, 0 if it did not say.
func readChecks(t *testing.T, out io.Reader, in io.Writer, proxy *Proxy) (done int) {
	seen := 0
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l checkLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Logf("client: %s", lines.Text())
			continue
		}
		switch {
		case l.Ask != "":
			if err := proxy.obey(l.Ask); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(in, "ok")
		case l.Check != "":
			seen++
			t.Run(l.Check, func(t *testing.T) {
				if !l.OK {
					t.Error(l.Detail)
				}
			})
		case l.Done != 0:
			done = l.Done
		}
	}
	if done != 0 && done != seen {
		t.Errorf("the client program made %d checks, %d arrived", done, seen)
	}
	return done
}

func (p *Proxy) obey(ask string) error {
	switch ask {
	case "drop":
		p.Drop()
	case "cut":
		p.Cut()
	case "heal":
		p.Heal()
	default:
		return fmt.Errorf("the client program asks for %q", ask)
	}
	return nil
}

// JavaChecks is a compiled Java program, ready for RunChecks. It takes the
// client JVM's place until the test ends.
func JavaChecks(t testing.TB, srcDir, mainClass string, args ...string) *exec.Cmd {
	t.Helper()
	java := NeedJava(t)
	classes := java.CompileJava(t, srcDir)
	takePlace(t, placeClient)
	return java.command(nil, classes, append([]string{mainClass}, args...)...)
}

// Client is a Java program of the jars themselves. It takes the client JVM's
// place until the test ends, once a test.
func (j *Java) Client(t testing.TB, mainClass string, args ...string) *exec.Cmd {
	t.Helper()
	if !j.placed {
		takePlace(t, placeClient)
		j.placed = true
	}
	cmd := j.command(nil, "", append([]string{mainClass}, args...)...)
	cmd.SysProcAttr = childAttr()
	return cmd
}
