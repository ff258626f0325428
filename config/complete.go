package config

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"zooid/wire"
)

// Distributed says whether the server is a member of an ensemble, which looks
// for the others before it serves: there is more than one participant, or one
// with standaloneEnabled=false.
func (c *Config) Distributed() bool {
	n := c.Ensemble.Members.Participants()
	return n > 1 || n == 1 && !c.Ensemble.StandaloneEnabled
}

// Complete says by an error what is missing, or cannot be meant, once everything
// has been read: the dynamic configuration, this server's own line in an
// ensemble, and members that could not be told from each other or reached. A
// server that runs alone asks nothing of its line.
func (c *Config) Complete() error {
	e := &c.Ensemble
	switch {
	case e.DynamicConfigFile != "" && len(e.Members.Members) == 0:
		return fmt.Errorf("%s: dynamicConfigFile: %s was not read", c.Source, e.DynamicConfigFile)
	case !c.Distributed():
		return nil
	case e.Members.Member(e.SID) == nil:
		return fmt.Errorf("%s: myid says %d, but there is no line server.%d: a server must be a member of its ensemble", c.membersSource(), e.SID, e.SID)
	}
	errs := append(c.checkReachable(), c.checkClientPort())
	if err := e.Members.checkWeights(); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", c.membersSource(), err))
	}
	return errors.Join(errs...)
}

// membersSource names the text in which the members stand.
func (c *Config) membersSource() string { return cmp.Or(c.Ensemble.DynamicConfigFile, c.Source) }

// whereMember is the place of a member's line, by its usual spelling.
func (c *Config) whereMember(sid wire.SID) string {
	if key := fmt.Sprintf("server.%d", sid); c.isSet(key) {
		return c.where(key)
	}
	return c.membersSource()
}

// checkReachable wants every member to have a number that others can answer and
// addresses of its own. Numbers above 255 are ZooKeeper's to allow: their
// sessions carry the last byte.
func (c *Config) checkReachable() (errs []error) {
	owner := map[string]wire.SID{}
	for i := range c.Ensemble.Members.Members {
		member := &c.Ensemble.Members.Members[i]
		wrong := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("%s: %s", c.whereMember(member.SID), fmt.Sprintf(format, args...)))
		}
		if member.SID < 0 {
			wrong("server.%d: a server's number must not be below 0", member.SID)
		}
		for _, a := range member.Addrs {
			for _, port := range []int{a.QuorumPort, a.ElectionPort} {
				addr := Addr{a.Host, port}
				name := strings.ToLower(addr.String())
				other, taken := owner[name]
				switch {
				case port == 0:
					wrong("server.%d: port 0 is none that the others could connect to", member.SID)
				case taken && other == member.SID:
					wrong("server.%d: %s stands there twice", member.SID, addr)
				case taken:
					wrong("server.%d and server.%d have the same address %s", other, member.SID, addr)
				}
				owner[name] = member.SID
			}
		}
	}
	return errs
}

// checkClientPort wants the client port of this server to be none of those on
// which it listens for the others.
func (c *Config) checkClientPort() error {
	client := c.Clients.Addr
	for _, a := range c.Ensemble.Members.Member(c.Ensemble.SID).Addrs {
		everywhere := client.wildcard() || c.Ensemble.ListenOnAllIPs || Addr{Host: a.Host}.wildcard()
		if client.Port != 0 && (client.Port == a.QuorumPort || client.Port == a.ElectionPort) && (everywhere || a.Host == client.Host) {
			return fmt.Errorf("%s: server.%d: port %d is to be for clients and for the other servers", c.whereMember(c.Ensemble.SID), c.Ensemble.SID, client.Port)
		}
	}
	return nil
}

// checkWeights wants somebody's vote to count.
func (m *Membership) checkWeights() error {
	if m.Groups == nil {
		return nil
	}
	for i := range m.Members {
		if member := &m.Members[i]; !member.Observer && m.Weights[member.SID] > 0 {
			return nil
		}
	}
	return errors.New("every server that votes has the weight 0, so there would never be a leader")
}
