package config

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// propertyKeys are the keys that ZooKeeper makes system properties of, and
// those that it reads as -Dzookeeper.<name>.
var propertyKeys = inPlace(inProperty, [][]key{
	limitKeys, diskKeys, operatorKeys, treeKeys, authKeys, tlsKeys, saslKeys, threadKeys, memberKeys, javaKeys,
})

var limitKeys = []key{
	{name: "maxCnxns", def: "0", set: setNumber(math.MinInt32, math.MaxInt32, func(c *Config) *int { return &c.Clients.MaxTotal })},
	{name: "nio.sessionlessCnxnTimeout", def: "10000", set: setDuration(time.Millisecond, 1, func(c *Config) *time.Duration { return &c.Clients.SessionlessTimeout })},
	{name: "clientTcpKeepAlive", def: "false", set: setBoolean(func(c *Config) *bool { return &c.Clients.KeepAlive })},
	{name: "globalOutstandingLimit", def: "1000", set: setNumber(1, math.MaxInt32, func(c *Config) *int { return &c.Throttle.OutstandingMax })},
	{name: "request_throttle_max_requests", def: "0", set: setNumber(0, math.MaxInt32, func(c *Config) *int { return &c.Throttle.RequestsMax })},
	{name: "throttled_op_wait_time", def: "0", set: setDuration(time.Millisecond, 0, func(c *Config) *time.Duration { return &c.Throttle.OpWait })},
	{name: "largeRequestMaxBytes", def: "104857600", set: setNumber(1, math.MaxInt32, func(c *Config) *int64 { return &c.Throttle.LargeBytesMax })},
	{name: "largeRequestThreshold", def: "-1", set: setNumber(-1, math.MaxInt32, func(c *Config) *int { return &c.Throttle.LargeThreshold })},
	{name: "connection_throttle_tokens", def: "0", set: setNumber(0, math.MaxInt32, func(c *Config) *int { return &c.Throttle.ConnTokens })},
	{name: "connection_throttle_fill_time", def: "1", set: setDuration(time.Millisecond, 1, func(c *Config) *time.Duration { return &c.Throttle.ConnFillTime })},
	{name: "connection_throttle_fill_count", def: "1", set: setNumber(0, math.MaxInt32, func(c *Config) *int { return &c.Throttle.ConnFillCount })},
	{name: "connection_throttle_freeze_time", def: "-1", effect: inert, why: noDropping},
	{name: "connection_throttle_drop_increase", def: "0.02", effect: inert, why: noDropping},
	{name: "connection_throttle_drop_decrease", def: "0.002", effect: inert, why: noDropping},
	{name: "connection_throttle_decrease_ratio", def: "0", effect: inert, why: noDropping},
	{name: "connection_throttle_weight_enabled", def: "false", effect: inert, why: noDropping},
	{name: "connection_throttle_global_session_weight", def: "3", effect: inert, why: noDropping},
	{name: "connection_throttle_local_session_weight", def: "1", effect: inert, why: noDropping},
	{name: "connection_throttle_renew_session_weight", def: "2", effect: inert, why: noDropping},
	{name: "request_throttle_stall_time", def: "100", effect: inert, why: noStall},
	{name: "request_throttle_drop_stale", def: "true", effect: inert, why: noStall},
	{name: "request_stale_latency_check", def: "false", effect: inert, why: noStall},
	{name: "request_stale_connection_check", def: "true", effect: inert, why: noStall},
	{name: "request_throttler.shutdownTimeout", def: "10000", effect: inert, why: noStall},
	{name: "jute.maxbuffer.extrasize", effect: ensemble, set: setAtLeast(1024, func(c *Config) *int { return &c.Ensemble.ExtraBytes })},
}

const (
	noDropping = "new connections wait for a token; none is dropped by chance or by weight"
	noStall    = "a request that waits is woken when there is room, and one whose connection is gone is dropped"
)

var diskKeys = []key{
	{name: "preAllocSize", def: "65536", set: setKibibytes(func(c *Config) *int64 { return &c.Storage.PreallocBytes })},
	{name: "snapCount", def: "100000", set: setAtLeast(2, func(c *Config) *int64 { return &c.Storage.SnapTxns })},
	{name: "snapSizeLimitInKb", def: "4194304", set: setKibibytes(func(c *Config) *int64 { return &c.Storage.SnapBytes })},
	{name: "txnLogSizeLimitInKb", def: "-1", set: setKibibytes(func(c *Config) *int64 { return &c.Storage.RollBytes })},
	{name: "forceSync", def: "yes", set: setForceSync},
	{name: "fsync.warningthresholdms", def: "1000", set: setDuration(time.Millisecond, 0, func(c *Config) *time.Duration { return &c.Storage.FsyncWarn })},
	{name: "datadir.autocreate", def: "true", set: setBoolean(func(c *Config) *bool { return &c.Storage.AutoCreate })},
	{name: "db.autocreate", def: "true", effect: inert, why: "a server without data always begins with an empty tree, and a member votes with it"},
	{name: "flushDelay", def: "0", effect: inert, why: ownCommit},
	{name: "maxWriteQueuePollTime", effect: inert, why: ownCommit},
	{name: "maxBatchSize", def: "1000", effect: inert, why: ownCommit},
	{name: "commitLogCount", def: "500", effect: inert, why: "a leader keeps transactions in memory for its learners up to a number of bytes"},
	{name: "snapshotSizeFactor", def: "0.33", effect: inert, why: "a learner gets a snapshot when it lacks more than a fixed number of bytes of log"},
	{name: "snapshot.trust.empty", def: "false", set: setBoolean(func(c *Config) *bool { return &c.Storage.TrustEmpty })},
	{name: "snapshot.compression.method", effect: inert, why: "snapshot files are written plain; gz and snappy ones are read"},
	{name: "serializeLastProcessedZxid.enabled", def: "true", effect: inert, why: "snapshot files always say what they contain"},
	{name: "closeSessionTxn.enabled", def: "true", effect: inert, why: "a closed session's txn always lists the znodes that go with it"},
	{name: "digest.enabled", def: "true", set: not(setBoolean, func(c *Config) *bool { return &c.Tree.NoDigest })},
}

const ownCommit = "one sync takes all that arrived during the one before, without waiting for more"

var operatorKeys = []key{
	{name: "4lw.commands.whitelist", set: setText(func(c *Config) *string { return &c.Clients.FourLetterWhitelist })},
	{name: "admin.enableServer", def: "true", set: setProperty("true", "false", true, func(c *Config) *bool { return &c.Admin.Enabled })},
	{name: "admin.serverAddress", def: "0.0.0.0", set: setHost(func(c *Config) *Addr { return &c.Admin.Addr })},
	{name: "admin.serverPort", def: "8080", set: setPort(func(c *Config) *Addr { return &c.Admin.Addr })},
	{name: "admin.commandURL", def: "/commands", set: setText(func(c *Config) *string { return &c.Admin.CommandURL })},
	{name: "admin.idleTimeout", def: "30000", set: setDuration(time.Millisecond, 0, func(c *Config) *time.Duration { return &c.Admin.IdleTimeout })},
	{name: "admin.snapshot.enabled", def: "true", effect: inert, why: noCommands},
	{name: "admin.restore.enabled", def: "true", effect: inert, why: noCommands},
	{name: "admin.rateLimiterIntervalInMS", def: "300000", effect: inert, why: noCommands},
	{name: "IPAuthenticationProvider.usexforwardedfor", def: "false", effect: inert, why: noCommands},
	{name: "admin.portUnification", def: "false", effect: refused, why: noTLS},
	{name: "admin.forceHttps", def: "false", effect: refused, why: noTLS},
	{name: "admin.needClientAuth", def: "false", effect: refused, why: noTLS},
	{name: "admin.httpVersion", def: "11", effect: inert, why: "HTTP 1.1 is what is served"},
	{name: "audit.enable", def: "false", effect: inert, why: "there is no audit log yet"},
	{name: "audit.impl.class", effect: inert, why: "there is no audit log yet"},
	{name: "pathStats.", effect: inert, why: "paths are not counted one by one"},
	{name: "messageTracker.", effect: inert, why: "packets between members are not kept to be shown"},
}

const noCommands = "the AdminServer's commands are not served yet"

var treeKeys = []key{
	{name: "extendedTypesEnabled", def: "true", set: setBoolean(func(c *Config) *bool { return &c.Tree.ExtendedTypes })},
	{name: "emulate353TTLNodes", def: "false", set: setBoolean(func(c *Config) *bool { return &c.Tree.Emulate353 })},
	{name: "enforceQuota", def: "false", set: setBoolean(func(c *Config) *bool { return &c.Tree.EnforceQuota })},
	{name: "skipACL", def: "no", set: setSkipACL},
	{name: "enableEagerACLCheck", def: "false", effect: inert, why: "every request is checked before anything is made of it"},
	{name: "watchManagerName", effect: inert, why: ownWatches},
	{name: "watcherCleanThreadsNum", def: "2", effect: inert, why: ownWatches},
	{name: "watcherCleanThreshold", def: "1000", effect: inert, why: ownWatches},
	{name: "watcherCleanIntervalInSeconds", def: "600", effect: inert, why: ownWatches},
	{name: "maxInProcessingDeadWatchers", def: "-1", effect: inert, why: ownWatches},
	{name: "bitHashCacheSize", def: "10", effect: inert, why: ownWatches},
	{name: "maxResponseCacheSize", def: "400", effect: inert, why: "answers are made without a cache"},
	{name: "maxGetChildrenResponseCacheSize", def: "400", effect: inert, why: "answers are made without a cache"},
}

const ownWatches = "there is one kind of watch table, and it cleans up at once"

var authKeys = []key{
	{name: "DigestAuthenticationProvider.superDigest", set: setText(func(c *Config) *string { return &c.Auth.SuperDigest })},
	{name: "DigestAuthenticationProvider.enabled", def: "true", set: not(setBoolean, func(c *Config) *bool { return &c.Auth.DigestDisabled })},
	{name: "DigestAuthenticationProvider.digestAlg", def: "SHA1", set: setDigestAlgorithm},
	{name: "enforce.auth.enabled", def: "false", set: setBoolean(func(c *Config) *bool { return &c.Auth.Enforce })},
	{name: "enforce.auth.schemes", set: setEnforceSchemes},
	{name: "authProvider.", set: setAuthProvider},
	{name: "ensembleAuthName", effect: inert, why: "the scheme ensemble is not served yet"},
	{name: "X509AuthenticationProvider.superUser", effect: inert, why: tlsOff},
	{name: "superUser", effect: inert, why: saslOff},
	{name: "superUser.", effect: inert, why: saslOff},
	{name: "sessionRequireClientSASLAuth", def: "false", effect: refused, why: noSASL},
	{name: "allowSaslFailedClients", def: "false", effect: inert, why: saslOff},
}

var tlsKeys = []key{
	{name: "ssl.", effect: inert, why: tlsOff},
	{name: "ssl.crl", def: "false", effect: refused, why: noTLS},
	{name: "ssl.ocsp", def: "false", effect: refused, why: noTLS},
	{name: "ssl.context.supplier.class", effect: refused, why: "a Java class cannot be loaded"},
	{name: "ssl.quorum.crl", def: "false", effect: refused, why: noTLS},
	{name: "ssl.quorum.ocsp", def: "false", effect: refused, why: noTLS},
	{name: "ssl.quorum.context.supplier.class", effect: refused, why: "a Java class cannot be loaded"},
	{name: "fips-mode", def: "true", effect: inert, why: tlsOff},
	{name: "client.certReload", def: "false", effect: inert, why: tlsOff},
	{name: "client.portUnification", def: "false", effect: refused, why: noTLS},
}

var saslKeys = []key{
	{name: "sasl.serverconfig", def: "Server", effect: inert, why: saslOff},
	{name: "SASLAuthenticationProvider.superPassword", effect: inert, why: saslOff},
	{name: "letAnySaslUserDoX", effect: inert, why: saslOff},
	{name: "kinit", effect: inert, why: saslOff},
	{name: "kerberos.", effect: inert, why: saslOff},
	{name: "security.auth_to_local", effect: inert, why: saslOff},
	{name: "requireKerberosConfig", def: "false", effect: inert, why: saslOff},
}

var threadKeys = []key{
	{name: "serverCnxnFactory", def: "org.apache.zookeeper.server.NIOServerCnxnFactory", effect: inert, why: "there is one network layer"},
	{name: "nio.numSelectorThreads", effect: inert, why: oneLoop},
	{name: "nio.numWorkerThreads", effect: inert, why: oneLoop},
	{name: "nio.directBufferBytes", effect: inert, why: oneLoop},
	{name: "nio.shutdownTimeout", effect: inert, why: oneLoop},
	{name: "netty.", effect: inert, why: oneLoop},
	{name: "intBufferStartingSizeBytes", effect: inert, why: oneLoop},
	{name: "commitProcessor.", effect: inert, why: oneLoop},
	{name: "maxReadBatchSize", def: "-1", effect: inert, why: oneLoop},
	{name: "maxCommitBatchSize", def: "1", effect: inert, why: oneLoop},
}

var memberKeys = []key{
	{name: "leaderServes", def: "yes", effect: inert, why: "a leader serves clients like every other member"},
	{name: "tcpKeepAlive", def: "false", effect: ensemble, set: setBoolean(func(c *Config) *bool { return &c.Ensemble.KeepAlive })},
	{name: "cnxTimeout", def: "5000", effect: ensemble, strict: true, set: setDuration(time.Millisecond, 1, func(c *Config) *time.Duration { return &c.Ensemble.ElectionDial })},
	{name: "quorumCnxnTimeoutMs", def: "-1", effect: ensemble, set: setDuration(time.Millisecond, math.MinInt32, func(c *Config) *time.Duration { return &c.Ensemble.ElectionGreet })},
	{name: "electionPortBindRetry", def: "3", effect: ensemble, set: setNumber(0, math.MaxInt32, func(c *Config) *int { return &c.Ensemble.BindTries })},
	{name: "fastleader.minNotificationInterval", def: "200", effect: ensemble, set: setDuration(time.Millisecond, 1, func(c *Config) *time.Duration { return &c.Ensemble.NotifyMin })},
	{name: "fastleader.maxNotificationInterval", def: "60000", effect: ensemble, set: setDuration(time.Millisecond, 1, func(c *Config) *time.Duration { return &c.Ensemble.NotifyMax })},
	{name: "leader.maxTimeToWaitForEpoch", def: "-1", effect: ensemble, set: setDuration(time.Millisecond, math.MinInt32, func(c *Config) *time.Duration { return &c.Ensemble.EpochWait })},
	{name: "leader.maxConcurrentSnapSyncs", def: "10", effect: inert, why: noTurns},
	{name: "leader.maxConcurrentDiffSyncs", def: "100", effect: inert, why: noTurns},
	{name: "maxConcurrentDiffSyncs", def: "100", effect: inert, why: noTurns},
	{name: "leader.ackLoggingFrequency", def: "1000", effect: inert, why: "acknowledgements are counted, not written to the server's log"},
	{name: "leader.closeSocketAsync", def: "false", effect: inert, why: noWaiting},
	{name: "learner.closeSocketAsync", def: "false", effect: inert, why: noWaiting},
	{name: "learner.asyncSending", def: "false", effect: inert, why: noWaiting},
	{name: "leaderConnectDelayDuringRetryMs", def: "100", effect: inert, why: "a leader is dialled again at once, then after pauses that grow to 100 ms"},
	{name: "forceSnapshotSync", def: "false", effect: inert, why: "a learner gets a snapshot where the log does not serve it, and only there"},
	{name: "observer.reconnectDelayMs", def: "0", effect: inert, why: atOnce},
	{name: "observer.election.DelayMs", def: "200", effect: inert, why: atOnce},
	{name: "observerMaster.sizeLimit", def: "33554432", effect: inert, why: noMaster},
	{name: "follower.skipLearnerRequestToNextProcessor", def: "false", effect: inert, why: noStages},
	{name: "forward_learner_requests_to_commit_processor_disabled", def: "false", effect: inert, why: noStages},
}

const (
	noTurns   = "learners do not wait for each other: each reads the leader's disk by itself"
	noWaiting = "nothing waits while a packet is written to another member or a connection to it is closed"
	noDelay   = "packets between members always go out at once"
	atOnce    = "an observer that has lost its leader looks for one at once"
	noStages  = "there are no stages that hand learners' requests to each other"
)

var javaKeys = []key{
	{name: "jmx.log4j.disable", effect: inert, why: noJVM},
	{name: "controllerPort", effect: inert, why: oldJava},
	{name: "test.", effect: inert, why: oldJava},
	{name: "testingonly.", effect: refused, why: oldJava},
	{name: "log.dir", effect: inert, why: ownLog},
	{name: "log.file", effect: inert, why: ownLog},
	{name: "root.logger", effect: inert, why: ownLog},
}

const ownLog = "the log goes to standard error"

// bareKeys are the system properties that ZooKeeper reads without its prefix.
// They may stand in zoo.cfg as well, where ZooKeeper does not look for them.
var bareKeys = inPlace(inBare, [][]key{{
	{name: "jute.maxbuffer", def: "0xfffff", set: setNumber(1, math.MaxInt32, func(c *Config) *int { return &c.Clients.MaxFrameBytes })},
	{name: "readonlymode.enabled", def: "false", set: setBoolean(func(c *Config) *bool { return &c.Clients.ReadOnlyMode })},
	{name: "znode.container.checkIntervalMs", def: "60000", set: setDuration(time.Millisecond, 1, func(c *Config) *time.Duration { return &c.Tree.ReapInterval })},
	{name: "znode.container.maxPerMinute", def: "10000", set: setNumber(1, math.MaxInt32, func(c *Config) *int { return &c.Tree.ReapPerMinute })},
	{name: "znode.container.maxNeverUsedIntervalMs", def: "0", set: setDuration(time.Millisecond, 0, func(c *Config) *time.Duration { return &c.Tree.ReapNeverUsedAfter })},
	{name: "follower.nodelay", def: "true", effect: inert, why: noDelay},
	{name: "leader.nodelay", def: "true", effect: inert, why: noDelay},
	{name: "java.security.auth.login.config", effect: inert, why: saslOff},
}})

// inPlace joins tables of keys that are read in the same place.
func inPlace(p place, tables [][]key) (all []key) {
	for _, table := range tables {
		for _, k := range table {
			k.place = p
			all = append(all, k)
		}
	}
	return all
}

func setForceSync(c *Config, value string) error {
	err := setProperty("no", "yes", false, func(c *Config) *bool { return &c.Storage.NoSync })(c, value)
	if c.Storage.NoSync {
		return remark("DANGER: writes are acknowledged before they are on disk, and a crash of the machine loses them")
	}
	return err
}

func setSkipACL(c *Config, value string) error {
	err := setProperty("yes", "no", false, func(c *Config) *bool { return &c.Tree.SkipACL })(c, value)
	if c.Tree.SkipACL {
		return remark("DANGER: no ACL is checked, everybody may read and change everything")
	}
	return err
}

func setDigestAlgorithm(c *Config, value string) error {
	for _, known := range []string{"SHA1", "SHA-1", "SHA-256", "SHA-512", "SHA3-256"} {
		if sameValue(value, known) {
			c.Auth.DigestAlgorithm = known
			return nil
		}
	}
	return fmt.Errorf("%q is none of SHA1, SHA-256, SHA-512 and SHA3-256", value)
}

func setEnforceSchemes(c *Config, value string) error {
	c.Auth.EnforceSchemes = nil
	for scheme := range strings.SplitSeq(value, ",") {
		if scheme = strings.TrimSpace(scheme); scheme != "" {
			c.Auth.EnforceSchemes = append(c.Auth.EnforceSchemes, scheme)
		}
	}
	return nil
}
