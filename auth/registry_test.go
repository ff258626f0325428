package auth

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"zooid/wire"
)

func mustNew(t testing.TB, o Options, more ...Scheme) *Registry {
	t.Helper()
	r, err := New(o, more...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func id(scheme, user string) wire.ID { return wire.ID{Scheme: scheme, ID: user} }

func entry(perms int32, scheme, user string) wire.ACL {
	return wire.ACL{Perms: perms, ID: id(scheme, user)}
}

// uHash is the digest identity of u:p, as a ZooKeeper 3.9.5 server made it.
const uHash = "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ="

var loopback = netip.MustParseAddr("127.0.0.1")

func TestPermits(t *testing.T) {
	r := mustNew(t, Options{})
	u := []wire.ID{id("ip", "127.0.0.1"), id("digest", uHash)}
	for _, tc := range []struct {
		name string
		acl  []wire.ACL
		perm int32
		ids  []wire.ID
		want bool
	}{
		{"empty list allows all", nil, wire.PermAdmin, nil, true},
		{"world", wire.OpenACL, wire.PermWrite, nil, true},
		{"world without the bit", []wire.ACL{entry(1, "world", "anyone")}, wire.PermWrite, u, false},
		{"no bits at all", []wire.ACL{entry(0, "world", "anyone")}, wire.PermRead, u, false},
		{"one of two bits", []wire.ACL{entry(16, "world", "anyone")}, wire.PermRead | wire.PermAdmin, nil, true},
		{"digest", []wire.ACL{entry(2, "digest", uHash)}, wire.PermWrite, u, true},
		{"digest of somebody else", []wire.ACL{entry(31, "digest", "v:x")}, wire.PermWrite, u, false},
		{"digest as another scheme", []wire.ACL{entry(31, "ip", uHash)}, wire.PermWrite, u, false},
		{"later entry", []wire.ACL{entry(1, "world", "anyone"), entry(2, "digest", uHash)}, wire.PermWrite, u, true},
		{"bits of different entries do not add up", []wire.ACL{entry(1, "digest", uHash), entry(2, "digest", "v:x")}, wire.PermWrite, u, false},
		{"ip", []wire.ACL{entry(31, "ip", "127.0.0.0/8")}, wire.PermWrite, u, true},
		{"unknown scheme matches nobody", []wire.ACL{entry(31, "sasl", "bob")}, wire.PermRead, []wire.ID{id("sasl", "bob")}, false},
		{"world with another id matches nobody", []wire.ACL{entry(31, "world", "x")}, wire.PermRead, []wire.ID{id("world", "x")}, false},
		{"super", []wire.ACL{entry(0, "digest", "v:x")}, wire.PermAdmin, []wire.ID{id("ip", "127.0.0.1"), id("super", "")}, true},
		{"an ACL of super matches nobody", []wire.ACL{entry(31, "super", "")}, wire.PermRead, u, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := r.Permits(tc.acl, tc.perm, tc.ids); got != tc.want {
				t.Errorf("Permits = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestNormalize(t *testing.T) {
	r := mustNew(t, Options{})
	ip := id("ip", "127.0.0.1")
	u, v := id("digest", uHash), id("digest", "v:y")
	for _, tc := range []struct {
		name string
		acl  []wire.ACL
		ids  []wire.ID
		want []wire.ACL // nil = INVALIDACL
	}{
		{"null", nil, nil, nil},
		{"empty", []wire.ACL{}, nil, nil},
		{"open", wire.OpenACL, nil, wire.OpenACL},
		{"no permissions", []wire.ACL{entry(0, "world", "anyone")}, nil, []wire.ACL{entry(0, "world", "anyone")}},
		{"unknown permissions", []wire.ACL{entry(64, "world", "anyone")}, nil, []wire.ACL{entry(64, "world", "anyone")}},
		{"world of another name", []wire.ACL{entry(31, "world", "x")}, nil, nil},
		{"duplicates", []wire.ACL{wire.OpenACL[0], entry(1, "digest", "a:b"), wire.OpenACL[0]}, nil,
			[]wire.ACL{wire.OpenACL[0], entry(1, "digest", "a:b")}},
		{"same id, other permissions", []wire.ACL{entry(1, "digest", "a:b"), entry(2, "digest", "a:b")}, nil,
			[]wire.ACL{entry(1, "digest", "a:b"), entry(2, "digest", "a:b")}},
		{"auth of nobody", []wire.ACL{entry(31, "auth", "")}, []wire.ID{ip}, nil},
		{"auth of super only", []wire.ACL{entry(31, "auth", "")}, []wire.ID{ip, id("super", "")}, nil},
		{"auth, its id is ignored", []wire.ACL{entry(5, "auth", "zz")}, []wire.ID{ip, u, v},
			[]wire.ACL{entry(5, "digest", uHash), entry(5, "digest", "v:y")}},
		{"auth among others keeps its place", []wire.ACL{entry(1, "world", "anyone"), entry(31, "auth", ""), entry(2, "ip", "::1")},
			[]wire.ID{u}, []wire.ACL{entry(1, "world", "anyone"), entry(31, "digest", uHash), entry(2, "ip", "::1")}},
		{"sasl is not configured", []wire.ACL{entry(31, "sasl", "u")}, nil, nil},
		{"x509 is not configured", []wire.ACL{entry(31, "x509", "CN=a")}, nil, nil},
		{"super", []wire.ACL{entry(31, "super", "")}, []wire.ID{id("super", "")}, nil},
		{"null scheme", []wire.ACL{entry(31, "", "x")}, nil, nil},
		{"one bad entry", []wire.ACL{wire.OpenACL[0], entry(31, "ip", "x")}, nil, nil},
		{"bad entry behind auth", []wire.ACL{entry(31, "auth", ""), entry(31, "ip", "x")}, []wire.ID{u}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := append([]wire.ACL(nil), tc.acl...)
			got, err := r.Normalize(tc.acl, tc.ids)
			if (err != nil) != (tc.want == nil) {
				t.Fatalf("error %v, want a refusal: %v", err, tc.want == nil)
			}
			if err != nil && !errors.Is(err, wire.ErrInvalidACL) {
				t.Errorf("error %v is not INVALIDACL", err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("stored ACL (-want +got):\n%s", d)
			}
			if len(before) > 0 && !cmp.Equal(before, tc.acl) {
				t.Errorf("the request's list was changed to %v", tc.acl)
			}
		})
	}
}

func TestDigestEntries(t *testing.T) {
	r := mustNew(t, Options{})
	for expr, want := range map[string]bool{
		"a:b": true, ":b": true, "a:b:": true, "a:b::": true, uHash: true,
		"": false, "a": false, "a:": false, ":": false, "::": false, "a:b:c": false, "::b": false, "a::b": false,
	} {
		if got := r.valid(id("digest", expr)); got != want {
			t.Errorf("digest:%s valid = %v, want %v", expr, got, want)
		}
	}
}

func TestDisabledDigest(t *testing.T) {
	r := mustNew(t, Options{DigestDisabled: true})
	if _, err := r.Authenticate("digest", []byte("u:p"), loopback, nil); wire.CodeOf(err) != wire.ErrAuthFailed {
		t.Errorf("auth packet: %v, want AUTHFAILED", err)
	}
	if _, err := r.Normalize([]wire.ACL{entry(31, "digest", "a:b")}, nil); wire.CodeOf(err) != wire.ErrInvalidACL {
		t.Errorf("ACL entry: %v, want INVALIDACL", err)
	}
}

func TestAuthenticate(t *testing.T) {
	// user:base64(hash), of super:secret.
	r := mustNew(t, Options{SuperDigest: "super:lK75jTNcA+U9vtVEw5vB51mj/w4="})
	ip := id("ip", "127.0.0.1")
	for _, tc := range []struct {
		name, scheme string
		data         []byte
		known, want  []wire.ID
		refused      bool
	}{
		{"digest", "digest", []byte("u:p"), []wire.ID{ip}, []wire.ID{id("digest", uHash)}, false},
		{"digest again", "digest", []byte("u:p"), []wire.ID{ip, id("digest", uHash)}, nil, false},
		{"without a colon", "digest", []byte("nocolon"), nil, []wire.ID{id("digest", "nocolon:Ra+cHr2ZoHvBjtNArFGNGlVie4g=")}, false},
		{"empty", "digest", []byte{}, nil, []wire.ID{id("digest", ":2jmj7l5rSw0yVb/vlWAYkK/YBwk=")}, false},
		{"null", "digest", nil, nil, nil, true},
		{"ip", "ip", []byte("whatever"), nil, []wire.ID{ip}, false},
		{"ip again", "ip", nil, []wire.ID{ip}, nil, false},
		{"super", "digest", []byte("super:secret"), []wire.ID{ip},
			[]wire.ID{id("super", ""), id("digest", "super:lK75jTNcA+U9vtVEw5vB51mj/w4=")}, false},
		{"world is no scheme", "world", []byte("anyone"), nil, nil, true},
		{"auth is no scheme", "auth", nil, nil, nil, true},
		{"super is no scheme", "super", nil, nil, nil, true},
		{"unknown", "nosuch", []byte("x"), nil, nil, true},
		{"empty name", "", nil, nil, nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := r.Authenticate(tc.scheme, tc.data, loopback, tc.known)
			if (err != nil) != tc.refused {
				t.Fatalf("error %v, want a refusal: %v", err, tc.refused)
			}
			if err != nil && !errors.Is(err, wire.ErrAuthFailed) {
				t.Errorf("error %v is not AUTHFAILED", err)
			}
			if len(got) != len(tc.want) || len(got) > 0 && !cmp.Equal(got, tc.want) {
				t.Errorf("added %v, want %v", got, tc.want)
			}
		})
	}
}

// TestDigestAlgorithms compares with what `openssl dgst` makes of u:p.
func TestDigestAlgorithms(t *testing.T) {
	for alg, want := range map[string]string{
		"":         "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=",
		"SHA1":     "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=",
		"sha-1":    "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=",
		"SHA-256":  "u:/Y8xRBngpX5duYn15uUqIRaIaCviy5TEwSk419hCwuA=",
		"SHA-512":  "u:JuOwXdmk4f1omXNJj7k4ILDOHOlc+8PMyEaxl9nrWl6OmV83jKYivSqJWsp5PsMTda6BtnipueoU1r5DtBd7CA==",
		"SHA3-256": "u:3+U94Pf1dSrKR/q5qu/huTFf1Fha6TtpdtpSdhWvIS0=",
	} {
		r := mustNew(t, Options{DigestAlgorithm: alg})
		ids, err := r.Authenticate("digest", []byte("u:p"), loopback, nil)
		if err != nil {
			t.Fatal(err)
		}
		if ids[0].ID != want {
			t.Errorf("%q: %s, want %s", alg, ids[0].ID, want)
		}
	}
	if _, err := New(Options{DigestAlgorithm: "rot13"}); err == nil {
		t.Error("an unknown algorithm was accepted")
	}
}

func TestDisplayID(t *testing.T) {
	r := mustNew(t, Options{})
	for in, want := range map[wire.ID]wire.ID{
		id("digest", uHash):   id("digest", "u"),
		id("digest", "noco"):  id("digest", "noco"),
		id("ip", "127.0.0.1"): id("ip", "127.0.0.1"),
		id("super", "CN=a"):   id("super", ""),
		id("sasl", "bob"):     id("sasl", ""),
	} {
		if got := r.DisplayID(in); got != want {
			t.Errorf("DisplayID(%v) = %v, want %v", in, got, want)
		}
	}
}

// badge is a scheme of somebody else, through the seam that x509 and sasl use.
type badge struct{}

func (badge) Name() string                 { return "badge" }
func (badge) Valid(expr string) bool       { return expr != "" }
func (badge) Matches(id, expr string) bool { return id == expr || expr == "*" }
func (badge) Personal() bool               { return true }
func (badge) Exact() bool                  { return false }
func (badge) User(id string) string        { return id }
func (badge) Authenticate(data []byte, _ netip.Addr) ([]wire.ID, error) {
	if len(data) == 0 {
		return nil, wire.ErrAuthFailed
	}
	return []wire.ID{id("badge", string(data))}, nil
}

func TestSchemeOfSomebodyElse(t *testing.T) {
	r := mustNew(t, Options{}, badge{})
	ids, err := r.Authenticate("badge", []byte("7"), loopback, r.InitialIDs(loopback))
	if err != nil {
		t.Fatal(err)
	}
	stored, err := r.Normalize([]wire.ACL{entry(3, "auth", "")}, ids)
	if err != nil {
		t.Fatal(err)
	}
	if want := []wire.ACL{entry(3, "badge", "7")}; !cmp.Equal(stored, want) {
		t.Errorf("stored %v, want %v", stored, want)
	}
	if !r.Permits([]wire.ACL{entry(2, "badge", "*")}, wire.PermWrite, ids) {
		t.Error("the scheme's own matching was not asked")
	}
	for _, name := range []Scheme{badge{}, ipScheme{}} {
		if _, err := New(Options{}, badge{}, name); err == nil {
			t.Errorf("a second scheme %s was accepted", name.Name())
		}
	}
}

func TestEnforcement(t *testing.T) {
	ip, u := id("ip", "127.0.0.1"), id("digest", uHash)
	for _, tc := range []struct {
		name  string
		o     Options
		more  []Scheme
		start bool // whether New accepts it
		ids   []wire.ID
		want  bool
	}{
		{"off", Options{EnforceSchemes: []string{"digest"}}, nil, true, []wire.ID{ip}, true},
		{"digest missing", Options{Enforce: true, EnforceSchemes: []string{"digest"}}, nil, true, []wire.ID{ip}, false},
		{"digest there", Options{Enforce: true, EnforceSchemes: []string{"digest"}}, nil, true, []wire.ID{ip, u}, true},
		{"one of several", Options{Enforce: true, EnforceSchemes: []string{" badge", "digest "}}, []Scheme{badge{}}, true, []wire.ID{u}, true},
		{"ip suffices if named", Options{Enforce: true, EnforceSchemes: []string{"ip"}}, nil, true, []wire.ID{ip}, true},
		{"no scheme named", Options{Enforce: true, EnforceSchemes: []string{""}}, nil, false, nil, false},
		{"scheme not there", Options{Enforce: true, EnforceSchemes: []string{"x509"}}, nil, false, nil, false},
		{"disabled digest", Options{Enforce: true, EnforceSchemes: []string{"digest"}, DigestDisabled: true}, nil, false, nil, false},
		{"sasl not there", Options{RequireSASL: true}, nil, false, nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := New(tc.o, tc.more...)
			if (err == nil) != tc.start {
				t.Fatalf("New: %v, want accepted: %v", err, tc.start)
			}
			if err == nil && r.Admits(tc.ids) != tc.want {
				t.Errorf("Admits(%v) = %v, want %v", tc.ids, !tc.want, tc.want)
			}
		})
	}
}

func TestPermitsAllocatesNothing(t *testing.T) {
	r := mustNew(t, Options{})
	acl := []wire.ACL{entry(31, "ip", "10.0.0.0/8"), entry(31, "ip", "2001:db8::/32"), entry(31, "digest", uHash)}
	ids := []wire.ID{id("ip", "127.0.0.1"), id("digest", uHash)}
	if n := testing.AllocsPerRun(100, func() { r.Permits(acl, wire.PermRead, ids) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkPermits(b *testing.B) {
	r := mustNew(b, Options{})
	ids := []wire.ID{id("ip", "127.0.0.1"), id("digest", uHash)}
	for _, bm := range []struct {
		name string
		acl  []wire.ACL
	}{
		{"world", wire.OpenACL},
		{"digest", []wire.ACL{entry(31, "digest", uHash)}},
		{"ip-prefix", []wire.ACL{entry(31, "ip", "127.0.0.0/8")}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.Permits(bm.acl, wire.PermRead, ids)
			}
		})
	}
}
