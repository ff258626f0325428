// Package ensemble holds the drills of real ensembles: processes that are
// killed, paused, cut off from each other and from their disks while clients
// write and read, and what those clients then have a right to find.
//
//	go test ./integration/ensemble                        the short versions
//	ZOOID_DRILL=1 go test ./integration/ensemble          the long ones
//	go test ./integration/ensemble -run TestKillLeader -seed 7
//	ZOOID_TEST_TARGET=java go test ./integration/ensemble -run TestKill
//	ZOOID_TEST_TARGET=zooid+zooid+java go test ./integration/ensemble -run TestMix
//
// Each drill runs clients of package history from before its first fault until
// after its last. After every fault it demands that writes go on; at the end
// everything is healed, all members must serve and hold the same nodes, and the
// clients' history is judged. A drill that fails keeps the members' logs and
// directories and the history in a folder that it names, and says how it is
// repeated.
//
//	kill_test.go       kill -9 and SIGTERM of the leader, of followers, of all
//	pause_test.go      SIGSTOP of the leader for longer than syncLimit
//	network_test.go    partitions, also one-way; loss and delay
//	disk_test.go       a full disk, a slow disk, a disk that was replaced
//	mixed_test.go      a Java member under a Zooid leader, and the other way round
//	session_test.go    sessions that end, and others that must not
//	role_test.go       observers, and read-only mode in a minority
//	badpeer_test.go    garbage and impostors on the members' ports
//	memory_test.go     large values, and what stays live of them
//	oversized_test.go  clients that ask for what no member could read
//	baddata_test.go    epoch files, directories and ids that do not belong
//	lost_test.go       version-2 is lost while the ensemble is stopped
//	random_test.go     all kinds of faults, by dice
//
// What a drill needs beyond Go: Java and Maven where a member is Java's; root
// for namespaces and tun devices (network_test.go), for a tmpfs in a mount
// namespace and for loop devices and control groups (disk_test.go). A drill
// whose needs are not met is skipped with the reason, and fails if CI=true.
//
// Read drill_test.go first.
package ensemble
