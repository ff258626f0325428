package rawclient

import (
	"fmt"
	"sort"
	"strings"

	"zooid/wire"
)

// Node is all that a client can know of a znode but its children's names.
type Node struct {
	Path string
	Data []byte // nil = null
	ACL  []wire.ACL
	Stat wire.Stat
}

// String shows everything in one line.
func (n *Node) String() string {
	data := "null"
	if n.Data != nil {
		data = fmt.Sprintf("%q", n.Data)
	}
	return fmt.Sprintf("%q %s %v %s", n.Path, data, n.ACL, StatString(&n.Stat))
}

// StatString shows every field of s, numbers as ZooKeeper's shell does.
func StatString(s *wire.Stat) string {
	return fmt.Sprintf("c=%v m=%v p=%v ctime=%d mtime=%d v=%d cv=%d av=%d eph=%v len=%d n=%d",
		s.Czxid, s.Mzxid, s.Pzxid, s.Ctime, s.Mtime, s.Version, s.Cversion, s.Aversion,
		s.EphemeralOwner, s.DataLength, s.NumChildren)
}

// Dump reads the whole tree below path, path included, sorted by path. The
// connection should be that of the super user, who may read everything.
func (c *Conn) Dump(path string) ([]Node, error) {
	var nodes []Node
	queue := []string{path}
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		n := Node{Path: p}
		var err error
		if n.Data, n.Stat, err = c.GetData(p, false); err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		if n.ACL, err = c.ACL(p); err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		names, err := c.Children(p, false)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		for _, name := range names {
			queue = append(queue, strings.TrimSuffix(p, "/")+"/"+name)
		}
		nodes = append(nodes, n)
	}
	sort.Slice(nodes, func(i, j int) bool { return nodes[i].Path < nodes[j].Path })
	return nodes, nil
}
