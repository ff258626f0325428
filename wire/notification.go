package wire

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// PeerState is what a member of an ensemble is doing, as its notifications
// tell.
type PeerState int32

// The states, with their numbers on the wire.
const (
	Looking PeerState = iota
	Following
	Leading
	Observing
)

// String is the state as mntr's peer_state begins with it.
func (s PeerState) String() string {
	switch s {
	case Looking:
		return "looking"
	case Following:
		return "following"
	case Leading:
		return "leading"
	case Observing:
		return "observing"
	}
	return fmt.Sprintf("state %d", int32(s))
}

// NoSID is the vote of who votes for nobody: an observer, or a participant that
// is in no voting set.
const NoSID SID = -1 << 63

// Vote is whom a member wants as leader, and why.
type Vote struct {
	Leader    SID
	Zxid      Zxid  // last transaction in the log of Leader
	PeerEpoch int64 // current epoch of Leader; it counts before Zxid
}

// NoVote is the vote of an observer.
var NoVote = Vote{Leader: NoSID, Zxid: -1 << 63, PeerEpoch: -1 << 63}

// Notification is one message of the leader election.
type Notification struct {
	State PeerState
	Vote
	Round int64 // of the election, ZooKeeper's electionEpoch; starts anew with every process
	// Version is the version of the message: 2 since ZooKeeper 3.5.
	Version int32
	// Config is the sender's committed configuration as text; only in version 2
	// and later.
	Config []byte
}

// NotificationVersion is what we send.
const NotificationVersion = 2

const (
	notificationOldest = 28 // without peer epoch
	notificationShort  = 40 // without a configuration
)

// NotificationMax is the greatest size of a notification that ZooKeeper
// accepts, in bytes.
const NotificationMax = 512 << 10

// Append encodes n in the form of version 2. A configuration that is nil goes
// out as an empty one: ZooKeeper drops a notification that has none.
func (n *Notification) Append(b []byte) []byte {
	b = AppendInt32(b, int32(n.State))
	b = AppendInt64(b, int64(n.Leader))
	b = AppendInt64(b, int64(n.Zxid))
	b = AppendInt64(b, n.Round)
	b = AppendInt64(b, n.PeerEpoch)
	b = AppendInt32(b, NotificationVersion)
	b = AppendInt32(b, int32(len(n.Config)))
	return append(b, n.Config...)
}

// Decode reads a notification of any version; the whole rest of d is one. It
// keeps the configuration's bytes.
func (n *Notification) Decode(d *Decoder) {
	size := d.Remaining()
	n.State = PeerState(d.Int32())
	n.Leader = SID(d.Int64())
	n.Zxid = Zxid(d.Int64())
	n.Round = d.Int64()
	n.Version, n.Config = 0, nil
	switch {
	case n.State < Looking || n.State > Observing:
		d.Fail("unknown peer state")
	case size == notificationOldest:
		n.PeerEpoch = int64(n.Zxid.Epoch())
	case size == notificationShort:
		n.PeerEpoch = d.Int64()
		d.Int32() // ZooKeeper does not look at it either
	default:
		n.PeerEpoch = d.Int64()
		if n.Version = d.Int32(); n.Version > 1 {
			if n.Config = d.Buffer(); n.Config == nil {
				d.Fail("no configuration")
			}
		}
	}
}

// Greeting is what the dialling side of an election connection sends first.
type Greeting struct {
	SID   SID
	Addrs []string // host:port of the sender's election addresses; empty from servers before 3.5
}

const (
	greetingV1 int64 = -65536
	greetingV2 int64 = -65535 // several addresses
	// greetingAddrMax is the greatest length of the address text, in bytes.
	greetingAddrMax = 2048
	greetingHead    = 8 + 8 + 4
)

// Append encodes g: in the form with one address if there is one.
func (g *Greeting) Append(b []byte) []byte {
	version := greetingV1
	if len(g.Addrs) > 1 {
		version = greetingV2
	}
	b = AppendInt64(b, version)
	b = AppendInt64(b, int64(g.SID))
	return AppendString(b, strings.Join(g.Addrs, "|"))
}

// DecodeGreeting reads a greeting from the beginning of b. n is how many bytes
// it has, 0 if b does not hold all of it yet. The error wraps ErrMarshalling.
func DecodeGreeting(b []byte) (g Greeting, n int, err error) {
	if len(b) < 8 {
		return g, 0, nil
	}
	version := int64(binary.BigEndian.Uint64(b))
	if version >= 0 { // a server before 3.5 says its number only
		return Greeting{SID: SID(version)}, 8, nil
	}
	if version != greetingV1 && version != greetingV2 {
		return g, 0, fmt.Errorf("greeting of unknown version %d: %w", version, ErrMarshalling)
	}
	if len(b) < greetingHead {
		return g, 0, nil
	}
	g.SID = SID(binary.BigEndian.Uint64(b[8:]))
	size := int32(binary.BigEndian.Uint32(b[16:]))
	if size <= 0 || size > greetingAddrMax {
		return g, 0, fmt.Errorf("greeting with an address of %d bytes: %w", size, ErrMarshalling)
	}
	if len(b) < greetingHead+int(size) {
		return g, 0, nil
	}
	n = greetingHead + int(size)
	g.Addrs = strings.Split(string(b[greetingHead:n]), "|")
	return g, n, nil
}
