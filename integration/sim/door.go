package main

import (
	"zooid/peer"
	"zooid/wire"
	"zooid/znode"
)

// ask is what a client sends.
type ask struct {
	kind  askKind
	xid   int32
	op    wire.OpCode
	body  wire.Record
	raw   []byte
	read  bool
	asked *request // a write, for the checks

	// Of a handshake.
	session   wire.SessionID
	passwd    [16]byte
	timeoutMs int32
	lastZxid  wire.Zxid
}

type askKind uint8

const (
	askHello askKind = iota
	askPing
	askRequest
)

// answer is what a client gets.
type answer struct {
	kind answerKind
	xid  int32
	op   wire.OpCode
	zxid wire.Zxid
	err  wire.ErrCode

	path  string
	stat  wire.Stat
	multi []wire.MultiResult
	body  []byte // of a read

	session   wire.SessionID
	passwd    [16]byte
	timeoutMs int32

	event wire.EventType // with path and zxid
}

type answerKind uint8

const (
	answerWelcome answerKind = iota
	answerReply
	answerEvent
)

// door is a client's connection as its member has it: requests are answered in
// their order, reads when their turn comes.
type door struct {
	id        znode.ConnID
	conn      *conn
	phase     doorPhase
	session   wire.SessionID
	timeoutMs int32
	heard     int64 // session clock
	news      bool  // heard since it was last told
	q         []visit
	reader    znode.Reader
}

type doorPhase uint8

const (
	doorNew doorPhase = iota
	doorAttaching
	doorServing
	doorLeaving // the end is sent, or will be
)

// visit is a request that is not answered yet.
type visit struct {
	xid  int32
	op   wire.OpCode
	read []byte // the body of a read
	done *answer
}

// doors are all clients' connections of a process, and the sessions of those
// that have gone and were heard since the peer was told.
type doors struct {
	byID     map[znode.ConnID]*door
	list     []*door // in order of their arrival
	departed []wire.SessionID
	departAt []int64
}

func (s *doors) init() { s.byID = map[znode.ConnID]*door{} }

var openIDs = []wire.ID{{Scheme: "ip", ID: "127.0.0.1"}, {Scheme: "world", ID: "anyone"}}

// asked is something that a client has sent.
func (s *doors) asked(p *process, c *conn, a *ask) {
	id := znode.ConnID(idOf(c, 1))
	d := s.byID[id]
	if d == nil {
		if a.kind != askHello || p.w.conns[c.n] == nil || !c.ends[1].open {
			return // it was closed meanwhile
		}
		d = &door{id: id, conn: c}
		s.byID[id] = d
		s.list = append(s.list, d)
	}
	d.heard, d.news = p.peer.SessionNow()+loopMs, true
	p.heardHere(d.session)
	switch a.kind {
	case askHello:
		s.hello(p, d, a)
	case askRequest:
		if d.phase == doorServing {
			s.request(p, d, a)
		}
	}
}

// hello is the handshake.
func (s *doors) hello(p *process, d *door, a *ask) {
	if !p.open || p.resigned {
		s.drop(p, d)
		return
	}
	if a.lastZxid > p.tree.LastZxid() {
		p.w.saw(rareClientAhead)
		s.drop(p, d)
		return
	}
	d.phase, d.timeoutMs = doorAttaching, a.timeoutMs
	passwd := a.passwd
	p.peer.Attach(d.id, a.session, passwd[:], a.timeoutMs, p.m.wallMs())
}

func (s *doors) request(p *process, d *door, a *ask) {
	p.w.tell("%d: client connection %d asks %v %d %s", p.m.sid, d.id, a.op, a.xid, pathOf(a.body))
	v := visit{xid: a.xid, op: a.op}
	if a.read {
		v.read = a.raw
		d.q = append(d.q, v)
		s.answerDue(p, d)
		return
	}
	d.q = append(d.q, v)
	if q := a.asked; q != nil {
		q.by, q.came, q.timeoutMs = p, p.w.now, d.timeoutMs
	}
	p.peer.Submit(&znode.Request{
		Conn: d.id, Session: d.session, Cxid: a.xid, Op: a.op, Body: a.body, Raw: a.raw, IDs: openIDs,
	}, p.m.wallMs())
}

// answerDue answers what is at the head of the queue and can be.
func (s *doors) answerDue(p *process, d *door) {
	for len(d.q) > 0 && d.phase == doorServing {
		v := &d.q[0]
		switch {
		case v.read != nil:
			s.send(p, d, s.read(p, d, v))
		case v.done != nil:
			s.send(p, d, v.done)
		default:
			return
		}
		d.q[0] = visit{}
		d.q = d.q[1:]
	}
}

// read answers a read from the tree. The caller may hold the tree's lock.
func (s *doors) read(p *process, d *door, v *visit) *answer {
	d.reader.Conn, d.reader.Session, d.reader.IDs = d.id, d.session, openIDs
	body, err := p.tree.Read(v.op, &d.reader, v.read, nil)
	for i := range d.reader.Catchup {
		e := &d.reader.Catchup[i]
		s.send(p, d, &answer{kind: answerEvent, event: e.Type, path: e.Path, zxid: e.Zxid})
	}
	d.reader.Catchup = d.reader.Catchup[:0]
	return &answer{kind: answerReply, xid: v.xid, op: v.op, zxid: p.tree.LastZxid(), err: wire.CodeOf(err), body: body}
}

func (s *doors) send(p *process, d *door, a *answer) {
	p.w.send(d.conn, 1, msg{kind: msgAnswer, body: a})
}

// welcome answers the handshake; session 0 says that there is no such session.
func (s *doors) welcome(p *process, d *door, session wire.SessionID, timeoutMs int32, passwd [16]byte) {
	a := &answer{kind: answerWelcome, session: session, timeoutMs: timeoutMs, passwd: passwd}
	s.send(p, d, a)
	if session == 0 {
		s.drop(p, d)
		return
	}
	for _, other := range s.list {
		if other.session == session && other != d {
			s.drop(p, other) // its session has another connection now
			break
		}
	}
	d.phase, d.session, d.timeoutMs = doorServing, session, timeoutMs
	p.heardHere(session)
}

// settled is the outcome of a request.
func (s *doors) settled(p *process, d *door, a *znode.Applied) {
	if d.phase != doorServing {
		return
	}
	if a.Err == wire.ErrSessionMoved {
		p.w.saw(rareMovedRefused)
		s.drop(p, d)
		return
	}
	at := -1
	for i := range d.q {
		if v := &d.q[i]; v.read == nil && v.done == nil {
			if v.xid == a.Cxid && v.op == a.Op {
				at = i
				break
			}
			if a.Op != wire.OpSync && v.op != wire.OpSync {
				break // only syncs may overtake, or be overtaken
			}
		}
	}
	if at < 0 {
		p.w.fail("18 outcomes", "member %d: connection %d gets an outcome of %v %d that it does not wait for", p.m.sid, d.id, a.Op, a.Cxid)
	}
	d.q[at].done = &answer{
		kind: answerReply, xid: a.Cxid, op: a.Op, zxid: a.Zxid, err: a.Err, path: a.Path, stat: a.Stat,
		multi: append([]wire.MultiResult(nil), a.Multi...),
	}
	s.answerDue(p, d)
	if a.Op == wire.OpCloseSession {
		s.drop(p, d)
	}
}

// drop closes a connection behind what was sent on it.
func (s *doors) drop(p *process, d *door) {
	if d == nil || d.phase == doorLeaving {
		return
	}
	p.w.closeEnd(d.conn, 1)
	s.forget(p, d)
}

// gone is a client's end of a connection.
func (s *doors) gone(p *process, c *conn) {
	if d := s.byID[znode.ConnID(idOf(c, 1))]; d != nil {
		s.forget(p, d)
	}
}

func (s *doors) forget(p *process, d *door) {
	d.phase = doorLeaving
	if d.session != 0 && d.news {
		s.departed, s.departAt = append(s.departed, d.session), append(s.departAt, d.heard)
	}
	delete(s.byID, d.id)
	for i, other := range s.list {
		if other == d {
			s.list = append(s.list[:i], s.list[i+1:]...)
			break
		}
	}
	p.tree.DropWatcher(d.id)
}

func (s *doors) dropAll(p *process) {
	for len(s.list) > 0 {
		s.drop(p, s.list[len(s.list)-1])
	}
}

// closed is the end of a session.
func (s *doors) closed(p *process, id wire.SessionID) {
	for _, d := range s.list {
		if d.session == id {
			s.drop(p, d)
			return
		}
	}
}

// sessions are those with a connection here.
func (s *doors) sessions() []peer.Attachment {
	var list []peer.Attachment
	for _, d := range s.list {
		if d.phase == doorServing {
			list = append(list, peer.Attachment{Conn: d.id, Session: d.session, TimeoutMs: d.timeoutMs})
		}
	}
	return list
}

// touch tells the peer who was heard.
func (p *process) touch() {
	s := &p.doors
	for i, id := range s.departed {
		p.peer.Touch(id, s.departAt[i])
	}
	s.departed, s.departAt = s.departed[:0], s.departAt[:0]
	for _, d := range s.list {
		if d.session != 0 {
			p.peer.Touch(d.session, d.heard)
			d.news = false
		}
	}
}

// attached is the answer to an attachment that needed no transaction.
func (p *process) attached(a *peer.Attached) {
	p.w.tell("%d: attached client connection %d to session %v", p.m.sid, a.Conn, a.Session)
	if d := p.doors.byID[a.Conn]; d != nil && d.phase == doorAttaching {
		p.doors.welcome(p, d, a.Session, a.TimeoutMs, a.Passwd)
	}
}

// serve lets clients in or out.
func (p *process) serve(s *peer.Serving) {
	p.w.tell("%d: serving: %v held=%v leader %d epoch %d %s", p.m.sid, s.State, s.Held, s.Leader, s.Epoch, s.Reason)
	p.checkServing(s)
	p.serving = *s
	switch {
	case s.State != wire.Looking:
		p.open = true
	case s.Held:
		p.open = false
		p.w.saw(rareHeld)
		p.m.moment(momHeld)
		if then := p.onHeld; then != nil {
			p.onHeld = nil
			p.w.later(1, then) // it happens in the middle of its work
		}
	default:
		p.open = false
		p.doors.dropAll(p)
	}
}

// isLocal tells whether an outcome is of a local session's request and took no
// transaction: the tree is where it was.
func (p *process) isLocal(a *znode.Applied) bool {
	return p.w.plan.local && a.Zxid == p.w.ledger.final[p.check.pos].zxid &&
		(a.Op == wire.OpCloseSession || a.Err == wire.ErrEphemeralOnLocalSession)
}

// applied is the outcome of one transaction or sync, under the tree's lock.
func (p *process) applied(a *znode.Applied) {
	if a.Op != wire.OpSync && !p.isLocal(a) {
		p.checkApplied(a)
	}
	for i := range a.Events {
		e := &a.Events[i]
		for _, id := range e.Watchers {
			if d := p.doors.byID[id]; d != nil && d.phase == doorServing {
				p.doors.send(p, d, &answer{kind: answerEvent, event: e.Type, path: e.Path, zxid: e.Zxid})
			}
		}
	}
	if a.Conn != 0 {
		p.w.tell("%d: outcome of %v %d for client connection %d at %v: %v", p.m.sid, a.Op, a.Cxid, a.Conn, a.Zxid, a.Err)
	}
	d := p.doors.byID[a.Conn]
	if a.Created != 0 {
		if a.Conn != 0 && d != nil && d.phase == doorAttaching {
			p.doors.welcome(p, d, a.Created, a.TimeoutMs, p.peer.Password(a.Created, a.Cxid))
		}
		return
	}
	if a.Conn != 0 && d != nil {
		p.doors.settled(p, d, a)
	}
	if a.Closed != 0 {
		p.doors.closed(p, a.Closed)
	}
}
