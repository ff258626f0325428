package config

import (
	"strings"
	"testing"
)

func TestParseMembership(t *testing.T) {
	tests := []struct {
		name, text string
		multi      bool
		want       string // the normal form, or the error behind "error: "
	}{
		{"empty", "", false, "version=0"},
		{"sorted by number", "server.10=c:1:2\nserver.9=b:1:2\nversion=100000002\n", false,
			"server.9=b:1:2:participant\nserver.10=c:1:2:participant\nversion=100000002"},
		{"addresses sorted by host", "server.1=h2:3:4|h1:1:2:observer;[::ffff:10.0.0.1]:5", true,
			"server.1=h1:1:2|h2:3:4:observer;10.0.0.1:5\nversion=0"},
		{"later line wins", "server.1=a:1:2\nserver.1=b:1:2", false, "server.1=b:1:2:participant\nversion=0"},
		{"two spellings of a number", "server.1=a:1:2\nserver.01=b:1:2", false, "error: line 2: server.01: there are two lines for server 1"},
		{"groups", "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2:observer\ngroup.1=1\ngroup.2=2\nweight.2=0", false,
			"server.1=a:1:2:participant\nserver.2=b:1:2:participant\nserver.3=c:1:2:observer\ngroup.1=1\ngroup.2=2\nweight.1=1\nweight.2=0\nversion=0"},
		{"in two groups", "server.1=a:1:2\ngroup.1=1\ngroup.2=1", false, "error: line 3: group.2: server 1 is in group 1 and in group 2"},
		{"in no group", "server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1", false, "error: line 2: server.2: server 2 is in no group: where there are lines group.N or weight.N, one of the groups must name it"},
		{"stranger in a group", "server.1=a:1:2\ngroup.1=1:2", false, "error: line 2: group.1: it names server 2, for which there is no line"},
		{"group of words", "group.1=a", false, `error: line 1: group.1: "a" is not a server's number`},
		{"negative weight", "weight.1=-1", false, `error: line 1: weight.1: "-1" is not a weight`},
		{"bad number", "server.a=a:1:2", false, `error: line 1: server.a: "a" is not a number`},
		{"bad version", "version=x", false, `error: line 1: version: "x" is not a hexadecimal number`},
		{"other key", "server.1=a:1:2\nclientPort=1", false, "error: line 2: clientPort is not a key of a dynamic configuration"},
		{"bad syntax", "server.1=\\u1", false, `error: line 1: \u is not followed by four hexadecimal digits`},
		{"no host", "server.1=:1:2", false, `error: line 1: server.1: "" is not a host`},
		{"blank in a host", "server.1=a b:1:2", false, `error: line 1: server.1: "a b" is not a host`},
		{"no closing bracket", "server.1=[::1:1:2", false, `error: line 1: server.1: "[::1:1:2" begins with [ and has no ]`},
		{"no port behind the bracket", "server.1=[::1]", false, `error: line 1: server.1: "[::1]" has no port behind the ]`},
		{"blank client host", "server.1=a:1:2; :3", false, `error: line 1: server.1: client part: " " is not a host`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, err := ParseMembership([]byte(test.text), test.multi)
			got := ""
			if err != nil {
				got = "error: " + err.Error()
			} else {
				got = m.String()
			}
			if got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

// TestComplete lists who is served and who is told why not.
func TestComplete(t *testing.T) {
	const limits = "initLimit=5\nsyncLimit=2\n"
	const three = limits + "server.2=b:2888:3888\nserver.3=c:2888:3888\n"
	tests := []struct {
		name, text string
		wantErr    string // part of it; "" = served
		warning    string // part of one
	}{
		{"no server lines", "", "", ""},
		{"one participant", "server.1=h:1:2", "", ""},
		{"one participant in its own ensemble", limits + "standaloneEnabled=false\nserver.1=h:1:2", "", "no failure"},
		{"two", limits + "server.1=h:1:2\nserver.2=h:3:4", "", "no failure"},
		{"three", limits + "server.1=h:1:2\nserver.2=h:3:4\nserver.3=h:5:6", "", ""},
		{"four", limits + "server.1=h:1:2\nserver.2=h:3:4\nserver.3=h:5:6\nserver.4=h:7:8", "", "an odd number"},
		{"one and an observer", limits + "standaloneEnabled=false\nserver.1=h:1:2\nserver.2=h:3:4:observer", "", ""},
		{"several addresses", "multiAddress.enabled=true\nserver.1=h:1:2|g:1:2", "", ""},
		{"no line of its own", limits + "server.2=h:1:2\nserver.3=h:3:4\nserver.4=h:5:6", "there is no line server.1", ""},
		{"IPv6, and one address for itself", three + "server.1=[::]:2888:3888", "", ""},
		{"one host, other ports", three + "server.1=b:2889:3889", "", ""},
		{"the same address", three + "server.1=B:2888:3888", "server.1 and server.2 have the same address b:2888", ""},
		{"the same election address", three + "server.1=b:2889:3888", "server.1 and server.2 have the same address b:3888", ""},
		{"one's quorum port is another's election port", three + "server.1=b:3888:3889", "server.1 and server.2 have the same address b:3888", ""},
		{"the same IPv6 address, spelled otherwise", limits + "server.1=[::1]:1:2\nserver.2=[0:0::1]:1:3", "have the same address [0:0:0:0:0:0:0:1]:1", ""},
		{"twice in a line", three + "multiAddress.enabled=true\nserver.1=a:1:2|a:1:3", "server.1: a:1 stands there twice", ""},
		{"port 0", three + "server.1=a:0:3888", "server.1: port 0", ""},
		{"a number above 255", three + "server.1=a:2888:3888\nserver.256=d:2888:3888:observer", "", ""},
		{"numbers that end in the same byte", three + "server.1=a:2888:3888\nserver.258=d:2888:3888:observer", "", "zoo.cfg:8: server.258: its sessions' ids begin like those of server.2"},
		{"a number below 0", three + "server.1=a:2888:3888\nserver.-1=d:2888:3888", "zoo.cfg:8: server.-1: a server's number must not be below 0", ""},
		{"clients on the quorum port", three + "server.1=a:2181:3888", "server.1: port 2181 is to be for clients and for the other servers", ""},
		{"clients on the election port", three + "server.1=a:2888:2181", "server.1: port 2181", ""},
		{"the same port of another address", three + "clientPortAddress=10.0.0.1\nserver.1=10.0.0.2:2181:3888", "", ""},
		{"the same port and all addresses", three + "clientPortAddress=10.0.0.1\nquorumListenOnAllIPs=true\nserver.1=10.0.0.2:2181:3888", "server.1: port 2181", ""},
		{"nobody's vote counts", three + "server.1=a:2888:3888\ngroup.1=1:2:3\nweight.1=0\nweight.2=0\nweight.3=0", "there would never be a leader", ""},
		{"one's vote counts", three + "server.1=a:2888:3888\ngroup.1=1:2:3\nweight.1=0\nweight.2=0", "", ""},
		{"only an observer's and a stranger's votes count", three + "server.1=a:2888:3888\nserver.4=d:2888:3888:observer\ngroup.1=1:2:3\n" +
			"weight.1=0\nweight.2=0\nweight.3=0\nweight.4=1\nweight.5=1", "there would never be a leader", ""},
		{"alone, whatever the line says", "server.1=a:0:2181", "", ""},
		{"all that is wrong", three + "server.1=b:2888:0", "server.1: port 0 is none that the others could connect to\nzoo.cfg:5: server.1 and server.2", ""},
		{"dynamic file not read", "dynamicConfigFile=/conf/zoo.cfg.dynamic", "/conf/zoo.cfg.dynamic was not read", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := parse(t, test.text)
			if err := c.Identify([]byte("1")); err != nil {
				t.Fatal(err)
			}
			err := c.Complete()
			if test.wantErr == "" && err != nil || test.wantErr != "" && (err == nil || !strings.Contains(err.Error(), test.wantErr)) {
				t.Errorf("got %v, want %q", err, test.wantErr)
			}
			if test.warning != "" && !strings.Contains(strings.Join(c.Warnings, "\n"), test.warning) {
				t.Errorf("warnings %q, want one with %q", c.Warnings, test.warning)
			}
		})
	}
	if _, err := Parse([]byte(base+"standaloneEnabled=false"), "zoo.cfg", nil, nil); err == nil || !strings.Contains(err.Error(), "there must be a server line") {
		t.Errorf("got %v", err)
	}
}

func TestSetDynamic(t *testing.T) {
	tests := []struct {
		name, file, text string
		want             string // version and members, or the error
	}{
		{"version in the name", "/conf/zoo.cfg.dynamic.100000000", "server.1=h:1:2:participant;2182", "server.1=h:1:2:participant;0.0.0.0:2182\nversion=100000000"},
		{"no version", "/conf/zoo.cfg.dynamic", "server.1=h:1:2", "server.1=h:1:2:participant\nversion=0"},
		{"version in the file", "zoo.dyn", "server.1=h:1:2\nversion=5", "error: zoo.dyn:2: version: the version of a dynamic configuration stands in the file's name, not in the file"},
		{"unknown key", "zoo.dyn", "tickTime=5", "error: zoo.dyn: line 1: tickTime is not a key of a dynamic configuration"},
		{"observers only", "zoo.dyn", "server.1=h:1:2:observer", "error: zoo.dyn:1: server.1: there are observers and no participants"},
		{"empty", "zoo.dyn", "", "error: zoo.dyn: there is no line server.N in it, and dynamicConfigFile says that the servers stand there"},
		{"wrong line", "zoo.dyn", "\nserver.1=h:1", "error: zoo.dyn:2: server.1: \"h:1\" is not of the form host:port:port[:participant|:observer][;[host:]port]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := Parse([]byte("dataDir=/data\ndynamicConfigFile="+test.file), "zoo.cfg", nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := c.SetDynamic([]byte(test.text)); err != nil {
				got = "error: " + err.Error()
			} else {
				got = c.Ensemble.Members.String()
			}
			if got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
	_, err := Parse([]byte(base+"dynamicConfigFile=zoo.dyn\nserver.1=h:1:2"), "zoo.cfg", nil, nil)
	if err == nil || err.Error() != "zoo.cfg:4: server.1: it must stand in zoo.dyn, because dynamicConfigFile is set" {
		t.Errorf("got %v", err)
	}
}
