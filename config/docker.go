package config

import "strings"

// dockerLines are the lines that the official image's entry point writes into a
// new zoo.cfg, their variables, and the values that the image gives them.
var dockerLines = []struct{ key, variable, def string }{
	{"dataDir", "ZOO_DATA_DIR", "/data"},
	{"dataLogDir", "ZOO_DATA_LOG_DIR", "/datalog"},
	{"tickTime", "ZOO_TICK_TIME", "2000"},
	{"initLimit", "ZOO_INIT_LIMIT", "5"},
	{"syncLimit", "ZOO_SYNC_LIMIT", "2"},
	{"autopurge.snapRetainCount", "ZOO_AUTOPURGE_SNAPRETAINCOUNT", "3"},
	// The image turns purging off where nobody asks for it; here an absent key
	// leaves it on, and ZOO_AUTOPURGE_PURGEINTERVAL=0 turns it off.
	{"autopurge.purgeInterval", "ZOO_AUTOPURGE_PURGEINTERVAL", ""},
	{"maxClientCnxns", "ZOO_MAX_CLIENT_CNXNS", "60"},
	{"standaloneEnabled", "ZOO_STANDALONE_ENABLED", "true"},
	{"admin.enableServer", "ZOO_ADMINSERVER_ENABLED", "true"},
}

// Docker does what the entry point of ZooKeeper's official image does with its
// ZOO_* variables: zooCfg is the text for $ZOO_CONF_DIR/zoo.cfg (/conf) and
// myid that for $ZOO_DATA_DIR/myid (/data). The caller writes each only where
// there is no such file. A variable that is empty counts as absent.
func Docker(env map[string]string) (zooCfg, myid string) {
	or := func(variable, def string) string {
		if v := env[variable]; v != "" {
			return v
		}
		return def
	}
	var b strings.Builder
	for _, l := range dockerLines {
		if value := or(l.variable, l.def); value != "" {
			b.WriteString(l.key + "=" + value + "\n")
		}
	}
	for line := range strings.FieldsSeq(or("ZOO_SERVERS", "server.1=localhost:2888:3888;2181")) {
		b.WriteString(line + "\n")
	}
	if words := env["ZOO_4LW_COMMANDS_WHITELIST"]; words != "" {
		b.WriteString("4lw.commands.whitelist=" + words + "\n")
	}
	for line := range strings.FieldsSeq(env["ZOO_CFG_EXTRA"]) {
		b.WriteString(line + "\n")
	}
	return b.String(), or("ZOO_MY_ID", "1") + "\n"
}
