package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"zooid/config"
)

// containerConfig does what the entry point of ZooKeeper's official image does:
// it writes zoo.cfg in ZOO_CONF_DIR and myid in ZOO_DATA_DIR from the ZOO_*
// variables, each unless it is there, and gives the name of zoo.cfg. It writes
// nothing that is wrong: the next start would read it instead of variables that
// are right.
func containerConfig(env map[string]string) (file string, err error) {
	text, myid := config.Docker(env)
	file = filepath.Join(env["ZOO_CONF_DIR"], "zoo.cfg")
	if !exists(file) {
		if _, err := config.Parse([]byte(text), "zoo.cfg from the ZOO_* variables", nil, env); err != nil {
			return "", err
		}
		if err := writeNew(file, text); err != nil {
			return "", fmt.Errorf("ZOO_CONF_DIR: %w", mayNot(err))
		}
	}
	data := env["ZOO_DATA_DIR"]
	if data == "" {
		data = "/data"
	}
	if name := filepath.Join(data, "myid"); !exists(name) {
		if _, err := parseMyID(env); err != nil {
			return "", err
		}
		if err := writeNew(name, myid); err != nil {
			return "", withCode(exitDataDir, fmt.Errorf("ZOO_DATA_DIR: %w", mayNot(err)))
		}
	}
	return file, nil
}

// parseMyID reads ZOO_MY_ID; without it a server is the first.
func parseMyID(env map[string]string) (int64, error) {
	text := env["ZOO_MY_ID"]
	if text == "" {
		return 1, nil
	}
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("ZOO_MY_ID: %q is not a number", text)
	}
	return id, nil
}

// checkMyID refuses to start as another member than the variable says.
func checkMyID(cfg *config.Config, env map[string]string) error {
	have := cfg.Ensemble.SID
	if env["ZOO_MY_ID"] == "" || have == config.UnsetSID {
		return nil
	}
	want, err := parseMyID(env)
	if err == nil && want != int64(have) {
		err = fmt.Errorf("ZOO_MY_ID says %d, but the file myid in %s says %d: this is another server's data, or the variable is wrong; a server must never take part under another's number",
			want, cfg.Storage.DataDir, have)
	}
	return err
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// writeNew writes a file, in a directory that it makes if need be. It is there
// whole or not at all, for the next start believes it.
func writeNew(file, text string) (err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".")
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// mayNot says who could not write: in a container that is seldom root, to whom
// a directory that is mounted belongs as a rule.
func mayNot(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w (the server runs as user %d, who must be allowed to write there)", err, os.Getuid())
	}
	return err
}
