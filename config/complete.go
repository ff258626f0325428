package config

import (
	"errors"
	"fmt"
	"strings"

	"zooid/wire"
)

// maxSID is the largest number of a server: its sessions carry it in one byte.
const maxSID = 255

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
		return fmt.Errorf("%s: myid says %d, but there is no line server.%d: a server must be a member of its ensemble", c.Source, e.SID, e.SID)
	}
	errs := e.Members.checkReachable()
	errs = append(errs, c.checkClientPort(), e.Members.checkWeights())
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("%s: %w", c.Source, err)
		}
	}
	return errors.Join(errs...)
}

// checkReachable wants every member to have a number that its sessions can carry
// and addresses of its own.
func (m *Membership) checkReachable() (errs []error) {
	owner := map[string]wire.SID{}
	for i := range m.Members {
		member := &m.Members[i]
		if member.SID < 0 || member.SID > maxSID {
			errs = append(errs, fmt.Errorf("server.%d: a server's number must be from 0 to %d, for its sessions carry it in one byte", member.SID, maxSID))
		}
		for _, a := range member.Addrs {
			for _, port := range []int{a.QuorumPort, a.ElectionPort} {
				addr := Addr{a.Host, port}
				name := strings.ToLower(addr.String())
				other, taken := owner[name]
				switch {
				case port == 0:
					errs = append(errs, fmt.Errorf("server.%d: port 0 is none that the others could connect to", member.SID))
				case taken && other == member.SID:
					errs = append(errs, fmt.Errorf("server.%d: %s stands there twice", member.SID, addr))
				case taken:
					errs = append(errs, fmt.Errorf("server.%d and server.%d have the same address %s", other, member.SID, addr))
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
			return fmt.Errorf("server.%d: port %d is to be for clients and for the other servers", c.Ensemble.SID, client.Port)
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
