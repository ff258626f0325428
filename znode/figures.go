package znode

// figures are totals that the directories' sums do not give.
type figures struct {
	pathBytes int64 // of all nodes but the root
	rootBytes int64 // data of the root
}

// NodeCount is the number of znodes plus one: ZooKeeper keeps the root under
// two names and counts both.
func (t *Tree) NodeCount() int {
	nodes, _ := t.below(rootID)
	return int(nodes) + 2
}

// DataSize is the bytes of all paths and data, the root's path counting as the
// one byte that it is.
func (t *Tree) DataSize() int64 {
	_, bytes := t.below(rootID)
	return int64(len("/")) + bytes + t.figures.pathBytes + t.figures.rootBytes
}
