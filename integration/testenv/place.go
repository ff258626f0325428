package testenv

import "testing"

// A place is a thread with a view of its own of the machine: of its network, of
// its mounts, or of both. What is started in it lives in it. It leaves nothing
// behind: the view ends with the last process in it, also when the test binary
// is killed. A nil place is the machine as everybody sees it.
type place struct {
	jobs chan job
	net  int // file descriptor of its network, -1 if it has none of its own
}

type job struct {
	run  func() error
	done chan error
}

// do runs f in the place and waits for it. Files, sockets and processes that f
// opens or starts are the place's.
func (p *place) do(f func() error) error {
	if p == nil {
		return f()
	}
	done := make(chan error, 1)
	p.jobs <- job{f, done}
	return <-done
}

// newPlace makes a place that ends with the test.
func newPlace(t testing.TB, ownNetwork, ownMounts bool) (*place, error) {
	p := &place{jobs: make(chan job), net: -1}
	ready := make(chan error)
	go p.live(ownNetwork, ownMounts, ready)
	if err := <-ready; err != nil {
		return nil, err
	}
	t.Cleanup(func() { close(p.jobs) })
	return p, nil
}
