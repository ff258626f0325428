package wire

import (
	"fmt"
	"strconv"
)

// Zxid is the place of a transaction in the one total order of an ensemble:
// the epoch in the high 32 bits, a counter within the epoch in the low ones.
// A standalone server stays in epoch 0 until its counter overflows into it.
type Zxid int64

// MakeZxid joins an epoch and a counter.
func MakeZxid(epoch, counter uint32) Zxid { return Zxid(uint64(epoch)<<32 | uint64(counter)) }

// Epoch is the high half of z.
func (z Zxid) Epoch() uint32 { return uint32(uint64(z) >> 32) }

// Counter is the low half of z.
func (z Zxid) Counter() uint32 { return uint32(uint64(z)) }

// String prints z as ZooKeeper does: 0x and lower-case hex.
func (z Zxid) String() string { return "0x" + strconv.FormatUint(uint64(z), 16) }

// SessionID names a client's session. The top byte is the id of the server
// that made it; 0 means no session.
type SessionID int64

// String prints s as ZooKeeper does: 0x and lower-case hex.
func (s SessionID) String() string { return "0x" + strconv.FormatUint(uint64(s), 16) }

// SID is the number of a member of the ensemble, as in its myid file.
type SID int64

// Permission bits of an ACL entry. Other bits are stored as they came.
const (
	PermRead   int32 = 1
	PermWrite  int32 = 2
	PermCreate int32 = 4
	PermDelete int32 = 8
	PermAdmin  int32 = 16
	PermAll    int32 = 31
)

// ID is an identity: what a connection has proved to be, or whom an ACL entry
// speaks of.
type ID struct {
	Scheme string
	ID     string
}

// ACL is one entry of a znode's access control list.
type ACL struct {
	Perms int32
	ID    ID
}

// OpenACL gives everyone every permission; it is what ZooKeeper calls
// OPEN_ACL_UNSAFE. It must not be changed.
var OpenACL = []ACL{{Perms: PermAll, ID: ID{Scheme: "world", ID: "anyone"}}}

// Create flags, as in CreateRequest.Flags.
const (
	FlagPersistent              int32 = 0
	FlagEphemeral               int32 = 1
	FlagPersistentSequential    int32 = 2
	FlagEphemeralSequential     int32 = 3
	FlagContainer               int32 = 4
	FlagPersistentTTL           int32 = 5
	FlagPersistentSequentialTTL int32 = 6
)

// Stat is what a client is told of a znode; 68 bytes.
type Stat struct {
	Czxid          Zxid
	Mzxid          Zxid
	Ctime          int64 // ms since 1970
	Mtime          int64 // ms since 1970
	Version        int32
	Cversion       int32 // creates plus deletes of children
	Aversion       int32
	EphemeralOwner SessionID // 0 unless ephemeral; containers and TTL nodes show 0
	DataLength     int32     // bytes
	NumChildren    int32
	Pzxid          Zxid
}

// StatSize is the encoded size of a Stat in bytes.
const StatSize = 68

// Append encodes s.
func (s *Stat) Append(b []byte) []byte {
	b = AppendInt64(b, int64(s.Czxid))
	b = AppendInt64(b, int64(s.Mzxid))
	b = AppendInt64(b, s.Ctime)
	b = AppendInt64(b, s.Mtime)
	b = AppendInt32(b, s.Version)
	b = AppendInt32(b, s.Cversion)
	b = AppendInt32(b, s.Aversion)
	b = AppendInt64(b, int64(s.EphemeralOwner))
	b = AppendInt32(b, s.DataLength)
	b = AppendInt32(b, s.NumChildren)
	return AppendInt64(b, int64(s.Pzxid))
}

// Decode reads s.
func (s *Stat) Decode(d *Decoder) {
	s.Czxid = Zxid(d.Int64())
	s.Mzxid = Zxid(d.Int64())
	s.Ctime = d.Int64()
	s.Mtime = d.Int64()
	s.Version = d.Int32()
	s.Cversion = d.Int32()
	s.Aversion = d.Int32()
	s.EphemeralOwner = SessionID(d.Int64())
	s.DataLength = d.Int32()
	s.NumChildren = d.Int32()
	s.Pzxid = Zxid(d.Int64())
}

// StatPersisted is what a snapshot keeps of a znode; 60 bytes. Unlike in Stat,
// Cversion counts created children only, and EphemeralOwner also tells
// containers and TTL nodes (see ContainerOwner and TTLOwner).
type StatPersisted struct {
	Czxid          Zxid
	Mzxid          Zxid
	Ctime          int64 // ms since 1970
	Mtime          int64 // ms since 1970
	Version        int32
	Cversion       int32 // children ever created
	Aversion       int32
	EphemeralOwner int64
	Pzxid          Zxid
}

// StatPersistedSize is the encoded size of a StatPersisted in bytes.
const StatPersistedSize = 60

// Append encodes s in the order of a snapshot file.
func (s *StatPersisted) Append(b []byte) []byte {
	b = AppendInt64(b, int64(s.Czxid))
	b = AppendInt64(b, int64(s.Mzxid))
	b = AppendInt64(b, s.Ctime)
	b = AppendInt64(b, s.Mtime)
	b = AppendInt32(b, s.Version)
	b = AppendInt32(b, s.Cversion)
	b = AppendInt32(b, s.Aversion)
	b = AppendInt64(b, s.EphemeralOwner)
	return AppendInt64(b, int64(s.Pzxid))
}

// Decode reads s in the order of a snapshot file.
func (s *StatPersisted) Decode(d *Decoder) {
	s.Czxid = Zxid(d.Int64())
	s.Mzxid = Zxid(d.Int64())
	s.Ctime = d.Int64()
	s.Mtime = d.Int64()
	s.Version = d.Int32()
	s.Cversion = d.Int32()
	s.Aversion = d.Int32()
	s.EphemeralOwner = d.Int64()
	s.Pzxid = Zxid(d.Int64())
}

// Values of a stored ephemeralOwner that are not session ids.
const (
	// ContainerOwner marks a container.
	ContainerOwner int64 = -1 << 63
	// ttlMark in the top byte, with 0 in the next two (the feature id of TTL),
	// marks a TTL node; the low 40 bits are the TTL in ms.
	ttlMark int64 = -1 << 56
	// TTLMax is the longest TTL in ms that an owner can hold.
	TTLMax int64 = 1<<40 - 1
)

// TTLOwner is the stored ephemeralOwner of a node with the given TTL in ms,
// which must lie in 1…TTLMax.
func TTLOwner(ttlMs int64) int64 { return ttlMark | ttlMs }

// OwnerKind tells what a stored ephemeralOwner means.
type OwnerKind uint8

// The kinds of znodes that a stored ephemeralOwner tells apart.
const (
	OwnerNone OwnerKind = iota // persistent
	OwnerSession
	OwnerContainer
	OwnerTTL
)

// KindOfOwner tells what the stored ephemeralOwner means. For OwnerTTL ttlMs
// is the TTL. Owners with the top byte 0xff and another feature id than TTL's
// are read as session ids; no server hands such ids out.
func KindOfOwner(owner int64) (kind OwnerKind, ttlMs int64) {
	switch {
	case owner == 0:
		return OwnerNone, 0
	case owner == ContainerOwner:
		return OwnerContainer, 0
	case owner&^TTLMax == ttlMark:
		return OwnerTTL, owner & TTLMax
	}
	return OwnerSession, 0
}

// EventType is what happened to a znode, as a watcher is told.
type EventType int32

// The event types that a server sends.
const (
	EventNodeCreated         EventType = 1
	EventNodeDeleted         EventType = 2
	EventNodeDataChanged     EventType = 3
	EventNodeChildrenChanged EventType = 4
)

func (t EventType) String() string {
	switch t {
	case EventNodeCreated:
		return "NodeCreated"
	case EventNodeDeleted:
		return "NodeDeleted"
	case EventNodeDataChanged:
		return "NodeDataChanged"
	case EventNodeChildrenChanged:
		return "NodeChildrenChanged"
	}
	return fmt.Sprintf("EventType(%d)", int32(t))
}

// StateSyncConnected is the only keeper state that a server puts in an event.
const StateSyncConnected int32 = 3

// WatcherType selects the watches that checkWatches and removeWatches speak of.
type WatcherType int32

// Watcher types, in ZooKeeper's numbering.
const (
	WatcherChildren            WatcherType = 1
	WatcherData                WatcherType = 2
	WatcherAny                 WatcherType = 3
	WatcherPersistent          WatcherType = 4
	WatcherPersistentRecursive WatcherType = 5
)

// AddWatch modes.
const (
	AddWatchPersistent          int32 = 0
	AddWatchPersistentRecursive int32 = 1
)

// Xids with a meaning of their own.
const (
	XidNotification int32 = -1
	XidPing         int32 = -2
	XidAuth         int32 = -4
	XidSetWatches   int32 = -8
)
