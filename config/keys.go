package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// keys is the table of all keys, but for the lines of the membership.
var keys = slices.Concat(staticKeys, propertyKeys, bareKeys)

// Reasons that several rows give.
const (
	noTLS    = "TLS is not served yet, and what it should protect would travel in the clear"
	tlsOff   = "TLS is not served yet, so nothing reads it"
	noSASL   = "SASL is not served yet, and whoever it should keep out would come in"
	saslOff  = "SASL is not served yet, so nothing reads it"
	noJVM    = "there is no Java virtual machine to watch"
	oneLoop  = "there are no such threads, queues or buffers to size"
	oldJava  = "it is a switch for Java's own testing"
	inTurn   = "of several addresses of a member each is tried in turn, at every dial"
	noMaster = "observers follow the leader only"
)

// staticKeys are the keys that ZooKeeper knows by name. They are read in
// zoo.cfg only, and their booleans are true or false and nothing else.
var staticKeys = []key{
	{name: "dataDir", set: setText(func(c *Config) *string { return &c.Storage.DataDir })},
	{name: "dataLogDir", set: setText(func(c *Config) *string { return &c.Storage.LogDir })},
	{name: "autopurge.snapRetainCount", def: "3", set: setAtLeast(3, func(c *Config) *int { return &c.Storage.SnapRetain })},
	{name: "autopurge.purgeInterval", def: "1", set: setDuration(time.Hour, math.MinInt32, func(c *Config) *time.Duration { return &c.Storage.PurgeInterval })},

	{name: "clientPort", set: setPort(func(c *Config) *Addr { return &c.Clients.Addr })},
	{name: "clientPortAddress", set: setHost(func(c *Config) *Addr { return &c.Clients.Addr })},
	{name: "clientPortListenBacklog", def: "-1", effect: inert, why: "the system's largest backlog is always asked for",
		set: setNumber(math.MinInt32, math.MaxInt32, func(c *Config) *int { return &c.Clients.Backlog })},
	{name: "maxClientCnxns", def: "60", set: setNumber(math.MinInt32, math.MaxInt32, func(c *Config) *int { return &c.Clients.MaxPerIP })},
	{name: "secureClientPort", def: "0", effect: refused, why: noTLS},
	{name: "secureClientPortAddress", effect: refused, why: noTLS},

	{name: "tickTime", def: "3000", set: setDuration(time.Millisecond, 1, func(c *Config) *time.Duration { return &c.Sessions.Tick })},
	{name: "minSessionTimeout", def: "-1", set: setDuration(time.Millisecond, -1, func(c *Config) *time.Duration { return &c.Sessions.TimeoutMin })},
	{name: "maxSessionTimeout", def: "-1", set: setDuration(time.Millisecond, -1, func(c *Config) *time.Duration { return &c.Sessions.TimeoutMax })},

	{name: "reconfigEnabled", def: "false", effect: inert, why: "the membership changes with a restart only, the request reconfig is not served yet",
		set: setFlag(func(c *Config) *bool { return &c.Tree.ReconfigEnabled })},
	{name: "metricsProvider.className", def: "org.apache.zookeeper.metrics.impl.DefaultMetricsProvider", set: setMetricsProvider},
	{name: "metricsProvider.httpHost", def: "0.0.0.0", set: setHost(func(c *Config) *Addr { return &c.Metrics.Addr })},
	{name: "metricsProvider.httpPort", def: "7000", set: setPort(func(c *Config) *Addr { return &c.Metrics.Addr })},
	{name: "metricsProvider.exportJvmInfo", def: "true", effect: inert, why: "process figures are always exported, and there is no Java virtual machine"},
	{name: "metricsProvider.numWorkerThreads", def: "1", effect: inert, why: oneLoop},
	{name: "metricsProvider.maxQueueSize", def: "1000000", effect: inert, why: oneLoop},
	{name: "metricsProvider.workerShutdownTimeoutMs", def: "1000", effect: inert, why: oneLoop},
	{name: "metricsProvider.", effect: inert, why: "no metrics provider reads it"},

	{name: "standaloneEnabled", def: "true", effect: ensemble, set: setFlag(func(c *Config) *bool { return &c.Ensemble.StandaloneEnabled })},
	{name: "dynamicConfigFile", effect: ensemble, set: setText(func(c *Config) *string { return &c.Ensemble.DynamicConfigFile })},
	{name: "peerType", def: "participant", effect: ensemble, set: setPeerType},
	{name: "initLimit", def: "0", effect: ensemble, set: setNumber(0, math.MaxInt32, func(c *Config) *int { return &c.Ensemble.InitLimitTicks })},
	{name: "syncLimit", def: "0", effect: ensemble, set: setNumber(0, math.MaxInt32, func(c *Config) *int { return &c.Ensemble.SyncLimitTicks })},
	{name: "connectToLearnerMasterLimit", def: "0", effect: ensemble, set: setNumber(0, math.MaxInt32, func(c *Config) *int { return &c.Ensemble.ConnectLimitTicks })},
	{name: "electionAlg", def: "3", effect: refused, why: "3 is the only election algorithm"},
	{name: "syncEnabled", def: "true", effect: inert, why: "an observer always keeps a log, and need not ask for everything when it starts again", set: setFlag(discard)},
	{name: "quorumListenOnAllIPs", def: "false", effect: ensemble, set: setFlag(func(c *Config) *bool { return &c.Ensemble.ListenOnAllIPs })},
	{name: "localSessionsEnabled", def: "false", effect: ensemble, set: setFlag(func(c *Config) *bool { return &c.Ensemble.LocalSessions })},
	{name: "localSessionsUpgradingEnabled", def: "false", effect: ensemble, set: setFlag(func(c *Config) *bool { return &c.Ensemble.LocalSessionsUpgrading })},
	{name: "multiAddress.enabled", def: "false", effect: ensemble, set: setFlag(func(c *Config) *bool { return &c.Ensemble.MultiAddress })},
	{name: "multiAddress.reachabilityCheckEnabled", def: "true", effect: inert, why: inTurn},
	{name: "multiAddress.reachabilityCheckTimeoutMs", def: "1000", effect: inert, why: inTurn},
	{name: "observerMasterPort", def: "0", effect: inert, why: noMaster},
	{name: "oraclePath", effect: refused, why: "two servers and an oracle are no quorum that Zooid knows; use three servers"},

	{name: "sslQuorum", def: "false", effect: refused, why: noTLS, set: setFlag(discard)},
	{name: "portUnification", def: "false", effect: refused, why: noTLS, set: setFlag(discard)},
	{name: "sslQuorumReloadCertFiles", def: "false", effect: inert, why: tlsOff, set: setFlag(discard)},
	{name: "quorum.auth.enableSasl", def: "false", effect: refused, why: noSASL, set: setFlag(discard)},
	{name: "quorum.auth.learnerRequireSasl", def: "false", effect: refused, why: noSASL, set: setFlag(discard)},
	{name: "quorum.auth.serverRequireSasl", def: "false", effect: refused, why: noSASL, set: setFlag(discard)},
	{name: "quorum.auth.learner.saslLoginContext", def: "QuorumLearner", effect: inert, why: saslOff},
	{name: "quorum.auth.server.saslLoginContext", def: "QuorumServer", effect: inert, why: saslOff},
	{name: "quorum.auth.kerberos.servicePrincipal", def: "zkquorum/localhost", effect: inert, why: saslOff},
	{name: "quorum.cnxn.threads.size", def: "20", effect: inert, why: oneLoop},

	{name: "jvm.pause.monitor", def: "false", effect: inert, why: noJVM, set: setFlag(discard)},
	{name: "jvm.pause.warn-threshold.ms", def: "10000", effect: inert, why: noJVM},
	{name: "jvm.pause.info-threshold.ms", def: "1000", effect: inert, why: noJVM},
	{name: "jvm.pause.sleep.time.ms", def: "500", effect: inert, why: noJVM},
}

// discard is the field of a flag that is only checked.
func discard(*Config) *bool { return new(bool) }

func setMetricsProvider(c *Config, value string) error {
	switch value {
	case "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider":
		c.Metrics.Prometheus = true
	case "org.apache.zookeeper.metrics.impl.DefaultMetricsProvider", "org.apache.zookeeper.metrics.impl.NullMetricsProvider":
		c.Metrics.Prometheus = false
	default:
		return fmt.Errorf("there is no metrics provider %q", value)
	}
	return nil
}

func setPeerType(c *Config, value string) (err error) {
	c.Ensemble.Observer, err = parseRole(value)
	return err
}

// authProviders are the classes of ZooKeeper that authProvider.N may name. Digest
// and ip are served. Whoever relies on a certificate or on SASL is told that it
// keeps nobody out here.
var authProviders = map[string]error{
	"org.apache.zookeeper.server.auth.DigestAuthenticationProvider":   nil,
	"org.apache.zookeeper.server.auth.IPAuthenticationProvider":       nil,
	"org.apache.zookeeper.server.auth.X509AuthenticationProvider":     errors.New(noTLS),
	"org.apache.zookeeper.server.auth.SASLAuthenticationProvider":     errors.New(noSASL),
	"org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider": remark("no effect: the scheme ensemble is not served yet, and clients of other ensembles come in"),
}

// setAuthProvider warns of a class that is not there, as ZooKeeper does: its
// scheme is then unknown, and whoever asks for it is refused.
func setAuthProvider(_ *Config, value string) error {
	err, known := authProviders[value]
	if !known {
		return remark(fmt.Sprintf("no effect: there is no authentication provider %q, so its scheme is unknown, as in ZooKeeper without that class", value))
	}
	return err
}
