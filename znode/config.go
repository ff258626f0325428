package znode

import "zooid/wire"

// SetConfig writes the configuration of the ensemble to /zookeeper/config, as
// every member of one does for itself when it begins to serve: without a txn,
// the version of the configuration as the mzxid, the local clock in ms since
// 1970 as the mtime. Nothing below /zookeeper is part of the digest, so members
// stay comparable. The caller holds Lock.
func (t *Tree) SetConfig(text []byte, version wire.Zxid, timeMs int64) {
	n := t.lookup(configPath)
	if n == 0 {
		return // a tree from a file without it
	}
	t.setData(n, configPath, text)
	p := t.nodes.at(uint32(n))
	p.mzxid, p.mtime = version, timeMs
	t.redigest(p)
}
