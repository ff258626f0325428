package config

import (
	"time"

	"zooid/wire"
)

// Config is a validated configuration. Parse and Default make it; nobody
// changes it afterwards but its own methods.
type Config struct {
	// Source names the text that this was read from, for messages.
	Source string

	Storage  Storage
	Clients  Clients
	Sessions Sessions
	Throttle Throttle
	Admin    Admin
	Metrics  Metrics
	Auth     Auth
	Tree     Tree
	Ensemble Ensemble

	// Warnings is what the operator should read once at start: keys without
	// effect, dangerous settings, values that were adjusted. One line each.
	Warnings []string

	settings []Setting
}

// Storage is where and how data is kept.
type Storage struct {
	DataDir    string // snapshots, the durable copy, myid; as written, possibly relative
	LogDir     string // the txn log; the same as DataDir unless dataLogDir is set
	AutoCreate bool   // make missing directories
	TrustEmpty bool   // take a log without a snapshot, though it lacks its beginning

	PreallocBytes int64 // a log file grows in steps of so much
	RollBytes     int64 // a log file is not continued beyond so much; 0 = no limit of size
	SnapTxns      int64 // a snapshot file is due after so many txns, and a new log file
	SnapBytes     int64 // the same, after so many bytes of log; 0 = no limit of size

	NoSync    bool          // do not wait for the disk (forceSync=no): acknowledged writes can be lost
	FsyncWarn time.Duration // a sync that takes longer is worth a line in the log

	PurgeInterval time.Duration // time between purges; 0 = never purge
	SnapRetain    int           // snapshot files to keep, at least 3
	// LogBudgetBytes is how much log may follow the newest snapshot, and by how much
	// log and snapshots may grow before a purge is done before its time; 0 = the
	// store's default, as when purging is off.
	LogBudgetBytes int64
}

// Clients is the client port and what one connection may ask of it.
type Clients struct {
	Addr Addr // Port 0: nothing listens
	// Backlog is clientPortListenBacklog as written; -1 = the system's largest.
	Backlog int

	MaxPerIP           int           // connections from one address (maxClientCnxns); 0 or less = no limit
	MaxTotal           int           // connections in all (maxCnxns); 0 or less = no limit
	MaxFrameBytes      int           // length of a request (jute.maxbuffer)
	KeepAlive          bool          // TCP keepalive
	SessionlessTimeout time.Duration // a connection without a session is closed after so long

	FourLetterWhitelist string // 4lw.commands.whitelist as written
	ReadOnlyMode        bool   // readonlymode.enabled
}

// Sessions is the time base and the bounds of session timeouts.
type Sessions struct {
	Tick       time.Duration
	TimeoutMin time.Duration
	TimeoutMax time.Duration
}

// Throttle bounds what is under way.
type Throttle struct {
	OutstandingMax int           // requests in the server, globalOutstandingLimit
	RequestsMax    int           // requests between throttler and outcome, request_throttle_max_requests; 0 = no limit
	OpWait         time.Duration // a request that waited longer is refused, throttled_op_wait_time; 0 = never

	LargeBytesMax  int64 // bytes of large requests under way, largeRequestMaxBytes
	LargeThreshold int   // a request of more bytes is large; -1 = none is

	ConnTokens    int           // bucket of new connections, connection_throttle_tokens; 0 = no limit
	ConnFillTime  time.Duration // time between two fillings of the bucket
	ConnFillCount int           // tokens per filling
}

// Admin is the operators' HTTP listener.
type Admin struct {
	Enabled     bool
	Addr        Addr
	CommandURL  string        // path before the commands
	IdleTimeout time.Duration // of a connection
}

// Metrics is the listener for Prometheus that metricsProvider.* asks for.
type Metrics struct {
	Prometheus bool // the provider class is Prometheus': listen on Addr as well
	Addr       Addr
}

// Auth is what auth.Options needs.
type Auth struct {
	DigestDisabled  bool
	DigestAlgorithm string // SHA1, SHA-256, SHA-512, SHA3-256
	SuperDigest     string // user:base64(hash); "" = nobody is super; a secret
	Enforce         bool
	EnforceSchemes  []string
}

// Tree is what the configuration says about requests, for znode.Rules, and how
// containers and TTL nodes are reaped.
type Tree struct {
	SkipACL         bool
	EnforceQuota    bool
	ExtendedTypes   bool // TTL nodes
	Emulate353      bool // owners in the form of ZooKeeper 3.5.3 are read as TTLs
	ReconfigEnabled bool
	NoDigest        bool // compute no tree digests

	ReapInterval       time.Duration // between two looks for containers and TTL nodes
	ReapPerMinute      int           // deletions a minute
	ReapNeverUsedAfter time.Duration // a container that never had a child is reaped after so long; 0 = never
}

// Ensemble is who the server is and what it shares with others.
type Ensemble struct {
	// SID is the number in myid, UnsetSID without one.
	SID               wire.SID
	Observer          bool // this server's role
	StandaloneEnabled bool // one participant alone is a standalone server
	MultiAddress      bool

	InitLimitTicks    int
	SyncLimitTicks    int
	ConnectLimitTicks int // connectToLearnerMasterLimit, for a dial to a leader; 0 = as long as Zooid likes

	NotifyMin      time.Duration // first wait for notifications in an election
	NotifyMax      time.Duration // longest one, at least NotifyMin
	EpochWait      time.Duration // leader.maxTimeToWaitForEpoch; below 0 = a voter that looks elsewhere is waited for
	ElectionDial   time.Duration // cnxTimeout, of a dial for the election
	ElectionGreet  time.Duration // quorumCnxnTimeoutMs, for who dials us to say who he is; 0 or less = SyncLimitTicks
	BindTries      int           // electionPortBindRetry, a second apart; 0 = for ever
	KeepAlive      bool          // TCP keepalive between members
	ExtraBytes     int           // jute.maxbuffer.extrasize; 0 = as much as a frame
	ListenOnAllIPs bool

	LocalSessions          bool
	LocalSessionsUpgrading bool

	// DynamicConfigFile names the file with the membership, which the caller
	// reads and hands to SetDynamic; "" = the membership stands in zoo.cfg.
	DynamicConfigFile string
	// Members is never nil; it is empty without server lines.
	Members *Membership
}

// UnsetSID is the SID of a server without a myid file.
const UnsetSID wire.SID = -1

// logBudgetBytes is when a purge is due early: at ZooKeeper's 64 MiB a file,
// some sixteen files.
const logBudgetBytes = 1 << 30

// DefaultText is the zoo.cfg of a server that was given none.
const DefaultText = "dataDir=./zooid-data\nclientPort=2181\ntickTime=2000\n"

// Default is the configuration of a server that was given none: client port
// 2181, data below ./zooid-data, operators' port 8080.
func Default() *Config {
	c, err := Parse([]byte(DefaultText), "built-in defaults", nil, nil)
	if err != nil {
		panic(err)
	}
	return c
}
