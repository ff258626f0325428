package config

import (
	"fmt"
	"slices"
	"strings"

	"zooid/wire"
)

// Member is one line server.N: a peer of the ensemble.
type Member struct {
	SID      wire.SID
	Addrs    []MemberAddr // in order of their hosts; more than one with multiAddress.enabled only
	Observer bool
	// Client is where the member's clients connect; the zero Addr if its line
	// does not say.
	Client Addr
	// ClientStatic says that Client was taken from clientPort, not from the
	// line. It is then no part of the line's normal form.
	ClientStatic bool
}

// key is the key of the member's line.
func (m *Member) key() string { return fmt.Sprintf("server.%d", m.SID) }

// MemberAddr is one address of a member towards the others.
type MemberAddr struct {
	Host         string // a name or an address, as in Addr
	QuorumPort   int
	ElectionPort int
}

const serverForm = "host:port:port[:participant|:observer][;[host:]port]"

// ParseMember reads the value of a line server.N, which ZooKeeper calls a server
// string. It may not be padded with blanks.
func ParseMember(sid wire.SID, text string, multiAddress bool) (Member, error) {
	m := Member{SID: sid}
	parts := splitJava(text, ";")
	if len(parts) > 2 {
		return m, fmt.Errorf("%q is not of the form %s", text, serverForm)
	}
	if len(parts) == 2 {
		if err := m.parseClient(text, parts[1]); err != nil {
			return m, err
		}
	}
	addrs := splitJava(parts[0], "|")
	if len(addrs) > 1 && !multiAddress {
		return m, fmt.Errorf("%q has several addresses, for which multiAddress.enabled must be true", text)
	}
	var role string // as the first address that names one has it
	for _, addr := range addrs {
		if err := m.parseAddr(text, addr, &role); err != nil {
			return m, err
		}
	}
	slices.SortStableFunc(m.Addrs, func(a, b MemberAddr) int { return strings.Compare(a.Host, b.Host) })
	m.Addrs = slices.Compact(m.Addrs)
	return m, nil
}

func (m *Member) parseClient(text, client string) (err error) {
	parts, err := splitHostPorts(client)
	if err != nil {
		return err
	}
	if len(parts) > 2 {
		return fmt.Errorf("%q is not of the form %s", text, serverForm)
	}
	m.Client.Host = "0.0.0.0"
	if len(parts) == 2 {
		if m.Client.Host, err = normalHost(parts[0]); err != nil {
			return fmt.Errorf("client part: %w", err)
		}
	}
	if m.Client.Port, err = parsePort(parts[len(parts)-1]); err != nil {
		return fmt.Errorf("client part: %w", err)
	}
	return nil
}

// parseAddr reads one address. Not all need name the role: in normal form only
// the last one does.
func (m *Member) parseAddr(text, addr string, role *string) error {
	parts, err := splitHostPorts(addr)
	if err != nil {
		return err
	}
	if len(parts) < 3 || len(parts) > 4 {
		return fmt.Errorf("%q is not of the form %s", text, serverForm)
	}
	var a MemberAddr
	if a.QuorumPort, err = parsePort(parts[1]); err != nil {
		return fmt.Errorf("quorum: %w", err)
	}
	if a.ElectionPort, err = parsePort(parts[2]); err != nil {
		return fmt.Errorf("election: %w", err)
	}
	if a.Host, err = normalHost(parts[0]); err != nil {
		return err
	}
	if a.QuorumPort == a.ElectionPort {
		return fmt.Errorf("the quorum port and the election port must differ, and both are %d", a.QuorumPort)
	}
	if len(parts) == 4 {
		observer, err := parseRole(parts[3])
		if err != nil {
			return err
		}
		if *role != "" && observer != m.Observer {
			return fmt.Errorf("%q: all addresses of a member must have the same role", text)
		}
		*role, m.Observer = parts[3], observer
	}
	m.Addrs = append(m.Addrs, a)
	return nil
}

// parseRole reads participant or observer, in any case.
func parseRole(text string) (observer bool, err error) {
	switch strings.ToLower(text) {
	case "participant":
		return false, nil
	case "observer":
		return true, nil
	}
	return false, fmt.Errorf("%q is neither participant nor observer", text)
}

// String is the line's value in normal form, as it stands in /zookeeper/config.
func (m Member) String() string {
	var b strings.Builder
	for i, a := range m.Addrs {
		if i > 0 {
			b.WriteByte('|')
		}
		fmt.Fprintf(&b, "%s:%d", Addr{a.Host, a.QuorumPort}, a.ElectionPort)
	}
	if m.Observer {
		b.WriteString(":observer")
	} else {
		b.WriteString(":participant")
	}
	if m.Client.Port != 0 && !m.ClientStatic {
		b.WriteString(";" + m.Client.String())
	}
	return b.String()
}
