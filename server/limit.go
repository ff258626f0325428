package server

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// wordReserve is how many connections beyond the limits are held at once to see
// whether they ask a four-letter word, so that health checks work while the
// limit is reached; with ZooKeeper they fail then.
const wordReserve = 8

// wordPatience is how long such a connection has to send its word.
const wordPatience = time.Second

// admit judges a new connection by the limits on connections. One beyond them
// may be let in for a word only. The caller holds s.mu.
func (s *Server) admit(c *conn) bool {
	n := s.mu.fromAddr[c.remote.Addr()]
	what, limit := "", 0
	switch {
	case s.o.MaxCnxns > 0 && len(s.mu.conns)-s.mu.extra >= s.o.MaxCnxns:
		what, limit = "maxCnxns", s.o.MaxCnxns
	case s.o.MaxClientCnxns > 0 && n >= s.o.MaxClientCnxns:
		what, limit = "maxClientCnxns", s.o.MaxClientCnxns
	default:
		return true
	}
	if s.mu.extra < wordReserve {
		s.mu.extra++
		c.wordsOnly, c.overLimit = true, zap.Int(what, limit)
		return true
	}
	s.stats.rejected(1)
	s.refusals.Warn("too many connections", zap.Stringer("client", c.remote), zap.Int(what, limit))
	return false
}

// stalled holds the connections that wait until fewer requests are unanswered
// in all.
type stalled struct {
	sync.Mutex
	conns []*conn
}

// wakeStalled lets the waiting connections look again. A connection waits only
// if it found the limit exceeded after it had entered itself, so that a wake-up
// cannot be missed.
func (s *Server) wakeStalled() {
	if s.outstanding.Load() > s.stallLevel() {
		return
	}
	s.stalled.Lock()
	conns := s.stalled.conns
	s.stalled.conns = nil
	s.stalled.Unlock()
	for _, c := range conns {
		c.mu.Lock()
		c.mu.stalled = false
		c.mu.changed.Broadcast()
		c.mu.Unlock()
	}
}

// stallLevel is the number of unanswered requests up to which it is worth
// looking whether somebody who waits for fewer of them can go on.
func (s *Server) stallLevel() int64 {
	if n := s.o.ThrottleRequests; n > 0 {
		return int64(n - 1)
	}
	return int64(s.o.OutstandingLimit)
}

// stall enters c among those who wait. The caller holds c.mu.
func (s *Server) stall(c *conn) {
	if c.mu.stalled {
		return
	}
	c.mu.stalled = true
	s.stalled.Lock()
	s.stalled.conns = append(s.stalled.conns, c)
	s.stalled.Unlock()
}

// tokenBucket is the connection throttle: each handshake takes a token.
type tokenBucket struct {
	sync.Mutex
	depth, fill, tokens int
	every               time.Duration
	filled              time.Time // tokens gained up to here are in
}

func (b *tokenBucket) init(o *Options) {
	b.depth, b.fill, b.every = o.ConnectTokens, o.ConnectFill, o.ConnectFillTime
	b.tokens, b.filled = b.depth, time.Now()
}

// take takes a token if there is one; without a throttle there always is.
func (b *tokenBucket) take() bool {
	if b.depth <= 0 {
		return true
	}
	b.Lock()
	defer b.Unlock()
	if periods := time.Since(b.filled) / b.every; periods > 0 {
		b.filled = b.filled.Add(periods * b.every)
		b.tokens = int(min(int64(b.depth), int64(b.tokens)+int64(periods)*int64(b.fill)))
	}
	if b.tokens == 0 {
		return false
	}
	b.tokens--
	return true
}

// takeLarge reserves the bytes of a large request, if the sum of those being
// served allows it.
func (s *Server) takeLarge(n int) bool {
	if s.large.Add(int64(n)) <= s.o.LargeMax {
		return true
	}
	s.large.Add(-int64(n))
	return false
}
