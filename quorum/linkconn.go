package quorum

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"go.uber.org/zap"

	"zooid/wire"
)

// linkConn is a connection that stands, on which the greeting has been said.
type linkConn struct {
	links *links
	link  *link
	nc    net.Conn
	in    *bufio.Reader
	began time.Time
	woken chan struct{} // there may be something to send
	ended chan struct{} // closed with the connection

	// Under the lock of links:

	over   bool
	proven bool // has brought a frame
	frames int  // how many it has brought
}

// wake has the writer look for a frame.
func (c *linkConn) wake() {
	select {
	case c.woken <- struct{}{}:
	default:
	}
}

// close ends the connection. The caller holds links.mu.
func (c *linkConn) close() {
	if !c.over {
		c.over = true
		close(c.ended)
		c.nc.Close()
	}
}

// establish makes nc the connection of p, in place of the one it has. in, if
// not nil, holds what has been read of nc. The caller holds l.mu.
func (l *links) establish(p *link, nc net.Conn, in *bufio.Reader) {
	if l.mu.closed {
		nc.Close()
		return
	}
	if p.conn != nil {
		p.conn.close()
	}
	if in == nil {
		in = bufio.NewReader(nc)
	}
	c := &linkConn{links: l, link: p, nc: nc, in: in, began: time.Now(),
		woken: make(chan struct{}, 1), ended: make(chan struct{})}
	if p.next == nil {
		// The other end may be another process than the one that got the last
		// notification, or never have got it.
		p.next = p.last
	}
	p.conn, p.missed, p.callBack = c, false, nil
	if p.trouble != "" {
		p.trouble = ""
		l.o.Log.Info("a server is reached for the election again", zap.Int64("server", int64(p.sid)))
	}
	l.note(linkEvent{kind: linked, sid: p.sid})
	l.running.Go(c.read)
	l.running.Go(c.write)
}

// lost is what follows the end of a connection.
func (l *links) lost(c *linkConn, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.close()
	p := c.link
	if p.conn != c || l.mu.closed { // another one has its place, or nothing matters any more
		return
	}
	p.conn = nil
	l.o.Log.Debug("an election connection has ended", zap.Int64("server", int64(p.sid)), zap.Error(err))
	asked := p.dialling || time.Now().Before(p.notUntil)
	proven := c.proven || time.Since(c.began) >= provenAge
	if proven {
		p.wait, p.notUntil = 0, time.Time{}
	} else {
		l.postpone(p)
	}
	p.missed = true
	switch {
	case p.unlisted:
		l.givenUp(p)
		l.forgetUnlisted(p)
	case p.sid < l.o.SID && proven:
		// It is ours to dial, and who only lost the connection is there. Who never
		// says a word on one is not dialled again and again.
		l.want(p)
	case p.sid > l.o.SID && asked:
		// Our request to be called back, sent before there was a connection, makes
		// the other end give up the one that it has; it dials at this moment.
		p.notUntil = time.Now().Add(p.answer)
		l.want(p)
	default:
		l.givenUp(p)
	}
}

// read is the goroutine that takes what the member sends.
func (c *linkConn) read() { c.links.lost(c, c.readFrames()) }

// readFrames reads until the connection's end. A notification that cannot be
// understood is left out: it must not cost the connection, and with it the
// election.
func (c *linkConn) readFrames() error {
	var head [4]byte
	for {
		if _, err := io.ReadFull(c.in, head[:]); err != nil {
			return err
		}
		size := int32(binary.BigEndian.Uint32(head[:]))
		if size < 1 || size > wire.NotificationMax {
			err := fmt.Errorf("a frame of %d bytes, from 1 to %d are accepted", size, wire.NotificationMax)
			c.links.refusals.Warn("closing an election connection", zap.Int64("server", int64(c.link.sid)), zap.Error(err))
			return err
		}
		b, err := readGrowing(c.in, int(size)) // the notification keeps it
		if err != nil {
			return err
		}
		e := linkEvent{kind: notified, sid: c.link.sid}
		if err := wire.Unmarshal(b, &e.n); err != nil {
			c.links.refusals.Warn("dropping a notification", zap.Int64("server", int64(c.link.sid)), zap.Error(err))
			continue
		}
		if !c.links.received(c, e) {
			return errors.New("it was replaced")
		}
	}
}

// readGrowing reads so many bytes. The memory for them grows with what arrives, not
// with what a length promises.
func readGrowing(r io.Reader, size int) ([]byte, error) {
	b := make([]byte, 0, min(size, 4096))
	for len(b) < size {
		if len(b) == cap(b) {
			b = slices.Grow(b, min(size-len(b), len(b)))
		}
		n, err := io.ReadFull(r, b[len(b):min(cap(b), size)])
		b = b[:len(b)+n]
		if err != nil {
			return nil, err
		}
	}
	return b, nil
}

// write is the goroutine that sends the newest frame.
func (c *linkConn) write() {
	for {
		frame := c.take()
		if frame == nil {
			select {
			case <-c.woken:
				continue
			case <-c.ended:
				return
			}
		}
		if _, err := c.nc.Write(frame); err != nil {
			c.links.lost(c, err)
			return
		}
	}
}

// take gives the frame to be sent; nil if there is none, or if it is another
// connection's.
func (c *linkConn) take() []byte {
	c.links.mu.Lock()
	defer c.links.mu.Unlock()
	p := c.link
	if p.conn != c || p.next == nil {
		return nil
	}
	p.last, p.next = p.next, nil
	return p.last
}

// greeted is the goroutine of an accepted connection until it is known whose
// it is.
func (l *links) greeted(nc net.Conn) {
	stop := context.AfterFunc(l.ctx, func() { nc.Close() })
	defer stop()
	quiet := l.silent.admit(nc)
	nc.SetReadDeadline(time.Now().Add(l.o.GreetTimeout))
	in := bufio.NewReader(nc)
	g, err := readGreeting(in)
	if !l.silent.leave(quiet) && err != nil {
		err = errMadeWay
	}
	switch {
	case err == nil:
		nc.SetReadDeadline(time.Time{})
		err = l.admitGreeted(g, nc, in)
	case errors.Is(err, io.EOF) && in.Buffered() == 0:
		nc.Close() // a probe, or a member that we have reached meanwhile
		return
	}
	if err != nil {
		l.refuse(nc, err)
	}
}

var errMadeWay = errors.New("it has not said who it is, and made way for a newer connection")

func (l *links) refuse(nc net.Conn, why error) {
	if l.ctx.Err() == nil {
		l.refusals.Warn("refusing an election connection", zap.Stringer("from", nc.RemoteAddr()), zap.Error(why))
	}
	nc.Close()
}

// readGreeting reads a greeting and no byte more out of in, whose buffer is
// larger than any greeting.
func readGreeting(in *bufio.Reader) (wire.Greeting, error) {
	for {
		b, _ := in.Peek(in.Buffered())
		g, n, err := wire.DecodeGreeting(b)
		if err != nil {
			return g, err
		}
		if n > 0 {
			in.Discard(n)
			return g, checkAddrs(g.Addrs)
		}
		if _, err := in.Peek(len(b) + 1); err != nil {
			return g, fmt.Errorf("the greeting: %w", err)
		}
	}
}

func checkAddrs(addrs []string) error {
	for _, a := range addrs {
		if _, _, err := net.SplitHostPort(a); err != nil {
			return fmt.Errorf("the greeting's address: %w", err)
		}
	}
	return nil
}

// linkEvent is one call of linkEvents to come.
type linkEvent struct {
	kind linkEventKind
	sid  wire.SID
	n    wire.Notification // notified only
}

type linkEventKind uint8

const (
	notified linkEventKind = iota
	linked
	unlinked
)

// note has an event told. The caller holds l.mu.
func (l *links) note(e linkEvent) {
	l.mu.news = append(l.mu.news, e)
	l.mu.changed.Broadcast()
}

// received notes what a connection has brought; the connection is kept waiting
// while too much is untold. It is false if the connection is over.
func (l *links) received(c *linkConn, e linkEvent) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.mu.news) >= newsMax && !l.mu.closed && !c.over {
		l.mu.changed.Wait()
	}
	if c.over {
		return false
	}
	c.proven = true
	c.frames++
	l.note(e)
	return true
}

// tell is the goroutine that tells what happened.
func (l *links) tell() {
	var news []linkEvent
	for {
		l.mu.Lock()
		for len(l.mu.news) == 0 && !l.mu.closed {
			l.mu.changed.Wait()
		}
		if l.mu.closed {
			l.mu.Unlock()
			return
		}
		news, l.mu.news = l.mu.news, news[:0]
		l.mu.changed.Broadcast()
		l.mu.Unlock()
		for i := range news {
			l.tellOne(&news[i])
		}
		clear(news)
	}
}

func (l *links) tellOne(e *linkEvent) {
	switch e.kind {
	case notified:
		l.o.Events.Notified(e.sid, e.n)
	case linked:
		l.o.Events.Linked(e.sid)
	case unlinked:
		l.o.Events.Unlinked(e.sid)
	}
}
