package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/wire"
)

// serveEnsemble starts three voters and an observer in this process.
func serveEnsemble(t *testing.T) (servers []*served) {
	t.Helper()
	var lines []string
	for i := 1; i <= 4; i++ {
		line := fmt.Sprintf("server.%d=127.0.0.1:%d:%d", i, testenv.FreePort(t), testenv.FreePort(t))
		if i == 4 {
			line += ":observer"
		}
		lines = append(lines, line)
	}
	for i := 1; i <= 4; i++ {
		keys := baseKeys(t)
		for _, line := range lines {
			k, v, _ := strings.Cut(line, "=")
			keys[k] = v
		}
		keys["tickTime"], keys["initLimit"], keys["syncLimit"] = "200", "25", "25"
		if i == 4 {
			keys["peerType"] = "observer"
		}
		if err := os.MkdirAll(keys["dataDir"], 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(keys["dataDir"], "myid"), []byte(strconv.Itoa(i)), 0o644); err != nil {
			t.Fatal(err)
		}
		servers = append(servers, serve(t, keys))
	}
	return servers
}

// awaitRoles waits until all serve and gives the servers by their role.
func awaitRoles(t *testing.T, servers []*served) map[string]*served {
	t.Helper()
	roles := map[string]*served{}
	testenv.Await(t, 30*time.Second, "all serve", func() bool {
		clear(roles)
		serving := 0
		for _, s := range servers {
			if role := testenv.Monitor(t, s.addr)["server_state"]; role != "" {
				roles[role] = s
				serving++
			}
		}
		return serving == len(servers) && len(roles) == 3
	})
	return roles
}

// What the member counts is, role by role, what ZooKeeper counts: the figures
// that are 0 on one are 0 on the other.
func TestMetricsByRole(t *testing.T) {
	roles := awaitRoles(t, serveEnsemble(t))
	c := roles["follower"].open()
	for i := range 20 {
		if _, _, err := c.Create(fmt.Sprintf("/m%d", i), make([]byte, 100*i), 0); err != nil {
			t.Fatal(err)
		}
	}
	last, _, err := c.Create("/last", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for role, s := range roles {
		reader := s.open()
		if err := syncAndExists(reader, last); err != nil {
			t.Fatalf("%s: %v", role, err)
		}
		text, err := os.ReadFile("../../fourletter/testdata/" + role + "/mntr-default-provider.txt")
		if err != nil {
			t.Fatal(err)
		}
		theirs := map[string]string{}
		for _, line := range strings.Split(string(text), "\n") {
			k, v, _ := strings.Cut(strings.TrimPrefix(line, "zk_"), "\t")
			theirs[k] = v
		}
		ours := testenv.Monitor(t, s.addr)
		for _, name := range []string{
			"looking_count", "cnt_election_time", "cnt_unavailable_time", "cnt_leader_unavailable_time",
			"cnt_follower_sync_time", "cnt_observer_sync_time", "diff_count", "snap_count", "cnt_inflight_snap_count",
			"proposal_count", "commit_count", "sync_processor_request_queued", "request_commit_queued",
			"cnt_quorum_ack_latency", "cnt_proposal_latency",
			"learner_proposal_received_count", "learner_commit_received_count", "revalidate_count",
		} {
			if v, ok := ours[name]; !ok || (v == "0") != (theirs[name] == "0") {
				t.Errorf("%s: %s is %q, ZooKeeper's %q", role, name, v, theirs[name])
			}
		}
		for _, name := range []string{"last_proposal_size", "min_proposal_size", "max_proposal_size"} {
			_, has := ours[name]
			if n, _ := strconv.Atoi(ours[name]); has != (theirs[name] != "") || has && n <= 0 {
				t.Errorf("%s: %s is %q, ZooKeeper's %q", role, name, ours[name], theirs[name])
			}
		}
	}
	leader := roles["leader"]
	if _, err := testenv.Word(leader.addr, "srst"); err != nil {
		t.Fatal(err)
	}
	if v := testenv.Monitor(t, leader.addr)["max_proposal_size"]; v != "-1" {
		t.Errorf("after srst max_proposal_size is %s", v)
	}
}

// syncAndExists has a server catch up and looks for a znode.
func syncAndExists(c *rawclient.Conn, path string) error {
	if _, err := c.Call(wire.OpSync, &wire.PathRequest{Path: path}, nil); err != nil {
		return err
	}
	_, err := c.Exists(path, false)
	return err
}
