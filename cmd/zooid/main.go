package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"zooid/cmd/zooid/bench"
	"zooid/wire"
)

// Exit codes, as doc.go lists them.
const (
	exitUnexpected = 1
	exitUsage      = 2
	exitDataDir    = 3
	exitListen     = 4
	exitConnection = 5
	exitPermission = 6
	exitNoNode     = 7
)

// codedError is an error that knows its exit code.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

// withCode gives err an exit code; nil stays nil.
func withCode(code int, err error) error {
	if err == nil {
		return nil
	}
	return &codedError{code, err}
}

// exitCode finds the code for an error.
func exitCode(err error) int {
	var coded *codedError
	var netErr *net.OpError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &coded):
		return coded.code
	case errors.Is(err, bench.Usage):
		return exitUsage
	case errors.Is(err, wire.ErrNoNode):
		return exitNoNode
	case errors.Is(err, wire.ErrNoAuth), errors.Is(err, wire.ErrAuthFailed), errors.Is(err, fs.ErrPermission):
		return exitPermission
	case errors.As(err, &netErr):
		return exitConnection
	}
	return exitUnexpected
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "zooid",
		Short:         "A drop-in replacement for Apache ZooKeeper 3.9",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return withCode(exitUsage, err) })
	root.AddCommand(newServe(), newBench(), newVersion())
	return root
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newRoot().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "zooid:", err)
		os.Exit(exitCode(err))
	}
}
