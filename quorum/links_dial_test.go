package quorum

import (
	"context"
	"fmt"
	"io"
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
)

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

// Running out of file descriptors, or the like, ends no listening.
func TestAcceptGoesOnAfterErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.InfoLevel)
		l := &troubledListener{trouble: 10}
		got := 0
		p := &ports{log: zap.New(core), ctx: t.Context(), accepted: func(nc net.Conn) { got++ }}
		began := time.Now()
		p.accept(l)
		p.wait()
		if took := time.Since(began); got != 1 || took < acceptPauseMax || logs.Len() != 1 {
			t.Errorf("%d connections after %v, logged %v", got, took, logs.All())
		}
	})
}

// troubledListener fails for a while, then accepts once, then is closed.
type troubledListener struct {
	net.Listener
	trouble int
}

func (l *troubledListener) Addr() net.Addr { return &net.TCPAddr{} }

func (l *troubledListener) Accept() (net.Conn, error) {
	l.trouble--
	switch {
	case l.trouble > 0:
		return nil, syscall.EMFILE
	case l.trouble == 0:
		return nil, nil
	}
	return nil, net.ErrClosed
}

// Who opens connections and says nothing keeps nobody out: the oldest goes.
func TestSilentConnectionsToTheElectionPort(t *testing.T) {
	book := new(addressBook)
	book.set(2, refusedAddr(t))
	l := startLinks(t, book, 1, nil)
	for range 3 * silentShare {
		dialRaw(t, l, nil)
	}
	dialRaw(t, l, greetingOf(2, "127.0.0.1:1")).say("here")
	l.expect(t, "2 linked")
	l.expect(t, "2 says here")
	l.silent.mu.Lock()
	defer l.silent.mu.Unlock()
	if n := len(l.silent.list); n > silentShare {
		t.Errorf("%d silent connections from one address are kept", n)
	}
	if n := l.logs.Len(); n > thinLines {
		t.Errorf("%d lines are logged", n)
	}
}

// Where a packet takes long on its way, a member that is asked to call back is
// given the time, and not asked again meanwhile: that would undo its call.
func TestCallBackTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const trip = 150 * time.Millisecond
		book := new(addressBook)
		book.set(2, "far:1")
		greetings := 0
		l := startLinks(t, book, 1, func(o *linkOptions) {
			o.dial = func(context.Context, string) (net.Conn, error) {
				time.Sleep(trip)
				ours, theirs := net.Pipe()
				go func() {
					if b, _ := io.ReadAll(theirs); len(b) > 0 {
						greetings++
					}
				}()
				return ours, nil
			}
		})
		called := make(chan net.Conn)
		go func() {
			time.Sleep(trip + 2*trip)
			ours, theirs := net.Pipe()
			l.ports.running.Go(func() { l.greeted(ours) })
			theirs.Write(greetingOf(2, "127.0.0.1:1"))
			called <- theirs
			io.ReadAll(theirs)
		}()
		for range 200 {
			l.Send(2, say("hello"))
			time.Sleep(20 * time.Millisecond)
		}
		(<-called).Close()
		l.expect(t, "2 linked", "2 unlinked")
		l.Close()
		synctest.Wait()
		if greetings != 1 {
			t.Errorf("greeted %d times", greetings)
		}
	})
}

// Who only looks whether the port is open is no reason for a line in the log.
func TestProbeOfTheElectionPort(t *testing.T) {
	l := startLinks(t, &addressBook{}, 2, nil)
	p := dialRaw(t, l, nil)
	p.Conn.(*net.TCPConn).CloseWrite()
	p.expectEnd()
	if n := l.logs.Len(); n > 0 {
		t.Errorf("%d lines: %v", n, l.logs.All())
	}
	p = dialRaw(t, l, greetingOf(1, "127.0.0.1:1")[:9])
	p.Conn.(*net.TCPConn).CloseWrite()
	p.expectEnd()
	if n := l.logs.Len(); n != 1 {
		t.Errorf("half a greeting: %d lines: %v", n, l.logs.All())
	}
}
