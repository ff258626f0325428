package testenv

import (
	"fmt"
	"syscall"
)

// childAttr makes a child die with the test binary, also when that panics on a
// timeout and runs no cleanup.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// loopback is an address of this machine for a member: each has its own.
func loopback(sid int) string { return fmt.Sprintf("127.0.0.%d", sid) }
