package znode

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestSizeClasses(t *testing.T) {
	for n := 1; n <= smallMax; n++ {
		class := classOf(n)
		size := classSize(class)
		if size < n || class > 0 && classSize(class-1) >= n || size%unit != 0 {
			t.Fatalf("%d bytes get class %d of %d bytes", n, class, size)
		}
		if n > 128 && (size-n)*8 > n {
			t.Fatalf("%d bytes take %d", n, size)
		}
	}
	if classOf(smallMax) != numClasses-1 {
		t.Errorf("largest class %d, want %d", classOf(smallMax), numClasses-1)
	}
}

// Random blocks come and go; each keeps its bytes, and memory that one size
// gave back serves another.
func TestSlab(t *testing.T) {
	for _, seed := range seeds() {
		rng := rand.New(rand.NewPCG(seed, 0))
		var s slab
		type block struct {
			h    handle
			want []byte
		}
		var live []block
		free := func(i int) {
			b := live[i]
			if !bytes.Equal(s.bytes(b.h, len(b.want)), b.want) {
				t.Fatalf("seed %d: block %#x of %d bytes was overwritten", seed, b.h, len(b.want))
			}
			s.release(b.h, len(b.want))
			live[i] = live[len(live)-1]
			live = live[:len(live)-1]
		}
		for range 30_000 {
			if len(live) > 0 && rng.IntN(100) < 45 {
				free(rng.IntN(len(live)))
				continue
			}
			n := 1 + rng.IntN(200)
			if rng.IntN(50) == 0 {
				n = 1 + rng.IntN(2*smallMax)
			}
			b := bytes.Repeat([]byte{byte(rng.Uint32())}, n)
			live = append(live, block{s.put(b), b})
		}
		for len(live) > 0 {
			free(len(live) - 1)
		}
		chunks := len(s.chunks)
		for range chunks * slabPages * (pageSize / smallMax) {
			s.put(make([]byte, smallMax))
		}
		if len(s.chunks) != chunks {
			t.Errorf("seed %d: %d chunks, though all pages of %d were free", seed, len(s.chunks), chunks)
		}
	}
}

func TestSlabNames(t *testing.T) {
	var s slab
	for _, n := range []int{1, 0x7f, 0x80, 300, 0x3fff, 0x4000, 100_000} {
		name := strings.Repeat("n", n)
		h := s.putName(name)
		if got := s.name(h); string(got) != name {
			t.Errorf("name of %d bytes came back with %d", n, len(got))
		}
		s.releaseName(h)
	}
	for i, p := range s.pages {
		if p.used != 0 {
			t.Errorf("page %d has %d blocks in use", i, p.used)
		}
	}
	if s.fits(s.put(make([]byte, 100)), 100, 105) || !s.fits(s.put(make([]byte, 100)), 100, 97) {
		t.Error("fits does not follow the classes")
	}
}

// A page that was full serves again when a block of it has gone.
func TestSlabFullPage(t *testing.T) {
	var s slab
	var handles []handle
	for range pageSize / 64 {
		handles = append(handles, s.put(make([]byte, 64)))
	}
	s.put(make([]byte, 64)) // on the next page
	s.release(handles[3], 64)
	if h := s.put(make([]byte, 64)); h != handles[3] {
		t.Errorf("block %#x, want %#x again", h, handles[3])
	}
}

// Where no page can be addressed any more, values get memory of their own.
func TestSlabExhausted(t *testing.T) {
	s := slab{pages: make([]page, maxPages)}
	h := s.put([]byte("late"))
	if h&bigBit == 0 || string(s.bytes(h, 4)) != "late" {
		t.Errorf("handle %#x holds %q", h, s.bytes(h, 4))
	}
	s.release(h, 4)
	if again := s.put([]byte("next")); again != h {
		t.Errorf("handle %#x, want %#x again", again, h)
	}
}

// Waves of blocks come and go. What stays keeps its bytes, and when all are gone
// one chunk is left; its numbers serve again.
func TestSlabGivesChunksBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	var s slab
	held := func() (n int) {
		for _, c := range s.chunks {
			if c != nil {
				n++
			}
		}
		return n
	}
	type block struct {
		h    handle
		want []byte
	}
	var live []block
	most := 0
	for wave := range 6 {
		for range 20_000 {
			b := bytes.Repeat([]byte{byte(rng.Uint32())}, 1+rng.IntN(1000))
			live = append(live, block{s.put(b), b})
		}
		if wave == 0 {
			most = len(s.chunks)
		}
		// The last ones first, so that whole chunks go; and some anywhere.
		rng.Shuffle(len(live)/2, func(i, j int) { live[i], live[j] = live[j], live[i] })
		for keep := []int{5000, 0}[wave%2]; len(live) > keep; {
			b := live[len(live)-1]
			live = live[:len(live)-1]
			if !bytes.Equal(s.bytes(b.h, len(b.want)), b.want) {
				t.Fatalf("wave %d: block %#x of %d bytes was overwritten", wave, b.h, len(b.want))
			}
			s.release(b.h, len(b.want))
		}
		if n := held(); len(live) == 0 && n != 1 {
			t.Errorf("wave %d: %d chunks for no block", wave, n)
		}
	}
	if most < 5 || len(s.chunks) > 2*most {
		t.Errorf("%d chunks for one wave, %d for all", most, len(s.chunks))
	}
}
