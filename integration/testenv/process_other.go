//go:build !linux

package testenv

import "syscall"

func childAttr() *syscall.SysProcAttr { return nil }

// loopback is an address of this machine for a member. Only Linux has the whole
// range without further ado.
func loopback(int) string { return "127.0.0.1" }
