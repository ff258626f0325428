package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"zooid/fourletter"
)

const (
	probeAddr    = "127.0.0.1:2181"
	probeTimeout = 2 * time.Second
	// probeBytes is more than any answer to srvr has.
	probeBytes = 64 << 10
)

// probed is what a server answers when it is asked how it is.
type probed struct {
	Address string  `json:"address"`
	Serving bool    `json:"serving"`        // reads and writes
	Mode    string  `json:"mode,omitempty"` // leader, follower, observer, standalone, read-only
	Zxid    string  `json:"zxid,omitempty"`
	TookMs  float64 `json:"took_ms"`
	Error   string  `json:"error,omitempty"`

	err error
}

// newProbe is the command that asks servers whether they serve.
func newProbe() *cobra.Command {
	var asJSON bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "probe [host:port]...",
		Short: "Ask servers whether they serve clients",
		Long: "Ask servers, by the word srvr on their client ports, whether they serve clients, as\n" +
			"/readyz on the operators' port tells. Without an address it is this machine's server on\n" +
			"port 2181, or in a container the one whose zoo.cfg stands in ZOO_CONF_DIR. Several\n" +
			"addresses may be joined by commas, too.\n\n" +
			"Exit code 0: all of them serve; 5: one cannot be reached, or does not answer in time;\n" +
			"8: none of that, but one runs and does not serve, as while it looks for a leader, is\n" +
			"read-only, or has too little room on its disk. Made for health checks where there is no shell.",
		Example: "  zooid probe\n  zooid probe zoo1:2181 zoo2:2181 zoo3:2181\n  zooid probe --json 127.0.0.1:2181",
		RunE: func(cmd *cobra.Command, args []string) error {
			addrs, err := probeAddrs(args, environment())
			if err == nil && timeout <= 0 {
				err = errors.New("--timeout must be positive")
			}
			if err != nil {
				return withCode(exitUsage, err)
			}
			results := probeAll(cmd.Context(), addrs, timeout)
			return errors.Join(printProbed(cmd.OutOrStdout(), results, asJSON), verdict(results))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one line of JSON for each server")
	cmd.Flags().DurationVar(&timeout, "timeout", probeTimeout, "how long to wait for each answer")
	return cmd
}

// probeAddrs are the servers that are asked.
func probeAddrs(args []string, env map[string]string) (addrs []string, err error) {
	for _, arg := range args {
		for addr := range strings.SplitSeq(arg, ",") {
			if _, _, err := net.SplitHostPort(addr); err != nil {
				return nil, fmt.Errorf("server %q is not of the form host:port", addr)
			}
			addrs = append(addrs, addr)
		}
	}
	if len(args) == 0 {
		addrs = []string{ownAddr(env)}
	}
	return addrs, nil
}

// ownAddr is where the server of this container, or of this machine, serves its
// clients. Who asks must not fail on a configuration that the server itself
// refuses: nobody listens then.
func ownAddr(env map[string]string) string {
	dir := env["ZOO_CONF_DIR"]
	if dir == "" {
		return probeAddr
	}
	file := filepath.Join(dir, "zoo.cfg")
	text, err := os.ReadFile(file)
	if err != nil {
		return probeAddr
	}
	cfg, err := parseConfig(text, file, env, os.ReadFile)
	if err != nil || cfg.Clients.Addr.Port == 0 {
		return probeAddr
	}
	if listen := cfg.Clients.Addr.Listen(); !strings.HasPrefix(listen, ":") {
		return listen
	}
	return fmt.Sprintf("127.0.0.1:%d", cfg.Clients.Addr.Port)
}

// verdict is the error of the whole: a server that cannot be reached is worse
// than one that does not serve.
func verdict(results []probed) error {
	var errs []error
	for _, code := range []int{exitConnection, exitNotServing} {
		for i := range results {
			if err := results[i].err; err != nil && exitCode(err) == code {
				errs = append(errs, fmt.Errorf("%s: %w", results[i].Address, err))
			}
		}
	}
	return errors.Join(errs...) // the first one's code counts
}

// probeAll asks all at once and gives the answers in the order of addrs.
func probeAll(ctx context.Context, addrs []string, timeout time.Duration) []probed {
	results := make([]probed, len(addrs))
	var asking sync.WaitGroup
	for i, addr := range addrs {
		asking.Go(func() { results[i] = probe(ctx, addr, timeout) })
	}
	asking.Wait()
	return results
}

// probe asks one server.
func probe(ctx context.Context, addr string, timeout time.Duration) (r probed) {
	r.Address = addr
	began := time.Now()
	text, err := askWord(ctx, addr, "srvr", timeout)
	r.TookMs = float64(time.Since(began).Microseconds()) / 1000
	if err != nil {
		r.err = withCode(exitConnection, err)
	} else {
		r.read(text)
	}
	if r.err != nil {
		r.Error = r.err.Error()
	}
	return r
}

// read takes the answer to srvr. One without a mode comes from a server that
// does not serve, and says so.
func (r *probed) read(text string) {
	disk := ""
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "Mode":
			r.Mode = value
		case "Zxid":
			r.Zxid = value
		case strings.TrimSuffix(fourletter.DiskLine, ": "):
			disk = value
		}
	}
	switch r.Mode {
	case "":
		r.err = withCode(exitNotServing, errors.New(firstLine(text)))
	case fourletter.ModeReadOnly.String():
		r.err = withCode(exitNotServing, errors.New("it has no leader, and serves only clients that want no more than to read"))
	default:
		r.Serving = disk == ""
	}
	if r.err == nil && disk != "" {
		r.err = withCode(exitNotServing, errors.New("its disk is nearly full: "+disk))
	}
}

// firstLine is what an operator needs of an answer that is no status.
func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if line == "" {
		return "it answers nothing to srvr"
	}
	return line
}

// askWord sends a four-letter word and gives the answer.
func askWord(ctx context.Context, addr, word string, timeout time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := converse(ctx, addr, word)
	if err != nil && ctx.Err() == context.DeadlineExceeded {
		err = fmt.Errorf("no answer within %v", timeout)
	}
	return answer, err
}

func converse(ctx context.Context, addr, word string) (string, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	if _, err := io.WriteString(conn, word); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(io.LimitReader(conn, probeBytes))
	return string(answer), err
}

// printProbed shows the answers: a table, or JSON lines.
func printProbed(out io.Writer, results []probed, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(out)
		for i := range results {
			if err := enc.Encode(&results[i]); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SERVER\tSERVES AS\tZXID\tMS")
	for i := range results {
		r := &results[i]
		mode := r.Mode
		switch {
		case mode != "":
		case exitCode(r.err) == exitNotServing:
			mode = "(not serving)"
		default:
			mode = "(unreachable)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.1f\n", r.Address, mode, r.Zxid, r.TookMs)
	}
	return w.Flush()
}
