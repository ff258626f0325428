package auth

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"

	"zooid/wire"
)

// digestScheme is the scheme digest: an identity is user:base64(hash of
// user:password), and an ACL entry is matched letter by letter. So a password
// never stands in an ACL, but whoever reads the hash cannot use it either.
type digestScheme struct {
	hash        func([]byte) []byte
	superDigest string // "" = nobody is super
}

func newDigest(algorithm, superDigest string) (*digestScheme, error) {
	d := &digestScheme{superDigest: superDigest}
	switch strings.ToUpper(algorithm) {
	case "", "SHA1", "SHA-1":
		d.hash = func(b []byte) []byte { h := sha1.Sum(b); return h[:] }
	case "SHA-256":
		d.hash = func(b []byte) []byte { h := sha256.Sum256(b); return h[:] }
	case "SHA-512":
		d.hash = func(b []byte) []byte { h := sha512.Sum512(b); return h[:] }
	case "SHA3-256":
		d.hash = func(b []byte) []byte { h := sha3.Sum256(b); return h[:] }
	default:
		return nil, fmt.Errorf("unknown digest algorithm %q: SHA1, SHA-256, SHA-512 or SHA3-256", algorithm)
	}
	return d, nil
}

func (d *digestScheme) Name() string   { return "digest" }
func (d *digestScheme) Personal() bool { return true }
func (d *digestScheme) Exact() bool    { return true }

// identity is what user:password proves. A text without a colon is a user
// whose password is the same text, as ZooKeeper has it.
func (d *digestScheme) identity(userPassword []byte) string {
	// Java makes a string of the bytes before it hashes them.
	text := string([]rune(string(userPassword)))
	user, _, _ := strings.Cut(text, ":")
	return user + ":" + base64.StdEncoding.EncodeToString(d.hash([]byte(text)))
}

// Authenticate always succeeds, unless there is no data: a digest identity is
// a claim that only an ACL with the same hash gives weight to.
func (d *digestScheme) Authenticate(data []byte, _ netip.Addr) ([]wire.ID, error) {
	if data == nil {
		return nil, fmt.Errorf("no user and password: %w", wire.ErrAuthFailed)
	}
	id := d.identity(data)
	var ids []wire.ID
	if d.superDigest != "" && subtle.ConstantTimeCompare([]byte(id), []byte(d.superDigest)) == 1 {
		ids = append(ids, wire.ID{Scheme: schemeSuper})
	}
	return append(ids, wire.ID{Scheme: d.Name(), ID: id}), nil
}

// Valid asks for two parts around a colon, by the rule of Java's split: empty
// parts at the end do not count, one at the start does. What the hash looks
// like is not checked.
func (d *digestScheme) Valid(expr string) bool {
	return strings.Count(strings.TrimRight(expr, ":"), ":") == 1
}

func (d *digestScheme) Matches(id, expr string) bool { return id == expr }

func (d *digestScheme) User(id string) string {
	user, _, _ := strings.Cut(id, ":")
	return user
}
