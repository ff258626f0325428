// Package javaclient holds the drills with clients for the JVM, unmodified: the
// Java client of Apache ZooKeeper 3.9.5 with all its operations, its shell
// zkCli, and the recipes of Curator 5.7.1.
//
//	go test ./integration/javaclient
//	ZOOID_TEST_TARGET=java go test ./integration/javaclient
//
// The programs stand in testdata/java and report a line a check, which arrives
// here as a subtest; the shell's sessions stand in testdata/zkcli with what they
// must print.
package javaclient
