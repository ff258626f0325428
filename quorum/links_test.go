package quorum

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"zooid/wire"
)

// patienceMax is how long a test waits for what must happen.
const patienceMax = 10 * time.Second

// linkLog gets what links tell, one line for each call.
type linkLog chan string

func (c linkLog) Notified(from wire.SID, n wire.Notification) {
	c <- fmt.Sprintf("%d says %s", from, n.Config)
}
func (c linkLog) Linked(sid wire.SID)   { c <- fmt.Sprintf("%d linked", sid) }
func (c linkLog) Unlinked(sid wire.SID) { c <- fmt.Sprintf("%d unlinked", sid) }

// expect wants these lines next.
func (c linkLog) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-c:
			if got != w {
				t.Fatalf("got %q, want %q", got, w)
			}
		case <-time.After(patienceMax):
			t.Fatalf("no %q", w)
		}
	}
}

// quiet wants that nothing was told.
func (c linkLog) quiet(t *testing.T) {
	t.Helper()
	select {
	case got := <-c:
		t.Fatalf("got %q, want nothing", got)
	default:
	}
}

// say is a notification that is known by a word.
func say(word string) *wire.Notification {
	return &wire.Notification{Vote: wire.NoVote, Version: wire.NotificationVersion, Config: []byte(word)}
}

// addressBook is where the members of a test are.
type addressBook struct {
	mu sync.Mutex
	m  map[wire.SID][]string
}

func (b *addressBook) set(sid wire.SID, addrs ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.m == nil {
		b.m = make(map[wire.SID][]string)
	}
	b.m[sid] = addrs
}

func (b *addressBook) peers() map[wire.SID][]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := make(map[wire.SID][]string)
	for sid, a := range b.m {
		m[sid] = a
	}
	return m
}

// testLinks are links with what they tell.
type testLinks struct {
	*links
	linkLog
	logs *observer.ObservedLogs
}

// startLinks makes links that listen and are in the book.
func startLinks(t *testing.T, book *addressBook, sid wire.SID, change func(*linkOptions)) *testLinks {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	l := &testLinks{linkLog: make(linkLog, 4096), logs: logs}
	o := linkOptions{SID: sid, Addrs: []string{"127.0.0.1:1"}, Listen: []string{"127.0.0.1:0"}, Peers: book.peers, Log: zap.New(core), Events: l.linkLog}
	if change != nil {
		change(&o)
	}
	l.links = newLinks(o)
	t.Cleanup(l.Close)
	if o.dial == nil {
		if err := l.Listen(); err != nil {
			t.Fatal(err)
		}
		book.set(sid, l.addr())
	}
	return l
}

func (l *testLinks) addr() string { return l.ListenAddrs()[0].String() }

// rawPeer is the other end of an election connection, without any manners.
type rawPeer struct {
	t *testing.T
	net.Conn
}

// dialRaw connects to links and greets.
func dialRaw(t *testing.T, l *testLinks, greeting []byte) *rawPeer {
	t.Helper()
	nc, err := net.Dial("tcp", l.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	p := &rawPeer{t, nc}
	p.write(greeting)
	return p
}

func greetingOf(sid wire.SID, addrs ...string) []byte {
	g := wire.Greeting{SID: sid, Addrs: addrs}
	return g.Append(nil)
}

func (p *rawPeer) write(b []byte) {
	p.t.Helper()
	if _, err := p.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

func (p *rawPeer) say(word string) { p.write(frameOf(say(word))) }

func frameOf(n *wire.Notification) []byte { return wire.EndFrame(n.Append(wire.BeginFrame(nil)), 0) }

// expect wants a notification.
func (p *rawPeer) expect(word string) {
	p.t.Helper()
	p.read(frameOf(say(word)))
}

// read wants these bytes.
func (p *rawPeer) read(want []byte) {
	p.t.Helper()
	p.SetReadDeadline(time.Now().Add(patienceMax))
	got := make([]byte, len(want))
	if n, err := io.ReadFull(p, got); err != nil || !bytes.Equal(got, want) {
		p.t.Fatalf("got %q of %q, %v", got[:n], want, err)
	}
}

// expectEnd wants the connection's end.
func (p *rawPeer) expectEnd() {
	p.t.Helper()
	p.SetReadDeadline(time.Now().Add(patienceMax))
	if b, err := io.ReadAll(p); isTimeout(err) || len(b) > 0 {
		p.t.Fatalf("the connection did not end: %q, %v", b, err)
	}
}

// listenRaw is a member that only listens.
func listenRaw(t *testing.T, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// acceptRaw wants to be dialled and greeted.
func acceptRaw(t *testing.T, l net.Listener, greeting []byte) *rawPeer {
	t.Helper()
	l.(*net.TCPListener).SetDeadline(time.Now().Add(patienceMax))
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	p := &rawPeer{t, nc}
	p.read(greeting)
	return p
}

// refusedAddr is an address at which nobody listens.
func refusedAddr(t *testing.T) string {
	l := listenRaw(t, "127.0.0.1:0")
	defer l.Close()
	return l.Addr().String()
}

func TestLinkIsMadeFromEitherSide(t *testing.T) {
	for _, dialler := range []wire.SID{1, 2} {
		t.Run(fmt.Sprint(dialler, " dials"), func(t *testing.T) {
			book := new(addressBook)
			all := map[wire.SID]*testLinks{1: startLinks(t, book, 1, nil), 2: startLinks(t, book, 2, nil)}
			one, two := all[dialler], all[3-dialler]
			one.Send(3-dialler, say("hello"))
			one.expect(t, fmt.Sprintf("%d linked", 3-dialler))
			two.expect(t, fmt.Sprintf("%d linked", dialler), fmt.Sprintf("%d says hello", dialler))
			two.Send(dialler, say("yes?"))
			one.expect(t, fmt.Sprintf("%d says yes?", 3-dialler))
			one.quiet(t)
			two.quiet(t)
		})
	}
}

func TestSendToItself(t *testing.T) {
	l := startLinks(t, new(addressBook), 1, nil)
	l.Send(1, say("me"))
	l.expect(t, "1 says me")
}

// The first thing on a fresh connection is what was sent last, for the other
// end may be a new process; of what could not be sent only the newest is kept.
func TestNewestWinsAndLastIsSentAgain(t *testing.T) {
	book := new(addressBook)
	book.set(2, refusedAddr(t))
	l := startLinks(t, book, 1, nil)
	for _, word := range []string{"a", "b", "c"} {
		l.Send(2, say(word))
	}
	p := dialRaw(t, l, greetingOf(2, "127.0.0.1:1"))
	l.expect(t, "2 linked")
	p.expect("c")
	l.Send(2, say("d"))
	p.expect("d")
	p.Close()
	l.expect(t, "2 unlinked")

	p = dialRaw(t, l, greetingOf(2, "127.0.0.1:1"))
	l.expect(t, "2 linked")
	p.expect("d")
}

// A second connection of a greater sid takes the place of the first, and
// nothing is said about the first.
func TestReplacedConnectionIsNotUnlinked(t *testing.T) {
	book := new(addressBook)
	book.set(2, refusedAddr(t))
	l := startLinks(t, book, 1, nil)
	first := dialRaw(t, l, greetingOf(2, "127.0.0.1:1"))
	l.expect(t, "2 linked")
	second := dialRaw(t, l, greetingOf(2, "127.0.0.1:1"))
	l.expect(t, "2 linked")
	first.expectEnd()
	second.say("still there")
	l.expect(t, "2 says still there")
	l.quiet(t)
}

// A greeting of a smaller sid ends its old connection and has it called back,
// at its configured address, or where it says that it is if that does not work.
func TestSmallerSIDIsCalledBack(t *testing.T) {
	book := new(addressBook)
	configured, announced := listenRaw(t, "127.0.0.1:0"), listenRaw(t, "127.0.0.1:0")
	book.set(1, configured.Addr().String())
	l := startLinks(t, book, 2, nil)
	ours := greetingOf(2, "127.0.0.1:1")

	dialRaw(t, l, greetingOf(1, announced.Addr().String())).expectEnd()
	first := acceptRaw(t, configured, ours)
	l.expect(t, "1 linked")
	first.say("here")
	l.expect(t, "1 says here")

	book.set(1, refusedAddr(t))
	dialRaw(t, l, greetingOf(1, announced.Addr().String())).expectEnd()
	first.expectEnd()
	second := acceptRaw(t, announced, ours)
	l.expect(t, "1 linked")
	second.say("moved")
	l.expect(t, "1 says moved")

	// The announced address is for that one call: a lost connection is made
	// again at the configured one, and here nobody is there.
	second.Close()
	l.expect(t, "1 unlinked")
	l.quiet(t)
}

// A greeting before 3.5 has no address; the configured one does.
func TestGreetingWithoutAddress(t *testing.T) {
	book := new(addressBook)
	configured := listenRaw(t, "127.0.0.1:0")
	book.set(1, configured.Addr().String())
	l := startLinks(t, book, 2, nil)
	dialRaw(t, l, wire.AppendInt64(nil, 1)).expectEnd()
	acceptRaw(t, configured, greetingOf(2, "127.0.0.1:1"))
	l.expect(t, "1 linked")
}

// A connection that was lost for once is made again at once by the greater sid,
// without a word to anybody.
func TestLostConnectionIsMadeAgain(t *testing.T) {
	book := new(addressBook)
	peer := listenRaw(t, "127.0.0.1:0")
	book.set(1, peer.Addr().String())
	l := startLinks(t, book, 2, nil)
	l.Send(1, say("one"))
	p := acceptRaw(t, peer, greetingOf(2, "127.0.0.1:1"))
	p.expect("one")
	p.say("two")
	l.expect(t, "1 linked", "1 says two")
	p.Close()
	p = acceptRaw(t, peer, greetingOf(2, "127.0.0.1:1"))
	p.expect("one")
	l.expect(t, "1 linked")
	l.quiet(t)
}

// Who takes connections and closes them is not dialled in a circle.
func TestConnectionWithoutAWordIsNotMadeAgainAtOnce(t *testing.T) {
	book := new(addressBook)
	peer := listenRaw(t, "127.0.0.1:0")
	book.set(1, peer.Addr().String())
	l := startLinks(t, book, 2, nil)
	l.ConnectAll()
	acceptRaw(t, peer, greetingOf(2, "127.0.0.1:1")).Close()
	l.expect(t, "1 linked", "1 unlinked")
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.mu.links[1]; p.wanted || p.wait == 0 {
		t.Errorf("it dials again: %+v", p)
	}
}

// The death of a member is told as soon as its system says so, whoever's the
// connection was.
func TestDeathIsToldQuickly(t *testing.T) {
	for _, sid := range []wire.SID{1, 3} {
		t.Run(fmt.Sprintf("server %d of 3", sid), func(t *testing.T) {
			book := new(addressBook)
			l := startLinks(t, book, 2, nil)
			dead := startLinks(t, book, sid, nil)
			dead.Send(2, say("hello"))
			l.expect(t, fmt.Sprintf("%d linked", sid), fmt.Sprintf("%d says hello", sid))
			began := time.Now()
			dead.Close()
			l.expect(t, fmt.Sprintf("%d unlinked", sid))
			if took := time.Since(began); took > redialAtOnce+2*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// What is no greeting, or nobody's, costs the connection and a line in the
// log, and nothing else.
func TestGreetingsThatAreRefused(t *testing.T) {
	book := new(addressBook)
	book.set(1, refusedAddr(t))
	book.set(3, refusedAddr(t))
	l := startLinks(t, book, 2, func(o *linkOptions) { o.GreetTimeout = 100 * time.Millisecond })
	friend := dialRaw(t, l, greetingOf(3, "127.0.0.1:1"))
	friend.say("hello")
	l.expect(t, "3 linked", "3 says hello")

	head := func(version, sid int64, size int32) []byte {
		return wire.AppendInt32(wire.AppendInt64(wire.AppendInt64(nil, version), sid), size)
	}
	for _, c := range []struct {
		name, log string
		b         []byte
	}{
		{"of nobody we know", "server 7 is not in the configuration", greetingOf(7, "127.0.0.1:1")},
		{"of an anonymous observer", "not in the configuration", wire.AppendInt64(nil, 1<<63-1)},
		{"of ourselves", "which is this one", greetingOf(2, "127.0.0.1:1")},
		{"of an unknown version", "unknown version", head(-7, 1, 3)},
		{"without an address", "address of 0 bytes", head(-65536, 1, 0)},
		{"with an endless address", "address of 2147483647 bytes", head(-65536, 1, 1<<31-1)},
		{"with an address without port", "missing port", greetingOf(1, "host")},
		{"in plain words", "not in the configuration", []byte("GET / HTTP/1.1\r\n\r\n")},
		{"cut short", "i/o timeout", head(-65536, 1, 10)},
		{"that never comes", "i/o timeout", nil},
	} {
		dialRaw(t, l, c.b).expectEnd()
		entries := l.logs.TakeAll()
		if len(entries) != 1 || !strings.Contains(fmt.Sprint(entries[0].Message, entries[0].ContextMap()), c.log) {
			t.Errorf("a greeting %s: logged %v", c.name, entries)
		}
	}
	friend.say("fine")
	l.expect(t, "3 says fine")
	l.quiet(t)
}

// A greeting may come in pieces, with the first frames on its heels.
func TestGreetingInPieces(t *testing.T) {
	book := new(addressBook)
	book.set(2, refusedAddr(t))
	l := startLinks(t, book, 1, nil)
	p := dialRaw(t, l, nil)
	for _, b := range append(greetingOf(2, "host:1"), frameOf(say("first"))...) {
		p.write([]byte{b})
	}
	l.expect(t, "2 linked", "2 says first")
	l.Send(2, say("back"))
	p.expect("back")
}

// Frames that cannot be notifications end the connection; a frame that is none
// after all does not.
func TestFramesThatAreRefused(t *testing.T) {
	book := new(addressBook)
	book.set(2, refusedAddr(t))
	book.set(3, refusedAddr(t))
	l := startLinks(t, book, 1, nil)
	friend := dialRaw(t, l, greetingOf(3, "127.0.0.1:1"))
	l.expect(t, "3 linked")
	for _, head := range []int32{0, -1, wire.NotificationMax + 1, 1<<31 - 1} {
		p := dialRaw(t, l, greetingOf(2, "127.0.0.1:1"))
		p.write(wire.AppendInt32(nil, 3))
		p.write([]byte("bad"))
		p.say("good")
		l.expect(t, "2 linked", "2 says good")
		p.write(wire.AppendInt32(nil, head))
		p.expectEnd()
		l.expect(t, "2 unlinked")
		var texts []string
		for _, e := range l.logs.TakeAll() {
			texts = append(texts, fmt.Sprint(e.Message, e.ContextMap()["error"]))
		}
		if len(texts) != 2 || !strings.Contains(texts[0], "dropping a notification") || !strings.Contains(texts[1], fmt.Sprint("a frame of ", head)) {
			t.Errorf("frame of %d bytes: logged %q", head, texts)
		}
	}
	largest := say(strings.Repeat("x", wire.NotificationMax-44))
	friend.write(frameOf(largest))
	l.expect(t, "3 says "+string(largest.Config))
	l.quiet(t)
}

// TestLinksTakeRubbish sends random bytes, as greeting and behind one, while two
// members talk.
func TestLinksTakeRubbish(t *testing.T) {
	book := new(addressBook)
	for sid := range wire.SID(5) {
		book.set(sid, refusedAddr(t))
	}
	l := startLinks(t, book, 3, func(o *linkOptions) { o.GreetTimeout = 50 * time.Millisecond })
	friend := dialRaw(t, l, greetingOf(4, "127.0.0.1:1"))
	l.expect(t, "4 linked")
	const seed = 7
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range 100 {
		var b []byte
		if i%2 == 0 {
			b = greetingOf(wire.SID(r.IntN(4)), "127.0.0.1:1")
		}
		for range r.IntN(100) {
			b = append(b, byte(r.IntN(256))*byte(r.IntN(2)))
		}
		p := dialRaw(t, l, b)
		p.CloseWrite()
		p.expectEnd()
		friend.say(fmt.Sprint(i))
		l.expect(t, fmt.Sprintf("4 says %d", i))
	}
}

func (p *rawPeer) CloseWrite() { p.Conn.(*net.TCPConn).CloseWrite() }

// fakeDial is a network in which nobody is reached, and who is dialled when.
type fakeDial struct {
	mu       sync.Mutex
	err      error
	took     time.Duration // how long a dial takes to fail
	began    time.Time
	dials    []time.Duration // since began
	underway int
	most     int
}

func (d *fakeDial) dial(ctx context.Context, _ string) (net.Conn, error) {
	d.mu.Lock()
	d.dials = append(d.dials, time.Since(d.began))
	d.underway++
	d.most = max(d.most, d.underway)
	took, err := d.took, d.err
	d.mu.Unlock()
	if !pause(ctx, took) {
		err = ctx.Err()
	}
	d.mu.Lock()
	d.underway--
	d.mu.Unlock()
	return nil, err
}

var refusedErr = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}

// Each Send leads to a dial, but a dead member is dialled ever more seldom, and
// once at a time.
func TestDialsOfADeadMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := new(addressBook)
		book.set(1, "dead:1")
		d := &fakeDial{err: refusedErr, took: time.Millisecond, began: time.Now()}
		l := startLinks(t, book, 2, func(o *linkOptions) { o.dial = d.dial })
		for range 1000 {
			l.Send(1, say("are you there?"))
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		l.quiet(t)
		l.Close()
		gaps := []time.Duration{}
		for i := 1; i < len(d.dials); i++ {
			gaps = append(gaps, (d.dials[i] - d.dials[i-1]).Round(10*time.Millisecond))
		}
		want := "[50ms 100ms 200ms 400ms 800ms 1s 1s 1s 1s 1s 1s 1s 1s 1s]"
		if fmt.Sprint(gaps) != want || d.most != 1 {
			t.Errorf("dialled %v after each other, %d at once; want %v, 1", gaps, d.most, want)
		}
		if n := l.logs.Len(); n != 1 {
			t.Errorf("%d lines in the log: %v", n, l.logs.All())
		}
	})
}

// A name that does not resolve is tried again when there is something to say,
// and the log tells of each change of what is wrong.
func TestTroubleIsLoggedWhenItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := new(addressBook)
		book.set(1, "nowhere:1")
		d := &fakeDial{began: time.Now()}
		l := startLinks(t, book, 2, func(o *linkOptions) { o.dial = d.dial })
		lookup := &net.DNSError{Err: "no such host", Name: "nowhere", IsNotFound: true}
		for _, err := range []error{lookup, lookup, refusedErr, refusedErr, lookup} {
			d.mu.Lock()
			d.err = err
			d.mu.Unlock()
			l.ConnectAll()
			time.Sleep(2 * time.Second)
		}
		l.Close()
		var texts []string
		for _, e := range l.logs.All() {
			texts = append(texts, strings.TrimPrefix(e.Message, "a server is not reached for the election: "))
		}
		want := []string{"its name does not resolve", "it refuses the connection", "its name does not resolve"}
		if !slices.Equal(texts, want) || len(d.dials) != 5 {
			t.Errorf("%d dials, logged %q", len(d.dials), texts)
		}
	})
}

// A dial that hangs holds up nobody, neither Send nor Close.
func TestDialThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := new(addressBook)
		book.set(1, "a:1", "b:1")
		d := &fakeDial{err: refusedErr, took: time.Hour, began: time.Now()}
		l := startLinks(t, book, 2, func(o *linkOptions) { o.dial = d.dial })
		l.Send(1, say("hello"))
		time.Sleep(12 * time.Second) // 5 s for both addresses
		l.Send(1, say("hello"))
		time.Sleep(time.Second)
		l.Close()
		if want := "[0s 2.5s 12s]"; fmt.Sprint(d.dials) != want {
			t.Errorf("dials at %v, want %v", d.dials, want)
		}
		if time.Since(d.began) != 13*time.Second {
			t.Errorf("Close took %v", time.Since(d.began)-13*time.Second)
		}
	})
}

// Of ten thousand notifications that nobody takes only so many are kept, and
// the connection is not read from; it all comes through in the end.
func TestNotificationsWaitForWhoTakesThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := new(addressBook)
		book.set(2, "h:1")
		l := startLinks(t, book, 1, func(o *linkOptions) {
			o.Events = make(linkLog)
			o.dial = (&fakeDial{err: refusedErr}).dial
		})
		ours, theirs := net.Pipe()
		l.ports.running.Go(func() { l.greeted(ours) })
		const all = 10000
		go func() {
			theirs.Write(greetingOf(2, "127.0.0.1:1"))
			for i := range all {
				theirs.Write(frameOf(say(fmt.Sprint(i))))
			}
		}()
		synctest.Wait()
		l.mu.Lock()
		if n := len(l.mu.news); n > newsMax {
			t.Errorf("%d are kept, at most %d should be", n, newsMax)
		}
		l.mu.Unlock()
		taken := l.o.Events.(linkLog)
		taken.expect(t, "2 linked")
		for i := range all {
			taken.expect(t, fmt.Sprintf("2 says %d", i))
		}
		theirs.Close()
		taken.expect(t, "2 unlinked")
	})
}

// TestRecordedElections replays what real servers said to each other in an
// election: one of them is our links, the other a socket that sends the
// recorded bytes. What ours write is what was recorded.
func TestRecordedElections(t *testing.T) {
	for _, name := range []string{"01-election-and-first-sync", "05-leader-failure-epoch-2"} {
		n := 0
		for _, c := range recordedConns(t, name, "election") {
			if c.From == 0 || !c.whole {
				continue
			}
			n++
			t.Run(fmt.Sprintf("%s, connection %d", name[:2], c.Conn), func(t *testing.T) {
				if c.From > c.To {
					replayKept(t, c)
				} else {
					replayCalledBack(t, c)
				}
			})
		}
		if n < 3 {
			t.Errorf("%s: %d connections", name, n)
		}
	}
}

// replayKept replays a connection once for each of its ends.
func replayKept(t *testing.T, c *recordedConn) {
	// Ours accepts.
	book := new(addressBook)
	book.set(c.From, refusedAddr(t))
	ours := startLinks(t, book, c.To, nil)
	p := dialRaw(t, ours, c.bytes(c.From))
	ours.expect(t, fmt.Sprintf("%d linked", c.From))
	for _, r := range c.records(c.From)[1:] {
		ours.expect(t, fmt.Sprintf("%d says %s", c.From, notificationIn(t, r).Config))
	}
	for _, r := range c.records(c.To) {
		ours.Send(c.From, notificationIn(t, r))
		p.read(r)
	}

	// Ours dials.
	book = new(addressBook)
	peer := listenRaw(t, "127.0.0.1:0")
	book.set(c.To, peer.Addr().String())
	said := c.records(c.From)
	greeting, _, err := wire.DecodeGreeting(said[0])
	if err != nil {
		t.Fatal(err)
	}
	ours = startLinks(t, book, c.From, func(o *linkOptions) { o.Addrs = greeting.Addrs })
	ours.ConnectAll()
	p = acceptRaw(t, peer, said[0])
	ours.expect(t, fmt.Sprintf("%d linked", c.To))
	for _, r := range said[1:] {
		ours.Send(c.To, notificationIn(t, r))
		p.read(r)
	}
	p.write(c.bytes(c.To))
	for _, r := range c.records(c.To) {
		ours.expect(t, fmt.Sprintf("%d says %s", c.To, notificationIn(t, r).Config))
	}
}

// replayCalledBack replays the dial of a smaller sid: its end, and ours.
func replayCalledBack(t *testing.T, c *recordedConn) {
	book := new(addressBook)
	peer := listenRaw(t, "127.0.0.1:0")
	book.set(c.From, peer.Addr().String())
	ours := startLinks(t, book, c.To, nil)
	p := dialRaw(t, ours, c.bytes(c.From))
	p.expectEnd()
	acceptRaw(t, peer, greetingOf(c.To, "127.0.0.1:1"))
	ours.expect(t, fmt.Sprintf("%d linked", c.From))

	book = new(addressBook)
	peer = listenRaw(t, "127.0.0.1:0")
	book.set(c.To, peer.Addr().String())
	greeting, _, err := wire.DecodeGreeting(c.bytes(c.From))
	if err != nil {
		t.Fatal(err)
	}
	ours = startLinks(t, book, c.From, func(o *linkOptions) { o.Addrs = greeting.Addrs })
	ours.ConnectAll()
	acceptRaw(t, peer, c.bytes(c.From)).expectEnd()
	ours.quiet(t)
}

func notificationIn(t *testing.T, frame []byte) *wire.Notification {
	t.Helper()
	var n wire.Notification
	if err := wire.Unmarshal(frame[4:], &n); err != nil || int(binary.BigEndian.Uint32(frame)) != len(frame)-4 {
		t.Fatal(err)
	}
	return &n
}

// TestMembersComeAndGo lets five members talk while they are closed and started
// again at the same address, at random. When it is quiet in the end everybody
// is linked with everybody, nobody has been told of an end without a beginning,
// and what was sent last has arrived.
func TestMembersComeAndGo(t *testing.T) {
	const members, seed = 5, 1
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	book := new(addressBook)
	all := make([]*churner, members)
	for i := range all {
		all[i] = &churner{sid: wire.SID(i + 1), addr: refusedAddr(t)}
		book.set(all[i].sid, all[i].addr)
	}
	for _, c := range all {
		c.start(t, book)
	}
	for step := range 120 {
		c := all[r.IntN(members)]
		switch r.IntN(6) {
		case 0:
			c.links.Close()
			c.start(t, book)
		case 1:
			c.links.ConnectAll()
		default:
			c.links.Send(wire.SID(r.IntN(members)+1), say(fmt.Sprint(step)))
		}
		if r.IntN(4) == 0 {
			time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
		}
	}
	deadline := time.Now().Add(patienceMax)
	for round := 0; ; round++ {
		for _, c := range all {
			for sid := wire.SID(1); sid <= members; sid++ {
				c.links.Send(sid, say(fmt.Sprintf("round %d", round)))
			}
		}
		time.Sleep(200 * time.Millisecond)
		missing := []string{}
		for _, c := range all {
			missing = append(missing, c.missing(all, fmt.Sprintf("round %d", round))...)
		}
		if len(missing) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %d rounds: %v", round, missing)
		}
	}
	for _, c := range all {
		c.links.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, w := range c.wrong {
			t.Error(w)
		}
	}
}

// churner is a member of TestMembersComeAndGo.
type churner struct {
	sid   wire.SID
	addr  string
	links *links

	mu     sync.Mutex
	linked map[wire.SID]bool
	said   map[wire.SID]string
	wrong  []string
}

func (c *churner) start(t *testing.T, book *addressBook) {
	t.Helper()
	c.mu.Lock()
	c.linked, c.said = make(map[wire.SID]bool), make(map[wire.SID]string)
	c.mu.Unlock()
	c.links = newLinks(linkOptions{SID: c.sid, Addrs: []string{c.addr}, Listen: []string{c.addr}, Peers: book.peers, Events: c})
	t.Cleanup(c.links.Close)
	if err := c.links.Listen(); err != nil {
		t.Fatal(err)
	}
}

func (c *churner) Notified(from wire.SID, n wire.Notification) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if from != c.sid && !c.linked[from] {
		c.wrong = append(c.wrong, fmt.Sprintf("%d hears %d without a link", c.sid, from))
	}
	c.said[from] = string(n.Config)
}

func (c *churner) Linked(sid wire.SID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.linked[sid] = true
}

func (c *churner) Unlinked(sid wire.SID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.linked[sid] {
		c.wrong = append(c.wrong, fmt.Sprintf("%d loses %d without a link", c.sid, sid))
	}
	c.linked[sid] = false
}

func (c *churner) missing(all []*churner, word string) (list []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, other := range all {
		if other != c && !c.linked[other.sid] || c.said[other.sid] != word {
			list = append(list, fmt.Sprintf("%d of %d (linked %v, said %q)", c.sid, other.sid, c.linked[other.sid], c.said[other.sid]))
		}
	}
	return list
}

// A member that is restarted finds its port taken for a while, if the old
// process is slow to go.
func TestListenTriesAgain(t *testing.T) {
	taken := listenRaw(t, "127.0.0.1:0")
	addr := taken.Addr().String()
	book := new(addressBook)
	l := startLinks(t, book, 1, func(o *linkOptions) { o.BindTries = 1 })
	l.o.Listen = []string{addr}
	if err := l.Listen(); err == nil {
		t.Fatal("listening at an address that is taken")
	}
	l.o.BindTries = 3
	go func() {
		for l.logs.Len() == 0 { // it has tried
			time.Sleep(time.Millisecond)
		}
		taken.Close()
	}()
	if err := l.Listen(); err != nil {
		t.Fatal(err)
	}
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
}

func TestReadGreetingLeavesTheRest(t *testing.T) {
	in := bufio.NewReader(bytes.NewReader(append(greetingOf(3, "127.0.0.1:1"), "rest"...)))
	g, err := readGreeting(in)
	rest, _ := io.ReadAll(in)
	if err != nil || g.SID != 3 || string(rest) != "rest" {
		t.Errorf("%+v, %v, then %q", g, err, rest)
	}
}
