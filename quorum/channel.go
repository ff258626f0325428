package quorum

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"

	"zooid/socket"
	"zooid/wire"
	"zooid/zab"
)

// channelEvents is who hears what the learner connections bring. The calls
// come from many goroutines, without any lock held: all methods of channels but
// Shutdown may be called from them. Those about one connection come one after
// the other: Accepted or Dialled, any number of Packets, and in the end, once
// and whoever ended it, Closed.
type channelEvents interface {
	// Accepted is a connection that a learner has made to this member.
	Accepted(conn zab.ConnID, remote string)
	// Dialled and DialFailed answer Dial. A refused connection is told at once:
	// errors.Is(err, syscall.ECONNREFUSED).
	Dialled(conn zab.ConnID)
	DialFailed(sid wire.SID, err error)
	// Packets are what has arrived at once. The slice and all data in it belong
	// to the receiver. A batch ends with SNAP if it holds one: nothing is read
	// behind it before Receive.
	Packets(conn zab.ConnID, packets []wire.QuorumPacket)
	// Closed is the end of a connection, with the reason in a few words.
	Closed(conn zab.ConnID, reason string)
}

// channelOptions is what channels are told about their place.
type channelOptions struct {
	// Listen are the addresses to listen on.
	Listen []string
	// MaxPacket is how many bytes of data a packet may bring.
	MaxPacket int // default 2 MiB, ZooKeeper's with its extra size
	// MaxGreeting is how many bytes of data a packet may bring on an accepted
	// connection before Trust; default MaxPacket.
	MaxGreeting int
	// SilentMax is how long an accepted connection may say nothing at all before
	// it is closed; default 5 s.
	SilentMax time.Duration
	// Member tells whether an address is a member's; nil if that is not known.
	Member func(netip.Addr) bool
	// MaxQueued is how many bytes may wait for a connection's other end; at the
	// bound the connection is closed.
	MaxQueued int // default 256 MiB
	// MaxAccepted is how many accepted connections there may be at once; more
	// are refused.
	MaxAccepted int // default 1,000
	// StallMax is how long the other end may take nothing of what is being
	// written; default 1 min.
	StallMax  time.Duration
	BindTries int  // tries to listen, 1 s apart; default 3
	KeepAlive bool // TCP keepalive

	Log    *zap.Logger
	Events channelEvents

	dial dialFunc // TCP if nil
}

const (
	defaultMaxQueued   = 256 << 20
	defaultMaxAccepted = 1000
	defaultStallMax    = time.Minute
	// partialMax bounds the memory of all packets together that have arrived in
	// part on accepted connections. At the bound the connection with the most is
	// closed.
	partialMax = 64 << 20
	// lingerTime is how long a connection that is being closed may take to
	// write what is queued, and then for the other end to agree.
	lingerTime = 2 * time.Second
)

// channels are the connections of a member with learners, or with its leader.
//
//	Queue ─► channel's buffers ─► Flush: what the socket takes ═══► other end
//	                                └─► the rest, snapshots: a goroutine
//	Packets ◄─ batch ◄─ reader ◄═══ other end
//	                      └─► Receive: a stream, then packets again
//
// Queue, Flush and Close never wait. A connection's reader alone tells its
// events, so that they keep their order; the last thing it does is to tell
// Closed.
type channels struct {
	o        channelOptions
	refusals *zap.Logger // thinned out
	ports    *ports
	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup
	lastID   atomic.Int64
	silent   silentConns
	partial  *socket.Budget

	mu struct {
		sync.Mutex
		closed   bool
		channels map[zab.ConnID]*channel
		accepted int // how many of them were accepted
		touched  []*channel
		// dialling is the number of the last Dial's connection, and abandon ends
		// that dial.
		dialling zab.ConnID
		abandon  context.CancelFunc
	}
}

// newChannels makes channels, without a connection. Nobody is accepted before
// Listen.
func newChannels(o channelOptions) *channels {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.MaxPacket <= 0 {
		o.MaxPacket = defaultMaxPacket
	}
	if o.MaxGreeting <= 0 {
		o.MaxGreeting = o.MaxPacket
	}
	if o.SilentMax <= 0 {
		o.SilentMax = defaultDialTimeout
	}
	if o.MaxQueued <= 0 {
		o.MaxQueued = defaultMaxQueued
	}
	if o.MaxAccepted <= 0 {
		o.MaxAccepted = defaultMaxAccepted
	}
	if o.StallMax <= 0 {
		o.StallMax = defaultStallMax
	}
	if o.dial == nil {
		o.dial = tcpDialer(o.KeepAlive)
	}
	s := &channels{o: o, refusals: thinned(o.Log), partial: socket.NewBudget(partialMax)}
	s.silent.member = o.Member
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.ports = &ports{log: o.Log, keepAlive: o.KeepAlive, accepted: s.accept, ctx: s.ctx}
	s.mu.channels = make(map[zab.ConnID]*channel)
	s.mu.abandon = func() {}
	return s
}

// Listen accepts connections from now on. It tries for a while if an address
// is in use.
func (s *channels) Listen() error { return s.ports.listen(s.o.Listen, s.o.BindTries) }

// ListenAddrs is where it listens.
func (s *channels) ListenAddrs() []net.Addr { return s.ports.addrs() }

// accept is the goroutine of an accepted connection.
func (s *channels) accept(nc net.Conn) {
	c := s.newChannel(s.nextID(), nc)
	c.accepted = true
	c.silent = s.silent.admit(nc)
	defer s.silent.leave(c.silent)
	c.setTimeout(s.o.SilentMax)
	c.holds = s.partial.Open(func(held, limit int64) {
		err := fmt.Errorf("it holds %d bytes of a packet that is not whole, and all such connections together may hold %d", held, limit)
		s.refusals.Warn("closing a connection between servers", zap.Stringer("with", nc.RemoteAddr()), zap.Error(err))
		c.end(err)
	})
	defer c.holds.Close()
	if err := s.add(c); err != nil {
		if err == errTooMany {
			s.refusals.Warn("refusing a learner", zap.Stringer("from", nc.RemoteAddr()), zap.Error(err), zap.Int("limit", s.o.MaxAccepted))
		}
		c.end(err)
		return
	}
	s.o.Events.Accepted(c.id, nc.RemoteAddr().String())
	c.serve()
}

func (s *channels) nextID() zab.ConnID { return zab.ConnID(s.lastID.Add(1)) }

// add makes c known, unless there is no room for it.
func (s *channels) add(c *channel) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.mu.closed:
		return errShutdown
	case c.accepted && s.mu.accepted >= s.o.MaxAccepted && !s.hurry():
		return errTooMany
	}
	if c.accepted {
		s.mu.accepted++
	}
	s.mu.channels[c.id] = c
	return nil
}

// hurry ends an accepted connection at once that is being closed, or has said
// nothing, so that another one finds a place. The caller holds s.mu.
func (s *channels) hurry() bool {
	var victim *channel
	for _, c := range s.mu.channels {
		if c.accepted && !c.gone && (c.finishing() || !c.spoke.Load()) && (victim == nil || c.id < victim.id) {
			victim = c
		}
	}
	if victim == nil {
		return false
	}
	victim.gone = true
	s.mu.accepted--
	victim.end(errGone)
	return true
}

// Trust lets conn bring packets of any size: it is a learner's that has promised
// to follow.
func (s *channels) Trust(conn zab.ConnID) {
	if c := s.find(conn); c != nil {
		c.trusted.Store(true)
	}
}

func (s *channels) remove(c *channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.channels, c.id)
	if c.accepted && !c.gone {
		s.mu.accepted--
	}
}

// find gives the channel of conn, nil if it is gone.
func (s *channels) find(conn zab.ConnID) *channel {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.channels[conn]
}

// Dial connects to the quorum port of a member, to the first of addrs that can
// be reached; the names are looked up now. The answer is Dialled, with the
// connection's number that Dial gives, or DialFailed. A member has one leader: a
// dial that is still under way is given up, and not answered.
func (s *channels) Dial(sid wire.SID, addrs []string, timeout time.Duration) zab.ConnID {
	id := s.nextID()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return id
	}
	s.mu.abandon()
	ctx, cancel := context.WithCancel(s.ctx)
	s.mu.dialling, s.mu.abandon = id, cancel
	s.running.Go(func() {
		defer cancel()
		nc, err := dialFirst(ctx, s.o.dial, addrs, timeout)
		switch {
		case err == nil:
			s.dialled(id, nc)
		case s.answer(id):
			s.o.Events.DialFailed(sid, err)
		}
	})
	return id
}

// answer tells whether a dial is still to be answered.
func (s *channels) answer(id zab.ConnID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.dialling == id && !s.mu.closed
}

// dialled is the rest of the dialling goroutine's life.
func (s *channels) dialled(id zab.ConnID, nc net.Conn) {
	c := s.newChannel(id, nc)
	c.trusted.Store(true)
	if !s.answer(id) || s.add(c) != nil {
		c.end(errGone)
		return
	}
	s.o.Events.Dialled(id)
	c.serve()
}

// Queue puts a packet behind all that is queued for conn. p is encoded before
// Queue returns. A connection that is gone takes it without a word.
func (s *channels) Queue(conn zab.ConnID, p *wire.QuorumPacket) {
	if c := s.find(conn); c != nil && c.queue(p) {
		s.mu.Lock()
		s.mu.touched = append(s.mu.touched, c)
		s.mu.Unlock()
	}
}

// Flush writes what was queued, on all connections, without ever blocking.
func (s *channels) Flush() {
	for {
		s.mu.Lock()
		last := len(s.mu.touched) - 1
		if last < 0 {
			s.mu.Unlock()
			return
		}
		c := s.mu.touched[last]
		s.mu.touched[last] = nil
		s.mu.touched = s.mu.touched[:last]
		s.mu.Unlock()
		c.flush()
	}
}

// SendSnapshot has stream write what follows the packet SNAP, in a goroutine and
// behind all that is queued for conn; what is queued from now on waits behind
// it. ctx ends with the connection. done is called once with the outcome,
// perhaps from within any method, so it must not wait. An error closes the
// connection; if that ends first, stream is not called.
func (s *channels) SendSnapshot(conn zab.ConnID, stream func(ctx context.Context, w io.Writer) error, done func(error)) {
	c := s.find(conn)
	if c == nil {
		done(errGone)
		return
	}
	c.queueStream(&outStream{write: stream, done: done})
	c.flush()
}

// Receive has read take the stream behind SNAP, and no byte more, in the
// connection's goroutine; then packets go on. The Reader is a *bufio.Reader of
// 64 KiB, so what bufio.NewReader makes of it is itself. done is called once
// with the outcome, perhaps from within any method, so it must not wait; packets
// follow it. An error closes the connection; if that ends first, read is not
// called.
func (s *channels) Receive(conn zab.ConnID, read func(r io.Reader) error, done func(error)) {
	c := s.find(conn)
	if c == nil || !c.receive(&inStream{read: read, done: done}) {
		done(errGone)
	}
}

// SetTimeout sets how long conn may bring nothing, from now on, before it is
// closed; 0, as in the beginning, means for ever.
func (s *channels) SetTimeout(conn zab.ConnID, d time.Duration) {
	if c := s.find(conn); c != nil {
		c.setTimeout(d)
	}
}

// Close ends a connection once what is queued for it is written, or could not
// be written for a while. No packet of it is delivered from now on.
func (s *channels) Close(conn zab.ConnID) {
	if c := s.find(conn); c != nil {
		c.finish()
	}
}

// Shutdown ends all connections at once and waits for everything to end, the
// events too. It is not to be called from one of those.
func (s *channels) Shutdown() {
	s.mu.Lock()
	s.mu.closed = true
	var all []*channel
	for _, c := range s.mu.channels {
		all = append(all, c)
	}
	s.mu.Unlock()
	s.cancel()
	s.ports.close()
	for _, c := range all {
		c.end(errShutdown)
	}
	s.ports.wait()
	s.running.Wait()
}

var (
	errGone          = errors.New("the connection is gone")
	errClosed        = errors.New("closed by this server")
	errClosedByOther = errors.New("closed by the other end")
	errTooMany       = errors.New("too many connections")
	errShutdown      = errors.New("this server shuts down")
)

// channel is one connection with a learner or with the leader.
type channel struct {
	s        *channels
	id       zab.ConnID
	nc       net.Conn
	accepted bool
	gone     bool            // counts no more; under the lock of channels
	ctx      context.Context // ends with the connection
	cancel   context.CancelFunc

	silent  *silentConn     // accepted ones only
	holds   *socket.Account // … what they hold of a packet that is not whole
	spoke   atomic.Bool     // has brought a packet
	trusted atomic.Bool     // may bring packets of any size

	in   inbound       // the reader only
	out  socket.Writer // whoever holds mu.writing
	asks chan struct{} // mu.stream is there for the reader
	quit chan struct{} // closed when finishing, or when it has ended

	mu struct {
		sync.Mutex
		queue   []outItem // what waits to be written, in order
		bytes   int       // in queue and being written
		writing bool      // somebody writes, and will write all of queue
		touched bool      // is in the list of those to flush
		stream  *inStream // what Receive wants of the reader

		// finishing says that the connection ends once all is written; nothing
		// more is queued or delivered.
		finishing bool
		ended     error // why the connection has ended; nil while it stands

		timeout time.Duration // of reading; 0 = none
		since   time.Time     // when reading began, or the timeout was set
	}
}

func (s *channels) newChannel(id zab.ConnID, nc net.Conn) *channel {
	c := &channel{s: s, id: id, nc: nc, asks: make(chan struct{}, 1), quit: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			c.out.Init(raw)
		}
	}
	return c
}

// serve is the reader's work, from the connection's beginning to its end.
func (c *channel) serve() {
	err := c.readPackets()
	if c.finishing() {
		c.discard()
	}
	c.end(err)
	reason := c.clear()
	c.s.remove(c)
	c.s.o.Events.Closed(c.id, reason.Error())
}

// end ends the connection because of err, unless it has ended before. The
// reader notices, and does the rest.
func (c *channel) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(err)
}

func (c *channel) endLocked(err error) {
	if c.mu.ended != nil {
		return
	}
	if c.mu.finishing {
		err = errClosed
	} else {
		close(c.quit)
	}
	c.mu.ended = err
	c.cancel()
	c.nc.Close()
}

// clear lets go of what waits on a connection that has ended, and tells why it
// has.
func (c *channel) clear() error {
	c.mu.Lock()
	queue, in, err := c.mu.queue, c.mu.stream, c.mu.ended
	c.mu.queue, c.mu.stream = nil, nil
	c.mu.Unlock()
	for _, item := range queue {
		if item.stream != nil {
			item.stream.done(err)
		} else {
			item.buf.release()
		}
	}
	if in != nil {
		in.done(err)
	}
	return err
}

// finish ends the connection once all is written.
func (c *channel) finish() {
	c.mu.Lock()
	if c.mu.ended != nil || c.mu.finishing {
		c.mu.Unlock()
		return
	}
	c.mu.finishing = true
	close(c.quit)
	c.nc.SetWriteDeadline(time.Now().Add(lingerTime))
	c.mu.Unlock()
	c.flush()
}

// finishing tells whether the connection is being closed from this side.
func (c *channel) finishing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.finishing
}

// written is what follows when nothing is left to be written. A connection that
// is finishing is closed in this direction, so that the other end gets all of
// it: a socket closed with bytes unread could take some back. The caller holds
// c.mu.
func (c *channel) written() {
	if !c.mu.finishing {
		return
	}
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		c.endLocked(errClosed)
		return
	}
	c.nc.SetReadDeadline(time.Now().Add(lingerTime))
}
