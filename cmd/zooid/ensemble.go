package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"zooid/config"
)

// ensembleOptions is what "zooid ensemble" is told.
type ensembleOptions struct {
	members   int
	observers int
	dir       string
	port      int
	verbose   bool

	program   string        // of the servers: this one
	stopLimit time.Duration // for them to end by themselves
	again     time.Duration // until one that was killed is started again
}

// Ports of server i of a local ensemble: its client port is the base plus i-1;
// quorum and election ports lie this far above it.
const (
	quorumPortsAbove   = 700
	electionPortsAbove = 1700
)

// ensembleMax bounds the servers, so that the ranges of their ports do not meet.
const ensembleMax = 99

// newEnsemble is the command that runs an ensemble on this machine.
func newEnsemble() *cobra.Command {
	o := ensembleOptions{stopLimit: 10 * time.Second, again: ensembleAgain}
	cmd := &cobra.Command{
		Use:   "ensemble",
		Short: "Run an ensemble on this machine, for trying out",
		Long: "Run an ensemble of several servers on this machine, each a process of its own on\n" +
			"127.0.0.1, for trying out what an ensemble does. Their data, configuration and logs\n" +
			"stay in the directory, so that the next run goes on where this one ended.\n\n" +
			"It shows what each server is, whenever that changes. A server that you kill with\n" +
			"SIGKILL is started again after a while, so that one sees what the others do without\n" +
			"it. Ctrl-C ends all of them.",
		Example: "  zooid ensemble\n  zooid ensemble --members 5 --observers 1 --dir /tmp/five --port 3181",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := o.check(); err != nil {
				return withCode(exitUsage, err)
			}
			if o.program, err = os.Executable(); err != nil {
				return err
			}
			// The servers do not end by a hangup, so this command must end them.
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP)
			defer stop()
			return runEnsemble(ctx, &o, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.members, "members", 3, "servers that vote")
	f.IntVar(&o.observers, "observers", 0, "servers that follow without a vote")
	f.StringVar(&o.dir, "dir", "zooid-ensemble", "where each server has a directory with its configuration, data and log")
	f.IntVar(&o.port, "port", 2181, "client port of the first server; the others follow")
	f.BoolVar(&o.verbose, "verbose", false, "show the servers' logs, too")
	return cmd
}

func (o *ensembleOptions) all() int { return o.members + o.observers }

// isObserver says whether server i follows without a vote.
func (o *ensembleOptions) isObserver(i int) bool { return i > o.members }

func (o *ensembleOptions) check() error {
	switch {
	case o.members < 1 || o.observers < 0:
		return errors.New("an ensemble needs at least one member, and not less than no observer")
	case o.all() > ensembleMax:
		return fmt.Errorf("%d servers on one machine are too many, at most %d", o.all(), ensembleMax)
	case o.port < 1 || o.port+electionPortsAbove+o.all()-1 > 65535:
		return fmt.Errorf("--port %d leaves no room for the ports of %d servers", o.port, o.all())
	}
	return nil
}

// clientAddrs are where the servers serve clients, in their order.
func (o *ensembleOptions) clientAddrs() (addrs []string) {
	for k := range o.all() {
		addrs = append(addrs, "127.0.0.1:"+strconv.Itoa(o.port+k))
	}
	return addrs
}

// home is the directory of server i, in which its process runs.
func (o *ensembleOptions) home(i int) string { return filepath.Join(o.dir, strconv.Itoa(i)) }

// config is the zoo.cfg, the same for all of them: its paths begin at home.
func (o *ensembleOptions) config() string {
	var b strings.Builder
	b.WriteString("dataDir=data\ntickTime=2000\ninitLimit=10\nsyncLimit=5\nstandaloneEnabled=false\n" +
		"admin.enableServer=false\n4lw.commands.whitelist=*\nmaxClientCnxns=0\n")
	for k := range o.all() {
		role := "participant"
		if o.isObserver(k + 1) {
			role = "observer"
		}
		port := o.port + k
		fmt.Fprintf(&b, "server.%d=127.0.0.1:%d:%d:%s;127.0.0.1:%d\n", k+1, port+quorumPortsAbove, port+electionPortsAbove, role, port)
	}
	return b.String()
}

// checkDir refuses a directory with an ensemble of other members than are asked
// for. To start all of a larger one at once is no way to grow: the new ones and
// an old one that lacks something would be a quorum.
func (o *ensembleOptions) checkDir() error {
	file := filepath.Join(o.home(1), "zoo.cfg")
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return withCode(exitDataDir, err)
	}
	cfg, err := config.Parse(text, file, nil, nil)
	if err != nil {
		return withCode(exitDataDir, err)
	}
	there := cfg.Ensemble.Members
	same := len(there.Members) == o.all()
	for i := range there.Members {
		m := &there.Members[i]
		same = same && int(m.SID) == i+1 && m.Observer == o.isObserver(i+1)
	}
	if !same {
		return withCode(exitUsage, fmt.Errorf("%s has an ensemble of %d members and %d observers; name another --dir, or remove this one",
			o.dir, there.Participants(), len(there.Members)-there.Participants()))
	}
	return nil
}

// prepare writes what server i needs to start.
func (o *ensembleOptions) prepare(i int) error {
	data := filepath.Join(o.home(i), "data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(data, "myid"), []byte(strconv.Itoa(i)+"\n"), 0o644),
		os.WriteFile(filepath.Join(o.home(i), "zoo.cfg"), []byte(o.config()), 0o644))
}

// runEnsemble runs until ctx ends, or until a member does.
func runEnsemble(ctx context.Context, o *ensembleOptions, out io.Writer) (err error) {
	if err := o.checkDir(); err != nil {
		return err
	}
	members := make([]*localMember, 0, o.all())
	ended := make(chan *localMember, 16*o.all())
	defer func() { err = errors.Join(err, stopAll(members, o.stopLimit, out)) }()
	for i := 1; i <= o.all(); i++ {
		if err := o.prepare(i); err != nil {
			return withCode(exitDataDir, err)
		}
		m, err := startMember(o, i, out, ended)
		if err != nil {
			return fmt.Errorf("server %d: %w", i, err)
		}
		members = append(members, m)
	}
	fmt.Fprintf(out, "%d servers, logs in %s\n", o.all(), filepath.Join(o.dir, "*", "log"))
	return watchEnsemble(ctx, o, members, ended, out)
}

// ensemblePoll is how often the servers are asked what they are, and
// ensembleWait how long they have to answer.
const (
	ensemblePoll = 200 * time.Millisecond
	ensembleWait = time.Second
	// ensembleAgain is how long a server that was killed stays away, so that one
	// sees how the others do without it.
	ensembleAgain = 5 * time.Second
)

// watchEnsemble shows what the members are, whenever that changes. A server that
// somebody kills is started again after a while; one that ends by itself ends
// all.
func watchEnsemble(ctx context.Context, o *ensembleOptions, members []*localMember, ended chan *localMember, out io.Writer) error {
	began := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(out, "%6.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	again := make(chan int, len(members))
	addrs := o.clientAddrs()
	ticker := time.NewTicker(ensemblePoll)
	defer ticker.Stop()
	shown, ready := "", false
	seen := make([]bool, len(addrs)) // who has answered once
	for {
		select {
		case m := <-ended:
			if endsSoon(ctx) {
				return nil
			}
			if !m.killed() {
				return m.whyEnded()
			}
			say("server %d was killed (%v), it starts again in %v", m.number, m.cmd.ProcessState, o.again)
			time.AfterFunc(o.again, func() { again <- m.number })
		case i := <-again:
			m, err := startMember(o, i, out, ended)
			if err != nil {
				return fmt.Errorf("server %d: %w", i, err)
			}
			_ = members[i-1].log.Close() // its log goes on in the new one's
			members[i-1] = m
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		line, all := describeAll(probeAll(ctx, addrs, ensembleWait), seen)
		if ctx.Err() != nil {
			return nil
		}
		if line != shown {
			say("%s", line)
			shown = line
		}
		if all && !ready {
			ready = true
			fmt.Fprintf(out, "ready: %s   (Ctrl-C ends it)\n", strings.Join(addrs, ","))
		}
	}
}

// endsSoon tells whether ctx ends: a Ctrl-C reaches the servers as well, and
// one may be the first to end.
func endsSoon(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	case <-time.After(ensemblePoll):
		return false
	}
}

// describeAll is one line about all servers, and whether all of them serve.
func describeAll(list []probed, seen []bool) (line string, all bool) {
	all = true
	var parts []string
	for i := range list {
		r := &list[i]
		all = all && r.Serving
		silent := exitCode(r.err) == exitConnection
		state := r.Mode
		switch {
		case silent && !seen[i]:
			state = "starting"
		case silent:
			state = "silent"
		case state == "":
			state = "looking"
		}
		seen[i] = seen[i] || !silent
		parts = append(parts, fmt.Sprintf("%d %s", i+1, state))
	}
	return strings.Join(parts, "   "), all
}
