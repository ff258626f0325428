package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"zooid/config"
)

// pendingFile is a file that is to be written before the server starts.
type pendingFile struct {
	name, text string
	variable   string // that says in which directory
	code       int    // the exit code if it cannot be written
}

// write makes the file.
func (f *pendingFile) write() error {
	if err := writeNew(f.name, f.text); err != nil {
		return withCode(f.code, fmt.Errorf("%s: %w", f.variable, mayNot(err)))
	}
	return nil
}

// container is what the entry point of ZooKeeper's official image makes of the
// ZOO_* variables.
type container struct {
	file string // zoo.cfg in ZOO_CONF_DIR
	text string // what stands there, or will
	myid *pendingFile
	cfg  *pendingFile // zoo.cfg; nil if it stays as it is
	// warning is about a zoo.cfg that stays although variables say otherwise.
	warning string
}

// fromVariables names the text that variables make, as long as it is not known to
// be right.
const fromVariables = "zoo.cfg from the ZOO_* variables"

// containerFiles says what is to be written: zoo.cfg in ZOO_CONF_DIR unless there
// is one that belongs to an operator, and myid in ZOO_DATA_DIR unless it is there.
// Nothing is written here, for what is wrong must not be: the next start would
// read it in place of variables that are right.
func containerFiles(env map[string]string) (*container, error) {
	text, myid := config.Docker(env)
	text = marked(text)
	c := &container{file: filepath.Join(env["ZOO_CONF_DIR"], "zoo.cfg"), text: text}
	switch old, err := os.ReadFile(c.file); {
	case errors.Is(err, fs.ErrNotExist):
		c.cfg = &pendingFile{c.file, text, "ZOO_CONF_DIR", exitUsage}
	case err != nil:
		return nil, fmt.Errorf("ZOO_CONF_DIR: %w", err)
	case isMarked(string(old)) && string(old) != text:
		c.cfg = &pendingFile{c.file, text, "ZOO_CONF_DIR", exitUsage}
	default:
		c.text = string(old)
		if strings.HasPrefix(c.text, markBegin) && !isMarked(c.text) {
			c.warning = c.file + ": it was made from the ZOO_* variables and has been edited since: it counts, and the variables do not"
		}
	}
	data := env["ZOO_DATA_DIR"]
	if data == "" {
		data = "/data"
	}
	if name := filepath.Join(data, "myid"); !exists(name) {
		c.myid = &pendingFile{name, myid, "ZOO_DATA_DIR", exitDataDir}
	}
	if _, err := parseMyID(env); err != nil {
		return nil, err
	}
	return c, nil
}

// pending are the files to write.
func (c *container) pending() (files []*pendingFile) {
	for _, f := range []*pendingFile{c.cfg, c.myid} {
		if f != nil {
			files = append(files, f)
		}
	}
	return files
}

// read gives the content of a file as it will be.
func (c *container) read(name string) ([]byte, error) {
	for _, f := range c.pending() {
		if filepath.Clean(f.name) == filepath.Clean(name) {
			return []byte(f.text), nil
		}
	}
	return os.ReadFile(name)
}

// markBegin and markEnd surround the sum in the first line of a zoo.cfg that was
// made from variables. The sum tells whether somebody has edited it.
const (
	markBegin = "# Made by zooid from the ZOO_* variables, and made again when they change (sum "
	markEnd   = "). Edited, it is yours."
)

// marked puts the mark before a text.
func marked(text string) string { return markBegin + sum(text) + markEnd + "\n" + text }

// isMarked tells whether a text is as marked has made it.
func isMarked(text string) bool {
	_, rest, _ := strings.Cut(text, "\n")
	return text == marked(rest)
}

// sum is short: it is to notice an edit, not to withstand anybody.
func sum(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:12] }

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
		err = fmt.Errorf("ZOO_MY_ID says %d, but the file myid in %s says %d: this is another server's data, or the variable is wrong; a server must never take part under another's number. "+
			"If there is no data yet, remove the file", want, cfg.Storage.DataDir, have)
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
