package wire

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// Appender is a record that encodes itself at the end of a buffer.
type Appender interface{ Append(b []byte) []byte }

// Record is what can be encoded and decoded. Decode leaves an error, if any,
// in the Decoder.
type Record interface {
	Appender
	Decode(d *Decoder)
}

// Unmarshal decodes the whole of b into r. Bytes behind the record are ignored,
// as ZooKeeper ignores them. The error wraps ErrMarshalling.
func Unmarshal(b []byte, r Record) error {
	d := NewDecoder(b)
	r.Decode(&d)
	return d.Err()
}

// AppendBool encodes a boolean in one byte.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// AppendInt32 encodes an int.
func AppendInt32(b []byte, v int32) []byte { return binary.BigEndian.AppendUint32(b, uint32(v)) }

// AppendInt64 encodes a long.
func AppendInt64(b []byte, v int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(v)) }

// AppendBuffer encodes a buffer: length and bytes, length -1 for nil.
func AppendBuffer(b, v []byte) []byte {
	if v == nil {
		return AppendInt32(b, -1)
	}
	return append(AppendInt32(b, int32(len(v))), v...)
}

// AppendString encodes a ustring. A character above U+FFFF goes out as two
// surrogates of three bytes each, as Java's writer puts it.
func AppendString(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0xf0 {
			s = toCESU8(s)
			break
		}
	}
	return append(AppendInt32(b, int32(len(s))), s...)
}

// toCESU8 splits every character above U+FFFF into two encoded surrogates.
func toCESU8(s string) string {
	var out strings.Builder
	for _, r := range s {
		if r <= 0xffff {
			out.WriteRune(r)
			continue
		}
		r -= 0x10000
		for _, u := range [2]rune{0xd800 + r>>10, 0xdc00 + r&0x3ff} {
			out.Write([]byte{0xe0 | byte(u>>12), 0x80 | byte(u>>6)&0x3f, 0x80 | byte(u)&0x3f})
		}
	}
	return out.String()
}

// AppendStrings encodes a vector of ustrings, count -1 for nil.
func AppendStrings(b []byte, v []string) []byte {
	if v == nil {
		return AppendInt32(b, -1)
	}
	b = AppendInt32(b, int32(len(v)))
	for _, s := range v {
		b = AppendString(b, s)
	}
	return b
}

// AppendACLs encodes a vector of ACL entries, count -1 for nil.
func AppendACLs(b []byte, v []ACL) []byte {
	if v == nil {
		return AppendInt32(b, -1)
	}
	b = AppendInt32(b, int32(len(v)))
	for i := range v {
		b = AppendInt32(b, v[i].Perms)
		b = AppendString(b, v[i].ID.Scheme)
		b = AppendString(b, v[i].ID.ID)
	}
	return b
}

// Decoder reads jute fields from a byte slice. After the first error every
// further read yields zero values, so a record is decoded without a check per
// field and Err is asked once. The zero Decoder reads an empty input.
type Decoder struct {
	buf []byte
	off int
	err error
}

// NewDecoder reads from b, which must stay unchanged while what was decoded
// from it is in use.
func NewDecoder(b []byte) Decoder { return Decoder{buf: b} }

// Err is the first error, which wraps ErrMarshalling and names the offset.
func (d *Decoder) Err() error { return d.err }

// Remaining is the number of bytes not yet read.
func (d *Decoder) Remaining() int { return len(d.buf) - d.off }

// Offset is the number of bytes read so far.
func (d *Decoder) Offset() int { return d.off }

// Fail records that what stands at the current offset is not acceptable.
func (d *Decoder) Fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%s at byte %d of %d: %w", what, d.off, len(d.buf), ErrMarshalling)
	}
}

// take returns the next n bytes, or nil after an error.
func (d *Decoder) take(n int, what string) []byte {
	if d.err != nil {
		return nil
	}
	if n > len(d.buf)-d.off {
		d.Fail(what)
		return nil
	}
	b := d.buf[d.off : d.off+n : d.off+n]
	d.off += n
	return b
}

// Bool reads a boolean: any byte but 0 is true.
func (d *Decoder) Bool() bool {
	b := d.take(1, "boolean cut short")
	return b != nil && b[0] != 0
}

// Byte reads one byte.
func (d *Decoder) Byte() byte {
	if b := d.take(1, "byte cut short"); b != nil {
		return b[0]
	}
	return 0
}

// Int32 reads an int.
func (d *Decoder) Int32() int32 {
	if b := d.take(4, "int cut short"); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

// Int64 reads a long.
func (d *Decoder) Int64() int64 {
	if b := d.take(8, "long cut short"); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// Buffer reads a buffer. It aliases the input; it is nil for length -1 and not
// nil for length 0.
func (d *Decoder) Buffer() []byte {
	n := d.Int32()
	switch {
	case d.err != nil || n == -1:
		return nil
	case n < -1:
		d.Fail("negative buffer length")
		return nil
	}
	return d.take(int(n), "buffer longer than its frame")
}

// String reads a ustring; null reads as "". The result aliases the input
// unless it had to be repaired: bytes that are not UTF-8 become U+FFFD, as many
// as Java's reader makes of them.
func (d *Decoder) String() string {
	s, _ := d.NullString()
	return s
}

// NullString is String and tells null (false) from present (true).
func (d *Decoder) NullString() (string, bool) {
	b := d.Buffer()
	if b == nil {
		return "", false
	}
	if !utf8.Valid(b) {
		return repairUTF8(b), true
	}
	return unsafe.String(unsafe.SliceData(b), len(b)), true
}

// repairUTF8 decodes b as Java's String does: one U+FFFD for each beginning of a
// character that is cut short, for each encoded surrogate (Java's own writer
// makes two of a character above U+FFFF), and for each other stray byte.
func repairUTF8(b []byte) string {
	out := make([]byte, 0, len(b)+utf8.UTFMax)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			n = malformedLen(b)
		}
		out = utf8.AppendRune(out, r)
		b = b[n:]
	}
	return string(out)
}

// malformedLen is the number of bytes at the beginning of b, which is no
// character, that Java replaces by one U+FFFD.
func malformedLen(b []byte) int {
	low, high, more := byte(0x80), byte(0xbf), 0 // of the second byte; how many may follow it
	switch c := b[0]; {
	case c >= 0xe0 && c <= 0xef:
		if more = 1; c == 0xe0 {
			low = 0xa0
		}
	case c >= 0xf0 && c <= 0xf4:
		if more = 2; c == 0xf0 {
			low = 0x90
		} else if c == 0xf4 {
			high = 0x8f
		}
	default:
		return 1
	}
	if len(b) < 2 || b[1] < low || b[1] > high {
		return 1
	}
	n := 2
	for n < len(b) && more > 0 && b[n] >= 0x80 && b[n] <= 0xbf {
		n, more = n+1, more-1
	}
	return n
}

// Count reads the count of a vector whose elements take at least elemMin bytes
// each (at least 1). It is -1 for a null vector and never more than the input
// can hold.
func (d *Decoder) Count(elemMin int) int {
	n := d.Int32()
	switch {
	case d.err != nil:
		return 0
	case n < -1:
		d.Fail("negative vector count")
		return 0
	case int64(n)*int64(elemMin) > int64(d.Remaining()):
		d.Fail("vector longer than its frame")
		return 0
	}
	return int(n)
}

// Strings reads a vector of ustrings, nil for null.
func (d *Decoder) Strings() []string {
	n := d.Count(4)
	if n < 0 || d.err != nil {
		return nil
	}
	v := make([]string, n)
	for i := range v {
		v[i] = d.String()
	}
	return v
}

// ACLs reads a vector of ACL entries, nil for null.
func (d *Decoder) ACLs() []ACL {
	n := d.Count(12)
	if n < 0 || d.err != nil {
		return nil
	}
	v := make([]ACL, n)
	for i := range v {
		v[i] = ACL{Perms: d.Int32(), ID: ID{Scheme: d.String(), ID: d.String()}}
	}
	return v
}

// requestACLs reads the ACL of a request. An entry with a null id is an error, as in
// ZooKeeper, except of the scheme auth, whose id nobody looks at.
func requestACLs(d *Decoder) []ACL {
	n := d.Count(12)
	if n < 0 || d.err != nil {
		return nil
	}
	v := make([]ACL, n)
	for i := range v {
		a := &v[i]
		a.Perms, a.ID.Scheme = d.Int32(), d.String()
		id, ok := d.NullString()
		if !ok && d.err == nil && a.ID.Scheme != "auth" {
			d.Fail("ACL entry with a null id")
		}
		a.ID.ID = id
	}
	return v
}

// BeginFrame reserves the four bytes of a frame's length at the end of b; the
// frame's body is appended to what it returns.
func BeginFrame(b []byte) []byte { return append(b, 0, 0, 0, 0) }

// EndFrame fills in the length of the frame that BeginFrame began when b had
// the length start.
func EndFrame(b []byte, start int) []byte {
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}
