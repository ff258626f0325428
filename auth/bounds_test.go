package auth

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"zooid/wire"
)

// A connection may prove 128 identities, its address among them. Repeating one
// of them costs nothing, another one ends it.
func TestIdentitiesAreBoundedByCount(t *testing.T) {
	r := mustNew(t, Options{})
	ids := r.InitialIDs(loopback)
	prove := func(user string) error {
		added, err := r.Authenticate("digest", []byte(user+":p"), loopback, ids)
		ids = append(ids, added...)
		return err
	}
	for i := len(ids); i < wire.ClientIDsMax; i++ {
		if err := prove(fmt.Sprint("user", i)); err != nil {
			t.Fatalf("identity %d: %v", i+1, err)
		}
	}
	if len(ids) != wire.ClientIDsMax {
		t.Fatalf("%d identities, want %d", len(ids), wire.ClientIDsMax)
	}
	if err := prove("user7"); err != nil || len(ids) != wire.ClientIDsMax {
		t.Errorf("one that is known: %v, %d identities", err, len(ids))
	}
	if err := prove("another"); !errors.Is(err, wire.ErrAuthFailed) || len(ids) != wire.ClientIDsMax {
		t.Errorf("one more: %v, %d identities", err, len(ids))
	}
}

// The identities of a connection fit into a packet between members beside any
// request, even as Java writes them.
func TestIdentitiesAreBoundedByBytes(t *testing.T) {
	r := mustNew(t, Options{})
	for _, tc := range []struct {
		name   string
		user   string
		proofs int // how many are accepted
	}{
		{"one of 900 kB", strings.Repeat("u", 900_000), 0},
		{"30 kB each", strings.Repeat("u", 30_000), 2},
		{"characters that Java writes with six bytes", strings.Repeat("\U0001F600", 5_000), 2},
	} {
		ids := r.InitialIDs(loopback)
		accepted := 0
		for i := range 4 {
			added, err := r.Authenticate("digest", fmt.Appendf(nil, "%s%d:p", tc.user, i), loopback, ids)
			if err == nil {
				ids = append(ids, added...)
				accepted++
			} else if !errors.Is(err, wire.ErrAuthFailed) {
				t.Errorf("%s: %v", tc.name, err)
			}
		}
		if accepted != tc.proofs {
			t.Errorf("%s: %d were accepted, want %d", tc.name, accepted, tc.proofs)
		}
		p := wire.QuorumPacket{Type: wire.PacketRequest, AuthInfo: ids}
		if n := len(p.Append(nil)) - wire.QuorumPacketMin; n > wire.ClientIDBytesMax {
			t.Errorf("%s: the identities take %d bytes in a packet", tc.name, n)
		}
	}
}

func digestEntries(n int) []wire.ACL {
	acl := make([]wire.ACL, n)
	for i := range acl {
		acl[i] = entry(wire.PermAll, "digest", fmt.Sprintf("u%d:hash", i))
	}
	return acl
}

// people are n identities, of which each is part of what `auth` stands for.
func people(n, bytes int) []wire.ID {
	ids := make([]wire.ID, n)
	for i := range ids {
		ids[i] = id("digest", fmt.Sprintf("u%d%s:h", i, strings.Repeat("x", bytes)))
	}
	return ids
}

func TestACLsAreBounded(t *testing.T) {
	r := mustNew(t, Options{})
	auth := func(n int) (acl []wire.ACL) {
		for i := range n {
			acl = append(acl, entry(int32(i), "auth", ""))
		}
		return acl
	}
	long := digestEntries(20)
	for i := range long {
		long[i].ID.ID = strings.Repeat("x", 20_000) + long[i].ID.ID
	}
	for _, tc := range []struct {
		name string
		acl  []wire.ACL
		ids  []wire.ID
		want int // entries, 0 = INVALIDACL
	}{
		{"as many as there may be", digestEntries(1000), nil, 1000},
		{"one more", digestEntries(1001), nil, 0},
		{"as many, with repetitions", append(digestEntries(500), digestEntries(500)...), nil, 500},
		{"auth for as many as there may be", auth(10), people(100, 0), 1000},
		{"auth for more", auth(10), people(101, 0), 0},
		{"auth, then others", append(auth(10), digestEntries(1)...), people(100, 0), 0},
		{"others, then auth", append(digestEntries(901), auth(1)...), people(100, 0), 0},
		{"too many bytes", long, nil, 0},
		{"too many bytes of auth", auth(30), people(20, 1000), 0},
		{"not too many bytes of auth", auth(10), people(20, 1000), 200},
	} {
		got, err := r.Normalize(tc.acl, tc.ids)
		if tc.want == 0 {
			if !errors.Is(err, wire.ErrInvalidACL) {
				t.Errorf("%s: %d entries, %v", tc.name, len(got), err)
			}
		} else if err != nil || len(got) != tc.want {
			t.Errorf("%s: %d entries, %v; want %d", tc.name, len(got), err, tc.want)
		}
	}
}

// A create of 512 kB with 45,000 entries took 40 s to judge, in which a leader
// did nothing else. Time per entry does not depend on their number now.
func TestNormalizeIsLinear(t *testing.T) {
	r := mustNew(t, Options{})
	huge := digestEntries(45_000)
	began := time.Now()
	if _, err := r.Normalize(huge, nil); !errors.Is(err, wire.ErrInvalidACL) {
		t.Errorf("45,000 entries: %v", err)
	}
	most := digestEntries(wire.ACLEntriesMax)
	for range 50 {
		if _, err := r.Normalize(most, nil); err != nil {
			t.Fatal(err)
		}
	}
	// A scan for each entry takes some 300 ms here, a set 10.
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if n := testing.AllocsPerRun(10, func() { r.Normalize(most, nil) }); n > 100 {
		t.Errorf("%v allocations for %d entries", n, len(most))
	}
}

// What is beyond the bounds is refused before it is made: three creates of
// 48 kB made 512 MB of log.
func TestExpansionIsRefusedBeforeItIsMade(t *testing.T) {
	r := mustNew(t, Options{})
	acl := make([]wire.ACL, wire.ACLEntriesMax)
	for i := range acl {
		acl[i] = entry(int32(i), "auth", "")
	}
	for _, bytes := range []int{0, 400} {
		ids := people(wire.ClientIDsMax, bytes)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := r.Normalize(acl, ids); !errors.Is(err, wire.ErrInvalidACL) {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 2*wire.ACLBytesMax {
			t.Errorf("%d bytes were allocated for a list that is refused", n)
		}
	}
}

// Both ways to know a repetition say the same.
func TestEntrySet(t *testing.T) {
	short := []wire.ACL{entry(1, "digest", "u:a"), entry(2, "digest", "u:a"), entry(1, "digest", "u:a"), entry(1, "ip", "u:a"), entry(2, "digest", "u:a")}
	long := append(slices.Clone(short), digestEntries(scanMax)...)
	want := []bool{false, false, true, false, true}
	for _, acl := range [][]wire.ACL{short, long} {
		s := newEntrySet(acl)
		for i := range acl {
			if got := s.has(i); got != (i < len(want) && want[i]) {
				t.Errorf("entry %d of %d: %t", i, len(acl), got)
			}
		}
	}
}
