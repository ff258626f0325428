package quorum

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap"

	"zooid/wire"
)

// This file has what becomes of a connection on the election port that has said
// who it is, which anybody can say.
//
//	no connection with that server stands ─► it is the connection
//	one stands ─► waits until that one ends, or for the standoff. It has brought
//	   something meanwhile: refused. It has not, and we have been told something by
//	   the new one: takes its place.
//
// The end of a process that was restarted comes before its new connection, so
// nobody who is what he says waits but after a loss of power.

// admitGreeted decides what becomes of an accepted connection. An error closes it.
func (l *links) admitGreeted(g wire.Greeting, nc net.Conn, in *bufio.Reader) error {
	_, member := l.o.Peers()[g.SID]
	switch {
	case g.SID == l.o.SID:
		return fmt.Errorf("it says that it is server %d, which is this one: two have the same number, or one dialled itself", g.SID)
	case !member && (g.SID < 0 || g.SID == math.MaxInt64 || len(g.Addrs) == 0):
		return fmt.Errorf("server %d is not in the configuration, and does not say where it is", g.SID)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return net.ErrClosed
	}
	p := l.mu.links[g.SID]
	if p == nil {
		if !member && !l.evictUnlisted() {
			return errUnlisted
		}
		p = l.link(g.SID)
	}
	p.unlisted = !member
	if p.unlisted {
		l.refusals.Info("a server that is in no server line takes part in the election, without a vote", zap.Int64("server", int64(g.SID)), zap.Stringer("from", nc.RemoteAddr()))
	}
	if g.SID < l.o.SID {
		// It may have a new life behind it and not know of the connection that we
		// still hold.
		nc.Close()
		if p.conn != nil && l.outlives(p, nc, nil) {
			l.forgetUnlisted(p)
			return nil
		}
		p.callBack, p.notUntil = g.Addrs, time.Time{}
		if p.unlisted {
			p.callBack = whereItIs(nc, g.Addrs)
		}
		l.want(p)
		return nil
	}
	if p.conn != nil && l.outlives(p, nc, in) {
		l.forgetUnlisted(p)
		return fmt.Errorf("a connection with server %d stands", g.SID)
	}
	l.establish(p, nc, in)
	return nil
}

// outlives tells whether the connection of p is not to be replaced by the one that
// has just come, in being what that has brought if it is to bring something. The
// caller holds l.mu, which is let go meanwhile.
func (l *links) outlives(p *link, nc net.Conn, in *bufio.Reader) bool {
	old := p.conn
	if p.candidates >= candidatesMax {
		return true
	}
	p.candidates++
	frames := old.frames
	if p.next == nil {
		p.next = p.last // to a machine that knows nothing of it this brings the end
	}
	old.wake()
	l.mu.Unlock()
	t := time.NewTimer(standoff)
	select {
	case <-old.ended:
	case <-t.C:
	case <-l.ctx.Done():
	}
	t.Stop()
	said := true
	if in != nil && !ended(old) {
		nc.SetReadDeadline(time.Now().Add(time.Millisecond))
		_, err := in.Peek(1)
		said = err == nil
		nc.SetReadDeadline(time.Time{})
	}
	l.mu.Lock()
	p.candidates--
	switch {
	case l.mu.closed || !said:
		return true
	case p.conn == nil:
		return false
	case p.conn != old || old.frames != frames:
		return true
	case l.belongs(p, old.nc) && !l.belongs(p, nc):
		return true // who comes from the member's address is believed sooner
	}
	if in == nil { // it is called back, and what stands must not be in the way
		p.conn.close()
		p.conn, p.missed = nil, true
	}
	return false
}

// belongs tells whether a connection comes from an address of the server.
func (l *links) belongs(p *link, nc net.Conn) bool {
	return l.o.From != nil && slices.Contains(l.o.From(remoteAddr(nc)), p.sid)
}

func ended(c *linkConn) bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// whereItIs gives the addresses at which a server that is no member is called back:
// the ports that it announces, on the machine that it has called from, and at an
// address of the same network that it announces. It must not have us dial
// somebody else's machine.
func whereItIs(nc net.Conn, announced []string) (addrs []string) {
	from := remoteAddr(nc)
	for _, a := range announced {
		host, port, err := net.SplitHostPort(a)
		if err != nil || !from.IsValid() {
			continue
		}
		addrs = append(addrs, net.JoinHostPort(from.String(), port))
		if ip, err := netip.ParseAddr(host); err == nil && ip != from && sameNetwork(ip.Unmap(), from) {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// sameNetwork tells whether two addresses are likely of one machine that has
// several: in one /24, or /64 of IPv6, or both of this machine itself.
func sameNetwork(a, b netip.Addr) bool {
	if a.IsLoopback() && b.IsLoopback() {
		return true
	}
	bits := 64
	if b.Is4() {
		bits = 24
	}
	network, err := b.Prefix(bits)
	return err == nil && network.Contains(a)
}

var errUnlisted = errors.New("too many servers that are in no server line")

// evictUnlisted lets the oldest connection with an unlisted server go if there are as
// many as there may be. It is false if none can go. The caller holds l.mu.
func (l *links) evictUnlisted() bool {
	var oldest *link
	n := 0
	for _, p := range l.mu.links {
		if !p.unlisted {
			continue
		}
		n++
		if p.conn != nil && !p.dialling && p.candidates == 0 && (oldest == nil || p.conn.began.Before(oldest.conn.began)) {
			oldest = p
		}
	}
	if n < unlistedLinks || oldest == nil {
		return n < unlistedLinks
	}
	oldest.conn.close()
	oldest.conn, oldest.missed = nil, true
	l.givenUp(oldest)
	delete(l.mu.links, oldest.sid)
	l.refusals.Warn("closing an election connection", zap.Int64("server", int64(oldest.sid)), zap.Error(errUnlisted))
	return true
}

// forgetUnlisted forgets a server that is no member and has no connection. The
// caller holds l.mu.
func (l *links) forgetUnlisted(p *link) {
	if p.unlisted && p.conn == nil && !p.dialling && p.candidates == 0 && l.mu.links[p.sid] == p {
		delete(l.mu.links, p.sid)
	}
}
