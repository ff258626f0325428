package main

import (
	"math"
	"testing"
)

func TestClientMemory(t *testing.T) {
	for limit, want := range map[int64]int64{
		0:        clientMemoryDefault, // no limit
		64 << 20: clientMemoryMin,
		1 << 30:  128 << 20,
		64 << 30: clientMemoryMax,
	} {
		if got := clientMemory(limit); got != want {
			t.Errorf("under a limit of %d clients may take %d bytes, want %d", limit, got, want)
		}
	}
}

func TestParseMemoryLimit(t *testing.T) {
	for text, want := range map[string]int64{
		"1073741824\n": 1 << 30, "max\n": math.MaxInt64, "": math.MaxInt64, "-1": math.MaxInt64,
	} {
		if got := parseMemoryLimit(text); got != want {
			t.Errorf("%q is read as %d, want %d", text, got, want)
		}
	}
}
