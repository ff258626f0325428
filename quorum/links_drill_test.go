package quorum

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"zooid/wire"
)

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
