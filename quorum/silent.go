package quorum

import (
	"net"
	"net/netip"
	"sync"
)

// silentMax is how many accepted connections of one port may have said nothing
// yet. At the bound the oldest is closed, one from a member's address last.
const silentMax = 256

// silentShare is how many of them may come from one address that is no member's;
// at the bound the oldest from there is closed.
const silentShare = silentMax / 4

// silentConns are the accepted connections of a port that have said nothing yet.
// Who comes last is let in: a member says who it is at once, and who only holds
// connections open must not keep it out.
type silentConns struct {
	member func(netip.Addr) bool // nil: nobody is known

	mu sync.Mutex
	// list has them in the order of their arrival.
	list []*silentConn
}

type silentConn struct {
	nc     net.Conn
	addr   netip.Addr
	member bool
}

// remoteAddr is the address at a connection's other end, without the port; the
// zero one if it has none.
func remoteAddr(nc net.Conn) netip.Addr {
	if ap, err := netip.ParseAddrPort(nc.RemoteAddr().String()); err == nil {
		return ap.Addr().Unmap()
	}
	return netip.Addr{}
}

// admit takes a connection in. It may close another one, which then fails to read.
func (s *silentConns) admit(nc net.Conn) *silentConn {
	c := &silentConn{nc: nc, addr: remoteAddr(nc)}
	c.member = s.member != nil && s.member(c.addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	var same, stranger *silentConn
	n := 0
	for _, o := range s.list {
		if o.member {
			continue
		}
		if stranger == nil {
			stranger = o
		}
		if o.addr == c.addr {
			if n++; same == nil {
				same = o
			}
		}
	}
	switch {
	case !c.member && n >= silentShare:
		s.evict(same)
	case len(s.list) < silentMax:
	case stranger != nil:
		s.evict(stranger)
	default:
		s.evict(s.list[0])
	}
	s.list = append(s.list, c)
	return c
}

// evict closes one. The caller holds s.mu.
func (s *silentConns) evict(c *silentConn) {
	c.nc.Close()
	s.drop(c)
}

// leave takes a connection out that has spoken or ended. It is false if it was
// closed to make way for another.
func (s *silentConns) leave(c *silentConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drop(c)
}

// drop is leave for who holds s.mu.
func (s *silentConns) drop(c *silentConn) bool {
	for i, o := range s.list {
		if o == c {
			s.list = append(s.list[:i], s.list[i+1:]...)
			return true
		}
	}
	return false
}
