package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zooid/integration/testenv"
)

const (
	srvrFollower = "Zookeeper version: 3.9.5\nLatency min/avg/max: 0/0.0/0\nReceived: 1\nSent: 0\nConnections: 1\nOutstanding: 0\nZxid: 0x300000a17\nMode: follower\nNode count: 5\n"
	srvrReadOnly = "Zookeeper version: 3.9.5 READ-ONLY\nZxid: 0x7\nMode: read-only\nNode count: 5\n"
	srvrNone     = "This ZooKeeper instance is not currently serving requests\n"
)

// answering is a server that answers every word with text, and hangs up.
func answering(t *testing.T, text string) (addr string) {
	return listening(t, func(nc net.Conn) {
		word := make([]byte, 4)
		if _, err := io.ReadFull(nc, word); err == nil && string(word) == "srvr" {
			fmt.Fprint(nc, text)
		}
		nc.Close()
	})
}

// silent is a server that accepts connections, sends text and says no more.
func silent(t *testing.T, text string) (addr string) {
	return listening(t, func(nc net.Conn) {
		fmt.Fprint(nc, text)
		_, _ = io.Copy(io.Discard, nc) // until the other end hangs up
		nc.Close()
	})
}

func listening(t *testing.T, serve func(nc net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			serve(nc)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	return l.Addr().String()
}

func TestProbe(t *testing.T) {
	serving, looking, readOnly := answering(t, srvrFollower), answering(t, srvrNone), answering(t, srvrReadOnly)
	closed := fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t))
	hung, torn := silent(t, ""), silent(t, srvrFollower[:60])
	for _, c := range []struct {
		name  string
		addrs []string
		code  int
		table []string // what the rows say
		says  []string // what the error says
	}{
		{"serving", []string{serving}, 0, []string{serving + "  follower   0x300000a17"}, nil},
		{"looking", []string{looking}, exitNotServing, []string{"(not serving)"}, []string{looking + ": This ZooKeeper instance is not currently serving requests"}},
		{"read-only", []string{readOnly}, exitNotServing, []string{"read-only", "0x7"}, []string{readOnly + ": it has no leader"}},
		{"disk nearly full", []string{answering(t, srvrFollower+"Disk nearly full: /data has 1 MiB free of 64 MiB\n")}, exitNotServing, []string{"follower", "0x300000a17"}, []string{": its disk is nearly full: /data has 1 MiB free"}},
		{"hangs up", []string{answering(t, "")}, exitNotServing, []string{"(not serving)"}, []string{"it answers nothing to srvr"}},
		{"another's port", []string{answering(t, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n")}, exitNotServing, nil, []string{": HTTP/1.1 400 Bad Request"}},
		{"srvr not allowed", []string{answering(t, "srvr is not executed because it is not in the whitelist.\n")}, exitNotServing, nil, []string{"not in the whitelist"}},
		{"nobody listens", []string{closed}, exitConnection, []string{"(unreachable)"}, []string{closed + ": ", "refused"}},
		{"no answer", []string{hung}, exitConnection, []string{"(unreachable)"}, []string{hung + ": no answer within 100ms"}},
		{"half an answer", []string{torn}, exitConnection, []string{"(unreachable)"}, []string{torn + ": no answer within 100ms"}},
		{"all serve", []string{serving, answering(t, strings.Replace(srvrFollower, "follower", "leader", 1))}, 0, []string{"follower", "leader"}, nil},
		{"one looks", []string{serving, looking}, exitNotServing, []string{"follower", "(not serving)"}, []string{looking}},
		{"joined by commas", []string{serving + "," + looking, serving}, exitNotServing, []string{"follower", "(not serving)"}, nil},
		{"unreachable counts more, in either order", []string{looking, closed}, exitConnection, nil, []string{closed, looking}},
		{"unreachable counts more", []string{closed, looking}, exitConnection, nil, []string{closed, looking}},
		{"no port", []string{serving, "localhost"}, exitUsage, nil, []string{`server "localhost" is not of the form host:port`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, table, said := zooid(append([]string{"probe", "--timeout", "100ms"}, c.addrs...)...)
			wantCode(t, c.code, code, said, c.says...)
			wantCode(t, c.code, code, table, c.table...)
			if code == 0 && said != "" {
				t.Errorf("all is well, and it says %s", said)
			}
			if code != exitUsage && !strings.HasPrefix(table, "SERVER") {
				t.Errorf("no table but %s", table)
			}
		})
	}
	t.Run("timeout", func(t *testing.T) {
		code, _, said := zooid("probe", "--timeout", "0s", serving)
		wantCode(t, exitUsage, code, said, "--timeout must be positive")
	})
}

func TestProbeJSON(t *testing.T) {
	serving, looking := answering(t, srvrFollower), answering(t, srvrNone)
	closed := fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t))
	code, out, _ := zooid("probe", "--json", serving, looking, closed)
	wantCode(t, exitConnection, code, out)
	d := json.NewDecoder(strings.NewReader(out))
	var got []probed
	for d.More() {
		var r probed
		if err := d.Decode(&r); err != nil {
			t.Fatal(err)
		}
		if r.TookMs <= 0 || r.TookMs > 10_000 {
			t.Errorf("it took %v ms", r.TookMs)
		}
		r.TookMs = 0
		got = append(got, r)
	}
	if len(got) != 3 {
		t.Fatalf("%d lines: %s", len(got), out)
	}
	if want := (probed{Address: serving, Serving: true, Mode: "follower", Zxid: "0x300000a17"}); got[0] != want {
		t.Errorf("got %+v, want %+v", got[0], want)
	}
	if want := (probed{Address: looking, Error: strings.TrimSpace(srvrNone)}); got[1] != want {
		t.Errorf("got %+v, want %+v", got[1], want)
	}
	if r := got[2]; r.Address != closed || r.Serving || !strings.Contains(r.Error, "refused") {
		t.Errorf("got %+v", r)
	}
}

// Without an address the server is asked that runs here.
func TestProbeOwnServer(t *testing.T) {
	conf, data := t.TempDir(), t.TempDir()
	file := filepath.Join(conf, "zoo.cfg")
	env := map[string]string{"ZOO_CONF_DIR": conf}
	for _, c := range []struct{ name, cfg, myid, want string }{
		{"a port", "clientPort=2199\n", "1", "127.0.0.1:2199"},
		{"an address", "clientPort=2199\nclientPortAddress=10.0.0.7\n", "1", "10.0.0.7:2199"},
		{"all addresses", "clientPort=2199\nclientPortAddress=::\n", "1", "127.0.0.1:2199"},
		{"its own line", "initLimit=5\nsyncLimit=2\nserver.1=a:1:2;2191\nserver.2=b:1:2;2192\nserver.3=c:1:2;2193\n", "2", "127.0.0.1:2192"},
		{"no port", "\n", "1", probeAddr},
		{"not a configuration", "clientPort=x\n", "1", probeAddr},
		{"not a number", "clientPort=2199\n", "one", probeAddr},
	} {
		t.Run(c.name, func(t *testing.T) {
			write(t, file, c.cfg+"dataDir="+data+"\n")
			write(t, filepath.Join(data, "myid"), c.myid)
			if got := ownAddr(env); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	for _, env := range []map[string]string{nil, {"ZOO_CONF_DIR": t.TempDir()}} {
		if got := ownAddr(env); got != probeAddr {
			t.Errorf("with %v: %s", env, got)
		}
	}

	t.Setenv("ZOO_CONF_DIR", conf)
	addr := answering(t, srvrFollower)
	_, port, _ := net.SplitHostPort(addr)
	write(t, file, "clientPort="+port+"\ndataDir="+data+"\n")
	write(t, filepath.Join(data, "myid"), "1")
	code, table, said := zooid("probe")
	wantCode(t, 0, code, table+said, addr, "follower")
}

// The probe of a real server, and of one that is stopped (SIGSTOP) by the
// look of it: it accepts and does not answer.
func TestProbeServer(t *testing.T) {
	s := serve(t, baseKeys(t))
	code, table, said := zooid("probe", s.addr)
	wantCode(t, 0, code, table+said, s.addr+"  standalone  0x0")
	began := time.Now()
	code, _, said = zooid("probe", "--timeout", "50ms", s.addr, silent(t, ""))
	wantCode(t, exitConnection, code, said, "no answer within 50ms")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}
