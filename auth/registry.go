package auth

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"zooid/wire"
)

// Scheme is one way of proving who one is, and of writing it in an ACL.
// Implementations are safe for concurrent use.
type Scheme interface {
	// Name is the scheme's word in ACLs and auth packets.
	Name() string
	// Authenticate turns the data of an auth packet (nil if null) from remote
	// into the identities that it proves, in the order in which whoAmI lists
	// them. The error wraps wire.ErrAuthFailed. data is not kept.
	Authenticate(data []byte, remote netip.Addr) ([]wire.ID, error)
	// Valid tells whether expr may stand in an ACL entry of this scheme.
	Valid(expr string) bool
	// Matches tells whether the identity id satisfies the ACL entry expr.
	Matches(id, expr string) bool
	// Exact tells whether Matches is the equality of its arguments, so that many
	// identities are matched against many entries by looking them up.
	Exact() bool
	// Personal tells whether an identity names somebody, so that the `auth`
	// entry of an ACL stands for it. An address (scheme ip) does not.
	Personal() bool
	// User is the part of an identity that whoAmI shows.
	User(id string) string
}

// Words with a meaning of their own in ACLs and identities.
const (
	schemeWorld = "world"
	idAnyone    = "anyone"
	schemeAuth  = "auth"
	schemeSuper = "super"
)

// Options is what the configuration says about authentication. The zero value
// is ZooKeeper's default: digest with SHA1, nobody is super, nobody must
// authenticate.
type Options struct {
	DigestDisabled  bool   // zookeeper.DigestAuthenticationProvider.enabled=false
	DigestAlgorithm string // ….digestAlg: SHA1 (also for ""), SHA-256, SHA-512, SHA3-256
	SuperDigest     string // ….superDigest, user:base64(hash); "" = no super user

	// Enforce makes Admits ask for an identity of one of EnforceSchemes
	// (zookeeper.enforce.auth.enabled and .schemes).
	Enforce        bool
	EnforceSchemes []string
	// RequireSASL is zookeeper.sessionRequireClientSASLAuth: Enforce with sasl.
	RequireSASL bool
}

// Registry holds the schemes that a server offers.
type Registry struct {
	schemes []Scheme
	// enforced are the schemes of which a connection needs an identity; nil if
	// it needs none.
	enforced []string
}

// New makes the registry of ip, digest unless disabled, and the schemes in
// more. The error says which option cannot be met.
func New(o Options, more ...Scheme) (*Registry, error) {
	r := &Registry{schemes: []Scheme{ipScheme{}}}
	if !o.DigestDisabled {
		d, err := newDigest(o.DigestAlgorithm, o.SuperDigest)
		if err != nil {
			return nil, err
		}
		r.schemes = append(r.schemes, d)
	}
	for _, s := range more {
		if r.scheme(s.Name()) != nil || s.Name() == schemeWorld || s.Name() == schemeAuth || s.Name() == schemeSuper {
			return nil, fmt.Errorf("authentication scheme %s is there already", s.Name())
		}
		r.schemes = append(r.schemes, s)
	}
	if err := r.enforce(o); err != nil {
		return nil, err
	}
	return r, nil
}

// enforce takes over what must be proved. A scheme that nobody can use would
// lock everybody out, so it is refused at start, as in ZooKeeper.
func (r *Registry) enforce(o Options) error {
	switch {
	case o.RequireSASL:
		r.enforced = []string{"sasl"}
	case o.Enforce:
		for _, s := range o.EnforceSchemes {
			if s = strings.TrimSpace(s); s != "" {
				r.enforced = append(r.enforced, s)
			}
		}
		if r.enforced == nil {
			return fmt.Errorf("enforce.auth.enabled is true, so enforce.auth.schemes must name a scheme")
		}
	}
	for _, s := range r.enforced {
		if r.scheme(s) == nil {
			return fmt.Errorf("authentication by scheme %s is enforced, but the scheme is not available", s)
		}
	}
	return nil
}

// scheme finds a scheme by name; nil if it is not offered. There are a handful
// of them, so a scan is faster than a map.
func (r *Registry) scheme(name string) Scheme {
	for _, s := range r.schemes {
		if s.Name() == name {
			return s
		}
	}
	return nil
}

// InitialIDs are the identities that a connection from remote has before it
// proves anything: its address.
func (r *Registry) InitialIDs(remote netip.Addr) []wire.ID {
	return []wire.ID{ipID(remote)}
}

// Authenticate judges an auth packet of a connection that has the identities
// ids. It returns those that the packet adds to them, none if it repeats what
// is known: identities are a set, as in ZooKeeper. The error wraps
// wire.ErrAuthFailed; the connection is then to be closed. It is also the answer
// to a packet that would give the connection more than wire.ClientIDsMax
// identities or wire.ClientIDBytesMax bytes of them.
func (r *Registry) Authenticate(scheme string, data []byte, remote netip.Addr, ids []wire.ID) ([]wire.ID, error) {
	s := r.scheme(scheme)
	if s == nil {
		return nil, fmt.Errorf("no authentication scheme %q: %w", scheme, wire.ErrAuthFailed)
	}
	proved, err := s.Authenticate(data, remote)
	if err != nil {
		return nil, fmt.Errorf("scheme %s: %w", scheme, err)
	}
	var added []wire.ID
	for _, id := range proved {
		if !slices.Contains(ids, id) && !slices.Contains(added, id) {
			added = append(added, id)
		}
	}
	if len(added) == 0 {
		return nil, nil
	}
	if n := len(ids) + len(added); n > wire.ClientIDsMax {
		return nil, fmt.Errorf("scheme %s: %d identities of one connection, at most %d are accepted: %w",
			scheme, n, wire.ClientIDsMax, wire.ErrAuthFailed)
	}
	if n := wire.IDsSize(ids) + wire.IDsSize(added); n > wire.ClientIDBytesMax {
		return nil, fmt.Errorf("scheme %s: %d bytes of identities of one connection, at most %d are accepted: %w",
			scheme, n, wire.ClientIDBytesMax, wire.ErrAuthFailed)
	}
	return added, nil
}

// Admits tells whether a connection with these identities may make requests at
// all. If not, its first request other than auth and sasl is answered with
// wire.ErrSessionClosedRequireSASL and the connection is closed.
func (r *Registry) Admits(ids []wire.ID) bool {
	if r.enforced == nil {
		return true
	}
	for i := range ids {
		if slices.Contains(r.enforced, ids[i].Scheme) {
			return true
		}
	}
	return false
}

// Permits tells whether somebody with the identities ids has the permission
// perm (a bit of wire.PermAll, or several of which one suffices) under acl. An
// empty acl permits everything, and so does an identity of scheme super. It takes
// time in proportion to the entries plus the identities, but for schemes that are
// not exact, where each entry is held against each identity of its scheme.
func (r *Registry) Permits(acl []wire.ACL, perm int32, ids []wire.ID) bool {
	if len(acl) == 0 {
		return true
	}
	for i := range ids {
		if ids[i].Scheme == schemeSuper {
			return true
		}
	}
	var known map[wire.ID]struct{} // ids, where a scan for each entry takes too long
	if len(ids) > scanMax && len(acl)*len(ids) > pairsMax {
		known = make(map[wire.ID]struct{}, len(ids))
		for _, id := range ids {
			known[id] = struct{}{}
		}
	}
	for i := range acl {
		a := &acl[i]
		if a.Perms&perm == 0 {
			continue
		}
		if a.ID.Scheme == schemeWorld && a.ID.ID == idAnyone {
			return true
		}
		s := r.scheme(a.ID.Scheme)
		switch {
		case s == nil:
		case known != nil && s.Exact():
			if _, ok := known[a.ID]; ok {
				return true
			}
		case matchesAny(s, a.ID, ids):
			return true
		}
	}
	return false
}

// pairsMax is the number of pairs of an entry and an identity up to which they are
// held against each other one by one.
const pairsMax = 256

func matchesAny(s Scheme, entry wire.ID, ids []wire.ID) bool {
	for j := range ids {
		if ids[j].Scheme == entry.Scheme && s.Matches(ids[j].ID, entry.ID) {
			return true
		}
	}
	return false
}

// Normalize turns the ACL of a create or setACL by somebody with the
// identities ids into what is stored: duplicates removed, the `auth` entry
// replaced by one entry for each identity that names somebody. The error wraps
// wire.ErrInvalidACL; it is also the answer to an ACL beyond
// wire.ACLEntriesMax or wire.ACLBytesMax, before or after that replacement. The
// result aliases acl if nothing had to change. It takes time in proportion to
// the bytes of acl and of the result.
func (r *Registry) Normalize(acl []wire.ACL, ids []wire.ID) ([]wire.ACL, error) {
	switch {
	case len(acl) == 0:
		return nil, fmt.Errorf("empty list: %w", wire.ErrInvalidACL)
	case len(acl) > wire.ACLEntriesMax:
		return nil, tooLarge(len(acl), "entries", wire.ACLEntriesMax)
	}
	asIs, bytes := true, 0
	seen := newEntrySet(acl)
	for i := range acl {
		// Only `auth` and a repetition change the list; both are rare.
		switch {
		case seen.has(i) || acl[i].ID.Scheme == schemeAuth:
			asIs = false
			continue
		case !r.valid(acl[i].ID):
			return nil, fmt.Errorf("entry %s:%s: %w", acl[i].ID.Scheme, acl[i].ID.ID, wire.ErrInvalidACL)
		}
		if bytes += wire.ACLEntrySize(&acl[i]); bytes > wire.ACLBytesMax {
			return nil, tooLarge(bytes, "bytes", wire.ACLBytesMax)
		}
	}
	if asIs {
		return acl, nil
	}
	return r.expand(acl, ids, bytes)
}

// expand is the part of Normalize for an ACL that changes. What its entries
// other than `auth` take is bytes. Nothing is made that is beyond the bounds.
func (r *Registry) expand(acl []wire.ACL, ids []wire.ID, bytes int) ([]wire.ACL, error) {
	var personal []wire.ACL // what an `auth` entry stands for, without permissions
	size := 0
	for _, id := range ids {
		if s := r.scheme(id.Scheme); s != nil && s.Personal() {
			personal = append(personal, wire.ACL{ID: id})
			size += wire.ACLEntrySize(&personal[len(personal)-1])
		}
	}
	var out []wire.ACL
	seen := newEntrySet(acl)
	for i, a := range acl {
		if seen.has(i) {
			continue
		}
		if a.ID.Scheme != schemeAuth {
			out = append(out, a)
			continue
		}
		if len(personal) == 0 {
			return nil, fmt.Errorf("entry auth without an authenticated identity: %w", wire.ErrInvalidACL)
		}
		if bytes += size; bytes > wire.ACLBytesMax {
			return nil, tooLarge(bytes, "bytes", wire.ACLBytesMax)
		}
		if n := len(out) + len(personal); n > wire.ACLEntriesMax {
			return nil, tooLarge(n, "entries", wire.ACLEntriesMax)
		}
		for _, p := range personal {
			out = append(out, wire.ACL{Perms: a.Perms, ID: p.ID})
		}
	}
	if len(out) > wire.ACLEntriesMax {
		return nil, tooLarge(len(out), "entries", wire.ACLEntriesMax)
	}
	return out, nil
}

func tooLarge(n int, what string, max int) error {
	return fmt.Errorf("ACL of %d %s, at most %d are accepted: %w", n, what, max, wire.ErrInvalidACL)
}

// entrySet tells which entries of an ACL repeat one before them.
type entrySet struct {
	acl []wire.ACL
	set map[wire.ACL]struct{} // nil for a short list, in which a scan is faster
}

// scanMax is the number of entries up to which a list is scanned.
const scanMax = 8

func newEntrySet(acl []wire.ACL) entrySet {
	s := entrySet{acl: acl}
	if len(acl) > scanMax {
		s.set = make(map[wire.ACL]struct{}, len(acl))
	}
	return s
}

// has tells whether entry i stands before i, too. It is asked for each i in
// order, once.
func (s *entrySet) has(i int) bool {
	if s.set == nil {
		return slices.Contains(s.acl[:i], s.acl[i])
	}
	n := len(s.set)
	s.set[s.acl[i]] = struct{}{}
	return len(s.set) == n
}

// valid tells whether id may stand in an ACL as it is. There is no scheme
// world, so any other id of it is refused, and super is never one.
func (r *Registry) valid(id wire.ID) bool {
	if id.Scheme == schemeWorld && id.ID == idAnyone {
		return true
	}
	s := r.scheme(id.Scheme)
	return s != nil && s.Valid(id.ID)
}

// DisplayID is id as whoAmI shows it: a digest identity without its hash, and
// one of a scheme that is not offered (super) with an empty user.
func (r *Registry) DisplayID(id wire.ID) wire.ID {
	s := r.scheme(id.Scheme)
	if s == nil {
		return wire.ID{Scheme: id.Scheme}
	}
	return wire.ID{Scheme: id.Scheme, ID: s.User(id.ID)}
}
