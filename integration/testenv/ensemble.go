package testenv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// EnsembleConfig says how the members of an ensemble are to be started.
type EnsembleConfig struct {
	// Kinds has the kind of each member, in the order of their ids 1, 2, …
	Kinds []string
	// Observers is how many of them, the last ones, do not vote.
	Observers int
	// Keys and Bare are set on every member, over EnsembleKeys: see Config.
	Keys, Bare map[string]string
	// Network is where the members live, each on the host with its id's number;
	// nil stands for loopback addresses of this machine.
	Network *Network
	// Disks are the members that get a disk of their own.
	Disks map[int]Disk
	// JVM are the flags of Java members; nil keeps three JVMs on one machine small.
	JVM []string
}

// EnsembleKeys are the zoo.cfg keys that members get over BaseConfig's: short
// ticks, so that a drill need not wait long for what takes time by design.
func EnsembleKeys() map[string]string {
	return map[string]string{
		"tickTime":          "500",
		"initLimit":         "20",
		"syncLimit":         "4",
		"maxSessionTimeout": "600000",
	}
}

// SyncLimit is how long a leader and a learner of EnsembleKeys bear each
// other's silence.
const SyncLimit = 4 * 500 * time.Millisecond

// Ensemble is several servers that are one service.
type Ensemble struct {
	Members []*Member // in the order of their ids

	t       testing.TB
	network *Network
	placed  bool // the server JVM's place is taken
}

// Member is one server of an ensemble.
type Member struct {
	*Server
	SID          int
	Observer     bool
	Host         string
	QuorumPort   int
	ElectionPort int

	e      *Ensemble
	paused bool
	disk   *disk
}

// EachEnsemble runs test as a subtest with every composition of the ensemble
// that ZOOID_TEST_TARGET asks for: "zooid" and "java" stand for members of one
// kind, "zooid+zooid+java" names each.
func EachEnsemble(t *testing.T, members int, test func(t *testing.T, kinds []string)) {
	for _, target := range Targets() {
		t.Run(target, func(t *testing.T) {
			kinds := strings.Split(target, "+")
			if strings.Contains(target, ":") {
				t.Skip("the drill kills members, and only those that it has started")
			}
			for len(kinds) < members {
				kinds = append(kinds, kinds[len(kinds)-1])
			}
			test(t, kinds[:members])
		})
	}
}

// StartEnsemble starts all members and waits until they serve.
func StartEnsemble(t testing.TB, cfg EnsembleConfig) *Ensemble {
	t.Helper()
	e := PrepareEnsemble(t, cfg)
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	return e
}

// PrepareEnsemble is StartEnsemble without the start.
func PrepareEnsemble(t testing.TB, cfg EnsembleConfig) *Ensemble {
	t.Helper()
	e := &Ensemble{t: t, network: cfg.Network}
	if slices.Contains(cfg.Kinds, KindJava) {
		e.needJava()
	}
	keys := EnsembleKeys()
	for k, v := range cfg.Keys {
		keys[k] = v
	}
	for i, kind := range cfg.Kinds {
		m := &Member{SID: i + 1, e: e, Observer: i >= len(cfg.Kinds)-cfg.Observers}
		m.Server = newServer(t, kind, Config{Keys: keys, Bare: cfg.Bare, JVM: cfg.jvm()})
		m.settle(cfg.Network)
		m.disk = newDisk(t, m, cfg.Disks[m.SID])
		e.Members = append(e.Members, m)
	}
	lines := e.ServerLines()
	for _, m := range e.Members {
		m.members = lines
		if m.Observer {
			m.SetKey("peerType", "observer")
		}
		if err := m.WriteMyID(strconv.Itoa(m.SID)); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// memberJVM keeps three JVMs on one machine small.
var memberJVM = []string{"-Xmx192m", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"}

func (c *EnsembleConfig) jvm() []string {
	if c.JVM != nil {
		return c.JVM
	}
	return memberJVM
}

// needJava takes the place of the server JVMs: an ensemble counts as one.
func (e *Ensemble) needJava() {
	NeedJava(e.t)
	if !e.placed {
		takePlace(e.t, placeServer)
		e.placed = true
	}
}

// settle gives a member its host and ports.
func (m *Member) settle(n *Network) {
	if n != nil {
		m.network, m.place = n, n.hosts[m.SID].place
		m.Host, m.QuorumPort, m.ElectionPort = n.ip(m.SID), 2888, 3888
		m.listenAt(m.Host, 2181)
		return
	}
	m.Host = loopback(m.SID)
	m.QuorumPort, m.ElectionPort = freePort(m.t, m.Host), freePort(m.t, m.Host)
	m.listenAt(m.Host, freePort(m.t, m.Host))
}

// ServerLines are the lines of zoo.cfg that name the members.
func (e *Ensemble) ServerLines() []string {
	var lines []string
	for _, m := range e.Members {
		role := ""
		if m.Observer {
			role = ":observer"
		}
		lines = append(lines, fmt.Sprintf("server.%d=%s:%d:%d%s\n", m.SID, m.Host, m.QuorumPort, m.ElectionPort, role))
	}
	return lines
}

// SetServerLines gives the member a list of its own for its next start.
func (m *Member) SetServerLines(lines []string) { m.members = lines }

// Member returns the member with the id.
func (e *Ensemble) Member(sid int) *Member { return e.Members[sid-1] }

// Others are all members but those given.
func (e *Ensemble) Others(but ...*Member) []*Member {
	return slices.DeleteFunc(slices.Clone(e.Members), func(m *Member) bool { return slices.Contains(but, m) })
}

// Start starts the members that do not run, and waits until all serve.
func (e *Ensemble) Start() error {
	for _, m := range e.Members {
		if !m.Running() {
			if err := m.Launch(); err != nil {
				return err
			}
		}
	}
	_, err := e.AwaitServing(startLimit)
	return err
}

// startLimit is how long members may take to serve: it is generous, for busy
// machines; drills that measure measure themselves.
const startLimit = 60 * time.Second

// AwaitServing waits until all the given members, or all that run and are not
// paused, serve clients, with one leader among them, and returns that.
func (e *Ensemble) AwaitServing(limit time.Duration, members ...*Member) (*Member, error) {
	if len(members) == 0 {
		for _, m := range e.Members {
			if m.Running() && !m.paused {
				members = append(members, m)
			}
		}
	}
	for deadline := time.Now().Add(limit); ; time.Sleep(pollEvery) {
		leader, err := rolesOf(members)
		if err == nil {
			return leader, nil
		}
		for _, m := range members {
			if !m.Running() {
				return nil, fmt.Errorf("member %d has ended, exit code %d", m.SID, m.proc.exitCode())
			}
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("the ensemble does not serve within %v: %w", limit, err)
		}
	}
}

// pollEvery is how often another process, which sends no event, is asked.
const pollEvery = 5 * time.Millisecond

// rolesOf returns the one leader among the members, which must all serve.
func rolesOf(members []*Member) (*Member, error) {
	var leader *Member
	for _, m := range members {
		mode, err := m.Mode()
		switch {
		case err != nil:
			return nil, fmt.Errorf("member %d: %w", m.SID, err)
		case mode == ModeLeader && leader != nil:
			return nil, fmt.Errorf("members %d and %d both say that they lead", leader.SID, m.SID)
		case mode == ModeLeader:
			leader = m
		case mode != ModeFollower && mode != ModeObserver:
			return nil, fmt.Errorf("member %d is %s", m.SID, mode)
		}
	}
	if leader == nil {
		return nil, errors.New("no member leads")
	}
	return leader, nil
}

// KillAll ends all members as a power cut would.
func (e *Ensemble) KillAll() {
	for _, m := range e.Members {
		if m.Running() {
			m.Kill()
		}
	}
}

// Save ends all members and keeps what they leave in the folder: what each has
// said, and its directory.
func (e *Ensemble) Save(folder string) error {
	e.KillAll()
	var errs []error
	for _, m := range e.Members {
		name := filepath.Join(folder, fmt.Sprintf("member-%d-%s", m.SID, m.Kind))
		errs = append(errs, os.WriteFile(name+".log", []byte(m.Log()), 0o644))
		errs = append(errs, m.Inside(func() error {
			_ = os.Remove(m.ballast())
			return os.CopyFS(name, os.DirFS(m.DataDir))
		}))
	}
	return errors.Join(errs...)
}

// PrepareMember is one more process with a member's id, on a directory of its
// own, that has its own idea of who the members are.
func PrepareMember(t testing.TB, m *Member, lines []string) *Server {
	t.Helper()
	s := newServer(t, m.Kind, Config{Keys: m.cfg.Keys, Bare: m.cfg.Bare, JVM: memberJVM})
	s.Move()
	s.members = lines
	if err := os.MkdirAll(s.DataDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.DataDir, "myid"), []byte(strconv.Itoa(m.SID)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return s
}
