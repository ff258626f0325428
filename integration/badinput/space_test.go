package badinput

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/session"
	"zooid/wire"
)

// onSmallDisk prepares a server on a disk of its own, with an admin port.
func onSmallDisk(t *testing.T, size int64, keys map[string]string) (s *testenv.Server, admin string) {
	t.Helper()
	port := strconv.Itoa(testenv.FreePort(t))
	all := map[string]string{"admin.enableServer": "true", "admin.serverPort": port, "preAllocSize": "65536", "autopurge.purgeInterval": "1", "snapCount": "100000"}
	for k, v := range keys {
		all[k] = v
	}
	s = testenv.Prepare(t, testenv.KindZooid, testenv.Config{Keys: all})
	s.OwnDisk(size)
	return s, "http://127.0.0.1:" + port
}

func mustStart(t *testing.T, s *testenv.Server) {
	t.Helper()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// page is the code and the body of a page of the admin port, 0 if nobody answers.
func page(url string) (code int, body string) {
	client := http.Client{Timeout: 2 * time.Second}
	r, err := client.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	b, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(b)
}

func wantPage(t *testing.T, url string, want int, parts ...string) {
	t.Helper()
	code, body := page(url)
	if code != want {
		t.Errorf("%s: %d, want %d: %s", url, code, want, body)
	}
	for _, part := range parts {
		if !strings.Contains(body, part) {
			t.Errorf("%s does not say %q but %s", url, part, body)
		}
	}
}

// stopped ends a server by SIGTERM, which must go well whatever its disk.
func stopped(t *testing.T, s *testenv.Server) {
	t.Helper()
	code, err := s.Stop()
	must(t, err)
	if code != 0 || strings.Contains(s.Log(), "panic") {
		t.Errorf("it ends with %d:\n%s", code, s.Log())
	}
}

// TestStartOnFullDisk: while there is no room the ports are open, words and pages
// answer, the log and the pages say what is missing where, and SIGTERM ends it in
// good order. It goes on by itself when there is room.
func TestStartOnFullDisk(t *testing.T) {
	s, admin := onSmallDisk(t, 64<<20, nil)
	mustStart(t, s)
	c := open(t, s)
	if _, _, err := c.Create("/kept", []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	must(t, s.FillDisk())
	for range 2 {
		must(t, s.Launch())
		const says = "a start needs 1024 KiB: make room there"
		testenv.Await(t, 10*time.Second, "it answers, and says what it waits for", func() bool {
			code, _ := page(admin + "/livez")
			return code == 200 && strings.Contains(s.Log(), says)
		})
		testenv.Await(t, 10*time.Second, "it has tried to start", func() bool {
			_, body := page(admin + "/readyz")
			return strings.Contains(body, says)
		})
		if text, err := s.Word("ruok"); err != nil || !strings.HasPrefix(text, "imok") {
			t.Errorf("ruok: %q, %v", text, err)
		}
		if text, err := s.Word("srvr"); err != nil || !strings.Contains(text, "not currently serving") {
			t.Errorf("srvr: %q, %v", text, err)
		}
		wantPage(t, admin+"/livez", 200)
		wantPage(t, admin+"/readyz", 503, "starting: the disk is full", s.DataDir, says)
		if !strings.Contains(s.Log(), s.DataDir) {
			t.Error("the log does not name the directory")
		}
		stopped(t, s)
	}
	must(t, s.Launch())
	testenv.Await(t, 10*time.Second, "it waits again", func() bool { _, body := page(admin + "/readyz"); return strings.Contains(body, "the disk is full") })
	must(t, s.FreeDisk())
	from := time.Now()
	testenv.Await(t, 10*time.Second, "it goes on", func() bool {
		_, err := s.Word("srvr")
		code, _ := page(admin + "/readyz")
		return err == nil && code == 200
	})
	t.Logf("it served %v after there was room", time.Since(from))
	if data, _, err := open(t, s).GetData("/kept", false); err != nil || string(data) != "x" {
		t.Errorf("/kept: %q, %v", data, err)
	}
	stopped(t, s)
}

// TestFullDiskInService: on a full disk writes are refused with NOTREADONLY, and
// everything else goes on: the session that is there, its reads and its watches,
// new clients, the end of sessions, SIGTERM. It is told, and passes by itself.
func TestFullDiskInService(t *testing.T) {
	s, admin := onSmallDisk(t, 64<<20, nil)
	mustStart(t, s)
	c := open(t, s)
	if _, _, err := c.Create("/kept", []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	wantPage(t, admin+"/readyz", 200)
	for round := range 2 {
		must(t, s.FillDisk())
		testenv.Await(t, 10*time.Second, "it says that it is not ready", func() bool { code, _ := page(admin + "/readyz"); return code == 503 })
		wantPage(t, admin+"/readyz", 503, "the disk is nearly full", s.DataDir)
		wantPage(t, admin+"/livez", 200)
		if err := testenv.ZooidCommand(t, "probe", s.Addr).Run(); err == nil || !strings.Contains(err.Error(), "exit status 8") {
			t.Errorf("probe: %v", err)
		}
		if text, err := s.Word("ruok"); err != nil || !strings.HasPrefix(text, "imok") {
			t.Errorf("ruok: %q, %v", text, err)
		}
		if full := testenv.Monitor(t, s.Addr)["zooid_disk_full"]; full != "1" {
			t.Errorf("mntr says zk_zooid_disk_full %q", full)
		}
		fresh := open(t, s)
		for who, c := range map[string]*rawclient.Conn{"the client that was there": c, "a new client": fresh} {
			if data, _, err := c.GetData("/kept", true); err != nil || string(data) != "x" {
				t.Errorf("%s reads %q, %v", who, data, err)
			}
			if _, err := c.SetData("/kept", []byte("y"), -1); !errors.Is(err, wire.ErrNotReadOnly) {
				t.Errorf("%s writes: %v", who, err)
			}
			if _, _, err := c.Create("/e", nil, wire.FlagEphemeral); !errors.Is(err, wire.ErrNotReadOnly) {
				t.Errorf("%s makes an ephemeral: %v", who, err)
			}
			if err := c.Ping(); err != nil {
				t.Errorf("%s is not answered: %v", who, err)
			}
		}
		leaving := open(t, s)
		if err := leaving.CloseSession(); err != nil {
			t.Errorf("the end of a session: %v", err)
		}
		if round == 1 {
			break
		}
		if java := session.JavaPassword(fresh.Session); bytes.Equal(fresh.Passwd, java[:]) {
			t.Error("anybody can compute the password of a session that was begun on a full disk")
		}
		must(t, s.FreeDisk())
		testenv.Await(t, 10*time.Second, "it is ready again", func() bool { code, _ := page(admin + "/readyz"); return code == 200 })
		for who, c := range map[string]*rawclient.Conn{"the client that was there": c, "the client of the full disk": fresh} {
			if _, _, err := c.Create("/e-", nil, wire.FlagEphemeralSequential); err != nil {
				t.Errorf("%s makes an ephemeral: %v", who, err)
			}
			again, err := rawclient.Open(s.Addr, rawclient.Options{Session: c.Session, Passwd: c.Passwd})
			if err != nil {
				t.Errorf("%s comes back: %v", who, err)
				continue
			}
			defer again.Close()
			if _, err := again.SetData("/kept", []byte("x"), -1); err != nil {
				t.Errorf("%s writes after coming back: %v", who, err)
			}
		}
		c = open(t, s)
	}
	stopped(t, s)
	if n := strings.Count(s.Log(), "the disk is nearly full"); n != 2 {
		t.Errorf("the full disk is told %d times", n)
	}
}

// TestDiskFillsUnderLoad: while clients write at full speed not a byte is left from
// one moment to the next. What was acknowledged is there after SIGTERM, which goes
// well, and after a start when there is room.
func TestDiskFillsUnderLoad(t *testing.T) {
	s, admin := onSmallDisk(t, 64<<20, nil)
	mustStart(t, s)
	const writers = 4
	acked := make([]int, writers)
	var writing sync.WaitGroup
	for k := range writers {
		c := open(t, s)
		writing.Go(func() {
			for {
				if _, _, err := c.Create(fmt.Sprintf("/w%d-%d", k, acked[k]), make([]byte, 2000), 0); err != nil {
					return // refused, or cut off at the end
				}
				acked[k]++
			}
		})
	}
	testenv.Await(t, 10*time.Second, "the clients write", func() bool {
		n, _ := strconv.Atoi(testenv.Monitor(t, s.Addr)["znode_count"])
		return n > 500
	})
	must(t, s.FillDisk())
	testenv.Await(t, 10*time.Second, "it says that it is not ready", func() bool { code, _ := page(admin + "/readyz"); return code == 503 })
	stopped(t, s)
	writing.Wait()
	must(t, s.FreeDisk())
	mustStart(t, s)
	c := open(t, s)
	for k, n := range acked {
		for i := range n {
			if _, err := c.Exists(fmt.Sprintf("/w%d-%d", k, i), false); err != nil {
				t.Fatalf("/w%d-%d of %d was acknowledged: %v", k, i, n, err)
			}
		}
	}
	stopped(t, s)
}

// TestSmallTreeDoesNotFillADisk overwrites 100 kB of data on a disk of 48 MiB
// until three times as much has gone to the log: no write is refused, and what is
// left on the disk is enough to start from, for Zooid and, the copy in zooid/
// aside, for ZooKeeper.
func TestSmallTreeDoesNotFillADisk(t *testing.T) {
	const size = 48 << 20
	s, admin := onSmallDisk(t, size, nil)
	mustStart(t, s)
	c := open(t, s)
	data := bytes.Repeat([]byte("x"), 10_000)
	for i := range 10 {
		if _, _, err := c.Create(fmt.Sprintf("/n%d", i), data, 0); err != nil {
			t.Fatal(err)
		}
	}
	least := int64(size)
	for i := 0; i < 3*size/len(data); i += 50 {
		var last int32
		for k := range 50 {
			xid, err := c.Send(wire.OpSetData, &wire.SetDataRequest{Path: fmt.Sprintf("/n%d", k%10), Data: data, Version: -1})
			must(t, err)
			last = xid
			if k == 49 {
				for f, err := c.Next(); ; f, err = c.Next() {
					must(t, err)
					if f.Header.Err != wire.OK {
						t.Fatalf("write %d: %v", i, f.Header.Err)
					}
					if f.Header.Xid == last {
						break
					}
				}
			}
		}
		must(t, s.Inside(func() error {
			var st syscall.Statfs_t
			err := syscall.Statfs(s.DataDir, &st)
			least = min(least, int64(st.Bavail)*st.Bsize)
			return err
		}))
	}
	t.Logf("at least %d of %d bytes stayed free", least, int64(size))
	if least < size/16 {
		t.Error("that is too little")
	}
	wantPage(t, admin+"/readyz", 200)
	if !strings.Contains(s.Log(), "purging is on") {
		t.Error("it does not say that it purges")
	}
	s.Kill()
	must(t, s.Inside(func() error { return os.RemoveAll(filepath.Join(s.DataDir, "zooid")) }))
	mustStart(t, s)
	if got, _, err := open(t, s).GetData("/n9", false); err != nil || !bytes.Equal(got, data) {
		t.Errorf("after a restart: %d bytes, %v", len(got), err)
	}
	stopped(t, s)
}

// TestSnapshotsForOutsideTools: with purging off there are snapshots, and log
// files, by snapCount, so that a tool like zkCleanup.sh finds something to remove;
// and ZooKeeper starts from the newest three and the log from there on.
func TestSnapshotsForOutsideTools(t *testing.T) {
	testenv.NeedJava(t)
	s := testenv.Start(t, testenv.KindZooid, testenv.Config{Keys: map[string]string{"snapCount": "100", "autopurge.purgeInterval": "0"}})
	c := open(t, s)
	const creates = 2000
	for i := range creates {
		if _, _, err := c.Create(fmt.Sprintf("/n%d", i), nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	must(t, c.CloseSession())
	stopped(t, s)
	dir := filepath.Join(s.DataDir, "version-2")
	snaps, logs := byZxid(t, dir, "snapshot."), byZxid(t, dir, "log.")
	t.Logf("%d snapshots, %d log files", len(snaps), len(logs))
	if len(snaps) < 6 || len(snaps) > 1+creates/50 || len(logs) < 10 || len(logs) > 2+creates/50 {
		t.Fatalf("%d snapshots and %d log files after %d writes at snapCount=100", len(snaps), len(logs), creates)
	}
	oldest := snaps[len(snaps)-3]
	for _, z := range snaps[:len(snaps)-3] {
		must(t, os.Remove(filepath.Join(dir, fmt.Sprintf("snapshot.%x", z))))
	}
	for i, z := range logs {
		if i+1 < len(logs) && logs[i+1] <= oldest {
			must(t, os.Remove(filepath.Join(dir, fmt.Sprintf("log.%x", z))))
		}
	}
	s.SetKind(testenv.KindJava)
	mustStart(t, s)
	names, err := open(t, s).Children("/", false)
	if err != nil || len(names) != creates+1 { // and /zookeeper
		t.Errorf("ZooKeeper finds %d znodes, %v", len(names), err)
	}
}

// byZxid lists the zxids in the names of files, least first.
func byZxid(t *testing.T, dir, prefix string) (list []uint64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		if hex, ok := strings.CutPrefix(e.Name(), prefix); ok {
			z, err := strconv.ParseUint(hex, 16, 64)
			must(t, err)
			list = append(list, z)
		}
	}
	slices.Sort(list)
	return list
}
