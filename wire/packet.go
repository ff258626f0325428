package wire

import (
	"encoding/binary"
	"fmt"
)

// PacketType is the type of a QuorumPacket.
type PacketType int32

// The types of packets between a learner and its leader.
const (
	PacketRequest           PacketType = 1
	PacketProposal          PacketType = 2
	PacketAck               PacketType = 3
	PacketCommit            PacketType = 4
	PacketPing              PacketType = 5
	PacketRevalidate        PacketType = 6
	PacketSync              PacketType = 7
	PacketInform            PacketType = 8
	PacketCommitAndActivate PacketType = 9
	PacketNewLeader         PacketType = 10
	PacketFollowerInfo      PacketType = 11
	PacketUpToDate          PacketType = 12
	PacketDiff              PacketType = 13
	PacketTrunc             PacketType = 14
	PacketSnap              PacketType = 15
	PacketObserverInfo      PacketType = 16
	PacketLeaderInfo        PacketType = 17
	PacketAckEpoch          PacketType = 18
	PacketInformAndActivate PacketType = 19
	packetTypeEnd           PacketType = 20
)

var packetNames = [packetTypeEnd]string{
	"", "REQUEST", "PROPOSAL", "ACK", "COMMIT", "PING", "REVALIDATE", "SYNC", "INFORM", "COMMITANDACTIVATE", "NEWLEADER",
	"FOLLOWERINFO", "UPTODATE", "DIFF", "TRUNC", "SNAP", "OBSERVERINFO", "LEADERINFO", "ACKEPOCH", "INFORMANDACTIVATE",
}

// String is the name that ZooKeeper has for t.
func (t PacketType) String() string {
	if t > 0 && t < packetTypeEnd {
		return packetNames[t]
	}
	return fmt.Sprintf("packet type %d", int32(t))
}

// QuorumPacket is one packet between a learner and its leader. On the stream
// packets follow each other without length or checksum.
type QuorumPacket struct {
	Type     PacketType
	Zxid     Zxid
	Data     []byte // nil and empty are distinct
	AuthInfo []ID   // of the client in REQUEST, else nil
	// Oversized says of a REQUEST that was read that it is larger than was
	// accepted: Data holds only the head of it, see OversizedRequest.
	Oversized bool
}

// QuorumPacketMin is the size of a packet without data, in bytes.
const QuorumPacketMin = 4 + 8 + 4 + 4

// Append encodes p.
func (p *QuorumPacket) Append(b []byte) []byte {
	b = AppendInt32(b, int32(p.Type))
	b = AppendInt64(b, int64(p.Zxid))
	b = AppendBuffer(b, p.Data)
	if p.AuthInfo == nil {
		return AppendInt32(b, -1)
	}
	b = AppendInt32(b, int32(len(p.AuthInfo)))
	for i := range p.AuthInfo {
		b = AppendString(b, p.AuthInfo[i].Scheme)
		b = AppendString(b, p.AuthInfo[i].ID)
	}
	return b
}

const (
	packetHead = 4 + 8 // in front of the data
	// packetIDs bounds the identities of one packet: ZooKeeper has no bound, and
	// no client proves a thousand.
	packetIDs = 1024
)

// ErrPacketTooLarge says that a packet is larger than is accepted. It wraps
// ErrMarshalling.
var ErrPacketTooLarge = fmt.Errorf("packet too large: %w", ErrMarshalling)

// DecodeQuorumPacket reads a packet from the beginning of b, which p aliases. n
// is the packet's size in bytes, 0 if b does not hold all of it yet. Data or
// identities of more than max bytes are refused with ErrPacketTooLarge, as are
// types that do not exist: the error wraps ErrMarshalling, and nothing behind can
// be read, unless a RequestSkip passes over it.
func DecodeQuorumPacket(b []byte, max int) (p QuorumPacket, n int, err error) {
	n, err = packetSize(b, max)
	if n == 0 || err != nil {
		return p, 0, err
	}
	d := NewDecoder(b[:n])
	p.Type = PacketType(d.Int32())
	p.Zxid = Zxid(d.Int64())
	p.Data = d.Buffer()
	if count := d.Count(8); count >= 0 {
		p.AuthInfo = make([]ID, count)
		for i := range p.AuthInfo {
			p.AuthInfo[i] = ID{Scheme: d.String(), ID: d.String()}
		}
	}
	return p, n, d.Err()
}

// packetSize is the size of the packet at the beginning of b, 0 if b does not
// hold all of it. A packet may arrive in many pieces, so this is cheap.
func packetSize(b []byte, max int) (int, error) {
	if len(b) < packetHead+4 {
		return 0, nil
	}
	t := PacketType(binary.BigEndian.Uint32(b))
	if t <= 0 || t >= packetTypeEnd {
		return 0, fmt.Errorf("%v: %w", t, ErrMarshalling)
	}
	n, err := skipBuffer(b, packetHead, max)
	if err != nil {
		return 0, fmt.Errorf("%v: data of %w", t, err)
	}
	if n == 0 || len(b) < n+4 {
		return 0, nil
	}
	count := int32(binary.BigEndian.Uint32(b[n:]))
	n += 4
	switch {
	case count < -1:
		return 0, fmt.Errorf("%v: %d identities: %w", t, count, ErrMarshalling)
	case count > packetIDs:
		return 0, fmt.Errorf("%v: %d identities, at most %d are accepted: %w", t, count, packetIDs, ErrPacketTooLarge)
	}
	end := n + max // of the identities
	for range 2 * count {
		if n, err = skipBuffer(b, n, end-n); err != nil {
			return 0, fmt.Errorf("%v: an identity of %w", t, err)
		}
		if n == 0 {
			return 0, nil
		}
	}
	return n, nil
}

// PacketSizeMin is the least size of the packet that begins at b, in bytes, as
// far as what is there tells: with its data, as long as that says it is.
func PacketSizeMin(b []byte) int {
	if len(b) < packetHead+4 {
		return QuorumPacketMin
	}
	return QuorumPacketMin + max(0, int(int32(binary.BigEndian.Uint32(b[packetHead:]))))
}

// skipBuffer is where the buffer that begins at offset n of b ends, 0 if that
// is not in b. The buffer may have max bytes.
func skipBuffer(b []byte, n, max int) (int, error) {
	if len(b) < n+4 {
		return 0, nil
	}
	size := int(int32(binary.BigEndian.Uint32(b[n:])))
	if n += 4; size == -1 {
		return n, nil
	}
	switch {
	case size < 0:
		return 0, fmt.Errorf("%d bytes: %w", size, ErrMarshalling)
	case size > max:
		return 0, fmt.Errorf("%d bytes, at most %d are accepted: %w", size, max, ErrPacketTooLarge)
	}
	if n += size; n > len(b) {
		return 0, nil
	}
	return n, nil
}

// Versions of the protocol between learner and leader, in LearnerInfo and
// LEADERINFO. ZooKeeper looks only whether the version is at least
// ProtocolVersion, so that a learner of ours can make itself known: it cuts its
// log at TRUNC exactly where it is told to, which ZooKeeper's do not
// (spec: truncation keeps one transaction too many).
const (
	ProtocolVersion      int32 = 0x10000
	ProtocolVersionZooid int32 = 0x1005a
)

// SecretSize is the length in bytes of the secret that the members of an ensemble
// share, see LeaderInfo.
const SecretSize = 32

// LeaderInfo is the data of LEADERINFO. ZooKeeper's has the version only, and
// its learners read no further.
type LeaderInfo struct {
	ProtocolVersion int32
	// Secret is what the passwords of sessions are derived from, SecretSize bytes;
	// empty if there is none, or if it is not for this learner. A leader of ours
	// tells it to learners of ours. Decode leaves it aliasing the packet.
	Secret []byte
}

// Append encodes i.
func (i *LeaderInfo) Append(b []byte) []byte {
	return append(AppendInt32(b, i.ProtocolVersion), i.Secret...)
}

// Decode reads i. What follows the version and is no secret is passed over.
func (i *LeaderInfo) Decode(d *Decoder) {
	*i = LeaderInfo{ProtocolVersion: d.Int32()}
	if d.Remaining() == SecretSize {
		i.Secret = d.take(SecretSize, "secret")
	}
}

// LearnerInfo is the data of FOLLOWERINFO and OBSERVERINFO.
type LearnerInfo struct {
	SID             SID
	ProtocolVersion int32
	ConfigVersion   Zxid
}

// Append encodes i.
func (i *LearnerInfo) Append(b []byte) []byte {
	b = AppendInt64(b, int64(i.SID))
	b = AppendInt32(b, i.ProtocolVersion)
	return AppendInt64(b, int64(i.ConfigVersion))
}

// Decode reads i; older learners send only the first field, or the first two.
func (i *LearnerInfo) Decode(d *Decoder) {
	*i = LearnerInfo{SID: SID(d.Int64())}
	if d.Remaining() > 0 {
		i.ProtocolVersion = d.Int32()
	}
	if d.Remaining() > 0 {
		i.ConfigVersion = Zxid(d.Int64())
	}
}

// ForwardedRequest is the data of REQUEST: a client's request on its way to
// the leader.
type ForwardedRequest struct {
	Session SessionID
	Cxid    int32 // the client's xid
	Op      OpCode
	Body    []byte // as the client sent it, without its header
}

// Size is the encoded size of r in bytes.
func (r *ForwardedRequest) Size() int { return forwardedHead + len(r.Body) }

// forwardedHead is what stands in front of a ForwardedRequest's body, in bytes.
const forwardedHead = 8 + 4 + 4

// Append encodes r.
func (r *ForwardedRequest) Append(b []byte) []byte {
	b = AppendInt64(b, int64(r.Session))
	b = AppendInt32(b, r.Cxid)
	b = AppendInt32(b, int32(r.Op))
	return append(b, r.Body...)
}

// Decode reads r, whose body is all that follows and aliases the input.
func (r *ForwardedRequest) Decode(d *Decoder) {
	r.Session = SessionID(d.Int64())
	r.Cxid = d.Int32()
	r.Op = OpCode(d.Int32())
	r.Body = d.take(d.Remaining(), "body")
}

// Touch is a session and its timeout: an entry of a learner's PING, and the
// data of a learner's REVALIDATE.
type Touch struct {
	Session   SessionID
	TimeoutMs int32
}

// TouchSize is the encoded size of a Touch in bytes.
const TouchSize = 12

// Append encodes t.
func (t *Touch) Append(b []byte) []byte {
	return AppendInt32(AppendInt64(b, int64(t.Session)), t.TimeoutMs)
}

// Decode reads t.
func (t *Touch) Decode(d *Decoder) {
	t.Session = SessionID(d.Int64())
	t.TimeoutMs = d.Int32()
}

// Revalidated is the data of a leader's REVALIDATE.
type Revalidated struct {
	Session SessionID
	Valid   bool
	// Rest is what members of ours tell each other beyond that; ZooKeeper's do not
	// read it, and send none. Decode leaves it aliasing the packet.
	Rest []byte
}

// Append encodes r.
func (r *Revalidated) Append(b []byte) []byte {
	return append(AppendBool(AppendInt64(b, int64(r.Session)), r.Valid), r.Rest...)
}

// Decode reads r.
func (r *Revalidated) Decode(d *Decoder) {
	r.Session = SessionID(d.Int64())
	r.Valid, r.Rest = d.Bool(), nil
	if n := d.Remaining(); n > 0 && d.Err() == nil {
		r.Rest = d.take(n, "rest")
	}
}

// SnapshotSignature follows a snapshot on the stream, as a ustring.
const SnapshotSignature = "BenWasHere"
