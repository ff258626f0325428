// Package rawclient is a ZooKeeper client without opinions, for tests: it sends
// what it is told, by package wire, one connection at a time, and shows every
// frame that comes back. It keeps no session alive, retries nothing, and lets a
// test send what no library would.
//
// A Conn is for one goroutine. Read conn.go, then call.go and dump.go.
package rawclient
