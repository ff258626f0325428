package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"zooid/integration/recorded"
)

// testMaxPacket is ZooKeeper's limit: jute.maxbuffer and its extra size.
const testMaxPacket = 2 * 0xfffff

// said are the lines of a recording in which something was sent.
func said(t testing.TB, name string) []recorded.Line {
	t.Helper()
	return slices.DeleteFunc(recorded.Read(t, name), func(l recorded.Line) bool { return len(l.Bytes) == 0 })
}

// TestRecordedQuorumStreams takes every record that real servers exchanged
// through this package: it must decode to what the recording says and encode to
// the bytes that were sent, down to the data of the packets.
func TestRecordedQuorumStreams(t *testing.T) {
	seen := make(map[string]int)
	for _, name := range recorded.Names() {
		t.Run(name, func(t *testing.T) {
			for i, r := range said(t, name) {
				kind, err := checkQuorumRecord(t, &r)
				if err != nil {
					t.Errorf("record %d, connection %d, %s, %s: %v", i, r.Conn, r.Dir, kind, err)
				}
				seen[kind]++
			}
		})
	}
	for kind, least := range map[string]int{"greeting": 48, "notification": 133, "snapshot": 5, "sasl": 36, "after sasl": 10} {
		if seen[kind] < least {
			t.Errorf("%d records of kind %q, at least %d were recorded", seen[kind], kind, least)
		}
	}
	for p := PacketRequest; p < packetTypeEnd; p++ {
		if seen[p.String()] == 0 {
			t.Errorf("no %v was recorded", p)
		}
	}
}

func checkQuorumRecord(t *testing.T, r *recorded.Line) (kind string, err error) {
	raw := r.Bytes
	switch {
	case r.Decoded["msg"] == "initial":
		return "greeting", checkGreeting(raw, r.Decoded)
	case r.Decoded["msg"] == "notification":
		return "notification", checkNotification(raw, r.Decoded)
	case r.Decoded["msg"] == "QuorumAuthPacket":
		return "sasl", checkAuthPacket(raw)
	case r.Decoded["msg"] != nil:
		return "after sasl", checkCutShort(raw, r)
	case r.Decoded["type"] == "(snapshot stream)":
		return "snapshot", checkSnapshotStream(raw)
	}
	return r.Decoded["type"].(string), checkPacket(raw, r)
}

func same(got, want []byte) error {
	if !bytes.Equal(got, want) {
		return fmt.Errorf("encoded to\n%x, recorded\n%x", got, want)
	}
	return nil
}

func checkGreeting(raw []byte, want map[string]any) error {
	g, n, err := DecodeGreeting(raw)
	if err != nil || n != len(raw) {
		return fmt.Errorf("%d of %d bytes, %v", n, len(raw), err)
	}
	for cut := range raw {
		if _, n, err := DecodeGreeting(raw[:cut]); n != 0 || err != nil {
			return fmt.Errorf("of %d bytes: %d, %v", cut, n, err)
		}
	}
	if got := fmt.Sprintf("%d %s", g.SID, strings.Join(g.Addrs, "|")); got != fmt.Sprintf("%v %v", want["sid"], want["electionAddr"]) {
		return fmt.Errorf("decoded to %s", got)
	}
	return same(g.Append(nil), raw)
}

func checkNotification(raw []byte, want map[string]any) error {
	var n Notification
	if err := Unmarshal(raw[4:], &n); err != nil {
		return err
	}
	got := map[string]any{
		"msg": "notification", "state": strings.ToUpper(n.State.String()), "leader": json.Number(strconv.FormatInt(int64(n.Leader), 10)),
		"zxid": hex64(int64(n.Zxid)), "electionEpoch": hex64(n.Round), "peerEpoch": hex64(n.PeerEpoch),
		"version": json.Number(strconv.Itoa(int(n.Version))), "config": string(n.Config),
	}
	if n.Leader == NoSID {
		got["leader"] = want["leader"] // written in more than one way
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("(-recorded +decoded):\n%s", diff)
	}
	return same(EndFrame(n.Append(BeginFrame(nil)), 0), raw)
}

func hex64(v int64) string { return "0x" + strconv.FormatUint(uint64(v), 16) }

// checkAuthPacket takes one of the SASL exchange apart. The package has no
// record for it; its fields are a long, an int and a buffer.
func checkAuthPacket(raw []byte) error {
	d := NewDecoder(raw)
	b := AppendInt32(AppendInt64(nil, d.Int64()), d.Int32())
	b = AppendBuffer(b, d.Buffer())
	if d.Err() != nil || d.Remaining() != 0 {
		return fmt.Errorf("%d bytes left, %v", d.Remaining(), d.Err())
	}
	return same(b, raw)
}

// checkCutShort takes the first bytes of a stream, of which the recording keeps
// sixty: packets on the quorum port, half a notification on the election port.
func checkCutShort(raw []byte, r *recorded.Line) error {
	if r.Port == "election" {
		d := NewDecoder(raw)
		if size := d.Int32(); size < notificationShort || PeerState(d.Int32()) > Observing {
			return fmt.Errorf("a frame of %d bytes is no notification", size)
		}
		return nil
	}
	for len(raw) > 0 {
		p, n, err := DecodeQuorumPacket(raw, testMaxPacket)
		if err != nil {
			return err
		}
		if n == 0 {
			return nil // cut off by the recording
		}
		if err := same(p.Append(nil), raw[:n]); err != nil {
			return err
		}
		raw = raw[n:]
	}
	return nil
}

func checkPacket(raw []byte, r *recorded.Line) error {
	p, n, err := DecodeQuorumPacket(raw, testMaxPacket)
	if err != nil || n != len(raw) {
		return fmt.Errorf("%d of %d bytes, %v", n, len(raw), err)
	}
	for cut := range raw {
		if _, n, err := DecodeQuorumPacket(raw[:cut], testMaxPacket); n != 0 || err != nil {
			return fmt.Errorf("of %d bytes: %d, %v", cut, n, err)
		}
	}
	if p.Type.String() != r.Decoded["type"] || hex64(int64(p.Zxid)) != r.Decoded["zxid"] {
		return fmt.Errorf("decoded to %v %v", p.Type, p.Zxid)
	}
	if err := same(p.Append(nil), raw); err != nil {
		return err
	}
	data, err := reencodeData(&p, r)
	if err != nil {
		return err
	}
	return same(data, p.Data)
}

// reencodeData decodes a packet's data by the record that belongs there, and
// encodes it again.
func reencodeData(p *QuorumPacket, r *recorded.Line) ([]byte, error) {
	switch p.Type {
	case PacketFollowerInfo, PacketObserverInfo:
		var i LearnerInfo
		return recode(p.Data, &i, func() string {
			return fmt.Sprintf("%d %#x %#x", i.SID, i.ProtocolVersion, int64(i.ConfigVersion))
		}, r, "serverid", "protocolVersion", "configVersion")
	case PacketRequest:
		var f ForwardedRequest
		return recode(p.Data, &f, func() string {
			return fmt.Sprintf("%v %d %v %x", f.Session, f.Cxid, f.Op, f.Body)
		}, r, "session", "cxid", "type", "request")
	case PacketRevalidate:
		if m, _ := r.Decoded["data"].(map[string]any); m["timeout"] != nil { // a learner's
			var touch Touch
			return recode(p.Data, &touch, func() string { return fmt.Sprintf("%v %d", touch.Session, touch.TimeoutMs) }, r, "session", "timeout")
		}
		var v Revalidated
		return recode(p.Data, &v, func() string { return fmt.Sprintf("%v %v", v.Session, v.Valid) }, r, "session", "valid")
	case PacketPing:
		return recodeTouches(p.Data)
	case PacketProposal, PacketInform:
		return recodeTxn(p)
	}
	return p.Data, nil
}

func recode(data []byte, rec Record, show func() string, r *recorded.Line, fields ...string) ([]byte, error) {
	d := NewDecoder(data)
	rec.Decode(&d)
	if d.Err() != nil || d.Remaining() != 0 {
		return nil, fmt.Errorf("data: %d bytes left, %v", d.Remaining(), d.Err())
	}
	m, _ := r.Decoded["data"].(map[string]any)
	var want []string
	for _, f := range fields {
		want = append(want, fmt.Sprint(m[f]))
	}
	if got := show(); got != strings.Join(want, " ") {
		return nil, fmt.Errorf("data decoded to %q, recorded %q", got, strings.Join(want, " "))
	}
	return rec.Append(nil), nil
}

func recodeTouches(data []byte) ([]byte, error) {
	if data == nil {
		return nil, nil
	}
	b := []byte{}
	for d := NewDecoder(data); d.Remaining() > 0; {
		var touch Touch
		if touch.Decode(&d); d.Err() != nil {
			return nil, d.Err()
		}
		b = touch.Append(b)
	}
	return b, nil
}

func recodeTxn(p *QuorumPacket) ([]byte, error) {
	txn, err := DecodeTxn(p.Data)
	if err != nil {
		return nil, err
	}
	if txn.Zxid != p.Zxid {
		return nil, fmt.Errorf("txn %v", txn.Zxid)
	}
	return txn.Append(nil), nil
}

// checkSnapshotStream decodes what follows SNAP: sessions, ACLs and nodes as in
// a snapshot file, and the signature.
func checkSnapshotStream(raw []byte) error {
	d := NewDecoder(raw)
	n := d.Count(TouchSize)
	b := AppendInt32(nil, int32(n))
	for range n {
		var session Touch
		session.Decode(&d)
		b = session.Append(b)
	}
	n = d.Count(12)
	b = AppendInt32(b, int32(n))
	for range n {
		b = AppendInt64(b, d.Int64())
		b = AppendACLs(b, d.ACLs())
	}
	for d.Err() == nil {
		path := d.String()
		if b = AppendString(b, path); path == "/" {
			break
		}
		b = AppendBuffer(b, d.Buffer())
		b = AppendInt64(b, d.Int64())
		var stat StatPersisted
		stat.Decode(&d)
		b = stat.Append(b)
	}
	signature := d.String()
	if d.Err() != nil || d.Remaining() != 0 || signature != SnapshotSignature {
		return fmt.Errorf("signature %q, %d bytes left, %v", signature, d.Remaining(), d.Err())
	}
	return same(AppendString(b, signature), raw)
}

// TestQuorumPacketsInOneStream decodes a recorded direction of a connection as
// it comes from a socket: many packets in one buffer.
func TestQuorumPacketsInOneStream(t *testing.T) {
	for _, name := range recorded.Names() {
		streams := make(map[string][]byte)
		counts := make(map[string]int)
		for _, r := range said(t, name) {
			if r.Decoded["msg"] != nil || r.Decoded["type"] == "(snapshot stream)" {
				continue
			}
			key := fmt.Sprint(r.Conn, " ", r.Dir)
			streams[key] = append(streams[key], r.Bytes...)
			counts[key]++
		}
		for key, b := range streams {
			packets := 0
			for len(b) > 0 {
				_, n, err := DecodeQuorumPacket(b, testMaxPacket)
				if n == 0 {
					t.Fatalf("%s, connection %s: %d bytes left, %v", name, key, len(b), err)
				}
				b = b[n:]
				packets++
			}
			if packets != counts[key] {
				t.Errorf("%s, connection %s: %d packets of %d", name, key, packets, counts[key])
			}
		}
	}
}

func TestNotificationForms(t *testing.T) {
	full := Notification{State: Leading, Vote: Vote{Leader: 3, Zxid: 2<<32 | 7, PeerEpoch: 5}, Round: 4, Version: 2, Config: []byte("version=0")}
	b := full.Append(nil)
	edit := func(f func(b []byte) []byte) []byte { return f(slices.Clone(b)) }
	for _, c := range []struct {
		name string
		b    []byte
		want *Notification // nil: an error
	}{
		{"as sent", b, &full},
		{"with bytes behind", edit(func(b []byte) []byte { return append(b, 1, 2, 3) }), &full},
		{"before 3.4, without an epoch", b[:28], &Notification{State: Leading, Vote: Vote{3, 2<<32 | 7, 2}, Round: 4}},
		{"without configuration", b[:40], &Notification{State: Leading, Vote: full.Vote, Round: 4}},
		{"of version 1", edit(func(b []byte) []byte { b[39] = 1; return b }), &Notification{State: Leading, Vote: full.Vote, Round: 4, Version: 1}},
		{"with an empty configuration", append(slices.Clone(b[:40]), 0, 0, 0, 0),
			&Notification{State: Leading, Vote: full.Vote, Round: 4, Version: 2, Config: []byte{}}},
		{"empty", nil, nil},
		{"of 27 bytes", b[:27], nil},
		{"of 29 bytes", b[:29], nil},
		{"of 39 bytes", b[:39], nil},
		{"of 43 bytes", b[:43], nil},
		{"configuration cut short", b[:len(b)-1], nil},
		{"configuration of -1 bytes", edit(func(b []byte) []byte { return append(b[:40], 0xff, 0xff, 0xff, 0xff) }), nil},
		{"configuration of -2 bytes", edit(func(b []byte) []byte { return append(b[:40], 0xff, 0xff, 0xff, 0xfe) }), nil},
		{"configuration of 2 GiB", edit(func(b []byte) []byte { return append(b[:40], 0x7f, 0xff, 0xff, 0xff) }), nil},
		{"state 4", edit(func(b []byte) []byte { b[3] = 4; return b }), nil},
		{"state -1", edit(func(b []byte) []byte { copy(b, "\xff\xff\xff\xff"); return b }), nil},
	} {
		var n Notification
		err := Unmarshal(c.b, &n)
		switch {
		case c.want == nil:
			if !errors.Is(err, ErrMarshalling) {
				t.Errorf("%s: error %v", c.name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		default:
			if diff := cmp.Diff(*c.want, n); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.name, diff)
			}
		}
	}
}

// TestNotificationWithoutConfig wants a configuration in everything we send:
// ZooKeeper drops a notification with a negative length there.
func TestNotificationWithoutConfig(t *testing.T) {
	n := Notification{Vote: NoVote}
	b := n.Append(nil)
	var got Notification
	if err := Unmarshal(b, &got); err != nil || len(b) != 44 || got.Version != NotificationVersion {
		t.Errorf("%x decodes to %+v, %v", b, got, err)
	}
}

func TestGreetingForms(t *testing.T) {
	two := Greeting{SID: 5, Addrs: []string{"a:1", "[::1]:2"}}
	head := func(version, sid int64, size int32) []byte {
		return AppendInt32(AppendInt64(AppendInt64(nil, version), sid), size)
	}
	for _, c := range []struct {
		name string
		b    []byte
		want Greeting
		n    int // -1: an error
	}{
		{"two addresses", two.Append(nil), two, 20 + 11},
		{"one address", append(head(greetingV1, 7, 3), "h:1rest"...), Greeting{7, []string{"h:1"}}, 23},
		{"number only", append(AppendInt64(nil, 9), "rest"...), Greeting{SID: 9}, 8},
		{"anonymous observer", AppendInt64(nil, 1<<63-1), Greeting{SID: 1<<63 - 1}, 8},
		{"nothing", nil, Greeting{}, 0},
		{"head only", head(greetingV1, 7, 3), Greeting{}, 0},
		{"longest address", append(head(greetingV1, 7, 2048), strings.Repeat("a", 2048)...), Greeting{7, []string{strings.Repeat("a", 2048)}}, 2068},
		{"no address", head(greetingV1, 7, 0), Greeting{}, -1},
		{"negative length", head(greetingV2, 7, -1), Greeting{}, -1},
		{"too long", head(greetingV1, 7, 2049), Greeting{}, -1},
		{"unknown version", head(-3, 7, 3), Greeting{}, -1},
	} {
		g, n, err := DecodeGreeting(c.b)
		switch {
		case c.n < 0:
			if !errors.Is(err, ErrMarshalling) || n != 0 {
				t.Errorf("%s: %d, error %v", c.name, n, err)
			}
		case n != c.n || err != nil:
			t.Errorf("%s: %d bytes, want %d, error %v", c.name, n, c.n, err)
		case n > 0:
			if diff := cmp.Diff(c.want, g); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.name, diff)
			}
		}
	}
}

func TestQuorumPacketLimits(t *testing.T) {
	const limit = 100
	packet := func(size int32, data int, ids ...int32) []byte {
		b := AppendInt64(AppendInt32(nil, int32(PacketRequest)), -1)
		b = append(AppendInt32(b, size), make([]byte, data)...)
		for _, v := range ids {
			b = AppendInt32(b, v)
		}
		return b
	}
	long := QuorumPacket{Type: PacketRequest, AuthInfo: []ID{{"digest", strings.Repeat("x", 60)}, {"digest", strings.Repeat("y", 60)}}}
	for _, c := range []struct {
		name string
		b    []byte
		n    int // 0: more is needed; -1: an error
	}{
		{"null everywhere", packet(-1, 0, -1), 20},
		{"largest data", packet(limit, limit, -1), 20 + limit},
		{"more data", packet(limit+1, 0), -1},
		{"data of -2 bytes", packet(-2, 0, -1), -1},
		{"data of 2 GiB", packet(1<<31-1, 0), -1},
		{"empty identities", packet(0, 0, 0), 20},
		{"null strings", packet(-1, 0, 1, -1, -1), 28},
		{"-2 identities", packet(-1, 0, -2), -1},
		{"too many identities", packet(-1, 0, packetIDs+1), -1},
		{"identities to come", packet(-1, 0, packetIDs), 0},
		{"identity of 2 GiB", packet(-1, 0, 1, 1<<31-1), -1},
		{"identity of -2 bytes", packet(-1, 0, 1, -2), -1},
		{"identities too long together", long.Append(nil), -1},
		{"type 0", make([]byte, 20), -1},
		{"type 20", append([]byte{0, 0, 0, 20}, make([]byte, 16)...), -1},
		{"words", []byte("ruok and some more of this"), -1},
	} {
		_, n, err := DecodeQuorumPacket(c.b, limit)
		if c.n < 0 != (err != nil) || c.n >= 0 && n != c.n || err != nil && (n != 0 || !errors.Is(err, ErrMarshalling)) {
			t.Errorf("%s: %d, error %v", c.name, n, err)
		}
	}
}

func TestLearnerInfoForms(t *testing.T) {
	full := LearnerInfo{SID: 3, ProtocolVersion: ProtocolVersionZooid, ConfigVersion: 0x100000000}
	b := full.Append(nil)
	for n, want := range map[int]LearnerInfo{8: {SID: 3}, 12: {SID: 3, ProtocolVersion: ProtocolVersionZooid}, 20: full} {
		var got LearnerInfo
		if err := Unmarshal(b[:n], &got); err != nil || got != want {
			t.Errorf("%d bytes: %+v, %v", n, got, err)
		}
	}
	for _, n := range []int{0, 7, 9, 13, 19} {
		if err := Unmarshal(b[:n], new(LearnerInfo)); !errors.Is(err, ErrMarshalling) {
			t.Errorf("%d bytes: error %v", n, err)
		}
	}
}

func TestQuorumNames(t *testing.T) {
	if got := fmt.Sprint(PacketInformAndActivate, " ", PacketType(0), " ", PacketType(20)); got != "INFORMANDACTIVATE packet type 0 packet type 20" {
		t.Error(got)
	}
	if got := fmt.Sprint(Looking, Following, Leading, Observing, PeerState(9)); got != "looking following leading observing state 9" {
		t.Error(got)
	}
}

// FuzzNotification: no panic, no more memory than the bytes justify, and what
// is accepted encodes to something that decodes to the same in version 2.
func FuzzNotification(f *testing.F) {
	for _, r := range fuzzSeeds(f, "notification") {
		f.Add(r[4:])
	}
	f.Add([]byte(strings.Repeat("\x00", notificationOldest)))
	f.Add([]byte(strings.Repeat("\x00", notificationShort)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var n Notification
		var err error
		checkAllocs(t, len(b), func() { err = Unmarshal(b, &n) })
		if err != nil {
			if !errors.Is(err, ErrMarshalling) {
				t.Fatal(err)
			}
			return
		}
		var again Notification
		if err := Unmarshal(n.Append(nil), &again); err != nil {
			t.Fatal(err)
		}
		same := n.State == again.State && n.Vote == again.Vote && n.Round == again.Round && bytes.Equal(n.Config, again.Config)
		if !same || again.Version != NotificationVersion {
			t.Fatalf("%+v, then %+v", n, again)
		}
	})
}

// FuzzGreeting: as FuzzNotification. A greeting is decoded from what has
// arrived of it, so more bytes never change one that was accepted.
func FuzzGreeting(f *testing.F) {
	for _, r := range fuzzSeeds(f, "initial") {
		f.Add(r)
	}
	two := Greeting{SID: 1, Addrs: []string{"a:1", "b:2"}}
	f.Add(two.Append(nil))
	f.Add(AppendInt64(nil, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		var g Greeting
		var n int
		var err error
		checkAllocs(t, len(b), func() { g, n, err = DecodeGreeting(b) })
		if err != nil || n == 0 {
			if err != nil && !errors.Is(err, ErrMarshalling) || n != 0 {
				t.Fatal(n, err)
			}
			return
		}
		if short, m, err := DecodeGreeting(b[:n]); m != n || err != nil || !cmp.Equal(short, g) {
			t.Fatalf("without what follows: %+v, %d, %v", short, m, err)
		}
		if _, m, err := DecodeGreeting(b[:n-1]); m != 0 || err != nil {
			t.Fatalf("without its last byte: %d, %v", m, err)
		}
		if g.Addrs == nil {
			return
		}
		again := g.Append(nil)
		if !cmp.Equal(again[20:], b[20:n]) && isASCII(b[20:n]) {
			t.Fatalf("%x encodes to %x", b[:n], again)
		}
	})
}

func isASCII(b []byte) bool { return !slices.ContainsFunc(b, func(c byte) bool { return c >= 0x80 }) }

// FuzzQuorumPacket: as FuzzGreeting.
func FuzzQuorumPacket(f *testing.F) {
	for _, r := range fuzzSeeds(f, "") {
		f.Add(r)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 1 << 16
		var p QuorumPacket
		var n int
		var err error
		checkAllocs(t, len(b), func() { p, n, err = DecodeQuorumPacket(b, limit) })
		if err != nil || n == 0 {
			if err != nil && !errors.Is(err, ErrMarshalling) || n != 0 {
				t.Fatal(n, err)
			}
			return
		}
		if n < QuorumPacketMin || n > len(b) || len(p.Data) > limit {
			t.Fatalf("%d of %d bytes, %d of data", n, len(b), len(p.Data))
		}
		if _, m, err := DecodeQuorumPacket(b[:n-1], limit); m != 0 || err != nil {
			t.Fatalf("without its last byte: %d, %v", m, err)
		}
		again, m, err := DecodeQuorumPacket(p.Append(nil), 3*limit) // repaired text is longer
		if err != nil || m == 0 || again.Type != p.Type || again.Zxid != p.Zxid || !cmp.Equal(again.Data, p.Data) || len(again.AuthInfo) != len(p.AuthInfo) {
			t.Fatalf("%+v, then %+v of %d bytes, %v", p, again, m, err)
		}
	})
}

// fuzzSeeds gives some recorded records: packets if msg is "".
func fuzzSeeds(f *testing.F, msg string) (seeds [][]byte) {
	kinds := make(map[any]int)
	for _, name := range recorded.Names()[:7] {
		for _, r := range said(f, name) {
			m, _ := r.Decoded["msg"].(string)
			kind := r.Decoded["type"]
			if m != msg || kind == "(snapshot stream)" || kinds[kind] == 8 {
				continue
			}
			kinds[kind]++
			seeds = append(seeds, r.Bytes)
		}
	}
	return seeds
}
