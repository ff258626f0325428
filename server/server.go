package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"zooid/fourletter"
	"zooid/socket"
	"zooid/wire"
	"zooid/znode"
)

// Options is what the configuration says about the clients' network. Zero
// values mean ZooKeeper's defaults, except where 0 is said to be off.
type Options struct {
	Logger    *zap.Logger
	Auth      Authority
	Host      Host
	Metrics   Metrics // nil: nothing is counted but what the words need
	Whitelist fourletter.Whitelist

	// SID is the top byte of the ids of sessions on a read-only server.
	SID                        wire.SID
	MinTimeoutMs, MaxTimeoutMs int32 // bounds of a session's timeout
	// SkipACL delivers events without regard to ACLs (zookeeper.skipACL).
	SkipACL bool

	MaxFrame       int // bytes, jute.maxbuffer; default 1,048,575
	MaxClientCnxns int // connections from one address; 0 = no limit
	MaxCnxns       int // connections in all; 0 = no limit
	// OutstandingLimit is globalOutstandingLimit: while more requests than this
	// are unanswered, connections that have one of them are not read from.
	OutstandingLimit int // default 1,000
	// LargeThreshold is the size in bytes from which on a request is large; 0
	// is off. All large requests being served may take LargeMax bytes together.
	LargeThreshold int
	LargeMax       int64 // default 100 MiB
	// ConnectTokens is the depth of the connection throttle's bucket, which
	// gains ConnectFill tokens every ConnectFillTime; 0 is off.
	ConnectTokens   int
	ConnectFill     int           // default 1
	ConnectFillTime time.Duration // default 1 ms
	// ThrottleRequests is how many requests may be in work at once; others wait.
	// 0 is off. Of those that waited longer than ThrottledOpWait (0 = any time
	// will do) each is refused.
	ThrottleRequests int
	ThrottledOpWait  time.Duration
	// HandshakeTimeout is how long a connection may take to send its
	// ConnectRequest (nio.sessionlessCnxnTimeout).
	HandshakeTimeout time.Duration // default 10 s
	KeepAlive        bool          // TCP keepalive on client connections
	// QueueBytes bounds what waits for a client that does not read it; at the
	// bound it is cut off.
	QueueBytes int // default the larger of 16 MiB and 4 · MaxFrame
	// QueueRequests bounds the unanswered requests of one connection; at the
	// bound it is not read from.
	QueueRequests int // default 2,000
	// Memory is how many bytes all connections together may hold of what waits
	// for their clients, of requests that are not answered, and of frames that
	// are not whole yet. When it is more, the connection that holds the most is
	// cut off, then the next, until the rest fits.
	Memory int64 // default 256 MiB
}

const (
	defaultMaxFrame         = 0xfffff
	defaultOutstandingLimit = 1000
	defaultLargeMax         = 100 << 20
	defaultHandshakeTimeout = 10 * time.Second
	defaultQueueBytes       = 16 << 20
	defaultQueueRequests    = 2000
	defaultMemory           = 256 << 20
)

// orDefault sets *v to d if it is not positive.
func orDefault[T int | int32 | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

func (o *Options) fill() {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	orDefault(&o.MinTimeoutMs, 4000)
	orDefault(&o.MaxTimeoutMs, 40000)
	orDefault(&o.MaxFrame, defaultMaxFrame)
	orDefault(&o.OutstandingLimit, defaultOutstandingLimit)
	orDefault(&o.LargeMax, defaultLargeMax)
	orDefault(&o.ConnectFill, 1)
	orDefault(&o.ConnectFillTime, time.Millisecond)
	orDefault(&o.HandshakeTimeout, defaultHandshakeTimeout)
	orDefault(&o.QueueBytes, max(defaultQueueBytes, 4*o.MaxFrame))
	orDefault(&o.QueueRequests, defaultQueueRequests)
	orDefault(&o.Memory, defaultMemory)
}

// Server is the clients' network of one member. It serves nobody before Serve
// and Open.
type Server struct {
	o   Options
	log *zap.Logger
	// refusals is log, thinned out when it repeats itself.
	refusals *zap.Logger
	member   atomic.Pointer[Member] // nil before Serve
	began    time.Time              // origin of now

	stats       stats
	outstanding atomic.Int64 // requests in all connections' queues
	stalled     stalled
	large       atomic.Int64 // bytes of large requests being served
	memory      *socket.Budget
	connects    tokenBucket
	refusal     refusal
	traceMask   atomic.Int64 // what stmk set; it has no effect, as nothing is traced

	quotas  lately[[]fourletter.Quota]
	digests lately[[]fourletter.Digest]

	running sync.WaitGroup // goroutines of listeners and connections
	loop    loop           // the member's loop only

	mu struct {
		sync.RWMutex
		stopping  bool
		door      door
		shutFor   string // why the door is closed
		listeners []net.Listener
		lastID    znode.ConnID
		conns     map[znode.ConnID]*conn
		// sessions has the connection of every session that has one here.
		sessions map[wire.SessionID]*conn
		// departed has, until the next Touched, when those sessions were last
		// heard whose connection has ended: its end takes nothing from them.
		departed map[wire.SessionID]int64
		visitors visitors
		fromAddr map[netip.Addr]int // connections by source
		extra    int                // connections beyond the limits that may still ask a word
	}
}

// New makes a server that listens nowhere and serves nobody yet.
func New(o Options) *Server {
	o.fill()
	s := &Server{o: o, log: o.Logger, began: time.Now(), memory: socket.NewBudget(o.Memory)}
	// A client that is refused tries again at once, and a thousand clients do.
	s.refusals = o.Logger.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, time.Second, 20, 1000)
	}))
	s.connects.init(&o)
	s.loop.reading.left = loopReadTime
	s.stats.init(o.Metrics)
	s.traceMask.Store(fourletter.DefaultTraceMask)
	s.mu.conns = map[znode.ConnID]*conn{}
	s.mu.sessions = map[wire.SessionID]*conn{}
	s.mu.departed = map[wire.SessionID]int64{}
	s.mu.shutFor = "starting"
	s.mu.visitors.byID = map[wire.SessionID]*visitor{}
	s.mu.fromAddr = map[netip.Addr]int{}
	return s
}

// Listen opens the addresses (host:port each) and accepts connections on them.
// Until Open these are closed as soon as they ask for a session, but words are
// answered. It gives the addresses as they are: a port 0 has become a port. If
// one cannot be opened none is.
func (s *Server) Listen(addrs ...string) ([]net.Addr, error) {
	// Without KeepAlive in the ListenConfig Go would switch it on. The backlog
	// is the system's largest, which is what Go asks for.
	lc := net.ListenConfig{KeepAlive: -1}
	if s.o.KeepAlive {
		lc.KeepAlive = 0
	}
	// No client of ZooKeeper's speaks it, and accepting is cheaper without.
	lc.SetMultipathTCP(false)
	var opened []net.Listener
	var bound []net.Addr
	for _, a := range addrs {
		l, err := lc.Listen(context.Background(), "tcp", a)
		if err != nil {
			for _, l := range opened {
				l.Close()
			}
			return nil, fmt.Errorf("client address %s: %w", a, err)
		}
		opened = append(opened, l)
		bound = append(bound, l.Addr())
	}
	s.mu.Lock()
	s.mu.listeners = append(s.mu.listeners, opened...)
	s.mu.Unlock()
	for _, l := range opened {
		s.running.Go(func() { s.accept(l) })
		s.log.Debug("listening for clients", zap.Stringer("address", l.Addr()))
	}
	return bound, nil
}

// Serve says who serves: clients are let in from the next Open on.
func (s *Server) Serve(m Member) { s.member.Store(&m) }

// serving is the member, or nil before Serve.
func (s *Server) serving() Member {
	if m := s.member.Load(); m != nil {
		return *m
	}
	return nil
}

// now is the time in µs since the server was made, on a monotonic clock.
func (s *Server) now() int64 { return time.Since(s.began).Microseconds() }

// Pauses after an accept that failed, as when the process is out of file
// descriptors: it will fail again for a while.
const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

func (s *Server) accept(l net.Listener) {
	pause := acceptPauseMin
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			pause = acceptPauseMin
			s.Handle(nc)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			s.refusals.Error("accepting clients", zap.Stringer("address", l.Addr()), zap.Error(err))
			time.Sleep(pause)
			pause = min(2*pause, acceptPauseMax)
		}
	}
}

// Handle serves one connection, which need not come from a listener of this
// server, in a goroutine of its own. The server closes it.
func (s *Server) Handle(nc net.Conn) {
	c := newConn(s, nc)
	if !s.register(c) {
		nc.Close()
		return
	}
	s.running.Go(c.serve)
}

// Shutdown ends service in good order: nobody new is accepted, what was
// received is answered, then the connections are closed. When ctx is done
// first, they are cut off and ctx's error is returned. The member must run
// until Shutdown returns, for the answers come from it.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.mu.stopping = true
	for _, l := range s.mu.listeners {
		l.Close()
	}
	for _, c := range s.mu.conns {
		c.stopReading()
	}
	s.mu.Unlock()

	ended := make(chan struct{})
	go func() {
		s.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	s.mu.RLock()
	left := len(s.mu.conns)
	for _, c := range s.mu.conns {
		c.close("the server stops")
	}
	s.mu.RUnlock()
	<-ended
	if left == 0 {
		return nil // the last one ended when ctx did
	}
	s.log.Warn("client connections were cut off with requests unanswered", zap.Int("connections", left))
	return ctx.Err()
}

// register enters a new connection, unless a limit or the server's end is in
// the way.
func (s *Server) register(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.stopping || !s.admit(c) {
		return false
	}
	s.mu.lastID++
	c.id = s.mu.lastID
	c.memory = s.memory.Open(c.exceedsMemory)
	c.shard = &s.stats.shards[c.id%statShards]
	c.mu.reader.Conn = c.id
	s.mu.conns[c.id] = c
	s.mu.fromAddr[c.remote.Addr()]++
	return true
}

// unregister forgets a connection, whose goroutine has ended.
func (s *Server) unregister(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.conns, c.id)
	if s.mu.sessions[c.session] == c {
		delete(s.mu.sessions, c.session)
		s.mu.departed[c.session] = c.heard.Load()
	}
	s.mu.visitors.parted(c, s.now())
	if c.wordsOnly {
		s.mu.extra--
	}
	addr := c.remote.Addr()
	if s.mu.fromAddr[addr]--; s.mu.fromAddr[addr] == 0 {
		delete(s.mu.fromAddr, addr)
	}
}

// lookup finds a connection; nil if it is gone.
func (s *Server) lookup(id znode.ConnID) *conn {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.conns[id]
}
