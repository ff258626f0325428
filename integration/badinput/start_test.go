package badinput

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/wire"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// Exit codes of zooid serve that these drills meet.
const (
	exitUsage   = 2
	exitDataDir = 3
)

// refused starts a server that must end by itself, and checks its exit code and
// that its last words hold every text.
func refused(t *testing.T, s *testenv.Server, code int, texts ...string) {
	t.Helper()
	if err := s.Launch(); err != nil {
		t.Fatal(err)
	}
	got, err := s.AwaitExit(20 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if got != code {
		t.Errorf("exit code %d, want %d", got, code)
	}
	for _, text := range texts {
		if !strings.Contains(s.Log(), text) {
			t.Errorf("it does not say %q, but:\n%s", text, s.Log())
		}
	}
}

func TestSettings(t *testing.T) {
	tests := []struct {
		name  string
		keys  map[string]string
		texts []string
	}{
		{"not a number", map[string]string{"tickTime": "fast"}, []string{"tickTime", "fast", "zoo.cfg:"}},
		{"timeouts crossed", map[string]string{"minSessionTimeout": "9000", "maxSessionTimeout": "5000"},
			[]string{"minSessionTimeout", "maxSessionTimeout"}},
		{"an ensemble, which is for later", map[string]string{"server.1": "a:1:2", "server.2": "b:1:2", "initLimit": "5", "syncLimit": "2"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := testenv.Prepare(t, testenv.KindZooid, testenv.Config{Keys: tt.keys})
			refused(t, s, exitUsage, tt.texts...)
		})
	}
}

// TestUnknownKey: a misspelt key is named, once, and does not stop the server.
func TestUnknownKey(t *testing.T) {
	s := testenv.Start(t, testenv.KindZooid, testenv.Config{Keys: map[string]string{"maxClientConnections": "5"}})
	if n := strings.Count(s.Log(), "maxClientConnections"); n != 1 {
		t.Errorf("the unknown key is named %d times in:\n%s", n, s.Log())
	}
}

func TestDataDirInUse(t *testing.T) {
	first := testenv.Start(t, testenv.KindZooid, testenv.Config{})
	second := testenv.Prepare(t, testenv.KindZooid, testenv.Config{DataDir: first.DataDir})
	refused(t, second, exitDataDir, first.DataDir, "in use")
	if _, err := testenv.Word(first.Addr, "ruok"); err != nil {
		t.Errorf("the first server: %v", err)
	}
}

// TestForeignDataDir: the directory is there and not writable, as when it
// belongs to another user or its file system is mounted read-only.
func TestForeignDataDir(t *testing.T) {
	dir, err := os.MkdirTemp("", "zooid-foreign-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	cfg := testenv.Config{DataDir: dir}
	if os.Geteuid() == 0 {
		cfg.UID = 65534 // permissions mean nothing to root
	}
	s := testenv.Prepare(t, testenv.KindZooid, cfg)
	refused(t, s, exitDataDir, dir, "permission denied")
}

func TestDataDirIsAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s := testenv.Prepare(t, testenv.KindZooid, testenv.Config{DataDir: file})
	refused(t, s, exitDataDir, file)
}

// written is a data directory of a server that was killed after so many creates
// of /n-0000000000 and so on.
func written(t *testing.T, creates int) *testenv.Server {
	t.Helper()
	s := testenv.Start(t, testenv.KindZooid, testenv.Config{})
	c := open(t, s)
	for range creates {
		if _, _, err := c.Create("/n-", []byte("data of a node"), wire.FlagPersistentSequential); err != nil {
			t.Fatal(err)
		}
	}
	s.Kill()
	return s
}

func open(t *testing.T, s *testenv.Server) *rawclient.Conn {
	t.Helper()
	c, err := rawclient.Open(s.Addr, rawclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// logFile is the only log file of a data directory, with what it holds.
func logFile(t *testing.T, dir string) (path string, content []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "version-2", "log.*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("log files %v, %v", files, err)
	}
	content, err = os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return files[0], content
}

// TestDamagedLog: a flipped bit in the middle of the log is refused, with file,
// offset and advice, and nothing is changed.
func TestDamagedLog(t *testing.T) {
	s := written(t, 200)
	path, content := logFile(t, s.DataDir)
	at := bytes.Index(content, []byte("/n-0000000100"))
	content[at] ^= 1
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	before := fingerprint(t, s.DataDir)
	refused(t, s, exitDataDir, path, "damaged at byte", "Restore")
	if after := fingerprint(t, s.DataDir); after != before {
		t.Errorf("the data directory was changed:\nbefore\n%s\nafter\n%s", before, after)
	}
}

// fingerprint is the list of ZooKeeper's files in a data directory with their
// hashes. Zooid's own copy of the tree may be opened before the log is read.
func fingerprint(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "version-2", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %x\n", filepath.Base(f), sha256.Sum256(content))
	}
	return b.String()
}

// TestTornLog: a last record that was not written whole is cut off, and all
// before it is kept.
func TestTornLog(t *testing.T) {
	const creates = 50
	s := written(t, creates)
	path, content := logFile(t, s.DataDir)
	end := bytes.LastIndex(content, []byte(fmt.Sprintf("/n-%010d", creates-1))) + 4
	if err := os.Truncate(path, int64(end)); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatalf("%v\n%s", err, s.Log())
	}
	names, err := open(t, s).Children("/", false)
	if err != nil || len(names) != creates-1+1 { // and /zookeeper
		t.Errorf("%d nodes after the cut of one of %d: %v", len(names)-1, creates, err)
	}
}

// TestSigterm: a clean end has exit code 0, closes connections, and the next
// start has everything.
func TestSigterm(t *testing.T) {
	s := testenv.Start(t, testenv.KindZooid, testenv.Config{})
	c := open(t, s)
	if _, _, err := c.Create("/kept", []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Create("/eph", nil, wire.FlagEphemeral); err != nil {
		t.Fatal(err)
	}
	if code, err := s.Stop(); code != 0 || err != nil {
		t.Errorf("exit code %d, %v, want 0", code, err)
	}
	if err := c.AwaitEOF(); err != nil {
		t.Errorf("the client's connection: %v", err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	again, err := rawclient.Open(s.Addr, rawclient.Options{Session: c.Session, Passwd: c.Passwd, LastZxid: c.LastZxid})
	if err != nil {
		t.Fatalf("the session after a restart: %v", err)
	}
	defer again.Close()
	for _, p := range []string{"/kept", "/eph"} {
		if _, err := again.Exists(p, false); err != nil {
			t.Errorf("%s after a restart: %v", p, err)
		}
	}
}
