// Package recorded has what servers of Apache ZooKeeper 3.9.5 said to each other
// in fifteen scenes, from a first election to a local session: byte for byte, as
// it was captured on the loopback interface of one machine. The tests of every
// package that speaks between members are held to the same recordings.
//
//	go test ./wire ./zab ./peer ./quorum ./store
//
// It imports nothing of ours, so that wire's own tests can use it.
package recorded
