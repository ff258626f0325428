//go:build !linux

package testenv

import (
	"errors"
	"net"
	"os"
	"time"
)

var errLinux = errors.New("namespaces, tun devices and control groups are Linux's")

func (p *place) live(_, _ bool, ready chan<- error) { ready <- errLinux }

func (p *place) dial(addr string, limit time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", addr, limit)
}

func openTun(net.IP) (*os.File, error) { return nil, errLinux }

func mountMemory(string, int64) error { return errLinux }

func mountLoop(string, string, int64) error { return errLinux }

type throttle struct{}

func newThrottle(string, string, int) (*throttle, error) { return nil, errLinux }

func (g *throttle) take(int) error { return errLinux }

func (g *throttle) remove() error { return errLinux }
