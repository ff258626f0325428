package compare

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/wire"
)

// staleTries is how many writes are looked for on a follower in one run.
const staleTries = 300

// lateness is what reads on followers show right after a write through the leader.
type lateness struct {
	stale int             // of staleTries: reads that saw the value before
	first []time.Duration // from the leader's answer to the first read's
	fresh []time.Duration // and to that of the first read that saw the write
}

// lateReads writes through the leader and, when that has answered, reads at once
// from a follower, and again until it sees the write. No server promises that the
// first read does; sync is for that.
func lateReads(b testing.TB, e *testenv.Ensemble) (late lateness) {
	leader, err := e.AwaitServing(time.Minute)
	if err != nil {
		b.Fatal(err)
	}
	open := func(m *testenv.Member) *rawclient.Conn {
		c, err := rawclient.Open(m.Addr, rawclient.Options{TimeoutMs: 20000})
		if err != nil {
			b.Fatal(err)
		}
		return c
	}
	w := open(leader)
	defer w.CloseSession()
	path := fmt.Sprintf("/stale-%d", time.Now().UnixNano())
	if _, _, err := w.Create(path, []byte("-1"), 0); err != nil {
		b.Fatal(err)
	}
	for _, m := range e.Others(leader) {
		r := open(m)
		defer r.CloseSession()
		if _, err := r.Call(wire.OpSync, &wire.PathRequest{Path: path}, nil); err != nil {
			b.Fatal(err)
		}
		for i := range staleTries / 2 {
			want := strconv.Itoa(i)
			if _, err := w.SetData(path, []byte(want), -1); err != nil {
				b.Fatal(err)
			}
			acked := time.Now()
			for reads := 1; ; reads++ {
				got, _, err := r.GetData(path, false)
				if err != nil {
					b.Fatal(err)
				}
				took := time.Since(acked)
				if reads == 1 {
					late.first = append(late.first, took)
				}
				if string(got) == want {
					late.fresh = append(late.fresh, took)
					break
				}
				if reads == 1 {
					late.stale++
				}
			}
		}
	}
	return late
}

// micros is the q-th percentile in µs.
func micros(times []time.Duration, q int) float64 {
	slices.Sort(times)
	return float64(times[(len(times)-1)*q/100].Microseconds())
}

// BenchmarkStaleFollower counts the reads on a follower that miss a write which
// the leader had acknowledged before they were sent, and measures how long after
// that a read sees it. A server that answers reads quickly is asked sooner.
func BenchmarkStaleFollower(b *testing.B) {
	java, zooid := startThree(b, testenv.KindJava), startThree(b, testenv.KindZooid)
	warm(b, func(args ...string) { loadAll(b, java, args...) })
	rows := []struct {
		name string
		of   func(lateness) float64
	}{
		{fmt.Sprintf("stale reads on a follower, of %d", staleTries), func(l lateness) float64 { return float64(l.stale) }},
		{"first read answered after the write, p50 µs", func(l lateness) float64 { return micros(l.first, 50) }},
		{"first read that sees the write, p50 µs", func(l lateness) float64 { return micros(l.fresh, 50) }},
		{"first read that sees the write, p90 µs", func(l lateness) float64 { return micros(l.fresh, 90) }},
		{"first read that sees the write, p99 µs", func(l lateness) float64 { return micros(l.fresh, 99) }},
	}
	j, z := make([][]float64, len(rows)), make([][]float64, len(rows))
	for range *runsFlag {
		ofJava, ofZooid := lateReads(b, java), lateReads(b, zooid)
		for i, r := range rows {
			j[i], z[i] = append(j[i], r.of(ofJava)), append(z[i], r.of(ofZooid))
		}
	}
	fmt.Println(tableHead)
	for i, r := range rows {
		fmt.Println(row(r.name, j[i], z[i], ""))
	}
}
