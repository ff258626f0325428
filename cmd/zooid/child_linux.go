package main

import "syscall"

// endsWithParent makes a child end in good order when this process ends,
// however that does.
func endsWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
}
