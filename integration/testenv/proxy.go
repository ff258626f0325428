package testenv

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Proxy passes bytes between clients and a server, and lets a test break their
// connections: a client that was cut off keeps its session and comes back.
type Proxy struct {
	Addr   string
	server string
	l      net.Listener
	wg     sync.WaitGroup
	mu     struct {
		sync.Mutex
		refuse bool
		conns  map[net.Conn]bool // both ends of every pair
	}
}

// StartProxy starts a proxy before the server; it ends with the test.
func StartProxy(t testing.TB, server string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), server: server, l: l}
	p.mu.conns = map[net.Conn]bool{}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.Cut()
		p.wg.Wait()
	})
	return p
}

func (p *Proxy) accept() {
	for {
		client, err := p.l.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.pair(client) })
	}
}

func (p *Proxy) pair(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	if !p.add(client, server) {
		return
	}
	defer p.remove(client, server)
	p.wg.Go(func() {
		_, _ = io.Copy(server, client)
		server.Close()
	})
	_, _ = io.Copy(client, server)
}

func (p *Proxy) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.mu.conns[c] = true
	}
	return !p.mu.refuse
}

func (p *Proxy) remove(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.mu.conns, c)
	}
}

// Drop breaks every connection; clients may come back at once.
func (p *Proxy) Drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.mu.conns {
		c.Close()
	}
}

// Cut breaks every connection and refuses new ones until Heal.
func (p *Proxy) Cut() {
	p.mu.Lock()
	p.mu.refuse = true
	p.mu.Unlock()
	p.Drop()
}

// Heal lets clients in again.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.refuse = false
}
