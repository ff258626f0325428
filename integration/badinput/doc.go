// Package badinput holds drills of what a server must bear: at its start, data
// directories and settings that are not right; in service, clients that send
// nonsense, read nothing, say nothing, or are very many.
//
//	go test ./integration/badinput
//
// Each bad input must get a clear message that names what and where, must lose
// nothing, and must not trouble anybody else. The drills of the start are
// Zooid's own (messages, exit codes); those in service run against every
// ZOOID_TEST_TARGET.
package badinput
