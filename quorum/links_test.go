package quorum

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
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
	second.say("still there") // the first one says nothing, as if its machine were gone
	l.expect(t, "2 linked")
	first.expectEnd()
	l.expect(t, "2 says still there")
	l.quiet(t)
}

// Anybody can say that he is a member, in any number of connections. One that says
// something stays, and so does one that others only want the place of.
func TestStrangersDoNotReplaceAConnection(t *testing.T) {
	book := new(addressBook)
	book.set(1, refusedAddr(t))
	book.set(3, refusedAddr(t))
	l := startLinks(t, book, 2, nil)
	friend := dialRaw(t, l, greetingOf(3, "127.0.0.1:1"))
	friend.say("hello")
	l.expect(t, "3 linked", "3 says hello")
	var strangers []*rawPeer
	for range 2 * candidatesMax {
		strangers = append(strangers, dialRaw(t, l, greetingOf(3, "127.0.0.1:1")))
	}
	friend.say("still here") // within the standoff
	l.expect(t, "3 says still here")
	for _, s := range strangers {
		s.expectEnd()
	}
	l.Send(3, say("and heard"))
	friend.expect("and heard")
	dialRaw(t, l, greetingOf(3, "127.0.0.1:1")).expectEnd() // which says nothing
	friend.say("for ever")
	l.expect(t, "3 says for ever")
	l.quiet(t)
}

// The end of a connection that another one waits for lets that one in at once.
func TestRestartedMemberIsLetInAtOnce(t *testing.T) {
	book := new(addressBook)
	book.set(2, refusedAddr(t))
	l := startLinks(t, book, 1, nil)
	first := dialRaw(t, l, greetingOf(2, "127.0.0.1:1"))
	l.expect(t, "2 linked")
	second := dialRaw(t, l, greetingOf(2, "127.0.0.1:1"))
	began := time.Now()
	second.say("back")
	first.Close()
	for _, want := range []string{"2 unlinked", "2 linked", "2 says back"} {
		l.expect(t, want)
	}
	if took := time.Since(began); took >= standoff {
		t.Errorf("let in after %v", took)
	}
}

// A server that is in no list may ask for votes, and is answered. One with a
// smaller number is called back on the machine that it calls from. There are only
// so many of them.
func TestUnlistedServersInTheElection(t *testing.T) {
	l := startLinks(t, new(addressBook), 5, nil)
	p := dialRaw(t, l, greetingOf(7, "127.0.0.1:1"))
	p.say("whom do you follow?")
	l.expect(t, "7 linked", "7 says whom do you follow?")
	l.Send(7, say("nobody"))
	p.expect("nobody")
	p.Close()
	l.expect(t, "7 unlinked")

	back := listenRaw(t, "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(back.Addr().String())
	dialRaw(t, l, greetingOf(2, "192.0.2.1:"+port)).expectEnd()
	q := acceptRaw(t, back, greetingOf(5, "127.0.0.1:1"))
	l.expect(t, "2 linked")
	q.say("me neither")
	l.expect(t, "2 says me neither")
	q.Close()
	l.expect(t, "2 unlinked")

	l.Send(7, say("to nobody"))
	var all []*rawPeer
	for i := range 2 * unlistedLinks {
		s := dialRaw(t, l, greetingOf(wire.SID(100+i), "127.0.0.1:1"))
		if i >= unlistedLinks {
			l.expect(t, fmt.Sprintf("%d unlinked", 100+i-unlistedLinks))
		}
		l.expect(t, fmt.Sprintf("%d linked", 100+i))
		all = append(all, s)
	}
	all[0].expectEnd()
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.mu.links); n > unlistedLinks {
		t.Errorf("%d servers are remembered", n)
	}
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
		{"of nobody, without an address", "server 7 is not in the configuration", wire.AppendInt64(nil, 7)},
		{"of a negative number", "server -7 is not in the configuration", greetingOf(-7, "127.0.0.1:1")},
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

func (p *rawPeer) CloseWrite() { p.Conn.(*net.TCPConn).CloseWrite() }

func TestReadGreetingLeavesTheRest(t *testing.T) {
	in := bufio.NewReader(bytes.NewReader(append(greetingOf(3, "127.0.0.1:1"), "rest"...)))
	g, err := readGreeting(in)
	rest, _ := io.ReadAll(in)
	if err != nil || g.SID != 3 || string(rest) != "rest" {
		t.Errorf("%+v, %v, then %q", g, err, rest)
	}
}
