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
	"go.uber.org/zap/zapcore"

	"zooid/config"
)

// newServe is the command that runs a server.
func newServe() *cobra.Command {
	var logLevel, pprofAddr string
	var logJSON, printConfig bool
	cmd := &cobra.Command{
		Use:   "serve [zoo.cfg]",
		Short: "Run a server",
		Long: "Run a server on a ZooKeeper configuration file. Without one it listens on\n" +
			"port 2181 and keeps its data below ./zooid-data. Where ZOO_CONF_DIR is set, as\n" +
			"in ZooKeeper's container image, zoo.cfg and myid are made from the ZOO_*\n" +
			"variables unless they exist.\n\n" +
			"The log goes to standard error. SIGTERM ends the server in good order.",
		Example: "  zooid serve\n" +
			"  zooid serve /etc/zookeeper/conf/zoo.cfg\n" +
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
			cfg, err := readConfig(file, environment())
			if err != nil {
				return withCode(exitUsage, err)
			}
			if printConfig {
				return printSettings(cmd.OutOrStdout(), cfg)
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
	f.StringVar(&pprofAddr, "pprof", "", "serve Go's profiles on this address, such as 127.0.0.1:6060")
	return cmd
}

// newLogger logs to out, for people or in JSON.
func newLogger(out io.Writer, level string, asJSON bool) (*zap.Logger, error) {
	l, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	c := zap.NewProductionEncoderConfig()
	c.EncodeTime = zapcore.ISO8601TimeEncoder
	c.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(c)
	if !asJSON {
		c.EncodeLevel = zapcore.CapitalLevelEncoder
		c.ConsoleSeparator = "  "
		encoder = zapcore.NewConsoleEncoder(c)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(out)), l)), nil
}

// builtIn is the source of a configuration that nobody wrote.
const builtIn = "built-in defaults"

// readConfig reads zoo.cfg and what else stands around a server (variables,
// the dynamic configuration, myid), and judges it. Without a file, and outside
// of a container, the defaults hold.
func readConfig(file string, env map[string]string) (*config.Config, error) {
	text, source := []byte(config.DefaultText), builtIn
	var err error
	inContainer := file == "" && env["ZOO_CONF_DIR"] != ""
	if inContainer {
		if file, err = containerConfig(env); err != nil {
			return nil, err
		}
	}
	if file != "" {
		source = file
		if text, err = os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("configuration: %w", err)
		}
	}
	cfg, err := parseConfig(text, source, env)
	if err != nil {
		return nil, err
	}
	if inContainer {
		err = checkMyID(cfg, env)
	}
	return cfg, errors.Join(err, cfg.Complete())
}

// parseConfig reads the text of zoo.cfg and the files that it names.
func parseConfig(text []byte, source string, env map[string]string) (*config.Config, error) {
	cfg, err := config.Parse(text, source, nil, env)
	if err != nil {
		return nil, err
	}
	if name := cfg.Ensemble.DynamicConfigFile; name != "" {
		if text, err = os.ReadFile(name); err != nil {
			return nil, fmt.Errorf("%s: dynamicConfigFile: %w", source, err)
		}
		if err := cfg.SetDynamic(text); err != nil {
			return nil, err
		}
	}
	myid, err := os.ReadFile(filepath.Join(cfg.Storage.DataDir, "myid"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, withCode(exitDataDir, fmt.Errorf("myid: %w", err))
	}
	return cfg, cfg.Identify(myid)
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
