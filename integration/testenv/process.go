package testenv

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// process is a child with its output captured. It is ended by its own pid.
type process struct {
	cmd  *exec.Cmd
	out  *logBuffer
	done chan struct{} // closed when the child has been waited for
	err  error         // of Wait; valid after done
}

// startProcess starts cmd with its output going to out.
func startProcess(cmd *exec.Cmd, out *logBuffer) (*process, error) {
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, out: out, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// as adds a user to a child's attributes. Files of the test's own user are then
// another's to the child.
func as(attr *syscall.SysProcAttr, uid uint32) *syscall.SysProcAttr {
	if attr == nil {
		attr = new(syscall.SysProcAttr)
	}
	attr.Credential = &syscall.Credential{Uid: uid, Gid: uid}
	return attr
}

// exited tells whether the child has ended.
func (p *process) exited() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill ends the child as a power cut would, for the child's view of it.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.done
}

// terminate sends SIGTERM and waits for the end; after the limit it kills and
// says so.
func (p *process) terminate(limit time.Duration) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return nil
	case <-time.After(limit):
		p.kill()
		return fmt.Errorf("pid %d did not end within %v of SIGTERM", p.cmd.Process.Pid, limit)
	}
}

// exitCode is the child's exit code; -1 if a signal ended it. Valid after done.
func (p *process) exitCode() int { return p.cmd.ProcessState.ExitCode() }

// logBuffer keeps the last part of what a child wrote.
type logBuffer struct {
	mu struct {
		sync.Mutex
		buf bytes.Buffer
	}
}

const logKeep = 256 << 10

// Write implements io.Writer.
func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.buf.Len() > 2*logKeep {
		tail := bytes.Clone(l.mu.buf.Bytes()[l.mu.buf.Len()-logKeep:])
		l.mu.buf.Reset()
		l.mu.buf.Write(tail)
	}
	return l.mu.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.buf.String()
}

// tail is the last n bytes, from a line's beginning.
func (l *logBuffer) tail(n int) string {
	s := l.String()
	if len(s) > n {
		s = s[len(s)-n:]
		if i := bytes.IndexByte([]byte(s), '\n'); i >= 0 {
			s = s[i+1:]
		}
	}
	return s
}

// residentBytes is the child's resident memory, 0 where /proc does not tell.
func (p *process) residentBytes() int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(b), &size, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}
