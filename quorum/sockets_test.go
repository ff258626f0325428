package quorum

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// A member whose own name nobody resolves yet waits for it, as long as it takes,
// and says so now and then. What does not go by itself is tried so often only.
func TestBindWaitsForItsName(t *testing.T) {
	unresolved := &net.OpError{Op: "listen", Err: &net.DNSError{Err: "no such host", Name: "zoo1", IsNotFound: true}}
	moved := &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)}
	taken := &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	for _, test := range []struct {
		name, addr string
		err        error
		fails      int // before it would succeed
		tries      int // how often it is tried in all
		lines      int // warnings
		bound      bool
	}{
		{"not resolved yet", "zoo1:3888", unresolved, 95, 96, 10, true},
		{"resolved to a predecessor", "zoo1:3888", moved, 25, 26, 3, true},
		{"an address of another machine", "192.0.2.1:3888", moved, 25, 3, 2, false},
		{"taken", "zoo1:3888", taken, 25, 3, 2, false},
		{"taken for a moment", "zoo1:3888", taken, 2, 3, 2, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				core, logs := observer.New(zapcore.WarnLevel)
				tries := 0
				p := &ports{log: zap.New(core), ctx: t.Context(), listener: func(context.Context, string) (net.Listener, error) {
					if tries++; tries > test.fails {
						return nil, nil
					}
					return nil, test.err
				}}
				_, err := p.bind(test.addr, 3)
				if tries != test.tries || logs.Len() != test.lines || (err == nil) != test.bound {
					t.Errorf("%d tries, %d lines, %v; want %d, %d, bound %v", tries, logs.Len(), err, test.tries, test.lines, test.bound)
				}
			})
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	p := &ports{log: zap.NewNop(), ctx: ctx, listener: func(context.Context, string) (net.Listener, error) {
		cancel()
		return nil, unresolved
	}}
	if _, err := p.bind("zoo1:3888", 3); !errors.Is(err, unresolved) {
		t.Errorf("ended while waiting: %v", err)
	}
}
