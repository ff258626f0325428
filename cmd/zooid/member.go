package main

import (
	"math"
	"slices"
	"strconv"
	"time"

	"zooid/auth"
	"zooid/config"
	"zooid/fourletter"
	"zooid/peer"
	"zooid/quorum"
	"zooid/session"
	"zooid/wire"
	"zooid/zab"
	"zooid/znode"
)

// finalizeMs is how long an election that is decided waits for a better vote
// while somebody has not answered, and dialTries how often a leader is dialled
// in vain, both as in ZooKeeper.
const (
	finalizeMs = 200
	dialTries  = 5
)

// What a leader keeps for learners that come back: so many bytes of
// transactions in memory, and so many of log at most before a snapshot is the
// shorter way.
const (
	recentBytes = 16 << 20
	diffBytes   = 256 << 20
)

// readOnlyWait is how long clients that only want to read wait for a leader at
// least, as in ZooKeeper.
const readOnlyWait = 2 * time.Second

// sid is the server's number in the ids of sessions that it makes.
func (p *process) sid() wire.SID {
	if p.cfg.Ensemble.SID == config.UnsetSID {
		return standaloneSID
	}
	return p.cfg.Ensemble.SID
}

// membersOf is the membership as the protocol sees it.
func membersOf(m *config.Membership) *zab.Ensemble {
	e := &zab.Ensemble{Groups: m.Groups, Weights: m.Weights, Version: m.Version, Text: []byte(m.String())}
	for i := range m.Members {
		e.Members = append(e.Members, zab.Member{SID: m.Members[i].SID, Observer: m.Members[i].Observer})
	}
	return e
}

// zabConfig is what the configuration says to the protocol.
func zabConfig(c *config.Config, sid wire.SID) zab.Config {
	z := zab.Config{SID: sid, TickMs: c.Sessions.Tick.Milliseconds()}
	if !c.Distributed() {
		return z
	}
	e := &c.Ensemble
	z.Ensemble, z.Observer = membersOf(e.Members), e.Observer
	z.RecentBytes, z.DiffBytes = recentBytes, diffBytes
	z.InitLimit, z.SyncLimit = int64(e.InitLimitTicks), int64(e.SyncLimitTicks)
	z.MinNotifyMs, z.MaxNotifyMs, z.FinalizeMs = e.NotifyMin.Milliseconds(), e.NotifyMax.Milliseconds(), finalizeMs
	z.MaxEpochWaitMs, z.DialTries = e.EpochWait.Milliseconds(), dialTries
	return z
}

// peerConfig is what the configuration says to the peer.
func (p *process) peerConfig() peer.Config {
	e, t := &p.cfg.Ensemble, &p.cfg.Tree
	z := zabConfig(p.cfg, p.sid())
	if p.cfg.Distributed() {
		z.Secret = string(p.store.SessionSecret())
	}
	return peer.Config{
		Zab: z, Keys: session.NewKeys(p.store.SessionSecret()),
		SweepMs: t.ReapInterval.Milliseconds(), SweepMax: t.ReapPerMinute, NeverUsedMs: t.ReapNeverUsedAfter.Milliseconds(),
		LocalSessions: e.LocalSessions, LocalUpgrade: e.LocalSessionsUpgrading,
		HoldMs: p.cfg.Sessions.Tick.Milliseconds(), PacketMax: packetMax(p.cfg),
	}
}

// rules are what the configuration says about requests.
func (p *process) rules(registry *auth.Registry) znode.Rules {
	refused := p.metrics.CounterSet("quota_exceeded_error_per_namespace")
	t := &p.cfg.Tree
	return znode.Rules{Auth: registry, SkipACL: t.SkipACL, EnforceQuota: t.EnforceQuota,
		ExtendedTypes: t.ExtendedTypes, Emulate353: t.Emulate353, ReconfigEnabled: t.ReconfigEnabled, NoDigest: t.NoDigest,
		TxnMax: packetMax(p.cfg), QuotaExceeded: func(namespace string) { refused(namespace, 1) }}
}

// packetMax is how many bytes a transaction, or the data of a packet between
// members, may have: what a ZooKeeper with the same settings reads.
func packetMax(c *config.Config) int {
	if c.Ensemble.ExtraBytes > 0 {
		return c.Clients.MaxFrameBytes + c.Ensemble.ExtraBytes
	}
	return 2 * c.Clients.MaxFrameBytes
}

// recovered is what the disk holds beside the tree.
func (p *process) recovered() (d zab.Disk, err error) {
	tree := p.store.Tree().LastZxid()
	d = zab.Disk{Last: max(tree, p.store.Log().Last()), Committed: tree}
	if !p.cfg.Distributed() {
		return d, nil
	}
	if d.Epochs.Accepted, d.Epochs.Current, err = p.store.Epochs(); err != nil {
		return d, err
	}
	d.Recent, err = p.store.Tail()
	return d, err
}

// networkOf says where the other members are, and how they are reached; nil for
// a server alone.
func networkOf(c *config.Config) *quorum.Ensemble {
	if !c.Distributed() {
		return nil
	}
	e, tick := &c.Ensemble, c.Sessions.Tick
	n := &quorum.Ensemble{
		Members:        map[wire.SID]quorum.Addresses{},
		CnxTimeout:     e.ElectionDial,
		ConnectTimeout: time.Duration(e.ConnectLimitTicks) * tick,
		GreetTimeout:   e.ElectionGreet,
		BindTries:      e.BindTries,
		KeepAlive:      e.KeepAlive,
		MaxPacket:      max(packetMax(c), wire.TxnBytesMax),
	}
	if n.GreetTimeout <= 0 {
		n.GreetTimeout = time.Duration(e.SyncLimitTicks) * tick
	}
	if n.BindTries == 0 {
		n.BindTries = math.MaxInt
	}
	if c.Clients.ReadOnlyMode {
		n.ReadOnlyAfter = max(readOnlyWait, tick)
	}
	for i := range e.Members.Members {
		m := &e.Members.Members[i]
		var a quorum.Addresses
		for _, addr := range m.Addrs {
			a.Quorum = append(a.Quorum, config.Addr{Host: addr.Host, Port: addr.QuorumPort}.String())
			a.Election = append(a.Election, config.Addr{Host: addr.Host, Port: addr.ElectionPort}.String())
		}
		n.Members[m.SID] = a
		if m.SID == e.SID {
			n.ListenQuorum, n.ListenElection = listenAddrs(m, e.ListenOnAllIPs)
		}
	}
	return n
}

// listenAddrs are where a member listens for the others. Where it listens on all
// addresses of the machine, a port is one whatever the number of its addresses.
func listenAddrs(m *config.Member, everywhere bool) (quorum, election []string) {
	add := func(list *[]string, host string, port int) {
		if everywhere {
			host = ""
		}
		if addr := (config.Addr{Host: host, Port: port}).Listen(); !slices.Contains(*list, addr) {
			*list = append(*list, addr)
		}
	}
	for _, a := range m.Addrs {
		add(&quorum, a.Host, a.QuorumPort)
		add(&election, a.Host, a.ElectionPort)
	}
	return quorum, election
}

// makeMember makes the member of what the configuration says and the disk holds.
// Start begins its loop.
func (p *process) makeMember() error {
	disk, err := p.recovered()
	if err != nil {
		return err
	}
	if p.cfg.Distributed() {
		m, tree := p.cfg.Ensemble.Members, p.store.Tree()
		tree.Lock()
		tree.SetConfig([]byte(m.String()), m.Version, time.Now().UnixMilli())
		tree.Unlock()
	}
	network := networkOf(p.cfg)
	if network != nil {
		network.Disk = p.store
	}
	p.member = quorum.NewMember(quorum.Options{
		Peer: p.peerConfig(), Disk: disk, Ensemble: network, Logger: p.logger,
		Tree: p.store.Tree(), Log: p.store.Log(), Store: p.store, Clients: p.server,
		Count: p.instruments(), Mismatch: p.store.NoteMismatch, TrueDigest: p.store.TrueDigest,
	})
	p.server.Serve(p.member)
	return nil
}

// instruments are the counters of the member, under ZooKeeper's names where it
// has them.
func (p *process) instruments() quorum.Instruments {
	m := p.metrics
	changes, acks := m.CounterSet("zooid_leader_changes"), m.TimerSet("ack_latency")
	requests, batch := m.Counter("prep_processor_request_queued"), m.Summary("prep_processor_queue_size")
	synced := "follower_sync_time"
	if p.cfg.Ensemble.Observer {
		synced = "observer_sync_time"
	}
	return quorum.Instruments{
		Logged: m.Counter("sync_processor_request_queued"), Applied: m.Counter("request_commit_queued"),
		Mismatched: m.Counter("digest_mismatches_count"),
		Looked:     m.Counter("looking_count"), Elected: m.Timer("election_time"), Found: m.Timer("unavailable_time"),
		RoleEnded: func(reason string) { changes(fourletter.Reason(reason), 1) },

		AppliedIn: m.Timer("commit_process_time"), Travelled: m.Timer("propagation_latency"),
		Batched: func(n int64) { requests(n); batch(n) }, Prepared: m.Timer("prep_process_time"),
		Disloyal: m.Counter("quit_leading_due_to_disloyal_voter"),
		Proposed: m.Counter("proposal_count"), Committed: m.Counter("commit_count"), Expired: m.Counter("stale_sessions_expired"),
		FoundLeading: m.Timer("leader_unavailable_time"),
		DiffsSent:    m.Counter("diff_count"), TruncsSent: m.Counter("zooid_trunc_count"), SnapshotsSent: m.Counter("snap_count"),
		SnapshotsOut: m.Summary("inflight_snap_count"), Revalidated: m.Counter("revalidate_count"),
		QuorumAcked: m.Timer("quorum_ack_latency"),
		Acked:       func(by wire.SID, took time.Duration) { acks(strconv.FormatInt(int64(by), 10), took) },

		Synced:            m.Timer(synced),
		ProposalsReceived: m.Counter("learner_proposal_received_count"), CommitsReceived: m.Counter("learner_commit_received_count"),
		ProposalTravelled: m.Timer("proposal_latency"),
		Installed:         m.Counter("zooid_snapshot_installed_count"), Truncated: m.Counter("zooid_log_truncated_count"),
	}
}
