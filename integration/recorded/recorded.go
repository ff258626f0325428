package recorded

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

//go:embed *.jsonl.gz
var files embed.FS

const extension = ".jsonl.gz"

// lineMax is more than the longest line of a recording has, in bytes.
const lineMax = 4 << 20

// Line is one line of a recording: what was sent, or what became of a
// connection.
type Line struct {
	Sec  float64 `json:"t"` // since the recording began
	Conn int
	// Port is the kind of the connection's port, election, quorum or
	// observerMaster; "" if the recording lacks its beginning.
	Port string

	// Event is what became of a connection, "" if something was sent. With "open"
	// and "already open", From dialled To.
	Event    string
	From, To int64

	// Dir is the direction, as "1->3"; By and For are its ends, 0 where the
	// recording does not number them.
	Dir     string
	By, For int64
	// Bytes is one record: a greeting, a notification with its length, a packet, or
	// a whole snapshot. Decoded was made of it by a program that knows nothing of
	// ours.
	Bytes   []byte
	Decoded map[string]any
}

// IsNotification tells whether Bytes is a message of an election, with its length.
func (l *Line) IsNotification() bool { return l.Decoded["msg"] == "notification" }

// IsPacket tells whether Bytes is a packet between a learner and its leader.
func (l *Line) IsPacket() bool {
	return len(l.Bytes) > 0 && l.Decoded["msg"] == nil && !l.IsSnapshot()
}

// IsSnapshot tells whether Bytes is the stream behind SNAP.
func (l *Line) IsSnapshot() bool { return l.Decoded["type"] == "(snapshot stream)" }

// Names are the recordings, in their order.
func Names() (names []string) {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // it is part of the program
	}
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), extension))
	}
	return names
}

// Read gives the lines of a recording, without the notes.
func Read(t testing.TB, name string) (list []Line) {
	t.Helper()
	file, err := files.ReadFile(name + extension)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	ports := map[int]string{}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, lineMax)
	for lines.Scan() {
		var l struct {
			Line
			Hex string
		}
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.UseNumber()
		if err := d.Decode(&l); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if l.Bytes, err = hex.DecodeString(l.Hex); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if l.Event == "" && len(l.Bytes) == 0 {
			continue
		}
		if l.Port != "" {
			ports[l.Conn] = l.Port
		}
		l.Port = ports[l.Conn]
		_, _ = fmt.Sscanf(l.Dir, "%d->%d", &l.By, &l.For) // not all have numbers
		list = append(list, l.Line)
	}
	if lines.Err() != nil || len(list) == 0 {
		t.Fatalf("%s: %d lines, %v", name, len(list), lines.Err())
	}
	return list
}
