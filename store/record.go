package store

import (
	"encoding/binary"
	"fmt"

	"zooid/wire"
	"zooid/znode"
)

// The flags in the first byte of a znode's value in Pebble. Most znodes were
// never changed and have the open ACL, so what is usual takes no bytes: such a
// znode costs some fourteen bytes beyond its path and data instead of sixty.
const (
	flagNullData = 1 << iota // data is null, which is not the same as empty
	flagACL                  // an ACL follows; without it the ACL is world:anyone:31
	flagMzxid                // mzxid differs from czxid
	flagPzxid                // pzxid differs from czxid
	flagMtime                // mtime differs from ctime
	flagVersions             // one of version, cversion, aversion is not 0
	flagOwner                // ephemeralOwner is not 0
)

// appendRecord encodes r as the value of its path's key:
//
//	flags u8 · czxid varint · ctime varint
//	[mzxid-czxid varint] [pzxid-czxid varint] [mtime-ctime varint]
//	[version, cversion, aversion varints] [ephemeralOwner 8 bytes]
//	[length u32, ACL as jute] · data to the end
func appendRecord(b []byte, r *znode.Record) []byte {
	s := &r.Stat
	at := len(b)
	var flags byte
	b = append(b, 0)
	b = binary.AppendVarint(b, int64(s.Czxid))
	b = binary.AppendVarint(b, s.Ctime)
	if s.Mzxid != s.Czxid {
		flags |= flagMzxid
		b = binary.AppendVarint(b, int64(s.Mzxid-s.Czxid))
	}
	if s.Pzxid != s.Czxid {
		flags |= flagPzxid
		b = binary.AppendVarint(b, int64(s.Pzxid-s.Czxid))
	}
	if s.Mtime != s.Ctime {
		flags |= flagMtime
		b = binary.AppendVarint(b, s.Mtime-s.Ctime)
	}
	if s.Version|s.Cversion|s.Aversion != 0 {
		flags |= flagVersions
		b = binary.AppendVarint(b, int64(s.Version))
		b = binary.AppendVarint(b, int64(s.Cversion))
		b = binary.AppendVarint(b, int64(s.Aversion))
	}
	if s.EphemeralOwner != 0 {
		flags |= flagOwner
		b = binary.BigEndian.AppendUint64(b, uint64(s.EphemeralOwner))
	}
	if r.ACL != nil {
		flags |= flagACL
		start := len(b)
		b = wire.EndFrame(wire.AppendACLs(wire.BeginFrame(b), r.ACL), start)
	}
	if r.Data == nil {
		flags |= flagNullData
	}
	b[at] = flags
	return append(b, r.Data...)
}

// recordDecoder decodes the values of znodes. It remembers the ACLs that it has
// seen, of which a tree has few, so that equal ones are decoded once and share
// memory.
type recordDecoder struct{ acls map[string][]wire.ACL }

// decode reads v into r. Data aliases v; the ACL does not.
func (d *recordDecoder) decode(v []byte, r *znode.Record) error {
	c := cursor{b: v}
	flags := c.byte()
	s := &r.Stat
	*s = wire.StatPersisted{Czxid: wire.Zxid(c.varint()), Ctime: c.varint()}
	s.Mzxid, s.Pzxid, s.Mtime = s.Czxid, s.Czxid, s.Ctime
	if flags&flagMzxid != 0 {
		s.Mzxid += wire.Zxid(c.varint())
	}
	if flags&flagPzxid != 0 {
		s.Pzxid += wire.Zxid(c.varint())
	}
	if flags&flagMtime != 0 {
		s.Mtime += c.varint()
	}
	if flags&flagVersions != 0 {
		s.Version, s.Cversion, s.Aversion = int32(c.varint()), int32(c.varint()), int32(c.varint())
	}
	if flags&flagOwner != 0 {
		if b := c.take(8); b != nil {
			s.EphemeralOwner = int64(binary.BigEndian.Uint64(b))
		}
	}
	r.ACL = nil
	if flags&flagACL != 0 {
		acl, err := d.acl(c.sized())
		if err != nil {
			return err
		}
		r.ACL = acl
	}
	r.Data = c.b
	switch {
	case c.bad:
		return fmt.Errorf("value of %d bytes is cut short", len(v))
	case flags&flagNullData != 0:
		r.Data = nil
	case r.Data == nil:
		r.Data = []byte{}
	}
	return nil
}

// aclBytes is the encoded ACL of the znode whose value is v, nil for the open
// ACL. It aliases v.
func aclBytes(v []byte) ([]byte, error) {
	if len(v) > 0 && v[0]&flagACL == 0 {
		return nil, nil
	}
	c := cursor{b: v}
	flags := c.byte()
	skip := 2
	for _, f := range [...]byte{flagMzxid, flagPzxid, flagMtime} {
		if flags&f != 0 {
			skip++
		}
	}
	if flags&flagVersions != 0 {
		skip += 3
	}
	for range skip {
		c.varint()
	}
	if flags&flagOwner != 0 {
		c.take(8)
	}
	b := c.sized()
	if c.bad {
		return nil, fmt.Errorf("value of %d bytes is cut short", len(v))
	}
	return b, nil
}

func (d *recordDecoder) acl(b []byte) ([]wire.ACL, error) {
	if acl, ok := d.acls[string(b)]; ok {
		return acl, nil
	}
	own := append([]byte(nil), b...)
	dec := wire.NewDecoder(own)
	acl := dec.ACLs()
	if err := dec.Err(); err != nil {
		return nil, fmt.Errorf("acl: %w", err)
	}
	if acl == nil {
		acl = []wire.ACL{} // nil would mean the open ACL
	}
	if d.acls == nil || len(d.acls) >= maxACLsRemembered {
		d.acls = make(map[string][]wire.ACL)
	}
	d.acls[string(own)] = acl
	return acl, nil
}

// maxACLsRemembered bounds what a decoder keeps when nearly every znode has an
// ACL of its own.
const maxACLsRemembered = 1 << 16

// cursor reads a value from the front; after a short read bad is set and every
// further read yields zero.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) byte() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) take(n int) []byte {
	if c.bad || n < 0 || n > len(c.b) {
		c.bad = true
		return nil
	}
	b := c.b[:n:n]
	c.b = c.b[n:]
	return b
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.b)
	if n <= 0 {
		c.bad = true
		return 0
	}
	c.b = c.b[n:]
	return v
}

// sized reads bytes that stand behind their length.
func (c *cursor) sized() []byte {
	if n := c.take(4); n != nil {
		return c.take(int(binary.BigEndian.Uint32(n)))
	}
	return nil
}
