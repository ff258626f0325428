package admin

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"

	"zooid/fourletter"
)

// A histogram's buckets are log-linear: values up to 31 have one each; from
// there on every power of two is cut in 16, so that a quantile is off by at
// most a thirty-second. A block holds 16 buckets: block 0 and 1 the single
// values, block i above that one power of two.
const (
	subBits   = 4
	blockSize = 1 << subBits
	valueBits = 44 // greater values count as the greatest: 4.8 hours in ns
	blocks    = valueBits - subBits + 1
	buckets   = blocks * blockSize
)

// bucketOf is the bucket of a value that is not negative.
func bucketOf(v int64) int {
	v = min(v, 1<<valueBits-1)
	if v < 2*blockSize {
		return int(v)
	}
	shift := bits.Len64(uint64(v)) - subBits - 1
	return (shift+1)<<subBits + int(v>>shift) - blockSize
}

// bucketMiddle is the value in the middle of a bucket.
func bucketMiddle(b int) int64 {
	if b < 2*blockSize {
		return int64(b)
	}
	shift := b>>subBits - 1
	low := int64(b&(blockSize-1)+blockSize) << shift
	return low + (1<<shift-1)/2
}

// histogram counts values that are not negative.
type histogram struct {
	stripes []histogramStripe // a power of two
	recent  window            // guarded by Metrics.mu
}

// histogramStripe is one goroutine's share of a histogram for the length of an
// observation. Blocks come into being with their first value: most histograms
// only ever see a few powers of two.
type histogramStripe struct {
	sum      atomic.Int64
	min, max atomic.Int64 // min is math.MaxInt64 and max -1 without a value
	blocks   [blocks]atomic.Pointer[block]
	_        [64]byte
}

type block [blockSize]atomic.Uint64

func newHistogram() *histogram {
	h := &histogram{stripes: make([]histogramStripe, stripes)}
	h.reset()
	return h
}

func (h *histogram) observe(v int64) {
	v = max(v, 0)
	s := &h.stripes[stripe(len(h.stripes))]
	s.sum.Add(v)
	for m := s.min.Load(); v < m && !s.min.CompareAndSwap(m, v); m = s.min.Load() {
	}
	for m := s.max.Load(); v > m && !s.max.CompareAndSwap(m, v); m = s.max.Load() {
	}
	b := bucketOf(v)
	s.block(b >> subBits)[b&(blockSize-1)].Add(1)
}

func (s *histogramStripe) block(i int) *block {
	if b := s.blocks[i].Load(); b != nil {
		return b
	}
	s.blocks[i].CompareAndSwap(nil, new(block))
	return s.blocks[i].Load()
}

// reset forgets all values. A value that is being observed meanwhile may be
// forgotten in part.
func (h *histogram) reset() {
	for i := range h.stripes {
		s := &h.stripes[i]
		s.sum.Store(0)
		s.min.Store(math.MaxInt64)
		s.max.Store(-1)
		for j := range s.blocks {
			if b := s.blocks[j].Load(); b != nil {
				for k := range b {
					b[k].Store(0)
				}
			}
		}
	}
	h.recent = window{}
}

// read fills in the summary's part of a sample. A value in the histogram is
// worth unit in the sample.
func (h *histogram) read(now time.Time, unit float64, s *fourletter.Sample) {
	var counts tally
	var sum int64
	least, most := int64(math.MaxInt64), int64(-1)
	for i := range h.stripes {
		stripe := &h.stripes[i]
		sum += stripe.sum.Load()
		least = min(least, stripe.min.Load())
		most = max(most, stripe.max.Load())
		counts.add(stripe)
	}
	if s.Count = counts.total(); s.Count > 0 {
		s.Sum = float64(sum) * unit
		s.Min = float64(least) * unit
		s.Max = float64(most) * unit
	}
	h.recent.advance(now, &counts)
	counts.subtract(h.recent.before(now))
	for i, q := range fourletter.Quantiles {
		s.Quantiles[i] = counts.quantile(q, least, most) * unit
	}
}

// tally is the number of values in each bucket.
type tally [buckets]uint64

func (t *tally) add(s *histogramStripe) {
	for i := range s.blocks {
		b := s.blocks[i].Load()
		if b == nil {
			continue
		}
		for j := range b {
			t[i<<subBits+j] += b[j].Load()
		}
	}
}

func (t *tally) total() int64 {
	var n uint64
	for _, c := range t {
		n += c
	}
	return int64(n)
}

// quantile is the value that the share q of the values do not exceed, NaN
// without values. It lies within least and most, which hold for more values
// than the tally may have.
func (t *tally) quantile(q float64, least, most int64) float64 {
	n := t.total()
	if n == 0 {
		return math.NaN()
	}
	rank := uint64(max(math.Ceil(q*float64(n)), 1))
	for b, c := range t {
		if c >= rank {
			return float64(min(max(bucketMiddle(b), least), most))
		}
		rank -= c
	}
	panic("admin: a rank beyond the number of values")
}

// Quantiles are of the last ten to twelve minutes, or since the last look if
// that is longer ago: those since the start would hardly move any more on a
// server that has run for a month.
const (
	windowLength = 10 * time.Minute
	markInterval = 2 * time.Minute
)

// window remembers how full the buckets were at moments of the recent past.
// Moments are when somebody reads the histogram, so that counting pays nothing.
type window struct {
	marks []mark // oldest first, at least markInterval apart
}

type mark struct {
	at     time.Time
	counts []bucketCount
}

type bucketCount struct {
	bucket int
	n      uint64
}

// advance forgets what is too old and remembers counts if it is time to.
func (w *window) advance(now time.Time, counts *tally) {
	for len(w.marks) >= 2 && now.Sub(w.marks[1].at) >= windowLength {
		w.marks = append(w.marks[:0], w.marks[1:]...)
	}
	if n := len(w.marks); n > 0 && now.Sub(w.marks[n-1].at) < markInterval {
		return
	}
	m := mark{at: now}
	for b, n := range counts {
		if n > 0 {
			m.counts = append(m.counts, bucketCount{b, n})
		}
	}
	w.marks = append(w.marks, m)
}

// before is what had been counted when the window began; nothing while the
// histogram has not been read for that long.
func (w *window) before(now time.Time) []bucketCount {
	if len(w.marks) == 0 || now.Sub(w.marks[0].at) < windowLength {
		return nil
	}
	return w.marks[0].counts
}

func (t *tally) subtract(counts []bucketCount) {
	for _, c := range counts {
		t[c.bucket] -= min(c.n, t[c.bucket])
	}
}
