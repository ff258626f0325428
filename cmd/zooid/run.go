package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"

	"zooid/admin"
	"zooid/auth"
	"zooid/config"
	"zooid/fourletter"
	"zooid/quorum"
	"zooid/server"
	"zooid/store"
	"zooid/txnlog"
	"zooid/wire"
)

// standaloneSID is the server id in the session ids of a server without myid,
// as in ZooKeeper.
const standaloneSID wire.SID = 1

// Bounds of an orderly end: for a start that is under way, for the connections
// to be answered, for writes that nobody waits for any more, and for pages that
// operators are reading.
const (
	startLimit   = time.Second
	clientsLimit = 5 * time.Second
	writesLimit  = 2 * time.Second
	pagesLimit   = time.Second
)

// process is everything that runs, in the order in which it is started.
type process struct {
	cfg     *config.Config
	logger  *zap.Logger
	metrics *admin.Metrics
	store   *store.Store
	member  *quorum.Member
	server  *server.Server
	http    []*admin.Server
	began   time.Time
	config  fourletter.Config
	broken  func(n int64) // counts errors that stop the server
	gauges  processGauges

	upkeep   upkeeping
	opened   atomic.Pointer[store.Store] // store, for who may ask before the member runs
	waits    atomic.Pointer[string]      // what the start waits for, nil if for nothing
	space    atomic.Pointer[store.Space] // as it was last looked at
	started  atomic.Bool                 // the member runs
	stopping atomic.Bool
}

// run serves until ctx ends or the member fails.
func run(ctx context.Context, cfg *config.Config, logger *zap.Logger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	logger.Info(opening(cfg))
	for _, w := range cfg.Warnings {
		logger.Warn(w)
	}
	if os.Getenv("GOGC") == "" {
		go tuneCollector(ctx)
	}
	defer ignoreHangup(logger)()
	p := &process{cfg: cfg, logger: logger, metrics: admin.NewMetrics(), began: time.Now()}
	p.upkeep.wake = make(chan struct{}, 1)
	p.instrumentProcess()
	if started, err := p.startUntil(ctx); !started {
		return err
	}
	select {
	case <-ctx.Done():
		logger.Info("stopping")
		err := p.stop(clientsLimit)
		if err == nil {
			logger.Info("stopped", zap.Stringer("zxid", p.store.Tree().LastZxid()))
		}
		return err
	case err := <-p.member.Failed():
		p.broken(1)
		// No write will be answered any more, so there is nothing to wait for.
		return errors.Join(withCode(exitDataDir, err), p.stop(0))
	}
}

// ignoreHangup keeps a SIGHUP from ending the process until what it returns is
// called: people send it to have a configuration read again, or close the terminal
// in which they have started a server.
func ignoreHangup(logger *zap.Logger) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-hangups:
				logger.Warn("SIGHUP: nothing is read again, the configuration holds until the next start; SIGTERM ends the server")
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(done)
	}
}

// instrumentProcess makes the instruments of the process itself.
func (p *process) instrumentProcess() { p.broken = p.metrics.Counter("unrecoverable_error_count") }

// startUntil starts everything. When ctx ends meanwhile it waits a little and
// then leaves all as it is, for the process to end with it: to start may take
// as long as the data is large, or wait for a port. A start acknowledges
// nothing, so there is nothing to finish.
func (p *process) startUntil(ctx context.Context) (started bool, err error) {
	result := make(chan error, 1)
	go func() { result <- p.start(ctx) }()
	select {
	case err = <-result:
	case <-ctx.Done():
		select {
		case err = <-result:
		case <-time.After(startLimit):
			p.logger.Info("stopped while starting")
			return false, nil
		}
	}
	switch {
	case errors.Is(err, errStopped):
		p.logger.Info("stopped while starting")
		return false, p.stop(0)
	case err != nil:
		return false, errors.Join(err, p.stop(0))
	}
	return true, nil
}

// errStopped says that a start was given up because the process is to end.
var errStopped = errors.New("stopped while starting")

// opening is the first line of the log: what will be served, and by whose word.
func opening(cfg *config.Config) string {
	by := "configuration " + cfg.Source
	if cfg.Source == builtIn {
		by = "no configuration file given"
	}
	who := ""
	if cfg.Distributed() {
		who = fmt.Sprintf("server %d of an ensemble of %d, ", cfg.Ensemble.SID, len(cfg.Ensemble.Members.Members))
	}
	return fmt.Sprintf("zooid %s: %sclient port %d, data in %s (%s)", Version, who, cfg.Clients.Addr.Port, cfg.Storage.DataDir, by)
}

// start listens first: a start may take as long as the data is large, and has to
// wait where a disk is full, and whoever asks meanwhile is to be told. Nobody gets
// a session before the end of it.
func (p *process) start(ctx context.Context) error {
	addr := p.cfg.Clients.Addr
	if addr.Port == 0 {
		return withCode(exitUsage, fmt.Errorf("%s: clientPort is not set, so nobody could be served", p.cfg.Source))
	}
	registry, err := auth.New(auth.Options{
		DigestDisabled: p.cfg.Auth.DigestDisabled, DigestAlgorithm: p.cfg.Auth.DigestAlgorithm,
		SuperDigest: p.cfg.Auth.SuperDigest, Enforce: p.cfg.Auth.Enforce, EnforceSchemes: p.cfg.Auth.EnforceSchemes,
	})
	if err != nil {
		return withCode(exitUsage, err)
	}
	p.config = p.describeConfig()
	p.makeServer(registry)
	// A member that cannot serve clients takes part in no election.
	addrs, err := p.listenClients(addr.Listen())
	if err != nil {
		return withCode(exitListen, err)
	}
	p.listenHTTP()
	if err := p.openStore(ctx); err != nil {
		return withCode(exitDataDir, explainDamage(err, p.cfg))
	}
	p.store.Tree().SetRules(p.rules(registry))
	if err := p.makeMember(); err != nil {
		return withCode(exitDataDir, err)
	}
	restored := p.store.Tree().LastZxid() // the tree is the member's from Start on
	p.store.Log().Start()
	if err := p.member.Start(); err != nil {
		return withCode(exitListen, err)
	}
	p.started.Store(true)
	p.upkeep.start(p)
	p.logger.Info("listening for clients on "+addrs[0].String(),
		zap.Stringer("zxid", restored), zap.Duration("start", time.Since(p.began)))
	return nil
}

// namePause is the time between two tries to listen for clients on a name that is
// not ready yet, and nameLogEvery how many of them come between two lines.
const (
	namePause    = time.Second
	nameLogEvery = 10
)

// listenClients opens the client port. A name that does not lead to this machine
// yet is waited for, as on the ports between members.
func (p *process) listenClients(addr string) ([]net.Addr, error) {
	for waits := 0; ; waits++ {
		addrs, err := p.server.Listen(addr)
		if err == nil || !quorum.NameNotReady(addr, err) || p.stopping.Load() {
			return addrs, err
		}
		if waits%nameLogEvery == 0 {
			p.logger.Warn("the name of the client address does not lead to this machine yet: trying again until it does, or until it is changed in the configuration",
				zap.String("address", addr), zap.Error(err))
		}
		time.Sleep(namePause)
	}
}

// explainDamage adds to a log that is refused what forceSync=no has to do with it.
func explainDamage(err error, cfg *config.Config) error {
	var damage *txnlog.DamageError
	if !cfg.Storage.NoSync || !errors.As(err, &damage) {
		return err
	}
	return fmt.Errorf("%w (%s: forceSync=no: writes are acknowledged before the log is on the disk, so a power cut or a crash of the machine "+
		"leaves a log like this, in the middle of any file that was written shortly before, and acknowledged writes are lost; a server that is killed alone leaves none)",
		err, cfg.Where("forceSync"))
}

// checkDirs wants the directories to be there where the configuration says
// that they must not be made.
func checkDirs(s *config.Storage) error {
	if s.AutoCreate {
		return nil
	}
	for _, dir := range []string{s.DataDir, s.LogDir} {
		// ZooKeeper, too, looks for the directory of its version.
		if _, err := os.Stat(filepath.Join(dir, "version-2")); err != nil {
			return fmt.Errorf("datadir.autocreate is false and the directory is not there: %w", err)
		}
	}
	return nil
}

// startRetry is the pause between two tries to start on a full disk.
const startRetry = time.Second

// openStore opens the store, as soon as there is room for it.
func (p *process) openStore(ctx context.Context) error {
	if err := checkDirs(&p.cfg.Storage); err != nil {
		return err
	}
	for told := false; ; told = true {
		err := p.tryStore()
		if !txnlog.IsFull(err) {
			p.waits.Store(nil)
			if told && err == nil {
				p.logger.Info("the disk has room: the start goes on")
			}
			return err
		}
		if !told {
			p.logger.Error("the start waits for room on the disk, and goes on by itself when there is some", zap.Error(err))
		}
		why := err.Error()
		p.waits.Store(&why)
		select {
		case <-ctx.Done():
			return errStopped
		case <-time.After(startRetry):
		}
	}
}

func (p *process) tryStore() (err error) {
	s := &p.cfg.Storage
	fsyncs, batches := p.metrics.Timer("fsynctime"), p.metrics.Summary("sync_processor_batch_size")
	var bound wire.SID // a server alone may use any directory
	if p.cfg.Distributed() {
		bound = p.sid()
	}
	snapshots, failed := p.metrics.Timer("snapshottime"), p.metrics.Counter("snapshot_error_count")
	replayed, replays := p.metrics.Summary("startup_txns_loaded"), p.metrics.Timer("startup_txns_load_time")
	loaded, began := p.metrics.Timer("dbinittime"), time.Now()
	defer func() {
		if err == nil {
			loaded(time.Since(began))
		}
	}()
	p.store, err = store.Open(store.Options{
		Replayed: func(txns int, took time.Duration) {
			replayed(int64(txns))
			replays(took)
		},
		Snapshotted: func(took time.Duration, err error) {
			if err != nil {
				failed(1)
				return
			}
			snapshots(took)
		},
		ServerID: bound,
		DataDir:  s.DataDir, LogDir: s.LogDir, Log: p.logger,
		SnapRetain: s.SnapRetain, LogBudget: s.LogBudgetBytes, FlushTxns: s.SnapTxns,
		SnapTxns: s.SnapTxns, SnapBytes: s.SnapBytes,
		PreallocBytes: s.PreallocBytes, RollBytes: s.RollBytes, NoSync: s.NoSync, DeferTail: p.cfg.Distributed(), TrustEmpty: s.TrustEmpty,
		Durable: func(z wire.Zxid, err error) { p.member.Durable(z, err) },
		Observe: func(sync txnlog.Sync) {
			fsyncs(sync.Took)
			batches(int64(sync.Records))
			if s.FsyncWarn > 0 && sync.Took > s.FsyncWarn {
				p.logger.Warn("a sync of the transaction log took long: the disk is slow or busy, and every write waits for it",
					zap.Duration("took", sync.Took), zap.Int("records", sync.Records))
			}
		},
		SpaceChanged: func(store.SpaceLevel, store.Space) { p.upkeep.nudge() }, SnapshotWritten: p.upkeep.nudge,
	})
	if err == nil {
		p.opened.Store(p.store)
	}
	return err
}

func (p *process) makeServer(registry *auth.Registry) {
	c, t := &p.cfg.Clients, &p.cfg.Throttle
	whitelist, unknown := fourletter.ParseWhitelist(c.FourLetterWhitelist, c.ReadOnlyMode)
	for _, word := range unknown {
		p.logger.Warn(fmt.Sprintf("%s: 4lw.commands.whitelist names a word that does not exist: %q", p.cfg.Where("4lw.commands.whitelist"), word))
	}
	p.server = server.New(server.Options{
		Logger: p.logger, SID: p.sid(), Auth: registry, Host: p, Metrics: p.metrics, Whitelist: whitelist,
		MinTimeoutMs: int32(p.cfg.Sessions.TimeoutMin.Milliseconds()),
		MaxTimeoutMs: int32(p.cfg.Sessions.TimeoutMax.Milliseconds()),
		SkipACL:      p.cfg.Tree.SkipACL,
		MaxFrame:     c.MaxFrameBytes, MaxClientCnxns: c.MaxPerIP, MaxCnxns: c.MaxTotal,
		OutstandingLimit: t.OutstandingMax, LargeThreshold: t.LargeThreshold, LargeMax: t.LargeBytesMax,
		ConnectTokens: t.ConnTokens, ConnectFill: t.ConnFillCount, ConnectFillTime: t.ConnFillTime,
		ThrottleRequests: t.RequestsMax, ThrottledOpWait: t.OpWait,
		HandshakeTimeout: c.SessionlessTimeout, KeepAlive: c.KeepAlive,
		Memory: clientMemory(memoryLimit()),
	})
}

// listenHTTP opens the operators' listeners. A port that is taken does not keep
// clients from being served: it is logged, as ZooKeeper does.
func (p *process) listenHTTP() {
	handler := admin.NewHandler(admin.Options{Status: p.server.Status, Version: Version,
		CommandURL: p.cfg.Admin.CommandURL, Log: p.logger})
	listen := func(what string, addr config.Addr) {
		l, err := admin.Listen(addr.Listen(), handler, p.cfg.Admin.IdleTimeout, p.logger)
		if err != nil {
			p.logger.Warn("running without "+what, zap.Error(err))
			return
		}
		p.http = append(p.http, l)
		p.logger.Info(what, zap.Stringer("address", l.Addr()))
	}
	if p.cfg.Admin.Enabled {
		listen("admin port with /metrics, /livez and /readyz", p.cfg.Admin.Addr)
	}
	if p.cfg.Metrics.Prometheus {
		listen("metrics port with /metrics", p.cfg.Metrics.Addr)
	}
}

// stop ends everything in the reverse order: clients first, so that what they
// asked is answered, the store last. Connections have until limit for that; who
// is cut off then does not take its answers, which is not an error of ours.
func (p *process) stop(limit time.Duration) error {
	p.stopping.Store(true)
	if p.member != nil {
		p.member.Freeze()
	}
	if p.server != nil {
		within(limit, func(ctx context.Context) { _ = p.server.Shutdown(ctx) })
	}
	var errs []error
	if p.member != nil {
		within(writesLimit, func(ctx context.Context) {
			if p.member.Stop(ctx) == nil {
				return
			}
			// On a full disk that is what has to be expected, and no failure.
			if err := errors.New("the disk did not take the last writes, which were not acknowledged"); p.store.Log().NoSpace() {
				p.logger.Warn(err.Error())
			} else {
				errs = append(errs, err)
			}
		})
	}
	for _, l := range p.http {
		within(pagesLimit, func(ctx context.Context) { _ = l.Close(ctx) })
	}
	p.upkeep.cancel()
	if p.store != nil {
		errs = append(errs, p.store.Close())
	}
	p.upkeep.wait()
	return withCode(exitDataDir, errors.Join(errs...))
}

// within calls do with a context that ends after limit.
func within(limit time.Duration, do func(context.Context)) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	do(ctx)
}
