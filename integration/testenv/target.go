package testenv

import (
	"net"
	"os"
	"strings"
	"testing"
)

// The kinds of servers that a suite can run against.
const (
	KindZooid    = "zooid"
	KindJava     = "java"
	KindExternal = "external"
)

// Targets are the kinds, or addresses, that ZOOID_TEST_TARGET asks for.
func Targets() []string {
	list := os.Getenv("ZOOID_TEST_TARGET")
	if list == "" {
		list = KindZooid
	}
	return strings.Split(list, ",")
}

// EachTarget runs test as a subtest against every target, on a server with cfg.
// Those that run already are taken as they are.
func EachTarget(t *testing.T, cfg Config, test func(t *testing.T, s *Server)) {
	for _, target := range Targets() {
		t.Run(strings.ReplaceAll(target, ":", "_"), func(t *testing.T) {
			test(t, Open(t, target, cfg))
		})
	}
}

// Open starts a server of the target's kind, or looks for the one at the
// target's address.
func Open(t testing.TB, target string, cfg Config) *Server {
	t.Helper()
	if target == KindZooid || target == KindJava {
		return Start(t, target, cfg)
	}
	if _, _, err := net.SplitHostPort(target); err != nil {
		t.Fatalf("target %q is neither %s, %s nor host:port", target, KindZooid, KindJava)
	}
	s := &Server{t: t, Kind: KindExternal, Addr: target}
	if err := s.answers(); err != nil {
		t.Fatalf("no server at %s: %v", target, err)
	}
	return s
}
