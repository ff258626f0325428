package testenv

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// Word sends a four-letter word and returns the answer.
func Word(addr, word string) (string, error) { return wordWithin(addr, word, 20*time.Second) }

func wordWithin(addr, word string, limit time.Duration) (string, error) {
	nc, err := net.DialTimeout("tcp", addr, limit)
	if err != nil {
		return "", err
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(limit)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(nc, word); err != nil {
		return "", err
	}
	b, err := io.ReadAll(nc)
	return string(b), err
}

// Monitor returns the values of mntr by key, without the zk_ in front.
func Monitor(t testing.TB, addr string) map[string]string {
	t.Helper()
	text, err := Word(addr, "mntr")
	if err != nil {
		t.Fatalf("mntr: %v", err)
	}
	values := map[string]string{}
	for _, line := range strings.Split(text, "\n") {
		if key, value, ok := strings.Cut(line, "\t"); ok {
			values[strings.TrimPrefix(key, "zk_")] = value
		}
	}
	return values
}

// Await polls cond until it is true, and fails the test when it is not within
// the limit. It is for what another process does, which sends no event.
func Await(t testing.TB, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}

// Root makes a path for a suite's own nodes, so that suites do not meet on a
// server that outlives them.
func Root(name string) string {
	return fmt.Sprintf("/zt-%s-%x", name, time.Now().UnixNano())
}
