package config

import "strings"

// jvmFlags reads the options for the Java virtual machine that zkServer.sh
// takes from the environment: -Dname=value as properties, and the rest by name.
// JVMFLAGS comes last on its command line and so wins over SERVER_JVMFLAGS.
// As in the script, words are parted at white space and quotes mean nothing.
func jvmFlags(env map[string]string) (props map[string]given, others []string) {
	props = map[string]given{}
	const noCreate = "zookeeper.datadir.autocreate"
	if env["ZOO_DATADIR_AUTOCREATE_DISABLE"] != "" {
		props[noCreate] = given{noCreate, "false", "ZOO_DATADIR_AUTOCREATE_DISABLE"}
	}
	for _, variable := range []string{"SERVER_JVMFLAGS", "JVMFLAGS"} {
		for word := range strings.FieldsSeq(env[variable]) {
			if definition, ok := strings.CutPrefix(word, "-D"); ok && definition != "" {
				name, value, _ := strings.Cut(definition, "=")
				props[name] = given{name, value, variable}
			} else {
				name, _, _ := strings.Cut(word, "=") // what stands behind it may be a secret
				others = append(others, name)
			}
		}
	}
	return props, others
}
