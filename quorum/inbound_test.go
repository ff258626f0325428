package quorum

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"zooid/wire"
)

// randomPackets are packets of all sizes, and their bytes.
func randomPackets(r *rand.Rand, n, largest int) (packets []wire.QuorumPacket, stream []byte) {
	for i := range n {
		p := wire.QuorumPacket{Type: wire.PacketType(1 + r.IntN(14)), Zxid: wire.Zxid(i)}
		switch r.IntN(6) {
		case 0:
			p.Data = make([]byte, r.IntN(largest))
		case 1, 2:
			p.Data = make([]byte, r.IntN(200))
		case 3:
			p.AuthInfo = []wire.ID{{Scheme: "ip", ID: "127.0.0.1"}, {Scheme: "digest", ID: "somebody"}}
		}
		for j := 0; j < len(p.Data); j += 97 {
			p.Data[j] = byte(r.Uint32())
		}
		packets = append(packets, p)
		stream = p.Append(stream)
	}
	return packets, stream
}

// TestInboundKeepsNothingOfWhatItGave reads packets in pieces of any size. Each
// comes out as it went in, in memory that nothing is written to afterwards.
func TestInboundKeepsNothingOfWhatItGave(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		packets, stream := randomPackets(r, 400, 40<<10)
		var in inbound
		var got []wire.QuorumPacket
		piece := 1 + r.IntN(1<<(6+r.IntN(12)))
		for len(stream) > 0 {
			room := in.room()
			if len(room) < inRoom {
				t.Fatalf("seed %d: room for %d bytes", seed, len(room))
			}
			n := copy(room[:min(len(room), 1+r.IntN(piece))], stream)
			in.end += n
			stream = stream[n:]
			batch, err := in.decode(defaultMaxPacket)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			got = append(got, batch...)
		}
		if len(got) != len(packets) || in.start != in.end {
			t.Fatalf("seed %d: %d packets of %d, %d bytes left", seed, len(got), len(packets), in.end-in.start)
		}
		for i := range got {
			if !bytes.Equal(got[i].Append(nil), packets[i].Append(nil)) {
				t.Fatalf("seed %d: packet %d was changed", seed, i)
			}
		}
	}
}

// Packets without data, as a leader gets by the thousand, take no new memory
// for their bytes.
func TestInboundReadsAcksInPlace(t *testing.T) {
	var in inbound
	ack := wire.QuorumPacket{Type: wire.PacketAck, Zxid: 1}
	b := ack.Append(nil)
	in.room()
	first := &in.b[0]
	for range 10000 {
		in.end += copy(in.room(), b)
		if batch, err := in.decode(100); len(batch) != 1 || err != nil {
			t.Fatal(batch, err)
		}
	}
	if &in.b[0] != first {
		t.Error("the memory was replaced")
	}
}

// A length that promises much takes no memory before the bytes come.
func TestInboundGrowsWithWhatArrives(t *testing.T) {
	var in inbound
	head := wire.AppendInt32(wire.AppendInt64(wire.AppendInt32(nil, int32(wire.PacketProposal)), 1), 1<<30)
	in.end += copy(in.room(), head)
	if batch, err := in.decode(1 << 30); len(batch) != 0 || err != nil {
		t.Fatal(batch, err)
	}
	for total := len(head); total < 1<<20; {
		n := len(in.room())
		in.end += n
		total += n
		in.decode(1 << 30)
		if len(in.b) > 2*total+inChunk {
			t.Fatalf("%d bytes of memory for %d", len(in.b), total)
		}
	}
}

// A batch ends with SNAP, and what follows it stays as it is.
func TestInboundStopsBehindSnap(t *testing.T) {
	var in inbound
	var b []byte
	for _, typ := range []wire.PacketType{wire.PacketAck, wire.PacketSnap} {
		p := wire.QuorumPacket{Type: typ}
		b = p.Append(b)
	}
	in.end += copy(in.room(), append(b, "no packet at all"...))
	batch, err := in.decode(100)
	if len(batch) != 2 || err != nil || string(in.data()) != "no packet at all" {
		t.Errorf("%v, %v, then %q", batch, err, in.data())
	}
}

// What stands before an error is delivered.
func TestInboundGivesWhatIsBeforeAnError(t *testing.T) {
	var in inbound
	good := wire.QuorumPacket{Type: wire.PacketPing, Data: []byte{1}}
	in.end += copy(in.room(), append(good.Append(nil), slices.Repeat([]byte{0xff}, 40)...))
	if batch, err := in.decode(100); len(batch) != 1 || err == nil {
		t.Errorf("%v, %v", batch, err)
	}
}

// TestInboundKeepsTransactionsAloneAlive reads transactions of many sizes among
// other packets, and keeps them, as the history of a member does. What stays
// alive is little more than their data: not what came beside them, nor the memory
// that a larger one was read into.
func TestInboundKeepsTransactionsAloneAlive(t *testing.T) {
	for _, c := range []struct {
		name    string
		size    int // of the data
		between int // SYNCs and answered revalidations in front of each
	}{
		{"100 B", 100, 2}, {"100 B among many others", 100, 500}, {"9 kB", 9000, 2}, {"33 kB", 33_000, 2},
		{"66 kB", 66_000, 2}, {"1 MB", 1_000_000, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			const total = 8 << 20
			count := min(total/c.size, 4000)
			var in inbound
			var kept [][]byte
			var b []byte
			before := liveHeap()
			for i := range count {
				b = b[:0]
				for range c.between {
					sync, valid := wire.QuorumPacket{Type: wire.PacketSync}, wire.QuorumPacket{Type: wire.PacketRevalidate, Data: make([]byte, 9)}
					b = valid.Append(sync.Append(b))
				}
				p := wire.QuorumPacket{Type: wire.PacketProposal, Zxid: wire.Zxid(i), Data: make([]byte, c.size)}
				for rest := p.Append(b); len(rest) > 0; {
					n := copy(in.room(), rest)
					in.end += n
					rest = rest[n:]
					batch, err := in.decode(defaultMaxPacket)
					if err != nil {
						t.Fatal(err)
					}
					for _, q := range batch {
						if q.Type == wire.PacketProposal {
							kept = append(kept, q.Data)
						}
					}
				}
			}
			b = nil
			live, data := liveHeap()-before, count*c.size
			if len(kept) != count {
				t.Fatalf("%d of %d", len(kept), count)
			}
			if most := int64(data)*5/4 + int64(count)*100 + 1<<20; live > most {
				t.Errorf("%d bytes of transactions keep %d alive, want at most %d", data, live, most)
			}
			runtime.KeepAlive(kept)
			runtime.KeepAlive(&in)
		})
	}
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// TestInboundPassesOverOversizedRequests: a REQUEST that is too large ends
// nothing. It is told of at once, its bytes take no memory, and what follows is
// read.
func TestInboundPassesOverOversizedRequests(t *testing.T) {
	const limit = 10_000
	f := wire.ForwardedRequest{Session: 7, Cxid: 8, Op: wire.OpSetData, Body: make([]byte, 1<<20)}
	large := wire.QuorumPacket{Type: wire.PacketRequest, Data: f.Append(nil), AuthInfo: []wire.ID{{Scheme: "ip", ID: "127.0.0.1"}}}
	ack := wire.QuorumPacket{Type: wire.PacketAck, Zxid: 9}
	for _, piece := range []int{1, 7, 5000} {
		in := inbound{passes: true}
		var got []wire.QuorumPacket
		largest := 0
		for rest := ack.Append(large.Append(ack.Append(nil))); len(rest) > 0; {
			n := copy(in.room()[:piece], rest)
			in.end += n
			rest = rest[n:]
			batch, err := in.decode(limit)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, batch...)
			largest = max(largest, len(in.b))
		}
		if len(got) != 3 || got[0].Oversized || !got[1].Oversized || got[2].Type != wire.PacketAck || got[2].Zxid != 9 {
			t.Errorf("pieces of %d: %+v", piece, got)
		}
		if largest > inChunk {
			t.Errorf("pieces of %d: %d bytes of memory", piece, largest)
		}
	}
}
