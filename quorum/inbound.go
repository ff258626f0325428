package quorum

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"go.uber.org/zap"

	"zooid/wire"
)

const (
	// inChunk is how much memory is taken at once for what is read, and for the
	// data of small transactions.
	inChunk = 64 << 10
	// inShare is the largest data that shares memory with other packets', in bytes.
	inShare = inChunk / 8
	// inRoom is the least that a read may bring.
	inRoom = 4 << 10
	// inSlab is how many packets are made room for at once, at least.
	inSlab = 64
)

// inbound is what a connection has brought and nobody has yet.
//
// A member keeps the newest transactions for learners, and counts their bytes:
// so their data is packed, apart from anything else that comes, and a large one
// has memory of its own.
//
//	0 ≤ given ≤ start ≤ end ≤ len(b)
type inbound struct {
	b          []byte
	given      int              // memory before it belongs to whom packets were given
	start, end int              // the bytes not decoded yet
	packed     []byte           // data of small transactions
	passes     bool             // the sender is a learner, so that a REQUEST may be passed over
	skip       wire.RequestSkip // over the rest of a REQUEST that is too large
	refused    error            // says what is passed over, for the log
	slab       []wire.QuorumPacket
	batch      int // packets in the last batch
}

// data is what is not decoded yet.
func (in *inbound) data() []byte { return in.b[in.start:in.end] }

// room gives memory for the next bytes. It grows with what has arrived, not
// with what a length promises.
func (in *inbound) room() []byte {
	pending := in.data()
	oversized := len(in.b) > inChunk && len(pending) == 0 // what a large packet took
	if in.given+len(pending)+inRoom <= len(in.b) && !oversized {
		if len(pending) == 0 || len(in.b)-in.end < inRoom {
			copy(in.b[in.given:], pending)
			in.start, in.end = in.given, in.given+len(pending)
		}
		return in.b[in.end:]
	}
	size := max(inChunk, min(2*len(pending), wire.PacketSizeMin(pending)+inRoom), len(pending)+inRoom)
	if in.b == nil {
		size = 2 * inRoom // who knows whether it will ever say anything
	}
	in.replace(make([]byte, size), pending)
	return in.b[in.end:]
}

// replace takes other memory, with pending in it.
func (in *inbound) replace(b []byte, pending ...[]byte) {
	n := 0
	for _, p := range pending {
		n += copy(b[n:], p)
	}
	in.b, in.given, in.start, in.end = b, 0, 0, n
}

// decode takes the packets that are there, up to SNAP. Those before an error are
// good. A learner's REQUEST beyond the limit comes as Oversized, and the rest of it is passed
// over: it must cost one client, not all of a member's.
func (in *inbound) decode(limit int) ([]wire.QuorumPacket, error) {
	if cap(in.slab)-len(in.slab) < max(inSlab/4, in.batch) {
		in.slab = make([]wire.QuorumPacket, 0, max(inSlab, in.batch+in.batch/2))
	}
	first := len(in.slab)
	var err error
	for in.start < in.end && err == nil {
		if in.skip.Active() {
			var n int
			n, err = in.skip.Pass(in.data())
			if in.start += n; in.skip.Active() {
				break
			}
			continue
		}
		p, n, decodeErr := wire.DecodeQuorumPacket(in.data(), limit)
		if in.passes && errors.Is(decodeErr, wire.ErrPacketTooLarge) {
			head, skip, ok, headErr := wire.OversizedRequest(in.data())
			if headErr == nil && ok {
				in.skip, in.refused = skip, decodeErr
				in.slab = append(in.slab, head)
				continue
			}
			if headErr == nil {
				break // more of it has to come
			}
		}
		if decodeErr != nil || n == 0 {
			err = decodeErr
			break
		}
		in.start += n
		in.own(&p, n)
		in.slab = append(in.slab, p)
		if p.Type == wire.PacketSnap {
			break
		}
	}
	in.batch = len(in.slab) - first
	return slices.Clip(in.slab[first:]), err
}

// own gives a packet that was decoded, of n bytes, its memory: that in which it
// came, if it has identities, which are parts of that too, or takes most of it;
// else a copy.
func (in *inbound) own(p *wire.QuorumPacket, n int) {
	txn := p.Type == wire.PacketProposal || p.Type == wire.PacketInform
	switch {
	case len(p.AuthInfo) > 0 || len(p.Data) > inShare && n >= len(in.b)/4*3:
		in.given = in.start
	case len(p.Data) == 0:
	case txn && len(p.Data) <= inShare:
		if cap(in.packed)-len(in.packed) < len(p.Data) {
			in.packed = make([]byte, 0, inChunk)
		}
		start := len(in.packed)
		in.packed = append(in.packed, p.Data...)
		p.Data = in.packed[start:len(in.packed):len(in.packed)]
	default:
		p.Data = append(make([]byte, 0, len(p.Data)), p.Data...)
	}
}

// inStream is what Receive wants of the reader.
type inStream struct {
	read func(r io.Reader) error
	done func(error)
}

// readPackets reads until the connection's end.
func (c *channel) readPackets() error {
	for {
		c.in.passes = c.accepted && c.trusted.Load()
		batch, err := c.in.decode(c.packetMax())
		n := len(batch)
		if n > 0 {
			if c.accepted && !c.spoke.Swap(true) {
				c.s.silent.leave(c.silent)
				c.setTimeout(0)
			}
			if c.finishing() {
				return errClosed
			}
			c.s.o.Events.Packets(c.id, batch)
		}
		if c.in.refused != nil {
			c.s.refusals.Warn("refusing a request that a learner has forwarded; its client is told BADARGUMENTS",
				zap.Stringer("with", c.nc.RemoteAddr()), zap.Error(c.in.refused))
			c.in.refused = nil
		}
		if err != nil {
			c.s.refusals.Warn("closing a connection between servers", zap.Stringer("with", c.nc.RemoteAddr()), zap.Error(err))
			return err
		}
		if n > 0 && batch[n-1].Type == wire.PacketSnap {
			if err := c.readStream(); err != nil {
				return err
			}
			continue
		}
		room := c.in.room()
		if c.accepted {
			c.holds.Hold(int64(max(len(c.in.b)-inChunk, 0)))
		}
		got, err := c.read(room)
		c.in.end += got
		if err != nil {
			return err
		}
	}
}

// leaderPacketMax is how many bytes of data a packet of a leader may bring at
// the least. No leader makes such a one any more, but it may find one in a log
// that an earlier version has written, and its ensemble must be able to go on.
const leaderPacketMax = 64 << 20

// packetMax is how many bytes of data a packet may bring here. Whom this member
// has dialled it believes more than who has dialled it, and a stranger least.
func (c *channel) packetMax() int {
	switch {
	case !c.trusted.Load():
		return c.s.o.MaxGreeting
	case c.accepted:
		return c.s.o.MaxPacket
	}
	return max(c.s.o.MaxPacket, leaderPacketMax)
}

// receive hands the reader what it is to do behind SNAP.
func (c *channel) receive(s *inStream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.ended != nil || c.mu.finishing || c.mu.stream != nil {
		return false
	}
	c.mu.stream = s
	c.asks <- struct{}{}
	return true
}

// readStream waits for Receive and does what it wants.
func (c *channel) readStream() error {
	select {
	case <-c.quit:
		return errGone
	case <-c.asks:
	}
	c.mu.Lock()
	s := c.mu.stream
	c.mu.stream = nil
	c.mu.Unlock()
	r := bufio.NewReaderSize(streamReader{c}, streamBuffer)
	err := s.read(r)
	if err == nil {
		ahead, _ := r.Peek(r.Buffered())
		rest := c.in.data()
		c.in.replace(make([]byte, max(inChunk, len(ahead)+len(rest))), ahead, rest)
	}
	s.done(err)
	return err
}

// streamReader gives the bytes of a connection as they come, those first that
// were read but not decoded.
type streamReader struct{ c *channel }

// Read implements io.Reader.
func (r streamReader) Read(p []byte) (int, error) {
	if in := &r.c.in; in.start < in.end {
		n := copy(p, in.data())
		in.start += n
		return n, nil
	}
	return r.c.read(p)
}

// read waits for bytes. The end of the connection from the other side reads as
// an error that says so.
func (c *channel) read(p []byte) (int, error) {
	c.mu.Lock()
	c.mu.since = time.Now()
	c.mu.Unlock()
	for {
		n, err := c.nc.Read(p)
		switch {
		case n > 0:
			return n, nil // an error comes again
		case err == io.EOF:
			return 0, errClosedByOther
		case !isTimeout(err):
			return 0, err
		}
		if err := c.patience(); err != nil {
			return 0, err
		}
	}
}

// patience says what a deadline that has struck means: it is not moved on with
// every read, so it may be about an older one.
func (c *channel) patience() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch due := c.mu.since.Add(c.mu.timeout); {
	case c.mu.finishing || c.mu.ended != nil:
		return errGone
	case c.mu.timeout == 0:
		return c.nc.SetReadDeadline(time.Time{})
	case time.Now().Before(due):
		return c.nc.SetReadDeadline(due)
	}
	return fmt.Errorf("nothing came for %v", c.mu.timeout)
}

// setTimeout sets how long a read may take from now on.
func (c *channel) setTimeout(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.finishing || c.mu.ended != nil {
		return
	}
	c.mu.timeout, c.mu.since = d, time.Now()
	if d == 0 {
		c.nc.SetReadDeadline(time.Time{})
	} else {
		c.nc.SetReadDeadline(c.mu.since.Add(d))
	}
}

// discard throws away what still comes until the other end agrees to the end of
// the connection, or the time for that is over.
func (c *channel) discard() {
	b := make([]byte, inRoom)
	for {
		if _, err := c.nc.Read(b); err != nil {
			return
		}
	}
}
