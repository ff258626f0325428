package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"zooid/cmd/zooid/bench"
)

// newBench is the command that puts load on a server.
func newBench() *cobra.Command {
	o := bench.Options{}
	var servers string
	var asJSON bool
	var list strings.Builder
	for _, w := range bench.Workloads() {
		fmt.Fprintf(&list, "  %-11s %s\n", w[0], w[1])
	}
	cmd := &cobra.Command{
		Use:   "bench WORKLOAD",
		Short: "Put load on a server that speaks the ZooKeeper protocol, and measure it",
		Long:  "Put load on any server that speaks the ZooKeeper protocol, and measure it.\n\nWorkloads:\n" + list.String(),
		Example: "  zooid bench set --connections 64 --depth 32 --duration 30s\n" +
			"  zooid bench get --server 127.0.0.1:2181 --json --pid $(pidof zooid)",
		Args: func(_ *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return errors.New("bench needs a workload, such as get or set")
			case 1:
				return nil
			}
			return fmt.Errorf("bench takes one workload, not %d", len(args))
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, w := range bench.Workloads() {
				names = append(names, w[0]+"\t"+w[1])
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Workload = args[0]
			o.Servers = strings.FieldsFunc(servers, func(r rune) bool { return r == ',' })
			var progress io.Writer
			if term.IsTerminal(int(os.Stderr.Fd())) {
				progress = os.Stderr
			}
			report, err := bench.Run(cmd.Context(), o, progress)
			if err != nil {
				return err
			}
			if asJSON {
				return report.WriteJSON(cmd.OutOrStdout())
			}
			return report.WriteTable(cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&servers, "server", "s", "127.0.0.1:2181", "addresses, separated by commas; connections are spread over them")
	f.IntVarP(&o.Connections, "connections", "c", 16, "connections, each a session")
	f.IntVarP(&o.Depth, "depth", "d", 1, "requests in flight on each connection")
	f.DurationVar(&o.Duration, "duration", 10*time.Second, "how long to measure")
	f.DurationVar(&o.Warmup, "warmup", 2*time.Second, "how long to run before that")
	f.Float64Var(&o.Rate, "rate", 0, "requests a second in all, on a schedule; 0 for as many as come back")
	f.IntVar(&o.Size, "size", 100, "bytes of data in a znode")
	f.IntVarP(&o.Keys, "keys", "k", 1000, "znodes that are read and written")
	f.IntVar(&o.Children, "children", 1000, "children of the directory of \"children\"")
	f.IntVar(&o.Watchers, "watchers", 1000, "connections that watch, of \"watch\"")
	f.IntVar(&o.Reads, "reads", 90, "percentage of reads in \"mixed\"")
	f.IntVar(&o.Rounds, "rounds", 20, "changes in \"watch\", starts in \"restart\"")
	f.StringVar(&o.Root, "root", "/zooid-bench", "znode under which everything is made; each workload empties one below it that has its name")
	f.BoolVar(&o.Keep, "keep", false, "leave the znodes there")
	f.StringVar(&o.Exec, "exec", "", "command line of the server that \"restart\" starts, split at blanks")
	f.IntSliceVar(&o.PIDs, "pid", nil, "process of the server, to tell its CPU time and memory; may be given more than once")
	f.Uint64Var(&o.Seed, "seed", 1, "seed of the choice of znodes")
	f.DurationVar(&o.Timeout, "session-timeout", 30*time.Second, "session timeout to ask for")
	f.BoolVar(&asJSON, "json", false, "one line of JSON instead of a table")
	return cmd
}
