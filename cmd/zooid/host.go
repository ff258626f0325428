package main

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"sync"
	"syscall"
	"time"

	"zooid/fourletter"
	"zooid/session"
	"zooid/wire"
)

// The methods below make process the server's Host: they describe what lies
// around the clients' network.

// Describe fills in what only the process knows of a Status.
func (p *process) Describe(st *fourletter.Status, parts fourletter.Part) {
	st.Version = fourletter.Version(Version, buildTime())
	switch {
	case p.stopping.Load():
		st.Mode, st.NotServing = fourletter.ModeNotServing, "stopping"
	case !p.started.Load():
		st.Mode, st.NotServing = fourletter.ModeNotServing, "starting"
		if why := p.waits.Load(); why != nil {
			st.NotServing += ": " + *why
		}
	case p.cfg.Distributed():
		p.describeRole(st)
	default:
		st.Mode = fourletter.ModeStandalone
	}
	st.Uptime = time.Since(p.began)
	p.describeSpace(st)
	if p.started.Load() {
		st.Suspect = p.member.Suspect()
	}
	st.OpenFiles, st.MaxFiles = p.gauges.files()
	if parts&fourletter.PartConfig != 0 {
		st.Config = p.config
	}
	if parts&fourletter.PartDirs != 0 {
		st.DataDirSize = dirSize(filepath.Join(p.cfg.Storage.DataDir, "version-2"))
		st.LogDirSize = dirSize(filepath.Join(p.cfg.Storage.LogDir, "version-2"))
	}
	if parts&fourletter.PartSessions != 0 {
		p.describeSessions(st)
	}
	if parts&fourletter.PartEnvironment != 0 {
		st.Environment = environmentOfProcess()
	}
	if parts&fourletter.PartMetrics != 0 {
		st.Instruments = p.metrics.Snapshot()
	}
}

// describeSessions lists the sessions with their ends, where they are expired.
func (p *process) describeSessions(st *fourletter.Status) {
	st.Sessions.LocalEnabled = p.cfg.Ensemble.LocalSessions && p.cfg.Distributed()
	if st.Mode == fourletter.ModeStandalone || st.Mode == fourletter.ModeLeader {
		if buckets, now, err := p.member.SessionBuckets(); err == nil {
			st.Sessions.Global = expiries(buckets, now)
		}
	}
}

// ResetStats is the part of the word srst that lies outside of the server.
func (p *process) ResetStats() {
	p.metrics.Reset()
	if p.started.Load() {
		p.member.ResetStats()
	}
}

// describeConfig is the configuration as the word conf shows it.
func (p *process) describeConfig() fourletter.Config {
	absolute := func(dir string) string {
		if abs, err := filepath.Abs(filepath.Join(dir, "version-2")); err == nil {
			return abs
		}
		return dir
	}
	c := fourletter.Config{
		ClientPort: p.cfg.Clients.Addr.Port, SecureClientPort: -1,
		DataDir: absolute(p.cfg.Storage.DataDir), LogDir: absolute(p.cfg.Storage.LogDir),
		TickTimeMs:              int(p.cfg.Sessions.Tick.Milliseconds()),
		MaxClientCnxns:          p.cfg.Clients.MaxPerIP,
		MinSessionTimeoutMs:     int(p.cfg.Sessions.TimeoutMin.Milliseconds()),
		MaxSessionTimeoutMs:     int(p.cfg.Sessions.TimeoutMax.Milliseconds()),
		ClientPortListenBacklog: p.cfg.Clients.Backlog,
	}
	if p.cfg.Distributed() {
		c.ServerID, c.Member = p.cfg.Ensemble.SID, p.describeMember()
	}
	return c
}

// describeMember is the part of conf that only members of an ensemble have.
func (p *process) describeMember() *fourletter.MemberConfig {
	e := &p.cfg.Ensemble
	m := &fourletter.MemberConfig{InitLimit: e.InitLimitTicks, SyncLimit: e.SyncLimitTicks,
		Observer: e.Observer, Membership: e.Members.String()}
	if self := e.Members.Member(e.SID); self != nil {
		for _, a := range self.Addrs {
			m.ElectionPorts = append(m.ElectionPorts, a.ElectionPort)
			m.QuorumPorts = append(m.QuorumPorts, a.QuorumPort)
		}
	}
	return m
}

// expiries puts the ends of sessions on the wall clock.
func expiries(buckets []session.Bucket, nowMs int64) []fourletter.SessionExpiry {
	now := time.Now()
	list := make([]fourletter.SessionExpiry, len(buckets))
	for i, b := range buckets {
		list[i] = fourletter.SessionExpiry{
			At:       now.Add(time.Duration(b.ExpiresAt-nowMs) * time.Millisecond),
			Sessions: append([]wire.SessionID(nil), b.Sessions...),
		}
	}
	return list
}

// dirSize adds up the files of a directory. What vanishes meanwhile counts 0.
func dirSize(dir string) (n int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
	}
	return n
}

// processGauges counts file descriptors, at most once a second: on a server
// with many connections a look at all of them is dear.
type processGauges struct {
	mu   sync.Mutex
	at   time.Time
	open int64
	most int64
}

func (g *processGauges) files() (open, most int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if time.Since(g.at) < time.Second {
		return g.open, g.most
	}
	g.at = time.Now()
	if dir, err := os.Open("/proc/self/fd"); err == nil {
		names, _ := dir.Readdirnames(-1)
		g.open = int64(len(names)) - 1 // without the one that reads them
		_ = dir.Close()
	}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		g.most = int64(limit.Cur)
	}
	return g.open, g.most
}

// environmentOfProcess answers the word envi. Java's keys tell what stands in
// Java's place.
func environmentOfProcess() map[string]string {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(samples)
	megabytes := func(n uint64) string { return fmt.Sprintf("%dMB", n>>20) }
	most := "unlimited"
	if limit := debug.SetMemoryLimit(-1); limit < 1<<62 {
		most = megabytes(uint64(limit))
	}
	env := map[string]string{
		"java.version":    runtime.Version(),
		"java.vendor":     "The Go Authors",
		"java.home":       runtime.Version(),
		"java.io.tmpdir":  os.TempDir(),
		"os.name":         runtime.GOOS,
		"os.arch":         runtime.GOARCH,
		"os.memory.free":  megabytes(samples[2].Value.Uint64()),
		"os.memory.max":   most,
		"os.memory.total": megabytes(samples[1].Value.Uint64()),
	}
	if host, err := os.Hostname(); err == nil {
		env["host.name"] = host
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		env["os.version"] = string(release[:max(len(release)-1, 0)])
	}
	if dir, err := os.Getwd(); err == nil {
		env["user.dir"] = dir
	}
	if u, err := user.Current(); err == nil {
		env["user.name"], env["user.home"] = u.Username, u.HomeDir
	} else {
		env["user.name"] = strconv.Itoa(os.Getuid())
	}
	return env
}
