package testenv

import "syscall"

// childAttr makes a child die with the test binary, also when that panics on a
// timeout and runs no cleanup.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
