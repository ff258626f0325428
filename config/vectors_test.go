package config

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// ourWords maps what Java says of a refused input to what ours must contain.
// It is keyed by the beginning of Java's text, or by a part of it.
var ourWords = []struct{ java, ours string }{
	{"does not have the form server_config", "is not of the form host:port:port"},
	{"Unrecognised peertype", "is neither participant nor observer"},
	{"Client and election port must be different", "the quorum port and the election port must differ"},
	{"Address unresolved: host:a", `quorum: port "a" is not a number`},
	{"Address unresolved: host:b", `election: port "b" is not a number`},
	{"Address unresolved: null:c", `client part: port "c" is not a number`},
	{"Address unresolved:  host:3888 ", `election: port "3888 " is not a number`},
	{"Address unresolved: null: 2181", `client part: port " 2181" is not a number`},
	{"Multiple address feature is disabled", "multiAddress.enabled must be true"},
	{"port out of range:99999", "port 99999 is out of range"},
	{"port out of range:-1", "port -1 is out of range"},
	{"Multiple addresses should have similar roles", "all addresses of a member must have the same role"},
	{"dataDir is not set", "dataDir is not set"},
	{"tickTime is not set", "tickTime: 0 is not between 1 and"},
	{"clientPortAddress is set but clientPort is not set", "clientPortAddress is set but clientPort is not"},
	{"minSessionTimeout must not be larger", "minSessionTimeout (5s) is larger than maxSessionTimeout (4s)"},
	{"Invalid option yes for reconfigEnabled", `zoo.cfg:3: reconfigEnabled: "yes" is neither true nor false`},
	{`For input string: "2181x"`, `zoo.cfg:2: clientPort: "2181x" is not a whole number`},
	{"Invalid electionAlg value", "electionAlg: 3 is the only election algorithm"},
	{"Observers w/o quorum", "there are observers and one participant"},
	{"Observers w/o participants", "there are observers and no participants"},
	{"myid file is missing", "no file myid in DIR"},
	{"serverid abc is not a number", `myid: "abc" is not a number`},
	{"is different from client address found", "the client port is :2999 by clientPort and 0.0.0.0:2181 by the line server.1"},
	{"initLimit is not set", "initLimit is not set"},
	{"syncLimit is not set", "syncLimit is not set"},
	{"ClassNotFoundException: no.such.Class", `there is no metrics provider "no.such.Class"`},
}

type sample struct {
	Kind, Name, Input   string
	MultiAddress        bool
	Normal, Error, MyID *string
	Distributed         bool
	ClientPortAddress   string
	TickTime            int64
	MinSessionTimeout   int64
	MaxSessionTimeout   int64
	MaxClientCnxns      int
	SnapRetainCount     int
	PeerType            string
	ServerID            int64
	QuorumVerifier      string
}

// TestJavaSamples compares with what ZooKeeper 3.9.5 made of server lines and
// zoo.cfg files.
func TestJavaSamples(t *testing.T) {
	count := 0
	forEachLine(t, "testdata/config-parse-3.9.5.jsonl", func(line []byte) {
		var s sample
		decoder := json.NewDecoder(strings.NewReader(string(line)))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&s); err != nil {
			t.Fatal(err)
		}
		count++
		t.Run(s.Kind+"/"+s.Name+s.Input, func(t *testing.T) {
			if s.Kind == "server-line" {
				compareServerLine(t, s)
			} else {
				compareZooCfg(t, s)
			}
		})
	})
	if count != 68 {
		t.Errorf("%d samples, want 68", count)
	}
}

// compareError says whether there is more to compare.
func compareError(t *testing.T, s sample, err error) bool {
	t.Helper()
	if s.Error == nil {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return err == nil
	}
	if err == nil {
		t.Errorf("accepted, Java says %s", *s.Error)
		return false
	}
	for _, w := range ourWords {
		if strings.Contains(*s.Error, w.java) {
			if !strings.Contains(err.Error(), w.ours) {
				t.Errorf("got %q, want something with %q as Java's %q", err, w.ours, *s.Error)
			}
			return false
		}
	}
	t.Errorf("nothing says what we should say for %q; we say %q", *s.Error, err)
	return false
}

func compareServerLine(t *testing.T, s sample) {
	m, err := ParseMember(1, s.Input, s.MultiAddress)
	if !compareError(t, s, err) {
		return
	}
	if got := m.String(); got != *s.Normal {
		t.Errorf("got %q, want %q", got, *s.Normal)
	}
	again, err := ParseMember(1, m.String(), s.MultiAddress)
	if err != nil || again.String() != m.String() {
		t.Errorf("the normal form %q gives %q, %v", m, again, err)
	}
}

func compareZooCfg(t *testing.T, s sample) {
	c, err := Parse([]byte(s.Input), "zoo.cfg", nil, nil)
	if err == nil {
		var myid []byte
		if s.MyID != nil {
			myid = []byte(*s.MyID)
		}
		err = c.Identify(myid)
	}
	if !compareError(t, s, err) {
		return
	}
	same := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	same("distributed", c.Distributed(), s.Distributed)
	same("clientPortAddress", javaAddress(c.Clients.Addr), s.ClientPortAddress[strings.LastIndex(s.ClientPortAddress, "/")+1:])
	same("tickTime", c.Sessions.Tick, time.Duration(s.TickTime)*time.Millisecond)
	same("minSessionTimeout", c.Sessions.TimeoutMin, time.Duration(s.MinSessionTimeout)*time.Millisecond)
	same("maxSessionTimeout", c.Sessions.TimeoutMax, time.Duration(s.MaxSessionTimeout)*time.Millisecond)
	same("maxClientCnxns", c.Clients.MaxPerIP, s.MaxClientCnxns)
	same("snapRetainCount", c.Storage.SnapRetain, s.SnapRetainCount)
	same("peerType", map[bool]string{false: "PARTICIPANT", true: "OBSERVER"}[c.Ensemble.Observer], s.PeerType)
	same("serverId", int64(c.Ensemble.SID), s.ServerID)
	same("members", c.Ensemble.Members.String(), s.QuorumVerifier)
}

// javaAddress prints the part of an InetSocketAddress behind its slash.
func javaAddress(a Addr) string {
	switch {
	case a.Port == 0:
		return "null"
	case a.Host == "":
		a.Host = "0.0.0.0"
	}
	return a.String()
}
