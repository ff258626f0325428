package testenv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// What a member says of itself in srvr.
const (
	ModeLeader   = "leader"
	ModeFollower = "follower"
	ModeObserver = "observer"
	ModeReadOnly = "read-only"
)

// Mode is what the member says of itself; it is an error when it says that it
// does not serve.
func (m *Member) Mode() (string, error) {
	text, err := m.word("srvr", time.Second)
	if err != nil {
		return "", err
	}
	for line := range strings.SplitSeq(text, "\n") {
		if mode, ok := strings.CutPrefix(line, "Mode: "); ok {
			return mode, nil
		}
	}
	return "", fmt.Errorf("srvr says %q", text)
}

// AwaitMode waits until the member says that it is in the mode.
func (m *Member) AwaitMode(limit time.Duration, want string) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(pollEvery) {
		mode, err := m.Mode()
		if err == nil && mode == want {
			return nil
		}
		if !m.Running() {
			return fmt.Errorf("member %d has ended, exit code %d", m.SID, m.proc.exitCode())
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("member %d is not %s within %v: %q, %v", m.SID, want, limit, mode, err)
		}
	}
}

// AwaitIdle waits until the member says that it serves nobody.
func (m *Member) AwaitIdle(limit time.Duration) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(pollEvery) {
		mode, err := m.Mode()
		if err != nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("member %d is still %s after %v", m.SID, mode, limit)
		}
	}
}

// Monitor returns the values of mntr by key, without the zk_ in front.
func (m *Member) Monitor() (map[string]string, error) {
	text, err := m.Word("mntr")
	return monitorValues(text), err
}

// Launch starts the process and waits for nothing.
func (m *Member) Launch() error {
	m.paused = false
	if err := m.Server.Launch(); err != nil {
		return err
	}
	return m.disk.slow(m.PID())
}

// Restart starts the member again, and waits until it and all others that run
// serve.
func (m *Member) Restart() error {
	if err := m.Launch(); err != nil {
		return err
	}
	_, err := m.e.AwaitServing(startLimit)
	return err
}

// Pause stops the process where it is (SIGSTOP).
func (m *Member) Pause() error {
	m.paused = true
	return m.Signal(syscall.SIGSTOP)
}

// Resume lets a paused process go on.
func (m *Member) Resume() error {
	m.paused = false
	return m.Signal(syscall.SIGCONT)
}

// SetKind makes the stopped member's next start one of the other kind.
func (m *Member) SetKind(kind string) {
	if kind == KindJava {
		m.e.needJava()
	}
	m.Server.SetKind(kind)
}

// WriteMyID writes the file that says which member it is.
func (m *Member) WriteMyID(text string) error {
	return m.Inside(func() error {
		if err := os.MkdirAll(m.DataDir, 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(m.DataDir, "myid"), []byte(text+"\n"), 0o644)
	})
}

// Wipe empties the stopped member's disk, as one that was replaced, but for
// the file that says which member it is.
func (m *Member) Wipe() error {
	if m.Running() {
		return errors.New("a running member's disk is not replaced")
	}
	err := m.Inside(func() error {
		entries, err := os.ReadDir(m.DataDir)
		for _, e := range entries {
			err = errors.Join(err, os.RemoveAll(filepath.Join(m.DataDir, e.Name())))
		}
		return err
	})
	if err != nil {
		return err
	}
	return m.WriteMyID(strconv.Itoa(m.SID))
}

// QuorumAddr is where a leader waits for learners.
func (m *Member) QuorumAddr() string { return fmt.Sprintf("%s:%d", m.Host, m.QuorumPort) }

// ElectionAddr is where the member takes part in elections.
func (m *Member) ElectionAddr() string { return fmt.Sprintf("%s:%d", m.Host, m.ElectionPort) }

// Paused tells whether the process was paused and not resumed.
func (m *Member) Paused() bool { return m.paused }
