package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A system property whose number is none gives way to its default, as where
// ZooKeeper reads it, and the operator is told where, what and with which effect.
// The keys that ZooKeeper knows by name stay refused.
func TestNumbersThatAreNone(t *testing.T) {
	numbers := 0
	for i := range keys {
		k := &keys[i]
		if _, err := strconv.Atoi(k.def); err != nil || k.set == nil || k.effect == inert {
			continue
		}
		numbers++
		for _, value := range []string{"64M", "", "1.5", "99999999999999999999", "0x", "1 000"} {
			c, err := Parse([]byte(base+k.name+"="+value+"\n"), "zoo.cfg", nil, nil)
			if k.place == inFile || k.strict {
				if err == nil || !strings.Contains(err.Error(), "zoo.cfg:3: "+k.name+": ") {
					t.Errorf("%s=%s: %v, want it refused with its place", k.name, value, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s=%s: %v", k.name, value, err)
				continue
			}
			want := "zoo.cfg:3: " + k.name + ": "
			if len(c.Warnings) != 1 || !strings.HasPrefix(c.Warnings[0], want) || !strings.Contains(c.Warnings[0], value) ||
				!strings.HasSuffix(c.Warnings[0], ", so the default "+k.def+" holds, as in ZooKeeper") {
				t.Errorf("%s=%s: warnings %q", k.name, value, c.Warnings)
			}
			if at := slices.IndexFunc(c.settings, func(s Setting) bool { return s.Key == k.name }); c.settings[at].Effect != "passed over, "+k.def+" holds" {
				t.Errorf("%s=%s is listed as %+v", k.name, value, c.settings[at])
			}
			c.Warnings, c.settings = nil, nil
			usual := parse(t, "")
			usual.settings = nil
			if got, want := describe(c), describe(usual); got != want {
				t.Errorf("%s=%s: got %s, want the defaults %s", k.name, value, got, want)
			}
		}
	}
	if numbers < 30 {
		t.Errorf("only %d keys with numbers were tried", numbers)
	}
	c := parse(t, "jute.maxbuffer.extrasize=1k")
	if want := `zoo.cfg:3: jute.maxbuffer.extrasize: "1k" is not a whole number, so it counts as absent, as in ZooKeeper`; c.Ensemble.ExtraBytes != 0 || len(c.Warnings) != 1 || c.Warnings[0] != want {
		t.Errorf("got %d, %q", c.Ensemble.ExtraBytes, c.Warnings)
	}
	if c := parse(t, "globalOutstandingLimit=-5"); c.Throttle.OutstandingMax != 1000 ||
		c.Warnings[0] != "zoo.cfg:3: globalOutstandingLimit: -5 is not between 1 and 2147483647, so the default 1000 holds, as in ZooKeeper" {
		t.Errorf("got %d, %q", c.Throttle.OutstandingMax, c.Warnings)
	}
}

// Where ZooKeeper decodes a system property, 010 is octal and # is hexadecimal;
// where it parses a key of its own, 010 is ten.
func TestNumbersInOtherBases(t *testing.T) {
	for value, want := range map[string]int64{"010": 8, "#10": 16, "0x10": 16, "0X1f": 31, "+12": 12, "10": 10} {
		if got := parse(t, "snapCount="+value).Storage.SnapTxns; got != want {
			t.Errorf("snapCount=%s: %d, want %d", value, got, want)
		}
	}
	for _, value := range []string{"--5", "0x-5", "08", "-0x-5", "#"} {
		if c := parse(t, "snapCount="+value); c.Storage.SnapTxns != 100000 || len(c.Warnings) != 1 {
			t.Errorf("snapCount=%s: %d, %q", value, c.Storage.SnapTxns, c.Warnings)
		}
	}
	if got := parse(t, "maxClientCnxns=010").Clients.MaxPerIP; got != 10 {
		t.Errorf("maxClientCnxns=010: %d, want 10", got)
	}
}

func TestByteOrderMark(t *testing.T) {
	const mark = "\xef\xbb\xbf"
	c, err := Parse([]byte(mark+base+"dynamicConfigFile=zoo.dyn\n"), "zoo.cfg", nil, nil)
	if err != nil || c.Storage.DataDir != "/data" || len(c.Warnings) > 0 {
		t.Fatalf("%v, %+v", err, c)
	}
	if err := c.SetDynamic([]byte(mark + "server.1=h:1:2")); err != nil {
		t.Error(err)
	}
	if err := c.Identify([]byte(mark + "1\r\n")); err != nil || c.Ensemble.SID != 1 {
		t.Errorf("myid: %v, %d", err, c.Ensemble.SID)
	}
	for _, mark := range []string{"\xff\xfe", "\xfe\xff"} {
		if _, err := Parse([]byte(mark+"d\x00"), "zoo.cfg", nil, nil); err == nil || err.Error() != "zoo.cfg: line 1: the text is in UTF-16: save it as ASCII or UTF-8" {
			t.Errorf("UTF-16: %v", err)
		}
	}
}

// A class that is not there leaves its scheme unknown; a scheme on which doors
// depend is not passed over.
func TestAuthProviders(t *testing.T) {
	const ours = "org.apache.zookeeper.server.auth."
	for class, says := range map[string]string{
		"com.example.Kerberos":                  `no effect: there is no authentication provider "com.example.Kerberos", so its scheme is unknown`,
		ours + "KeyAuthenticationProvider":      "so its scheme is unknown",
		ours + "EnsembleAuthenticationProvider": "no effect: the scheme ensemble is not served yet",
		ours + "DigestAuthenticationProvider":   "",
	} {
		c := parse(t, "authProvider.1="+class)
		if says == "" && len(c.Warnings) > 0 || says != "" && (len(c.Warnings) != 1 || !strings.HasPrefix(c.Warnings[0], "zoo.cfg:3: authProvider.1: ") || !strings.Contains(c.Warnings[0], says)) {
			t.Errorf("%s: %q, want %q", class, c.Warnings, says)
		}
	}
	for _, class := range []string{"SASLAuthenticationProvider", "X509AuthenticationProvider"} {
		if _, err := Parse([]byte(base+"authProvider.1="+ours+class), "zoo.cfg", nil, nil); err == nil || !strings.Contains(err.Error(), "zoo.cfg:3: authProvider.1: ") {
			t.Errorf("%s: %v", class, err)
		}
	}
}

// What is wrong between several keys names one of them with its line.
func TestMistakesHaveAPlace(t *testing.T) {
	const limits = "initLimit=5\nsyncLimit=2\n"
	for _, test := range []struct{ text, says string }{
		{"minSessionTimeout=5000\nmaxSessionTimeout=4000", "zoo.cfg:3: minSessionTimeout (5s) is larger than maxSessionTimeout (4s)"},
		{"minSessionTimeout=90000", "zoo.cfg:3: minSessionTimeout (1m30s) is larger than maxSessionTimeout (1m0s): maxSessionTimeout is not set and is 20 times tickTime"},
		{"maxSessionTimeout=1", "zoo.cfg:3: minSessionTimeout (6s) is larger than maxSessionTimeout (1ms): minSessionTimeout is not set and is twice tickTime"},
		{"admin.commandURL=x", "zoo.cfg:3: admin.commandURL: \"x\" does not begin with a slash"},
		{"enforce.auth.enabled=true", "zoo.cfg:3: enforce.auth.enabled is true, so"},
		{limits + "server.1=a:1:2\nserver.2=b:1:2\nserver.03=c:1:2\ngroup.1=1:2", "zoo.cfg:7: server.3: server 3 is in no group: where there are lines group.N or weight.N, one of the groups must name it"},
		{limits + "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\nweight.1=2", "zoo.cfg:5: server.1: server 1 is in no group"},
		{limits + "server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1:2\ngroup.2=2", "zoo.cfg:8: group.2: server 2 is in group 1 and in group 2"},
		{limits + "server.1=a:1:2\ngroup.1=1:2", "zoo.cfg:6: group.1: it names server 2, for which there is no line"},
		{"server.1=a:1:2:observer", "zoo.cfg:3: server.1: there are observers and no participants"},
		{"standaloneEnabled=false", "zoo.cfg:3: standaloneEnabled is false, so"},
		{"server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2", "zoo.cfg: initLimit is not set"},
	} {
		if _, err := Parse([]byte(base+test.text), "zoo.cfg", nil, nil); err == nil || !strings.HasPrefix(err.Error(), test.says) {
			t.Errorf("%q:\ngot  %v\nwant %s", test.text, err, test.says)
		}
	}
}

func TestUnknownKeysSuggestTheNearest(t *testing.T) {
	for name, says := range map[string]string{
		"datadir": ", write dataDir", "zookeeper.snapCount": ", write snapCount", "TICKTIME": ", write tickTime",
		"tikcTime":              "; the nearest key that is known is tickTime",
		"maxClientCnxn":         "; the nearest key that is known is maxClientCnxns",
		"purgeInterval":         "; the nearest key that is known is autopurge.purgeInterval",
		"autopurge.purgeIntrvl": "; the nearest key that is known is autopurge.purgeInterval",
		"sever.1":               "; the nearest key that is known is server.1",
		"wieght.3":              "; the nearest key that is known is weight.3",
		"fooBar":                "", "": "", "x": "", "a.b": "",
	} {
		if got := suggest(name); got != says {
			t.Errorf("%q: %q, want %q", name, got, says)
		}
	}
}

// describe prints what a configuration says, but for its settings and warnings.
func describe(c *Config) string { return fmt.Sprintf("%+v %v", *c, c.Ensemble.Members) }
