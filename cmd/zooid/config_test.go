package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write makes a file and gives its name.
func write(t *testing.T, file, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWithoutAConfiguration(t *testing.T) {
	cfg, err := readConfig("", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := "zooid " + Version + ": client port 2181, data in ./zooid-data (no configuration file given)"
	if got := opening(cfg); got != want {
		t.Errorf("the log begins with %q, want %q", got, want)
	}
}

func TestOpeningOfAMember(t *testing.T) {
	want := "zooid " + Version + ": server 2 of an ensemble of 3, client port 2181, data in /data (configuration zoo.cfg)"
	if got := opening(configured(t, three, "2")); got != want {
		t.Errorf("the log begins with %q, want %q", got, want)
	}
}

func TestMyid(t *testing.T) {
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "zoo.cfg"), "clientPort=2181\ndataDir="+dir+"\n")
	write(t, filepath.Join(dir, "myid"), "7\n")
	cfg, err := readConfig(file, nil)
	if err != nil || cfg.Ensemble.SID != 7 {
		t.Fatalf("sid %v, %v", cfg, err)
	}
	write(t, filepath.Join(dir, "myid"), "seven")
	_, err = readConfig(file, nil)
	wantCode(t, exitUsage, exitCode(withCode(exitUsage, err)), err.Error(), "myid", "seven")
}

// The membership may stand in a file of its own; one server in it runs alone.
func TestDynamicConfiguration(t *testing.T) {
	dir := t.TempDir()
	dynamic := write(t, filepath.Join(dir, "zoo.cfg.dynamic.100"), "server.1=127.0.0.1:2888:3888:participant;2191\n")
	file := write(t, filepath.Join(dir, "zoo.cfg"), "dataDir="+dir+"\ndynamicConfigFile="+dynamic+"\n")
	write(t, filepath.Join(dir, "myid"), "1\n")
	cfg, err := readConfig(file, nil)
	if err != nil || cfg.Clients.Addr.Port != 2191 {
		t.Fatalf("%+v, %v", cfg, err)
	}
	if err := os.Remove(dynamic); err != nil {
		t.Fatal(err)
	}
	if _, err = readConfig(file, nil); err == nil || !strings.Contains(err.Error(), "dynamicConfigFile") {
		t.Errorf("without the file: %v", err)
	}
}

func TestPrintConfig(t *testing.T) {
	keys := baseKeys(t)
	keys["DigestAuthenticationProvider.superDigest"] = "super:verysecret"
	keys["maxClientCnxns"] = "17"
	keys["observerMasterPort"] = "1"
	file := zooCfg(t, keys)
	code, out, stderr := zooid("serve", "--print-config", file)
	wantCode(t, 0, code, out+stderr, "KEY", "FROM", "EFFECT", "maxClientCnxns", "17", file+":", "default", "***")
	if strings.Contains(out, "verysecret") {
		t.Error("a secret is printed")
	}
	if _, err := os.Stat(keys["dataDir"]); err == nil {
		t.Error("printing the configuration has made the data directory")
	}
}
