package znode

import (
	"slices"
	"strings"

	"zooid/wire"
)

// View is the tree as it will be once the proposals in flight commit. The
// leader makes one on taking office and drops it on losing it; Prepare checks
// requests against it, so that they are judged as if run one after another.
// Only the goroutine that changes the tree may use it.
//
//	Prepare ─► txn, and what it changes is noted ─► … ─► Tree.Apply ─► Applied forgets
type View struct {
	t *Tree

	// What differs from the tree. A node that is not here is as in the tree.
	nodes    map[string]*pendingNode
	sessions map[wire.SessionID]*pendingSession
	// notes are the changes of nodes and sessions in the order of their zxids,
	// those before first forgotten.
	notes []note
	first int

	digest uint64 // of the tree after the last proposal

	// The proposal in the making.
	zxid   wire.Zxid
	timeMs int64
	left   int // bytes that its body may still take
	undo   undoLog

	// verdicts are what the request in the making may do under ACLs, by the ACL's
	// first entry: a multi may ask the same of a long one very often.
	verdicts map[viewVerdict]bool

	spare []*pendingNode // for reuse
	acl   []wire.ACL     // last one that was kept, to be shared by the next equal one
}

// state is what is known of a znode.
type state struct {
	stat     wire.StatPersisted
	acl      []wire.ACL // not changed by anybody
	children int32
	size     int32  // bytes of data
	crc      uint32 // of path‖data, see contentCRC
}

type pendingNode struct {
	state
	path string    // its key, in memory of the view
	gone bool      // deleted; state is void
	zxid wire.Zxid // of the last proposal that changes it
}

type pendingSession struct {
	zxid  wire.Zxid // of the last proposal that concerns it
	begun bool      // createSession is in flight
	ended bool      // closeSession is in flight
	made  []ephemeral
}

// ephemeral is one that a session creates by a proposal in flight.
type ephemeral struct {
	zxid wire.Zxid
	path string
}

// note says that a proposal changes a node or, if path is empty, a session.
type note struct {
	zxid    wire.Zxid
	path    string
	session wire.SessionID
}

// NewView makes a view of t without proposals in flight. Use SetRules before.
func NewView(t *Tree) *View {
	return &View{
		t:        t,
		nodes:    make(map[string]*pendingNode),
		sessions: make(map[wire.SessionID]*pendingSession),
		digest:   t.Digest(),
	}
}

// Prepare turns a request into the txn that does what it asks for, under the
// given zxid, which must be greater than those before, and the leader's clock
// in ms since 1970. It never fails: a request that is refused becomes an error
// txn, which takes its zxid and changes nothing, and a multi that is refused
// one whose parts say why. No txn is larger than Rules.TxnMax, so that every
// member can read it from a packet and from its log. The txn aliases r.Body; the
// view keeps nothing of r.
func (v *View) Prepare(r *Request, zxid wire.Zxid, timeMs int64) *wire.Txn {
	v.zxid, v.timeMs = zxid, timeMs
	v.left = v.t.rules.txnMax() - wire.TxnOverhead
	clear(v.verdicts)
	txn := &wire.Txn{TxnHeader: wire.TxnHeader{Session: r.Session, Cxid: r.Cxid, Zxid: zxid, TimeMs: timeMs, Op: r.Op}}
	code := wire.ErrUnimplemented
	if r.Refused != wire.OK {
		code = r.Refused
	} else if o := row(r.Op); o != nil && o.prepare != nil && o.from != inMulti {
		txn.Body, code = o.prepare(v, r, r.Op, r.Body)
	}
	if code != wire.OK {
		// As in ZooKeeper, error txns are the ones without a digest.
		txn.Op, txn.Body = wire.OpError, &wire.ErrorTxn{Err: code}
		return txn
	}
	// A txn without a body ends behind its header: a ZooKeeper would take the
	// digest for the body.
	if !v.t.rules.NoDigest && txn.Body != nil {
		txn.Digest = wire.TxnDigest{Version: wire.DigestVersion, Tree: v.digest}
	}
	return txn
}

// fits takes so many bytes of what the body in the making may have, and tells
// whether there are as many. It is asked before anything is noted.
func (v *View) fits(size int) bool {
	if size > v.left {
		return false
	}
	v.left -= size
	return true
}

func (r *Rules) txnMax() int {
	if r.TxnMax > 0 {
		return r.TxnMax
	}
	return wire.TxnBytesMax
}

// Applied forgets the changes of the proposals up to z. Call it after
// Tree.Apply of z.
func (v *View) Applied(z wire.Zxid) {
	for v.first < len(v.notes) && v.notes[v.first].zxid <= z {
		n := &v.notes[v.first]
		if n.path != "" {
			v.forgetNode(n.path, n.zxid)
		} else {
			v.forgetSession(n.session, n.zxid)
		}
		*n = note{}
		v.first++
	}
	switch {
	case v.first == len(v.notes):
		v.notes, v.first = v.notes[:0], 0
		v.giveBack()
		// The same, unless a txn did to the tree what nobody foresaw; then at
		// least the next one is right again.
		v.digest = v.t.Digest()
	case v.first > 1024 && v.first > len(v.notes)/2:
		v.notes = slices.Delete(v.notes, 0, v.first)
		v.first = 0
	}
}

// notesKept is how many changes in flight a view keeps memory for once nothing
// is in flight.
const notesKept = 1 << 13

// giveBack lets the memory of a burst go: the end of a session with very many
// ephemerals changes as many nodes at once. Nothing is in flight.
func (v *View) giveBack() {
	if cap(v.notes) <= notesKept && len(v.spare) <= notesKept {
		return
	}
	v.notes, v.spare, v.undo = nil, nil, undoLog{}
	v.nodes = make(map[string]*pendingNode)
	v.sessions = make(map[wire.SessionID]*pendingSession)
}

func (v *View) forgetNode(path string, z wire.Zxid) {
	if p := v.nodes[path]; p != nil && p.zxid == z {
		delete(v.nodes, path)
		v.recycle(p)
	}
}

func (v *View) forgetSession(id wire.SessionID, z wire.Zxid) {
	s := v.sessions[id]
	if s == nil {
		return
	}
	if s.zxid == z {
		delete(v.sessions, id)
		return
	}
	for len(s.made) > 0 && s.made[0].zxid <= z {
		s.made[0] = ephemeral{} // let its memory go
		s.made = s.made[1:]
	}
}

func (v *View) recycle(p *pendingNode) {
	*p = pendingNode{}
	v.spare = append(v.spare, p)
}

// node finds a znode as the proposals in flight leave it.
func (v *View) node(path string) (s state, ok bool) {
	if p := v.nodes[path]; p != nil {
		return p.state, !p.gone
	}
	n := v.t.lookup(path)
	if n == 0 {
		return s, false
	}
	return state{
		stat:     v.t.persisted(n),
		acl:      v.t.acl(n),
		children: v.t.childCount(n),
		size:     max(v.t.nodes.at(uint32(n)).dataLen, 0),
		crc:      v.t.contentCRC(n),
	}, true
}

// exists tells whether node would find something, for less.
func (v *View) exists(path string) bool {
	if p := v.nodes[path]; p != nil {
		return !p.gone
	}
	return v.t.lookup(path) != 0
}

// add notes that the proposal in the making creates a node. s.acl must be kept
// already. It returns path in memory of the view.
func (v *View) add(path string, s *state) string {
	p := v.touch(path)
	p.state, p.gone = *s, false
	v.digest += v.share(path, s)
	return p.path
}

// change notes that the proposal in the making turns a node from old into s.
func (v *View) change(path string, old, s *state) {
	p := v.touch(path)
	p.state = *s
	v.digest += v.share(path, s) - v.share(path, old)
}

// remove notes that the proposal in the making deletes a node.
func (v *View) remove(path string, old *state) {
	p := v.touch(path)
	p.state, p.gone = state{}, true
	v.digest -= v.share(path, old)
}

// share is a node's part of the tree digest.
func (v *View) share(path string, s *state) uint64 {
	if v.t.rules.NoDigest {
		return 0
	}
	return nodeDigest(path, s.crc, &s.stat)
}

// touch finds or makes the entry of a node that the proposal in the making
// changes.
func (v *View) touch(path string) *pendingNode {
	p := v.nodes[path]
	if p != nil {
		path = p.path
	} else {
		path = strings.Clone(path)
	}
	v.undo.node(path, p)
	if p == nil {
		if n := len(v.spare); n > 0 {
			p, v.spare = v.spare[n-1], v.spare[:n-1]
		} else {
			p = new(pendingNode)
		}
		p.path = path
		v.nodes[path] = p
	}
	if p.zxid != v.zxid {
		p.zxid = v.zxid
		v.notes = append(v.notes, note{zxid: v.zxid, path: path})
	}
	return p
}

// touchSession is touch for a session.
func (v *View) touchSession(id wire.SessionID) *pendingSession {
	s := v.sessions[id]
	v.undo.session(id, s)
	if s == nil {
		s = new(pendingSession)
		v.sessions[id] = s
	}
	if s.zxid != v.zxid {
		s.zxid = v.zxid
		v.notes = append(v.notes, note{zxid: v.zxid, session: id})
	}
	return s
}

// checkSession tells whether a request of its session may still be prepared:
// the session is in the table, or will be, and nothing in flight ends it.
func (v *View) checkSession(r *Request) wire.ErrCode {
	switch s := v.sessions[r.Session]; {
	case s != nil && s.ended:
		return wire.ErrSessionExpired
	case s != nil && s.begun, r.Local, v.HasSession(r.Session):
		return wire.OK
	}
	return wire.ErrSessionExpired
}

// HasSession tells whether a session is in the replicated table, or will be
// once the proposals in flight commit.
func (v *View) HasSession(id wire.SessionID) bool {
	if s := v.sessions[id]; s != nil && (s.begun || s.ended) {
		return s.begun
	}
	_, _, ok := v.t.Session(id)
	return ok
}

// permits tells whether whoever made r has the permission under acl.
func (v *View) permits(acl []wire.ACL, perm int32, r *Request) bool {
	if len(acl) <= 1 || len(acl)*len(r.IDs) <= verdictPairs {
		return v.t.rules.permits(acl, perm, r.IDs)
	}
	key := viewVerdict{&acl[0], perm}
	verdict, ok := v.verdicts[key]
	if !ok {
		verdict = v.t.rules.permits(acl, perm, r.IDs)
		if v.verdicts == nil {
			v.verdicts = make(map[viewVerdict]bool)
		}
		v.verdicts[key] = verdict
	}
	return verdict
}

// viewVerdict names a question about a permission. ACLs are never changed in place.
type viewVerdict struct {
	acl  *wire.ACL
	perm int32
}

// keepACL is acl in memory of the view.
func (v *View) keepACL(acl []wire.ACL) []wire.ACL {
	switch {
	case slices.Equal(acl, wire.OpenACL):
		return wire.OpenACL
	case v.acl != nil && slices.Equal(acl, v.acl):
		return v.acl
	}
	v.acl = slices.Clone(acl)
	for i := range v.acl {
		id := &v.acl[i].ID
		id.Scheme, id.ID = strings.Clone(id.Scheme), strings.Clone(id.ID)
	}
	return v.acl
}
