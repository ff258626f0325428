package history

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options say who the clients are and what may be expected of the ensemble.
type Options struct {
	// Seed is that of everything the clients choose.
	Seed uint64
	// Servers are the numbers of the members that clients may connect to.
	Servers []int
	// Dial connects to a member.
	Dial func(server int, limit time.Duration) (net.Conn, error)
	// Generations bounds how long the history can be: see generationWrites. 1 if
	// it is 0.
	Generations int
	// Timeout is the sessions', DefaultTimeout if 0.
	Timeout time.Duration
	// Pace is a client's pause between two requests, at most.
	Pace time.Duration
	// CountAnew lets every other client count its requests from 1 again on each
	// connection, as kazoo does. A reply to a request of an earlier connection
	// then has the number of one of this. Java's members cannot tell them apart:
	// they answer wrongly, or stop for good.
	CountAnew bool
	// LooseSync says that sync is not confirmed by a quorum, as with a Java
	// leader: what is read after it need not be the newest.
	LooseSync bool
	// LooseReads says for a member that the zxid of a read's reply may be newer
	// than what was read, as with a Java member.
	LooseReads func(server int) bool
}

// DefaultTimeout is that of the clients' sessions: longer than an election and
// than a member is paused for.
const DefaultTimeout = 8 * time.Second

// History is the ops of some clients, while they run and after.
type History struct {
	opts      Options
	begin     time.Time
	registers []string

	acked   atomic.Int64 // writes acknowledged
	clients []*Client
	stop    chan struct{}
	wg      sync.WaitGroup
	final   *final
}

// New is a history without clients.
func New(o Options) *History {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.LooseReads == nil {
		o.LooseReads = func(int) bool { return false }
	}
	return &History{opts: o, begin: time.Now(), registers: registerPaths(max(o.Generations, 1)), stop: make(chan struct{})}
}

// now is the history's time.
func (h *History) now() int64 { return int64(time.Since(h.begin)) }

// Go starts so many clients, once, after Prepare has made the nodes that they
// work on.
func (h *History) Go(n int) {
	for i := range n {
		h.clients = append(h.clients, newClient(h, i))
	}
	for _, c := range h.clients {
		h.wg.Go(c.run)
	}
}

// Stop ends the clients: each closes its session, if a member lets it.
func (h *History) Stop() {
	close(h.stop)
	h.wg.Wait()
}

// Acked is the number of writes that were acknowledged so far.
func (h *History) Acked() int64 { return h.acked.Load() }

// AwaitAcked waits for so many further acknowledged writes.
func (h *History) AwaitAcked(n int64, limit time.Duration) error {
	from := h.Acked()
	for deadline := time.Now().Add(limit); h.Acked() < from+n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d writes were acknowledged within %v", h.Acked()-from, n, limit)
		}
	}
	return nil
}

// Ops are all ops in the order in which they were asked; the clients must have
// ended.
func (h *History) Ops() []*Op {
	var ops []*Op
	for _, c := range h.clients {
		for i := range c.ops {
			ops = append(ops, &c.ops[i])
		}
	}
	if h.final != nil {
		ops = append(ops, h.final.ops...)
	}
	slices.SortStableFunc(ops, func(a, b *Op) int {
		switch {
		case a.Call < b.Call:
			return -1
		case a.Call > b.Call:
			return 1
		}
		return 0
	})
	return ops
}

// At is the moment in the history's time.
func (h *History) At(t time.Time) int64 { return int64(t.Sub(h.begin)) }

// LongestGap is the longest time, of that between two moments, without an
// acknowledgement of a write; the clients must have ended.
func (h *History) LongestGap(from, to time.Time) time.Duration {
	var acks []int64
	for _, o := range h.Ops() {
		if o.changes() && o.Outcome == Done && o.Return >= h.At(from) && o.Return <= h.At(to) {
			acks = append(acks, o.Return)
		}
	}
	acks = append(acks, h.At(from), h.At(to))
	slices.Sort(acks)
	longest := int64(0)
	for i := 1; i < len(acks); i++ {
		longest = max(longest, acks[i]-acks[i-1])
	}
	return time.Duration(longest)
}

// Save writes the ops, a line each, to history.txt in the folder.
func (h *History) Save(folder string) error {
	f, err := os.Create(filepath.Join(folder, "history.txt"))
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for _, o := range h.Ops() {
		fmt.Fprintln(w, o)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// Summary tells what was done, for the log.
func (h *History) Summary() string {
	counts := map[Outcome]int{}
	connects, expired := 0, 0
	ops := h.Ops()
	for _, o := range ops {
		switch o.Kind {
		case Connect:
			connects++
		case Expired:
			expired++
		}
		counts[o.Outcome]++
	}
	return fmt.Sprintf("%d ops of %d clients: %d done, %d refused, %d of unknown outcome; %d connections, %d sessions expired",
		len(ops), len(h.clients), counts[Done], counts[Refused], counts[Unknown], connects, expired)
}
