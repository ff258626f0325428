// Package socket has what connections to clients and between members have in
// common: writes that never block, and one bound for the memory of all.
//
//	Write ─► write(2), once ─► how much the socket took; the rest is the caller's
//	Account.Hold ─► Budget ─► too much in all: the connection that holds the most ends
//
// Loops that must not wait for anybody try a write themselves and leave what
// does not fit to a goroutine; a Budget bounds what then waits. Read writer.go
// and budget.go.
package socket
