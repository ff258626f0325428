//go:build !defects

package main

import "errors"

var errNoDefects = errors.New("mistakes are only in a build with -tags defects")

func makeMistake(string) error { return errNoDefects }

func tabulate(*options) int {
	usage(errNoDefects)
	return 2
}
