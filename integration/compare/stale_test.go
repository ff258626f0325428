package compare

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/wire"
)

// staleTries is how many writes are looked for on a follower in one run.
const staleTries = 300

// staleReads writes through the leader and, when that has answered, reads at
// once from a follower: how many of staleTries reads saw the value before. No
// server promises that none does; sync is for that. It is a measure of how far
// followers are behind.
func staleReads(b testing.TB, e *testenv.Ensemble) (stale int) {
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
			got, _, err := r.GetData(path, false)
			if err != nil {
				b.Fatal(err)
			}
			if string(got) != want {
				stale++
			}
		}
	}
	return stale
}

// BenchmarkStaleFollower counts the reads on a follower that miss a write which
// the leader had acknowledged before they were sent.
func BenchmarkStaleFollower(b *testing.B) {
	java, zooid := startThree(b, testenv.KindJava), startThree(b, testenv.KindZooid)
	warm(b, func(args ...string) { loadAll(b, java, args...) })
	var j, z []float64
	for range *runsFlag {
		j = append(j, float64(staleReads(b, java)))
		z = append(z, float64(staleReads(b, zooid)))
		fmt.Fprintf(os.Stderr, "stale of %d: Java %.0f, Zooid %.0f\n", staleTries, j[len(j)-1], z[len(z)-1])
	}
	fmt.Println(tableHead)
	fmt.Println(row(fmt.Sprintf("stale reads on a follower, of %d", staleTries), j, z, "<= 1"))
}
