package testenv

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// Clients is the number of the host, on a Network, from which the test's own
// clients connect.
const Clients = 0

// tunMTU is the longest packet on a Network.
const tunMTU = 9000

// linkQueue is how many packets wait on a link before the next are lost.
const linkQueue = 4096

// Link is how packets go from one host to another, one way.
type Link struct {
	Down   bool    // nothing arrives, and nobody is told
	Loss   float64 // share of the packets that are lost
	Delay  time.Duration
	Jitter time.Duration // up to so much more delay; packets keep their order
}

// Network is a number of hosts, each in a network namespace of its own, and the
// only wire between them: this process passes the packets on, or does not. It
// needs no more of the system than namespaces and tun devices, and leaves
// nothing behind.
//
//	member's process ─► tun device ─► [ rules of the link ] ─► tun device ─► process
type Network struct {
	hosts map[int]*netHost
	seed  uint64
	wg    sync.WaitGroup
	mu    struct {
		sync.Mutex
		links map[[2]int]Link
	}
}

// netHost is one end: the namespace, and the device from which its packets come.
type netHost struct {
	place *place
	tun   *os.File
	out   map[int]chan netPacket // to each other host
}

type netPacket struct {
	at   time.Time // when it arrives
	body []byte
}

// NeedNetwork makes a network of the hosts 0 … members, of which 0 is Clients,
// and ends the test (see package) if the system does not let it. The seed is
// that of losses and jitter.
func NeedNetwork(t testing.TB, members int, seed uint64) *Network {
	t.Helper()
	n := &Network{hosts: map[int]*netHost{}, seed: seed}
	n.mu.links = map[[2]int]Link{}
	for i := range members + 1 {
		h, err := n.newHost(t, i)
		if err != nil {
			missing(t, "hosts in namespaces: %v", err)
		}
		n.hosts[i] = h
	}
	for from, h := range n.hosts {
		h.out = map[int]chan netPacket{}
		for to := range n.hosts {
			if to != from {
				h.out[to] = make(chan netPacket, linkQueue)
			}
		}
	}
	for from, h := range n.hosts {
		n.wg.Go(func() { n.route(from, h) })
		for to, queue := range h.out {
			n.wg.Go(func() { n.deliver(queue, n.hosts[to]) })
		}
	}
	t.Cleanup(func() {
		for _, h := range n.hosts {
			h.tun.Close()
		}
		n.wg.Wait()
	})
	return n
}

func (n *Network) newHost(t testing.TB, i int) (*netHost, error) {
	p, err := newPlace(t, true, true)
	if err != nil {
		return nil, err
	}
	h := &netHost{place: p}
	err = p.do(func() (err error) {
		h.tun, err = openTun(net.ParseIP(n.ip(i)))
		return err
	})
	return h, err
}

// ip is the address of a host. It exists only in the hosts' namespaces.
func (n *Network) ip(host int) string { return fmt.Sprintf("10.77.0.%d", host+1) }

// route takes what a host sends and puts it on the links.
func (n *Network) route(from int, h *netHost) {
	defer func() {
		for _, queue := range h.out {
			close(queue)
		}
	}()
	r := rand.New(rand.NewPCG(n.seed, uint64(from)))
	last := map[int]time.Time{}
	buf := make([]byte, tunMTU)
	for {
		size, err := h.tun.Read(buf)
		if err != nil {
			return
		}
		// The receiver's number is the last byte of the address, in an IPv4 header.
		if size < 20 || buf[0]>>4 != 4 {
			continue
		}
		to := int(buf[19]) - 1
		queue := h.out[to]
		link := n.link(from, to)
		if queue == nil || link.Down || link.Loss > 0 && r.Float64() < link.Loss {
			continue
		}
		p := netPacket{body: append([]byte(nil), buf[:size]...)}
		if link.Delay+link.Jitter > 0 {
			p.at = time.Now().Add(link.Delay)
			if link.Jitter > 0 {
				p.at = p.at.Add(time.Duration(r.Int64N(int64(link.Jitter))))
			}
			if p.at.Before(last[to]) {
				p.at = last[to]
			}
			last[to] = p.at
		}
		select {
		case queue <- p:
		default:
		}
	}
}

// deliver hands a link's packets to their receiver when their time has come.
func (n *Network) deliver(queue <-chan netPacket, to *netHost) {
	for p := range queue {
		if !p.at.IsZero() {
			time.Sleep(time.Until(p.at)) // it is what a long line does
		}
		_, _ = to.tun.Write(p.body) // a host that is gone loses its packets
	}
}

func (n *Network) link(from, to int) Link {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.links[[2]int{from, to}]
}

// Set sets how packets go from one host to another, from now on; the way back
// is another link.
func (n *Network) Set(from, to int, l Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.links[[2]int{from, to}] = l
}

// SetAll sets all links, in both directions.
func (n *Network) SetAll(l Link) {
	for from := range n.hosts {
		for to := range n.hosts {
			n.Set(from, to, l)
		}
	}
}

// Part cuts the links between the hosts of two groups, both ways.
func (n *Network) Part(a, b []int) {
	n.PartOneWay(a, b)
	n.PartOneWay(b, a)
}

// PartOneWay cuts the links from the hosts of one group to those of another:
// the others are heard, and do not hear.
func (n *Network) PartOneWay(from, to []int) {
	for _, a := range from {
		for _, b := range to {
			n.Set(a, b, Link{Down: true})
		}
	}
}

// Heal makes all links good.
func (n *Network) Heal() { n.SetAll(Link{}) }

// Dial connects to addr from a host.
func (n *Network) Dial(host int, addr string, limit time.Duration) (net.Conn, error) {
	return n.hosts[host].place.dial(addr, limit)
}
