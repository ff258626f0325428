package quorum

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// Between members there are two networks, links for the election and channels
// for learners, and this is what both do with sockets: dial and listen.

const (
	defaultBindTries = 3
	// bindPause is the time between two tries to listen.
	bindPause = time.Second
	// nameLogEvery is how many tries to listen on a name that is not ready yet
	// come between two lines in the log.
	nameLogEvery = 10
	// acceptPauseMin and acceptPauseMax bound the wait after an accept that went
	// wrong, for want of file descriptors as a rule.
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

var errNoAddress = errors.New("no address is known")

// dialFunc connects to host:port.
type dialFunc func(ctx context.Context, addr string) (net.Conn, error)

// tcpDialer dials TCP, and looks names up each time. Small packets go out at
// once, as net has it.
func tcpDialer(keepAlive bool) dialFunc {
	d := net.Dialer{KeepAlive: keepAlivePeriod(keepAlive)}
	return func(ctx context.Context, addr string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
}

// keepAlivePeriod is the setting in terms of net: 0 is the system's period and
// below 0 is off.
func keepAlivePeriod(on bool) time.Duration {
	if on {
		return 0
	}
	return -1
}

// dialFirst connects to the first of addrs that answers. Each may take its
// share of the time that is left.
func dialFirst(ctx context.Context, dial dialFunc, addrs []string, timeout time.Duration) (net.Conn, error) {
	deadline := time.Now().Add(timeout)
	err := errNoAddress
	for i, addr := range addrs {
		share := time.Until(deadline) / time.Duration(len(addrs)-i)
		attempt, cancel := context.WithTimeout(ctx, share)
		nc, dialErr := dial(attempt, addr)
		cancel()
		if dialErr == nil {
			return nc, nil
		}
		if i == 0 {
			err = dialErr
		} else {
			err = fmt.Errorf("%w; %w", err, dialErr)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// troubleOf sorts the reasons why a member is not reached, so that a log tells
// of a change and not of every try.
func troubleOf(err error) string {
	var name *net.DNSError
	switch {
	case errors.As(err, &name):
		return "its name does not resolve"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "it refuses the connection"
	case isTimeout(err):
		return "it does not answer"
	}
	return err.Error()
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// ports are the listening sockets of one network, and the goroutines of the
// connections accepted there.
type ports struct {
	log       *zap.Logger
	keepAlive bool
	accepted  func(nc net.Conn) // has the goroutine and owns the connection
	ctx       context.Context   // ends the waiting in Listen
	// listener listens on an address, TCP if nil.
	listener func(ctx context.Context, addr string) (net.Listener, error)
	running  sync.WaitGroup

	mu struct {
		sync.Mutex
		closed    bool
		listeners []net.Listener
	}
}

// listen binds all addrs and accepts on them. Who restarts may find his port
// still taken, so it is tried several times.
func (p *ports) listen(addrs []string, tries int) error {
	if tries <= 0 {
		tries = defaultBindTries
	}
	var bound []net.Listener
	for _, addr := range addrs {
		l, err := p.bind(addr, tries)
		if err != nil {
			for _, l := range bound {
				l.Close()
			}
			return err
		}
		bound = append(bound, l)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range bound {
		if p.mu.closed {
			l.Close()
			continue
		}
		p.mu.listeners = append(p.mu.listeners, l)
		p.running.Go(func() { p.accept(l) })
	}
	return nil
}

// bind listens on addr. A name that nobody resolves yet, or that still stands for
// the address of a predecessor, is not counted as a try: where servers get their
// names when they are started, it comes within a while, and a wrong one is told
// once in a while.
func (p *ports) bind(addr string, tries int) (net.Listener, error) {
	listen := p.listener
	if listen == nil {
		config := net.ListenConfig{KeepAlive: keepAlivePeriod(p.keepAlive)}
		listen = func(ctx context.Context, addr string) (net.Listener, error) { return config.Listen(ctx, "tcp", addr) }
	}
	for try, waits := 1, 0; ; {
		l, err := listen(p.ctx, addr)
		if err == nil {
			return l, nil
		}
		if NameNotReady(addr, err) {
			if waits%nameLogEvery == 0 {
				p.log.Warn("this server's own name does not lead to this machine yet: trying again until it does, or until it is changed in the configuration",
					zap.String("address", addr), zap.Error(err))
			}
			waits++
		} else {
			if try >= tries {
				return nil, err // it names the address
			}
			try++
			p.log.Warn("cannot listen, trying again", zap.String("address", addr), zap.Error(err))
		}
		if !pause(p.ctx, bindPause) {
			return nil, err
		}
	}
}

// NameNotReady tells whether err, of an attempt to listen on addr (host:port), may
// go by itself: the host is a name, and it cannot be resolved, or is resolved to
// an address that this machine does not have.
func NameNotReady(addr string, err error) bool {
	host, _, splitErr := net.SplitHostPort(addr)
	if splitErr != nil || host == "" {
		return false
	}
	if _, parseErr := netip.ParseAddr(host); parseErr == nil {
		return false
	}
	var unresolved *net.DNSError
	return errors.As(err, &unresolved) || errors.Is(err, syscall.EADDRNOTAVAIL)
}

// pause waits, and is false if ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// accept is the goroutine of a listener. It ends with it only: what goes wrong
// for a while, like too many open files, must not cut a member off for good.
func (p *ports) accept(l net.Listener) {
	wait := acceptPauseMin
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			wait = acceptPauseMin
			p.running.Go(func() { p.accepted(nc) })
		case errors.Is(err, net.ErrClosed):
			return
		default:
			if wait == acceptPauseMin {
				p.log.Error("cannot accept connections for now", zap.Stringer("address", l.Addr()), zap.Error(err))
			}
			if !pause(p.ctx, wait) {
				return
			}
			wait = min(2*wait, acceptPauseMax)
		}
	}
}

// addrs is where it listens.
func (p *ports) addrs() (addrs []net.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.mu.listeners {
		addrs = append(addrs, l.Addr())
	}
	return addrs
}

// close ends the listening. The connections have to be ended by whom they were
// given to, before wait.
func (p *ports) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.closed = true
	for _, l := range p.mu.listeners {
		l.Close()
	}
}

// wait waits for the goroutines.
func (p *ports) wait() { p.running.Wait() }
