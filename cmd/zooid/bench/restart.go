package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"zooid/wire"
)

const (
	// startWait bounds the wait for a server that was started, stopWait that
	// for its end.
	startWait = 5 * time.Minute
	stopWait  = time.Minute
)

// runRestart starts the server's command and measures the time until it
// answers a handshake and a first read; then it stops it with SIGTERM.
func runRestart(ctx context.Context, o *Options, p *Progress) (result, error) {
	r := result{hist: newHistogram()}
	clock := o.startWatch()
	for round := 0; round < o.Rounds && ctx.Err() == nil; round++ {
		p.phase(fmt.Sprintf("start %d of %d", round+1, o.Rounds))
		took, err := startOnce(ctx, o)
		if err != nil {
			return r, err
		}
		r.ops++
		record(r.hist, took)
	}
	clock.stop(&r)
	return r, nil
}

func startOnce(ctx context.Context, o *Options) (time.Duration, error) {
	args := strings.Fields(o.Exec)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start %s: %w", args[0], err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	took, err := awaitRead(o.Servers[0], begin, startWait, exited)
	var ended *endedError
	switch {
	case errors.As(err, &ended):
		return 0, fmt.Errorf("%w; it said:\n%s", err, said.Bytes())
	case err != nil:
		err = errors.Join(err, cmd.Process.Kill())
		<-exited
		return 0, err
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	select {
	case <-exited:
		return took, nil
	case <-time.After(stopWait):
		err := errors.Join(fmt.Errorf("%s does not end within %v of SIGTERM", args[0], stopWait), cmd.Process.Kill())
		<-exited
		return 0, err
	}
}

// endedError says that a server has ended before it answered.
type endedError struct{ err error }

func (e *endedError) Error() string {
	if e.err == nil {
		return "the server ended before it answered"
	}
	return "the server ended before it answered: " + e.err.Error()
}
func (e *endedError) Unwrap() error { return e.err }

// pollEvery is the pause between two tries to reach a server that is starting:
// long enough not to take the CPU from it.
const pollEvery = 5 * time.Millisecond

// AwaitRead polls a server that is starting until it answers a handshake and a
// read, and gives the time since begin.
func AwaitRead(addr string, begin time.Time, limit time.Duration) (time.Duration, error) {
	return awaitRead(addr, begin, limit, nil)
}

// awaitRead gives up when exited says that the server has ended.
func awaitRead(addr string, begin time.Time, limit time.Duration, exited <-chan error) (time.Duration, error) {
	for time.Since(begin) < limit {
		select {
		case err := <-exited:
			return 0, &endedError{err}
		default:
		}
		c, err := dial(addr, 10*time.Second, time.Second)
		if err != nil {
			time.Sleep(pollEvery)
			continue
		}
		_, err = c.call(wire.OpGetChildren, &wire.WatchRequest{Path: "/"})
		took := time.Since(begin)
		return took, errors.Join(err, c.close())
	}
	return 0, fmt.Errorf("%w: no answer from %s within %v", ErrConnection, addr, limit)
}
