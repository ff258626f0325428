package wire

import (
	"encoding/binary"
	"fmt"
)

// RequestSizeMax is the largest REQUEST that a leader passes over, in bytes. A
// larger one ends its connection.
const RequestSizeMax = 64 << 20

// RequestFits tells whether a leader that accepts max bytes in a packet accepts a
// REQUEST with so many bytes of data and these identities.
func RequestFits(data int, ids []ID, max int) bool {
	if data > max || len(ids) > packetIDs {
		return false
	}
	n := 0
	for i := range ids {
		n += 4 + len(ids[i].Scheme) + 4 + len(ids[i].ID)
	}
	return n <= max
}

// OversizedRequest gives what can be known of the REQUEST at the beginning of b,
// which DecodeQuorumPacket has refused with ErrPacketTooLarge: whose it is. A
// learner waits for its outcome, and the other clients of that learner must not
// suffer for it. The rest is for skip to pass over. ok is false while b does not
// hold enough of it. The error says that it is no REQUEST, or one too large even
// for that.
func OversizedRequest(b []byte) (p QuorumPacket, skip RequestSkip, ok bool, err error) {
	if len(b) < packetHead+4 {
		return p, skip, false, nil
	}
	p.Type = PacketType(binary.BigEndian.Uint32(b))
	data := int(int32(binary.BigEndian.Uint32(b[packetHead:])))
	switch {
	case p.Type != PacketRequest || data < forwardedHead:
		return p, skip, false, fmt.Errorf("%v: %w", p.Type, ErrPacketTooLarge)
	case data > RequestSizeMax:
		return p, skip, false, fmt.Errorf("%v: %d bytes, at most %d are passed over: %w", p.Type, data, RequestSizeMax, ErrPacketTooLarge)
	case len(b) < packetHead+4+forwardedHead:
		return p, skip, false, nil
	}
	p.Zxid = Zxid(binary.BigEndian.Uint64(b[4:]))
	p.Data = append([]byte(nil), b[packetHead+4:packetHead+4+forwardedHead]...)
	p.Oversized = true
	skip.bytes = packetHead + 4 + data
	skip.texts = textsUnknown
	return p, skip, true, nil
}

// RequestSkip passes over the bytes of a REQUEST as they come. Its zero value has
// nothing to pass over.
type RequestSkip struct {
	bytes  int // to drop before the next length
	texts  int // texts of identities whose lengths are still to come
	passed int
}

// textsUnknown stands for the texts whose number is still to come.
const textsUnknown = -1

// Active tells whether there is more to pass over.
func (s *RequestSkip) Active() bool { return s.bytes > 0 || s.texts != 0 }

// Pass is how many bytes at the beginning of b belong to the REQUEST. While the
// skip is active, more has to come first. The error wraps ErrMarshalling:
// nothing that follows can be read.
func (s *RequestSkip) Pass(b []byte) (n int, err error) {
	for s.Active() {
		k := min(s.bytes, len(b)-n)
		n, s.bytes, s.passed = n+k, s.bytes-k, s.passed+k
		switch {
		case s.passed > RequestSizeMax:
			return n, fmt.Errorf("%v: more than %d bytes, so many are passed over: %w", PacketRequest, RequestSizeMax, ErrPacketTooLarge)
		case s.bytes > 0 || s.texts == 0 || len(b)-n < 4:
			return n, nil
		}
		length := int(int32(binary.BigEndian.Uint32(b[n:])))
		if length < -1 {
			return n, fmt.Errorf("%v: a length of %d: %w", PacketRequest, length, ErrMarshalling)
		}
		n, s.passed = n+4, s.passed+4
		length = max(length, 0)
		if s.texts == textsUnknown {
			s.texts = 2 * length
		} else {
			s.texts--
			s.bytes = length
		}
	}
	return n, nil
}
