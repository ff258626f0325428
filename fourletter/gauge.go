package fourletter

import (
	"strconv"

	"zooid/wire"
)

// Samples are the values of all metrics in the order of Metrics: the gauges
// that the server's mode has, and s.Instruments. It needs PartMetrics. The
// gauges of a server that is not serving are left out, as in ZooKeeper, but for
// the one that says so.
func (s *Status) Samples() []Sample {
	list := make([]Sample, 0, len(Metrics)+len(s.Instruments))
	if s.Mode == ModeNotServing {
		list = append(list, Sample{Metric: metricByName["zooid_serving"]})
	} else {
		list = s.appendGauges(list)
	}
	return append(list, s.Instruments...)
}

func (s *Status) appendGauges(list []Sample) []Sample {
	add := func(name string, value float64) {
		list = append(list, Sample{Metric: metricByName[name], Value: value})
	}
	count := func(name string, value int64) { add(name, float64(value)) }

	count("znode_count", s.NodeCount)
	count("ephemerals_count", s.EphemeralCount)
	count("approximate_data_size", s.DataSize)
	count("watch_count", s.WatchCount)
	count("global_sessions", s.GlobalSessions)
	count("local_sessions", s.LocalSessions)
	count("num_alive_connections", s.Connections)
	count("outstanding_requests", s.Outstanding)
	count("packets_received", s.Received)
	count("packets_sent", s.Sent)
	count("min_latency", s.Latency.Min.Milliseconds())
	add("avg_latency", s.Latency.averageMs())
	count("max_latency", s.Latency.Max.Milliseconds())
	count("last_client_response_size", s.ResponseSize.Last)
	count("min_client_response_size", s.ResponseSize.Min)
	count("max_client_response_size", s.ResponseSize.Max)
	count("uptime", s.Uptime.Milliseconds())
	count("open_file_descriptor_count", s.OpenFiles)
	count("max_file_descriptor_count", s.MaxFiles)
	count("auth_failed_count", s.AuthFailed)
	add("connection_drop_probability", s.ConnectionDropProbability)
	count("non_mtls_local_conn_count", s.NonTLSLocal)
	count("non_mtls_remote_conn_count", s.NonTLSRemote)
	count("outstanding_tls_handshake", s.TLSHandshakes)
	full := int64(0)
	if s.DiskFull || s.DiskShort != "" {
		full = 1
	}
	count("zooid_disk_full", full)
	suspect := int64(0)
	if s.Suspect != "" {
		suspect = 1
	}
	count("zooid_tree_suspect", suspect)
	count("zooid_serving", 1)
	s.memberGauges(count)
	if s.Mode == ModeLeader {
		list = s.Leading.appendFollowers(list)
	}
	return s.appendQuotas(list)
}

// memberGauges gives the gauges that only some members of an ensemble have.
func (s *Status) memberGauges(count func(name string, value int64)) {
	if !s.Mode.Ensemble() {
		return
	}
	count("zooid_epoch", s.Epoch)
	count("zooid_leader_sid", int64(s.Leader))
	count("quorum_size", s.QuorumSize)
	if s.Mode == ModeObserver {
		return
	}
	count("synced_observers", s.SyncedObservers)
	if s.Mode == ModeFollower {
		return
	}
	l := &s.Leading
	count("learners", l.Learners)
	count("synced_followers", l.SyncedFollowers)
	count("synced_non_voting_followers", l.SyncedNonVotingFollowers)
	count("pending_syncs", l.PendingSyncs)
	count("leader_uptime", l.Uptime.Milliseconds())
	count("last_proposal_size", l.ProposalSize.Last)
	count("min_proposal_size", l.ProposalSize.Min)
	count("max_proposal_size", l.ProposalSize.Max)
}

// appendFollowers gives what is known of each voter.
func (l *Leading) appendFollowers(list []Sample) []Sample {
	for _, gauge := range []struct {
		name  string
		value func(f *Follower) int64
	}{
		{"zooid_follower_synced", func(f *Follower) int64 {
			if f.Synced {
				return 1
			}
			return 0
		}},
		{"zooid_follower_lag_txns", func(f *Follower) int64 { return lagTxns(l.Proposed, f.Acked) }},
		{"zooid_follower_lag_ms", func(f *Follower) int64 { return f.Lag.Milliseconds() }},
	} {
		m := metricByName[gauge.name]
		for i := range l.Followers {
			f := &l.Followers[i]
			list = append(list, Sample{Metric: m, Key: strconv.FormatInt(int64(f.SID), 10), Value: float64(gauge.value(f))})
		}
	}
	return list
}

// lagTxns is how many proposals lie behind acked. Of earlier epochs than that of
// proposed nobody knows the number without reading the log.
func lagTxns(proposed, acked wire.Zxid) int64 {
	if epochStart := proposed &^ 0xffffffff; acked < epochStart {
		acked = epochStart
	}
	return int64(max(proposed-acked, 0))
}

func (s *Status) appendQuotas(list []Sample) []Sample {
	for _, gauge := range []struct {
		name  string
		value func(q *Quota) int64
	}{
		{"quota_count_limit_per_namespace", func(q *Quota) int64 { return q.CountLimit }},
		{"quota_count_usage_per_namespace", func(q *Quota) int64 { return q.CountUsage }},
		{"quota_bytes_limit_per_namespace", func(q *Quota) int64 { return q.BytesLimit }},
		{"quota_bytes_usage_per_namespace", func(q *Quota) int64 { return q.BytesUsage }},
	} {
		m := metricByName[gauge.name]
		for i := range s.Quotas {
			list = append(list, Sample{Metric: m, Key: s.Quotas[i].Namespace, Value: float64(gauge.value(&s.Quotas[i]))})
		}
	}
	return list
}
