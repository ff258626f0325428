// Package gozk holds the drill with the Go client library, unmodified: every
// operation of github.com/go-zookeeper/zk, its watches, its lock, its four-letter
// words, and its return after a lost connection.
//
//	go test ./integration/gozk
//	ZOOID_TEST_TARGET=java go test ./integration/gozk
//
// The library leaves out the readOnly byte of the handshake, numbers auth and
// setWatches like any request, and knows neither create2 nor addWatch: what it
// does not speak is drilled in javaclient.
package gozk
