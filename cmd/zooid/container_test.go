package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// imageEnvironment is the environment of ZooKeeper's image, on directories of a test.
func imageEnvironment(t *testing.T, more ...string) map[string]string {
	root := t.TempDir()
	env := map[string]string{
		"ZOO_CONF_DIR": filepath.Join(root, "conf"), "ZOO_DATA_DIR": filepath.Join(root, "data"),
		"ZOO_DATA_LOG_DIR": filepath.Join(root, "datalog"),
	}
	for _, kv := range more {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	return env
}

func zooCfgOf(env map[string]string) string { return filepath.Join(env["ZOO_CONF_DIR"], "zoo.cfg") }
func myidOf(env map[string]string) string   { return filepath.Join(env["ZOO_DATA_DIR"], "myid") }

// As by the entry point of ZooKeeper's image, the variables make zoo.cfg and myid.
func TestContainerVariables(t *testing.T) {
	env := imageEnvironment(t, "ZOO_TICK_TIME=1500", "ZOO_MY_ID=3", "ZOO_SERVERS=server.3=localhost:2888:3888;2199")
	cfg, err := readConfig("", env)
	if err != nil {
		t.Fatal(err)
	}
	file := zooCfgOf(env)
	if cfg.Source != file || cfg.Clients.Addr.Port != 2199 || cfg.Ensemble.SID != 3 || cfg.Sessions.Tick.Milliseconds() != 1500 {
		t.Errorf("%+v", cfg)
	}
	if cfg.Storage.DataDir != env["ZOO_DATA_DIR"] || cfg.Storage.LogDir != env["ZOO_DATA_LOG_DIR"] {
		t.Errorf("%+v", cfg.Storage)
	}
	if myid := read(t, myidOf(env)); myid != "3\n" {
		t.Errorf("myid is %q", myid)
	}
	written := read(t, file)
	for _, dir := range []string{env["ZOO_CONF_DIR"], env["ZOO_DATA_DIR"]} {
		if list, err := os.ReadDir(dir); len(list) != 1 || err != nil {
			t.Errorf("%s has %v, %v", dir, list, err)
		}
	}

	delete(env, "ZOO_MY_ID")
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if cfg, err = readConfig("", env); err != nil || cfg.Sessions.Tick.Milliseconds() != 1500 || cfg.Ensemble.SID != 3 {
		t.Errorf("the second start has %+v, %v", cfg, err)
	}
	if after, err := os.Stat(file); err != nil || !os.SameFile(before, after) || read(t, file) != written {
		t.Errorf("zoo.cfg was written again:\n%s", read(t, file))
	}
	// A file that is named wins over the variables.
	other := write(t, filepath.Join(t.TempDir(), "other.cfg"), "clientPort=2200\ndataDir="+t.TempDir()+"\n")
	if cfg, err = readConfig(other, env); err != nil || cfg.Clients.Addr.Port != 2200 {
		t.Errorf("with a file: %+v, %v", cfg, err)
	}
}

// The variables of the official image, each alone.
func TestContainerVariable(t *testing.T) {
	const servers = "ZOO_SERVERS=server.1=a:2888:3888;2181 server.2=b:2888:3888;2182 server.3=c:2888:3888;2183"
	for _, c := range []struct {
		env  []string
		want func(e effects) bool
	}{
		{nil, func(e effects) bool {
			return !e.distributed && e.port == 2181 && e.sid == 1 && e.tick == 2*time.Second && e.admin
		}},
		{[]string{"ZOO_MY_ID=2", servers}, func(e effects) bool { return e.distributed && e.sid == 2 && e.port == 2182 }},
		{[]string{servers}, func(e effects) bool {
			return e.distributed && e.sid == 1 && e.port == 2181 && e.init == 5 && e.sync == 2
		}},
		{[]string{servers, "ZOO_INIT_LIMIT=20", "ZOO_SYNC_LIMIT=7"}, func(e effects) bool { return e.init == 20 && e.sync == 7 }},
		{[]string{"ZOO_STANDALONE_ENABLED=false"}, func(e effects) bool { return e.distributed && e.sid == 1 }},
		{[]string{"ZOO_ADMINSERVER_ENABLED=false"}, func(e effects) bool { return !e.admin }},
		{[]string{"ZOO_MAX_CLIENT_CNXNS=7"}, func(e effects) bool { return e.maxPerIP == 7 }},
		{[]string{"ZOO_AUTOPURGE_PURGEINTERVAL=12", "ZOO_AUTOPURGE_SNAPRETAINCOUNT=9"}, func(e effects) bool { return e.purge == 12*time.Hour && e.retain == 9 }},
		{[]string{"ZOO_4LW_COMMANDS_WHITELIST=mntr, conf,ruok"}, func(e effects) bool { return e.words == "mntr, conf,ruok" }},
		{[]string{"ZOO_CFG_EXTRA=maxCnxns=5 readonlymode.enabled=true"}, func(e effects) bool { return e.maxTotal == 5 && e.readOnly }},
		// What there is no variable for comes as a property for Java.
		{[]string{"JVMFLAGS=-Xmx512m -Dreadonlymode.enabled=true"}, func(e effects) bool { return e.readOnly }},
		{[]string{"SERVER_JVMFLAGS=-Dreadonlymode.enabled=true -Dzookeeper.maxCnxns=6"}, func(e effects) bool { return e.readOnly && e.maxTotal == 6 }},
		{[]string{"SERVER_JVMFLAGS=-Djute.maxbuffer=5", "JVMFLAGS=-Djute.maxbuffer=0x6"}, func(e effects) bool { return e.frame == 6 }},
		{[]string{"JVMFLAGS=-Dzookeeper.4lw.commands.whitelist=*"}, func(e effects) bool { return e.words == "*" }},
		{[]string{"JVMFLAGS=-Dzookeeper.maxCnxns=6", "ZOO_CFG_EXTRA=maxCnxns=5"}, func(e effects) bool { return e.maxTotal == 5 }},
		{[]string{"ZOO_DATADIR_AUTOCREATE_DISABLE=1"}, func(e effects) bool { return !e.autoCreate }},
		{[]string{"ZOO_SERVERS=", "ZOO_MY_ID=", "ZOO_TICK_TIME=", "ZOO_CFG_EXTRA="}, func(e effects) bool { return e.port == 2181 && e.sid == 1 && e.tick == 2*time.Second }},
	} {
		t.Run(strings.Join(c.env, " "), func(t *testing.T) {
			cfg, err := readConfig("", imageEnvironment(t, c.env...))
			if err != nil {
				t.Fatal(err)
			}
			e := effects{distributed: cfg.Distributed(), sid: int64(cfg.Ensemble.SID), port: cfg.Clients.Addr.Port, tick: cfg.Sessions.Tick,
				init: cfg.Ensemble.InitLimitTicks, sync: cfg.Ensemble.SyncLimitTicks, admin: cfg.Admin.Enabled,
				maxPerIP: cfg.Clients.MaxPerIP, maxTotal: cfg.Clients.MaxTotal, purge: cfg.Storage.PurgeInterval, retain: cfg.Storage.SnapRetain,
				words: cfg.Clients.FourLetterWhitelist, readOnly: cfg.Clients.ReadOnlyMode, frame: cfg.Clients.MaxFrameBytes, autoCreate: cfg.Storage.AutoCreate}
			if !c.want(e) {
				t.Errorf("got %+v", e)
			}
		})
	}
}

// effects are what the variables of a container can change.
type effects struct {
	distributed, admin, readOnly, autoCreate            bool
	sid                                                 int64
	port, init, sync, maxPerIP, maxTotal, retain, frame int
	tick, purge                                         time.Duration
	words                                               string
}

// A zoo.cfg and a myid that are mounted are taken as they are.
func TestContainerFilesThatAreMounted(t *testing.T) {
	env := imageEnvironment(t, "ZOO_TICK_TIME=1500", "ZOO_SERVERS=server.1=localhost:2888:3888;2199")
	const text = "tickTime=700\ninitLimit=5\nsyncLimit=2\nserver.7=a:2888:3888;2187\nserver.8=b:2888:3888;2188\nserver.9=c:2888:3888;2189\n"
	write(t, zooCfgOf(env), text+"dataDir="+env["ZOO_DATA_DIR"]+"\n")
	write(t, myidOf(env), "8\n")
	if err := os.Chmod(env["ZOO_CONF_DIR"], 0o555); err != nil { // as a ConfigMap is
		t.Fatal(err)
	}
	cfg, err := readConfig("", env)
	if err != nil || cfg.Ensemble.SID != 8 || cfg.Clients.Addr.Port != 2188 || cfg.Sessions.Tick.Milliseconds() != 700 {
		t.Fatalf("%+v, %v", cfg, err)
	}
	// Without a myid the variable counts, which is 1 if it is missing.
	if err := os.Remove(myidOf(env)); err != nil {
		t.Fatal(err)
	}
	env["ZOO_MY_ID"] = "9"
	if cfg, err = readConfig("", env); err != nil || cfg.Ensemble.SID != 9 {
		t.Errorf("with ZOO_MY_ID: %+v, %v", cfg, err)
	}
	if err := os.Remove(myidOf(env)); err != nil {
		t.Fatal(err)
	}
	delete(env, "ZOO_MY_ID")
	if _, err := readConfig("", env); err == nil || !strings.Contains(err.Error(), "myid says 1, but there is no line server.1") {
		t.Errorf("without any number: %v", err)
	}
	// A zoo.cfg that names another directory names another myid.
	other := t.TempDir()
	write(t, zooCfgOf(env), "clientPort=2181\ndataDir="+other+"\n")
	env["ZOO_MY_ID"] = "9"
	if cfg, err = readConfig("", env); err != nil || cfg.Storage.DataDir != other {
		t.Errorf("with another directory: %+v, %v", cfg, err)
	}
}

// A server takes part under one number only.
func TestContainerNumber(t *testing.T) {
	const servers = "ZOO_SERVERS=server.1=a:2888:3888;2181 server.2=b:2888:3888;2181 server.3=c:2888:3888;2181"
	for _, c := range []struct {
		name, variable, myid string
		servers              string
		says                 string // "" = all is well
	}{
		{"the same", "2", "2\n", servers, ""},
		{"the same, spelled otherwise", "02", " 2", servers, ""},
		{"another", "1", "2\n", servers, "ZOO_MY_ID says 1, but the file myid in "},
		{"another, alone", "4", "3\n", "", "ZOO_MY_ID says 4, but the file myid in "},
		{"no variable", "", "3\n", servers, ""},
		{"no member", "4", "", servers, "myid says 4, but there is no line server.4"},
		{"no number", "zoo1", "", servers, `ZOO_MY_ID: "zoo1" is not a number`},
		{"no number, with a file", "zoo1", "1\n", servers, `ZOO_MY_ID: "zoo1" is not a number`},
		{"a file without a number", "1", "\n", servers, `myid: "" is not a number`},
		{"a large one", "300", "", servers + " server.300=d:2888:3888;2181", ""},
		{"below 0", "-1", "", servers + " server.-1=d:2888:3888;2181", "a server's number must not be below 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := imageEnvironment(t, "ZOO_MY_ID="+c.variable, c.servers)
			if c.myid != "" {
				write(t, myidOf(env), c.myid)
			}
			_, err := readConfig("", env)
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("got %v, want %q", err, c.says)
			}
			if code := exitCode(withCode(exitUsage, err)); err != nil && code != exitUsage {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// Variables that are wrong leave nothing behind: when they are right the next
// start has them.
func TestContainerVariablesThatAreWrong(t *testing.T) {
	for _, c := range []struct{ wrong, says string }{
		{"ZOO_SERVERS=server.1=a:2888", "zoo.cfg from the ZOO_* variables:"},
		{"ZOO_TICK_TIME=fast", `tickTime: "fast" is not a whole number`},
		{"ZOO_MY_ID=one", `ZOO_MY_ID: "one" is not a number`},
		{"ZOO_MY_ID=4", "zoo.cfg from the ZOO_* variables: myid says 4, but there is no line server.4"},
		{"ZOO_SERVERS=server.2=a:2888:3888;2181 server.3=b:2888:3888;2181", "zoo.cfg from the ZOO_* variables: myid says 1, but there is no line server.1"},
		{"ZOO_SERVERS=server.1=a:2888:3888;2181 server.2=a:2888:3888;2181", "server.1 and server.2 have the same address"},
		{"ZOO_SERVERS=server.1=a:2888:3888;2181 server.2=b:2888:3888:observer", "there are observers and one participant"},
		{"ZOO_CFG_EXTRA=sslQuorum=true", "TLS is not served yet"},
	} {
		const servers = "ZOO_SERVERS=server.1=a:2888:3888;2181 server.2=b:2888:3888;2181 server.3=c:2888:3888;2181"
		env := imageEnvironment(t, servers, c.wrong)
		_, err := readConfig("", env)
		if err == nil {
			t.Errorf("%s: accepted", c.wrong)
			continue
		}
		if exists(zooCfgOf(env)) || exists(myidOf(env)) {
			t.Errorf("%s has left files", c.wrong)
		}
		wantCode(t, exitUsage, exitCode(withCode(exitUsage, err)), err.Error(), c.says)
		name, _, _ := strings.Cut(c.wrong, "=")
		delete(env, name)
		if _, err := readConfig("", env); err != nil {
			t.Errorf("after %s: %v", c.wrong, err)
		}
	}
}

func TestContainerDirectoriesThatCannotBeMade(t *testing.T) {
	root := t.TempDir()
	file := write(t, filepath.Join(root, "file"), "")
	_, err := readConfig("", map[string]string{"ZOO_CONF_DIR": filepath.Join(file, "conf"), "ZOO_DATA_DIR": root})
	wantCode(t, exitUsage, exitCode(withCode(exitUsage, err)), err.Error(), "ZOO_CONF_DIR", file)
	_, err = readConfig("", map[string]string{"ZOO_CONF_DIR": root, "ZOO_DATA_DIR": filepath.Join(file, "data")})
	wantCode(t, exitDataDir, exitCode(withCode(exitUsage, err)), err.Error(), "ZOO_DATA_DIR", file)
}

// What was made from variables is made again when they change. What an operator
// has written or edited stays, and the log says so.
func TestContainerVariablesThatChange(t *testing.T) {
	const servers = "ZOO_SERVERS=server.1=a:2888:3888;2181 server.2=b:2888:3888;2181 server.3=c:2888:3888;2181"
	env := imageEnvironment(t, servers, "ZOO_TICK_TIME=1500")
	if _, err := readConfig("", env); err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(read(t, zooCfgOf(env)), "\n")
	if !strings.HasPrefix(first, "# Made by zooid from the ZOO_* variables") {
		t.Errorf("the first line of zoo.cfg is %q", first)
	}
	env["ZOO_TICK_TIME"] = "1700"
	cfg, err := readConfig("", env)
	if err != nil || cfg.Sessions.Tick != 1700*time.Millisecond || !strings.Contains(read(t, zooCfgOf(env)), "tickTime=1700\n") {
		t.Errorf("after a change: %+v, %v\n%s", cfg, err, read(t, zooCfgOf(env)))
	}
	// Variables that are wrong now do not spoil what was right.
	right := read(t, zooCfgOf(env))
	env["ZOO_TICK_TIME"] = "fast"
	if _, err := readConfig("", env); err == nil || read(t, zooCfgOf(env)) != right {
		t.Errorf("wrong variables: %v\n%s", err, read(t, zooCfgOf(env)))
	}
	// Edited, it is the operator's.
	write(t, zooCfgOf(env), right+"maxCnxns=3\n")
	env["ZOO_TICK_TIME"] = "1900"
	cfg, err = readConfig("", env)
	if err != nil || cfg.Sessions.Tick != 1700*time.Millisecond || cfg.Clients.MaxTotal != 3 {
		t.Fatalf("edited: %+v, %v", cfg, err)
	}
	if said := strings.Join(cfg.Warnings, "\n"); !strings.Contains(said, "has been edited since: it counts, and the variables do not") {
		t.Errorf("it does not say that the variables do not count: %s", said)
	}
}

// To look at a configuration writes nothing.
func TestLookingWritesNothing(t *testing.T) {
	env := imageEnvironment(t, "ZOO_CFG_EXTRA=preAllocSize=64M")
	for k, v := range env {
		t.Setenv(k, v)
	}
	for _, flag := range []string{"--check", "--print-config"} {
		code, out, stderr := zooid("serve", flag)
		wantCode(t, 0, code, out+stderr, "64M")
		if exists(env["ZOO_CONF_DIR"]) || exists(env["ZOO_DATA_DIR"]) {
			t.Errorf("%s has made files", flag)
		}
	}
	code, out, stderr := zooid("serve", "--check")
	wantCode(t, 0, code, out+stderr, "warning: ", "preAllocSize", "so the default 65536 holds", "a server would start with it")
	t.Setenv("ZOO_SERVERS", "server.1=a")
	code, out, stderr = zooid("serve", "--check")
	wantCode(t, exitUsage, code, out+stderr, "server.1", "is not of the form")
}
