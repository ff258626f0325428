package auth

import (
	"net/netip"
	"strconv"
	"strings"

	"zooid/wire"
)

// ipScheme is the scheme ip: an identity is the address of the connection, an
// ACL entry an address or a prefix (10.0.0.0/8, ::1).
type ipScheme struct{}

func (ipScheme) Name() string          { return "ip" }
func (ipScheme) Personal() bool        { return false }
func (ipScheme) Exact() bool           { return false }
func (ipScheme) User(id string) string { return id }

// Authenticate ignores the data: the address speaks for itself.
func (ipScheme) Authenticate(_ []byte, remote netip.Addr) ([]wire.ID, error) {
	return []wire.ID{ipID(remote)}, nil
}

// ipID is the identity of an address, in Java's spelling: an IPv6 address is
// written with all its eight groups, without a zone, and one that maps an IPv4
// address as that.
func ipID(a netip.Addr) wire.ID {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return wire.ID{Scheme: "ip", ID: a.String()}
	}
	b16 := a.As16()
	var text []byte
	for i := 0; i < 16; i += 2 {
		if i > 0 {
			text = append(text, ':')
		}
		text = strconv.AppendUint(text, uint64(b16[i])<<8|uint64(b16[i+1]), 16)
	}
	return wire.ID{Scheme: "ip", ID: string(text)}
}

func (ipScheme) Valid(expr string) bool { return parsePrefix(expr).IsValid() }

// Matches compares as many leading bits as the entry says. An entry of the
// other family never matches.
func (ipScheme) Matches(id, expr string) bool {
	p := parsePrefix(expr)
	return p.IsValid() && p.Contains(parseAddr(id))
}

// parsePrefix reads an ACL entry: an address, then maybe / and the number of
// leading bits that count. It is invalid (IsValid) if expr is malformed.
func parsePrefix(expr string) netip.Prefix {
	text, bitsText, masked := strings.Cut(expr, "/")
	a := parseAddr(text)
	if !a.IsValid() {
		return netip.Prefix{}
	}
	bits := a.BitLen()
	if masked {
		n, err := strconv.Atoi(bitsText)
		if err != nil || n < 0 || n > bits {
			return netip.Prefix{}
		}
		bits = n
	}
	return netip.PrefixFrom(a, bits)
}

// parseAddr reads an address as ZooKeeper's ip scheme does: a dotted quad whose
// numbers may have leading zeros, or IPv6 in hex groups only, without a zone.
// It is invalid (IsValid) if s is malformed.
func parseAddr(s string) netip.Addr {
	if strings.Contains(s, ":") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" || strings.Contains(s, ".") {
			return netip.Addr{}
		}
		return a.Unmap()
	}
	var b [4]byte
	for i := range b {
		part, rest, more := strings.Cut(s, ".")
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 || n > 255 || more != (i < 3) {
			return netip.Addr{}
		}
		b[i], s = byte(n), rest
	}
	return netip.AddrFrom4(b)
}
