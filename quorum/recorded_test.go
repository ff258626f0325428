package quorum

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"zooid/wire"
)

// recordedConn is one connection between two servers of a recorded ensemble of
// Apache ZooKeeper 3.9.5.
type recordedConn struct {
	Conn     int
	Event    string
	Port     string
	From, To wire.SID // From dialled
	whole    bool     // the recording has its beginning
	said     []recordedSaying
}

// recordedSaying is a record on a connection: a greeting, a notification with
// its length, a packet, or a whole snapshot.
type recordedSaying struct {
	by       wire.SID
	b        []byte
	snapshot bool
}

// recordedConns are the connections of a recording, those to one kind of port.
func recordedConns(t *testing.T, name, port string) (conns []*recordedConn) {
	t.Helper()
	b, err := os.ReadFile("../wire/testdata/quorum/" + name + ".jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(z)
	s.Buffer(nil, 1<<22)
	byNumber := make(map[int]*recordedConn)
	for s.Scan() {
		var line struct {
			recordedConn
			Dir, Hex string
			Decoded  struct{ Type string }
		}
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		switch {
		case line.Event == "open" || line.Event == "already open":
			c := line.recordedConn
			c.whole = line.Event == "open"
			byNumber[c.Conn] = &c
			if c.Port == port {
				conns = append(conns, &c)
			}
		case line.Hex != "":
			raw, err := hex.DecodeString(line.Hex)
			if err != nil {
				t.Fatal(err)
			}
			var from, to wire.SID
			fmt.Sscanf(line.Dir, "%d->%d", &from, &to)
			c := byNumber[line.Conn]
			c.said = append(c.said, recordedSaying{from, raw, line.Decoded.Type == "(snapshot stream)"})
		}
	}
	if s.Err() != nil || len(conns) == 0 {
		t.Fatalf("%s: %d connections, %v", name, len(conns), s.Err())
	}
	return conns
}

// records is what one end said, in order.
func (c *recordedConn) records(by wire.SID) (list [][]byte) {
	for _, s := range c.said {
		if s.by == by {
			list = append(list, s.b)
		}
	}
	return list
}

// bytes is the stream of one end.
func (c *recordedConn) bytes(by wire.SID) []byte { return bytes.Join(c.records(by), nil) }
