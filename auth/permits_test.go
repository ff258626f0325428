package auth

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"zooid/wire"
)

// naive is Permits by the definition.
func naive(r *Registry, acl []wire.ACL, perm int32, ids []wire.ID) bool {
	for _, id := range ids {
		if id.Scheme == schemeSuper {
			return true
		}
	}
	for _, a := range acl {
		if a.Perms&perm == 0 {
			continue
		}
		if a.ID == wire.OpenACL[0].ID {
			return true
		}
		for _, id := range ids {
			if s := r.scheme(a.ID.Scheme); s != nil && id.Scheme == a.ID.Scheme && s.Matches(id.ID, a.ID.ID) {
				return true
			}
		}
	}
	return len(acl) == 0
}

// Long lists are judged by looking identities up, to the same effect as one by one.
func TestPermitsOfManyIsPermitsOfEach(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 0))
	r := mustNew(t, Options{}, badge{})
	some := func(n int) (ids []wire.ID) {
		for range rnd.IntN(n) {
			switch x := rnd.IntN(400); rnd.IntN(8) {
			case 0:
				ids = append(ids, id("ip", fmt.Sprintf("10.0.%d.%d", x/200, x%200)))
			case 1:
				ids = append(ids, id("badge", fmt.Sprint(x)))
			case 2:
				ids = append(ids, id("sasl", fmt.Sprint(x)))
			default:
				ids = append(ids, id("digest", fmt.Sprint("u:", x)))
			}
		}
		return ids
	}
	yes := 0
	for i := range 3000 {
		ids := some(60)
		var acl []wire.ACL
		for _, id := range some(60) {
			switch {
			case id.Scheme == "ip" && rnd.IntN(10) == 0:
				id.ID += "/24"
			case id.Scheme == "badge" && rnd.IntN(20) == 0:
				id.ID = "*"
			}
			acl = append(acl, wire.ACL{Perms: 1 << rnd.IntN(5), ID: id})
		}
		if rnd.IntN(50) == 0 {
			acl = append(acl, entry(wire.PermRead, "world", "anyone"))
		}
		perm := int32(1 << rnd.IntN(5))
		want := naive(r, acl, perm, ids)
		if got := r.Permits(acl, perm, ids); got != want {
			t.Fatalf("round %d: %t, want %t; %d of %v by %v", i, got, want, perm, acl, ids)
		}
		if want {
			yes++
		}
	}
	if yes < 300 || yes > 2700 {
		t.Errorf("%d of 3000 were permitted, which shows little", yes)
	}
}

// An ACL of 9,000 entries, which a data directory may hold, and 2,000 identities,
// which a member of another kind may send: one by one that took 200 ms.
func TestPermitsIsLinear(t *testing.T) {
	r := mustNew(t, Options{})
	acl, ids := digestEntries(9000), people(2000, 0)
	began := time.Now()
	for range 20 {
		if r.Permits(acl, wire.PermRead, ids) {
			t.Fatal("permitted")
		}
	}
	// It takes some 20 ms here; one by one it takes seconds.
	if took := time.Since(began); took > time.Second {
		t.Errorf("20 verdicts took %v", took)
	}
}
