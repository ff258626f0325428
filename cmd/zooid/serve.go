package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"zooid/config"
)

// newServe is the command that runs a server.
func newServe() *cobra.Command {
	var logLevel, pprofAddr string
	var logJSON, printConfig, check bool
	cmd := &cobra.Command{
		Use:   "serve [zoo.cfg]",
		Short: "Run a server",
		Long: "Run a server on a ZooKeeper configuration file. Without one it listens on\n" +
			"port 2181 and keeps its data below ./zooid-data. Where ZOO_CONF_DIR is set, as\n" +
			"in ZooKeeper's container image, zoo.cfg and myid are made from the ZOO_*\n" +
			"variables. A zoo.cfg that was made so is made again when they change; what\n" +
			"somebody else has written stays. --check and --print-config write nothing.\n\n" +
			"The log goes to standard error. SIGTERM ends the server in good order.",
		Example: "  zooid serve\n" +
			"  zooid serve /etc/zookeeper/conf/zoo.cfg\n" +
			"  zooid serve --check zoo.cfg\n" +
			"  zooid serve --print-config zoo.cfg",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			logger, err := newLogger(cmd.ErrOrStderr(), logLevel, logJSON)
			if err != nil {
				return withCode(exitUsage, err)
			}
			file := ""
			if len(args) > 0 {
				file = args[0]
			}
			if printConfig || check {
				cfg, _, err := judgeConfig(file, environment())
				if err != nil {
					return withCode(exitUsage, err)
				}
				if check {
					return printJudgement(cmd.OutOrStdout(), cfg)
				}
				return printSettings(cmd.OutOrStdout(), cfg)
			}
			cfg, err := readConfig(file, environment())
			if err != nil {
				return withCode(exitUsage, err)
			}
			if pprofAddr != "" {
				profiles, err := servePprof(pprofAddr, logger)
				if err != nil {
					return withCode(exitListen, err)
				}
				defer profiles.Close()
			}
			return run(cmd.Context(), cfg, logger)
		},
	}
	f := cmd.Flags()
	f.StringVar(&logLevel, "log-level", "info", "debug, info, warn or error")
	f.BoolVar(&logJSON, "log-json", false, "log lines in JSON")
	f.BoolVar(&printConfig, "print-config", false, "print every setting, where it comes from and its effect, and end")
	f.BoolVar(&check, "check", false, "say whether a server would start with this configuration and what it would warn of, and end")
	f.StringVar(&pprofAddr, "pprof", "", "serve Go's profiles on this address, such as 127.0.0.1:6060")
	return cmd
}

// builtIn is the source of a configuration that nobody wrote.
const builtIn = "built-in defaults"

// readConfig reads zoo.cfg and what else stands around a server, judges it, and
// writes the files that variables of a container ask for once it is right.
func readConfig(file string, env map[string]string) (*config.Config, error) {
	cfg, files, err := judgeConfig(file, env)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if err := f.write(); err != nil {
			return nil, err
		}
	}
	return cfg, nil
}

// judgeConfig reads zoo.cfg and what else stands around a server (variables, the
// dynamic configuration, myid), and judges it. Without a file, and outside of a
// container, the defaults hold. It writes nothing, and gives the files that are to
// be written before the server starts.
func judgeConfig(file string, env map[string]string) (*config.Config, []*pendingFile, error) {
	if file == "" && env["ZOO_CONF_DIR"] != "" {
		return judgeContainer(env)
	}
	text, source := []byte(config.DefaultText), builtIn
	if file != "" {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, fmt.Errorf("configuration: %w", err)
		}
		text, source = content, file
	}
	cfg, err := parseConfig(text, source, env, os.ReadFile)
	if err != nil {
		return nil, nil, err
	}
	return cfg, nil, cfg.Complete()
}

// judgeContainer is judgeConfig for the variables of a container.
func judgeContainer(env map[string]string) (*config.Config, []*pendingFile, error) {
	c, err := containerFiles(env)
	if err != nil {
		return nil, nil, err
	}
	source := c.file
	if c.cfg != nil {
		source = fromVariables
	}
	judge := func() (*config.Config, error) {
		cfg, err := parseConfig([]byte(c.text), source, env, c.read)
		if err != nil {
			return nil, err
		}
		return cfg, errors.Join(checkMyID(cfg, env), cfg.Complete())
	}
	cfg, err := judge()
	if err == nil && source != c.file { // from here on it is a file as any other
		source = c.file
		cfg, err = judge()
	}
	if err != nil {
		return nil, nil, err
	}
	if c.warning != "" {
		cfg.Warnings = append(cfg.Warnings, c.warning)
	}
	return cfg, c.pending(), nil
}

// parseConfig reads the text of zoo.cfg and the files that it names.
func parseConfig(text []byte, source string, env map[string]string, read func(name string) ([]byte, error)) (*config.Config, error) {
	cfg, err := config.Parse(text, source, nil, env)
	if err != nil {
		return nil, err
	}
	if name := cfg.Ensemble.DynamicConfigFile; name != "" {
		if text, err = read(name); err != nil {
			return nil, fmt.Errorf("%s: dynamicConfigFile: %w", cfg.Where("dynamicConfigFile"), err)
		}
		if err := cfg.SetDynamic(text); err != nil {
			return nil, err
		}
	}
	myid, err := read(filepath.Join(cfg.Storage.DataDir, "myid"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, withCode(exitDataDir, fmt.Errorf("myid: %w", err))
	}
	return cfg, cfg.Identify(myid)
}

// printJudgement says of a configuration that is right what a start would warn of.
func printJudgement(out io.Writer, cfg *config.Config) error {
	for _, w := range cfg.Warnings {
		fmt.Fprintln(out, "warning:", w)
	}
	_, err := fmt.Fprintf(out, "%s: a server would start with it\n", cfg.Source)
	return err
}

// printSettings lists what is in force.
func printSettings(out io.Writer, cfg *config.Config) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tVALUE\tFROM\tEFFECT")
	for _, s := range cfg.Settings() {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Key, s.Value, s.Where, s.Effect)
	}
	return w.Flush()
}

func environment() map[string]string {
	env := map[string]string{}
	for _, kv := range os.Environ() {
		if k, v, ok := strings.Cut(kv, "="); ok {
			env[k] = v
		}
	}
	return env
}

// servePprof serves Go's profiles, and nothing else, until it is closed.
func servePprof(addr string, logger *zap.Logger) (io.Closer, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--pprof: %w", err)
	}
	logger.Info("profiles on http://" + l.Addr().String() + "/debug/pprof/")
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			logger.Warn("profiles are no longer served", zap.Error(err))
		}
	}()
	return srv, nil
}
