package admin

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"zooid/fourletter"
)

// keysMax bounds the keys of a set: keys come from clients' paths. What has
// a key too many, or one that is not UTF-8, is counted under otherKey.
const (
	keysMax  = 1000
	otherKey = "_other"
)

// Metrics are a server's instruments, by the names of fourletter.Metrics. An
// instrument comes into being when it is first asked for; asking again gives
// the same one. Metrics that nobody asked for are 0.
type Metrics struct {
	now func() time.Time

	mu struct {
		sync.Mutex
		counters    map[string]*counter
		summaries   map[string]*histogram
		counterSets map[string]*set[counter]
		summarySets map[string]*set[histogram]
	}
}

// NewMetrics makes a server's instruments.
func NewMetrics() *Metrics {
	m := &Metrics{now: time.Now}
	m.mu.counters = make(map[string]*counter)
	m.mu.summaries = make(map[string]*histogram)
	m.mu.counterSets = make(map[string]*set[counter])
	m.mu.summarySets = make(map[string]*set[histogram])
	return m
}

// Counter gives what adds to a counter.
func (m *Metrics) Counter(name string) func(n int64) {
	expect(name, "counter", func(d *fourletter.Metric) bool { return d.Kind == fourletter.Counter && !d.Set })
	return instrument(m, m.mu.counters, name, newCounter).add
}

// CounterSet gives what adds to the counter of a key. The key is not kept.
func (m *Metrics) CounterSet(name string) func(key string, n int64) {
	expect(name, "counter set", func(d *fourletter.Metric) bool { return d.Kind == fourletter.Counter && d.Set })
	s := instrument(m, m.mu.counterSets, name, func() *set[counter] { return newSet(newCounter) })
	return func(key string, n int64) { s.get(key).add(n) }
}

// Summary gives what counts a value of a summary of plain numbers; a negative
// one counts as 0.
func (m *Metrics) Summary(name string) func(v int64) {
	expect(name, "summary of numbers", func(d *fourletter.Metric) bool { return isSummary(d) && !d.Set && !d.Duration })
	return instrument(m, m.mu.summaries, name, newHistogram).observe
}

// SummarySet gives what counts a value under a key. The key is not kept.
func (m *Metrics) SummarySet(name string) func(key string, v int64) {
	expect(name, "summary set of numbers", func(d *fourletter.Metric) bool { return isSummary(d) && d.Set && !d.Duration })
	s := instrument(m, m.mu.summarySets, name, func() *set[histogram] { return newSet(newHistogram) })
	return func(key string, v int64) { s.get(key).observe(v) }
}

// Timer gives what counts a duration; a negative one counts as 0. Fractions of
// a millisecond are kept.
func (m *Metrics) Timer(name string) func(d time.Duration) {
	expect(name, "summary of durations", func(d *fourletter.Metric) bool { return isSummary(d) && !d.Set && d.Duration })
	h := instrument(m, m.mu.summaries, name, newHistogram)
	return func(d time.Duration) { h.observe(int64(d)) }
}

// TimerSet gives what counts a duration under a key. The key is not kept.
func (m *Metrics) TimerSet(name string) func(key string, d time.Duration) {
	expect(name, "summary set of durations", func(d *fourletter.Metric) bool { return isSummary(d) && d.Set && d.Duration })
	s := instrument(m, m.mu.summarySets, name, func() *set[histogram] { return newSet(newHistogram) })
	return func(key string, d time.Duration) { s.get(key).observe(int64(d)) }
}

// Wired are the names of the instruments that somebody has asked for, sorted. The
// others stay 0 for ever.
func (m *Metrics) Wired() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := slices.Collect(maps.Keys(m.mu.counters))
	names = slices.AppendSeq(names, maps.Keys(m.mu.summaries))
	names = slices.AppendSeq(names, maps.Keys(m.mu.counterSets))
	names = slices.AppendSeq(names, maps.Keys(m.mu.summarySets))
	slices.Sort(names)
	return names
}

// Snapshot reads all instruments, in the order of fourletter.Metrics: a sample
// for each counter and summary, and one for each key of a set that has been
// counted. It is what goes into Status.Instruments.
func (m *Metrics) Snapshot() []fourletter.Sample {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	list := make([]fourletter.Sample, 0, len(fourletter.Metrics))
	for i := range fourletter.Metrics {
		d := &fourletter.Metrics[i]
		switch {
		case d.Kind == fourletter.Gauge:
		case d.Kind == fourletter.Counter && !d.Set:
			s := fourletter.Sample{Metric: d}
			if c := m.mu.counters[d.Name]; c != nil {
				s.Value = float64(c.value())
			}
			list = append(list, s)
		case d.Kind == fourletter.Counter:
			m.mu.counterSets[d.Name].visit(func(key string, c *counter) {
				list = append(list, fourletter.Sample{Metric: d, Key: key, Value: float64(c.value())})
			})
		case !d.Set:
			list = append(list, summarySample(d, "", m.mu.summaries[d.Name], now))
		default:
			m.mu.summarySets[d.Name].visit(func(key string, h *histogram) {
				list = append(list, summarySample(d, key, h, now))
			})
		}
	}
	return list
}

// summarySample reads a summary; nil is one that nobody asked for.
func summarySample(d *fourletter.Metric, key string, h *histogram, now time.Time) fourletter.Sample {
	s := fourletter.Sample{Metric: d, Key: key}
	if h == nil {
		for i := range s.Quantiles {
			s.Quantiles[i] = math.NaN()
		}
		return s
	}
	unit := 1.0
	if d.Duration {
		unit = float64(time.Nanosecond) / float64(time.Millisecond)
	}
	h.read(now, unit, &s)
	return s
}

// Reset sets every instrument back to 0, as srst does. The keys of sets stay.
func (m *Metrics) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.mu.counters {
		c.reset()
	}
	for _, h := range m.mu.summaries {
		h.reset()
	}
	for _, s := range m.mu.counterSets {
		s.visit(func(_ string, c *counter) { c.reset() })
	}
	for _, s := range m.mu.summarySets {
		s.visit(func(_ string, h *histogram) { h.reset() })
	}
}

func isSummary(d *fourletter.Metric) bool {
	return d.Kind == fourletter.Summary || d.Kind == fourletter.Advanced
}

// expect panics unless ZooKeeper has a metric of that name and kind.
func expect(name, kind string, is func(*fourletter.Metric) bool) {
	d, ok := fourletter.LookupMetric(name)
	if !ok {
		panic(fmt.Sprintf("admin: no metric is called %q", name))
	}
	if !is(d) {
		panic(fmt.Sprintf("admin: the metric %q is not a %s", name, kind))
	}
}

func instrument[T any](m *Metrics, all map[string]*T, name string, make func() *T) *T {
	m.mu.Lock()
	defer m.mu.Unlock()
	one := all[name]
	if one == nil {
		one = make()
		all[name] = one
	}
	return one
}

// set is an instrument for each of some keys. Reading takes no lock: the map
// is replaced, never changed.
type set[T any] struct {
	make  func() *T
	byKey atomic.Pointer[map[string]*T]
	mu    sync.Mutex // serializes replacing
}

func newSet[T any](make func() *T) *set[T] {
	s := &set[T]{make: make}
	s.byKey.Store(&map[string]*T{})
	return s
}

func (s *set[T]) get(key string) *T {
	byKey := *s.byKey.Load()
	if one, ok := byKey[key]; ok {
		return one
	}
	if len(byKey) > keysMax {
		return byKey[otherKey]
	}
	return s.create(key)
}

// create adds a key while there is room. A key may alias a request, so it is
// cloned, and a label has to be text, which a key may fail to be.
func (s *set[T]) create(key string) *T {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := *s.byKey.Load()
	if len(old) >= keysMax || !utf8.ValidString(key) {
		key = otherKey
	}
	if one, ok := old[key]; ok {
		return one
	}
	byKey := maps.Clone(old)
	one := s.make()
	byKey[strings.Clone(key)] = one
	s.byKey.Store(&byKey)
	return one
}

// visit calls do for each key, sorted; a nil set has none.
func (s *set[T]) visit(do func(key string, one *T)) {
	if s == nil {
		return
	}
	byKey := *s.byKey.Load()
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		do(key, byKey[key])
	}
}
