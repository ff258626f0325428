// Package config turns what an operator wrote into one validated value.
//
//	zoo.cfg text ─► properties ─┐
//	-D, JVMFLAGS ───────────────┼─► the table of keys ─► Config, warnings ─► Identify(myid) ─► Complete
//	ZOO_* variables ─► zoo.cfg ─┘      or an error for each thing that is wrong
//
// It is pure: texts and maps come in, values go out. The caller reads the files
// (zoo.cfg, the dynamic configuration, myid), logs the Warnings and carries the
// values to whoever needs them; nobody asks this package anything at run time.
//
// Promises:
//   - Every key of ZooKeeper 3.9 stands in one table with its default and with
//     what Zooid does about it: it takes effect, it is accepted with one warning
//     that it has none, or it is refused with the reason. A key that nobody
//     knows gets a warning. Nothing is ignored silently.
//   - What would leave open a door that the operator believes closed (TLS, SASL)
//     is refused, not ignored.
//   - Whatever Apache ZooKeeper 3.9 starts with, apart from what is refused by
//     name and members that nobody could reach or tell apart, gives a Config that
//     means the same. A number that ZooKeeper passes over gives way to the default
//     here too, with a warning.
//   - All that is wrong is reported at once, each with its place.
//   - Values of keys that hold secrets appear in no warning, error or listing.
//
// The syntax of zoo.cfg is that of java.util.Properties and is read here, not by
// a library: the one at hand differs from Java on continuation lines that end in
// CR LF, continuation inside a key, empty keys, a backslash at the end of the
// file and surrogate pairs, and leaves a goroutine behind for each error.
//
// Read config.go for the result, keys.go and propertykeys.go for the table
// with key.go for its columns, parse.go, identify.go and complete.go for the
// order of things, suggest.go for keys that nobody knows, settings.go for the
// listing, member.go and membership.go for server lines, docker.go and flags.go
// for the surroundings in which servers are started, and syntax.go for the syntax.
package config
