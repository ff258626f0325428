package main

// kind says what an event is for.
type kind uint8

const (
	atRound   kind = iota // a member looks at what has arrived
	atTick                // a member's loop looks at the clock
	atDeliver             // the oldest message of a pipe is due
	atDisk                // a disk has finished what it was doing
	atClient              // a client may act
	atCall                // anything that is rare
)

// event is something that happens at a time. Which of those at the same time
// comes first is decided by their numbers, so there is one order.
type event struct {
	at   int64 // µs since the start of the simulation
	seq  uint64
	kind kind
	who  int32  // a member, a client, or a connection
	arg  uint32 // the incarnation of who, or the direction of a pipe
	call func() // of atCall
}

func (e *event) before(f *event) bool { return e.at < f.at || e.at == f.at && e.seq < f.seq }

// agenda is a heap of events, the next one on top.
type agenda struct {
	list []event
	seq  uint64
}

func (a *agenda) add(e event) {
	a.seq++
	e.seq = a.seq
	a.list = append(a.list, e)
	i := len(a.list) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !e.before(&a.list[up]) {
			break
		}
		a.list[i] = a.list[up]
		i = up
	}
	a.list[i] = e
}

// next takes the next event; the agenda must not be empty.
func (a *agenda) next() event {
	top := a.list[0]
	n := len(a.list) - 1
	last := a.list[n]
	a.list[n] = event{}
	a.list = a.list[:n]
	if n == 0 {
		return top
	}
	i := 0
	for {
		down := 2*i + 1
		if down >= n {
			break
		}
		if down+1 < n && a.list[down+1].before(&a.list[down]) {
			down++
		}
		if !a.list[down].before(&last) {
			break
		}
		a.list[i] = a.list[down]
		i = down
	}
	a.list[i] = last
	return top
}
