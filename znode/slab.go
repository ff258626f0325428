package znode

import (
	"encoding/binary"
	"math/bits"
)

// handle addresses bytes in the slab: a place in units of 8 bytes, or, with
// bigBit set, an index of the table of big values.
type handle uint32

const (
	bigBit handle = 1 << 31

	unit       = 8        // bytes; every block begins at a multiple
	pageSize   = 32 << 10 // bytes; a page holds blocks of one class
	slabChunk  = 1 << 20  // bytes taken from the runtime at a time
	slabPages  = slabChunk / pageSize
	chunkUnits = slabChunk / unit
	pageUnits  = pageSize / unit
	maxPages   = int(bigBit) / pageUnits

	// smallMax is the largest block of a page, in bytes; larger values get
	// memory of their own.
	smallMax = 4 << 10
)

// page describes 32 KiB of blocks of one size. Units count from its beginning.
type page struct {
	class      uint8
	used       uint16 // blocks in use
	free       uint16 // unit of the first free block + 1, linked in the blocks' first two bytes
	fresh      uint16 // unit from which on no block has been used yet
	next, prev uint32 // pages of the class with room, or without blocks, linked; page number + 1
}

// slab stores names and data: many small byte strings without a pointer to any
// of them. Sizes are rounded up to a class (by at most an eighth beyond 128
// bytes); a page whose last block goes serves any class again, and a chunk whose
// last page goes is given back, but for one.
type slab struct {
	chunks [][]byte // nil for one that was given back
	pages  []page
	idle   []uint8            // of each chunk: how many of its pages have no block
	spare  int                // chunks all of whose pages have none
	absent []uint32           // chunks that were given back
	empty  uint32             // pages without blocks, linked; page number + 1
	room   [numClasses]uint32 // pages of each class with room; page number + 1

	big     [][]byte
	bigFree []uint32
}

// numClasses is classOf(smallMax) + 1.
const numClasses = 56

// classOf is the class of the smallest blocks that hold n bytes: every 8 bytes
// up to 128, then eight classes between powers of two.
func classOf(n int) int {
	if n <= 128 {
		return (n+unit-1)/unit - 1
	}
	shift := bits.Len(uint(n-1)) - 4 // eight steps of 1<<shift in this power of two
	return 16 + (shift-4)*8 + (n-1)>>shift - 8
}

// classSize is the size of a class's blocks in bytes.
func classSize(class int) int {
	if class < 16 {
		return (class + 1) * unit
	}
	shift := (class-16)/8 + 4
	return ((class-16)%8 + 9) << shift
}

// put stores a copy of b, which must not be empty.
func (s *slab) put(b []byte) handle {
	h, dst := s.alloc(len(b))
	copy(dst, b)
	return h
}

// putName stores a name with its length in front.
func (s *slab) putName(name string) handle {
	var length [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(length[:], uint64(len(name)))
	h, dst := s.alloc(n + len(name))
	copy(dst[copy(dst, length[:n]):], name)
	return h
}

// bytes is the first n bytes at h. It aliases the slab.
func (s *slab) bytes(h handle, n int) []byte {
	if h&bigBit != 0 {
		return s.big[h&^bigBit][:n:n]
	}
	off := int(h%chunkUnits) * unit
	return s.chunks[h/chunkUnits][off : off+n : off+n]
}

// name is the name that putName put at h. It aliases the slab.
func (s *slab) name(h handle) []byte {
	var b []byte
	if h&bigBit != 0 {
		b = s.big[h&^bigBit]
	} else {
		b = s.chunks[h/chunkUnits][int(h%chunkUnits)*unit:]
	}
	if n := int(b[0]); n < 0x80 {
		return b[1 : 1+n : 1+n]
	}
	n, k := binary.Uvarint(b)
	return b[k : k+int(n) : k+int(n)]
}

// alloc finds room for n bytes, n > 0.
func (s *slab) alloc(n int) (handle, []byte) {
	if n > smallMax {
		return s.allocBig(n)
	}
	class := classOf(n)
	if s.room[class] == 0 && !s.addPage(class) {
		return s.allocBig(n)
	}
	i := s.room[class] - 1
	p := &s.pages[i]
	size := classSize(class) / unit
	var at uint16
	if p.free != 0 {
		at = p.free - 1
		p.free = binary.LittleEndian.Uint16(s.pageBytes(i)[int(at)*unit:])
	} else {
		at = p.fresh
		p.fresh += uint16(size)
	}
	p.used++
	if p.free == 0 && int(p.fresh)+size > pageUnits {
		s.unlinkRoom(i)
	}
	h := handle(int(i)*pageUnits + int(at))
	return h, s.bytes(h, n)
}

// release takes back the block at h, of which n bytes were asked for.
func (s *slab) release(h handle, n int) {
	if h&bigBit != 0 {
		s.big[h&^bigBit] = nil
		s.bigFree = append(s.bigFree, uint32(h&^bigBit))
		return
	}
	i := uint32(h) / pageUnits
	p := &s.pages[i]
	if int(p.class) != classOf(n) {
		panic("znode: slab block released with another size than it has")
	}
	full := p.free == 0 && int(p.fresh)+classSize(int(p.class))/unit > pageUnits
	p.used--
	if p.used == 0 {
		if !full {
			s.unlinkRoom(i)
		}
		*p = page{}
		s.linkEmpty(i)
		s.giveBack(i / slabPages)
		return
	}
	at := uint16(uint32(h) % pageUnits)
	binary.LittleEndian.PutUint16(s.pageBytes(i)[int(at)*unit:], p.free)
	p.free = at + 1
	if full {
		s.linkRoom(i)
	}
}

// releaseName takes back what putName stored.
func (s *slab) releaseName(h handle) {
	n := len(s.name(h))
	s.release(h, n+uvarintLen(n))
}

func uvarintLen(n int) int { return (bits.Len(uint(n)|1) + 6) / 7 }

func (s *slab) allocBig(n int) (handle, []byte) {
	b := make([]byte, n)
	if k := len(s.bigFree); k > 0 {
		i := s.bigFree[k-1]
		s.bigFree = s.bigFree[:k-1]
		s.big[i] = b
		return bigBit | handle(i), b
	}
	s.big = append(s.big, b)
	return bigBit | handle(len(s.big)-1), b
}

// addPage gives a class a page; false if no more can be addressed.
func (s *slab) addPage(class int) bool {
	if s.empty == 0 && !s.addChunk() {
		return false
	}
	i := s.empty - 1
	s.unlinkEmpty(i)
	s.pages[i] = page{class: uint8(class)}
	s.linkRoom(i)
	return true
}

// addChunk takes a chunk, in the place of one that was given back if there is
// one; false if no more can be addressed.
func (s *slab) addChunk() bool {
	chunk := uint32(len(s.chunks))
	switch n := len(s.absent); {
	case n > 0:
		chunk = s.absent[n-1]
		s.absent = s.absent[:n-1]
		s.chunks[chunk] = make([]byte, slabChunk)
	case len(s.pages)+slabPages > maxPages:
		return false
	default:
		s.chunks = append(s.chunks, make([]byte, slabChunk))
		s.pages = append(s.pages, make([]page, slabPages)...)
		s.idle = append(s.idle, 0)
	}
	for k := uint32(slabPages); k > 0; k-- { // the lowest page comes out first
		s.linkEmpty(chunk*slabPages + k - 1)
	}
	return true
}

// giveBack lets a chunk without a block go. One stays, so that a block that comes
// and goes does not take and give a chunk each time.
func (s *slab) giveBack(chunk uint32) {
	if s.idle[chunk] < slabPages || s.spare == 1 {
		return
	}
	for i := chunk * slabPages; i < (chunk+1)*slabPages; i++ {
		s.unlinkEmpty(i)
	}
	s.chunks[chunk] = nil
	s.absent = append(s.absent, chunk)
}

// linkEmpty and unlinkEmpty keep the list of pages without blocks, and count
// them.
func (s *slab) linkEmpty(i uint32) {
	s.pages[i] = page{next: s.empty}
	if s.empty != 0 {
		s.pages[s.empty-1].prev = i + 1
	}
	s.empty = i + 1
	if s.idle[i/slabPages]++; s.idle[i/slabPages] == slabPages {
		s.spare++
	}
}

func (s *slab) unlinkEmpty(i uint32) {
	p := &s.pages[i]
	if p.prev != 0 {
		s.pages[p.prev-1].next = p.next
	} else {
		s.empty = p.next
	}
	if p.next != 0 {
		s.pages[p.next-1].prev = p.prev
	}
	*p = page{}
	if s.idle[i/slabPages]--; s.idle[i/slabPages] == slabPages-1 {
		s.spare--
	}
}

func (s *slab) pageBytes(i uint32) []byte {
	off := int(i%slabPages) * pageSize
	return s.chunks[i/slabPages][off : off+pageSize]
}

func (s *slab) linkRoom(i uint32) {
	p := &s.pages[i]
	head := s.room[p.class]
	p.next, p.prev = head, 0
	if head != 0 {
		s.pages[head-1].prev = i + 1
	}
	s.room[p.class] = i + 1
}

func (s *slab) unlinkRoom(i uint32) {
	p := &s.pages[i]
	if p.prev != 0 {
		s.pages[p.prev-1].next = p.next
	} else {
		s.room[p.class] = p.next
	}
	if p.next != 0 {
		s.pages[p.next-1].prev = p.prev
	}
	p.next, p.prev = 0, 0
}

// fits tells whether the block at h, of which n bytes were asked for, is what
// alloc would choose for m bytes.
func (s *slab) fits(h handle, n, m int) bool {
	if h&bigBit != 0 {
		return n == m
	}
	return m <= smallMax && classOf(n) == classOf(m)
}
