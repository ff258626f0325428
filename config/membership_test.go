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
		{"in two groups", "server.1=a:1:2\ngroup.1=1\ngroup.2=1", false, "error: server 1 is in group 1 and in group 2"},
		{"in no group", "server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1", false, "error: server 2 is in no group"},
		{"stranger in a group", "server.1=a:1:2\ngroup.1=1:2", false, "error: group.1 names server 2, for which there is no line"},
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

// TestStandalone lists who is served and who is told why not.
func TestStandalone(t *testing.T) {
	const limits = "initLimit=5\nsyncLimit=2\n"
	tests := []struct {
		name, text string
		wantErr    string // part of it; "" = served
		warning    string // part of one
	}{
		{"no server lines", "", "", ""},
		{"one participant", "server.1=h:1:2", "", ""},
		{"one participant in its own ensemble", limits + "standaloneEnabled=false\nserver.1=h:1:2", "asks for an ensemble of one", "no failure"},
		{"two", limits + "server.1=h:1:2\nserver.2=h:3:4", "2 server lines", "no failure"},
		{"three", limits + "server.1=h:1:2\nserver.2=h:3:4\nserver.3=h:5:6", "3 server lines", ""},
		{"four", limits + "server.1=h:1:2\nserver.2=h:3:4\nserver.3=h:5:6\nserver.4=h:7:8", "4 server lines", "an odd number"},
		{"one and an observer", limits + "standaloneEnabled=false\nserver.1=h:1:2\nserver.2=h:3:4:observer", "2 server lines", ""},
		{"several addresses", "multiAddress.enabled=true\nserver.1=h:1:2|g:1:2", "", ""},
		{"dynamic file not read", "dynamicConfigFile=/conf/zoo.cfg.dynamic", "/conf/zoo.cfg.dynamic was not read", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := parse(t, test.text)
			if err := c.Identify([]byte("1")); err != nil {
				t.Fatal(err)
			}
			err := c.Standalone()
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
		{"version in the file", "zoo.dyn", "server.1=h:1:2\nversion=5", "error: zoo.dyn: the version of a dynamic configuration stands in the file's name, not in the file"},
		{"unknown key", "zoo.dyn", "tickTime=5", "error: zoo.dyn: line 1: tickTime is not a key of a dynamic configuration"},
		{"observers only", "zoo.dyn", "server.1=h:1:2:observer", "error: zoo.cfg: there are observers and no participants"},
		{"nobody in an ensemble", "zoo.dyn", "", "version=0"},
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
