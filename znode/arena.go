package znode

import "fmt"

// arenaChunk is the number of elements that are allocated at a time.
const arenaChunk = 1 << 10

// linked is an element that lends one of its fields to the list of free ones.
type linked[T any] interface {
	*T
	link() *uint32
}

// arena keeps elements in large chunks and addresses them by number. Element
// types hold no pointers, so that the collector skips the chunks. Elements do
// not move. Number 0 is never handed out.
type arena[T any, P linked[T]] struct {
	chunks []*[arenaChunk]T
	used   uint32 // numbers 1…used have been handed out at some time
	free   uint32 // first free one of those, linked
}

// at is the element with number i.
func (a *arena[T, P]) at(i uint32) P { return &a.chunks[i/arenaChunk][i%arenaChunk] }

// alloc hands out a zeroed element.
func (a *arena[T, P]) alloc() (uint32, P) {
	if i := a.free; i != 0 {
		p := a.at(i)
		a.free = *p.link()
		var zero T
		*p = zero
		return i, p
	}
	if a.used == 1<<32-1 {
		panic(fmt.Sprintf("znode: arena full at %d elements", a.used))
	}
	a.used++
	if int(a.used/arenaChunk) == len(a.chunks) {
		a.chunks = append(a.chunks, new([arenaChunk]T))
	}
	return a.used, a.at(a.used)
}

// release takes element i back.
func (a *arena[T, P]) release(i uint32) {
	p := a.at(i)
	var zero T
	*p = zero
	*p.link() = a.free
	a.free = i
}
