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
func Word(addr, word string) (string, error) {
	nc, err := net.DialTimeout("tcp", addr, wordLimit)
	if err != nil {
		return "", err
	}
	return say(nc, word, wordLimit)
}

const wordLimit = 20 * time.Second

// Word sends the server a four-letter word, from where its clients are.
func (s *Server) Word(word string) (string, error) { return s.word(word, wordLimit) }

func (s *Server) word(word string, limit time.Duration) (string, error) {
	nc, err := s.Dial(limit)
	if err != nil {
		return "", err
	}
	return say(nc, word, limit)
}

// Dial connects to the server from where its clients are.
func (s *Server) Dial(limit time.Duration) (net.Conn, error) {
	if s.network != nil {
		return s.network.Dial(Clients, s.Addr, limit)
	}
	return net.DialTimeout("tcp", s.Addr, limit)
}

// say sends a word and returns what comes until the end.
func say(nc net.Conn, word string, limit time.Duration) (string, error) {
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
	return monitorValues(text)
}

// monitorValues reads the answer to mntr.
func monitorValues(text string) map[string]string {
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
