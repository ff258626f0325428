package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"zooid/wire"
	"zooid/znode"
)

// copyOfTree is the durable copy of a tree, fed by its cuts as Pebble is: the
// committed state at zxid.
type copyOfTree struct {
	zxid     wire.Zxid
	digest   uint64
	nodes    map[string]znode.Record
	sessions map[wire.SessionID]znode.SessionChange
}

// emptyCopy is a tree in which nothing has happened yet, at zxid z.
func emptyCopy(z wire.Zxid) *copyOfTree {
	return &copyOfTree{zxid: z, digest: wire.EmptyTreeDigest, nodes: map[string]znode.Record{},
		sessions: map[wire.SessionID]znode.SessionChange{}}
}

func (c *copyOfTree) clone() *copyOfTree {
	d := *c
	d.nodes, d.sessions = maps.Clone(c.nodes), maps.Clone(c.sessions)
	return &d
}

// take brings the copy up to the tree.
func (c *copyOfTree) take(t *znode.Tree) {
	cut := t.Cut()
	if cut == nil {
		return
	}
	for _, path := range cut.Deleted {
		delete(c.nodes, path)
	}
	for cut.Drain(1<<30, func(path []byte, r *znode.Record) {
		c.nodes[string(path)] = znode.Record{Data: bytes.Clone(r.Data), ACL: slices.Clone(r.ACL), Stat: r.Stat}
	}) {
	}
	for _, s := range cut.Sessions {
		if s.Closed {
			delete(c.sessions, s.ID)
		} else {
			c.sessions[s.ID] = s
		}
	}
	c.zxid, c.digest = cut.Zxid, cut.Digest
}

// restore makes a tree of the copy.
func (c *copyOfTree) restore(rules znode.Rules) (*znode.Tree, error) {
	t := znode.New()
	t.SetRules(rules)
	for _, path := range slices.Sorted(maps.Keys(c.nodes)) {
		r := c.nodes[path]
		if err := t.Load(path, &r); err != nil {
			return nil, err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.sessions)) {
		s := c.sessions[id]
		t.LoadSession(id, s.TimeoutMs, s.Cxid)
	}
	t.Loaded(c.zxid)
	if t.Digest() != c.digest {
		return nil, fmt.Errorf("the tree of the copy at %v has digest %x, it was %x", c.zxid, t.Digest(), c.digest)
	}
	return t, nil
}
