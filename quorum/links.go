package quorum

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"zooid/wire"
)

// linkEvents is who hears what the election connections bring. The calls come
// one after the other from one goroutine, without any lock held: all methods of
// links but Close may be called from them.
type linkEvents interface {
	// Notified is a notification of a member.
	Notified(from wire.SID, n wire.Notification)
	// Linked says that a fresh connection with a member stands, perhaps in place
	// of another one, of which nothing is said then.
	Linked(sid wire.SID)
	// Unlinked says that a member's connection is gone and none has taken its
	// place at once.
	Unlinked(sid wire.SID)
}

// linkOptions is what links are told about their place.
type linkOptions struct {
	SID wire.SID
	// Addrs are this member's election addresses, host:port, as greetings
	// announce them.
	Addrs []string
	// Listen are the addresses to listen on.
	Listen []string
	// Peers gives the election addresses, host:port, of every member, observers
	// too. It is asked at every dial and every greeting, from any goroutine. Who
	// is not in it may ask for votes, see unlistedLinks.
	Peers func() map[wire.SID][]string
	// From gives the members that have an address; nil if that is not known.
	From func(netip.Addr) []wire.SID

	CnxTimeout   time.Duration // for a dial; default 5 s
	GreetTimeout time.Duration // for the greeting of who dials us; default 5 s
	BindTries    int           // tries to listen, 1 s apart; default 3
	KeepAlive    bool          // TCP keepalive

	Log    *zap.Logger
	Events linkEvents

	dial dialFunc // TCP if nil
}

const (
	// redialMin and redialMax bound the wait after a dial that led to nothing.
	redialMin = 50 * time.Millisecond
	redialMax = time.Second
	// redialAtOnce is how long the replacement of a lost connection may take
	// before the loss is told.
	redialAtOnce = 500 * time.Millisecond
	// provenAge is the age from which on a connection is held to have been one,
	// although it has brought nothing.
	provenAge = time.Second
	// unlistedLinks bounds the connections with servers that are in no list of
	// ours; at the bound the oldest is closed.
	unlistedLinks = 32
	// standoff is how long a connection that stands may show that it is alive, or
	// end, before another one that says to be the same server takes its place.
	standoff = 500 * time.Millisecond
	// candidatesMax bounds the connections of one server that wait for that; more
	// are refused.
	candidatesMax = 16
	// newsMax bounds the notifications that wait to be told; beyond it the
	// connections are not read from.
	newsMax = 100
)

// links are the election connections of a member: one with each other member,
// whoever dialled it. A connection stays only if who dialled it has the greater
// sid; the other's dial is but a request to be called back.
//
//	Send ─► link.next ─► writer ═══ connection ═══► reader ─► news ─► events
//	           │ no connection                                  ▲
//	           └─► reach: waits, dials, greets ─► establish ────┘
//	                       accepted, greeting ────────┘
//
// Each link has at most one connection, with a reader and a writer, and at most
// one goroutine that dials. All state is under one lock, and what happened is
// noted under it too, so that it is told in the order in which it happened.
type links struct {
	o        linkOptions
	greeting []byte
	refusals *zap.Logger // thinned out
	ports    *ports
	silent   silentConns // whose greeting is awaited
	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup

	mu struct {
		sync.Mutex
		closed bool
		links  map[wire.SID]*link
		news   []linkEvent
		// changed is signalled when news has come or was taken, and at the end.
		changed sync.Cond
	}
}

// link is what links have with one other member. Its fields are under the
// lock of links.
type link struct {
	sid  wire.SID
	conn *linkConn // nil if none stands
	next []byte    // frame to be sent, nil if there is none
	last []byte    // frame that was sent last, perhaps in part

	wanted   bool          // a connection is wanted since the last dial began
	dialling bool          // a goroutine dials, or waits to
	hurry    chan struct{} // ends its waiting
	wait     time.Duration // after the next dial that leads to nothing
	notUntil time.Time     // no dial before
	callBack []string      // addresses of a greeting, for the next dial
	answer   time.Duration // how long it may take to call back
	missed   bool          // the connection is lost, and Unlinked not told yet
	trouble  string        // why the last dial failed, as it was logged

	unlisted   bool // the server is no member: it is not dialled but to call it back
	candidates int  // connections that wait to take the place of conn
}

// newLinks makes links, without a connection. It dials when asked to, but
// accepts nobody before Listen.
func newLinks(o linkOptions) *links {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	for _, d := range []*time.Duration{&o.CnxTimeout, &o.GreetTimeout} {
		if *d <= 0 {
			*d = defaultDialTimeout
		}
	}
	if o.dial == nil {
		o.dial = tcpDialer(o.KeepAlive)
	}
	greeting := wire.Greeting{SID: o.SID, Addrs: o.Addrs}
	l := &links{o: o, greeting: greeting.Append(nil), refusals: thinned(o.Log)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.ports = &ports{log: o.Log, keepAlive: o.KeepAlive, accepted: l.greeted, ctx: l.ctx}
	if o.From != nil {
		l.silent.member = func(addr netip.Addr) bool { return len(o.From(addr)) > 0 }
	}
	l.mu.links = make(map[wire.SID]*link)
	l.mu.changed.L = &l.mu.Mutex
	l.running.Go(l.tell)
	return l
}

// Listen accepts connections from now on. It tries for a while if an address
// is in use.
func (l *links) Listen() error { return l.ports.listen(l.o.Listen, l.o.BindTries) }

// ListenAddrs is where it listens.
func (l *links) ListenAddrs() []net.Addr { return l.ports.addrs() }

// Send has n sent to a member, in place of what has not been sent to it yet,
// and has the member dialled if there is no connection. A server that is no member
// gets it only by a connection that it has made. It never waits.
func (l *links) Send(to wire.SID, n *wire.Notification) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if to == l.o.SID { // what a member tells itself needs no connection
		l.note(linkEvent{kind: notified, sid: to, n: *n})
		return
	}
	p := l.mu.links[to]
	if _, member := l.o.Peers()[to]; p == nil && !member {
		return
	}
	if p == nil {
		p = l.link(to)
	}
	p.next = wire.EndFrame(n.Append(wire.BeginFrame(nil)), 0)
	if p.conn != nil {
		p.conn.wake()
		return
	}
	l.want(p)
}

// ConnectAll dials every member that has no connection. It never waits.
func (l *links) ConnectAll() {
	peers := l.o.Peers()
	l.mu.Lock()
	defer l.mu.Unlock()
	for sid := range peers {
		if sid == l.o.SID {
			continue
		}
		if p := l.link(sid); p.conn == nil {
			l.want(p)
		}
	}
}

// Close ends all connections and waits for everything to end, the events too.
// It is not to be called from one of those.
func (l *links) Close() {
	l.ports.close() // first, or who loses a connection could dial again in vain
	l.mu.Lock()
	l.mu.closed = true
	for _, p := range l.mu.links {
		if p.conn != nil {
			p.conn.close()
		}
	}
	l.mu.changed.Broadcast()
	l.mu.Unlock()
	l.cancel()
	l.ports.wait()
	l.running.Wait()
}

// link is the link with sid. The caller holds l.mu.
func (l *links) link(sid wire.SID) *link {
	p := l.mu.links[sid]
	if p == nil {
		p = &link{sid: sid, hurry: make(chan struct{}, 1)}
		l.mu.links[sid] = p
	}
	return p
}

// want has the member dialled, now or when its time has come. The caller holds
// l.mu.
func (l *links) want(p *link) {
	p.wanted = true
	switch {
	case l.mu.closed:
	case p.dialling:
		select {
		case p.hurry <- struct{}{}:
		default:
		}
	default:
		p.dialling = true
		l.running.Go(func() { l.reach(p) })
	}
}

// reach is the goroutine that dials a member for as long as a connection is
// wanted.
func (l *links) reach(p *link) {
	for {
		callBack, ok := l.awaitDial(p)
		if !ok {
			return
		}
		l.reachOnce(p, callBack)
	}
}

// awaitDial waits until the member may be dialled. It is false, and dialling
// has ended, if that is not wanted any more.
func (l *links) awaitDial(p *link) (callBack []string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if l.mu.closed || p.conn != nil || !p.wanted || p.unlisted && p.callBack == nil {
			p.dialling, p.wanted = false, false
			l.forgetUnlisted(p)
			return nil, false
		}
		wait := time.Until(p.notUntil)
		if wait <= 0 {
			callBack, p.callBack = p.callBack, nil
			p.wanted = false
			return callBack, true
		}
		l.mu.Unlock()
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-p.hurry:
		case <-l.ctx.Done():
		}
		t.Stop()
		l.mu.Lock()
	}
}

// reachOnce dials a member, at its configured addresses first and then at those
// of its greeting.
func (l *links) reachOnce(p *link, callBack []string) {
	addrs := slices.Clone(l.o.Peers()[p.sid])
	for _, a := range callBack {
		if !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	l.mu.Lock()
	timeout := l.o.CnxTimeout
	if p.missed {
		timeout = min(timeout, redialAtOnce)
	}
	l.mu.Unlock()
	began := time.Now()
	nc, err := dialFirst(l.ctx, l.o.dial, addrs, timeout)
	trip := time.Since(began)
	if err == nil && !l.reached(p) {
		err = l.greet(nc)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.notReached(p, err)
	case p.conn != nil: // the member was faster, and would give up its connection for ours
		nc.Close()
	case p.sid > l.o.SID:
		// It calls back, which takes two round trips: the greeting's way, its
		// dial, its greeting's way. Another greeting would undo that.
		nc.Close()
		p.answer = min(max(3*trip, redialMin), redialMax)
		l.postpone(p)
		p.notUntil = time.Now().Add(max(p.wait, p.answer))
		l.givenUp(p)
	default:
		l.establish(p, nc, nil)
	}
}

// reached tells whether a connection with the member stands.
func (l *links) reached(p *link) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return p.conn != nil
}

// greet sends the greeting. It goes out in one piece, because ZooKeeper takes
// the address with one read.
func (l *links) greet(nc net.Conn) error {
	nc.SetWriteDeadline(time.Now().Add(l.o.CnxTimeout))
	stop := context.AfterFunc(l.ctx, func() { nc.Close() })
	_, err := nc.Write(l.greeting)
	if !stop() {
		err = net.ErrClosed
	}
	if err != nil {
		nc.Close()
		return err
	}
	return nc.SetWriteDeadline(time.Time{})
}

// notReached is what follows a dial that failed. The caller holds l.mu.
func (l *links) notReached(p *link, err error) {
	if l.mu.closed || p.conn != nil { // it was reached otherwise
		return
	}
	l.postpone(p)
	l.givenUp(p)
	if trouble := troubleOf(err); trouble != p.trouble {
		p.trouble = trouble
		l.o.Log.Info("a server is not reached for the election: "+trouble, zap.Int64("server", int64(p.sid)), zap.Error(err))
	}
}

// postpone puts the next dial off, longer each time. The caller holds l.mu.
func (l *links) postpone(p *link) {
	p.wait = min(max(2*p.wait, redialMin), redialMax)
	p.notUntil = time.Now().Add(p.wait)
}

// givenUp tells of a lost connection that was not replaced at once. The caller
// holds l.mu.
func (l *links) givenUp(p *link) {
	if p.missed && p.conn == nil {
		p.missed = false
		l.note(linkEvent{kind: unlinked, sid: p.sid})
	}
}
