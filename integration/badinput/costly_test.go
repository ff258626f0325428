package badinput

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/wire"
)

// longestGap has another client write and read all the time, until the function that
// it gives is called, which tells how long the slowest of them took.
func longestGap(t *testing.T, s *testenv.Server) (stop func() time.Duration) {
	t.Helper()
	c := open(t, s)
	if _, _, err := c.Create("/prober", nil, 0); err != nil {
		t.Fatal(err)
	}
	end, result := make(chan struct{}), make(chan time.Duration)
	go func() {
		longest := time.Duration(0)
		for {
			select {
			case <-end:
				result <- longest
				return
			default:
			}
			began := time.Now()
			_, err := c.SetData("/prober", []byte("x"), -1)
			if _, _, e := c.GetData("/prober", false); err != nil || e != nil {
				t.Errorf("the other client: %v", errors.Join(err, e))
				<-end
				result <- longest
				return
			}
			longest = max(longest, time.Since(began))
		}
	}()
	return func() time.Duration { close(end); return <-result }
}

// TestCostlyRequests: requests that took a server seconds to minutes, or gigabytes, at
// the cost of some kilobytes. Each is refused or answered at once, and another client
// notices nothing.
func TestCostlyRequests(t *testing.T) {
	s := testenv.Start(t, testenv.KindZooid, testenv.Config{})
	c, judged := open(t, s), open(t, s)
	call := func(c *rawclient.Conn, op wire.OpCode, body wire.Appender, reply wire.Record, want wire.ErrCode) {
		t.Helper()
		if _, err := c.Call(op, body, reply); wire.CodeOf(err) != want {
			t.Errorf("%v: %v; want %v", op, err, want)
		}
	}
	create := func(path string, size, flags int32, acl []wire.ACL) *wire.CreateRequest {
		return &wire.CreateRequest{Path: path, Data: make([]byte, size), ACL: acl, Flags: flags}
	}
	entries := func(n int, scheme string) []wire.ACL {
		acl := make([]wire.ACL, n)
		for i := range acl {
			acl[i] = wire.ACL{Perms: int32(i), ID: wire.ID{Scheme: scheme, ID: fmt.Sprintf("%d:h", i)}}
		}
		return acl
	}
	parts := func(op wire.OpCode, path string, n int) *wire.MultiRequest {
		m := &wire.MultiRequest{Reads: true}
		for range n {
			m.Ops = append(m.Ops, wire.MultiOp{Op: op, Body: &wire.WatchRequest{Path: path}})
		}
		return m
	}
	call(c, wire.OpCreate, create("/large", 1_000_000, 0, wire.OpenACL), nil, wire.OK)
	call(c, wire.OpCreate, create("/guarded", 1, 0, entries(1000, "digest")), nil, wire.OK)
	call(c, wire.OpCreate, create("/locks", 0, 0, wire.OpenACL), nil, wire.OK)
	for i := range 20 {
		m := &wire.MultiRequest{}
		for k := range 1000 {
			m.Ops = append(m.Ops, wire.MultiOp{Op: wire.OpCreate,
				Body: create(fmt.Sprintf("/locks/%s%d-%d", strings.Repeat("x", 250), i, k), 0, wire.FlagEphemeral, wire.OpenACL)})
		}
		call(c, wire.OpMulti, m, nil, wire.OK)
	}
	for i := range wire.ClientIDsMax - 1 {
		if err := judged.Auth("digest", fmt.Sprintf("nobody%d:p", i)); err != nil {
			t.Fatal(err)
		}
	}

	stop := longestGap(t, s)
	call(c, wire.OpCreate, create("/a", 0, 0, entries(35_000, "digest")), nil, wire.ErrInvalidACL)
	for range 3 {
		call(judged, wire.OpCreate, create("/a", 0, 0, entries(1000, "auth")), nil, wire.ErrInvalidACL)
	}
	for _, path := range []string{"/large", "/locks"} {
		call(c, wire.OpMultiRead, parts(wire.OpGetData, path, 3000), nil, map[bool]wire.ErrCode{true: wire.ErrBadArguments}[path == "/large"])
		call(c, wire.OpMultiRead, parts(wire.OpGetChildren, path, 3000), nil, map[bool]wire.ErrCode{true: wire.ErrBadArguments}[path == "/locks"])
	}
	for range 128 {
		call(c, wire.OpGetEphemerals, &wire.PathRequest{Path: "/nothing"}, nil, wire.OK)
	}
	call(c, wire.OpGetEphemerals, &wire.PathRequest{Path: "/"}, nil, wire.ErrBadArguments)
	for range 200 {
		call(judged, wire.OpGetData, &wire.WatchRequest{Path: "/guarded"}, nil, wire.ErrNoAuth)
	}
	call(judged, wire.OpMultiRead, parts(wire.OpGetData, "/guarded", 3000), nil, wire.OK)
	if gap := stop(); gap > 2*time.Second {
		t.Errorf("another client waited for %v", gap)
	} else {
		t.Logf("another client waited for %v at most", gap)
	}
	if err := judged.Auth("digest", "one:more"); err == nil {
		t.Error("one identity too many is accepted")
	}
	if err := judged.AwaitEOF(); err != nil {
		t.Errorf("the connection goes on: %v", err)
	}
}
