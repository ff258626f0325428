package main

import (
	"fmt"

	"zooid/wire"
)

// mixPath is a random path among few.
func (c *client) mixPath() string {
	p := fmt.Sprintf("/mix/n%d", c.rng.IntN(mixPaths))
	if c.rng.IntN(2) == 0 {
		p += fmt.Sprintf("/m%d", c.rng.IntN(mixPaths))
	}
	return p
}

func (c *client) someData() []byte {
	if c.rng.IntN(10) == 0 {
		return nil
	}
	b := make([]byte, c.rng.IntN(40))
	for i := range b {
		b[i] = byte(c.rng.Uint32())
	}
	return b
}

func (c *client) someCreate(flags int32) *wire.CreateRequest {
	return &wire.CreateRequest{Path: c.mixPath(), Data: c.someData(), ACL: wire.OpenACL, Flags: flags}
}

// mix is any change at all.
func (c *client) mix() {
	version := int32(-1)
	if c.rng.IntN(3) == 0 {
		version = int32(c.rng.IntN(4))
	}
	switch c.rng.IntN(24) {
	case 0:
		if c.rng.IntN(4) == 0 {
			c.closeSession()
		}
	case 1, 2:
		c.write(wire.OpSync, &wire.PathRequest{Path: c.mixPath()}, nil)
	case 3, 4, 5, 6:
		c.write(wire.OpDelete, &wire.DeleteRequest{Path: c.mixPath(), Version: version}, nil)
	case 7, 8, 9:
		c.write(wire.OpSetData, &wire.SetDataRequest{Path: c.mixPath(), Data: c.someData(), Version: version}, nil)
	case 10:
		c.write(wire.OpSetACL, &wire.SetACLRequest{Path: c.mixPath(), ACL: wire.OpenACL, Version: version}, nil)
	case 11, 12:
		m := new(wire.MultiRequest)
		for range 1 + c.rng.IntN(4) {
			m.Ops = append(m.Ops, c.someOp())
		}
		c.write(wire.OpMulti, m, nil)
	case 13:
		c.write(wire.OpCreateTTL, &wire.CreateTTLRequest{CreateRequest: *c.someCreate(wire.FlagPersistentTTL), TTLMs: int64(1 + c.rng.IntN(5_000))}, nil)
	case 14:
		c.write(wire.OpCreateContainer, c.someCreate(wire.FlagContainer), nil)
	case 15, 16, 17:
		path := c.mixPath()
		c.ask(wire.OpGetData, &wire.WatchRequest{Path: path}, true, func(a *answer) { c.sawData(a, path, false) })
	case 18:
		c.ask(wire.OpGetEphemerals, &wire.PathRequest{Path: "/"}, true, nil)
	default:
		c.write(wire.OpCreate, c.someCreate(int32(c.rng.IntN(4))), nil)
	}
}

func (c *client) someOp() wire.MultiOp {
	switch c.rng.IntN(4) {
	case 0:
		return wire.MultiOp{Op: wire.OpDelete, Body: &wire.DeleteRequest{Path: c.mixPath(), Version: -1}}
	case 1:
		return wire.MultiOp{Op: wire.OpSetData, Body: &wire.SetDataRequest{Path: c.mixPath(), Data: c.someData(), Version: -1}}
	case 2:
		return wire.MultiOp{Op: wire.OpCheck, Body: &wire.CheckVersionRequest{Path: c.mixPath(), Version: int32(c.rng.IntN(3))}}
	}
	return wire.MultiOp{Op: wire.OpCreate, Body: c.someCreate(int32(c.rng.IntN(4)))}
}

// closeSession ends the session; nothing is asked behind it.
func (c *client) closeSession() {
	if len(c.waiting) > 0 {
		return
	}
	if l := c.w.sessions[c.session]; l != nil {
		l.asked = true
	}
	c.write(wire.OpCloseSession, nil, nil)
}
