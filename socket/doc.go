// Package socket writes to connections without ever blocking.
//
//	Write ─► write(2), once ─► how much the socket took; the rest is the caller's
//
// Loops that must not wait for anybody, towards clients and between members,
// try a write themselves and leave what does not fit to a goroutine. Read
// writer.go.
package socket
