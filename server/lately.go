package server

import (
	"sync"
	"time"
)

// freshWait is how long a word waits for figures that need the tree's lock
// before it takes those of an earlier time.
const freshWait = 50 * time.Millisecond

// lately is a value that takes a lock to make. Whoever wants it gets a new one
// if that is made soon, else the last one: so words answer whatever holds the
// lock.
type lately[T any] struct {
	mu     sync.Mutex
	value  T
	making chan struct{} // closed when the value under way is there; nil if none is
}

// get makes the value, one at a time.
func (l *lately[T]) get(build func() T) T {
	l.mu.Lock()
	ready := l.making
	if ready == nil {
		ready = make(chan struct{})
		l.making = ready
		go func() {
			v := build()
			l.mu.Lock()
			l.value, l.making = v, nil
			l.mu.Unlock()
			close(ready)
		}()
	}
	l.mu.Unlock()
	timer := time.NewTimer(freshWait)
	defer timer.Stop()
	select {
	case <-ready:
	case <-timer.C:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.value
}
