package wire

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// tooLarge are REQUESTs that a leader with the given limit does not take.
func tooLarge(limit int) map[string]QuorumPacket {
	f := ForwardedRequest{Session: 7, Cxid: 8, Op: OpSetData, Body: []byte("body")}
	data := f.Append(nil)
	many := make([]ID, packetIDs+1)
	for i := range many {
		many[i] = ID{Scheme: "digest", ID: fmt.Sprint("user", i)}
	}
	long := strings.Repeat("x", limit/2)
	f.Body = make([]byte, limit)
	return map[string]QuorumPacket{
		"data":            {Type: PacketRequest, Data: f.Append(nil), AuthInfo: many[:1]},
		"identities":      {Type: PacketRequest, Data: data, AuthInfo: many},
		"long identities": {Type: PacketRequest, Data: data, AuthInfo: []ID{{long, ""}, {"b", long}, {"c", long}}},
		"one identity":    {Type: PacketRequest, Data: data, AuthInfo: []ID{{"a", long + long + long}}},
	}
}

// TestOversizedRequestsArePassedOver reads packets that are too large in pieces
// of any size: it is known whose they are, and what follows them is found.
func TestOversizedRequestsArePassedOver(t *testing.T) {
	const limit = 2000
	for name, p := range tooLarge(limit) {
		b := p.Append(nil)
		if RequestFits(len(p.Data), p.AuthInfo, limit) {
			t.Errorf("%s: fits", name)
		}
		if _, n, err := DecodeQuorumPacket(b, limit); n != 0 || !errors.Is(err, ErrPacketTooLarge) {
			t.Errorf("%s: %d, %v", name, n, err)
			continue
		}
		for _, piece := range []int{1, 3, 100, len(b)} {
			got, skip, ok, err := OversizedRequest(b)
			var r ForwardedRequest
			d := NewDecoder(got.Data)
			if r.Decode(&d); !ok || err != nil || d.Err() != nil || !got.Oversized || r.Session != 7 || r.Cxid != 8 || r.Op != OpSetData || got.AuthInfo != nil {
				t.Fatalf("%s: %+v, %+v, %v, %v", name, got, r, ok, err)
			}
			stream, at := append(b[:len(b):len(b)], "behind"...), 0
			for end := 0; skip.Active(); {
				end = min(end+piece, len(stream))
				n, err := skip.Pass(stream[at:end])
				if at += n; err != nil || end == len(stream) && skip.Active() {
					t.Fatalf("%s: at %d of %d, %v", name, at, len(stream), err)
				}
			}
			if string(stream[at:]) != "behind" {
				t.Errorf("%s: %d of %d bytes are passed over", name, at, len(b))
			}
		}
	}
}

// TestWhatIsNotPassedOver: no other packet, no REQUEST without an owner, none
// beyond the bound, nothing malformed.
func TestWhatIsNotPassedOver(t *testing.T) {
	head := func(typ PacketType, data int32) []byte {
		return AppendInt32(AppendInt64(AppendInt32(nil, int32(typ)), 1), data)
	}
	for name, b := range map[string][]byte{
		"PROPOSAL":     append(head(PacketProposal, 1000), make([]byte, 100)...),
		"no owner":     append(head(PacketRequest, 15), make([]byte, 100)...),
		"data too far": append(head(PacketRequest, RequestSizeMax+1), make([]byte, 100)...),
	} {
		if _, _, ok, err := OversizedRequest(b); ok || !errors.Is(err, ErrMarshalling) {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	if _, _, ok, err := OversizedRequest(append(head(PacketRequest, 1000), make([]byte, 15)...)); ok || err != nil {
		t.Errorf("an owner to come: %v, %v", ok, err)
	}
	data := append(head(PacketRequest, 16), make([]byte, 16)...)
	for name, b := range map[string][]byte{
		"-2 identities":          AppendInt32(data[:len(data):len(data)], -2),
		"an identity of -2":      AppendInt32(AppendInt32(data[:len(data):len(data)], 5000), -2),
		"identities without end": AppendInt32(data[:len(data):len(data)], 1<<31-1),
	} {
		_, skip, ok, err := OversizedRequest(b)
		if !ok || err != nil {
			t.Fatalf("%s: %v, %v", name, ok, err)
		}
		n, err := skip.Pass(b)
		for total := n; err == nil && total < 2*RequestSizeMax; total += n {
			n, err = skip.Pass(make([]byte, 1<<20))
		}
		if !errors.Is(err, ErrMarshalling) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzRequestSkip passes over whatever comes, in two pieces: never more than
// there is, always on, and as far as a whole packet reaches.
func FuzzRequestSkip(f *testing.F) {
	for _, p := range tooLarge(200) {
		f.Add(p.Append(nil), 10)
	}
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		_, skip, ok, err := OversizedRequest(b)
		if err != nil && !errors.Is(err, ErrMarshalling) {
			t.Fatal(err)
		}
		if !ok || err != nil {
			return
		}
		whole, pieces := skip, skip
		n, err := whole.Pass(b)
		if n > len(b) || err != nil && !errors.Is(err, ErrMarshalling) {
			t.Fatal(n, err)
		}
		cut = max(0, min(cut, len(b)))
		first, err1 := pieces.Pass(b[:cut])
		if err1 != nil || !pieces.Active() {
			return
		}
		if second, err2 := pieces.Pass(b[first:]); first+second != n || (err2 != nil) != (err != nil) || pieces != whole {
			t.Fatalf("%d bytes at once, %d and %d in pieces; %v, %v", n, first, second, err, err2)
		}
	})
}
