package fourletter

import (
	"net/netip"
	"time"

	"zooid/wire"
)

// Mode is what a server is to its clients at the moment.
type Mode uint8

// The modes. The zero value is a server that has no quorum and is not
// read-only either.
const (
	ModeNotServing Mode = iota
	ModeStandalone
	ModeLeader
	ModeFollower
	ModeObserver
	ModeReadOnly
)

// String is the mode as srvr and mntr print it.
func (m Mode) String() string {
	switch m {
	case ModeStandalone:
		return "standalone"
	case ModeLeader:
		return "leader"
	case ModeFollower:
		return "follower"
	case ModeObserver:
		return "observer"
	case ModeReadOnly:
		return "read-only"
	}
	return "not serving"
}

// Ensemble tells whether the mode is one of a member that has a quorum.
func (m Mode) Ensemble() bool { return m == ModeLeader || m == ModeFollower || m == ModeObserver }

// ExpiresNobody tells whether another server, or none, expires the global
// sessions: dump then shows their timeouts instead of their ends.
func (m Mode) ExpiresNobody() bool {
	return m == ModeFollower || m == ModeObserver || m == ModeReadOnly
}

// Status is a server at one moment: everything that any word needs. The fields
// up to Leading are cheap and always filled in; those after it only as far as
// Needs asks for them.
type Status struct {
	Version string // see Version
	Mode    Mode
	// NotServing says in a few words why Mode is ModeNotServing.
	NotServing string

	Zxid           wire.Zxid // last applied
	NodeCount      int64     // ZooKeeper's count: one more than there are znodes
	EphemeralCount int64
	DataSize       int64 // bytes of paths and data, approximate
	WatchCount     int64 // watches in the data and the child table
	GlobalSessions int64
	LocalSessions  int64

	Latency      Latency
	Received     int64 // packets from clients since start or srst; a word counts as one
	Sent         int64 // packets to clients
	ResponseSize Sizes // bytes of a client's reply
	Connections  int64 // open client connections, this one included
	Outstanding  int64 // requests received and not yet answered
	Uptime       time.Duration
	AuthFailed   int64

	OpenFiles, MaxFiles       int64    // file descriptors in use, and the limit
	NonTLSLocal, NonTLSRemote int64    // connections without mutual TLS, from this machine and from others
	TLSHandshakes             int64    // handshakes under way
	ConnectionDropProbability float64  // 0…1, of the connection throttle
	TraceMask                 int64    // as gtmk tells it; DefaultTraceMask until stmk
	DiskFull                  bool     // writes wait until the log's disk has room again
	DiskShort                 string   // which disk has too little room, and how much; "" = enough
	Suspect                   string   // why the tree may not be the ensemble's; "" if nothing says so
	PeerState                 string   // in an ensemble: "leading - broadcast" and the like; else ""
	ObserverMaster            wire.SID // ModeObserver: the server that it follows
	Leader                    wire.SID // in an ensemble: whom it follows, or itself
	Epoch                     int64    // in an ensemble: the leader's
	QuorumSize                int64    // in an ensemble: voters
	SyncedObservers           int64    // leader and follower: observers that this server feeds
	Leading                   Leading  // ModeLeader only

	Config      Config         // PartConfig
	DataDirSize int64          // PartDirs: bytes of the files in the snapshot directory
	LogDirSize  int64          // PartDirs: bytes of the files in the log directory
	Clients     []Client       // PartClients: in the order in which they are to be listed
	Sessions    Sessions       // PartSessions
	Ephemerals  []SessionPaths // PartEphemerals: sessions that own ephemerals, and those
	Idle        []ClientExpiry // PartIdle: when connections will be closed as idle, soonest first
	Watches     []SessionPaths // PartWatches: data watches by session
	WatchTotals WatchTotals    // PartWatchTotals
	Digests     []Digest       // PartDigests: oldest first
	// Shortened says that a list of clients, paths or sessions is not whole, since
	// it would be too long.
	Shortened   bool
	Environment map[string]string // PartEnvironment: values of EnvironmentKeys
	Quotas      []Quota           // PartMetrics: one for each namespace with a quota
	Instruments []Sample          // PartMetrics: counters and summaries
}

// Part names expensive pieces of a Status; parts combine with |.
type Part uint16

// The parts. PartMetrics stands for Quotas and Instruments.
const (
	PartConfig Part = 1 << iota
	PartDirs
	PartClients
	PartSessions
	PartEphemerals
	PartIdle
	PartWatches
	PartWatchTotals
	PartDigests
	PartEnvironment
	PartMetrics
)

// Latency is how long clients waited for replies, since start or srst. A
// reply's latency runs from the request's arrival to its reply.
type Latency struct {
	Min, Max, Sum time.Duration // 0 without a reply
	Count         int64         // replies
}

// averageMs is the mean in milliseconds.
func (l Latency) averageMs() float64 { return average(milliseconds(l.Sum), l.Count) }

// Sizes are the last, least and greatest of some sizes in bytes, each -1
// before the first one.
type Sizes struct{ Last, Min, Max int64 }

// Leading is what a leader alone knows.
type Leading struct {
	Learners                 int64 // connected followers and observers
	SyncedFollowers          int64
	SyncedNonVotingFollowers int64
	PendingSyncs             int64
	Uptime                   time.Duration // in office
	ProposalSize             Sizes         // bytes
	Proposed                 wire.Zxid     // of the last proposal
	Followers                []Follower    // the voters that are connected, by SID
}

// Follower is how a leader sees a voter.
type Follower struct {
	SID    wire.SID
	Synced bool      // has been told that it is up to date
	Acked  wire.Zxid // the last proposal that it acknowledged
	// Lag is how long it has lacked a proposal without a break; 0 if it lacks
	// none.
	Lag time.Duration
}

// Config is what conf shows. Ports are -1 where there is none.
type Config struct {
	ClientPort, SecureClientPort             int
	DataDir, LogDir                          string // with version-2
	TickTimeMs                               int
	MaxClientCnxns                           int
	MinSessionTimeoutMs, MaxSessionTimeoutMs int
	ClientPortListenBacklog                  int
	ServerID                                 wire.SID // 0 for a standalone server
	// Member is nil for a standalone server.
	Member *MemberConfig
}

// MemberConfig is what conf shows of a member of an ensemble.
type MemberConfig struct {
	InitLimit, SyncLimit       int   // ticks
	ElectionPorts, QuorumPorts []int // one for each address of the member
	Observer                   bool
	// Membership is the dynamic configuration as in /zookeeper/config; not
	// shown by a read-only server.
	Membership string
}

// Client is one client connection and its figures since it began or crst.
type Client struct {
	Remote      netip.AddrPort
	Reading     bool // false while the server does not read from it, as for a word
	Outstanding int64
	Received    int64 // packets
	Sent        int64 // packets

	// Session is 0 before the handshake; the rest has no meaning then.
	Session     wire.SessionID
	LastOp      string // short name of the last request's operation, NA without one
	Established time.Time
	TimeoutMs   int32
	LastCxid    int64         // -1 without a request
	LastZxid    wire.Zxid     // of the last reply, -1 without one
	LastReply   time.Duration // when the last reply was made, on a monotonic clock; 0 without one
	LastLatency time.Duration
	Latency     Latency
}

// Sessions is what dump shows of the sessions.
type Sessions struct {
	// LocalEnabled shows Local even when there is none.
	LocalEnabled bool
	Local        []SessionExpiry // soonest first
	// Global is what the expirer knows: filled in on a standalone server and
	// on a leader, soonest first.
	Global []SessionExpiry
	// Timeouts are the global sessions where Mode.ExpiresNobody, by id.
	Timeouts []SessionTimeout
}

// SessionExpiry is one expiry bucket.
type SessionExpiry struct {
	At       time.Time // shown in this value's zone
	Sessions []wire.SessionID
}

// SessionTimeout is a session and its negotiated timeout.
type SessionTimeout struct {
	Session   wire.SessionID
	TimeoutMs int32
}

// ClientExpiry is one expiry bucket of connections.
type ClientExpiry struct {
	At      time.Time // shown in this value's zone
	Clients []ClientName
}

// ClientName tells which connection is meant.
type ClientName struct {
	Remote  netip.AddrPort
	Session wire.SessionID
}

// SessionPaths is a session and paths that belong to it: its ephemerals, or
// what it watches.
type SessionPaths struct {
	Session wire.SessionID
	Paths   []string
}

// WatchTotals counts data watches; ZooKeeper's wchs leaves child watches out.
type WatchTotals struct{ Connections, Paths, Watches int64 }

// Digest is the tree's digest at a zxid.
type Digest struct {
	Zxid   wire.Zxid
	Digest uint64
}

// Quota is a namespace (the first component of a path) that has a quota: the
// hard limit where there is one, else the soft one, -1 for none, and what is
// used of it.
type Quota struct {
	Namespace              string
	CountLimit, CountUsage int64
	BytesLimit, BytesUsage int64
}
