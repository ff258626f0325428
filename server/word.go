package server

import (
	"cmp"
	"slices"
	"time"

	"go.uber.org/zap"

	"zooid/fourletter"
	"zooid/wire"
	"zooid/znode"
)

// Bounds of the words that list things. At the bound the list ends, and the
// answer says so; ZooKeeper has none, and needs as much memory as it takes.
const (
	wordListMax       = 8 << 20 // bytes of a list, about
	wordLineSize      = 16      // bytes of a line beside its path, at the least
	wordClientSize    = 256     // bytes of a client's line, about
	wordEphemeralsMax = 10_000  // ephemerals of one session, listed in one hold of the tree's lock
)

// word answers a four-letter word, if that is what the connection begins with,
// and lets the connection end after the text. What follows the word in the
// same read is its argument.
func (c *conn) word(data []byte) bool {
	if len(data) < 4 || !fourletter.Known(string(data[:4])) {
		return false
	}
	word, arg := string(data[:4]), data[4:]
	c.mu.Lock()
	c.mu.stats.packetIn()
	c.mu.word = true
	c.mu.stats.publish(&c.srv.stats, c.shard)
	c.mu.Unlock()

	text := c.srv.answerWord(word, arg)
	c.srv.log.Debug("four-letter word", zap.Stringer("client", c.remote), zap.String("word", word))
	c.mu.Lock()
	if len(text) > 0 && !c.mu.closed {
		c.append(text)
	}
	c.mu.stats.packetOut()
	c.mu.finishing = true
	c.mu.Unlock()
	return true
}

// answerWord is the text of a word, after whose making it has its effect.
func (s *Server) answerWord(word string, arg []byte) []byte {
	if !s.o.Whitelist.Allows(word) {
		return fourletter.Refusal(word)
	}
	if word == "ruok" {
		// Whoever asks wants to know that the process runs, which nothing may keep
		// it from saying.
		return fourletter.Answer(word, arg, new(fourletter.Status))
	}
	st := s.Status(fourletter.Needs(word))
	text := fourletter.Answer(word, arg, st)
	if st.Mode == fourletter.ModeNotServing && (word == "srst" || word == "crst") {
		return text
	}
	switch word {
	case "stmk":
		if mask, ok := fourletter.TraceMask(arg); ok {
			s.traceMask.Store(mask)
		}
	case "srst":
		s.stats.reset()
		s.o.Host.ResetStats()
	case "crst":
		for _, c := range s.connections() {
			c.mu.Lock()
			c.mu.stats.clear()
			c.mu.Unlock()
		}
	}
	return text
}

// Status describes the server at this moment, with the expensive parts as far
// as they are asked for. The Host adds what the server cannot know.
func (s *Server) Status(parts fourletter.Part) *fourletter.Status {
	st := new(fourletter.Status)
	s.o.Host.Describe(st, parts)
	s.stats.describe(st)
	st.Outstanding = max(s.outstanding.Load(), 0)
	st.TraceMask = s.traceMask.Load()
	s.countConnections(st)
	var conns []*conn
	if parts&(fourletter.PartClients|fourletter.PartIdle) != 0 {
		conns = s.connections()
	}
	if parts&fourletter.PartClients != 0 {
		for _, c := range conns {
			if len(st.Clients) == wordListMax/wordClientSize {
				st.Shortened = true
				break
			}
			st.Clients = append(st.Clients, c.describe())
		}
	}
	if parts&fourletter.PartIdle != 0 {
		st.Idle = s.idle(conns)
	}
	s.describeDoor(st, parts)
	if m := s.serving(); m != nil {
		if st.Mode == fourletter.ModeNotServing {
			parts &= fourletter.PartMetrics // no word shows more
		}
		s.describeTree(st, m.Tree(), parts)
	}
	return st
}

// countConnections fills in how many there are.
func (s *Server) countConnections(st *fourletter.Status) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st.Connections = int64(len(s.mu.conns))
	for addr, n := range s.mu.fromAddr {
		if addr.IsLoopback() {
			st.NonTLSLocal += int64(n)
		} else {
			st.NonTLSRemote += int64(n)
		}
	}
}

// connections lists the connections in the order in which they came.
func (s *Server) connections() []*conn {
	s.mu.RLock()
	list := make([]*conn, 0, len(s.mu.conns))
	for _, c := range s.mu.conns {
		list = append(list, c)
	}
	s.mu.RUnlock()
	slices.SortFunc(list, func(a, b *conn) int { return cmp.Compare(a.id, b.id) })
	return list
}

// describe is the connection as stat and cons show it.
func (c *conn) describe() fourletter.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := &c.mu.stats
	return fourletter.Client{
		Remote: c.remote, Reading: !c.mu.word && !c.mu.finishing, Outstanding: int64(c.mu.queue.len()),
		Received: st.received, Sent: st.sent,
		Session: c.mu.reader.Session, LastOp: st.lastOp, Established: time.UnixMilli(c.began),
		TimeoutMs: c.mu.timeoutMs, LastCxid: st.lastCxid, LastZxid: st.lastZxid,
		LastReply: micros(st.lastReply), LastLatency: micros(st.lastLatency),
		Latency: fourletter.Latency{Min: micros(st.latencies.min), Max: micros(st.latencies.max),
			Sum: micros(st.latencies.sum), Count: st.latencies.count},
	}
}

// idle groups the connections by when they would be closed if nothing more
// came: a new one when its time for the handshake is over, one with a session
// when that has timed out. Groups are as wide as the former time, as in
// ZooKeeper.
func (s *Server) idle(conns []*conn) []fourletter.ClientExpiry {
	width := s.o.HandshakeTimeout
	ends := map[time.Time][]fourletter.ClientName{}
	now := time.Now()
	member := s.serving()
	for _, c := range conns {
		c.mu.Lock()
		session, timeout := c.mu.reader.Session, time.Duration(c.mu.timeoutMs)*time.Millisecond
		c.mu.Unlock()
		end := time.UnixMilli(c.began).Add(width)
		if session != 0 && member != nil {
			silent := time.Duration(max(member.SessionNow()-c.heard.Load(), 0)) * time.Millisecond
			end = now.Add(timeout - silent)
		}
		end = end.Truncate(width).Add(width)
		ends[end] = append(ends[end], fourletter.ClientName{Remote: c.remote, Session: session})
	}
	list := make([]fourletter.ClientExpiry, 0, len(ends))
	for at, clients := range ends {
		list = append(list, fourletter.ClientExpiry{At: at, Clients: clients})
	}
	slices.SortFunc(list, func(a, b fourletter.ClientExpiry) int { return a.At.Compare(b.At) })
	return list
}

// describeTree fills in what the tree tells. Only the parts that list something
// wait for its lock.
func (s *Server) describeTree(st *fourletter.Status, t *znode.Tree, parts fourletter.Part) {
	totals := t.Totals()
	st.Zxid, st.NodeCount, st.EphemeralCount = totals.Zxid, int64(totals.Nodes), int64(totals.Ephemerals)
	st.DataSize, st.GlobalSessions, st.WatchCount = totals.Bytes, int64(totals.Sessions), int64(totals.Watches)
	if parts&fourletter.PartWatchTotals != 0 {
		conns, paths, total := t.WatchStats()
		st.WatchTotals = fourletter.WatchTotals{Connections: int64(conns), Paths: int64(paths), Watches: int64(total)}
	}
	if parts&fourletter.PartDigests != 0 {
		st.Digests = s.digests.get(func() []fourletter.Digest { return digests(t) })
	}
	if parts&fourletter.PartMetrics != 0 {
		st.Quotas = s.quotas.get(func() []fourletter.Quota { return quotas(t) })
	}
	if parts&fourletter.PartWatches != 0 {
		st.Watches, st.Shortened = s.watches(t)
	}
	if parts&(fourletter.PartEphemerals|fourletter.PartSessions) != 0 {
		s.describeSessions(st, t, parts)
	}
}

// digests are the digests that the tree remembers.
func digests(t *znode.Tree) (list []fourletter.Digest) {
	t.RLock()
	defer t.RUnlock()
	for _, d := range t.DigestHistory() {
		list = append(list, fourletter.Digest{Zxid: d.Zxid, Digest: d.Digest})
	}
	return list
}

// describeSessions fills in the sessions and what they own.
func (s *Server) describeSessions(st *fourletter.Status, t *znode.Tree, parts fourletter.Part) {
	t.RLock()
	var owners []wire.SessionID
	if parts&fourletter.PartEphemerals != 0 {
		t.EphemeralOwners(func(id wire.SessionID, ephemerals int, _ bool) {
			if ephemerals > 0 {
				owners = append(owners, id)
			}
		})
	}
	if parts&fourletter.PartSessions != 0 && st.Mode.ExpiresNobody() {
		t.Sessions(func(id wire.SessionID, timeoutMs, _ int32) {
			st.Sessions.Timeouts = append(st.Sessions.Timeouts, fourletter.SessionTimeout{Session: id, TimeoutMs: timeoutMs})
		})
	}
	t.RUnlock()
	slices.SortFunc(st.Sessions.Timeouts, func(a, b fourletter.SessionTimeout) int { return cmp.Compare(a.Session, b.Session) })
	// One owner at a time, so that nothing waits for a list of millions.
	slices.Sort(owners)
	left := wordListMax
	for _, id := range owners {
		t.RLock()
		paths := t.FirstEphemerals(id, wordEphemeralsMax)
		t.RUnlock()
		for _, path := range paths {
			left -= len(path) + wordLineSize
		}
		if left < 0 {
			st.Shortened = true
			break
		}
		st.Shortened = st.Shortened || len(paths) == wordEphemeralsMax
		if len(paths) > 0 {
			st.Ephemerals = append(st.Ephemerals, fourletter.SessionPaths{Session: id, Paths: paths})
		}
	}
}

// watches lists the data watches by session.
func (s *Server) watches(t *znode.Tree) (list []fourletter.SessionPaths, shortened bool) {
	byConn := map[znode.ConnID][]string{}
	left := wordListMax
	t.DumpWatches(func(path string, conns []znode.ConnID) {
		for _, id := range conns {
			if left -= len(path) + wordLineSize; left < 0 {
				shortened = true
				return
			}
			byConn[id] = append(byConn[id], path)
		}
	})
	for _, c := range s.connections() {
		if paths := byConn[c.id]; len(paths) > 0 {
			slices.Sort(paths)
			c.mu.Lock()
			list = append(list, fourletter.SessionPaths{Session: c.mu.reader.Session, Paths: paths})
			c.mu.Unlock()
		}
	}
	return list, shortened
}

// quotas are the quotas by namespace, the first component of their path. Of
// several in one namespace the last in the order of their paths counts.
func quotas(t *znode.Tree) []fourletter.Quota {
	var all []znode.Quota
	t.RLock()
	t.Quotas(func(q znode.Quota) { all = append(all, q) })
	t.RUnlock()
	slices.SortFunc(all, func(a, b znode.Quota) int { return cmp.Compare(a.Path, b.Path) })
	var list []fourletter.Quota
	for _, q := range all {
		fq := fourletter.Quota{Namespace: namespace(q.Path), CountUsage: q.Count, BytesUsage: q.Bytes,
			CountLimit: limit(q.CountHardLimit, q.CountLimit), BytesLimit: limit(q.BytesHardLimit, q.BytesLimit)}
		if n := len(list); n > 0 && list[n-1].Namespace == fq.Namespace {
			list = list[:n-1]
		}
		list = append(list, fq)
	}
	return list
}

// limit is the hard limit, or without one the soft one.
func limit(hard, soft int64) int64 {
	if hard >= 0 {
		return hard
	}
	return soft
}

// namespace is the first component of a path.
func namespace(path string) string {
	path = path[min(1, len(path)):]
	for i := range len(path) {
		if path[i] == '/' {
			return path[:i]
		}
	}
	return path
}
