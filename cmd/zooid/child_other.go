//go:build !linux

package main

import "syscall"

// endsWithParent cannot be had here: a child outlives this process if that is
// killed.
func endsWithParent() *syscall.SysProcAttr { return nil }
