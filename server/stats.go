package server

import (
	"math"
	"sync/atomic"
	"time"

	"zooid/fourletter"
	"zooid/wire"
)

// Metrics gives instruments by ZooKeeper's names for them. Package admin's
// Metrics is one. What it gives is called by any goroutine.
type Metrics interface {
	Counter(name string) func(n int64)
	Summary(name string) func(v int64)
	Timer(name string) func(d time.Duration)
}

// noMetrics counts nothing.
type noMetrics struct{}

func (noMetrics) Counter(string) func(int64)       { return func(int64) {} }
func (noMetrics) Summary(string) func(int64)       { return func(int64) {} }
func (noMetrics) Timer(string) func(time.Duration) { return func(time.Duration) {} }

// stats is what the server counts of all connections.
type stats struct {
	shards     [statShards]statShard
	lastSize   atomic.Int64 // bytes of the last reply, -1 before the first
	authFailed atomic.Int64

	bytesIn, bytesOut, eventBytes               func(n int64)
	handshakes, reattaches, handshakesExpired   func(n int64)
	rejected, largeRejected, closedNotServing   func(n int64)
	ended, staleReplies, throttled, throttles   func(n int64)
	reads, updates, throttleTime                func(d time.Duration)
	created, deleted, dataChanged, childChanged func(watchers int64)
}

const statShards = 16

// statShard is the share of some connections in the server's figures, so that
// processors do not wait for each other's cache lines.
type statShard struct {
	received, sent       atomic.Int64 // packets
	replies, micros      atomic.Int64 // replies with a latency, and its sum in µs
	microsMin, microsMax atomic.Int64 // math.MaxInt64 and -1 without a reply
	sizeMin, sizeMax     atomic.Int64 // bytes of a reply; same
	_                    [64]byte
}

func (st *stats) init(m Metrics) {
	if m == nil {
		m = noMetrics{}
	}
	st.bytesIn, st.bytesOut, st.eventBytes = m.Counter("bytes_received_count"), m.Counter("response_bytes"), m.Counter("watch_bytes")
	st.handshakes, st.reattaches = m.Counter("connection_request_count"), m.Counter("connection_revalidate_count")
	st.handshakesExpired = m.Counter("sessionless_connections_expired")
	st.rejected, st.largeRejected = m.Counter("connection_rejected"), m.Counter("large_requests_rejected")
	st.closedNotServing, st.ended = m.Counter("cnxn_closed_without_zk_server_running"), m.Counter("connection_drop_count")
	st.staleReplies, st.throttled = m.Counter("stale_replies"), m.Counter("throttled_ops")
	st.throttles, st.throttleTime = m.Counter("request_throttle_wait_count"), m.Timer("request_throttle_queue_time_ms")
	st.reads, st.updates = m.Timer("readlatency"), m.Timer("updatelatency")
	st.created, st.deleted = m.Summary("node_created_watch_count"), m.Summary("node_deleted_watch_count")
	st.dataChanged, st.childChanged = m.Summary("node_changed_watch_count"), m.Summary("node_children_watch_count")
	st.reset()
}

// reset sets the figures of the words back, as srst does.
func (st *stats) reset() {
	for i := range st.shards {
		sh := &st.shards[i]
		for _, n := range []*atomic.Int64{&sh.received, &sh.sent, &sh.replies, &sh.micros} {
			n.Store(0)
		}
		sh.microsMin.Store(math.MaxInt64)
		sh.microsMax.Store(-1)
		sh.sizeMin.Store(math.MaxInt64)
		sh.sizeMax.Store(-1)
	}
	st.lastSize.Store(-1)
	st.authFailed.Store(0)
}

// fired counts the watches that an event sets off.
func (st *stats) fired(t wire.EventType, watchers int) {
	switch t {
	case wire.EventNodeCreated:
		st.created(int64(watchers))
	case wire.EventNodeDeleted:
		st.deleted(int64(watchers))
	case wire.EventNodeDataChanged:
		st.dataChanged(int64(watchers))
	case wire.EventNodeChildrenChanged:
		st.childChanged(int64(watchers))
	}
}

// describe fills in the server's totals.
func (st *stats) describe(s *fourletter.Status) {
	microsMin, microsMax := int64(math.MaxInt64), int64(-1)
	sizeMin, sizeMax := int64(math.MaxInt64), int64(-1)
	for i := range st.shards {
		sh := &st.shards[i]
		s.Received += sh.received.Load()
		s.Sent += sh.sent.Load()
		s.Latency.Count += sh.replies.Load()
		s.Latency.Sum += micros(sh.micros.Load())
		microsMin, microsMax = min(microsMin, sh.microsMin.Load()), max(microsMax, sh.microsMax.Load())
		sizeMin, sizeMax = min(sizeMin, sh.sizeMin.Load()), max(sizeMax, sh.sizeMax.Load())
	}
	if microsMax >= 0 {
		s.Latency.Min, s.Latency.Max = micros(microsMin), micros(microsMax)
	}
	if sizeMax < 0 {
		sizeMin = -1
	}
	s.ResponseSize = fourletter.Sizes{Last: st.lastSize.Load(), Min: sizeMin, Max: sizeMax}
	s.AuthFailed = st.authFailed.Load()
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// spread is the count, sum, least and greatest of some latencies in µs.
type spread struct{ count, sum, min, max int64 }

func (s *spread) add(v, n int64) {
	if s.count == 0 {
		s.min, s.max = v, v
	}
	s.count += n
	s.sum += v * n
	s.min, s.max = min(s.min, v), max(s.max, v)
}

// connStats is what is counted of one connection since it began or crst.
type connStats struct {
	received, sent int64 // packets
	lastOp         string
	lastCxid       int64 // -1 without a request
	lastZxid       wire.Zxid
	lastReply      int64 // see Server.now
	lastLatency    int64 // µs
	latencies      spread

	// fresh is what is not in the server's figures yet.
	fresh struct {
		received, sent             int64
		latencies                  spread
		sizeLast, sizeMin, sizeMax int64 // sizeMax 0 = none
	}
}

// clear is crst.
func (st *connStats) clear() {
	st.received, st.sent, st.lastOp, st.lastCxid, st.lastZxid = 0, 0, "NA", -1, -1
	st.lastReply, st.lastLatency, st.latencies = 0, 0, spread{}
}

// packetIn counts a packet from the client.
func (st *connStats) packetIn() {
	st.received++
	st.fresh.received++
}

// packetOut counts a packet to the client.
func (st *connStats) packetOut() {
	st.sent++
	st.fresh.sent++
}

// asked notes a request; op is its short name, "" for one that leaves no trace.
func (st *connStats) asked(op string, xid int32) {
	if op != "" {
		st.lastOp, st.lastCxid = op, int64(xid)
	}
}

// replied notes a reply of n bytes.
func (st *connStats) replied(zxid wire.Zxid, n int64) {
	st.packetOut()
	if zxid > 0 {
		st.lastZxid = zxid
	}
	f := &st.fresh
	if f.sizeMax == 0 {
		f.sizeMin = n
	}
	f.sizeLast, f.sizeMin, f.sizeMax = n, min(f.sizeMin, n), max(f.sizeMax, n)
}

// took notes how long n replies took that were made at now.
func (st *connStats) took(latency, n, now int64) {
	st.lastReply, st.lastLatency = now, latency
	st.latencies.add(latency, n)
	st.fresh.latencies.add(latency, n)
}

// publish adds what is new to the server's figures.
func (st *connStats) publish(all *stats, sh *statShard) {
	f := &st.fresh
	if f.received > 0 {
		sh.received.Add(f.received)
		f.received = 0
	}
	if f.sent > 0 {
		sh.sent.Add(f.sent)
		f.sent = 0
	}
	if l := &f.latencies; l.count > 0 {
		sh.replies.Add(l.count)
		sh.micros.Add(l.sum)
		lower(&sh.microsMin, l.min)
		raise(&sh.microsMax, l.max)
		*l = spread{}
	}
	if f.sizeMax > 0 {
		all.lastSize.Store(f.sizeLast)
		lower(&sh.sizeMin, f.sizeMin)
		raise(&sh.sizeMax, f.sizeMax)
		f.sizeMax = 0
	}
}

func lower(a *atomic.Int64, v int64) {
	for old := a.Load(); v < old && !a.CompareAndSwap(old, v); old = a.Load() {
	}
}

func raise(a *atomic.Int64, v int64) {
	for old := a.Load(); v > old && !a.CompareAndSwap(old, v); old = a.Load() {
	}
}
