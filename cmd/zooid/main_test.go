package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"zooid/cmd/zooid/bench"
	"zooid/wire"
)

func TestExitCode(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	for _, c := range []struct {
		name string
		err  error
		want int
	}{
		{"done", nil, 0},
		{"anything else", errors.New("x"), exitUnexpected},
		{"coded", withCode(exitListen, errors.New("x")), exitListen},
		{"coded, wrapped", fmt.Errorf("y: %w", withCode(exitDataDir, errors.New("x"))), exitDataDir},
		{"coded twice: the first, who knows more", withCode(exitUsage, withCode(exitDataDir, errors.New("x"))), exitDataDir},
		{"coded among others", errors.Join(errors.New("x"), withCode(exitListen, errors.New("y"))), exitListen},
		{"a code wins over what it wraps", withCode(exitListen, refused), exitListen},
		{"options of bench", fmt.Errorf("%w: x", bench.ErrUsage), exitUsage},
		{"nobody listens", fmt.Errorf("get: %w", refused), exitConnection},
		{"the connection broke", fmt.Errorf("get: %w", bench.ErrConnection), exitConnection},
		{"no znode", fmt.Errorf("get: %w", wire.ErrNoNode), exitNoNode},
		{"no permission", fmt.Errorf("get: %w", wire.ErrNoAuth), exitPermission},
		{"not who it says", fmt.Errorf("get: %w", wire.ErrAuthFailed), exitPermission},
		{"no permission on a file", &fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}, exitPermission},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := exitCode(c.err); got != c.want {
				t.Errorf("%v: exit code %d, want %d", c.err, got, c.want)
			}
		})
	}
	if withCode(exitUsage, nil) != nil {
		t.Error("no error has got a code")
	}
}

// What a newcomer mistypes is told to be that, with where to look.
func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		says []string
	}{
		{[]string{"sevre"}, []string{`unknown command "sevre"`, "serve", `See "zooid --help".`}},
		{[]string{"serve", "--prot"}, []string{"unknown flag: --prot", `See "zooid serve --help".`}},
		{[]string{"serve", "a", "b"}, []string{"at most 1", `See "zooid serve --help".`}},
		{[]string{"version", "x"}, []string{`See "zooid version --help".`}},
		{[]string{"bench"}, []string{"needs a workload", `See "zooid bench --help".`}},
		{[]string{"bench", "get", "set"}, []string{"one workload"}},
		{[]string{"bench", "got"}, []string{`no workload "got"`, "children", `See "zooid bench --help".`}},
		{[]string{"bench", "get", "--depth", "x"}, []string{"--depth"}},
		{[]string{"bench", "get", "--depth", "0"}, []string{"at least 1"}},
		{[]string{"serve", "--log-level", "loud"}, []string{"--log-level", "loud"}},
		{[]string{"serve", "no-such.cfg"}, []string{"no-such.cfg", "no such file"}},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			code, stdout, stderr := zooid(c.args...)
			wantCode(t, exitUsage, code, stderr, c.says...)
			if stdout != "" {
				t.Errorf("on standard output:\n%s", stdout)
			}
		})
	}
}

// The help, the package comment and the README list the same exit codes as the
// code.
func TestHelp(t *testing.T) {
	doc, readme := read(t, "doc.go"), read(t, filepath.Join("..", "..", "README.md"))
	code, help, _ := zooid()
	wantCode(t, 0, code, help, "zooid serve", "serve ", "ensemble ", "probe ", "bench ", "version ", "completion ")
	told := strings.Join(strings.Fields(strings.ReplaceAll(doc, "//", "")), " ")
	for n, means := range []string{"done", "something unexpected", "bad usage or configuration", "the data directory cannot be used",
		"an address cannot be listened on", "no connection to a server", "permission denied", "no such znode", "a server does not serve"} {
		if !strings.Contains(help, fmt.Sprintf("  %d  %s\n", n, means)) {
			t.Errorf("the help does not say that exit code %d means %s", n, means)
		}
		if !strings.Contains(told, fmt.Sprintf("%d %s", n, means)) {
			t.Errorf("doc.go does not say that exit code %d means %s", n, means)
		}
		if !strings.Contains(readme, fmt.Sprintf("\n| %d | %s |\n", n, means)) {
			t.Errorf("the README does not say that exit code %d means %s", n, means)
		}
	}
	for _, command := range []string{"serve", "ensemble", "probe", "bench", "version", "completion"} {
		code, help, _ := zooid(command, "--help")
		wantCode(t, 0, code, help, "Usage:\n  zooid "+command)
	}
}

func TestVersion(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}} {
		code, out, _ := zooid(args...)
		wantCode(t, 0, code, out, "zooid "+Version+" (ZooKeeper 3.9", "built 20", "go1.")
	}
	code, out, _ := zooid("version", "--json")
	wantCode(t, 0, code, out)
	var v versionInfo
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatal(err)
	}
	if v.Version != Version || v.Built.IsZero() || v.Go == "" || !strings.Contains(v.Platform, "/") {
		t.Errorf("%+v", v)
	}
}

func TestBuildTime(t *testing.T) {
	info := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.time", Value: "2026-11-22T17:00:00Z"}}}
	if got, ok := commitTime(info); !ok || !got.Equal(time.Date(2026, 11, 22, 17, 0, 0, 0, time.UTC)) {
		t.Errorf("commit time %v, %v", got, ok)
	}
	for _, without := range []*debug.BuildInfo{nil, {}} {
		if got, ok := commitTime(without); ok {
			t.Errorf("a commit time %v out of nothing", got)
		}
	}
	// A test binary has no commit in it; it has just been written.
	if got := time.Since(buildTime()); got < 0 || got > 24*365*time.Hour {
		t.Errorf("built %v ago", got)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		code, script, stderr := zooid("completion", shell)
		wantCode(t, 0, code, script+stderr, "zooid")
	}
	code, out, _ := zooid("__complete", "bench", "")
	wantCode(t, 0, code, out, "set\tsetData", "watch\t")
}
