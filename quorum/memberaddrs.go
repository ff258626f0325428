package quorum

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"zooid/wire"
)

const (
	// resolveEvery is how often the names of the members are looked up, and
	// resolvePause the least time between two look-ups when an address is met that
	// nobody has.
	resolveEvery = time.Minute
	resolvePause = time.Second
	// resolveTimeout is how long all look-ups of one round may take.
	resolveTimeout = 10 * time.Second
)

// memberAddrs knows from which addresses the members connect, as their names in
// the configuration resolve. It is asked for each connection and never waits: what
// it knows is looked up beside. Behind address translation it knows nobody; then
// nobody has precedence.
type memberAddrs struct {
	hosts  map[string][]wire.SID
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	known  atomic.Pointer[map[netip.Addr][]wire.SID]
	asked  chan struct{} // somebody has an unknown address
}

// newMemberAddrs begins with the addresses that need no look-up.
func newMemberAddrs(members map[wire.SID]Addresses) *memberAddrs {
	a := &memberAddrs{hosts: map[string][]wire.SID{}, asked: make(chan struct{}, 1)}
	a.lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}
	for _, sid := range slices.Sorted(maps.Keys(members)) {
		m := members[sid]
		for _, addr := range slices.Concat(m.Quorum, m.Election) {
			host, _, err := net.SplitHostPort(addr)
			if err == nil && host != "" && !slices.Contains(a.hosts[host], sid) {
				a.hosts[host] = append(a.hosts[host], sid)
			}
		}
	}
	known := map[netip.Addr][]wire.SID{}
	for host, sids := range a.hosts {
		if ip, err := netip.ParseAddr(host); err == nil {
			known[ip.Unmap()] = append(known[ip.Unmap()], sids...)
		}
	}
	a.known.Store(&known)
	return a
}

// of gives the members that have this address. It never waits.
func (a *memberAddrs) of(addr netip.Addr) []wire.SID {
	sids := (*a.known.Load())[addr.Unmap()]
	if sids == nil {
		select {
		case a.asked <- struct{}{}: // a member may have moved
		default:
		}
	}
	return sids
}

// has tells whether a member has this address.
func (a *memberAddrs) has(addr netip.Addr) bool { return len(a.of(addr)) > 0 }

// run is the goroutine that looks up names.
func (a *memberAddrs) run(ctx context.Context) {
	found := map[string][]netip.Addr{}
	for {
		a.resolve(ctx, found)
		if !pause(ctx, resolvePause) {
			return
		}
		t := time.NewTimer(resolveEvery)
		select {
		case <-t.C:
		case <-a.asked:
		case <-ctx.Done():
			t.Stop()
			return
		}
		t.Stop()
	}
}

// resolve looks up every name once. Of one that does not resolve now it keeps what
// was found before.
func (a *memberAddrs) resolve(ctx context.Context, found map[string][]netip.Addr) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	known := map[netip.Addr][]wire.SID{}
	for _, host := range slices.Sorted(maps.Keys(a.hosts)) {
		if ip, err := netip.ParseAddr(host); err == nil {
			found[host] = []netip.Addr{ip}
		} else if ips, err := a.lookup(ctx, host); err == nil {
			found[host] = ips
		}
		for _, ip := range found[host] {
			ip = ip.Unmap()
			known[ip] = append(known[ip], a.hosts[host]...)
		}
	}
	a.known.Store(&known)
}
