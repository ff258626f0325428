package fourletter_test

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"zooid/fourletter"
)

// TestGoZooKeeper lets go-zookeeper/zk, which takes words' texts apart with
// regular expressions, read ours.
func TestGoZooKeeper(t *testing.T) {
	built := time.Date(2026, 11, 22, 14, 35, 0, 0, time.UTC)
	status := &fourletter.Status{
		Version: fourletter.Version("0.1.0", built), Mode: fourletter.ModeStandalone, Zxid: 0x5_00000007, NodeCount: 6,
		Received: 11, Sent: 12, Connections: 2, Outstanding: 3,
		Latency: fourletter.Latency{Min: time.Millisecond, Max: 16 * time.Millisecond, Sum: 7 * time.Millisecond, Count: 3},
		Clients: []fourletter.Client{{
			Remote: netip.MustParseAddrPort("127.0.0.1:50001"), Reading: true, Received: 9, Sent: 8, Session: 0x100000cd9d80009,
			LastOp: "GETD", Established: built, TimeoutMs: 20000, LastCxid: 8, LastZxid: 0xee, LastReply: time.Second,
			Latency: fourletter.Latency{Max: 2 * time.Millisecond, Count: 1},
		}},
	}
	servers := []string{listen(t, status)}

	if ok := zk.FLWRuok(servers, time.Second); !ok[0] {
		t.Error("ruok is not understood")
	}
	stats, ok := zk.FLWSrvr(servers, time.Second)
	if !ok {
		t.Fatalf("srvr is not understood: %v", stats[0].Error)
	}
	if s := stats[0]; s.Sent != 12 || s.Received != 11 || s.NodeCount != 6 || s.MinLatency != 1 || s.AvgLatency != 2.3333 || s.MaxLatency != 16 ||
		s.Connections != 2 || s.Outstanding != 3 || s.Epoch != 5 || s.Counter != 7 || !s.BuildTime.Equal(built) ||
		s.Mode != zk.ModeStandalone || s.Version != "3.9.5-zooid-0.1.0" {
		t.Errorf("srvr is read as %+v", *s)
	}
	clients, ok := zk.FLWCons(servers, time.Second)
	if !ok || len(clients[0].Clients) != 1 {
		t.Fatalf("cons is not understood: %+v", clients[0])
	}
	// It takes the ms of est for seconds, from ZooKeeper's text as from ours.
	if c := clients[0].Clients[0]; c.SessionID != 0x100000cd9d80009 || c.Addr != "127.0.0.1:50001" || c.Received != 9 || c.Sent != 8 ||
		c.LastOperation != "GETD" || c.Timeout != 20000 || c.Lcxid != 8 || c.Lzxid != 0xee || c.Established.Unix() != built.UnixMilli() || c.MaxLatency != 2 {
		t.Errorf("cons is read as %+v", *c)
	}
}

// listen answers words on a loopback port, as the client port does.
func listen(t *testing.T, status *fourletter.Status) string {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(func() {
		socket.Close()
		running.Wait()
	})
	running.Go(func() {
		for {
			conn, err := socket.Accept()
			if err != nil {
				return
			}
			word := make([]byte, 4)
			if _, err := io.ReadFull(conn, word); err == nil {
				conn.Write(fourletter.Answer(string(word), nil, status))
			}
			conn.Close()
		}
	})
	return socket.Addr().String()
}
