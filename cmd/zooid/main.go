package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"zooid/cmd/zooid/bench"
	"zooid/wire"
)

// Exit codes, as doc.go and the help list them.
const (
	exitUnexpected = 1
	exitUsage      = 2
	exitDataDir    = 3
	exitListen     = 4
	exitConnection = 5
	exitPermission = 6
	exitNoNode     = 7
	exitNotServing = 8
)

// about is what zooid says of itself without a command.
const about = `Zooid is a drop-in replacement for the server of Apache ZooKeeper 3.9: the same
protocol, files, zoo.cfg and four-letter words in one binary.

  zooid serve              a server on port 2181, data below ./zooid-data
  zooid serve zoo.cfg      a server in ZooKeeper's place, on its own data
  zooid ensemble           three servers on this machine, for trying out

Exit codes:
  0  done
  1  something unexpected
  2  bad usage or configuration
  3  the data directory cannot be used
  4  an address cannot be listened on
  5  no connection to a server
  6  permission denied
  7  no such znode
  8  a server does not serve`

// codedError is an error that knows its exit code.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

// withCode gives err an exit code, unless it has one already; nil stays nil.
func withCode(code int, err error) error {
	var coded *codedError
	if err == nil || errors.As(err, &coded) {
		return err
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
	case errors.Is(err, bench.ErrUsage):
		return exitUsage
	case errors.Is(err, wire.ErrNoNode):
		return exitNoNode
	case errors.Is(err, wire.ErrNoAuth), errors.Is(err, wire.ErrAuthFailed), errors.Is(err, fs.ErrPermission):
		return exitPermission
	case errors.Is(err, bench.ErrConnection), errors.As(err, &netErr):
		return exitConnection
	}
	return exitUnexpected
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "zooid",
		Short:         "A drop-in replacement for Apache ZooKeeper 3.9",
		Long:          about,
		Version:       Version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate(versionLine())
	root.AddCommand(newServe(), newEnsemble(), newProbe(), newBench(), newVersion())
	return root
}

// execute runs a command line and gives its exit code. What goes wrong before
// the command itself begins is bad usage.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	begun := false
	root.PersistentPreRun = func(*cobra.Command, []string) { begun = true }
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "zooid:", err)
	if !begun {
		err = withCode(exitUsage, err)
	}
	if !begun || errors.Is(err, bench.ErrUsage) {
		fmt.Fprintf(stderr, "See \"%s --help\".\n", cmd.CommandPath())
	}
	return exitCode(err)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second Ctrl-C ends the process at once. A second SIGTERM does not: the
	// servers of "zooid ensemble" hear of a Ctrl-C twice, from the terminal and
	// from the ensemble.
	context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt) })
	code := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
