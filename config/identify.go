package config

import (
	"fmt"
	"strconv"
	"strings"

	"zooid/wire"
)

// maxSID353 is the largest last byte of a SID whose sessions' ids are not below 0.
const maxSID353 = 127

// maxTTLServer is the largest SID whose sessions cannot be taken for TTL nodes.
const maxTTLServer = 254

// Identify says which member this server is. myid is the content of the file
// myid in the data directory, nil if there is none; its first line counts. It
// settles the server's client port and role, and is the last step.
func (c *Config) Identify(myid []byte) error {
	e := &c.Ensemble
	if myid != nil {
		line, _, _ := strings.Cut(string(trimMark(myid)), "\n")
		sid, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		if err != nil {
			return fmt.Errorf("myid: %q is not a number", strings.TrimSpace(line))
		}
		e.SID = wire.SID(sid)
	} else if c.Distributed() {
		return fmt.Errorf("%s: there are server lines but no file myid in %s that says which of them this server is", c.Source, c.Storage.DataDir)
	}
	self := c.self()
	if self != nil {
		if err := c.settleClientPort(self); err != nil {
			return err
		}
	}
	switch {
	case c.Clients.Addr.Port != 0:
	case self == nil && len(e.Members.Members) > 0:
		c.warnf("%s: there is no line server.%d and clientPort is not set, so no client can connect", c.Source, e.SID)
	default:
		c.warnf("%s: no client port is set, so no client can connect", c.Source)
	}
	if observer := self != nil && self.Observer; observer != e.Observer && len(e.Members.Members) > 0 {
		if c.isSet("peerType") {
			c.warnf("%s: peerType contradicts the server line, which counts", c.where("peerType"))
		}
		e.Observer = observer
	}
	c.warnOwners()
	return c.settleTTL()
}

// warnOwners tells of members whose ephemerals would be taken for TTL nodes in
// the form of ZooKeeper 3.5.3, in which every owner below 0 is one.
func (c *Config) warnOwners() {
	if !c.Tree.Emulate353 {
		return
	}
	sids := []wire.SID{c.Ensemble.SID}
	for i := range c.Ensemble.Members.Members {
		sids = append(sids, c.Ensemble.Members.Members[i].SID)
	}
	for _, sid := range sids {
		if sid >= 0 && byte(sid) > maxSID353 {
			c.warnf("%s: DANGER: emulate353TTLNodes is true and there is a server %d: its sessions' ephemerals count as TTL nodes and outlive them; ids must be at most %d", c.where("emulate353TTLNodes"), sid, maxSID353)
			return
		}
	}
}

// self finds this server's line. A server that runs alone without a myid is the
// only participant that there is.
func (c *Config) self() *Member {
	m := c.Ensemble.Members
	if c.Ensemble.SID == UnsetSID && len(m.Members) == 1 {
		return &m.Members[0]
	}
	return m.Member(c.Ensemble.SID)
}

// settleClientPort lets the server line win over clientPort, which must not
// contradict it, and completes a line that says nothing.
func (c *Config) settleClientPort(self *Member) error {
	static := c.Clients.Addr
	if self.Client.Port == 0 {
		self.Client, self.ClientStatic = static, static.Port != 0
		return nil
	}
	if static.Port != 0 && (static.Port != self.Client.Port || !static.wildcard() && static != self.Client) {
		return fmt.Errorf("%s: the client port is %s by clientPort and %s by the line server.%d", c.whereMember(self.SID), static, self.Client, self.SID)
	}
	c.Clients.Addr = self.Client
	return nil
}

// settleTTL keeps TTL nodes away from a server whose sessions would look like
// them: an id of 255 stands in the byte that marks a TTL.
func (c *Config) settleTTL() error {
	if c.Ensemble.SID <= maxTTLServer || !c.Tree.ExtendedTypes {
		return nil
	}
	if c.isSet("extendedTypesEnabled") {
		return fmt.Errorf("%s: with extendedTypesEnabled=true the server's id must be at most %d, and myid says %d", c.where("extendedTypesEnabled"), maxTTLServer, c.Ensemble.SID)
	}
	c.Tree.ExtendedTypes = false
	c.warnf("%s: TTL nodes are off, because the server's id is %d; they need one of at most %d", c.Source, c.Ensemble.SID, maxTTLServer)
	return nil
}
