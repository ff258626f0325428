package fourletter

// Kind is how a metric is counted and shown.
type Kind uint8

// The kinds. A Summary shows the median, an Advanced one more quantiles.
const (
	Gauge Kind = iota
	Counter
	Summary
	Advanced
)

// Metric is one of ZooKeeper's metrics.
type Metric struct {
	Name string
	Kind Kind
	// Set has one value for each key (a namespace, a server id or a reason).
	Set bool
	// Label is what a key of a Set is called on the Prometheus page, empty for
	// ZooKeeper's own name for all of them, key.
	Label string
	// Duration marks a summary of times; its samples are in milliseconds,
	// fractions included. Other summaries are of plain numbers.
	Duration bool
	// Double marks a gauge that ZooKeeper shows as a fraction.
	Double bool
	// Help says what is counted here. It is empty where ZooKeeper counts
	// something that this server does not have; such a metric stays 0, so that
	// queries which name it still find it.
	Help string
}

// Quantiles are the quantiles of Sample.Quantiles, in order.
var Quantiles = [...]float64{0.5, 0.9, 0.95, 0.99, 0.999}

// Sample is the value of a metric at one moment.
type Sample struct {
	Metric *Metric
	Key    string  // of a Set, else ""
	Value  float64 // of a Gauge or Counter

	// The rest is for summaries, of all values since start or srst, 0 without
	// any; but Quantiles are of recent values, NaN without any.
	Count         int64
	Sum, Min, Max float64
	Quantiles     [len(Quantiles)]float64
}

// LookupMetric finds a metric by ZooKeeper's name for it.
func LookupMetric(name string) (*Metric, bool) {
	m, ok := metricByName[name]
	return m, ok
}

var metricByName = func() map[string]*Metric {
	byName := make(map[string]*Metric, len(Metrics))
	for i := range Metrics {
		byName[Metrics[i].Name] = &Metrics[i]
	}
	return byName
}()

// Metrics are all metrics that a server has, in the order in which they are
// shown. Names, kinds and keys are those of Apache ZooKeeper 3.9. It must not be
// changed.
//
// Our own begin with zooid_. ZooKeeper tells that there was an election, but
// not why, and that a follower is in step, but not which one or how far behind
// it is. Hence zooid_leader_changes by reason, zooid_leader_sid and zooid_epoch
// (members that disagree on them are apart), and for each voter that is
// connected to a leader zooid_follower_synced, zooid_follower_lag_txns and
// zooid_follower_lag_ms. A voter that is not connected has no lag: learners and
// quorum_size tell of it. zooid_serving is the one gauge that a server shows
// while it does not serve.
var Metrics = []Metric{
	// Gauges: see Status.gauges.
	{Name: "znode_count", Help: "znodes, plus one"},
	{Name: "ephemerals_count", Help: "ephemeral znodes"},
	{Name: "approximate_data_size", Help: "bytes of paths and data"},
	{Name: "watch_count", Help: "watches, child watches included"},
	{Name: "global_sessions", Help: "sessions of the ensemble"},
	{Name: "local_sessions", Help: "sessions known to this server only"},
	{Name: "num_alive_connections", Help: "open client connections"},
	{Name: "outstanding_requests", Help: "requests received and not yet answered"},
	{Name: "packets_received", Help: "packets from clients since start or srst"},
	{Name: "packets_sent", Help: "packets to clients since start or srst"},
	{Name: "min_latency", Help: "shortest time to a reply in ms since start or srst"},
	{Name: "avg_latency", Double: true, Help: "mean time to a reply in ms since start or srst"},
	{Name: "max_latency", Help: "longest time to a reply in ms since start or srst"},
	{Name: "last_client_response_size", Help: "bytes of the last reply, -1 before the first"},
	{Name: "min_client_response_size", Help: "bytes of the smallest reply, -1 before the first"},
	{Name: "max_client_response_size", Help: "bytes of the largest reply, -1 before the first"},
	{Name: "uptime", Help: "ms since the server began to serve"},
	{Name: "open_file_descriptor_count", Help: "file descriptors in use"},
	{Name: "max_file_descriptor_count", Help: "limit on file descriptors"},
	{Name: "auth_failed_count", Help: "failed authentications since start or srst"},
	{Name: "connection_drop_probability", Double: true},
	{Name: "non_mtls_local_conn_count", Help: "connections from this machine without mutual TLS"},
	{Name: "non_mtls_remote_conn_count", Help: "connections from other machines without mutual TLS"},
	{Name: "outstanding_tls_handshake"},
	{Name: "zooid_disk_full", Help: "1 while a disk has too little room for writes"},
	{Name: "zooid_tree_suspect", Help: "1 if a transaction's digest says that the tree here is not the ensemble's"},
	{Name: "zooid_serving", Help: "1 while clients are served, read-only ones included"},
	{Name: "zooid_epoch", Help: "epoch of the leader that this server follows, or is"},
	{Name: "zooid_leader_sid", Help: "server id of the leader that this server follows, or is"},
	{Name: "quorum_size", Help: "voting members"},
	{Name: "synced_observers", Help: "observers that this server feeds"},
	{Name: "learners", Help: "connected followers and observers"},
	{Name: "synced_followers", Help: "followers in step with the leader"},
	{Name: "synced_non_voting_followers", Help: "followers in step that do not vote"},
	{Name: "pending_syncs", Help: "syncs that wait for a commit"},
	{Name: "leader_uptime", Help: "ms in office"},
	{Name: "last_proposal_size", Help: "bytes of the last proposal, -1 before the first"},
	{Name: "min_proposal_size", Help: "bytes of the smallest proposal, -1 before the first"},
	{Name: "max_proposal_size", Help: "bytes of the largest proposal, -1 before the first"},
	{Name: "zooid_follower_synced", Set: true, Label: "sid", Help: "1 for a connected voter that is in step with the leader, 0 for one that is being brought there"},
	{Name: "zooid_follower_lag_txns", Set: true, Label: "sid", Help: "proposals that a connected voter has not acknowledged, those of the present epoch"},
	{Name: "zooid_follower_lag_ms", Set: true, Label: "sid", Help: "ms for which a connected voter has lacked a proposal, 0 if it lacks none"},
	{Name: "quota_count_limit_per_namespace", Set: true, Help: "znodes that the quota allows, -1 for any number"},
	{Name: "quota_count_usage_per_namespace", Set: true, Help: "znodes under a quota"},
	{Name: "quota_bytes_limit_per_namespace", Set: true, Help: "bytes that the quota allows, -1 for any number"},
	{Name: "quota_bytes_usage_per_namespace", Set: true, Help: "bytes of data under a quota"},

	{Name: "add_dead_watcher_stall_time", Kind: Counter},
	{Name: "bytes_received_count", Kind: Counter, Help: "bytes of requests from clients"},
	{Name: "cnxn_closed_without_zk_server_running", Kind: Counter, Help: "client connections closed because the server was not serving"},
	{Name: "commit_count", Kind: Counter, Help: "proposals that a leader committed"},
	{Name: "connection_drop_count", Kind: Counter, Help: "client connections that ended"},
	{Name: "connection_rejected", Kind: Counter, Help: "client connections refused at a limit"},
	{Name: "connection_request_count", Kind: Counter, Help: "handshakes received"},
	{Name: "connection_revalidate_count", Kind: Counter, Help: "handshakes that asked for a session that exists"},
	{Name: "dead_watchers_cleared", Kind: Counter},
	{Name: "dead_watchers_queued", Kind: Counter},
	{Name: "diff_count", Kind: Counter, Help: "synchronizations of a learner by DIFF"},
	{Name: "digest_mismatches_count", Kind: Counter, Help: "txns after which the tree's digest was not the recorded one"},
	{Name: "ensemble_auth_fail", Kind: Counter},
	{Name: "ensemble_auth_skip", Kind: Counter},
	{Name: "ensemble_auth_success", Kind: Counter},
	{Name: "insecure_admin_count", Kind: Counter},
	{Name: "large_requests_rejected", Kind: Counter, Help: "requests refused for their size"},
	{Name: "learner_commit_received_count", Kind: Counter, Help: "commits that a learner received"},
	{Name: "learner_proposal_received_count", Kind: Counter, Help: "proposals that a learner received"},
	{Name: "looking_count", Kind: Counter, Help: "elections that this server entered"},
	{Name: "outstanding_changes_queued", Kind: Counter},
	{Name: "outstanding_changes_removed", Kind: Counter},
	{Name: "prep_processor_request_queued", Kind: Counter, Help: "requests that a leader, or a server alone, was to make txns of"},
	{Name: "proposal_count", Kind: Counter, Help: "proposals that a leader made"},
	{Name: "quit_leading_due_to_disloyal_voter", Kind: Counter, Help: "times that leading was given up because a voter looked for a leader elsewhere"},
	{Name: "request_commit_queued", Kind: Counter, Help: "commits handed to be applied"},
	{Name: "request_throttle_wait_count", Kind: Counter, Help: "times that a connection waited for the request throttle"},
	{Name: "requests_not_forwarded_to_commit_processor", Kind: Counter},
	{Name: "response_bytes", Kind: Counter, Help: "bytes of replies to clients"},
	{Name: "response_packet_cache_hits", Kind: Counter},
	{Name: "response_packet_cache_misses", Kind: Counter},
	{Name: "response_packet_get_children_cache_hits", Kind: Counter},
	{Name: "response_packet_get_children_cache_misses", Kind: Counter},
	{Name: "restore_error_count", Kind: Counter},
	{Name: "restore_rate_limited_count", Kind: Counter},
	{Name: "revalidate_count", Kind: Counter, Help: "sessions that learners asked the leader to revalidate"},
	{Name: "sessionless_connections_expired", Kind: Counter, Help: "connections closed as idle before a handshake"},
	{Name: "skip_learner_request_to_next_processor_count", Kind: Counter},
	{Name: "snap_count", Kind: Counter, Help: "synchronizations of a learner by SNAP"},
	{Name: "snapshot_error_count", Kind: Counter, Help: "snapshots that could not be written"},
	{Name: "snapshot_rate_limited_count", Kind: Counter},
	{Name: "stale_replies", Kind: Counter, Help: "replies for a connection that had gone"},
	{Name: "stale_requests", Kind: Counter},
	{Name: "stale_requests_dropped", Kind: Counter},
	{Name: "stale_sessions_expired", Kind: Counter, Help: "sessions that timed out"},
	{Name: "sync_processor_request_queued", Kind: Counter, Help: "txns handed to the log"},
	{Name: "throttled_ops", Kind: Counter, Help: "requests refused because they had waited too long"},
	{Name: "tls_handshake_exceeded", Kind: Counter},
	{Name: "unrecoverable_error_count", Kind: Counter, Help: "errors that stop the server"},
	{Name: "unsuccessful_handshake", Kind: Counter},
	{Name: "watch_bytes", Kind: Counter, Help: "bytes of watch events to clients"},
	{Name: "zooid_trunc_count", Kind: Counter, Help: "synchronizations of a learner by TRUNC"},
	{Name: "zooid_log_truncated_count", Kind: Counter, Help: "times that this server cut its log because a leader said so"},
	{Name: "zooid_snapshot_installed_count", Kind: Counter, Help: "snapshots of a leader that this server took over"},
	{Name: "quota_exceeded_error_per_namespace", Kind: Counter, Set: true, Help: "requests refused by a quota"},
	{Name: "zooid_leader_changes", Kind: Counter, Set: true, Label: "reason", Help: "times that this server lost its leader, or its own office, by Reason"},

	{Name: "commit_commit_proc_req_queued", Kind: Summary},
	{Name: "commit_process_time", Kind: Summary, Duration: true, Help: "ms for which the tree is locked to apply a batch of txns"},
	{Name: "concurrent_request_processing_in_commit_processor", Kind: Summary},
	{Name: "connection_token_deficit", Kind: Summary},
	{Name: "dbinittime", Kind: Summary, Duration: true, Help: "ms to load the tree at start"},
	{Name: "election_time", Kind: Summary, Duration: true, Help: "ms between looking for a leader and having one"},
	{Name: "follower_sync_time", Kind: Summary, Duration: true, Help: "ms to bring a follower in step"},
	{Name: "fsynctime", Kind: Summary, Duration: true, Help: "ms of a sync of the log"},
	{Name: "inflight_diff_count", Kind: Summary},
	{Name: "inflight_snap_count", Kind: Summary, Help: "learners being synchronized by SNAP"},
	{Name: "leader_unavailable_time", Kind: Summary, Duration: true, Help: "ms between losing a leader and serving as one"},
	{Name: "learner_request_processor_queue_size", Kind: Summary},
	{Name: "netty_queued_buffer_capacity", Kind: Summary},
	{Name: "node_changed_watch_count", Kind: Summary, Help: "watches that a changed znode set off"},
	{Name: "node_children_watch_count", Kind: Summary, Help: "watches that a change of children set off"},
	{Name: "node_created_watch_count", Kind: Summary, Help: "watches that a created znode set off"},
	{Name: "node_deleted_watch_count", Kind: Summary, Help: "watches that a deleted znode set off"},
	{Name: "observer_sync_time", Kind: Summary, Duration: true, Help: "ms to bring an observer in step"},
	{Name: "pending_session_queue_size", Kind: Summary},
	{Name: "prep_process_time", Kind: Summary, Duration: true, Help: "ms to make a txn of a request, the mean of each batch"},
	{Name: "prep_processor_queue_size", Kind: Summary, Help: "requests of a batch of which txns are made together"},
	{Name: "proposal_process_time", Kind: Summary, Duration: true},
	{Name: "read_commit_proc_issued", Kind: Summary},
	{Name: "read_commit_proc_req_queued", Kind: Summary},
	{Name: "reads_after_write_in_session_queue", Kind: Summary},
	{Name: "reads_issued_from_session_queue", Kind: Summary},
	{Name: "requests_in_session_queue", Kind: Summary},
	{Name: "restore_time", Kind: Summary, Duration: true},
	{Name: "session_queues_drained", Kind: Summary},
	{Name: "snapshottime", Kind: Summary, Duration: true, Help: "ms to write a snapshot"},
	{Name: "socket_closing_time", Kind: Summary, Duration: true},
	{Name: "startup_snap_load_time", Kind: Summary, Duration: true},
	{Name: "startup_txns_load_time", Kind: Summary, Duration: true, Help: "ms to replay the log at start"},
	{Name: "startup_txns_loaded", Kind: Summary, Help: "txns replayed at start"},
	{Name: "sync_process_time", Kind: Summary, Duration: true},
	{Name: "sync_processor_batch_size", Kind: Summary, Help: "txns in one sync of the log"},
	{Name: "sync_processor_queue_size", Kind: Summary},
	{Name: "time_waiting_empty_pool_in_commit_processor_read_ms", Kind: Summary, Duration: true},
	{Name: "unavailable_time", Kind: Summary, Duration: true, Help: "ms between losing a leader and serving again"},
	{Name: "write_batch_time_in_commit_processor", Kind: Summary, Duration: true},
	{Name: "write_commit_proc_issued", Kind: Summary},
	{Name: "write_commit_proc_req_queued", Kind: Summary},

	{Name: "close_session_prep_time", Kind: Advanced, Duration: true},
	{Name: "commit_propagation_latency", Kind: Advanced, Duration: true},
	{Name: "dead_watchers_cleaner_latency", Kind: Advanced, Duration: true},
	{Name: "jvm_pause_time_ms", Kind: Advanced, Duration: true},
	{Name: "local_write_committed_time_ms", Kind: Advanced, Duration: true},
	{Name: "om_commit_process_time_ms", Kind: Advanced, Duration: true},
	{Name: "om_proposal_process_time_ms", Kind: Advanced, Duration: true},
	{Name: "prep_processor_queue_time_ms", Kind: Advanced, Duration: true},
	{Name: "propagation_latency", Kind: Advanced, Duration: true, Help: "ms from the making of a txn to its application here, by the two members' clocks"},
	{Name: "proposal_ack_creation_latency", Kind: Advanced, Duration: true},
	{Name: "proposal_latency", Kind: Advanced, Duration: true, Help: "ms from the leader's proposal to its arrival at a learner"},
	{Name: "quorum_ack_latency", Kind: Advanced, Duration: true, Help: "ms from a proposal to the acks of a quorum"},
	{Name: "read_commitproc_time_ms", Kind: Advanced, Duration: true},
	{Name: "read_final_proc_time_ms", Kind: Advanced, Duration: true},
	{Name: "readlatency", Kind: Advanced, Duration: true, Help: "ms from a read's arrival to its reply"},
	{Name: "request_throttle_queue_time_ms", Kind: Advanced, Duration: true, Help: "ms that a request waited for the request throttle"},
	{Name: "server_write_committed_time_ms", Kind: Advanced, Duration: true},
	{Name: "sync_processor_queue_and_flush_time_ms", Kind: Advanced, Duration: true},
	{Name: "sync_processor_queue_flush_time_ms", Kind: Advanced, Duration: true},
	{Name: "sync_processor_queue_time_ms", Kind: Advanced, Duration: true},
	{Name: "updatelatency", Kind: Advanced, Duration: true, Help: "ms from a write's arrival to its reply"},
	{Name: "write_commitproc_time_ms", Kind: Advanced, Duration: true},
	{Name: "write_final_proc_time_ms", Kind: Advanced, Duration: true},

	{Name: "learner_handler_qp_size", Kind: Summary, Set: true},
	{Name: "read_per_namespace", Kind: Summary, Set: true},
	{Name: "write_per_namespace", Kind: Summary, Set: true},
	{Name: "ack_latency", Kind: Advanced, Set: true, Duration: true, Help: "ms from a proposal to a server's ack"},
	{Name: "learner_handler_qp_time_ms", Kind: Advanced, Set: true, Duration: true},
}
