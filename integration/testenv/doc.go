// Package testenv gives the drills of package integration what they need from
// outside: servers to talk to, programs of other people's clients, and proxies
// that break connections.
//
//	cache folder ◄─ mvn, pip, javac, go build          (once a machine)
//	     │
//	     ├─► Start ─────────► *Server: address, data directory, kill, restart
//	     ├─► StartEnsemble ─► *Ensemble of *Member: roles, pauses, disks
//	     │        └── NeedNetwork: members as hosts whose links break and delay
//	     └─► RunChecks: a client program in Java or Python, one line a check
//
// What is fetched comes by the ordinary package clients and is kept in the
// folder that ZOOID_TEST_CACHE names, or zooid-test in the user's cache folder.
// A suite whose tools are missing is skipped with the reason; with CI=true in
// the environment it fails instead.
//
// ZOOID_TEST_TARGET says what the suites run against: zooid (the default), java
// (Apache ZooKeeper, to check the suites themselves), host:port of a server
// that runs already, or several of them with commas between. The external
// server must have the settings of BaseConfig, and be one that may be soiled.
// Drills of ensembles also take the kinds of the members, as in
// zooid+zooid+java, and no addresses.
//
// Everything listens on loopback addresses only, or in network namespaces.
// Every process that a test starts ends with the test, by its pid; namespaces,
// mounts and loop devices end with the processes in them. At most one server
// JVM, or one ensemble of them, and one client JVM run at a time on a machine:
// see jvm.go.
//
// Read target.go and server.go, then ensemble.go and member.go, network.go with
// place.go, disk.go; then checks.go and the rest as needed.
package testenv
