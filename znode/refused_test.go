package znode

import (
	"errors"
	"testing"

	"zooid/wire"
)

// An entry of an ACL with a null id cannot be decoded, alone and in a multi, where
// it refuses the whole. Nobody looks at the id of an `auth` entry.
func TestNullIDInACL(t *testing.T) {
	// encode is a request whose entry has the id null.
	acl := func(b []byte, scheme string) []byte {
		return wire.AppendInt32(wire.AppendString(wire.AppendInt32(wire.AppendInt32(b, 1), wire.PermAll), scheme), -1)
	}
	create := func(b []byte, scheme string) []byte {
		return wire.AppendInt32(acl(wire.AppendBuffer(wire.AppendString(b, "/a"), nil), scheme), 0)
	}
	for _, tc := range []struct {
		name, scheme string
		op           wire.OpCode
		body         func(scheme string) []byte
	}{
		{"create", "digest", wire.OpCreate, func(s string) []byte { return create(nil, s) }},
		{"create of world", "world", wire.OpCreate2, func(s string) []byte { return create(nil, s) }},
		{"createContainer", "ip", wire.OpCreateContainer, func(s string) []byte { return create(nil, s) }},
		{"createTTL", "ip", wire.OpCreateTTL, func(s string) []byte { return wire.AppendInt64(create(nil, s), 1) }},
		{"setACL", "digest", wire.OpSetACL, func(s string) []byte {
			return wire.AppendInt32(acl(wire.AppendString(nil, "/a"), s), -1)
		}},
		{"multi", "digest", wire.OpMulti, func(s string) []byte {
			first := wire.MultiHeader{Op: wire.OpDelete}
			second := wire.MultiHeader{Op: wire.OpCreate}
			b := (&wire.DeleteRequest{Path: "/a", Version: -1}).Append(first.Append(nil))
			return wire.MultiEnd.Append(create(second.Append(b), s))
		}},
	} {
		if _, err := DecodeRequest(tc.op, tc.body(tc.scheme)); !errors.Is(err, wire.ErrMarshalling) {
			t.Errorf("%s: %v", tc.name, err)
		}
		if _, err := DecodeRequest(tc.op, tc.body("auth")); err != nil {
			t.Errorf("%s of scheme auth: %v", tc.name, err)
		}
	}
}

// Where there are no TTL nodes a create that asks for one is UNIMPLEMENTED, before
// its path, its TTL, its ACL and its session are looked at.
func TestTTLModesWithoutTTLNodes(t *testing.T) {
	rules := defaultRules(t)
	rules.ExtendedTypes = false
	s := newSolo(t, rules)
	for _, flags := range []int32{wire.FlagPersistentTTL, wire.FlagPersistentSequentialTTL} {
		for _, path := range []string{"/", "/a", "", "a", "/missing/a", "/zookeeper"} {
			for _, op := range []wire.OpCode{wire.OpCreate, wire.OpCreate2, wire.OpCreateContainer, wire.OpCreateTTL} {
				body := wire.CreateRequest{Path: path, Flags: flags}
				r := &Request{Op: op, Session: 99, Body: &body}
				if op == wire.OpCreateTTL {
					r.Body = &wire.CreateTTLRequest{CreateRequest: body, TTLMs: -1}
				}
				if a := s.do(r); a.Err != wire.ErrUnimplemented {
					t.Errorf("%v %q with flags %d: %v", op, path, flags, a.Err)
				}
			}
		}
	}
}

// An addWatch with a mode that does not exist cannot be decoded, whatever its path.
func TestUnknownAddWatchMode(t *testing.T) {
	tree := New()
	for _, mode := range []int32{-1, 2, 3, 1 << 30} {
		for _, path := range []string{"", "/", "/zookeeper", "/missing", "no path", "\x00"} {
			q := wire.AddWatchRequest{Path: path, Mode: mode}
			b, err := tree.Read(wire.OpAddWatch, &Reader{Conn: 1}, q.Append(nil), nil)
			if !errors.Is(err, wire.ErrMarshalling) || len(b) != 0 {
				t.Errorf("mode %d, path %q: %d bytes, %v", mode, path, len(b), err)
			}
		}
	}
	if n := tree.WatchCount(); n != 0 {
		t.Errorf("%d watches were set", n)
	}
}
