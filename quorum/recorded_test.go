package quorum

import (
	"bytes"
	"testing"

	"zooid/integration/recorded"
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
	byNumber := make(map[int]*recordedConn)
	for _, l := range recorded.Read(t, name) {
		switch {
		case l.Event == "open" || l.Event == "already open":
			c := &recordedConn{Port: l.Port, From: wire.SID(l.From), To: wire.SID(l.To), whole: l.Event == "open"}
			byNumber[l.Conn] = c
			if c.Port == port {
				conns = append(conns, c)
			}
		case l.Event == "":
			c := byNumber[l.Conn]
			c.said = append(c.said, recordedSaying{wire.SID(l.By), l.Bytes, l.IsSnapshot()})
		}
	}
	if len(conns) == 0 {
		t.Fatalf("%s: no connections", name)
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
