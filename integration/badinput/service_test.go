package badinput

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/wire"
)

// dial makes a connection without a handshake, which ends with the test.
func dial(t *testing.T, addr string) *rawclient.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := rawclient.Wrap(nc)
	t.Cleanup(func() { c.Close() })
	return c
}

func frame(body ...byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func length(n int32) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

// TestFrames sends frames that no client would, before a handshake or behind
// one: the server closes, or answers with an error, and goes on serving others.
func TestFrames(t *testing.T) {
	setWatches := append(frame()[:0], 0, 0, 0, 1, 0, 0, 0, 101, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff)
	tests := []struct {
		name   string
		first  bool // instead of a handshake
		bytes  []byte
		closes bool
	}{
		{"a handshake of nothing", true, length(0), true},
		{"a handshake cut short", true, frame(0, 0, 0, 0, 0), true},
		{"a handshake with a password of 2^31-1 bytes", true, append(append(length(44), make([]byte, 24)...), 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), true},
		{"a handshake of 2^31-1 bytes", true, length(0x7fffffff), true},
		{"a negative length at once", true, length(-1), true},
		{"a web browser", true, []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), true},
		{"TLS", true, []byte{0x16, 3, 1, 0, 0xa5, 1, 0, 0, 0xa1, 3, 3}, true},
		{"length -1", false, length(-1), true},
		{"length -2^31", false, length(-1 << 31), true},
		{"length 2^31-1", false, length(0x7fffffff), true},
		{"length just above jute.maxbuffer", false, length(0x100000), true},
		{"no body", false, length(0), true},
		{"half a header", false, frame(0, 0, 0, 1), true},
		{"a vector of 2^31-1 elements", false, append(length(int32(len(setWatches))), setWatches...), false},
	}
	testenv.EachTarget(t, testenv.Config{}, func(t *testing.T, s *testenv.Server) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				c := dial(t, s.Addr)
				if !tt.first {
					c = open(t, s)
				}
				if err := c.SendBytes(tt.bytes); err != nil {
					t.Fatal(err)
				}
				if tt.closes {
					if err := c.AwaitEOF(); err != nil {
						t.Errorf("the connection should be closed: %v", err)
					}
				} else if f, err := c.Next(); err != nil || f.Header.Err != wire.ErrMarshalling {
					t.Errorf("answer %+v, %v; want %d", f.Header, err, wire.ErrMarshalling)
				}
				serves(t, s)
			})
		}
	})
}

// serves checks that a new client gets an answer.
func serves(t *testing.T, s *testenv.Server) {
	t.Helper()
	c := open(t, s)
	if _, err := c.Exists("/", false); err != nil {
		t.Errorf("another client: %v", err)
	}
	if err := c.CloseSession(); err != nil {
		t.Errorf("another client: %v", err)
	}
}

// TestRandomBytes sends random frames on many sessions, from a seed that is
// printed.
func TestRandomBytes(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv("ZOOID_TEST_SEED"); v != "" {
		if _, err := fmt.Sscan(v, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d; ZOOID_TEST_SEED=%d go test ./integration/badinput -run TestRandomBytes shows it again", seed, seed)
	testenv.EachTarget(t, testenv.Config{}, func(t *testing.T, s *testenv.Server) {
		r := rand.New(rand.NewPCG(seed, 0))
		for range 200 {
			c := open(t, s)
			for range 20 {
				body := make([]byte, 8+r.IntN(200))
				for i := range body {
					body[i] = byte(r.Uint32())
				}
				// Half of them with an operation that exists, else it ends here.
				// Neither operations for servers' own use nor the words' numbers.
				ops := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 14, 15, 17, 18, 19, 21, 22, 101, 103, 104, 105, 106}
				if r.IntN(10) > 0 {
					copy(body, []byte{0, 0, 0, 1, 0, 0, 0, ops[r.IntN(len(ops))]})
				}
				if err := c.SendFrame(body); err != nil {
					break
				}
			}
			c.Close()
		}
		serves(t, s)
	})
}

// TestDeepAndLongPaths: there is no limit but the frame's.
func TestDeepAndLongPaths(t *testing.T) {
	testenv.EachTarget(t, testenv.Config{}, func(t *testing.T, s *testenv.Server) {
		c := open(t, s)
		long := "/" + strings.Repeat("x", 500_000)
		if _, _, err := c.Create(long, []byte("d"), 0); err != nil {
			t.Errorf("a name of 500,000 bytes: %v", err)
		}
		if _, st, err := c.GetData(long, true); err != nil || st.DataLength != 1 {
			t.Errorf("a name of 500,000 bytes: %+v, %v", st, err)
		}
		if err := c.Delete(long); err != nil {
			t.Error(err)
		}
		if _, _, err := c.Create(strings.Repeat("/y", 250_000), nil, 0); !errors.Is(err, wire.ErrNoNode) {
			t.Errorf("a node 250,000 deep without its parents: %v", err)
		}
		path := ""
		for range 1000 {
			path += "/z"
			if _, _, err := c.Create(path, nil, 0); err != nil {
				t.Fatalf("depth %d: %v", len(path)/2, err)
			}
		}
		if _, err := c.Call(wire.OpAddWatch, &wire.AddWatchRequest{Path: "/z", Mode: wire.AddWatchPersistentRecursive}, nil); err != nil {
			t.Error(err)
		}
		if _, err := c.SetData(path, []byte("x"), -1); err != nil {
			t.Error(err)
		}
		if e := c.TakeEvents(); len(e) == 0 || e[len(e)-1].Path != path {
			t.Errorf("events %v of a node 1,000 deep", e)
		}
	})
}

// TestSilentConnections: who opens a connection and does not shake hands is
// closed; what it has sent of a frame does not keep it.
func TestSilentConnections(t *testing.T) {
	cfg := testenv.Config{Keys: map[string]string{"nio.sessionlessCnxnTimeout": "1000"}}
	testenv.EachTarget(t, cfg, func(t *testing.T, s *testenv.Server) {
		for _, part := range [][]byte{nil, {0, 0}, length(44), append(length(44), 1, 2, 3)} {
			c := dial(t, s.Addr)
			start := time.Now()
			if err := c.SendBytes(part); err != nil {
				t.Fatal(err)
			}
			if err := c.AwaitEOF(); err != nil {
				t.Errorf("after %d bytes: %v", len(part), err)
			}
			if took := time.Since(start); took < 900*time.Millisecond || took > 6*time.Second {
				t.Errorf("after %d bytes: closed after %v", len(part), took)
			}
		}
		serves(t, s)
	})
}

// TestSlowReader: a client that asks for much and reads nothing holds up nobody,
// and costs the server no more memory than its bounds allow.
func TestSlowReader(t *testing.T) {
	testenv.EachTarget(t, testenv.Config{}, func(t *testing.T, s *testenv.Server) {
		c := open(t, s)
		if _, _, err := c.Create("/big", make([]byte, 500_000), 0); err != nil {
			t.Fatal(err)
		}
		slow := open(t, s)
		slow.Wait = 2 * time.Second
		req := rawclient.AppendRequest(nil, 1, wire.OpGetData, &wire.WatchRequest{Path: "/big"})
		// 5,000 answers of half a megabyte; the server stops reading, or closes.
		asked := 0
		for ; asked < 5000; asked++ {
			if err := slow.SendBytes(req); err != nil {
				break
			}
		}
		for range 100 {
			start := time.Now()
			if _, err := c.SetData("/big", make([]byte, 500_000), -1); err != nil {
				t.Fatalf("another client: %v", err)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("another client waited for %v", took)
			}
		}
		if s.Kind == testenv.KindZooid {
			if rss := s.ResidentBytes(); rss > 400<<20 {
				t.Errorf("%d MB resident after %d requests of a client that does not read", rss>>20, asked)
			}
		}
		serves(t, s)
	})
}

// TestConnectionLimit: who is one too many is closed at once, but not the words
// of the operators (Java closes those too).
func TestConnectionLimit(t *testing.T) {
	s := testenv.Start(t, testenv.KindZooid, testenv.Config{Keys: map[string]string{"maxClientCnxns": "3"}})
	for range 3 {
		open(t, s)
	}
	c := dial(t, s.Addr)
	// The server may close before or after it has read this.
	_ = c.SendFrame((&wire.ConnectRequest{TimeoutMs: 10000, Passwd: make([]byte, 16)}).Append(nil))
	if err := c.AwaitEOF(); err != nil {
		t.Errorf("the fourth connection: %v", err)
	}
	if text, err := testenv.Word(s.Addr, "ruok"); text != "imok" || err != nil {
		t.Errorf("ruok: %q, %v", text, err)
	}
}

const idleSessions = 10_000

// TestIdleSessions opens 10,000 sessions that do nothing but ping once.
func TestIdleSessions(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Max < idleSessions+500 {
		t.Skipf("this system allows %d open files, %d are needed (%v)", limit.Max, idleSessions+500, err)
	}
	testenv.EachTarget(t, testenv.Config{}, func(t *testing.T, s *testenv.Server) {
		before := int64(0)
		if s.Owned() {
			before = s.ResidentBytes()
		}
		conns := openMany(t, s, idleSessions)
		if s.Owned() {
			after := s.ResidentBytes()
			t.Logf("%d MB resident, %.1f KB a session", after>>20, float64(after-before)/1024/idleSessions)
		}
		for i, c := range conns {
			if err := c.Ping(); err != nil {
				t.Fatalf("session %d: %v", i, err)
			}
		}
		if n := testenv.Monitor(t, s.Addr)["global_sessions"]; n != fmt.Sprint(idleSessions) {
			t.Errorf("global_sessions %s", n)
		}
		serves(t, s)
		for _, c := range conns {
			c.Close()
		}
		testenv.Await(t, 20*time.Second, "the server has seen all connections go", func() bool {
			return testenv.Monitor(t, s.Addr)["num_alive_connections"] <= "9" && len(testenv.Monitor(t, s.Addr)["num_alive_connections"]) == 1
		})
	})
}

// openMany opens sessions, several at a time.
func openMany(t *testing.T, s *testenv.Server, n int) []*rawclient.Conn {
	t.Helper()
	conns := make([]*rawclient.Conn, n)
	errs := make([]error, 16)
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			for i := w; i < n && errs[w] == nil; i += len(errs) {
				conns[i], errs[w] = rawclient.Open(s.Addr, rawclient.Options{TimeoutMs: 40000})
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return conns
}
