package compare

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"zooid/cmd/zooid/bench"
	"zooid/integration/testenv"
)

// etcd is an ensemble of etcd servers, and the load for them. Both come from
// the module in the folder etcd, which nothing else uses.
type etcd struct {
	server, load string // programs
	dir          string
	clients      []string // addresses
	args         [][]string
	cmds         []*exec.Cmd
}

// startEtcd builds and starts an ensemble with etcd's defaults.
func startEtcd(b *testing.B, members int) *etcd {
	b.Helper()
	e := &etcd{dir: b.TempDir()}
	for name, from := range map[string]string{"etcd-server": "go.etcd.io/etcd/server/v3", "etcd-load": "."} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(e.dir, name), from)
		cmd.Dir = "etcd"
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("build %s: %v\n%s", name, err, out)
		}
	}
	e.server, e.load = filepath.Join(e.dir, "etcd-server"), filepath.Join(e.dir, "etcd-load")
	var cluster, peers []string
	for i := range members {
		e.clients = append(e.clients, freeAddr(b))
		peers = append(peers, freeAddr(b))
		cluster = append(cluster, fmt.Sprintf("m%d=http://%s", i, peers[i]))
	}
	for i := range members {
		e.args = append(e.args, []string{"--name", "m" + strconv.Itoa(i), "--data-dir", filepath.Join(e.dir, strconv.Itoa(i)),
			"--listen-client-urls", "http://" + e.clients[i], "--advertise-client-urls", "http://" + e.clients[i],
			"--listen-peer-urls", "http://" + peers[i], "--initial-advertise-peer-urls", "http://" + peers[i],
			"--initial-cluster", strings.Join(cluster, ","), "--log-level", "error", "--quota-backend-bytes", "8000000000"})
		e.cmds = append(e.cmds, nil)
		e.launch(b, i)
	}
	b.Cleanup(func() {
		for _, c := range e.cmds {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	})
	e.awaitLeader(b)
	return e
}

// etcdStart is how long etcd may take to elect and to come back.
const etcdStart = 30 * time.Second

// awaitLeader waits until a member leads, and gives it.
func (e *etcd) awaitLeader(b *testing.B) (leader int) {
	b.Helper()
	testenv.Await(b, etcdStart, "etcd has a leader", func() bool {
		leader = e.leader()
		return leader >= 0
	})
	return leader
}

// awaitMember waits until a member is well.
func (e *etcd) awaitMember(b *testing.B, i int) {
	b.Helper()
	testenv.Await(b, etcdStart, "a member of etcd is back", func() bool {
		return exec.Command("curl", "-sf", "-m", "1", "http://"+e.clients[i]+"/health").Run() == nil
	})
}

func freeAddr(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (e *etcd) launch(b *testing.B, i int) {
	c := exec.Command(e.server, e.args[i]...)
	c.Stderr = os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	e.cmds[i] = c
}

// leader is the member that leads, -1 if none is known to.
func (e *etcd) leader() int {
	for i, addr := range e.clients {
		out, err := exec.Command("curl", "-sf", "-m", "1", "-X", "POST", "http://"+addr+"/v3/maintenance/status", "-d", "{}").Output()
		var st struct {
			Header struct {
				MemberID string `json:"member_id"`
			} `json:"header"`
			Leader string `json:"leader"`
		}
		if err == nil && json.Unmarshal(out, &st) == nil && st.Leader == st.Header.MemberID && st.Leader != "" {
			return i
		}
	}
	return -1
}

func (e *etcd) pids() []int {
	var pids []int
	for _, c := range e.cmds {
		pids = append(pids, c.Process.Pid)
	}
	return pids
}

// run puts load on the members.
func (e *etcd) run(b *testing.B, args ...string) *bench.Report {
	b.Helper()
	args = append([]string{"-servers", strings.Join(e.clients, ","), "-pids", joinInts(e.pids()), "-duration", timeFlag.String()}, args...)
	cmd := exec.Command(e.load, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("etcd load %s: %v", strings.Join(args, " "), err)
	}
	r := new(bench.Report)
	if err := json.Unmarshal(out, r); err != nil {
		b.Fatalf("%s: %v", out, err)
	}
	return r
}

func joinInts(list []int) string {
	var text []string
	for _, n := range list {
		text = append(text, strconv.Itoa(n))
	}
	return strings.Join(text, ",")
}
