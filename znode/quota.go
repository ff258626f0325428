package znode

import (
	"strconv"
	"strings"
)

// The nodes that make a quota, below /zookeeper/quota and the path that it is
// about.
const (
	limitsName = "zookeeper_limits"
	statsName  = "zookeeper_stats"
)

// Quota is the limits on a subtree and what it uses. A limit of -1 is unset;
// a hard limit, where set, stands in the place of the soft one.
type Quota struct {
	Path                           string
	CountLimit, BytesLimit         int64
	CountHardLimit, BytesHardLimit int64
	Count, Bytes                   int64 // applied: nodes with the top one, and bytes of their data
}

// quotaState is what quotaOf answers.
type quotaState = Quota

// quotaTable holds a quota for each limits node, by the path that it is about.
type quotaTable struct {
	byPath  map[string]*quota
	lengths pathLengths // of the paths in byPath
	scratch []byte
}

type quota struct {
	limits    Quota // Count and Bytes are not kept: the tree knows them
	statsPath string
}

func (q *quotaTable) init() {
	q.byPath = make(map[string]*quota)
	q.lengths = make(pathLengths)
}

// set puts a quota on a path that has none.
func (q *quotaTable) set(path string, e *quota) {
	q.byPath[path] = e
	q.lengths.add(path, 1)
}

func (q *quotaTable) remove(path string) {
	if _, ok := q.byPath[path]; ok {
		delete(q.byPath, path)
		q.lengths.add(path, -1)
	}
}

// deepest is the quota of path or of its nearest ancestor that has one. The
// root has none: ZooKeeper 3.9 does not survive a quota on it.
func (q *quotaTable) deepest(path string) *quota {
	if len(q.byPath) == 0 {
		return nil
	}
	for len(path) > 1 {
		if q.lengths.has(path) {
			if e := q.byPath[path]; e != nil {
				return e
			}
		}
		path, _ = splitPath(path)
	}
	return nil
}

// quotaOf is the quota that a change at path counts against: the deepest
// ancestor's or path's own, with what is applied. Without its stats node a
// quota is not in force, as in ZooKeeper.
func (t *Tree) quotaOf(path string) (quotaState, bool) {
	q := t.quotas.deepest(path)
	if q == nil || t.lookup(q.statsPath) == 0 {
		return quotaState{}, false
	}
	return t.usage(q), true
}

// usage is q's limits and what is applied.
func (t *Tree) usage(q *quota) Quota {
	u := q.limits
	u.Count, u.Bytes = t.subtree(t.lookup(u.Path))
	return u
}

// subtree is the number of nodes of which n is the top, and their data bytes.
func (t *Tree) subtree(n nodeID) (nodes, bytes int64) {
	if n == 0 {
		return 0, 0
	}
	nodes, bytes = t.below(n)
	return nodes + 1, bytes + int64(max(t.nodes.at(uint32(n)).dataLen, 0))
}

// Quotas visits all quotas, in no order.
func (t *Tree) Quotas(visit func(q Quota)) {
	for _, q := range t.quotas.byPath {
		visit(t.usage(q))
	}
}

// quotaNode tells what role a path plays for quotas: the path that the quota is
// about, and limitsName or statsName; "" for an ordinary path.
func quotaNode(path string) (about, role string) {
	if !strings.HasPrefix(path, quotaPath+"/") {
		return "", ""
	}
	parent, name := splitPath(path)
	if about = parent[len(quotaPath):]; about == "" || name != limitsName && name != statsName {
		return "", ""
	}
	return about, name
}

// noteLimits keeps the table right after a limits node has got data.
func (t *Tree) noteLimits(about string, data []byte) {
	q := t.quotas.byPath[about]
	if q == nil {
		about = strings.Clone(about)
		q = &quota{statsPath: quotaPath + about + "/" + statsName}
		t.quotas.set(about, q)
	}
	q.limits = parseLimits(string(data))
	q.limits.Path = q.statsPath[len(quotaPath) : len(q.statsPath)-len(statsName)-1]
}

// parseLimits reads `count=<n>,bytes=<n>=;byteHardLimit=<n>;countHardLimit=<n>`
// the way ZooKeeper's StatsTrack does: pairs between commas and semicolons, an
// empty value is -1. What cannot be read counts as unset.
func parseLimits(s string) Quota {
	q := Quota{CountLimit: -1, BytesLimit: -1, CountHardLimit: -1, BytesHardLimit: -1}
	for _, pair := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ';' }) {
		key, value, _ := strings.Cut(pair, "=")
		value, _, _ = strings.Cut(value, "=")
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			n = -1
		}
		switch key {
		case "count":
			q.CountLimit = n
		case "bytes":
			q.BytesLimit = n
		case "countHardLimit":
			q.CountHardLimit = n
		case "byteHardLimit":
			q.BytesHardLimit = n
		}
	}
	return q
}

// quotaWritten follows up on a create or setData at path.
func (t *Tree) quotaWritten(path string, data []byte) {
	switch about, role := quotaNode(path); role {
	case limitsName:
		t.noteLimits(about, data)
	case statsName:
		t.writeStats(about, path)
	}
	t.quotaChanged(path)
}

// quotaDeleted follows up on the delete of path.
func (t *Tree) quotaDeleted(path string) {
	if about, role := quotaNode(path); role == limitsName {
		t.quotas.remove(about)
	}
	t.quotaChanged(path)
}

// quotaChanged rewrites the stats node of the quota that path counts against.
func (t *Tree) quotaChanged(path string) {
	if q := t.quotas.deepest(path); q != nil {
		t.writeStats(q.limits.Path, q.statsPath)
	}
}

// writeStats puts what a path's subtree uses into its stats node, if there is
// one. This has no txn, and leaves the node's stat and watches alone.
func (t *Tree) writeStats(about, statsPath string) {
	n := t.lookup(statsPath)
	if n == 0 {
		return
	}
	nodes, bytes := t.subtree(t.lookup(about))
	b := append(t.quotas.scratch[:0], "count="...)
	b = strconv.AppendInt(b, nodes, 10)
	b = append(b, ",bytes="...)
	b = strconv.AppendInt(b, bytes, 10)
	t.quotas.scratch = b
	if string(t.data(n)) != string(b) {
		t.setData(n, statsPath, b)
	}
}

// quotasLoaded recomputes all stats nodes.
func (t *Tree) quotasLoaded() {
	for _, q := range t.quotas.byPath {
		t.writeStats(q.limits.Path, q.statsPath)
	}
}
