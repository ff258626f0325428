package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// localMember is one process of a local ensemble.
type localMember struct {
	number int
	cmd    *exec.Cmd
	log    *os.File
	began  int64         // where in its log this run begins
	ended  chan struct{} // closed when the process has
	err    error         // of its end
	told   bool          // somebody has been told of that
}

// startMember starts the process of server i, which is told to ended when it
// ends. It belongs to this process's group, so that who ends the group ends all
// of it.
func startMember(o *ensembleOptions, i int, out io.Writer, ended chan<- *localMember) (m *localMember, err error) {
	m = &localMember{number: i, ended: make(chan struct{})}
	m.log, err = os.OpenFile(filepath.Join(o.home(i), "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, withCode(exitDataDir, err)
	}
	if m.began, err = m.log.Seek(0, io.SeekEnd); err != nil {
		return nil, errors.Join(err, m.log.Close())
	}
	m.cmd = exec.Command(o.program, "serve", "zoo.cfg")
	m.cmd.Dir = o.home(i)
	m.cmd.Stdout = m.log
	m.cmd.Stderr = m.log
	if o.verbose {
		m.cmd.Stderr = io.MultiWriter(m.log, &prefixed{out: out, prefix: fmt.Sprintf("[%d] ", i)})
	}
	m.cmd.SysProcAttr = endsWithParent()
	if err := m.cmd.Start(); err != nil {
		return nil, errors.Join(err, m.log.Close())
	}
	go func() {
		m.err = m.cmd.Wait()
		close(m.ended)
		ended <- m
	}()
	return m, nil
}

// killed tells whether somebody else has ended the process, by a signal that
// leaves it no choice.
func (m *localMember) killed() bool {
	status, ok := m.cmd.ProcessState.Sys().(syscall.WaitStatus)
	m.told = m.told || ok && status.Signaled()
	return ok && status.Signaled()
}

// whyEnded is the error that ends the ensemble with a server that has ended by
// itself: what it has said, with its exit code.
func (m *localMember) whyEnded() error {
	m.told = true
	if said := m.lastWords(); said != "" {
		return withCode(m.cmd.ProcessState.ExitCode(), fmt.Errorf("server %d has ended: %s (its log: %s)", m.number, said, m.log.Name()))
	}
	return fmt.Errorf("server %d has ended: %v (its log: %s)", m.number, m.cmd.ProcessState, m.log.Name())
}

// lastWords is the error with which the process has ended, as it has told it.
func (m *localMember) lastWords() string {
	if m.cmd.ProcessState.ExitCode() <= 0 {
		return ""
	}
	text, err := os.ReadFile(m.log.Name())
	if err != nil {
		return ""
	}
	text = text[min(m.began, int64(len(text))):]
	for line := range bytes.Lines(text) {
		if said, ok := bytes.CutPrefix(line, []byte("zooid: ")); ok {
			return string(bytes.TrimSpace(said))
		}
	}
	return ""
}

// stopAll ends the processes in good order, and by force if they need longer
// than limit.
func stopAll(members []*localMember, limit time.Duration, out io.Writer) error {
	if len(members) == 0 {
		return nil
	}
	fmt.Fprintln(out, "stopping")
	for _, m := range members {
		_ = m.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	}
	force := time.AfterFunc(limit, func() {
		for _, m := range members {
			_ = m.cmd.Process.Kill()
		}
	})
	var errs []error
	for _, m := range members {
		<-m.ended
		if m.err != nil && !m.told {
			errs = append(errs, fmt.Errorf("server %d: %w (its log: %s)", m.number, m.err, m.log.Name()))
		}
		errs = append(errs, m.log.Close())
	}
	if !force.Stop() {
		errs = append(errs, fmt.Errorf("not all servers stopped within %v, so they were killed", limit))
	}
	return errors.Join(errs...)
}

// prefixed writes lines with a prefix.
type prefixed struct {
	mu     sync.Mutex
	out    io.Writer
	prefix string
	rest   []byte // of a line whose end has not come yet
}

func (p *prefixed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest = append(p.rest, b...)
	for {
		line, rest, ok := bytes.Cut(p.rest, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		if _, err := fmt.Fprintf(p.out, "%s%s\n", p.prefix, line); err != nil {
			return 0, err
		}
		p.rest = rest
	}
}
